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
