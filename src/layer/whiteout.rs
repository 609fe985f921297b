//! Deletions. A layer's archive has them as names ([image-spec, layer.md, "Whiteouts"]); a tree has
//! them as overlayfs reads them from a lower directory that is mounted with `userxattr`.
//!
//! | | archive | tree |
//! |---|---|---|
//! | `x` is gone | an entry `.wh.x` | a character device 0:0 named `x` |
//! | all below `d` is gone | an entry `d/.wh..wh..opq` | `user.overlay.opaque` = `y` on `d` |
//!
//! Where we may not make that device (before Linux 5.8, and on some network file systems) it is an
//! empty file with `user.overlay.whiteout` in a directory with `user.overlay.opaque` = `x`, which
//! overlayfs understands since Linux 6.7 and this module always.
//!
//! [image-spec, layer.md, "Whiteouts"]: https://github.com/opencontainers/image-spec/blob/v1.1.1/layer.md#whiteouts

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::rc::Rc;

use super::Error;
use crate::rootfs::{self, FileType, Meta, Place};

/// What begins the name of a deletion.
pub(super) const PREFIX: &str = ".wh.";
/// The name that hides what is below in its directory.
pub(super) const OPAQUE: &str = ".wh..wh..opq";
/// What begins the names that AUFS kept for itself; no image means them.
const AUFS: &str = ".wh..wh.";

const OPAQUE_MARK: &str = "user.overlay.opaque";
const WHITEOUT_MARK: &str = "user.overlay.whiteout";

/// What a name in a layer's archive stands for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Name<'n> {
    /// A file of its own.
    Plain,
    /// The deletion of that name.
    Delete(&'n OsStr),
    /// The deletion of all that is below in the directory.
    Hide,
    /// Nothing that anyone means.
    Nothing,
}

/// Reads an entry's path.
///
/// # Errors
///
/// [`Error::Name`] for a deletion of nothing, of `.` or of `..`, and for a file in a directory that
/// is named as a deletion: no tool could keep it apart from one.
pub(super) fn read(path: &Path) -> Result<Name<'_>, Error> {
    let starts = |name: &OsStr, prefix: &str| name.as_bytes().starts_with(prefix.as_bytes());
    let wrong = |problem| Err(Error::Name { path: path.to_owned(), problem });
    let Some(name) = path.file_name() else { return Ok(Name::Plain) };
    for above in path.parent().into_iter().flatten() {
        if starts(above, AUFS) {
            return Ok(Name::Nothing);
        }
        if starts(above, PREFIX) {
            return wrong("it lies in a directory with the name of a whiteout");
        }
    }
    if name == OPAQUE {
        return Ok(Name::Hide);
    }
    if starts(name, AUFS) {
        return Ok(Name::Nothing);
    }
    let Some(deleted) = name.as_bytes().strip_prefix(PREFIX.as_bytes()) else {
        return Ok(Name::Plain);
    };
    match deleted {
        b"" | b"." | b".." => wrong("it deletes no name"),
        deleted => Ok(Name::Delete(OsStr::from_bytes(deleted))),
    }
}

/// The name of the deletion of `name`.
pub(super) fn name_of(name: &OsStr) -> OsString {
    let mut whiteout = OsString::from(PREFIX);
    whiteout.push(name);
    whiteout
}

/// Whether what is at a place says that nothing is there.
pub(super) fn is_whiteout(place: &Place, meta: &Meta) -> Result<bool, rootfs::Error> {
    if meta.is_whiteout() {
        return Ok(true);
    }
    Ok(meta.real_kind == FileType::File && meta.size == 0 && place.xattr(WHITEOUT_MARK)?.is_some())
}

/// Puts a whiteout where nothing is.
pub(super) fn put(place: &Place) -> Result<(), rootfs::Error> {
    if place.make_whiteout()?.is_some() {
        return Ok(());
    }
    let exists = || rootfs::Error::IsADirectory { path: place.shown() };
    let file = place.create()?.ok_or_else(exists)?;
    mark(place, WHITEOUT_MARK, b"y")?;
    place.finish(&file, 0, (0, 0))?;
    let dir = Place::of(Rc::clone(place.dir()));
    if is_opaque(&dir)? { Ok(()) } else { mark(&dir, OPAQUE_MARK, b"x") }
}

/// Whether a directory hides all that is below it.
pub(super) fn is_opaque(dir: &Place) -> Result<bool, rootfs::Error> {
    Ok(dir.xattr(OPAQUE_MARK)?.is_some_and(|value| value == b"y"))
}

/// Lets a directory hide all that is below it.
pub(super) fn set_opaque(dir: &Place) -> Result<(), rootfs::Error> {
    mark(dir, OPAQUE_MARK, b"y")
}

fn mark(place: &Place, name: &str, value: &[u8]) -> Result<(), rootfs::Error> {
    if place.set_xattr(OsStr::new(name), value)? {
        return Ok(());
    }
    Err(rootfs::Error::NoMarks { path: place.shown() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stand_for_deletions() {
        let rows = [
            ("", Some(Name::Plain)),
            ("a/b", Some(Name::Plain)),
            ("a/.wh.b", Some(Name::Delete(OsStr::new("b")))),
            (".wh.b.wh.c", Some(Name::Delete(OsStr::new("b.wh.c")))),
            (".wh...", None),
            (".wh..", None),
            (".wh.", None),
            (".wh....", Some(Name::Delete(OsStr::new("...")))),
            (".wh..hidden", Some(Name::Delete(OsStr::new(".hidden")))),
            ("a/.wh..wh..opq", Some(Name::Hide)),
            ("a/.wh..wh..opq/b", Some(Name::Nothing)),
            (".wh..wh.plnk", Some(Name::Nothing)),
            (".wh..wh.plnk/1.2", Some(Name::Nothing)),
            (".wh.a/b", None),
            ("wh.a", Some(Name::Plain)),
            (".wha", Some(Name::Plain)),
        ];
        for (path, name) in rows {
            assert_eq!(read(Path::new(path)).ok(), name, "{path:?}");
        }
        assert_eq!(name_of(OsStr::new("x")), ".wh.x");
    }
}
