//! The files of an image, out of it: export and unpack.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

use crate::support::{Place, busybox};

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
    place.bryo("export nothing").fails(3);
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
    place.bryo("unpack nothing other").fails(3);
    assert!(!place.path("work/other").exists());
    let left = fs::read_dir(place.path("work")).expect("it").filter(|entry| {
        entry.as_ref().is_ok_and(|entry| entry.file_name().to_string_lossy().starts_with(".bryo"))
    });
    assert_eq!(left.count(), 0);
}
