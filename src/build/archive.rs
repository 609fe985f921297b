//! ADD of local archives: known by their content, unpacked as the reference does it.

use std::path::Path;

use super::error::Fault;
use super::files::{Files, Source};
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

    /// Unpacks an archive into a directory of the snapshot, over what is there.
    pub(super) fn unpack(
        &self,
        source: &Source,
        folder: &Path,
        owner: Option<(u32, u32)>,
        snapshot: &mut Snapshot<'_>,
    ) -> Result<(), Fault> {
        let file = self.root.open_file(&source.path)?;
        let mut records = std::mem::take(snapshot.new_records());
        let done = compress::decompress(file)
            .map_err(layer::Error::Read)
            .and_then(|tar| layer::extract(tar, snapshot.root(), folder, owner, &mut records));
        *snapshot.new_records() = records;
        match done {
            Ok(_) => Ok(()),
            Err(layer::Error::Files(error)) => Err(Fault::in_image(error, snapshot.root())),
            Err(error) => Err(Fault::Archive { path: source.path.clone(), source: error }),
        }
    }
}
