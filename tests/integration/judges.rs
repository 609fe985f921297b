//! A Debian base, built upon by us, and then read by others: skopeo copies it, umoci unpacks it,
//! buildah runs it, and the tree that they see is the tree that we built, path by path.

use std::collections::BTreeMap;

use crate::support::{Judge, Place, Registry, Said, debian, has};

const DOCKERFILE: &str = r#"ARG REGISTRY
FROM ${REGISTRY}/debian:bookworm AS maker
RUN mkdir /made && echo made > /made/file && ln /made/file /made/hard && ln -s file /made/soft \
 && mkfifo /made/fifo && chmod 4755 /made/file && mkdir -m 1777 /made/open

FROM ${REGISTRY}/debian:bookworm
ENV LANG=C.UTF-8 WHO=judge
WORKDIR /srv/app
COPY --chown=www-data:33 --chmod=0640 secret ./
COPY --chown=12345:54321 tree/ tree/
COPY --from=maker /made /made
RUN set -e; . /etc/os-release; echo "$ID $VERSION_CODENAME" > os; \
    rm -r /usr/share/doc; \
    rm /etc/motd; mkdir /etc/motd; \
    rm -r /var/cache; mkdir -p /var/cache/fresh; \
    mv /etc/issue /etc/issue.moved; \
    dd if=/dev/zero of=sparse bs=1 count=1 seek=4M 2>/dev/null; \
    i=0; while [ $i -lt 200 ]; do echo $i > "file with spaces and ümlauts $i"; i=$((i+1)); done; \
    touch -d 2001-02-03T04:05:06.789 old; \
    chmod 2755 /srv; perl -e 'print "perl works\n"' > perl
RUN ["/bin/bash", "-c", "echo ${BASH_VERSION%%.*} > bash; test -z \"$(ls -A /run/lock)\""]
CMD ["sh", "-c", "cat os perl; echo $WHO; pwd"]
"#;

