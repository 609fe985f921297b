//! New files, directories and links, see [`Place`]. What the kernel would make as it should be, or
//! not at all, is left to it.

use std::ffi::{CStr, CString};

use super::permission::{READ, WRITE};
use super::place::{Made, Place};
use super::request::{CURRENT_DIRECTORY, Reply, Request};
use super::tables::Call;
use super::{Answer, device};
use crate::sys::errno::Errno;
use crate::sys::native::{self, open_flags as flags};

/// `RESOLVE_NO_SYMLINKS`.
const RESOLVE_NO_SYMLINKS: u64 = 0x04;

/// The size of the first `struct open_how`.
const HOW_SIZE: usize = 24;

/// `MAXSYMLINKS`.
const MOST_LINKS: usize = 40;

/// What a call of the open(2) family asks for.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Order {
    pub(super) directory: i32,
    pub(super) flags: u32,
    mode: u32,
    /// `RESOLVE_…`.
    pub(super) resolve: u64,
    /// By openat2(2).
    strict: bool,
    /// Which argument.
    pub(super) path: usize,
}

impl Order {
    /// `None` for what only the kernel knows.
    pub(super) fn of(request: &Request<'_>) -> Result<Option<Self>, Errno> {
        Ok(Some(match request.call() {
            Call::Open => Self::plain(CURRENT_DIRECTORY, 0, request.word(1), request.word(2)),
            Call::Creat => Self::plain(CURRENT_DIRECTORY, 0, flags::OF_CREAT, request.word(1)),
            Call::Openat => Self::plain(request.int(0), 1, request.word(2), request.word(3)),
            _ => return Self::how(request),
        }))
    }

    /// As openat2(2) tells it, in a structure that may have grown by what was 0.
    fn how(request: &Request<'_>) -> Result<Option<Self>, Errno> {
        let Some(more) = request.arg(3).checked_sub(HOW_SIZE as u64).filter(|more| *more < 4096)
        else {
            return Ok(None);
        };
        let mut how = [0; HOW_SIZE];
        request.read(request.arg(2), &mut how)?;
        let mut rest = vec![0; usize::try_from(more).unwrap_or_default()];
        request.read(request.arg(2) + HOW_SIZE as u64, &mut rest)?;
        let word = |at: usize| u64::from_ne_bytes(how[at..at + 8].try_into().expect("eight bytes"));
        let (Ok(flags), Ok(mode)) = (u32::try_from(word(0)), u32::try_from(word(8))) else {
            return Ok(None);
        };
        // What open(2) ignores, openat2(2) refuses.
        if mode & !0o7777 != 0 || rest.iter().any(|byte| *byte != 0) {
            return Ok(None);
        }
        let strict = Self { strict: true, resolve: word(16), ..Self::plain(0, 1, flags, mode) };
        Ok(Some(Self { directory: request.int(0), ..strict }))
    }

    fn plain(directory: i32, path: usize, flags: u32, mode: u32) -> Self {
        Self { directory, flags, mode: mode & 0o7777, resolve: 0, strict: false, path }
    }

    fn is_unnamed(&self) -> bool {
        self.flags & flags::TMPFILE != 0
    }

    fn makes_files(&self) -> bool {
        // The kernel ignores the flag, or refuses it, next to these.
        let excluded = flags::PATH | if self.is_unnamed() { 0 } else { flags::DIRECTORY };
        self.flags & (flags::CREAT | flags::TMPFILE) != 0 && self.flags & excluded == 0
    }

    /// Whether a symbolic link that leads nowhere is to get its file.
    fn follows(&self) -> bool {
        self.flags & (flags::EXCL | flags::NOFOLLOW) == 0 && self.resolve & RESOLVE_NO_SYMLINKS == 0
    }

    /// Whether a file that is there is to be opened, and a link at the end of the path leads to it.
    pub(super) fn opens_end(&self) -> bool {
        let only_makes = self.flags & (flags::CREAT | flags::EXCL) == flags::CREAT | flags::EXCL;
        self.flags & flags::NOFOLLOW == 0 && !only_makes
    }

    /// The permissions that a file that is there must give.
    pub(super) fn wanted(&self) -> u32 {
        let only_makes = self.flags & (flags::CREAT | flags::EXCL) == flags::CREAT | flags::EXCL;
        if self.is_unnamed() || only_makes || self.flags & flags::PATH != 0 {
            return 0;
        }
        let access = match self.flags & flags::ACCESS {
            flags::READ_ONLY => READ,
            flags::WRITE_ONLY => WRITE,
            _ => READ | WRITE,
        };
        if self.flags & flags::TRUNC != 0 { access | WRITE } else { access }
    }

    /// The flags by which the file is made: only if there is none.
    fn making(&self) -> u32 {
        if self.is_unnamed() { self.flags } else { self.flags & !flags::TRUNC | flags::EXCL }
    }
}

