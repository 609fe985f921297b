//! The files of an image, out of it: export and unpack.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

use crate::support::{Judge, Place, Said, busybox, has};

/// An image of two layers, with a bit of everything.
const DOCKERFILE: &str = "FROM base\n\
    RUN echo one > /one && echo gone > /gone && mkdir /d && echo in > /d/in && chown 33:33 /d /d/in && \
        mknod /null c 1 3 && chmod 4755 /bin/busybox && mkfifo /fifo && ln /one /again && ln -s /one /link\n\
    RUN rm /gone && echo two > /two && mkdir /e && chmod 700 /e && echo x > /e/x && chmod 000 /e/x\n\
    USER www\nENV A=1\nWORKDIR /d\nENTRYPOINT [\"cat\"]\nCMD [\"/one\"]\n";

fn built(place: &Place) -> bool {
    if !busybox(place) {
        return false;
    }
    let context = place.context("c", DOCKERFILE, &[]);
    place.bryo("build -q -t app").arg(context).succeeds();
    true
}

#[test]
fn an_exported_tar_has_all_and_is_the_same_each_time() {
    let place = Place::new();
    if !built(&place) {
        return;
    }
    place.bryo("export app -o app.tar").succeeds();
    let list = place.run("tar").args(["--numeric-owner", "-tvf", "app.tar"]).succeeds().text();
    let line = |name: &str| {
        let found = list.lines().find(|line| line.split_whitespace().any(|word| word == name));
        found.unwrap_or_else(|| panic!("{name}: {list}")).to_owned()
    };
    assert!(line("d/in").starts_with("-rw-r--r-- 33/33"), "{list}");
    assert!(
        line("null").starts_with("crw-r--r-- 0/0 ") && line("null").contains(" 1,3 "),
        "{list}"
    );
    assert!(line("bin/busybox").starts_with("-rwsr-xr-x 0/0"), "{list}");
    assert!(line("fifo").starts_with('p') && line("e/x").starts_with("----------"), "{list}");
    assert!(line("one").contains("link to again"), "{list}");
    assert!(!list.contains("gone") && !list.contains(".wh."), "{list}");
    let piped = place.bryo("export app").succeeds();
    assert!(fs::read(place.path("work/app.tar")).expect("a file") == piped.bytes());
    // What comes of it is the same again.
    place.bryo("import -q app.tar again").succeeds();
    assert!(place.bryo("export again -o -").succeeds().bytes() == piped.bytes());
    place.bryo("export localhost/nothing").fails(3);
}

#[test]
fn an_image_is_unpacked_as_its_caller_can_have_it() {
    let place = Place::new();
    if !built(&place) {
        return;
    }
    place.bryo("unpack app new/tree").succeeds().mentions("one device was left out");
    let tree = place.path("work/new/tree");
    let mode = |name: &str| {
        fs::symlink_metadata(tree.join(name)).expect(name).permissions().mode() & 0o7777
    };
    assert_eq!(fs::read_to_string(tree.join("one")).expect("a file"), "one\n");
    assert_eq!((mode("bin/busybox"), mode("e"), mode("e/x")), (0o755, 0o700, 0));
    assert!(!tree.join("gone").exists() && !tree.join("null").exists());
    let inode = |name: &str| fs::metadata(tree.join(name)).expect(name).ino();
    assert_eq!(inode("one"), inode("again"));
    let owner = fs::metadata(&tree).expect("it").uid();
    assert_eq!(fs::metadata(tree.join("d")).expect("it").uid(), owner);
    place.bryo("unpack app new/tree").fails(1).mentions("no empty directory");
    // One that is empty will do, and nothing else is left beside it.
    place.folder("work/empty");
    place.bryo("unpack app empty").succeeds();
    assert!(place.path("work/empty/two").exists());
    // As img has it.
    for line in ["unpack app", "unpack -o third app"] {
        place.bryo(line).succeeds();
    }
    assert!(place.path("work/rootfs/two").exists() && place.path("work/third/two").exists());
    // What a killed run for the same place left goes, another's stays.
    for folder in ["", "/made", "/made/rootfs"] {
        place.folder(format!("work/.bryo-bundle.left{folder}"));
    }
    place.folder("work/.bryo-other.left");
    place.bryo("unpack --bundle app bundle").succeeds();
    assert!(!place.path("work/.bryo-bundle.left").exists());
    fs::remove_dir(place.path("work/.bryo-other.left")).expect("it stayed");
    let config = fs::read_to_string(place.path("work/bundle/config.json")).expect("a file");
    assert!(config.contains("\"/one\""), "{config}");
    assert!(place.path("work/bundle/rootfs/two").exists());
    place.bryo("unpack --bundle app bundle").fails(1).mentions("no empty directory");
    place.bryo("unpack localhost/nothing other").fails(3);
    assert!(!place.path("work/other").exists());
    let left = fs::read_dir(place.path("work")).expect("it").filter(|entry| {
        entry.as_ref().is_ok_and(|entry| entry.file_name().to_string_lossy().starts_with(".bryo"))
    });
    assert_eq!(left.count(), 0);
}

