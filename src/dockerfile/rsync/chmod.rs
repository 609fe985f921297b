//! `--chmod` of rsync(1): `D755,F644`, `Dg+s,ug+w,+X`.

use crate::dockerfile::{Error, Mode};

/// What happens to modes: one change after the other, some only to directories or only to files.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Chmod(Vec<(Only, Mode)>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Only {
    Everything,
    Directories,
    Files,
}

impl Chmod {
    /// Adds what a text says, as rsync does with each option of this name.
    ///
    /// # Errors
    ///
    /// When it makes no sense.
    pub fn add(&mut self, text: &str) -> Result<(), Error> {
        for clause in text.split(',') {
            let (only, rest) = match (clause.strip_prefix('D'), clause.strip_prefix('F')) {
                (Some(rest), _) => (Only::Directories, rest),
                (_, Some(rest)) => (Only::Files, rest),
                _ => (Only::Everything, clause),
            };
            let mode = Mode::parse(&masked(rest)).map_err(|_| Error::Mode(text.to_owned()))?;
            self.0.push((only, mode));
        }
        Ok(())
    }

    /// The permission bits of a file that had `old` ones.
    pub fn apply(&self, old: u32, is_directory: bool) -> u32 {
        let counts = |only: Only| match only {
            Only::Everything => true,
            Only::Directories => is_directory,
            Only::Files => !is_directory,
        };
        let modes = self.0.iter().filter(|(only, _)| counts(*only));
        modes.fold(old & 0o7777, |mode, (_, change)| change.apply(mode, is_directory))
    }
}

/// Where it is not said whose permissions change, the file mode mask counts, which is 022 in a build:
/// only the owner may get to write.
fn masked(clause: &str) -> String {
    let Some(operator) = clause.chars().next().filter(|first| "+-=".contains(*first)) else {
        return clause.to_owned();
    };
    let letters = &clause[1..];
    if !letters.contains('w') || letters.contains(['+', '-', '=']) {
        return clause.to_owned();
    }
    let rest = letters.replace('w', "");
    let owner = if operator == '=' { '+' } else { operator };
    format!("a{operator}{rest},u{owner}w")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directories_and_files_may_differ() {
        for (texts, file, directory) in [
            (&["D700,F600"][..], 0o600, 0o700),
            (&["D2775,F664"], 0o664, 0o2775),
            (&["Dg+s,ug+w,Fo-r,+X"], 0o660, 0o2775),
            (&["644"], 0o644, 0o644),
            (&["u=rwX,go="], 0o600, 0o700),
            (&["F600", "Fg+r"], 0o640, 0o755),
            (&["a-w", "+w"], 0o644, 0o755),
        ] {
            let mut chmod = Chmod::default();
            texts.iter().for_each(|text| chmod.add(text).expect(text));
            assert_eq!(
                (chmod.apply(0o644, false), chmod.apply(0o755, true)),
                (file, directory),
                "{texts:?}"
            );
        }
        for bad in ["", "D", "X644", "D9", "u+q", "644,"] {
            assert!(Chmod::default().add(bad).is_err(), "{bad} was accepted");
        }
    }
}