#[test]
fn the_tree_that_others_see_is_the_tree_that_we_built() {
    let tools = [
        ("skopeo", "skopeo"),
        ("umoci", "umoci"),
        ("buildah", "buildah"),
        ("docker-registry", "docker-registry"),
    ];
    if !tools.iter().all(|(program, package)| has(program, package)) {
        return;
    }
    let place = Place::new();
    let (Some(base), Some(judge)) = (debian(), Judge::new(&place)) else { return };
    let registry = Registry::start(&place);

    // From a bootstrapped tar to the registry, and from there only.
    let name = registry.name("debian:bookworm");
    place.bryo("import -q").arg(&base).arg(&name).succeeds();
    place.bryo(&format!("push -q {name}")).succeeds();
    place.bryo(&format!("rm --purge {name}")).succeeds();

    let files = [("secret", "s3cret\n"), ("tree/a", "a\n"), ("tree/sub/b", "b\n")];
    let context = place.context("c", DOCKERFILE, &files);
    let ours = registry.name("app:1");
    let digest = place
        .bryo(&format!(
            "build --progress plain --build-arg REGISTRY={} -t {ours} -o type=tar,dest=ours.tar",
            registry.host()
        ))
        .arg(&context)
        .succeeds()
        .text();
    assert_eq!(place.bryo(&format!("push -q {ours}")).succeeds().text(), digest);

    // skopeo verifies every digest on its way.
    let policy = place.file("policy.json", r#"{"default":[{"type":"insecureAcceptAnything"}]}"#);
    judge
        .run("skopeo")
        .arg("--policy")
        .arg(&policy)
        .args(["copy", "-q", "--src-tls-verify=false"])
        .arg(format!("docker://{ours}"))
        .arg("oci:layout:app")
        .succeeds();

    // umoci unpacks with all the owners that its user may set: a range of them.
    judge
        .run("buildah")
        .args(["unshare", "umoci", "unpack", "--image", "layout:app", "bundle"])
        .succeeds();
    let mut theirs = tree(
        &judge.run("buildah").args(["unshare", "sh", "-ec", &listing("bundle/rootfs")]).succeeds(),
    );
    place.folder("work/unpacked");
    let mine = tree(&judge
        .run("buildah")
        .args(["unshare", "sh", "-ec"])
        .arg(format!(
            "mkdir mine && tar --numeric-owner --xattrs --xattrs-include='*' --exclude='dev/*' -xpf {} \
             -C mine && {}",
            place.path("work/ours.tar").display(),
            listing("mine")
        ))
        .succeeds());
    // Only root can make devices: the tar is asked for them instead.
    theirs.retain(|path, _| !path.starts_with("dev/"));
    let devices = judge.run("tar").arg("-tvf").arg(place.path("work/ours.tar")).succeeds().text();
    let null = devices.lines().find(|line| line.ends_with(" dev/null"));
    assert!(
        null.is_some_and(|line| line.starts_with("crw-rw-rw-") && line.contains(" 1,3 ")),
        "{null:?}"
    );
    assert!(mine.len() > 5000, "only {} paths", mine.len());
    differences(&mine, &theirs);

    let expected = [
        ("made/file", "-rwsr-xr-x 0:0 2"),
        ("made/fifo", "prw-r--r-- 0:0 1"),
        ("made/open", "drwxrwxrwt 0:0"),
        ("srv/app/secret", "-rw-r----- 33:33 1"),
        ("srv/app/tree/sub/b", "-rw-r--r-- 12345:54321 1"),
        ("srv/app/old", "-rw-r--r-- 0:0 1"),
        ("etc/motd", "drwxr-xr-x 0:0"),
        ("etc/shadow", "-rw-r----- 0:42 1"),
    ];
    for (path, starts) in expected {
        let found = theirs.get(path).map(String::as_str);
        assert!(
            found.is_some_and(|found| found.starts_with(starts)),
            "{path}: {found:?}, not {starts}"
        );
    }
    assert!(theirs["srv/app/old"].contains(" 981173106"), "{}", theirs["srv/app/old"]);
    for gone in ["usr/share/doc", "etc/issue", "var/cache/apt"] {
        assert!(!theirs.contains_key(gone), "{gone} is still there");
    }

    // buildah runs it.
    let container = judge
        .run("buildah")
        .args(["from", "--tls-verify=false", "--signature-policy"])
        .arg(&policy)
        .arg(format!("docker://{ours}"))
        .succeeds()
        .text();
    let said = judge
        .run("buildah")
        .args([
            "run",
            "--isolation",
            "chroot",
            &container,
            "--",
            "sh",
            "-c",
            "cat os perl; echo $WHO; pwd",
        ])
        .succeeds();
    assert_eq!(said.text(), "debian bookworm\nperl works\njudge\n/srv/app");
    // And we run it the same.
    assert_eq!(place.bryo(&format!("run {ours}")).succeeds().text(), said.text());
}

/// A shell script that prints every path of a tree with what it is.
fn listing(root: &str) -> String {
    // A directory's link count and size are the file system's own affair.
    format!(
        "cd {root} && find . -mindepth 1 \\( -type d -printf '%P\\t%M %U:%G %Ts\\n' \\) -o \
         \\( -type l -printf '%P\\t%M %U:%G %n %Ts -> %l\\n' \\) -o \
         \\( -type f -printf '%P\\t%M %U:%G %n %Ts %s ' -exec sh -c 'sha256sum < \"$1\"' - {{}} \\; \\) -o \
         -printf '%P\\t%M %U:%G %n %Ts\\n'"
    )
}

fn tree(said: &Said) -> BTreeMap<String, String> {
    said.text()
        .lines()
        .filter_map(|line| line.split_once('\t'))
        .map(|(path, what)| (path.to_owned(), what.to_owned()))
        .collect()
}

#[track_caller]
fn differences(mine: &BTreeMap<String, String>, theirs: &BTreeMap<String, String>) {
    let paths = mine.keys().chain(theirs.keys());
    let mut wrong: Vec<String> = paths
        .filter(|path| mine.get(*path) != theirs.get(*path))
        .map(|path| format!("{path}: ours {:?}, theirs {:?}", mine.get(path), theirs.get(path)))
        .collect();
    wrong.dedup();
    assert!(
        wrong.is_empty(),
        "{} paths differ:\n{}",
        wrong.len(),
        wrong[..wrong.len().min(20)].join("\n")
    );
}
