//! [`cat`]: one file out of an image.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, Write as _};
use std::path::Path;

use super::scan::{Limits, scan};
use super::{Error, Merged, Placed, find, list_all};
use crate::image::Descriptor;
use crate::layer::archive::EntryKind;
use crate::rootfs::clean;
use crate::store::Store;
use crate::transfer::Source;

/// Writes the file that a container of the image would see at `path`, links followed inside the
/// image. Nothing is written before all that it came from was verified.
///
/// # Errors
///
/// [`Error::NoFile`], [`Error::NotAFile`], [`Error::Links`]; what the source says.
pub fn cat(
    source: &dyn Source,
    layers: &[Descriptor],
    path: &Path,
    store: &Store,
    jobs: usize,
    output: &mut dyn FnMut(&[u8]) -> io::Result<()>,
) -> Result<(), Error> {
    let (image, path) = (source.name(), Path::new("/").join(clean(path)));
    let merged = Merged::of(list_all(source, layers, jobs)?);
    let links = || Error::Links { image: image.clone(), path: path.clone() };
    let place = merged.follow(&path).ok_or_else(links)?;
    let Some(Placed { layer, at, item, shared: _ }) = merged.get(&place) else {
        return Err(match merged.exists(&place) {
            true => Error::NotAFile { image, path, what: find::kind_name(EntryKind::Dir) },
            false => Error::NoFile { image, path },
        });
    };
    if item.kind != EntryKind::File {
        return Err(Error::NotAFile { image, path, what: find::kind_name(item.kind) });
    }
    let at = at.as_deref().unwrap_or(&place);
    // A hard link's file may be that of a lower layer.
    let mut kept = content(source, &layers[*layer], at, store)?;
    if kept.is_none() {
        for layer in layers[..*layer].iter().rev() {
            kept = content(source, layer, at, store)?;
            if kept.is_some() {
                break;
            }
        }
    }
    let mut kept = kept.ok_or(Error::NoFile { image, path })?;
    kept.rewind().map_err(Error::Write)?;
    let mut buffer = vec![0; 128 << 10];
    loop {
        match kept.read(&mut buffer).map_err(Error::Write)? {
            0 => return Ok(()),
            count => output(&buffer[..count]).map_err(Error::Write)?,
        }
    }
}

/// What a layer has at a path, in a file that nobody else sees; the last of several.
fn content(
    source: &dyn Source,
    layer: &Descriptor,
    at: &Path,
    store: &Store,
) -> Result<Option<File>, Error> {
    let workspace = store.workspace()?;
    let mut kept = None;
    let mut buffer = vec![0; 128 << 10];
    scan(source, layer, &Limits::default(), &mut |entry, data| {
        if entry.kind != EntryKind::File || clean(&entry.path) != at {
            return Ok(());
        }
        let mut file = tempfile::tempfile_in(workspace.path()).map_err(Error::Write)?;
        let whole = [(0, entry.size)];
        for (offset, length) in entry.sparse.as_deref().unwrap_or(&whole) {
            file.seek(io::SeekFrom::Start(*offset)).map_err(Error::Write)?;
            let mut part = data.take(*length);
            loop {
                let unreadable = |error| Error::Layer {
                    image: source.name(),
                    layer: layer.digest.clone(),
                    source: Box::new(crate::layer::Error::Read(error)),
                };
                match part.read(&mut buffer) {
                    Ok(0) => break,
                    Ok(count) => file.write_all(&buffer[..count]).map_err(Error::Write)?,
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => return Err(unreadable(error)),
                }
            }
        }
        file.set_len(entry.size).map_err(Error::Write)?;
        file.flush().map_err(Error::Write)?;
        kept = Some(file);
        Ok(())
    })?;
    Ok(kept)
}
