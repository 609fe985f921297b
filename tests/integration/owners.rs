//! Owners, modes, devices, links and capabilities, from a tree that real root made, through import,
//! push, pull, RUN and push, to a tree that real root unpacks again with other people's tools.

use std::collections::BTreeMap;

use crate::support::{Place, Registry, Said, User, busybox_root, debian, has, skip};

/// What an ordinary user could not make. Sorted by path in the listing below, not here.
const TREE: &str = r#"
    umask 022
    mkdir -p tree/odd/sub tree/odd/dev; cp -a root/. tree/
    chown -R 0:0 tree; cd tree/odd
    file() { echo "$1" > "$1"; chown "$2" "$1"; chmod "$3" "$1"; }
    file plain 1:2 0644;                    file setuid 0:0 4755
    file setgid 7:8 2711;                   file both 65534:65535 6750
    file nothing 65535:65534 0000;          file sticky 12:0 1644
    file octal 2097151:2097152 0600;        file huge 4294967294:4294967294 0640
    file ping 0:0 0755;                     file arping 5:6 0711
    setcap cap_net_raw+ep ping;             setcap cap_net_admin,cap_net_raw=p arping
    setfattr -n user.note -v kept plain
    mkdir -m 2775 shared; chown 0:8 shared; mkdir -m 1777 open; mkdir -m 0500 locked
    chown 65534:65535 locked; chown 4294967294:0 sub
    for name in kept touched moved; do
        ln -s nowhere "link-$name"; chown -h 70000:4294967294 "link-$name"
        mkfifo -m 0620 "fifo-$name"; chown 3:2097152 "fifo-$name"
    done
    ln link-kept sub/link-again; ln plain sub/plain-again
    mknod -m 0666 dev/null c 1 3; mknod -m 0660 dev/disk b 259 70000; chown 0:6 dev/disk
"#;

/// What happens to it, with nothing that an emulation would have to do.
const RUN: &str = "cd /odd && touch -h link-touched && touch fifo-touched setuid && \
    mv link-moved sub/moved && mv fifo-moved sub/fifo && mv arping sub/arping && mv dev/disk sub/disk \
    && mkdir new && echo x > new/x";

/// Moved by that.
const MOVED: [(&str, &str); 4] = [
    ("odd/link-moved", "odd/sub/moved"),
    ("odd/fifo-moved", "odd/sub/fifo"),
    ("odd/arping", "odd/sub/arping"),
    ("odd/dev/disk", "odd/sub/disk"),
];

/// A script that prints each path of a tree with all that it has but times and content.
const LISTING: &str = r#"
    find . -mindepth 1 \( -type d -printf '%P\t%M %U:%G\n' \) -o -printf '%P\t%M %U:%G %n %l\n'
    find . \( -type c -o -type b \) -exec stat -c '%n=%t:%T' {} +
    getcap -r . | sed 's/ \(cap_.*\)$/=\1/'
    find . -type f -links 2 -exec getfattr --only-values -n user.note {} \; -printf '\t%p\n' \
        | sed 's/\(.*\)\t\(.*\)/\2=note:\1/'
"#;

fn ready() -> bool {
    if User::of_bryo().is_none() {
        skip("tests with real root as judge (sudo tests/run)");
        return false;
    }
    let tools = [
        ("docker-registry", "docker-registry"),
        ("skopeo", "skopeo"),
        ("umoci", "umoci"),
        ("setcap", "libcap2-bin"),
        ("setfattr", "attr"),
        ("busybox", "busybox-static"),
    ];
    tools.iter().all(|(program, package)| has(program, package))
}

/// As root. What is made lies where bryo's user cannot write.
fn root(place: &Place, script: &str) -> Said {
    let folder = place.path("root");
    std::fs::create_dir_all(&folder).expect("a directory");
    place.run_as(None, "sh").arg("-ec").arg(script).in_folder(&folder).succeeds()
}

/// The lines of [`LISTING`], by path; what is said of a path in several lines is one.
fn listing(place: &Place, folder: &str) -> BTreeMap<String, String> {
    let said = root(place, &format!("cd {folder}; {LISTING}"));
    let mut paths = BTreeMap::<String, String>::new();
    for line in said.text().lines() {
        let (path, what) =
            line.split_once('\t').or_else(|| line.split_once('=')).expect("a path and what it is");
        let path = path.strip_prefix("./").unwrap_or(path);
        *paths.entry(path.to_owned()).or_default() += &format!("{what};");
    }
    paths
}

