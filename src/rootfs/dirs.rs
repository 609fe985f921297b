//! [`Dirs`]: the directories of a root that were opened last, so that a file costs no path look-up.
//!
//! Each directory is opened from the one above it by a single name that may not be a symbolic link;
//! links are read and followed here. So no step can leave the root, no system call newer than
//! Linux 2.6.39 is needed, and the path of every directory is known without links.

use std::collections::{HashMap, HashSet};
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::{Component, Path, PathBuf};
use std::rc::Rc;

use super::place::Place;
use super::root::Root;
use super::{Error, Result};
use crate::sys::path::{self as kernel, FileType, Want};

/// Directories kept open: well below the usual limit of 1024 descriptors.
const CAPACITY: usize = 256;

/// The limit of the kernel's own resolution (`MAXSYMLINKS`).
pub(super) const MAX_LINKS: usize = 40;

/// An open directory of a root.
#[derive(Debug)]
pub struct Dir {
    fd: OwnedFd,
    base: Rc<Path>,
    path: PathBuf,
    /// Of a root without records.
    is_plain: bool,
}

impl Dir {
    pub(super) fn new(fd: OwnedFd, base: Rc<Path>, path: PathBuf, is_plain: bool) -> Self {
        Self { fd, base, path, is_plain }
    }

    /// Whether its files carry no records.
    pub(super) fn is_plain(&self) -> bool {
        self.is_plain
    }

    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    /// Where it is in its root, without symbolic links on the way.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The names in it, in no order.
    pub fn names(&self) -> Result<Vec<OsString>> {
        let fail = |source| Error::List { path: self.base.join(&self.path), source };
        let open = kernel::open_at(self.fd(), OsStr::new("."), Want::List).map_err(fail)?;
        kernel::list(open).map_err(fail)
    }

    /// The root's path on the host.
    pub(super) fn base(&self) -> &Path {
        &self.base
    }
}

/// Makes a directory where there is none, but nothing or something of that kind. It may refuse.
pub type Obstacle<'o> = dyn FnMut(&Place, Option<FileType>) -> Result<()> + 'o;

/// The directories of a root that were opened last.
///
/// Whoever removes or replaces a directory or a symbolic link must say so with
/// [`forget`](Self::forget); files do not matter, and neither does what is new.
#[derive(Debug)]
pub struct Dirs {
    top: Rc<Dir>,
    known: HashMap<PathBuf, Rc<Dir>>,
    /// Those of the known paths that lead to a place outside by their links.
    straying: HashSet<PathBuf>,
}

impl Dirs {
    pub fn new(root: &Root) -> Result<Self> {
        let base: Rc<Path> = root.path().into();
        let top = Dir::new(root.reopen()?, base, PathBuf::new(), root.is_plain());
        let top = Rc::new(top);
        Ok(Self { top, known: HashMap::new(), straying: HashSet::new() })
    }

    /// The root directory itself.
    pub fn top(&self) -> Rc<Dir> {
        Rc::clone(&self.top)
    }

    /// The directory at `path`, symbolic links followed; `None` when there is none.
    pub fn find(&mut self, path: &Path) -> Result<Option<Rc<Dir>>> {
        self.reach(path, None)
    }

    /// The directory at `path`, symbolic links followed. What is missing on the way, or is no
    /// directory, is given to `obstacle`, which must put a directory there or refuse.
    pub fn make(&mut self, path: &Path, obstacle: &mut Obstacle<'_>) -> Result<Rc<Dir>> {
        let made = self.reach(path, Some(obstacle))?;
        Ok(made.expect("an obstacle is overcome or an error"))
    }

    /// The place that `path` names: symbolic links are followed up to, and without, the last name.
    /// `None` when its directory does not exist.
    pub fn place(&mut self, path: &Path) -> Result<Option<Place>> {
        let (parent, name) = split(path);
        let dir = self.find(parent)?;
        Ok(dir.map(|dir| Place::new(dir, name)))
    }

    /// As [`Self::place`]; directories on the way are made by `obstacle`: see [`Self::make`].
    pub fn place_made(&mut self, path: &Path, obstacle: &mut Obstacle<'_>) -> Result<Place> {
        let (parent, name) = split(path);
        let dir = self.make(parent, obstacle)?;
        Ok(Place::new(dir, name))
    }

    /// Whether a link on the way to the directory that was asked for by this path last would lead
    /// out of the root, were it taken at its word: it is absolute, or climbs too high.
    pub fn strays(&self, path: &Path) -> bool {
        self.straying.contains(path)
    }

