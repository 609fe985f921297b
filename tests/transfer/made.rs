//! Images made for the tests, and what each test needs.

use std::collections::HashMap;
use std::io::{Read, Write as _};
use std::process::Command;

use bryo::image::{Config, Content, Descriptor, Digest, Platform, Reference, edit, media_type};
use bryo::layer::archive::{Entry, EntryKind, Writer};
use bryo::layer::compress::{Compression, Compressor};
use bryo::report::{Event, Outcome, Recorder, Silent};
use bryo::store::Store;
use bryo::transfer::{Error, Options, Sink, Source, sink, source, transfer};
use tempfile::TempDir;

/// A source in memory.
#[derive(Debug, Clone)]
pub(crate) struct Made {
    pub(crate) content: Content,
    pub(crate) others: HashMap<Digest, Content>,
    pub(crate) blobs: HashMap<Digest, Vec<u8>>,
}

impl Source for Made {
    fn name(&self) -> String {
        "made".to_owned()
    }

    fn root(&self) -> Result<Content, Error> {
        Ok(self.content.clone())
    }

    fn manifest(&self, descriptor: &Descriptor) -> Result<Content, Error> {
        Ok(self.others[&descriptor.digest].clone())
    }

    fn open(&self, descriptor: &Descriptor) -> Result<Box<dyn Read + Send + '_>, Error> {
        Ok(Box::new(&self.blobs[&descriptor.digest][..]))
    }
}

/// A line is `PATH MODE UID CONTENT`; a path that ends with `/` is a directory, content that begins
/// with `->` a symbolic link, with `=>` a hard link, with `c` and a space a character device.
pub(crate) fn tar(lines: &[&str]) -> Vec<u8> {
    let mut writer = Writer::new(Vec::new());
    for line in lines {
        let words: Vec<&str> = line.splitn(4, ' ').collect();
        let [path, mode, uid, content] = words[..] else { panic!("{line}") };
        let (kind, link) = match content.split_at_checked(2) {
            Some(("->", target)) => (EntryKind::Symlink, Some(target)),
            Some(("=>", target)) => (EntryKind::Hardlink, Some(target)),
            Some(("c ", _)) => (EntryKind::Char, None),
            _ if path.ends_with('/') => (EntryKind::Dir, None),
            _ => (EntryKind::File, None),
        };
        let mut entry = Entry::new(path.trim_end_matches('/'), kind);
        entry.mode = u32::from_str_radix(mode, 8).expect("octal");
        entry.uid = uid.parse().expect("a number");
        entry.link = link.map(Into::into);
        entry.mtime = (1_000_000_000, 0);
        if kind == EntryKind::Char {
            entry.device = (1, 3);
        }
        if kind == EntryKind::File {
            entry.size = content.len() as u64;
        }
        writer.append(&entry, content.as_bytes()).expect(line);
    }
    writer.finish().expect("in memory")
}

pub(crate) fn compressed(bytes: &[u8], compression: Compression) -> Vec<u8> {
    let mut compressor = Compressor::new(Vec::new(), compression, 1).expect("in memory");
    compressor.write_all(bytes).expect("in memory");
    compressor.finish().expect("in memory")
}

impl Made {
    /// An image of these layers' tars, the first one gzipped, the second one zstd, and so on.
    pub(crate) fn image(layers: &[Vec<u8>], platform: &Platform) -> Self {
        let mut config = Config::scratch(platform);
        config.runtime.cmd = Some(vec!["sh".to_owned()]);
        let ways = [Compression::GZIP, Compression::ZSTD, Compression::None];
        let mut blobs = HashMap::new();
        let mut descriptors = Vec::new();
        for (layer, compression) in layers.iter().zip(ways.iter().cycle()) {
            config.rootfs.diff_ids.push(Digest::of(layer));
            let blob = compressed(layer, *compression);
            descriptors.push(Descriptor::of(compression.media_type(), &blob));
            blobs.insert(Digest::of(&blob), blob);
        }
        let bytes = config.to_bytes();
        let described = Descriptor::of(media_type::OCI_CONFIG, &bytes);
        blobs.insert(described.digest.clone(), bytes);
        let manifest = edit::manifest(&described, &descriptors).expect("valid");
        Self { content: Content::Image(manifest), others: HashMap::new(), blobs }
    }

    /// Three layers with a bit of everything.
    pub(crate) fn usual() -> Self {
        let large = format!("large 644 0 {}", "moss ".repeat(400_000));
        let layers = [
            tar(&["bin/ 755 0 ", "bin/sh 4755 0 #!", "etc/ 755 0 ", "tmp/ 1777 0 ", &large]),
            tar(&[
                "etc/ 755 0 ",
                "etc/passwd 640 42 root",
                "etc/link 777 7 ->passwd",
                "null 666 0 c ",
            ]),
            tar(&["etc/ 755 0 ", "etc/.wh.link 0 0 ", "etc/other 600 0 =>etc/passwd"]),
        ];
        Self::image(&layers, &Platform::host())
    }

    /// An index of images for several platforms.
    pub(crate) fn index(platforms: &[&str]) -> Self {
        let mut made = Self::usual();
        let mut entries = Vec::new();
        for platform in platforms {
            let wanted: Platform = platform.parse().expect("valid");
            let file = format!("platform 644 0 {platform}");
            let image = Self::image(&[tar(&[&file])], &wanted);
            let descriptor = image.content.descriptor().clone();
            entries.push(Descriptor { platform: Some(wanted), ..descriptor.clone() });
            made.others.insert(descriptor.digest, image.content);
            made.blobs.extend(image.blobs);
        }
        made.content = edit::index(&entries).expect("valid");
        made
    }

    pub(crate) fn digest(&self) -> &Digest {
        &self.content.descriptor().digest
    }
}

/// A directory of the test's own, with a storage directory in it.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) dir: TempDir,
    pub(crate) store: Store,
}

impl Place {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let store = Store::open(&dir.path().join("store")).expect("a storage directory");
        Self { dir, store }
    }

    pub(crate) fn path(&self, name: &str) -> std::path::PathBuf {
        self.dir.path().join(name)
    }

    /// Brings something into the storage directory.
    pub(crate) fn take(&self, source: &dyn Source) -> Result<Digest, Error> {
        let sink = sink::Store::new(&self.store);
        let names = source.names();
        let options = Options { names, ..Options::default() };
        transfer(source, &sink, &options, &Silent).map(|descriptor| descriptor.digest)
    }

    /// Sends something out of it; the sink is finished.
    pub(crate) fn send(&self, digest: &Digest, names: &[Reference], sink: Box<dyn Sink + '_>) {
        let source = source::Store::find(&self.store, digest.hex()).expect("it is there");
        let options = Options { names: names.to_vec(), ..Options::default() };
        transfer(&source, &*sink, &options, &Silent).expect("sent");
        sink.finish().expect("finished");
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // Trees may forbid their own removal.
        drop(bryo::rootfs::remove_tree(&self.dir.path().join("store")));
    }
}

pub(crate) fn name(text: &str) -> Reference {
    text.parse().expect(text)
}

/// How the layers of a transfer ended.
pub(crate) fn outcomes(recorder: &Recorder) -> Vec<Outcome> {
    let ended = |event| match event {
        Event::Finished { outcome, .. } => Some(outcome),
        _ => None,
    };
    recorder.events().into_iter().filter_map(ended).collect()
}

/// Runs a program; gives what it wrote to stdout.
pub(crate) fn run(program: &str, args: &[&str]) -> String {
    let output = Command::new(program).args(args).output().expect(program);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {args:?}: {stderr}");
    String::from_utf8(output.stdout).expect("text")
}
