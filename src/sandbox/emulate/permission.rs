//! Permissions: what somebody who is not root may find, read, write and enter. The kernel, to which
//! all are root, would not ask.
//!
//! Here a call is refused, or left to go its way: the kernel or another handler does it. So nothing
//! depends on what cannot be found out, such as paths that lead through `/proc`.
//!
//! What only looks is checked where the sandbox's own user is not root ([`Filter::Strict`]): to trap
//! each `open` of everybody would cost root's commands too much.
//!
//! [`Filter::Strict`]: crate::sandbox::filter::Filter::Strict

use std::ffi::{CStr, CString};

use super::create::Order;
use super::credentials::{Capability, Credentials};
use super::place::permits;
use super::request::{CURRENT_DIRECTORY, Request};
use super::tables::Call;
use super::target::{self, Target};
use super::{owner, socket};
use crate::sys::errno::Errno;
use crate::sys::native::{self, Attributes, open_flags};

pub(super) const READ: u32 = 4;
pub(super) const WRITE: u32 = 2;
const SEARCH: u32 = 1;
const ALL: u32 = READ | WRITE | SEARCH;

const AT_SYMLINK_NOFOLLOW: u32 = 0x100;
const AT_EACCESS: u32 = 0x200;
const AT_SYMLINK_FOLLOW: u32 = 0x400;
const AT_EMPTY_PATH: u32 = 0x1000;

/// Everybody may search such a directory, whoever owns it.
const ALL_SEARCH: u32 = 0o111;

/// `MAXSYMLINKS`.
const MOST_LINKS: usize = 40;

/// Paths begin at the directory as if that were the root.
const RESOLVE_IN_ROOT: u64 = 0x10;

/// A file that a call names, and what it is to be used for.
#[derive(Debug, Clone, Copy)]
struct Named {
    directory: i32,
    /// Which argument.
    path: usize,
    /// Whether a symbolic link at the end is followed.
    follow: bool,
    wanted: u32,
    /// What it must be besides; else the kernel refuses it for that.
    fits: Option<fn(&Attributes) -> bool>,
}

impl Named {
    /// To be found, and no more.
    fn found(directory: i32, path: usize, follow: bool) -> Self {
        Self { directory, path, follow, wanted: 0, fits: None }
    }

    fn wanting(self, wanted: u32) -> Self {
        Self { wanted, ..self }
    }

    fn fitting(self, fits: fn(&Attributes) -> bool) -> Self {
        Self { fits: Some(fits), ..self }
    }
}

/// Refuses what the calling process has no permission for.
///
/// # Errors
///
/// `EACCES`; `EPERM` for `O_NOATIME` on somebody else's file.
pub(super) fn check(request: &Request<'_>) -> Result<(), Errno> {
    let shared = request.shared();
    if !shared.knows_creators || shared.credentials.is_roots_alone() {
        return Ok(());
    }
    let call = request.call();
    if is_look(call) && !shared.checks_reading {
        return Ok(());
    }
    let own = request.credentials()?;
    let who = match call {
        Call::Access | Call::Faccessat => as_real_user(&own),
        Call::Faccessat2 if request.word(3) & AT_EACCESS == 0 => as_real_user(&own),
        _ => own.as_ref().clone(),
    };
    if who.may(Capability::DacOverride) {
        return Ok(());
    }
    if matches!(call, Call::Bind | Call::Connect) {
        return use_socket(request, &who);
    }
    if matches!(call, Call::Open | Call::Openat | Call::Openat2 | Call::Creat) {
        return open(request, &who);
    }
    for (at, named) in named(request).into_iter().flatten().enumerate() {
        let path = request.text(named.path)?;
        let way = match path.is_empty() {
            true => Way::Plain,
            false => search(request, &who, named, &path)?,
        };
        // What a new name is to be given to has to be there before anybody looks at that name.
        let is_needed = at == 0 && matches!(request.call(), Call::Link | Call::Linkat);
        let is_there = || request.target_of(named.directory, &path, false)?.native();
        if way == Way::Nowhere || is_needed && is_there().is_err() {
            break;
        }
        use_end(request, &who, named, &path, way)?;
    }
    Ok(())
}

/// Whether a call only tells what is there.
fn is_look(call: Call) -> bool {
    use Call::{Fstat, Lstat, Newfstatat, Readlink, Readlinkat, Stat, Statx};
    matches!(call, Stat | Lstat | Fstat | Newfstatat | Statx | Readlink | Readlinkat)
}

