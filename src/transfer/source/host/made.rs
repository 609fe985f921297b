//! The files of such an image that are not the host's: they would tell who lives there.

use super::collect::{Collection, Item};

const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\n\
    nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n";
const GROUP: &str = "root:x:0:\ntty:x:5:\nstaff:x:50:\nnogroup:x:65534:\n";
const NSSWITCH: &str = "passwd: files\ngroup: files\nshadow: files\nhosts: files dns\n\
    networks: files\nprotocols: files\nservices: files\n";
const OS_RELEASE: &str = "ID=host\nNAME=\"programs of a host\"\n";

pub(super) fn skeleton(collection: &mut Collection) {
    let dirs = [
        ("/", 0o755),
        ("/dev", 0o755),
        ("/etc", 0o755),
        ("/proc", 0o755),
        ("/root", 0o700),
        ("/run", 0o755),
        ("/sys", 0o755),
        ("/tmp", 0o1777),
        ("/usr", 0o755),
        ("/usr/bin", 0o755),
        ("/usr/local", 0o755),
        ("/usr/local/bin", 0o755),
        ("/var", 0o755),
        ("/var/tmp", 0o1777),
    ];
    for (path, mode) in dirs {
        collection.put(path, Item::Dir { mode });
    }
    let files = [
        ("/etc/passwd", PASSWD),
        ("/etc/group", GROUP),
        ("/etc/nsswitch.conf", NSSWITCH),
        ("/etc/os-release", OS_RELEASE),
    ];
    for (path, content) in files {
        collection.put(path, Item::Made { mode: 0o644, content: content.to_owned() });
    }
}