/// The tree that real root sees when skopeo has fetched an image and umoci unpacked it, and the
/// number of its layers.
fn unpacked(place: &Place, name: &str, folder: &str) -> (BTreeMap<String, String>, usize) {
    let policy = place.file("policy.json", r#"{"default":[{"type":"insecureAcceptAnything"}]}"#);
    let policy = policy.display();
    root(
        place,
        &format!(
            "skopeo --policy {policy} copy -q --src-tls-verify=false docker://{name} oci:{folder}:x;
             umoci unpack --image {folder}:x {folder}-bundle"
        ),
    );
    let manifest =
        root(place, &format!("skopeo --policy {policy} inspect --raw oci:{folder}:x")).json();
    let layers = manifest["layers"].as_array().expect("layers").len();
    (listing(place, &format!("{folder}-bundle/rootfs")), layers)
}

/// An image made of root's tree and of what a RUN did to it, and root's tree as it should be now.
fn image(place: &Place, registry: &Registry) -> (String, BTreeMap<String, String>) {
    busybox_root(place);
    root(place, &format!("cp -a ../work/root .\n{TREE}"));
    let tar = "tar --format=posix --xattrs --xattrs-include='*' -C tree -cf tree.tar . && chmod 644 tree.tar";
    root(place, tar);
    let base = registry.name("base:1");
    place.bryo("import -q").arg(place.path("root/tree.tar")).arg(&base).succeeds();
    place.bryo(&format!("push -q {base}")).succeeds();
    place.bryo(&format!("rm --purge {base}")).succeeds();
    place.bryo(&format!("pull -q {base}")).succeeds();
    let context = place.context("c", &format!("FROM {base}\nRUN {RUN}\n"), &[]);
    let app = registry.name("app:1");
    place.bryo("build -q -t").arg(&app).arg(context).succeeds();

    let mut expected = listing(place, "tree");
    for (from, to) in MOVED {
        let what = expected.remove(from).expect(from);
        expected.insert(to.to_owned(), what);
    }
    expected.insert("odd/new".into(), "drwxr-xr-x 0:0;".into());
    expected.insert("odd/new/x".into(), "-rw-r--r-- 0:0 1 ;".into());
    (app, expected)
}

#[track_caller]
fn differences(found: &BTreeMap<String, String>, expected: &BTreeMap<String, String>) {
    let paths = found.keys().chain(expected.keys());
    let mut wrong: Vec<String> = paths
        .filter(|path| found.get(*path) != expected.get(*path))
        .map(|path| format!("{path}: {:?}, not {:?}", found.get(path), expected.get(path)))
        .collect();
    wrong.dedup();
    assert!(wrong.is_empty(), "{} paths differ:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn what_root_made_arrives_as_root_made_it() {
    if !ready() {
        return;
    }
    let place = Place::new();
    let registry = Registry::start(&place);
    let (app, expected) = image(&place, &registry);
    for (path, what) in [
        ("odd/huge", "-rw-r----- 4294967294:4294967294 1 ;"),
        ("odd/ping", "-rwxr-xr-x 0:0 1 ;cap_net_raw=ep;"),
        ("odd/sub/disk", "brw-rw---- 0:6 1 ;103:11170;"),
        ("odd/sub/moved", "lrwxrwxrwx 70000:4294967294 1 nowhere;"),
    ] {
        assert_eq!(expected.get(path).map(String::as_str), Some(what), "the test itself: {path}");
    }
    place.bryo(&format!("push -q {app}")).succeeds();
    let (found, layers) = unpacked(&place, &app, "app");
    assert_eq!(layers, 2);
    differences(&found, &expected);
    // The numbers alone: a name would be believed before them.
    let owners = owners_in_layers(&place, "app");
    assert!(owners.len() > 10, "{owners:?}");
    assert!(!owners.iter().any(|owner| owner.contains(char::is_alphabetic)), "{owners:?}");
}

/// Owners as `tar -t` names them, of all layers of an image that [`unpacked`] fetched.
fn owners_in_layers(place: &Place, folder: &str) -> Vec<String> {
    let script = format!(
        "for blob in {folder}/blobs/sha256/*; do
            if gzip -t $blob 2>/dev/null; then gzip -dc $blob | tar -tv; fi
        done | awk '{{print $2}}' | sort -u"
    );
    root(place, &script).text().lines().map(str::to_owned).collect()
}

#[test]
fn a_flattened_copy_has_no_owners() {
    if !ready() {
        return;
    }
    let place = Place::new();
    let registry = Registry::start(&place);
    let (app, expected) = image(&place, &registry);
    let mut flat = BTreeMap::new();
    for (path, what) in expected {
        let mut parts: Vec<String> = what.split(';').map(str::to_owned).collect();
        let words: Vec<&str> = parts[0].splitn(3, ' ').collect();
        let (user, group) = words[0].split_at(6);
        let mode = user.replace('s', "x").replace('S', "-")
            + &group.replacen('s', "x", 1).replacen('S', "-", 1);
        let rest = words.get(2).map(|rest| format!(" {rest}")).unwrap_or_default();
        parts[0] = format!("{mode} 0:0{rest}");
        parts.retain(|part| !part.starts_with("cap_"));
        flat.insert(path, parts.join(";"));
    }
    for (path, what) in [
        ("odd/both", "-rwxr-x--- 0:0 1 ;"),
        ("odd/shared", "drwxrwxr-x 0:0;"),
        ("odd/open", "drwxrwxrwt 0:0;"),
        ("odd/plain", "-rw-r--r-- 0:0 2 ;note:kept;"),
        ("odd/ping", "-rwxr-xr-x 0:0 1 ;"),
    ] {
        assert_eq!(flat.get(path).map(String::as_str), Some(what), "the test itself: {path}");
    }

    let before = place.bryo(&format!("inspect --manifest {app}")).succeeds().text();
    let copy = registry.name("flat:1");
    let push = format!("push --progress plain --flatten-owners {app} {copy}");
    let digest = place.bryo(&push).succeeds().text();
    let (found, layers) = unpacked(&place, &copy, "flat");
    assert_eq!(layers, 2);
    differences(&found, &flat);
    assert_eq!(owners_in_layers(&place, "flat"), ["0/0"], "no names of users either");

    // The same again, and nothing of it is left here.
    let again = place.bryo(&push).succeeds();
    assert_eq!(again.text(), digest);
    assert_eq!(again.errors().matches(": cached").count(), 2, "{again}");
    assert_eq!(place.bryo(&format!("inspect --manifest {app}")).succeeds().text(), before);
    assert!(!before.contains(digest.trim_start_matches("sha256:")));
    // The configuration differs in the layers alone.
    let mut theirs = root(&place, "skopeo inspect --config --raw oci:flat:x").json();
    let mut ours = place.bryo(&format!("inspect --config {app}")).succeeds().json();
    let diff_ids = |config: &mut serde_json::Value| config["rootfs"]["diff_ids"].take();
    let (new, old) = (diff_ids(&mut theirs), diff_ids(&mut ours));
    assert_eq!(theirs, ours);
    assert_eq!(new.as_array().map(Vec::len), old.as_array().map(Vec::len));
    assert_ne!(new, old);
}

/// A file system that keeps no attributes of files, as some network file systems.
struct Bare<'p>(&'p Place);

impl<'p> Bare<'p> {
    /// Where bryo keeps its images.
    fn new(place: &'p Place) -> Self {
        place
            .run_as(None, "mount")
            .args(["-t", "ramfs", "none"])
            .arg(place.path("home"))
            .succeeds();
        place.folder("home");
        Self(place)
    }
}

impl Drop for Bare<'_> {
    fn drop(&mut self) {
        drop(self.0.run_as(None, "umount").arg("-l").arg(self.0.path("home")).spawn().wait());
    }
}

