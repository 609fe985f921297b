//! Which file system a path lies on, for a person who has to make room on it.

use std::fs;
use std::path::{Path, PathBuf};

use crate::sys;

/// Mount point, type and free space, as far as they can be found out.
pub(super) fn describe(path: &Path) -> String {
    let existing = path.ancestors().find(|path| path.exists()).unwrap_or(Path::new("/"));
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let place = match holder(&mounts, existing) {
        Some((point, kind)) => format!("{} ({kind})", point.display()),
        None => "its file system".to_owned(),
    };
    match sys::storage::space(existing) {
        Ok(space) => format!("{place}, {} of {} free", bytes(space.free), bytes(space.total)),
        Err(_) => place,
    }
}

/// The mount that `path` lies in: the last one of those with the longest mount point.
fn holder(mounts: &str, path: &Path) -> Option<(PathBuf, String)> {
    let lines = mounts.lines().filter_map(|line| {
        let (mount, file_system) = line.split_once(" - ")?;
        let point = PathBuf::from(mount.split(' ').nth(4)?.replace("\\040", " "));
        Some((point, file_system.split(' ').next()?.to_owned()))
    });
    lines
        .filter(|(point, _)| path.starts_with(point))
        .max_by_key(|(point, _)| point.components().count())
}

fn bytes(count: u64) -> String {
    const UNITS: [&str; 5] = ["B", "kB", "MB", "GB", "TB"];
    let mut power = 0;
    let mut scaled = count;
    while scaled >= 10_000 && power + 1 < UNITS.len() {
        scaled /= 1000;
        power += 1;
    }
    format!("{scaled} {}", UNITS[power])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_innermost_mount_holds_a_path() {
        let mounts = "1 0 8:1 / / rw - ext4 /dev/sda rw\n\
            2 1 0:5 / /a\\040b rw shared:1 - tmpfs tmpfs rw\n\
            3 1 0:6 / /home rw - nfs4 server:/home rw\n";
        for (path, expected) in [
            ("/x", ("/", "ext4")),
            ("/a b/c", ("/a b", "tmpfs")),
            ("/home/moss", ("/home", "nfs4")),
        ] {
            let (point, kind) = holder(mounts, Path::new(path)).expect(path);
            assert_eq!((point.to_str().expect("UTF-8"), kind.as_str()), expected);
        }
        assert_eq!(holder("", Path::new("/")), None);
    }

    #[test]
    fn amounts_are_short() {
        for (count, text) in [(0, "0 B"), (9999, "9999 B"), (10_000, "10 kB"), (64 << 30, "68 GB")]
        {
            assert_eq!(bytes(count), text);
        }
    }
}
