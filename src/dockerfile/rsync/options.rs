//! [`Settings`]: what the options of `RSYNC` say together.

use super::chmod::Chmod;
use super::filter::Statement;
use super::unknown;
use crate::dockerfile::value;

/// What is copied, and what of it is kept. Owners are none of it: a context's files are root's in an
/// image, unless `chown` says otherwise.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settings {
    pub recursive: bool,
    /// Directories without what is in them.
    pub dirs: bool,
    pub links: bool,
    pub copy_links: bool,
    pub copy_unsafe_links: bool,
    pub safe_links: bool,
    pub copy_dirlinks: bool,
    pub keep_dirlinks: bool,
    pub hard_links: bool,
    pub perms: bool,
    pub executability: bool,
    pub times: bool,
    pub xattrs: bool,
    /// Fifos.
    pub specials: bool,
    pub relative: bool,
    pub existing: bool,
    pub ignore_existing: bool,
    pub delete: bool,
    pub delete_excluded: bool,
    pub force: bool,
    pub prune_empty_dirs: bool,
    pub max_size: Option<u64>,
    pub min_size: Option<u64>,
    pub chmod: Option<Chmod>,
    pub chown: Option<String>,
    /// The first that matches decides.
    pub filters: Vec<Filter>,
}

/// Where a rule of a filter comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Filter {
    Rule(Statement),
    /// A file of the context with a pattern on each line, which include or exclude.
    Patterns {
        file: String,
        include: bool,
    },
}

type Switch = fn(&mut Settings) -> &mut bool;

/// Options that are on or off: the long name and the short one.
const SWITCHES: &[(&str, char, Switch)] = &[
    ("recursive", 'r', |s| &mut s.recursive),
    ("dirs", 'd', |s| &mut s.dirs),
    ("links", 'l', |s| &mut s.links),
    ("copy-links", 'L', |s| &mut s.copy_links),
    ("copy-unsafe-links", ' ', |s| &mut s.copy_unsafe_links),
    ("safe-links", ' ', |s| &mut s.safe_links),
    ("copy-dirlinks", 'k', |s| &mut s.copy_dirlinks),
    ("keep-dirlinks", 'K', |s| &mut s.keep_dirlinks),
    ("hard-links", 'H', |s| &mut s.hard_links),
    ("perms", 'p', |s| &mut s.perms),
    ("executability", 'E', |s| &mut s.executability),
    ("times", 't', |s| &mut s.times),
    ("xattrs", 'X', |s| &mut s.xattrs),
    ("specials", ' ', |s| &mut s.specials),
    ("relative", 'R', |s| &mut s.relative),
    ("existing", ' ', |s| &mut s.existing),
    ("ignore-existing", ' ', |s| &mut s.ignore_existing),
    ("delete", ' ', |s| &mut s.delete),
    ("delete-excluded", ' ', |s| &mut s.delete_excluded),
    ("force", ' ', |s| &mut s.force),
    ("prune-empty-dirs", 'm', |s| &mut s.prune_empty_dirs),
];

/// Options with a value: the long name and the short one.
const VALUES: &[(&str, char)] = &[
    ("max-size", ' '),
    ("min-size", ' '),
    ("chmod", ' '),
    ("chown", ' '),
    ("exclude", ' '),
    ("include", ' '),
    ("exclude-from", ' '),
    ("include-from", ' '),
    ("filter", 'f'),
];

/// Options that change nothing in the result: how rsync compares (always by content here), how it
/// sends, what it says; and owners, which are root's, devices, which no context has, and lists of
/// access control, whose entries name people of this machine. With a value, and without.
const WITHOUT_EFFECT: &[(&str, char)] = &[
    ("acls", 'A'),
    ("owner", 'o'),
    ("group", 'g'),
    ("devices", ' '),
    ("numeric-ids", ' '),
    ("sparse", 'S'),
    ("checksum", 'c'),
    ("ignore-times", 'I'),
    ("modify-window", '@'),
    ("whole-file", 'W'),
    ("block-size", 'B'),
    ("inplace", ' '),
    ("mkpath", ' '),
    ("compress", 'z'),
    ("verbose", 'v'),
    ("quiet", 'q'),
    ("itemize-changes", 'i'),
    ("human-readable", 'h'),
    ("stats", ' '),
    ("progress", ' '),
    ("partial", 'P'),
    ("info", ' '),
    ("debug", ' '),
    ("bwlimit", ' '),
];