    /// Closes all directories, because one of them, or a symbolic link to one, is no more.
    pub fn forget(&mut self) {
        self.known.clear();
        self.straying.clear();
    }

    fn reach(
        &mut self,
        path: &Path,
        mut obstacle: Option<&mut Obstacle<'_>>,
    ) -> Result<Option<Rc<Dir>>> {
        if let Some(dir) = self.known.get(path) {
            return Ok(Some(Rc::clone(dir)));
        }
        // Most of the time the directory above was used just now.
        let (parent, name) = split(path);
        let (mut here, mut ahead, mut strays) = match self.known.get(parent) {
            Some(dir) if name != "." => {
                (Rc::clone(dir), vec![name.to_owned()], self.strays(parent))
            }
            _ => (self.top(), names_reversed(path), false),
        };
        let mut links = 0;
        while let Some(name) = ahead.pop() {
            if name == ".." {
                strays |= here.path.as_os_str().is_empty();
                here = self.above(&here)?;
                continue;
            }
            let inside = here.path.join(&name);
            if let Some(dir) = self.known.get(&inside) {
                strays |= self.strays(&inside);
                here = Rc::clone(dir);
                continue;
            }
            let place = Place::new(Rc::clone(&here), name);
            if let Some(dir) = open(&place, &inside)? {
                here = self.keep(inside, dir);
                continue;
            }
            let stat = place.stat()?;
            if stat.is_some_and(|stat| stat.kind == FileType::Symlink) {
                links += 1;
                if links > MAX_LINKS {
                    let source = too_many_links(&inside);
                    return Err(Error::Open { path: here.base.join(path), source });
                }
                let target = place.read_link()?;
                if target.is_absolute() {
                    strays = true;
                    here = self.top();
                }
                ahead.extend(names_reversed(&target));
                continue;
            }
            let Some(obstacle) = obstacle.as_deref_mut() else { return Ok(None) };
            obstacle(&place, stat.map(|stat| stat.kind))?;
            if stat.is_some() {
                self.forget();
            }
            match open(&place, &inside)? {
                Some(dir) => here = self.keep(inside, dir),
                None => return Err(Error::NotADirectory { path: place.shown() }),
            }
        }
        if here.path != path {
            self.insert(path.to_owned(), Rc::clone(&here));
            if strays {
                self.straying.insert(path.to_owned());
            }
        }
        Ok(Some(here))
    }

    fn above(&mut self, dir: &Rc<Dir>) -> Result<Rc<Dir>> {
        match dir.path.parent().map(Path::to_owned) {
            // The path has no links, so this recursion ends at once.
            Some(parent) => match self.find(&parent)? {
                Some(above) => Ok(above),
                None => Err(Error::Missing { path: dir.base.join(parent) }),
            },
            None => Ok(self.top()),
        }
    }

    fn keep(&mut self, path: PathBuf, dir: Dir) -> Rc<Dir> {
        let dir = Rc::new(dir);
        self.insert(path, Rc::clone(&dir));
        dir
    }

    fn insert(&mut self, path: PathBuf, dir: Rc<Dir>) {
        if path.as_os_str().is_empty() {
            return;
        }
        if self.known.len() >= CAPACITY {
            self.forget();
        }
        self.known.insert(path, dir);
    }
}

/// Opens the directory at a place; `None` when there is none.
fn open(place: &Place, path: &Path) -> Result<Option<Dir>> {
    match kernel::open_at(place.dir().fd(), place.name(), Want::Directory) {
        Ok(fd) => {
            let base = Rc::clone(&place.dir().base);
            Ok(Some(Dir::new(fd, base, path.to_owned(), place.dir().is_plain)))
        }
        Err(e) => match e.source.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Ok(None),
            _ if e.errno() == Some(ELOOP) => Ok(None),
            _ => Err(Error::Open { path: place.shown(), source: e }),
        },
    }
}

const ELOOP: i32 = 40;

pub(super) fn too_many_links(path: &Path) -> crate::sys::Error {
    crate::sys::Error {
        call: format!("following {}", path.display()),
        source: io::Error::from_raw_os_error(ELOOP),
    }
}

/// Directory and last name. A path that ends in `..`, or is the root, is a directory whose name is
/// `.`.
fn split(path: &Path) -> (&Path, &OsStr) {
    match (path.parent(), path.file_name()) {
        (Some(parent), Some(name)) => (parent, name),
        _ => (path, OsStr::new(".")),
    }
}

/// The names in a path that lead anywhere, the first one on top.
pub(super) fn names_reversed(path: &Path) -> Vec<OsString> {
    let component = |component| match component {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some("..".into()),
        Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
    };
    path.components().rev().filter_map(component).collect()
}
