//! `--chmod`: octal, or symbolic as chmod(1) reads it.

use super::Error;

/// What a `--chmod` does to permission bits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mode(Kind);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Kind {
    Absolute(u32),
    Symbolic(Vec<Change>),
}

/// One operator of a symbolic mode and what belongs to it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Change {
    /// The bits that it may touch: those of user, group, others, with set-ID and sticky bits.
    who: u32,
    operator: char,
    permissions: Permissions,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Permissions {
    /// Of `rwxst`, in every position; `X` is apart, as it depends on the file.
    Bits { bits: u32, execute_if_any: bool },
    /// `u`, `g`, `o`: the shift by which they are found.
    CopyOf(u32),
}

const USER: u32 = 0o4700;
const GROUP: u32 = 0o2070;
const OTHERS: u32 = 0o1007;

impl Mode {
    /// `0`–`07777`, or `u=rwX,go-w`.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let wrong = || Error::Mode(text.to_owned());
        if text.starts_with(|first: char| first.is_ascii_digit()) {
            let mode = u32::from_str_radix(text, 8).ok().filter(|mode| *mode <= 0o7777);
            return mode.map(|mode| Self(Kind::Absolute(mode))).ok_or_else(wrong);
        }
        let mut changes = Vec::new();
        for clause in text.split(',') {
            clause_changes(clause, &mut changes).ok_or_else(wrong)?;
        }
        Ok(Self(Kind::Symbolic(changes)))
    }

    /// The permission bits (07777) of a file that had `old` ones.
    pub fn apply(&self, old: u32, is_directory: bool) -> u32 {
        match &self.0 {
            Kind::Absolute(mode) => *mode,
            Kind::Symbolic(changes) => {
                changes.iter().fold(old & 0o7777, |mode, change| change.apply(mode, is_directory))
            }
        }
    }
}

fn clause_changes(clause: &str, changes: &mut Vec<Change>) -> Option<()> {
    let operators = clause.find(['+', '-', '='])?;
    let (whom, mut rest) = clause.split_at(operators);
    let mut who = if whom.is_empty() { 0o7777 } else { 0 };
    for char in whom.chars() {
        who |= match char {
            'u' => USER,
            'g' => GROUP,
            'o' => OTHERS,
            'a' => 0o7777,
            _ => return None,
        };
    }
    while let Some(operator) = rest.chars().next() {
        let end = rest[1..].find(['+', '-', '=']).map_or(rest.len(), |end| end + 1);
        let permissions = match &rest[1..end] {
            "u" => Permissions::CopyOf(6),
            "g" => Permissions::CopyOf(3),
            "o" => Permissions::CopyOf(0),
            letters => {
                let (mut bits, mut execute_if_any) = (0, false);
                for char in letters.chars() {
                    match char {
                        'r' => bits |= 0o444,
                        'w' => bits |= 0o222,
                        'x' => bits |= 0o111,
                        's' => bits |= 0o6000,
                        't' => bits |= 0o1000,
                        'X' => execute_if_any = true,
                        _ => return None,
                    }
                }
                Permissions::Bits { bits, execute_if_any }
            }
        };
        changes.push(Change { who, operator, permissions });
        rest = &rest[end..];
    }
    Some(())
}

impl Change {
    fn apply(&self, mode: u32, is_directory: bool) -> u32 {
        let bits = match self.permissions {
            Permissions::Bits { bits, execute_if_any } => {
                let execute = execute_if_any && (is_directory || mode & 0o111 != 0);
                bits | if execute { 0o111 } else { 0 }
            }
            Permissions::CopyOf(shift) => (mode >> shift & 7) * 0o111,
        } & self.who;
        match self.operator {
            '+' => mode | bits,
            '-' => mode & !bits,
            _ => mode & !self.who | bits,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn changes_modes() {
        for (text, old, expected) in [
            ("755", 0o644, 0o755),
            ("0644", 0o755, 0o644),
            ("0", 0o755, 0),
            ("07777", 0, 0o7777),
            ("+x", 0o644, 0o755),
            ("a+x", 0o644, 0o755),
            ("u+x", 0o644, 0o744),
            ("go-r", 0o644, 0o600),
            ("u=rwX,go=rX", 0o600, 0o644),
            ("u=rwX,go=rX", 0o700, 0o755),
            ("a=", 0o755, 0),
            ("u+s,g+s,+t", 0o755, 0o7755),
            ("o+s", 0o755, 0o755),
            ("g=u", 0o741, 0o771),
            ("o=g-w", 0o775, 0o775),
            ("u=rw+x-w", 0o000, 0o500),
            ("u=rwx", 0o4644, 0o744),
        ] {
            let mode = Mode::parse(text).expect(text);
            assert_eq!(mode.apply(old, false), expected, "{text} on {old:o}");
        }
        assert_eq!(Mode::parse("u=rwX,go=rX").expect("a mode").apply(0, true), 0o755);
        for bad in ["", "64a", "8", "10000", "-1", "rwx", "u", "z+x", "u+q", "u+x,", "u=ug", "+x,z"]
        {
            let error = Mode::parse(bad).expect_err(bad).to_string();
            assert!(error.starts_with(&format!("invalid chmod parameter: '{bad}'. it should")));
        }
    }

    proptest! {
        #[test]
        fn stays_within_permissions(text in "[ugoa+=,rwxXst0-9-]{0,12}", old in 0..=0o7777_u32) {
            if let Ok(mode) = Mode::parse(&text) {
                prop_assert!(mode.apply(old, true) <= 0o7777);
            }
        }
    }
}
