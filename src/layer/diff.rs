//! What an overlay's upper directory, or a layer's tree, changes of what is below it.

use super::below::Below;
use super::{Change, Error, whiteout};
use crate::rootfs::{FileType, Place, Root, SideTable, Walk};

/// The changes that `upper` makes to `below`, sorted. Deletions of what is not below, and marks
/// that hide nothing (the kernel puts one on nearly every new directory), are left out.
///
/// The root directory is among them only when its mode or owner differs; its time changes with
/// every file that is put into it. Sockets are nothing that a layer can have: they count as gone.
pub fn changes_of_upper(upper: &Root, below: &mut Below) -> Result<Vec<Change>, Error> {
    let records = SideTable::default();
    let mut dirs = upper.dirs()?;
    let mut changes = Vec::new();
    for found in Walk::new(upper, "".as_ref(), &records) {
        let found = found?;
        let path = found.path;
        if path.as_os_str().is_empty() {
            let old = below
                .root()?
                .map_or((0o755, 0, 0), |hit| (hit.meta.mode, hit.meta.uid, hit.meta.gid));
            if old != (found.meta.mode, found.meta.uid, found.meta.gid) {
                changes.push(Change::Put(path));
            }
            continue;
        }
        // Only these need a look at their attributes.
        let place = match found.meta.real_kind {
            FileType::Dir => dirs.find(&path)?.map(Place::of),
            FileType::File if found.meta.size == 0 => dirs.place(&path)?,
            _ => None,
        };
        let gone = match &place {
            Some(place) => whiteout::is_whiteout(place, &found.meta)?,
            None => found.meta.is_whiteout() || found.meta.kind == FileType::Socket,
        };
        if gone {
            if below.find(&path)?.is_some() {
                changes.push(Change::Delete(path));
            }
            continue;
        }
        let hides = match &place {
            Some(place) if found.meta.is_dir() => {
                whiteout::is_opaque(place)? && below.has_dir(&path)?
            }
            _ => false,
        };
        changes.push(Change::Put(path.clone()));
        if hides {
            changes.push(Change::Hide(path));
        }
    }
    Ok(changes)
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;

    use super::*;
    use crate::layer::text::{archive, draw, lines};
    use crate::layer::unpack;

    /// A tree as the kernel would leave it in an upper directory: a layer's own tree looks the same.
    fn tree(text: &str) -> (tempfile::TempDir, Root, SideTable) {
        let dir = tempfile::tempdir().expect("a directory");
        let root = Root::open(dir.path()).expect("a root");
        let done = unpack(archive(text).as_slice(), &root).expect(text);
        (dir, root, done.records)
    }

    fn shown(changes: &[Change]) -> Vec<String> {
        changes
            .iter()
            .map(|change| match change {
                Change::Put(path) => format!("+{}", path.display()),
                Change::Delete(path) => format!("-{}", path.display()),
                Change::Hide(path) => format!("!{}", path.display()),
            })
            .collect()
    }

    #[test]
    fn an_upper_directory_is_told_as_changes() {
        let lowest = tree("d . 711 @1:1\nd a\nf a/x 1\nd a/d\nf a/d/y 2\nf b 1\nd c\nf c/z 1");
        let middle = tree("d a\nf a/.wh.x\nf c 2\nd e\nf e/f 1");
        let trees = [lowest, middle];
        let rows = [
            ("d . 711 @1:1", ""),
            ("d . 700 @1:1", "+"),
            ("d . 711", "+"),
            ("d . 711 @1:1\nf a-b 1\nd a\nf a/new 1\nf aa 1", "+a +a/new +a-b +aa"),
            ("d . 711 @1:1\nf .wh.b\nf .wh.nothing", "-b"),
            // Deleted by the middle layer, or hidden by it.
            ("d . 711 @1:1\nf a/.wh.x\nf a/.wh.d", "+a -a/d"),
            ("d . 711 @1:1\nf c/.wh.z", "+c"),
            // Opaque, with something and with nothing below.
            ("d . 711 @1:1\nd a\nf a/.wh..wh..opq\nf a/n 1", "+a !a +a/n"),
            ("d . 711 @1:1\nd a/d\nf a/d/.wh..wh..opq", "+a +a/d !a/d"),
            ("d . 711 @1:1\nd new\nf new/.wh..wh..opq", "+new"),
            ("d . 711 @1:1\nd c\nf c/.wh..wh..opq", "+c"),
            ("d . 711 @1:1\ns b -> x\np p\nc dev 0:0", "+b +dev +p"),
        ];
        for (upper, changes) in rows {
            let (_dir, upper_root, _) = tree(upper);
            let mut below = Below::new(
                trees.iter().map(|(_, root, table)| (root.path().to_owned(), table.clone())),
            );
            let found = changes_of_upper(&upper_root, &mut below).expect(upper);
            let changes: Vec<_> = changes.split(' ').filter(|word| !word.is_empty()).collect();
            // A change of the root directory alone is shown as nothing but its sign.
            assert_eq!(shown(&found), changes, "{upper}");
            assert!(found.is_sorted_by_key(|change| change.path()));
        }
    }

    #[test]
    fn sockets_count_as_gone() {
        let lower = tree("f s 1");
        let (_dir, upper, _) = tree("d t");
        let _sockets = ["s", "new"].map(|name| {
            std::os::unix::net::UnixListener::bind(upper.path().join(name)).expect("a socket")
        });
        let mut below = Below::new([(lower.1.path().to_owned(), lower.2)]);
        let changes = changes_of_upper(&upper, &mut below).expect("changes");
        assert_eq!(shown(&changes), ["-s", "+t"]);
    }

    #[test]
    fn records_are_those_of_the_highest_tree_that_has_the_path() {
        let trees = [
            tree(
                "d . 700\ns a -> x x.user.n=1\ns b -> x x.user.n=2\nd d\ns d/c -> x x.user.n=3\nd e\ns e/c -> x x.user.n=4\ns f -> x x.user.n=5",
            ),
            tree("s a -> y\nf .wh.b\nf d 1\nd e\nf e/.wh..wh..opq\ns g -> x x.user.n=6"),
        ];
        let mut below = Below::new(
            trees.iter().map(|(_, root, table)| (root.path().to_owned(), table.clone())),
        );
        let records = below.records().expect("records");
        let found: Vec<_> = records
            .iter()
            .map(|(path, record)| {
                (path.to_str().expect("text"), &record.xattrs["user.n".as_ref() as &OsStr][..])
            })
            .collect();
        assert_eq!(found, [("f", &b"5"[..]), ("g", b"6")]);
        assert!(!records.root_implied);
        assert_eq!(below.hidden().expect("a number"), 0);
        let (_dir, root, _) = tree("");
        below.apply_root(&root).expect("attributes");
        assert_eq!(draw(&root, &SideTable::default()), lines("d . m=700"));
    }
    #[test]
    fn a_layer_may_hide_all_that_is_below() {
        let trees = [tree("d .\nf a 1"), tree("f b 1\nf .wh..wh..opq"), tree("f c 1")];
        let all = || trees.iter().map(|(_, root, table)| (root.path().to_owned(), table.clone()));
        assert_eq!(Below::new(all()).hidden().expect("a number"), 1);
        let (_dir, upper, _) = tree("f .wh.a\nf .wh.b\nf .wh.c");
        let changes = changes_of_upper(&upper, &mut Below::new(all())).expect("changes");
        assert_eq!(shown(&changes), ["-b", "-c"]);
    }
}