/// Options that are refused, and why.
const REFUSED: &[(&str, char, &str)] = &[
    ("daemon", ' ', "there is nobody to serve"),
    ("dry-run", 'n', "the copy would come to nothing; see bryo build --dry-run"),
    ("remove-source-files", ' ', "it would change the build context"),
    ("rsh", 'e', "RSYNC copies from the build context alone"),
    ("update", 'u', "files count by their content; times are no part of the cache"),
    ("size-only", ' ', "files count by their content"),
];

impl Settings {
    /// Whether an option is one, its value aside.
    pub(super) fn check(&mut self, word: &str) -> Result<(), String> {
        self.each(word, |_, _, _| Ok(()))
    }

    pub(super) fn set(&mut self, word: &str) -> Result<(), String> {
        self.each(word, Self::apply)
    }

    /// Calls `apply` for each option of a word, with its long name and its value or `no`.
    fn each(
        &mut self,
        word: &str,
        apply: impl Fn(&mut Self, &str, Value<'_>) -> Result<(), String>,
    ) -> Result<(), String> {
        let (names, value) = match word.split_once('=') {
            Some((names, value)) => (names, Some(value)),
            None => (word, None),
        };
        if let Some(name) = names.strip_prefix("--") {
            let (name, no) = match name.strip_prefix("no-") {
                Some(name) => (long_of(name), true),
                None => (name, false),
            };
            return self.one(names, name, value, no, &apply);
        }
        let letters: Vec<char> = names[1..].chars().collect();
        for (at, letter) in letters.iter().enumerate() {
            let shown = format!("-{letter}");
            let value = value.filter(|_| at + 1 == letters.len());
            match letter {
                'a' => self.archive(),
                'D' => self.specials = true,
                'F' => {
                    let rule = "dir-merge /.rsync-filter";
                    self.one(&shown, "filter", Some(rule), false, &apply)?;
                }
                letter => {
                    let name = long(*letter)
                        .ok_or_else(|| unknown("does not know the option", &shown, &known()))?;
                    self.one(&shown, name, value, false, &apply)?;
                }
            }
        }
        Ok(())
    }

    fn one(
        &mut self,
        shown: &str,
        name: &str,
        value: Option<&str>,
        no: bool,
        apply: &impl Fn(&mut Self, &str, Value<'_>) -> Result<(), String>,
    ) -> Result<(), String> {
        if let Some((.., why)) = REFUSED.iter().find(|(known, ..)| *known == name) {
            return Err(format!("RSYNC {shown}: {why}"));
        }
        if name == "archive" && value.is_none() && !no {
            self.archive();
            return Ok(());
        }
        // All of these remove the same.
        let name = match name {
            "del" | "delete-before" | "delete-during" | "delete-after" | "delete-delay" => "delete",
            name => name,
        };
        let is_switch = SWITCHES.iter().any(|(known, ..)| *known == name);
        let is_value = VALUES.iter().any(|(known, _)| *known == name);
        match (is_switch, is_value, value) {
            (true, _, None) => apply(self, name, Value::Switch(!no)),
            (true, _, Some(_)) => Err(format!("RSYNC {shown} takes no value")),
            (_, true, Some(value)) if !no => apply(self, name, Value::Text(value)),
            (_, true, None) if !no => Err(format!("RSYNC {shown} needs a value: {shown}=VALUE")),
            _ if WITHOUT_EFFECT.iter().any(|(known, _)| *known == name) => Ok(()),
            _ => Err(unknown("does not know the option", shown, &known())),
        }
    }

    fn apply(&mut self, name: &str, value: Value<'_>) -> Result<(), String> {
        let text = match value {
            Value::Switch(on) => {
                if let Some((.., field)) = SWITCHES.iter().find(|(known, ..)| *known == name) {
                    *field(self) = on;
                }
                if name.starts_with("delete") && on {
                    self.delete = true;
                }
                return Ok(());
            }
            Value::Text(text) => text,
        };
        let size = || value::size(text).map(Some).map_err(|error| error.to_string());
        match name {
            "max-size" => self.max_size = size()?,
            "min-size" => self.min_size = size()?,
            "chmod" => {
                let chmod = self.chmod.get_or_insert_default();
                chmod.add(text).map_err(|error| error.to_string())?;
            }
            "chown" => self.chown = Some(text.to_owned()),
            "exclude" | "include" => {
                let rule = Statement::pattern(text, name == "include")?;
                self.filters.push(Filter::Rule(rule));
            }
            "exclude-from" | "include-from" => {
                let include = name == "include-from";
                if text == "-" {
                    return Err(format!("RSYNC --{name}=-: there is nothing on standard input"));
                }
                self.filters.push(Filter::Patterns { file: text.to_owned(), include });
            }
            _ => self.filters.push(Filter::Rule(Statement::parse(text)?)),
        }
        Ok(())
    }

    fn archive(&mut self) {
        self.recursive = true;
        self.links = true;
        self.perms = true;
        self.times = true;
        self.specials = true;
    }

    /// What `group` begins with; other options change it.
    pub(super) fn new(group: Group) -> Self {
        let mut settings = Self::default();
        if group == Group::Nothing {
            return settings;
        }
        settings.recursive = true;
        settings.hard_links = true;
        settings.perms = true;
        settings.xattrs = true;
        // ch-image keeps no times there, for which it would need -t. COPY does, though, and the
        // clock may not reach a layer.
        settings.times = true;
        settings.links = group != Group::Metadata;
        settings.safe_links = group == Group::Links;
        settings.copy_unsafe_links = group == Group::Unsafe;
        settings
    }

    /// Whether they make sense together.
    pub(super) fn finish(self) -> Result<Self, String> {
        match self.delete && !self.recursive && !self.dirs {
            true => Err("RSYNC --delete needs --recursive or --dirs".to_owned()),
            false => Ok(self),
        }
    }
}

/// `+l`, `+m`, `+u`, `+z`: several of rsync's options in one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Group {
    /// `+l`: metadata, and links that stay within what is copied.
    #[default]
    Links,
    /// `+m`: metadata alone.
    Metadata,
    /// `+u`: as `+l`; of other links, what they lead to.
    Unsafe,
    /// `+z`: nothing that other options do not say.
    Nothing,
}

impl Group {
    pub fn word(self) -> &'static str {
        match self {
            Self::Links => "+l",
            Self::Metadata => "+m",
            Self::Unsafe => "+u",
            Self::Nothing => "+z",
        }
    }