/// Whom access(2) asks for (the kernel's `access_override_creds`).
fn as_real_user(own: &Credentials) -> Credentials {
    let mut who = own.clone();
    who.uid.fs = own.uid.real;
    who.gid.fs = own.gid.real;
    who.capabilities.effective = if own.uid.real == 0 { own.capabilities.permitted } else { 0 };
    who
}

/// The files that a call names by paths, besides open(2) and sockets.
fn named(request: &Request<'_>) -> [Option<Named>; 2] {
    use Call::*;
    let here = CURRENT_DIRECTORY;
    let followed = |at: usize| request.word(at) & AT_SYMLINK_NOFOLLOW == 0;
    let at = |follow| Named::found(request.int(0), 1, follow);
    let one = match request.call() {
        Access => Named::found(here, 0, true).wanting(request.word(1) & ALL),
        Faccessat => at(true).wanting(request.word(2) & ALL),
        Faccessat2 => at(followed(3)).wanting(request.word(2) & ALL),
        Chdir => Named::found(here, 0, true).wanting(SEARCH).fitting(Attributes::is_dir),
        Truncate => Named::found(here, 0, true).wanting(WRITE).fitting(Attributes::is_file),
        Chown | Stat | Chmod | Setxattr | Removexattr | Getxattr | Listxattr | Execve | Utime
        | Utimes => Named::found(here, 0, true),
        Lchown | Lstat | Lsetxattr | Lremovexattr | Lgetxattr | Llistxattr | Readlink | Mkdir
        | Mknod | Unlink | Rmdir => Named::found(here, 0, false),
        Statx | Setxattrat | Removexattrat | Listxattrat => at(followed(2)),
        Newfstatat | Fchmodat2 | Utimensat | UtimensatTime64 => at(followed(3)),
        Fchownat | Execveat => at(followed(4)),
        Fchmodat | Futimesat => at(true),
        Readlinkat | Mkdirat | Mknodat | Unlinkat => at(false),
        Symlink => Named::found(here, 1, false),
        Symlinkat => Named::found(request.int(1), 2, false),
        Rename => return [(here, 0), (here, 1)].map(|(from, path)| found(from, path, false)),
        Link => return [(here, 0), (here, 1)].map(|(from, path)| found(from, path, false)),
        Renameat | Renameat2 => {
            return [(0, 1), (2, 3)].map(|(from, path)| found(request.int(from), path, false));
        }
        Linkat => {
            let follow = request.word(4) & AT_SYMLINK_FOLLOW != 0;
            return [found(request.int(0), 1, follow), found(request.int(2), 3, false)];
        }
        _ => return [None, None],
    };
    // Some calls of the `…at` family mean an open file where there is no path.
    [Some(one).filter(|named| request.arg(named.path) != 0), None]
}

fn found(directory: i32, path: usize, follow: bool) -> Option<Named> {
    Some(Named::found(directory, path, follow))
}

fn open(request: &Request<'_>, who: &Credentials) -> Result<(), Errno> {
    let Some(order) = Order::of(request)? else { return Ok(()) };
    // Nobody asks for files like this; their names begin at another root.
    if order.resolve & RESOLVE_IN_ROOT != 0 {
        return Ok(());
    }
    let path = request.text(order.path)?;
    let Order { directory, path: argument, flags, .. } = order;
    let named = Named::found(directory, argument, order.opens_end()).wanting(order.wanted());
    let named = match order.wanted() {
        _ if flags & open_flags::DIRECTORY != 0 => named.fitting(Attributes::is_dir),
        wanted if wanted & WRITE != 0 => named.fitting(|file| !file.is_dir()),
        _ => named,
    };
    let Some((target, file)) = use_file(request, who, named, &path)? else { return Ok(()) };
    let is_quiet = flags & open_flags::NOATIME != 0;
    if is_quiet && !is_foreign(&file) && !owns(request, who, &target, &file) {
        return Err(Errno::PERM);
    }
    Ok(())
}

/// Whether a process may do with a file what its owner may.
pub(super) fn owns(
    request: &Request<'_>,
    who: &Credentials,
    target: &Target,
    file: &Attributes,
) -> bool {
    let owner = || request.presume(target.record(request.shared(), file), who).uid;
    who.may(Capability::FOwner) || owner() == who.uid.fs
}

