//! The list of mounts as data, and its interpreter.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// One mount: what is seen where.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mount {
    /// An absolute path of the image; links in it are followed inside the image.
    pub target: PathBuf,
    pub what: What,
}

/// What a mount shows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum What {
    /// A fresh procfs; the host's where a container runtime masked it.
    Proc,
    /// The host's sysfs, read-only.
    Sys,
    /// A small `/dev`.
    Devices,
    /// A file or directory of the host.
    Bind { source: PathBuf, read_only: bool },
    /// An empty directory in memory.
    Tmpfs { mode: u32, size: Option<u64> },
    /// A file with this content; what the process writes to it is lost.
    File { content: Vec<u8> },
}

/// Whether a mount point is a file or a directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PointKind {
    Directory,
    File,
}

/// A place where something is mounted that the image lacks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MountPoint {
    /// The path with all links of the image followed.
    pub path: PathBuf,
    pub kind: PointKind,
}

impl Mount {
    /// `/proc`, `/sys`, `/dev`, `/etc/resolv.conf` and `/etc/hosts`.
    pub fn usual(_host_name: &str) -> Vec<Self> {
        Vec::new()
    }
}
