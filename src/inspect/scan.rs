//! Layers as they stream by: verified, entry by entry, stored nowhere.

use std::io::{self, Read};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use super::Error;
use crate::image::{Descriptor, Verified};
use crate::layer;
use crate::layer::archive::{Entry, Reader};
use crate::layer::compress::decompress;
use crate::transfer::{self, Source};

/// How far images are followed that may be meant to fill the memory or to take for ever.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Entries of all layers of an image.
    pub entries: usize,
    /// Bytes of their names and of the targets of their links.
    pub names: usize,
    /// So many bytes may each layer unpack to, however small it is.
    pub unpacked: u64,
    /// More only if they are not more than so many times its own.
    pub ratio: u64,
}

impl Default for Limits {
    /// The largest images that people make have half a million files. Compressors of layers reach
    /// 1:200 with data that is data; zeros reach 1:1000 with gzip and 1:30000 with zstd.
    fn default() -> Self {
        Self { entries: 1 << 21, names: 256 << 20, unpacked: 8 << 30, ratio: 200 }
    }
}

impl Limits {
    /// What a layer of `size` bytes may unpack to.
    pub fn of_layer(&self, size: u64) -> u64 {
        self.unpacked.max(size.saturating_mul(self.ratio))
    }
}

/// What of the limits is used up.
#[derive(Debug, Default)]
pub struct Budget {
    entries: AtomicUsize,
    names: AtomicUsize,
}

impl Budget {
    /// Counts an entry; false when there were too many before.
    pub fn takes(&self, entry: &Entry, limits: &Limits) -> bool {
        let link = entry.link.as_ref().map_or(0, |link| link.as_os_str().len());
        let length = entry.path.as_os_str().len() + link;
        self.entries.fetch_add(1, Ordering::Relaxed) < limits.entries
            && self.names.fetch_add(length, Ordering::Relaxed) + length <= limits.names
    }
}

/// Fails when there is more than there may be.
#[derive(Debug)]
pub(super) struct Capped<R> {
    inner: R,
    left: u64,
}

impl<R> Capped<R> {
    pub(super) fn new(inner: R, most: u64) -> Self {
        Self { inner, left: most }
    }
}

/// What [`Capped`] says; travels inside an [`io::Error`].
#[derive(Debug, thiserror::Error)]
#[error("it unpacks to more than a layer of its size can mean")]
pub(super) struct Bomb;

impl<R: Read> Read for Capped<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        match self.left.checked_sub(count as u64) {
            Some(left) => self.left = left,
            None => return Err(io::Error::new(io::ErrorKind::InvalidData, Bomb)),
        }
        Ok(count)
    }
}

/// Reads a layer to its end and shows `visit` each entry with its content (what it leaves is passed
/// over). Fails at the end unless the bytes were those that `descriptor` names, so that nobody
/// should believe what `visit` saw before this returns.
///
/// # Errors
///
/// What the source, the archive and `visit` say, and [`Error::TooMuch`].
pub fn scan(
    source: &dyn Source,
    descriptor: &Descriptor,
    limits: &Limits,
    visit: &mut dyn FnMut(Entry, &mut dyn Read) -> Result<(), Error>,
) -> Result<(), Error> {
    let inner = source.open(descriptor)?;
    let mut compressed = Verified::new(inner, descriptor.digest.clone(), Some(descriptor.size));
    let unreadable = |error| explain(source, descriptor, error);
    {
        let plain =
            decompress(&mut compressed).map_err(|error| unreadable(layer::Error::Read(error)))?;
        let mut reader = Reader::new(Capped::new(plain, limits.of_layer(descriptor.size)));
        while let Some(entry) = reader.next_entry().map_err(unreadable)? {
            visit(entry, &mut reader)?;
        }
        reader.finish().map_err(|error| unreadable(layer::Error::Read(error)))?;
    }
    io::copy(&mut compressed, &mut io::sink())
        .map_err(|error| unreadable(layer::Error::Read(error)))?;
    Ok(())
}

