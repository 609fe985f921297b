//! `RUN --mount`.

use super::{Error, Expander};

/// One mount of a RUN, as it is to be made. A relative target is below WORKDIR.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mount {
    /// Part of the context, a stage, an image or a named context. What is written is thrown away.
    Bind {
        from: Option<String>,
        source: String,
        target: String,
        writable: bool,
    },
    /// A directory that outlives the build.
    Cache {
        id: String,
        from: Option<String>,
        source: String,
        target: String,
        sharing: Sharing,
        writable: bool,
        owner: Owner,
    },
    Tmpfs {
        target: String,
        size: Option<u64>,
    },
    /// A file, an environment variable, or both.
    Secret {
        id: String,
        target: Option<String>,
        env: Option<String>,
        required: bool,
        owner: Owner,
    },
    /// An agent's socket.
    Ssh {
        id: String,
        target: Option<String>,
        required: bool,
        owner: Owner,
    },
}

/// How builds that run at the same time use a cache mount.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Sharing {
    #[default]
    Shared,
    Private,
    Locked,
}

/// Mode and owner of what a mount makes; `None` is the kind's default.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Owner {
    pub mode: Option<u32>,
    pub uid: Option<u32>,
    pub gid: Option<u32>,
}

impl Mount {
    /// Reads a `--mount`'s text; its values are expanded, except `from`.
    pub fn parse(text: &str, expander: &Expander<'_>) -> Result<Self, Error> {
        let _ = expander;
        Err(Error::Mount { text: text.to_owned(), why: "unexpected".to_owned() })
    }
}
