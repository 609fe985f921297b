//! `RSYNC [OPTION]… SOURCE… DESTINATION`: ch-image's extension of the language, which copies as
//! rsync(1) does. Here is what its words mean; nothing is read or copied.
//!
//! Options have their values behind `=` alone (`--exclude=*.o`, `-f=…`), as of ch-image: so it needs
//! no knowledge of an option to see where its value ends.

mod chmod;
pub mod filter;
mod options;

use super::{Expander, Word, suggest};

pub use chmod::Chmod;
pub use options::{Filter, Group, Settings};

/// `RSYNC`, also written `NSYNC`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rsync {
    pub group: Group,
    /// As written; their names are known. See [`Rsync::settings`].
    pub options: Vec<Word>,
    /// Paths and patterns of the build context.
    pub sources: Vec<Word>,
    pub destination: Word,
}

impl Rsync {
    /// Sorts words; an error is the reason.
    pub(super) fn parse(words: &[String]) -> Result<Self, String> {
        let (mut options, mut others, mut ended) = (Vec::new(), Vec::new(), false);
        let mut group = None;
        for word in words {
            match word.as_str() {
                "--" if !ended => ended = true,
                text if !ended && text.starts_with('+') => {
                    if group.replace(Group::parse(text)?).is_some() {
                        return Err("RSYNC takes one option that begins with +".to_owned());
                    }
                }
                text if !ended && text.len() > 1 && text.starts_with('-') => {
                    options.push(Word::new(word));
                }
                _ => others.push(Word::new(word)),
            }
        }
        let mut settings = Settings::default();
        for option in &options {
            settings.check(option.raw())?;
        }
        let destination = others.pop().filter(|_| !others.is_empty());
        let destination = destination
            .ok_or("RSYNC requires at least two arguments: what to copy, and where to")?;
        for source in &others {
            let raw = source.raw();
            let host = raw.split('/').next().unwrap_or_default();
            if raw.starts_with("rsync://") || (host.contains(':') && !host.contains('$')) {
                return Err(format!(
                    "RSYNC copies from the build context, not from other machines: {raw}"
                ));
            }
        }
        Ok(Self { group: group.unwrap_or_default(), options, sources: others, destination })
    }

    /// What the options say, once variables are known.
    ///
    /// # Errors
    ///
    /// A value that is none, or a variable that cannot be expanded: the reason.
    pub fn settings(&self, expander: &Expander<'_>) -> Result<Settings, String> {
        let mut settings = Settings::new(self.group);
        for word in &self.options {
            let text = expander.word(word).map_err(|error| error.to_string())?;
            settings.set(&text)?;
        }
        settings.finish()
    }
}

/// The long names of all options.
#[cfg(test)]
pub(super) fn options() -> impl Iterator<Item = &'static str> {
    options::known().into_iter()
}

/// A name that is not known, and what else there is.
fn unknown(kind: &str, name: &str, known: &[&str]) -> String {
    let meant = suggest(name.trim_start_matches('-'), known.iter().copied())
        .map_or_else(String::new, |meant| format!(" (did you mean --{meant}?)"));
    format!("RSYNC {kind}: {name}{meant}; there are {}", known.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(words: &str) -> Result<Settings, String> {
        let words: Vec<String> = words.split(' ').map(str::to_owned).collect();
        let get = |_: &str| Some("*.o".to_owned());
        Rsync::parse(&words)?.settings(&Expander::new('\\', &get))
    }

    #[test]
    fn groups_are_those_of_ch_image() {
        let shown = |words: &str| {
            let Settings {
                recursive, perms, hard_links, links, copy_unsafe_links, safe_links, ..
            } = settings(words).expect(words);
            [recursive, perms, hard_links, links, copy_unsafe_links, safe_links]
                .map(|set| if set { '1' } else { '0' })
                .iter()
                .collect::<String>()
        };
        for (words, expected) in [
            ("a b", "111101"),
            ("+l a b", "111101"),
            ("+m a b", "111000"),
            ("+u a b", "111110"),
            ("+z a b", "000000"),
            ("-r +z a b", "100000"),
            ("a b +z", "000000"),
            ("a b", "111101"),
            ("+z -a a b", "110100"),
            ("+z -rl --no-l a b", "100000"),
            ("--no-perms --no-hard-links a b", "100101"),
        ] {
            assert_eq!(shown(words), expected, "{words}");
        }
    }

    #[test]
    fn options_have_values_behind_an_equals_sign() {
        let set = settings("--exclude=$X --max-size=2k --chmod=u=rwX,go= -B=4M -@=-1 -- -a b");
        let set = set.expect("options");
        assert_eq!(set.max_size, Some(2048));
        assert_eq!(set.filters.len(), 1);
        for (words, reason) in [
            ("a", "RSYNC requires at least two arguments"),
            ("-r -v", "RSYNC requires at least two arguments"),
            ("+x a b", "there are +l, +m, +u, +z"),
            ("+m +u a b", "RSYNC takes one option that begins with +"),
            ("-n a b", "RSYNC -n: the copy would come to nothing"),
            ("--dry-run a b", "would come to nothing"),
            ("--daemon a b", "RSYNC --daemon"),
            ("--remove-source-files a b", "would change the build context"),
            ("-B4M a b", "RSYNC does not know the option: -4"),
            ("--exclude a b", "RSYNC --exclude needs a value: --exclude=VALUE"),
            ("--recursive=1 a b", "RSYNC --recursive takes no value"),
            ("--recursiv a b", "(did you mean --recursive?)"),
            ("-u a b", "times are no part"),
            ("--max-size=x a b", "invalid size"),
            ("--delete +z a b", "RSYNC --delete needs --recursive or --dirs"),
            ("host:/a b", "not from other machines"),
            ("rsync://host/a b", "not from other machines"),
        ] {
            let found = settings(words).expect_err(words);
            assert!(found.contains(reason), "{words}: {found}");
        }
    }
}