/// What it means that a layer cannot be read: the cause may be the registry, or that the bytes are
/// others.
fn explain(source: &dyn Source, descriptor: &Descriptor, error: layer::Error) -> Error {
    let (image, layer) = (source.name(), descriptor.digest.clone());
    let error = match error {
        layer::Error::Read(error) => error,
        source => return Error::Layer { image, layer, source: Box::new(source) },
    };
    if error.get_ref().is_some_and(|inner| inner.is::<Bomb>()) {
        return Error::TooMuch { image, what: format!("layer {layer}: {Bomb}") };
    }
    unreadable(source, descriptor, error)
}

/// What it means that a blob cannot be read.
pub fn unreadable(source: &dyn Source, descriptor: &Descriptor, error: io::Error) -> Error {
    match error.downcast::<crate::registry::Error>() {
        Ok(error) => transfer::Error::from(error).into(),
        Err(error) => {
            let (digest, from) = (descriptor.digest.clone(), source.name());
            transfer::Error::Read { digest, from, source: error }.into()
        }
    }
}

/// Does `deed` to each item, up to `jobs` at the same time; results come in the items' order.
///
/// # Errors
///
/// The first that happened; what was not begun by then is not done.
pub fn side_by_side<I: Sync, T: Send, E: Send>(
    items: &[I],
    jobs: usize,
    deed: impl Fn(usize, &I) -> Result<T, E> + Sync,
) -> Result<Vec<T>, E> {
    let threads = jobs.clamp(1, items.len().max(1));
    if threads == 1 {
        return items.iter().enumerate().map(|(at, item)| deed(at, item)).collect();
    }
    let next = AtomicUsize::new(0);
    let done: Mutex<(Vec<Option<T>>, Option<E>)> =
        Mutex::new((items.iter().map(|_| None).collect(), None));
    let lock = || done.lock().expect("nobody panics while keeping a result");
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    let Some(item) = items.get(at) else { return };
                    if lock().1.is_some() {
                        return;
                    }
                    match deed(at, item) {
                        Ok(result) => lock().0[at] = Some(result),
                        Err(error) => {
                            lock().1.get_or_insert(error);
                        }
                    }
                }
            });
        }
    });
    let (results, error) = done.into_inner().expect("nobody panics while keeping a result");
    match error {
        Some(error) => Err(error),
        None => Ok(results.into_iter().flatten().collect()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_keep_the_order_of_the_items() {
        for jobs in [0, 1, 3, 40] {
            let items: Vec<usize> = (0..20).collect();
            let found = side_by_side(&items, jobs, |at, item| Ok::<_, ()>(at + item));
            assert_eq!(found, Ok((0..20).map(|n| 2 * n).collect()));
            let failed = side_by_side(&items, jobs, |_, item| match item {
                7 => Err("seven"),
                other => Ok(*other),
            });
            assert_eq!(failed, Err("seven"));
        }
    }

    #[test]
    fn too_much_is_noticed_before_it_is_all_there() {
        let mut capped = Capped::new(io::repeat(0), 100_000);
        let error = io::copy(&mut capped, &mut io::sink()).expect_err("it never ends");
        assert!(error.get_ref().is_some_and(|inner| inner.is::<Bomb>()), "{error}");
        let mut fits = Capped::new(&[1_u8; 10][..], 10);
        assert_eq!(io::copy(&mut fits, &mut io::sink()).expect("it fits"), 10);
        let limits = Limits { unpacked: 1000, ratio: 10, ..Limits::default() };
        assert_eq!((limits.of_layer(5), limits.of_layer(500)), (1000, 5000));
        let budget = Budget::default();
        let limits = Limits { entries: 2, names: 100, ..limits };
        let entry = Entry::new("abc", crate::layer::archive::EntryKind::File);
        let taken: Vec<bool> = (0..3).map(|_| budget.takes(&entry, &limits)).collect();
        assert_eq!(taken, [true, true, false]);
    }
}
