//! A command in an image: the image's configuration and the user's options become a [`Sandbox`].
//! RUN is this; so is `bryo run`.

mod env;
mod volumes;

use std::ffi::OsString;

use crate::image::Runtime;
use crate::report::Reporter;
use crate::rootfs::{self, Accounts, Root};
use crate::sandbox::{self, Ended, Identity, Mount, Output, Points, RootEmulation, Sandbox, What};

pub use volumes::Volume;

/// What differs from the image's own configuration.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Options {
    /// Replaces the image's CMD, as the words after the image of `docker run`.
    pub command: Option<Vec<String>>,
    /// Replaces the image's ENTRYPOINT, and drops its CMD. RUN has an empty one.
    pub entrypoint: Option<Vec<String>>,
    /// `NAME=value`, over the image's.
    pub env: Vec<String>,
    /// Replaces the image's USER.
    pub user: Option<String>,
    /// Replaces the image's WORKDIR.
    pub directory: Option<String>,
    pub volumes: Vec<Volume>,
    /// Made after all others.
    pub mounts: Vec<Mount>,
}

/// Why a command could not be run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("no command: none was given, and the image has neither ENTRYPOINT nor CMD")]
    NoCommand,
    #[error("user {user:?} is {uid}:{gid}: commands run as root only, so far")]
    NotRoot { user: String, uid: u32, gid: u32 },
    #[error("working directory {0:?} is not absolute")]
    Directory(String),
    #[error("volume {text:?}: {reason}")]
    Volume { text: String, reason: &'static str },
    #[error(transparent)]
    Image(#[from] rootfs::Error),
    #[error(transparent)]
    Sandbox(#[from] sandbox::Error),
}

impl Error {
    /// Whether the system, or bryo on it, cannot do what was asked.
    pub fn is_unsupported(&self) -> bool {
        match self {
            Self::NotRoot { .. } => true,
            Self::Sandbox(error) => error.is_unsupported(),
            _ => false,
        }
    }

    /// As of `docker run`: 126 or 127 when the program could not be executed, 125 when it did not
    /// come to that.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Sandbox(error) => error.exit_code().unwrap_or(125),
            _ => 125,
        }
    }

    pub fn hint(&self) -> Option<String> {
        match self {
            Self::NoCommand => Some("say what to run after the name of the image".to_owned()),
            Self::NotRoot { .. } => Some(
                "other users need root emulation, which is still to come; let commands run under \
                 `USER root`, and set the image's USER after the last of them"
                    .to_owned(),
            ),
            Self::Sandbox(error) => error.hint(),
            _ => None,
        }
    }
}

/// Runs a command in an image until it ends.
///
/// `upper` is the directory that takes the changes of `root`, or `root` itself if no layer lies
/// beneath. Nothing is left in it but what the command did.
///
/// # Errors
///
/// When the command could not be run; one that fails is no error.
pub fn run(
    root: &Root,
    upper: &Root,
    config: &Runtime,
    options: &Options,
    output: Output,
    reporter: &dyn Reporter,
) -> Result<Ended, Error> {
    let sandbox = prepare(root, config, options)?;
    let points = Points::make(root, upper, &sandbox.mounts)?;
    let ended = sandbox.spawn(output, reporter);
    points.remove(upper)?;
    Ok(ended?)
}

/// The sandbox that a command runs in.
pub fn prepare(root: &Root, config: &Runtime, options: &Options) -> Result<Sandbox, Error> {
    let argv = env::command(config, options).ok_or(Error::NoCommand)?;
    let user = options.user.as_deref().unwrap_or(&config.user);
    let owner = Accounts::read(root)?.process_owner(user)?;
    let mut sandbox = Sandbox::new(root.path(), argv.into_iter().map(OsString::from));
    sandbox.emulation = RootEmulation::Full;
    sandbox.user = Identity { uid: owner.uid, gid: owner.gid, groups: owner.groups };
    sandbox.env = env::environment(config, options, owner.home.as_deref());
    sandbox.directory = env::directory(config, options)?;
    sandbox.mounts.extend(options.volumes.iter().map(|volume| {
        let (source, read_only) = (volume.source.clone(), volume.read_only);
        Mount::new(&volume.target, What::Bind { source, read_only })
    }));
    sandbox.mounts.extend(options.mounts.iter().cloned());
    Ok(sandbox)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_root_runs_so_far() {
        let image = tempfile::tempdir().expect("a directory");
        let etc = image.path().join("etc");
        std::fs::create_dir(&etc).expect("etc");
        std::fs::write(
            etc.join("passwd"),
            "root:x:0:0::/root:/bin/sh\napp:x:1000:1000::/:/bin/sh\n",
        )
        .expect("passwd");
        std::fs::write(etc.join("group"), "root:x:0:\nstaff:x:50:\n").expect("group");
        let root = Root::open(image.path()).expect("a root");
        for (user, text) in [
            ("", None),
            ("root", None),
            ("0", None),
            ("0:0", None),
            ("root:root", None),
            ("app", Some("user \"app\" is 1000:1000: commands run as root only, so far")),
            ("12", Some("user \"12\" is 12:0: commands run as root only, so far")),
            ("root:staff", Some("user \"root:staff\" is 0:50: commands run as root only, so far")),
            ("nobody", Some("no user \"nobody\" in the image's /etc/passwd")),
        ] {
            let options = Options {
                command: Some(vec!["true".into()]),
                user: Some(user.into()),
                ..Options::default()
            };
            let result = prepare(&root, &Runtime::default(), &options);
            let error = result.as_ref().err();
            assert_eq!(error.map(ToString::to_string).as_deref(), text, "{user}");
            let emulation = text.is_some_and(|text| text.contains("as root only"));
            assert_eq!(error.is_some_and(Error::is_unsupported), emulation, "{user}");
            assert_eq!(error.and_then(Error::hint).is_some(), emulation, "{user}");
            if let Ok(sandbox) = result {
                assert!(sandbox.env.contains(&"HOME=/root".into()), "{user}");
            }
        }
    }
}
