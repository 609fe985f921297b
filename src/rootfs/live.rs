//! Records while a container runs: of files that are named by a path from the calling thread's
//! working directory and root, as `stat(2)` and `chown(2)` name them.
//!
//! These stand in the way of every `stat` of a container, so there is one system call in each and
//! no memory is asked for to say that a file has no record.

use std::collections::HashMap;
use std::ffi::CStr;

use super::meta::FileType;
use super::owner::{Carrier, Record};
use super::place::refuses_xattr;
use crate::sys::{self, xattr};

/// Records that files do not carry, by the device and the inode that the container sees.
pub type Unwritten = HashMap<(u64, u64), Record>;

/// What became of a record that was to be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Written {
    OnFile,
    /// The file cannot carry it; the caller must remember it. It carries no other one.
    Refused,
}

/// The record that a file carries. `kind` is what the kernel takes the file for, and `follow` says
/// whether a symbolic link at the end of `path` is followed. A damaged record counts as none here:
/// packing the layer reports it.
pub fn read(path: &CStr, follow: bool, kind: FileType) -> sys::Result<Option<Record>> {
    let Some(carrier) = Carrier::of(kind) else { return Ok(None) };
    let decode = |bytes: &[u8]| carrier.decode(bytes).ok().flatten();
    Ok(xattr::look(path, follow, carrier.attribute(), decode)?.flatten())
}

/// Lets a file carry a record, or none when the record says nothing. See [`read`].
///
/// A real change of owner removes the record of what is no regular file or directory, so it must
/// come before.
pub fn write(path: &CStr, follow: bool, kind: FileType, record: &Record) -> sys::Result<Written> {
    let Some(carrier) = Carrier::of(kind) else {
        return Ok(if record.is_plain() { Written::OnFile } else { Written::Refused });
    };
    let value = carrier.encode(record);
    if value.is_empty() {
        xattr::remove(path, follow, carrier.attribute())?;
        return Ok(Written::OnFile);
    }
    match xattr::set(path, follow, carrier.attribute(), &value) {
        Ok(()) => Ok(Written::OnFile),
        Err(error) if refuses_xattr(&error) => {
            // Lest an older one speaks for it.
            drop(xattr::remove(path, follow, carrier.attribute()));
            Ok(Written::Refused)
        }
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::CString;
    use std::fs;
    use std::os::unix::ffi::OsStrExt as _;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn records_are_written_read_and_removed_by_path() {
        let dir = tempfile::tempdir().expect("a directory");
        let at = |name: &str| {
            CString::new(dir.path().join(name).as_os_str().as_bytes()).expect("a path")
        };
        fs::write(dir.path().join("file"), "").expect("a file");
        fs::create_dir(dir.path().join("dir")).expect("a directory");
        symlink("file", dir.path().join("link")).expect("a link");
        let record = Record::owner(70000, u32::MAX - 1);
        for (name, kind) in [("file", FileType::File), ("dir", FileType::Dir)] {
            assert_eq!(read(&at(name), false, kind).expect(name), None);
            assert_eq!(write(&at(name), false, kind, &record).expect(name), Written::OnFile);
            assert_eq!(read(&at(name), false, kind).expect(name), Some(record.clone()));
        }
        let through = |kind| read(&at("link"), true, kind).expect("a link");
        assert_eq!(through(FileType::File), Some(record.clone()));
        // Only who may set capabilities can let a link carry its owner.
        let on_link = write(&at("link"), false, FileType::Symlink, &record).expect("a link");
        let found = read(&at("link"), false, FileType::Symlink).expect("a link");
        assert_eq!(found.is_some(), on_link == Written::OnFile);
        let plain = Record::default();
        for (name, kind) in
            [("file", FileType::File), ("dir", FileType::Dir), ("link", FileType::Symlink)]
        {
            assert_eq!(write(&at(name), false, kind, &plain).expect(name), Written::OnFile);
            assert_eq!(read(&at(name), false, kind).expect(name), None);
        }
        assert!(read(&at("nothing"), false, FileType::File).is_err());
        assert!(write(&at("nothing"), true, FileType::File, &record).is_err());
    }

    #[test]
    fn devices_carry_none() {
        let (path, kind) = (c"/dev/null", FileType::Char);
        assert_eq!(read(path, true, kind).expect("no call"), None);
        let written = |record| write(path, true, kind, &record).expect("no call");
        assert_eq!(written(Record::default()), Written::OnFile);
        assert_eq!(written(Record::owner(1, 1)), Written::Refused);
    }
}
