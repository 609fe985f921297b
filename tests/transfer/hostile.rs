//! Images that would like to reach beyond themselves.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use bryo::image::{Content, Platform};
use bryo::report::{Recorder, Silent};
use bryo::transfer::{Endpoint, Options, Source, Surroundings, Wishes, transfer};

use crate::made::{Made, Place, tar};
use crate::registries::Registry;

/// What lies beside every target, and what it holds.
const SECRET: &str = "not yours";

fn copy(source: &dyn Source, to: &str, around: Surroundings<'_>) -> Result<(), String> {
    let to: Endpoint = to.parse().expect(to);
    let (sink, names) = to.sink(around, &Wishes::default()).map_err(|error| error.to_string())?;
    let options = Options { names, ..Options::default() };
    transfer(source, &*sink, &options, &Recorder::default())
        .and_then(|_| sink.finish())
        .map_err(|error| format!("{error}: {:?}", std::error::Error::source(&error)))
}

pub(crate) fn nothing_outside_is_touched() {
    let place = Place::new();
    let registry = Registry::start(&place);
    let around = registry.around(&place);
    let outside = place.path("outside");
    fs::create_dir(&outside).expect("made");
    fs::write(outside.join("file"), SECRET).expect("written");
    let out = outside.display().to_string();
    let [through, deep] =
        [format!("lnk 777 0 ->{out}"), format!("etc/lnk 777 0 ->../../../../..{out}")];
    let [hard, passwd] =
        [format!("hard 644 0 =>{out}/file"), format!("etc/passwd 777 0 ->{out}/passwd")];
    fs::write(outside.join("passwd"), "root:x:0:0::/:/bin/sh\nspy:x:77:77::/:/bin/sh\n")
        .expect("written");
    for (lines, said) in [
        // What climbs stays inside, as in a container.
        (&["../../ESCAPED 644 0 x", "/ABSOLUTE 644 0 x"][..], None),
        (&[&*through, "lnk/file 644 0 mine", "lnk/new 644 0 mine"], None),
        (&["etc/ 755 0 ", &*deep, "etc/lnk/file 644 0 mine"], None),
        (&["../../../outside/file 644 0 mine"], None),
        (&[&*through, "lnk/ 755 0 ", "lnk/.wh.file 0 0 ", "lnk/.wh..wh..opq 0 0 "], None),
        (&[&*hard], Some("hard link")),
        (&["hard 644 0 =>../../../../../../etc/hostname"], Some("hard link")),
        (&[&*passwd, "a 644 0 a"], None),
        (&["a 644 0 a", "a 644 0 b", "null 666 0 c "], None),
        (&[".wh..wh..opq 0 0 ", ".wh... 0 0 "], Some("it deletes no name")),
    ] {
        let made = Made::image(&[tar(lines), tar(lines)], &Platform::host());
        for scheme in ["dir", "bundle", "squashfs"] {
            let target = place.path("target");
            let result = copy(&made, &format!("{scheme}:{}", target.display()), around);
            match (&result, said) {
                (Ok(()), None) => {}
                (Err(error), Some(said)) => assert!(error.contains(said), "{lines:?}: {error}"),
                (result, _) => panic!("{scheme} {lines:?}: {result:?}"),
            }
            assert_eq!(
                fs::read_to_string(outside.join("file")).expect("there"),
                SECRET,
                "{lines:?}"
            );
            let mut names: Vec<_> =
                fs::read_dir(&outside).expect("listed").flatten().map(|e| e.file_name()).collect();
            names.sort();
            assert_eq!(names, ["file", "passwd"], "{lines:?}");
            assert!(!place.path("ESCAPED").exists() && !Path::new("/ABSOLUTE").exists());
            if target.is_dir() {
                drop(bryo::rootfs::remove_tree(&target));
            } else {
                drop(fs::remove_file(&target));
            }
        }
    }
    // A user of the host's accounts is none of the image's.
    let mut made = Made::image(&[tar(&["etc/ 755 0 ", &passwd])], &Platform::host());
    let Content::Image(manifest) = made.content.clone() else { panic!("it was made as one") };
    let mut config: serde_json::Value =
        serde_json::from_slice(&made.blobs[&manifest.config.digest]).expect("JSON");
    config["config"]["User"] = "spy".into();
    let bytes = config.to_string().into_bytes();
    let described = bryo::image::Descriptor::of(bryo::image::media_type::OCI_CONFIG, &bytes);
    made.blobs.insert(described.digest.clone(), bytes);
    let new = bryo::image::edit::manifest(&described, &manifest.layers).expect("valid");
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
