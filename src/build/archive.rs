//! ADD of local archives: known by their content, unpacked as the reference does it.

use std::fs::File;
use std::path::Path;

use super::context::{Files, Source};
use super::error::Fault;
use crate::layer::{self, archive, compress};
use crate::rootfs::FileType;
use crate::store::Snapshot;

impl Files {
    /// Whether a file is a tar archive, compressed or not; an empty one is none.
    pub(super) fn is_archive(&self, source: &Source) -> Result<bool, Fault> {
        if source.meta.kind != FileType::File || source.meta.size == 0 {
            return Ok(false);
        }
        let file = self.root.open_file(&source.path)?;
        // What cannot be read as an archive is a file like any other.
        let Ok(plain) = compress::decompress(file) else { return Ok(false) };
        Ok(matches!(archive::Reader::new(plain).next_entry(), Ok(Some(_))))
    }
}

/// Unpacks an archive into a directory of the snapshot, over what is there.
pub(super) fn unpack(
    file: File,
    folder: &Path,
    owner: Option<(u32, u32)>,
    snapshot: &mut Snapshot<'_>,
) -> Result<(), Fault> {
    let plain =
        compress::decompress(file).map_err(|source| Fault::Layer(layer::Error::Read(source)))?;
    let mut records = std::mem::take(snapshot.new_records());
    let done = layer::extract(plain, snapshot.root(), folder, owner, &mut records);
    *snapshot.new_records() = records;
    done?;
    Ok(())
}