    pub(super) fn parse(word: &str) -> Result<Self, String> {
        match word {
            "+l" => Ok(Self::Links),
            "+m" => Ok(Self::Metadata),
            "+u" => Ok(Self::Unsafe),
            "+z" => Ok(Self::Nothing),
            other => Err(format!("RSYNC does not know {other}; there are +l, +m, +u, +z")),
        }
    }
}

#[derive(Clone, Copy)]
enum Value<'v> {
    Switch(bool),
    Text(&'v str),
}

/// All names, for who wrote one that is none of them.
pub(super) fn known() -> Vec<&'static str> {
    let mut names = vec!["archive"];
    names.extend(SWITCHES.iter().map(|(name, ..)| *name));
    names.extend(VALUES.iter().map(|(name, _)| *name));
    names.extend(WITHOUT_EFFECT.iter().map(|(name, _)| *name));
    names.sort_unstable();
    names
}

/// The long name of a letter.
fn long(letter: char) -> Option<&'static str> {
    let switches = SWITCHES.iter().map(|(name, letter, _)| (*name, *letter));
    let refused = REFUSED.iter().map(|(name, letter, _)| (*name, *letter));
    let all = switches.chain(VALUES.iter().copied()).chain(WITHOUT_EFFECT.iter().copied());
    all.chain(refused).find(|(_, known)| *known == letter).map(|(name, _)| name)
}

/// The long name of what stands behind `--no-`: a letter may.
fn long_of(name: &str) -> &str {
    let mut letters = name.chars();
    match (letters.next(), letters.next()) {
        (Some(letter), None) => long(letter).unwrap_or(name),
        _ => name,
    }
}
