//! Ways of root emulation, from a wish to what is executed: which one works here ([`Help`]), and,
//! where only fakeroot(1) or a filter that says "done" is left, what an image needs for it.
//!
//! ```text
//! Wish (options) ──▶ Help (this system: asked once) ──▶ Prepared (a command of an image)
//!                      ▲                    ▲
//!             sandbox::choose()     Profile: built in, or the user's; found by files of the image
//! ```
//!
//! A [`Profile`] knows one family of images: what gives it away, which commands need help, what is
//! to be installed before, and how they are run then. With full emulation nothing of it is used,
//! and nothing is put into the image.

mod builtin;
mod detect;
mod help;
mod inject;
mod profile;
mod words;

pub use detect::{Known, ProfileFile, Profiles};
pub use help::{Help, Wish};
pub use inject::{Command, Injection, Prepared};
pub use profile::{InitStep, Insertion, Profile, ProfileError};

use crate::rootfs;
use crate::sandbox::RootEmulation;

/// Why commands cannot be helped as was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("root emulation \"{wanted}\" does not work here: {why}")]
    Impossible { wanted: RootEmulation, why: String },
    #[error("root emulation \"fakeroot\": no profile is made for this image")]
    NoProfile { known: Vec<String> },
    #[error("a fakeroot profile is wrong")]
    Profile(#[from] ProfileError),
    #[error("looking for what distribution the image is")]
    Image(#[from] rootfs::Error),
}

impl Error {
    /// Whether this system, not the user's input, is the reason.
    pub fn is_unsupported(&self) -> bool {
        matches!(self, Self::Impossible { .. })
    }

    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Impossible { .. } => {
                Some("leave it to --root-emulation auto; `bryo doctor` says what works".to_owned())
            }
            Self::NoProfile { known } => Some(format!(
                "there are profiles for {}; bryo-profile(5) says how to write one, and \
                 --root-emulation auto or fake needs none",
                known.join(", ")
            )),
            Self::Profile(_) => Some("bryo-profile(5) describes the format".to_owned()),
            Self::Image(_) => None,
        }
    }
}