pub(super) fn open(request: &Request<'_>) -> Reply {
    let Some(order) = Order::of(request)?.filter(Order::makes_files) else {
        return Ok(Answer::Continue);
    };
    let mut path = request.text(order.path)?;
    let close_on_exec = order.flags & flags::CLOEXEC != 0;
    if let Some(descriptor) = device::open(request, order.directory, &path, order.flags) {
        return Ok(Answer::Descriptor { descriptor, close_on_exec, made: None });
    }
    for _ in 0..MOST_LINKS {
        let find = if order.is_unnamed() { Place::inside } else { Place::find };
        let Ok(place) = find(request, order.directory, &path, order.resolve) else { break };
        if place.is_roots() {
            break;
        }
        let gives = request.can_give();
        let needs_given = order.is_unnamed() || order.flags & flags::EXCL != 0;
        // Nothing better is known for those (Linux before 5.9): the file is root's.
        if needs_given && !gives {
            break;
        }
        let mode = place.permissions(order.mode);
        let open = |name: &CStr| match order.strict {
            true => native::open_strictly(name, order.making(), mode),
            false => native::open(name, order.making(), mode),
        };
        let made = if order.is_unnamed() { place.make_unnamed(open) } else { place.make(open) };
        match made? {
            // The process finds it there when it opens it itself (Linux before 5.9).
            Made::Here(_) if !gives => break,
            Made::Here(descriptor) => {
                let made = (!order.is_unnamed()).then(|| place.name().to_owned());
                return Ok(Answer::Descriptor { descriptor, close_on_exec, made });
            }
            Made::Exists if order.follows() => match place.dangles_to(&path) {
                Some(end) => path = end,
                None => break,
            },
            Made::Exists | Made::Not => break,
        }
    }
    Ok(Answer::Continue)
}

pub(super) fn mkdir(request: &Request<'_>) -> Reply {
    let (directory, path, mode) = match request.call() {
        Call::Mkdir => (CURRENT_DIRECTORY, 0, 1),
        _ => (request.int(0), 1, 2),
    };
    let path = without_trailing_slashes(&request.text(path)?);
    let mode = request.word(mode) & 0o1777;
    make(request, directory, &path, |_, name| native::make_directory(name, mode))
}

pub(super) fn symlink(request: &Request<'_>) -> Reply {
    let (directory, path) = match request.call() {
        Call::Symlink => (CURRENT_DIRECTORY, 1),
        _ => (request.int(1), 2),
    };
    let (leads_to, path) = (request.text(0)?, request.text(path)?);
    make(request, directory, &path, |_, name| native::make_link(&leads_to, name))
}

/// Makes what has no descriptor, where the kernel would give it to the wrong one.
pub(super) fn make(
    request: &Request<'_>,
    directory: i32,
    path: &CStr,
    action: impl FnOnce(&Place<'_>, &CStr) -> Result<(), Errno>,
) -> Reply {
    let Ok(place) = Place::find(request, directory, path, 0) else { return Ok(Answer::Continue) };
    if place.is_roots() {
        return Ok(Answer::Continue);
    }
    Ok(match place.make(|name| action(&place, name))? {
        Made::Here(()) => Answer::Value(0),
        Made::Exists | Made::Not => Answer::Continue,
    })
}

/// A directory that is to be made may be named with them.
fn without_trailing_slashes(path: &CStr) -> CString {
    let path = path.to_bytes();
    let end = path.iter().rposition(|&byte| byte != b'/').map_or(path.len(), |last| last + 1);
    CString::new(&path[..end]).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_tell_what_is_made() {
        use flags::{CREAT, DIRECTORY, EXCL, NOFOLLOW, PATH, TMPFILE, TRUNC};
        for (flags, makes, follows) in [
            (0, false, true),
            (CREAT, true, true),
            (CREAT | TRUNC, true, true),
            (CREAT | EXCL, true, false),
            (CREAT | NOFOLLOW, true, false),
            (CREAT | DIRECTORY, false, true),
            (CREAT | PATH, false, true),
            (TMPFILE | DIRECTORY, true, true),
            (TMPFILE | DIRECTORY | EXCL, true, false),
        ] {
            let order = Order::plain(CURRENT_DIRECTORY, 0, flags, 0o666);
            assert_eq!((order.makes_files(), order.follows()), (makes, follows), "{flags:o}");
        }
        let order = |flags| Order::plain(CURRENT_DIRECTORY, 0, flags, 0);
        assert_eq!(order(CREAT | TRUNC).making(), CREAT | EXCL);
        // There it means something else: that it never gets a name.
        assert_eq!(order(TMPFILE | DIRECTORY).making(), TMPFILE | DIRECTORY);
        let closed = Order { resolve: RESOLVE_NO_SYMLINKS, ..order(CREAT) };
        assert!(!closed.follows());
    }

    #[test]
    fn flags_tell_what_permission_is_needed() {
        use flags::{ACCESS, CREAT, DIRECTORY, EXCL, NOFOLLOW, PATH, TMPFILE, TRUNC, WRITE_ONLY};
        const BOTH: u32 = READ | WRITE;
        for (flags, wanted, opens_end) in [
            (0, READ, true),
            (WRITE_ONLY, WRITE, true),
            (WRITE_ONLY | NOFOLLOW, WRITE, false),
            (ACCESS, BOTH, true),
            (TRUNC, BOTH, true),
            (CREAT | TRUNC | WRITE_ONLY, WRITE, true),
            (CREAT | EXCL | WRITE_ONLY, 0, false),
            (PATH | WRITE_ONLY, 0, true),
            (TMPFILE | DIRECTORY | WRITE_ONLY, 0, true),
        ] {
            let order = Order::plain(CURRENT_DIRECTORY, 0, flags, 0);
            assert_eq!((order.wanted(), order.opens_end()), (wanted, opens_end), "{flags:o}");
        }
    }

    #[test]
    fn directories_may_end_in_slashes() {
        for (path, name) in [(c"a", c"a"), (c"a//", c"a"), (c"/a/b/", c"/a/b"), (c"/", c"/")] {
            assert_eq!(&*without_trailing_slashes(path), name);
        }
    }
}