/// To bind a name to a socket, and to speak to who has done so.
fn use_socket(request: &Request<'_>, who: &Credentials) -> Result<(), Errno> {
    let Some(address) = socket::path_argument(request)? else { return Ok(()) };
    let connects = request.call() == Call::Connect;
    let named = Named::found(CURRENT_DIRECTORY, 1, connects);
    let named = named.wanting(if connects { WRITE } else { 0 });
    use_file(request, who, named, &address).map(drop)
}

/// Whether a process finds a file and may use it.
fn use_file(
    request: &Request<'_>,
    who: &Credentials,
    named: Named,
    path: &CStr,
) -> Result<Option<(Target, Attributes)>, Errno> {
    let way = search(request, who, named, path)?;
    use_end(request, who, named, path, way)
}

/// Whether a process may use a file that it has found; gives the file if there is one and it had to
/// be looked at.
fn use_end(
    request: &Request<'_>,
    who: &Credentials,
    named: Named,
    path: &CStr,
    way: Way,
) -> Result<Option<(Target, Attributes)>, Errno> {
    if named.wanted == 0 {
        return Ok(None);
    }
    let target = match path.is_empty() {
        true if means_descriptor(request) => request.target_descriptor(named.directory),
        true => return Ok(None),
        false => request.target_of(named.directory, path, named.follow),
    };
    let Ok((file, target)) = target.and_then(|target| Ok((target.native()?, target))) else {
        return Ok(None);
    };
    // Who has a file open may open it again, as container runtimes see to for standard streams.
    let is_permitted = way == Way::ThroughProc && !is_in_proc(request, &file)
        || is_permitted(request, who, &target, &file, named.wanted);
    // The kernel has another reason then, which comes first.
    let is_unfit = named.fits.is_some_and(|fits| !fits(&file));
    if is_permitted || is_unfit { Ok(Some((target, file))) } else { Err(Errno::ACCESS) }
}

/// Whether an empty path means the file behind the descriptor.
fn means_descriptor(request: &Request<'_>) -> bool {
    request.call() == Call::Faccessat2 && request.word(3) & AT_EMPTY_PATH != 0
}

/// Whether a process may use a file as it wants (the kernel's `inode_permission`).
pub(super) fn is_permitted(
    request: &Request<'_>,
    who: &Credentials,
    target: &Target,
    file: &Attributes,
    wanted: u32,
) -> bool {
    // Links have no permissions.
    if file.is_link() || is_foreign(file) {
        return true;
    }
    // Everybody may.
    if [6, 3, 0].into_iter().all(|shift| file.mode >> shift & wanted == wanted) {
        return true;
    }
    let mut seen = *file;
    target::apply(&mut seen, owner::record(request, target, file).as_ref());
    let owns = who.uid.fs == seen.uid;
    let by_mode = permits(seen.mode, owns, || who.in_group(seen.gid), wanted);
    let reads = match seen.is_dir() {
        true => wanted & WRITE == 0,
        false => wanted == READ,
    };
    by_mode
        || reads && who.may(Capability::DacReadSearch)
        || !owns && request.shared().acls.has(file)
}

/// Whether the kernel itself knows the owner of a file: the host's, and devices, which the sandbox has
/// from the host or the kernel makes for whom it takes for root.
fn is_foreign(file: &Attributes) -> bool {
    file.is_char_device() || file.uid != 0
}

fn is_in_proc(request: &Request<'_>, file: &Attributes) -> bool {
    let shared = request.shared();
    file.dev == shared.our_proc || Some(&file.dev) == shared.their_proc.get()
}

/// How a path leads to its file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Plain,
    /// Its links may lead where no path does.
    ThroughProc,
    /// It ends before its last name.
    Nowhere,
}

/// Whether a process may search all directories on the way to a file.
fn search(
    request: &Request<'_>,
    who: &Credentials,
    named: Named,
    path: &CStr,
) -> Result<Way, Errno> {
    // What cannot be found the kernel does not find either, and knows the right error.
    let Ok((full, start)) = request.way(named.directory, path) else { return Ok(Way::Plain) };
    let leads_on = || native::stat(&full, false).is_ok_and(|end| end.is_link());
    if is_open_to_all(&full, start) && !(named.follow && leads_on()) {
        return Ok(Way::Plain);
    }
    walk(request, who, &full, start, named.follow).or_else(|errno| match errno {
        Errno::ACCESS => Err(errno),
        _ => Ok(Way::Nowhere),
    })
}

