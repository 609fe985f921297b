//! [`RootEmulation`]: how far commands are made to believe that they are root.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Who answers the system calls that an ordinary user's namespace refuses: changes of owner and of
/// identity, device nodes, and the questions that would tell.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RootEmulation {
    /// The best of the others that works here; never what a [`super::Sandbox`] runs with.
    #[default]
    Auto,
    /// bryo, for the whole of them: what a command set it finds again, and so does the layer.
    Full,
    /// bryo, but not where files are looked at: cheaper, and owners that were set are not seen.
    Ids,
    /// The kernel, by a filter that says "done" and does nothing (`ch-image --force=seccomp`).
    Fake,
    /// fakeroot(1), put into the image and before the commands that need it.
    Fakeroot,
    /// Nobody.
    None,
}

impl RootEmulation {
    /// Each with its name, in the order in which documentation lists them.
    pub const ALL: [(Self, &'static str); 6] = [
        (Self::Auto, "auto"),
        (Self::Full, "full"),
        (Self::Ids, "ids"),
        (Self::Fake, "fake"),
        (Self::Fakeroot, "fakeroot"),
        (Self::None, "none"),
    ];

    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        let (_, name) = Self::ALL.iter().find(|(mode, _)| *mode == self).expect("ALL has each");
        name
    }
}

impl fmt::Display for RootEmulation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A name that is none of [`RootEmulation::ALL`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid root emulation {0:?}: it is auto, full, ids, fake, fakeroot or none")]
pub struct UnknownRootEmulation(pub String);

impl FromStr for RootEmulation {
    type Err = UnknownRootEmulation;

    fn from_str(text: &str) -> Result<Self, UnknownRootEmulation> {
        let found = Self::ALL.into_iter().find(|(_, name)| *name == text);
        found.map(|(mode, _)| mode).ok_or_else(|| UnknownRootEmulation(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_they_are_written() {
        let error = UnknownRootEmulation("seccomp".into()).to_string();
        for (mode, name) in RootEmulation::ALL {
            assert_eq!((name.parse(), mode.to_string().as_str()), (Ok(mode), name));
            assert!(error.contains(name), "{error}");
        }
        for text in ["", "Full", "seccomp"] {
            assert_eq!(text.parse::<RootEmulation>(), Err(UnknownRootEmulation(text.into())));
        }
    }
}
