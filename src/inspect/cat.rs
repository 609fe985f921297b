//! [`cat`]: one file out of an image.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read, Seek as _, Write as _};
use std::path::Path;
use std::sync::Mutex;

use super::listing::{broken, list_showing};
use super::scan::{Budget, Limits, scan, side_by_side};
use super::{Error, Merged, Placed, find};
use crate::image::Descriptor;
use crate::layer;
use crate::layer::archive::{Entry, EntryKind};
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
    let workspace = store.workspace()?;
    let folder = workspace.path();
    // Most of the time no link is on the way, and layers need to be read only once.
    let direct = clean(&path);
    let seen = Mutex::new(HashMap::new());
    let (limits, budget) = (Limits::default(), Budget::default());
    let listings = side_by_side(layers, jobs, |number, layer| {
        list_showing(source, layer, &limits, &budget, &mut |entry, path, data| {
            if path == direct {
                let file = spool(source, layer, entry, data, folder)?;
                seen.lock().expect("keeping a file cannot panic").insert(number, file);
            }
            Ok(None)
        })
    })?;
    let mut seen = seen.into_inner().expect("keeping a file cannot panic");
    let merged = Merged::of(listings);
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
    let at = at.as_ref().map_or(place.as_path(), |at| at.as_path());
    let mut kept = None;
    // A hard link's file may be that of a lower layer.
    for number in (0..=*layer).rev() {
        kept = match at == direct {
            true => seen.remove(&number),
            false => content(source, &layers[number], at, folder)?,
        };
        if kept.is_some() {
            break;
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
    folder: &Path,
) -> Result<Option<File>, Error> {
    let mut kept = None;
    scan(source, layer, &Limits::default(), &mut |entry, data| {
        if entry.kind == EntryKind::File && clean(&entry.path) == at {
            kept = Some(spool(source, layer, &entry, data, folder)?);
        }
        Ok(())
    })?;
    Ok(kept)
}

/// The content of an entry, in a file that nobody else sees.
fn spool(
    source: &dyn Source,
    layer: &Descriptor,
    entry: &Entry,
    data: &mut dyn Read,
    folder: &Path,
) -> Result<File, Error> {
    let mut file = tempfile::tempfile_in(folder).map_err(Error::Write)?;
    let mut buffer = vec![0; 128 << 10];
    let whole = [(0, entry.size)];
    for (offset, length) in entry.sparse.as_deref().unwrap_or(&whole) {
        file.seek(io::SeekFrom::Start(*offset)).map_err(Error::Write)?;
        let mut part = data.take(*length);
        loop {
            match part.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => file.write_all(&buffer[..count]).map_err(Error::Write)?,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(broken(source, layer, layer::Error::Read(error))),
            }
        }
    }
    file.set_len(entry.size).map_err(Error::Write)?;
    file.flush().map_err(Error::Write)?;
    Ok(file)
}