/// Whether there are only directories on the way that everybody may search, and no links: the usual
/// case, which takes no more than a look at each. `start` is the length of what the path leads from.
fn is_open_to_all(path: &CStr, start: usize) -> bool {
    let path = path.to_bytes();
    let is_open = |end: usize, follow| {
        let Ok(prefix) = CString::new(&path[..end]) else { return false };
        native::stat(&prefix, follow)
            .is_ok_and(|found| found.is_dir() && found.mode & ALL_SEARCH == ALL_SEARCH)
    };
    is_open(start, true)
        && (start + 1..path.len())
            .filter(|at| path[*at] == b'/' && path[*at - 1] != b'/')
            .all(|end| is_open(end, false))
}

/// Goes the way of a path as the kernel does, component by component.
fn walk(
    request: &Request<'_>,
    who: &Credentials,
    path: &CStr,
    start: usize,
    follow: bool,
) -> Result<Way, Errno> {
    let (start, rest) = path.to_bytes().split_at(start);
    let mut here = native::handle(&text(start), true)?;
    let mut ahead = components(rest);
    let mut links = 0;
    while let Some(name) = ahead.pop() {
        let target = request.own_descriptor(&here)?;
        let directory = target.native()?;
        if is_in_proc(request, &directory) {
            return Ok(Way::ThroughProc);
        }
        if !directory.is_dir() {
            return Ok(Way::Nowhere);
        }
        if !is_permitted(request, who, &target, &directory, SEARCH) {
            return Err(Errno::ACCESS);
        }
        let next = match native::handle_beside(&here, &text(name)) {
            Err(_) if ahead.is_empty() => break,
            next => next?,
        };
        let found = request.own_descriptor(&next)?.native()?;
        if !found.is_link() || ahead.is_empty() && !follow {
            here = next;
            continue;
        }
        links += 1;
        if links > MOST_LINKS {
            return Err(Errno::LOOP);
        }
        let leads_to = native::read_link_at(&next, c"")?;
        if leads_to.starts_with(b"/") {
            here = native::handle(c"/", true)?;
        }
        ahead.extend(components(&leads_to));
    }
    Ok(Way::Plain)
}

/// The names in a path, the last one first.
fn components(path: &[u8]) -> Vec<Vec<u8>> {
    let names = path.split(|byte| *byte == b'/').filter(|name| !name.is_empty());
    let mut names: Vec<_> = names.map(<[u8]>::to_vec).collect();
    names.reverse();
    names
}

/// Part of a path, which has no NUL.
fn text(part: impl Into<Vec<u8>>) -> CString {
    CString::new(part).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_real_user_is_asked_for_with_his_own_rights() {
        let app = Credentials::root().setresuid(7, 0, 0).expect("root may");
        assert!(app.may(Capability::DacOverride));
        let real = as_real_user(&app);
        assert_eq!((real.uid.fs, real.may(Capability::DacOverride)), (7, false));
        let root = as_real_user(&Credentials::root().setresuid(0, 7, 0).expect("root may"));
        assert_eq!((root.uid.fs, root.may(Capability::DacOverride)), (0, true));
    }

    #[test]
    fn components_come_from_the_end() {
        for (path, names) in
            [("", &[][..]), ("/", &[]), ("/a//b/", &["b", "a"]), ("../a/.", &[".", "a", ".."])]
        {
            assert_eq!(
                components(path.as_bytes()),
                names.iter().map(|n| n.as_bytes().to_vec()).collect::<Vec<_>>(),
                "{path}"
            );
        }
    }

    #[test]
    fn only_plain_directories_that_all_may_search_are_open() {
        use std::fs::{self, Permissions};
        use std::os::unix::ffi::OsStrExt as _;
        use std::os::unix::fs::{PermissionsExt as _, symlink};
        let dir = tempfile::tempdir().expect("a directory");
        let root = dir.path().join("r");
        fs::create_dir_all(root.join("a/b")).expect("directories");
        fs::create_dir(root.join("closed")).expect("a directory");
        symlink("a", root.join("link")).expect("a link");
        for (path, mode) in [("", 0o755), ("a", 0o711), ("a/b", 0o755), ("closed", 0o701)] {
            fs::set_permissions(root.join(path), Permissions::from_mode(mode)).expect("a mode");
        }
        let start = root.as_os_str().len();
        for (path, open) in [
            ("x", true),
            ("a/x", true),
            ("a//b/x", true),
            ("a/../a/x", true),
            ("closed/x", false),
            ("link/x", false),
            ("nothing/x", false),
        ] {
            let path = text(root.join(path).as_os_str().as_bytes());
            assert_eq!(is_open_to_all(&path, start), open, "{path:?}");
        }
    }
}