#[test]
fn owners_need_no_attributes_of_the_file_system() {
    if !ready() {
        return;
    }
    let place = Place::new();
    let _bare = Bare::new(&place);
    busybox_root(&place);
    root(&place, &format!("cp -a ../work/root .\n{TREE}"));
    let tar = "tar --format=posix -C tree -cf tree.tar . && chmod 644 tree.tar";
    root(&place, tar);
    place.bryo("import -q").arg(place.path("root/tree.tar")).arg("base").succeeds();
    // What is in tables is seen, changed and kept: under emulation, and without any.
    let dockerfile = "FROM base\n\
        RUN cd /odd && test $(stat -c %u:%g link-kept) = 70000:4294967294 && \
        test $(stat -c %u:%g plain) = 1:2 && \
        echo x > new && ln -s x link-new && chown 5:6 new && chown -h 7:8 link-new link-touched && \
        ln new newer && mkdir sub2 && chown 9:9 sub2 && mv new sub2 && chown -h 0:0 link-moved\n\
        RUN cd /odd && test $(stat -c %u:%g newer) = 5:6 && touch -h link-new && chown 0:10 fifo-kept\n";
    let context = place.context("c", dockerfile, &[]);
    place.bryo("build -q --root-emulation full -o type=tar,dest=app.tar").arg(context).succeeds();
    let script = "mkdir app && tar -C app -xpf ../work/app.tar --numeric-owner";
    root(&place, script);
    let found = listing(&place, "app");
    for (path, what) in [
        ("odd/newer", "-rw-r--r-- 5:6 2 ;"),
        ("odd/sub2/new", "-rw-r--r-- 5:6 2 ;"),
        ("odd/sub2", "drwxr-xr-x 9:9;"),
        ("odd/link-new", "lrwxrwxrwx 7:8 1 x;"),
        ("odd/link-touched", "lrwxrwxrwx 7:8 1 nowhere;"),
        ("odd/link-moved", "lrwxrwxrwx 0:0 1 nowhere;"),
        ("odd/link-kept", "lrwxrwxrwx 70000:4294967294 2 nowhere;"),
        ("odd/fifo-kept", "prw--w---- 0:10 1 ;"),
        ("odd/fifo-touched", "prw--w---- 3:2097152 1 ;"),
        ("odd/setgid", "-rwx--s--x 7:8 1 ;"),
        ("odd/dev/null", "crw-rw-rw- 0:0 1 ;1:3;"),
    ] {
        assert_eq!(found.get(path).map(String::as_str), Some(what), "{path}");
    }
}

