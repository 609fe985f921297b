//! The list of mounts as data, and its interpreter.

use std::ffi::CString;
use std::fmt;
use std::fs::{self, File};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::failure::{About, Failure, Notice};
use super::network::{self, Host};
use crate::rootfs::{FileType, Record, live};
use crate::sys::{self, mount};

/// One mount: what is seen where.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mount {
    /// An absolute path of the image; links in it are followed inside the image.
    #[serde(with = "super::any_path")]
    pub target: PathBuf,
    pub what: What,
    /// Nobody can write to what is seen, nor to what is mounted in it.
    pub read_only: bool,
}

/// What a mount shows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum What {
    /// A fresh procfs; the host's where a container runtime masked it.
    Proc,
    /// The host's sysfs, read-only.
    Sys,
    /// A small `/dev`. `shared_memory` is the size of `/dev/shm` in bytes, if not the kernel's
    /// default.
    Devices { shared_memory: Option<u64> },
    /// A file or directory of the host.
    Bind {
        #[serde(with = "super::any_path")]
        source: PathBuf,
        read_only: bool,
    },
    /// An empty directory in memory.
    Tmpfs { mode: u32, size: Option<u64> },
    /// A file in memory with this content; what the process writes to it is lost. One whose mode
    /// says so can be executed.
    File {
        content: Content,
        mode: u32,
        /// User and group; other than root, they are seen under an emulation of owners.
        owner: (u32, u32),
    },
}

/// Bytes that may be a secret: nothing shows them.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Content(pub Vec<u8>);

impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.0.len())
    }
}

/// Device nodes that the host lends.
const NODES: [&str; 6] = ["null", "zero", "full", "random", "urandom", "tty"];

/// Links of `/dev` that every Linux has.
const LINKS: [(&str, &str); 5] = [
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
    ("ptmx", "pts/ptmx"),
];

impl Mount {
    pub fn new(target: impl Into<PathBuf>, what: What) -> Self {
        Self { target: target.into(), what, read_only: false }
    }

    /// A file of root's with this content.
    pub fn file(target: impl Into<PathBuf>, content: impl Into<Vec<u8>>, mode: u32) -> Self {
        Self::new(target, What::File { content: Content(content.into()), mode, owner: (0, 0) })
    }

    /// The same, read-only.
    #[must_use]
    pub fn read_only(self) -> Self {
        Self { read_only: true, ..self }
    }

    /// `/proc`, `/sys`, `/dev`, `/etc/resolv.conf` (a copy of the host's) and `/etc/hosts`, with
    /// `hosts` in it.
    pub fn usual(host_name: &str, hosts: &[Host], shared_memory: Option<u64>) -> Vec<Self> {
        vec![
            Self::new("/proc", What::Proc),
            Self::new("/sys", What::Sys),
            Self::new("/dev", What::Devices { shared_memory }),
            Self::file("/etc/resolv.conf", network::resolver(), 0o644),
            Self::file("/etc/hosts", network::hosts(host_name, hosts), 0o644),
        ]
    }

    /// Whether the mount needs a directory to be mounted on, and not a file.
    pub(super) fn is_directory(&self) -> bool {
        match &self.what {
            What::Proc | What::Sys | What::Devices { .. } | What::Tmpfs { .. } => true,
            What::Bind { source, .. } => source.is_dir(),
            What::File { .. } => false,
        }
    }

    /// Follows the links in a source's path, which have a meaning only as long as `/` is the
    /// host's, and makes the path relative to that.
    pub(super) fn follow_source(&mut self) -> Result<(), Failure> {
        if let What::Bind { source, .. } = &mut self.what {
            let followed = fs::canonicalize(&*source)
                .map_err(|e| Failure::file(About::Source(source.clone()), &e))?;
            // The dot: `/` itself.
            *source = Path::new(".").join(followed.strip_prefix("/").unwrap_or(&followed));
        }
        Ok(())
    }

    fn make(&self, console: Option<&Path>) -> Result<Option<Notice>, Failure> {
        let target = &self.target;
        let refused = |e| Failure::call(About::Mount(target.clone()), e);
        self.make_point().map_err(|e| Failure::file(About::Point(target.clone()), &e))?;
        match &self.what {
            What::Proc => return make_proc(target).map_err(refused),
            What::Sys => {
                mount::bind(Path::new("sys"), target, true).map_err(refused)?;
                mount::make_read_only(target).map_err(refused)?;
            }
            What::Devices { shared_memory } => make_devices(target, console, *shared_memory)?,
            What::Bind { source, read_only } => {
                mount::bind(source, target, source.is_dir()).map_err(refused)?;
                if *read_only {
                    mount::make_read_only(target).map_err(refused)?;
                }
            }
            What::Tmpfs { mode, size } => {
                let size = size.map(|size| format!(",size={size}")).unwrap_or_default();
                mount::fresh("tmpfs", target, &format!("mode={mode:o}{size}"), true)
                    .map_err(refused)?;
            }
            What::File { content, mode, owner } => make_file(target, content, *mode, *owner)?,
        }
        if self.read_only {
            mount::make_read_only(target).map_err(refused)?;
        }
        Ok(None)
    }

