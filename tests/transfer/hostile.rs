//! Images that would like to reach beyond themselves, or to be too much: each one meets each place
//! that an image can go to.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt as _, symlink};
use std::path::{Path, PathBuf};

use bryo::image::{Config, Content, Descriptor, Digest, Platform, edit, media_type};
use bryo::report::{Event, Recorder, Silent};
use bryo::transfer::sink::{self, Output};
use bryo::transfer::{Endpoint, Options, Sink, Source, Surroundings, Wishes, transfer};

use crate::broken::{Image, Tar, gzip, plain};
use crate::made::{Made, Place, tar};
use crate::registries::Registry;

/// What lies outside, and what it holds.
const SECRET: &str = "not yours";

/// Everywhere an image's layers are unpacked on the way.
const UNPACKING: &[&str] = &["store", "unpack", "export", "dir", "bundle", "squashfs"];
/// Where they stay what they are.
const KEEPING: &[&str] = &["oci", "oci-archive", "registry", "docker-archive"];

/// What shall become of an image where it is unpacked.
#[derive(Debug, Clone, Copy)]
enum Fate {
    /// It has nothing that reaches out.
    Fine,
    /// It is kept inside, and this is said.
    Told(&'static str),
    /// It is refused as data that are wrong, with this word.
    Refused(&'static str),
}
use Fate::{Fine, Refused, Told};

/// An image of these blobs and of what they say to unpack to.
fn image(layers: &[(Vec<u8>, Vec<u8>)]) -> Made {
    let mut config = Config::scratch(&Platform::host());
    let mut made = Made::image(&[], &Platform::host());
    let mut descriptors = Vec::new();
    for (blob, tar) in layers {
        config.rootfs.diff_ids.push(Digest::of(tar));
        let described = Descriptor::of("application/vnd.oci.image.layer.v1.tar+gzip", blob);
        made.blobs.insert(described.digest.clone(), blob.clone());
        descriptors.push(described);
    }
    let bytes = config.to_bytes();
    let described = Descriptor::of(media_type::OCI_CONFIG, &bytes);
    made.blobs.insert(described.digest.clone(), bytes);
    made.content = Content::Image(edit::manifest(&described, &descriptors).expect("valid"));
    made
}

/// All of them; `outside` is a directory of the host.
fn images(outside: &Path) -> Vec<(&'static str, Fate, Made)> {
    let out = outside.display().to_string();
    let climbing = format!("{}{out}", "../".repeat(30).trim_end_matches('/'));
    let of = |tars: Vec<Tar>| image(&Image::of(tars).layers);
    let one = |tar: Tar| of(vec![plain(), tar]);
    let new = Tar::default;
    let (sound, zipped) = (plain().finish(), gzip(&plain().finish()));
    let raw = |blob: &[u8], tar: &[u8]| image(&[(blob.to_vec(), tar.to_vec())]);
    let sized = |size: &[u8; 12]| {
        let mut tar = new().file("large", "x").finish();
        tar[124..136].copy_from_slice(size);
        tar[148..156].fill(b' ');
        let sum: u32 = tar[..512].iter().map(|byte| u32::from(*byte)).sum();
        tar[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        raw(&gzip(&tar), &tar)
    };
    let many = (0..3_000).fold(new(), |tar, at| tar.file(&format!("many/{}/{at}", at % 7), ""));
    let mut deep = new();
    deep = deep.pax("path", "d/".repeat(200).as_bytes()).dir("deep");
    vec![
        ("a name that climbs", Told("2 entries that lead outside"), {
            let there = format!("{climbing}/file");
            one(new().file("../../ESCAPED", "x").file(&there, "mine"))
        }),
        (
            "an absolute name",
            Told("kept inside, namely"),
            one(new().file(&format!("{out}/file"), "mine")),
        ),
        ("a link out", Told("2 entries"), {
            one(new().symlink("lnk", &out).file("lnk/file", "mine").file("lnk/new", "mine"))
        }),
        ("a link that climbs out", Told("kept inside, namely"), {
            one(new().symlink("etc/lnk", &climbing).file("etc/lnk/file", "mine"))
        }),
        ("a link of a lower layer", Told("kept inside, namely"), {
            // Which has a directory at its end, as the host.
            let below = new().symlink("lnk", &out).dir(out.trim_start_matches('/'));
            of(vec![below, new().file("lnk/file", "mine")])
        }),
        ("a link to a link", Told("kept inside, namely"), {
            one(new().symlink("a", "b").symlink("b", &out).file("a/file", "mine"))
        }),
        ("deletions through a link", Told("2 entries"), {
            one(new().symlink("lnk", &out).file("lnk/.wh.file", "").file("lnk/.wh..wh..opq", ""))
        }),
        ("a link in a link's place", Fine, {
            one(new().symlink("lnk", &format!("{out}/file")).file("lnk", "mine"))
        }),
        ("a directory in a link's place", Fine, one(new().symlink("lnk", &out).dir("lnk"))),
        ("a hard link out", Refused("hard link"), {
            one(new().hard_link("hard", &format!("{out}/file")))
        }),
        ("a hard link that climbs", Refused("hard link"), {
            one(new().hard_link("hard", "../../../../../../etc/hostname"))
        }),
        ("a hard link to nothing", Refused("hard link"), one(new().hard_link("hard", "none"))),
        ("a hard link through a link", Refused("hard link"), {
            one(new().symlink("lnk", &out).hard_link("hard", "lnk/file"))
        }),
        ("a hard link to itself", Refused("hard link"), one(new().hard_link("hard", "hard"))),
        ("a hard link to a directory", Refused("to a directory"), {
            of(vec![new().dir("d").hard_link("hard", "d")])
        }),
        ("an entry below a file", Refused("\"a/b\" of the archive lies below \"a\""), {
            one(new().file("a", "1").file("a/b", "2"))
        }),
        ("an entry below a lower file", Told("a file of a lower layer gave way"), {
            of(vec![new().file("a", "1"), new().file("a/b", "2")])
        }),
        (
            "links in a circle",
            Refused("\"a/x\" of the archive cannot be unpacked: symbolic links"),
            { one(new().symlink("a", "b").symlink("b", "a").file("a/x", "x")) },
        ),
        ("a name of 300 characters", Refused("cannot be unpacked: a name in it"), {
            one(new().pax("path", "n".repeat(300).as_bytes()).file("short", "x"))
        }),
        ("a path of 5000 characters", Refused("longer than 4095 bytes"), {
            one(new().pax("path", "n/".repeat(2500).as_bytes()).file("short", "x"))
        }),
        ("a link of 5000 characters", Refused("too long"), {
            one(new().pax("linkpath", "n/".repeat(2500).as_bytes()).symlink("lnk", "short"))
        }),
        ("a name with a NUL", Refused(""), one(new().pax("path", b"a\0b").file("short", "x"))),
        ("a directory deep down", Fine, one(deep)),
        (
            "a header of 5 MB",
            Refused("header"),
            one(new().pax("comment", &vec![b'x'; 5 << 20]).file("a", "x")),
        ),
        ("a path twice", Fine, one(new().file("a", "1").file("a", "2").symlink("a", &out))),
        ("devices", Fine, {
            let device = |path, flag| new().entry(path, flag, 0o666, 0, "", b"");
            of(vec![device("disk", b'4'), device("null", b'3'), device("fifo", b'6')])
        }),
        ("a setuid program", Fine, one(new().mode("su", 0o6777))),
        ("a time before 1970", Fine, one(new().entry("old", b'0', 0o644, -5, "", b""))),
        ("a far time", Fine, one(new().entry("new", b'0', 0o644, 1 << 60, "", b""))),
        ("a deletion of nothing", Refused("deletes no name"), one(new().file(".wh...", ""))),
        ("a deletion of all", Fine, one(new().file(".wh..wh..opq", ""))),
        ("a gzip that is cut off", Refused(""), raw(&zipped[..zipped.len() - 20], &sound)),
        ("a gzip of something else", Refused("unpacks to"), raw(&zipped, b"another")),
        ("a gzip with a wrong sum", Refused(""), {
            let mut wrong = zipped.clone();
            let at = wrong.len() - 8;
            wrong[at] ^= 1;
            raw(&wrong, &sound)
        }),
        ("no archive", Refused("malformed"), raw(&gzip(&[b'x'; 2048]), &[b'x'; 2048])),
        ("a tar that is cut off", Refused("ends in the middle"), {
            raw(&gzip(&sound[..1040]), &sound[..1040])
        }),
        ("a size of 8 GiB that is not there", Refused("reading"), sized(b"77777777777\0")),
        ("a size of 2^63", Refused(""), sized(b"\x80\0\0\0\x7f\xff\xff\xff\xff\xff\xff\xff")),
        ("3,000 entries", Fine, of(vec![many])),
        // 16 MiB that came in 16 KiB: holes take no room.
        ("a bomb of zeros", Fine, one(new().entry("bomb", b'0', 0o644, 0, "", &vec![0; 16 << 20]))),
    ]
}

/// What is at a place and below, with all that somebody could have changed.
fn drawn(dir: &Path, into: &mut BTreeMap<PathBuf, String>) {
    let meta = fs::symlink_metadata(dir).expect("it is there");
    let times = (meta.mtime(), meta.mtime_nsec(), meta.ctime(), meta.ctime_nsec());
    let content = if meta.is_file() { fs::read(dir).expect("readable") } else { Vec::new() };
    let all = (meta.mode(), meta.uid(), meta.gid(), meta.nlink(), meta.ino(), times, content);
    into.insert(dir.to_owned(), format!("{all:?}"));
    if meta.is_dir() {
        for entry in fs::read_dir(dir).expect("readable").flatten() {
            drawn(&entry.path(), into);
        }
    }
}

/// Sends an image to a new place; gives what went wrong, and the warnings.
fn send(made: &Made, kind: &str, registry: &Registry) -> (Result<(), String>, Vec<String>) {
    let place = Place::new();
    let recorder = Recorder::default();
    let target = place.path("target");
    let around = Surroundings { reporter: &recorder, ..registry.around(&place) };
    let result = put(made, kind, &target, around, registry);
    let texts = recorder.events().into_iter().filter_map(|event| match event {
        Event::Warning { text } => Some(text),
        _ => None,
    });
    // Directories may forbid their own removal.
    if target.is_dir() {
        drop(bryo::rootfs::remove_tree(&target));
    }
    (result, texts.collect())
}

fn put(
    made: &Made,
    kind: &str,
    target: &Path,
    around: Surroundings<'_>,
    registry: &Registry,
) -> Result<(), String> {
    let Surroundings { store, reporter, .. } = around;
    let told = |error: bryo::transfer::Error| {
        let mut text = error.to_string();
        let mut cause = std::error::Error::source(&error);
        while let Some(error) = cause {
            text += &format!(": {error}");
            cause = error.source();
        }
        text
    };
    let sink: Box<dyn Sink> = match kind {
        "store" => Box::new(sink::Store::new(store).telling(reporter)),
        "unpack" => Box::new(sink::Unpacked::tree(store, target, reporter).map_err(told)?),
        "export" => {
            let output = Output::File(target.to_owned());
            Box::new(sink::Tree::tar(store, output, reporter).map_err(told)?)
        }
        "registry" => Box::new(registry.sink(&registry.name("hostile:1"))),
        scheme => {
            let to: Endpoint = format!("{scheme}:{}", target.display()).parse().expect(scheme);
            to.sink(around, &Wishes::default()).map_err(told)?.0
        }
    };
    let done = transfer(made, &*sink, &Options::default(), reporter);
    done.and_then(|_| sink.finish()).map_err(told)
}

pub(crate) fn hostile_images_meet_every_sink() {
    let base = Place::new();
    let registry = Registry::start(&base);
    let outside = base.path("outside");
    fs::create_dir_all(outside.join("dir")).expect("made");
    fs::write(outside.join("file"), SECRET).expect("written");
    symlink("file", outside.join("link")).expect("linked");
    let look = || {
        let mut all = BTreeMap::new();
        drawn(&outside, &mut all);
        all
    };
    let before = look();
    for (what, fate, made) in images(&outside) {
        for kind in UNPACKING {
            let (result, warnings) = send(&made, kind, &registry);
            let strays: Vec<&String> = warnings
                .iter()
                .filter(|text| text.contains("kept inside") || text.contains("gave way"))
                .collect();
            match (fate, &result) {
                (Fine, Ok(())) => assert!(strays.is_empty(), "{what} {kind}: {strays:?}"),
                (Told(word), Ok(())) => {
                    // Once, and which layer it is.
                    assert!(
                        strays.len() == 1
                            && strays[0].contains(word)
                            && strays[0].starts_with("layer sha256:"),
                        "{what} {kind}: {warnings:?}"
                    );
                }
                (Refused(word), Err(error)) => {
                    assert!(error.contains(word), "{what} {kind}: {error}");
                    assert!(error.contains("sha256:"), "{what} {kind}: {error}");
                }
                _ => panic!("{what} {kind}: {result:?} {warnings:?}"),
            }
            assert_eq!(look(), before, "{what} {kind}");
        }
        for kind in KEEPING {
            let (result, _) = send(&made, kind, &registry);
            assert!(result.is_ok() || *kind == "docker-archive", "{what} {kind}: {result:?}");
            assert_eq!(look(), before, "{what} {kind}");
        }
        assert!(!Path::new("/ESCAPED").exists());
    }
}

fn copy(source: &dyn Source, to: &str, around: Surroundings<'_>) -> Result<(), String> {
    let to: Endpoint = to.parse().expect(to);
    let (sink, names) = to.sink(around, &Wishes::default()).map_err(|error| error.to_string())?;
    let options = Options { names, ..Options::default() };
    transfer(source, &*sink, &options, &Recorder::default())
        .and_then(|_| sink.finish())
        .map_err(|error| format!("{error}: {:?}", std::error::Error::source(&error)))
}

pub(crate) fn accounts_and_targets_are_their_owners() {
    let place = Place::new();
    let registry = Registry::start(&place);
    let around = registry.around(&place);
    let outside = place.path("outside");
    fs::create_dir(&outside).expect("made");
    let passwd = format!("etc/passwd 777 0 ->{}/passwd", outside.display());
    fs::write(outside.join("passwd"), "root:x:0:0::/:/bin/sh\nspy:x:77:77::/:/bin/sh\n")
        .expect("written");
    // A user of the host's accounts is none of the image's.
    let mut made = Made::image(&[tar(&["etc/ 755 0 ", &passwd])], &Platform::host());
    let Content::Image(manifest) = made.content.clone() else { panic!("it was made as one") };
    let mut config: serde_json::Value =
        serde_json::from_slice(&made.blobs[&manifest.config.digest]).expect("JSON");
    config["config"]["User"] = "spy".into();
    let bytes = config.to_string().into_bytes();
    let described = Descriptor::of(media_type::OCI_CONFIG, &bytes);
    made.blobs.insert(described.digest.clone(), bytes);
    let new = edit::manifest(&described, &manifest.layers).expect("valid");
    made.content = Content::Image(new);
    let error = copy(&made, &format!("bundle:{}", place.path("spied").display()), around);
    let error = error.expect_err("nobody of that name");
    assert!(error.contains("no user \"spy\""), "{error}");
    // Where the target itself is a link, it is its own that made it.
    let real = place.path("real");
    fs::create_dir(&real).expect("made");
    symlink(&real, place.path("link")).expect("linked");
    let made = Made::image(&[tar(&["a 644 0 a"])], &Platform::host());
    copy(&made, &format!("dir:{}", place.path("link").display()), around).expect("written");
    assert!(real.join("a").is_file());
    transfer(&made, &registry.sink(&registry.name("a:1")), &Options::default(), &Silent)
        .expect("fine");
}