#[test]
fn owners_move_with_directories_and_are_copied() {
    let Some(base) = debian().filter(|_| ready()) else { return };
    let place = Place::new();
    place.bryo("import -q").arg(base).arg("base").succeeds();
    // A directory of a lower layer cannot be renamed in an overlay: mv copies it.
    let dockerfile = "FROM base\n\
        RUN mkdir -p /odd/d/e && cd /odd/d && touch e/f && ln -s nowhere l && mkfifo p && \
        ln l e/l && chown 1:2 e/f && chown -h 3:4 l && chown 65534:65535 p && chown 7:8 . && \
        chmod 2711 . && chown 4294967294:9 e && chmod 4711 e/f\n\
        RUN cd /odd && mv d moved && touch -h moved/l && ln moved/l again && cp -a moved copy && \
        mkdir new && mv copy new && mv new renamed && rm -r moved/e && tar -cf - moved | tar -xC /mnt\n";
    let context = place.context("c", dockerfile, &[]);
    place.bryo("build -q --root-emulation full -o type=tar,dest=app.tar").arg(context).succeeds();
    root(&place, "mkdir app && tar -C app -xpf ../work/app.tar --numeric-owner odd mnt");
    let mut found = listing(&place, "app");
    found.retain(|path, _| path.contains('/'));
    let copied = |folder: &'static str, links: u32| {
        [
            ("", "drwx--s--x 7:8;".to_owned()),
            ("/l", format!("lrwxrwxrwx 3:4 {links} nowhere;")),
            ("/p", "prw-r--r-- 65534:65535 1 ;".to_owned()),
        ]
        .map(|(path, what)| (format!("{folder}{path}"), what))
    };
    let mut expected = BTreeMap::new();
    expected.extend(copied("odd/moved", 2));
    expected.extend(copied("odd/renamed/copy", 2));
    expected.extend(copied("mnt/moved", 1));
    for (path, what) in [
        ("odd/again", "lrwxrwxrwx 3:4 2 nowhere;"),
        ("odd/renamed", "drwxr-xr-x 0:0;"),
        ("odd/renamed/copy/e", "drwxr-xr-x 4294967294:9;"),
        ("odd/renamed/copy/e/f", "-rws--x--x 1:2 1 ;"),
        ("odd/renamed/copy/e/l", "lrwxrwxrwx 3:4 2 nowhere;"),
    ] {
        expected.insert(path.to_owned(), what.to_owned());
    }
    differences(&found, &expected);
}