    /// Makes the mount point where neither the image nor an earlier mount has it.
    fn make_point(&self) -> io::Result<()> {
        if self.target.exists() {
            return Ok(());
        }
        let mut directories = fs::DirBuilder::new();
        directories.recursive(true).mode(0o755);
        if self.is_directory() {
            return directories.create(&self.target);
        }
        directories.create(self.target.parent().unwrap_or(Path::new("/")))?;
        File::create(&self.target).map(drop)
    }
}

/// Makes all mounts, in order: `/` is the image, and the working directory the host's `/`.
pub(super) fn make_all(mounts: &[Mount], console: Option<&Path>) -> Result<Vec<Notice>, Failure> {
    mounts.iter().filter_map(|mount| mount.make(console).transpose()).collect()
}

/// A fresh procfs shows only the sandbox's processes. The kernel refuses one where parts of the
/// existing one are hidden (by a container runtime, mostly); it is shared then.
fn make_proc(target: &Path) -> sys::Result<Option<Notice>> {
    match mount::fresh("proc", target, "", false) {
        Ok(()) => Ok(None),
        Err(e) if e.source.kind() == io::ErrorKind::PermissionDenied => {
            mount::bind(Path::new("proc"), target, true)?;
            Ok(Some(Notice::ProcIsShared))
        }
        Err(e) => Err(e),
    }
}

fn make_devices(
    target: &Path,
    console: Option<&Path>,
    shared_memory: Option<u64>,
) -> Result<(), Failure> {
    let refused = |path: &Path, e| Failure::call(About::Mount(path.to_owned()), e);
    let failed = |path: &Path, e| Failure::file(About::Point(path.to_owned()), &e);
    mount::fresh("tmpfs", target, "mode=755,size=64m", false).map_err(|e| refused(target, e))?;
    let lend = |source: &Path, name: &str| {
        let node = target.join(name);
        File::create(&node).map_err(|e| failed(&node, e))?;
        mount::bind(source, &node, false).map_err(|e| refused(&node, e))
    };
    for name in NODES {
        let source = Path::new("dev").join(name);
        if source.exists() {
            lend(&source, name)?;
        }
    }
    // What stdin is gets a name, for programs that ask for it (ttyname(3), as in bubblewrap).
    if let Some(console) = console.and_then(|path| path.strip_prefix("/").ok()) {
        lend(console, "console")?;
    }
    for (name, leads_to) in LINKS {
        let link = target.join(name);
        symlink(leads_to, &link).map_err(|e| failed(&link, e))?;
    }
    let size = shared_memory.map(|size| format!(",size={size}")).unwrap_or_default();
    for (name, kind, options) in [
        ("pts", "devpts", "newinstance,ptmxmode=0666,mode=0620"),
        ("shm", "tmpfs", &format!("mode=1777{size}")),
        ("mqueue", "mqueue", ""),
    ] {
        let path = target.join(name);
        fs::DirBuilder::new().mode(0o755).create(&path).map_err(|e| failed(&path, e))?;
        match mount::fresh(kind, &path, options, false) {
            // A kernel may be built without message queues.
            Err(_) if kind == "mqueue" => {}
            result => result.map_err(|e| refused(&path, e))?,
        }
    }
    Ok(())
}

/// Binds a file of a tmpfs, which itself goes out of sight at once. It is mounted over the host's
/// `/dev`: some directory that is surely there, and seen so by nobody else.
fn make_file(
    target: &Path,
    content: &Content,
    mode: u32,
    (uid, gid): (u32, u32),
) -> Result<(), Failure> {
    let executable = mode & 0o111 != 0;
    let scratch = Path::new("dev");
    let refused = |e| Failure::call(About::Mount(target.to_owned()), e);
    mount::fresh("tmpfs", scratch, "mode=755,size=16m", executable).map_err(refused)?;
    let file = scratch.join("file");
    let written = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(&file)
        .and_then(|mut open| {
            open.set_permissions(fs::Permissions::from_mode(mode))?;
            io::Write::write_all(&mut open, &content.0)
        })
        .map_err(|e| Failure::file(About::Mount(target.to_owned()), &e));
    if (uid, gid) != (0, 0) {
        let name = CString::new(file.as_os_str().as_bytes()).expect("a name of ours");
        // Before Linux 6.6 a tmpfs carries no record; everybody may read the file all the same.
        drop(live::write(&name, false, FileType::File, &Record::owner(uid, gid)));
    }
    let result = written.and_then(|()| mount::bind(&file, target, false).map_err(refused));
    mount::detach(scratch).map_err(refused)?;
    result
}
