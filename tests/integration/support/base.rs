//! Base images.

use std::path::{Path, PathBuf};

use super::{Place, has, skip};

/// Programs that the small base has links for.
const PROGRAMS: &str = "sh cat chmod chown cp cut dd echo env find grep hostname id kill ln ls mkdir \
    mkfifo mount mv printf ps pwd readlink rm rmdir sed seq sleep sort stat tail test touch tr true \
    false umask uname wc";

/// Imports an image `base` of a static busybox; false where there is none.
pub(crate) fn busybox(place: &Place) -> bool {
    if !has("busybox", "busybox-static") {
        return false;
    }
    let root = busybox_root(place);
    place.bryo("import").arg(root).arg("base").succeeds();
    true
}

/// A directory with a static busybox and its links.
pub(crate) fn busybox_root(place: &Place) -> PathBuf {
    let script = format!(
        "umask 022; rm -rf root; mkdir -p root/bin root/etc root/root root/tmp root/usr && chmod 1777 root/tmp &&
         cp /bin/busybox root/bin/busybox && chmod 755 root/bin/busybox &&
         for p in {PROGRAMS}; do ln -s busybox root/bin/$p; done &&
         echo 'root:x:0:0:root:/root:/bin/sh' > root/etc/passwd &&
         echo 'www:x:33:33:www:/var/www:/bin/false' >> root/etc/passwd &&
         echo 'root:x:0:' > root/etc/group && echo 'www:x:33:' >> root/etc/group"
    );
    place.run("sh").arg("-ec").arg(script).succeeds();
    place.path("work/root")
}

/// A tar with a static busybox for arm64 that `tests/run` made.
pub(crate) fn foreign_busybox() -> Option<PathBuf> {
    match std::env::var_os("BRYO_TEST_FOREIGN").map(PathBuf::from) {
        Some(tar) if Path::exists(&tar) => Some(tar),
        _ => {
            skip("tests of foreign programs (sudo tests/run makes a busybox for arm64)");
            None
        }
    }
}

/// The tar of a Debian base that `tests/run` made.
pub(crate) fn debian() -> Option<PathBuf> {
    match std::env::var_os("BRYO_TEST_BASE").map(PathBuf::from) {
        Some(tar) if Path::exists(&tar) => Some(tar),
        _ => {
            skip("tests on a Debian base (sudo tests/run makes one)");
            None
        }
    }
}