#[test]
fn umoci_and_tar_make_the_same_of_it() {
    let place = Place::new();
    if !has("umoci", "umoci") || !built(&place) {
        return;
    }
    let Some(judge) = Judge::new(&place) else { return };
    // What an edit made is an image for others, too.
    place.bryo("edit --label x=y --env B=2 app edited").succeeds();
    place.bryo("edit --flatten edited flat").succeeds();
    for (name, layers) in [("edited", 4), ("flat", 1)] {
        place.bryo(&format!("edit {name} oci:layout:{name}")).succeeds();
        judge.run("cp").arg("-r").arg(place.path("work/layout")).arg(name).succeeds();
        let image = format!("{name}:{name}");
        let said = judge.run("umoci").args(["stat", "--json", "--image", &image]).succeeds().json();
        let made = said["history"].as_array().expect("a list").iter();
        assert_eq!(made.filter(|step| step["layer"].is_object()).count(), layers, "{said:#}");
    }
    // The same files, but for what only we leave out: devices and setuid bits.
    let list = |said: Said| -> Vec<String> {
        let lines = said.text();
        let lines = lines.lines().filter(|line| !line.starts_with("null "));
        lines.map(|line| line.replace(" f 4755 ", " f 755 ")).collect()
    };
    let find = "find . -mindepth 1 -printf '%P %y %m %T@ %s %l\\n' | grep -v ' d ' | sort";
    place.bryo("unpack edited ours").succeeds();
    let ours =
        list(place.run("sh").arg("-ec").arg(find).in_folder(&place.path("work/ours")).succeeds());
    judge
        .run("umoci")
        .args(["unpack", "--rootless", "--image", "edited:edited", "theirs"])
        .succeeds();
    let theirs = place.path("judge/theirs/rootfs");
    let theirs = list(judge.run("sh").arg("-ec").arg(find).in_folder(&theirs).succeeds());
    assert_eq!(ours, theirs);
    // GNU tar, which unpacks what was exported: from here or from anywhere else.
    place.bryo("export edited -o edited.tar").succeeds();
    let elsewhere = place.bryo("export oci:layout:edited").succeeds();
    assert!(fs::read(place.path("work/edited.tar")).expect("a file") == elsewhere.bytes());
    place.folder("work/tarred");
    place
        .run("tar")
        .args(["--exclude=null", "-xpf", "../edited.tar"])
        .in_folder(&place.path("work/tarred"))
        .succeeds();
    let tarred = place.path("work/tarred");
    let tarred = list(place.run("sh").arg("-ec").arg(find).in_folder(&tarred).succeeds());
    assert_eq!(ours, tarred);
}
