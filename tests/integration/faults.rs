//! Bad input and bad luck: a clear error, the right status, and a storage directory that the next
//! run can use at once.

use std::fs;

use serde_json::{Value, json};

use crate::support::served::sha256;
use crate::support::{Place, Registry, Said, Web, busybox, busybox_root, free_port, has};

/// Whether an image can be built and run, whatever happened before.
#[track_caller]
fn still_works(place: &Place) {
    let root = busybox_root(place);
    place.bryo("import -q").arg(root).arg("still").succeeds();
    let context = place.context("still", "FROM still\nRUN echo works > /x\n", &[]);
    place.bryo("build -q -t works").arg(context).succeeds();
    assert_eq!(place.bryo("run works cat /x").succeeds().text(), "works");
    let left =
        place.run("find").arg(place.storage().join("tmp")).args(["-mindepth", "1"]).succeeds();
    assert_eq!(left.text(), "", "work in progress was left behind");
}

#[test]
fn wrong_dockerfiles_are_shown_where_they_are_wrong() {
    let place = Place::new();
    for (text, line, named) in [
        ("FROM scratch\nRUM x\n", 2, "RUM"),
        ("FROM scratch\n\nCOPY --chwon=1 a b\n", 3, "chwon"),
        ("FROM scratch\nCOPY a\n", 2, "COPY"),
        ("RUN x\n", 1, "FROM"),
        ("FROM a/B\n", 1, "a/B"),
        ("FROM scratch\nCOPY --from=9 a b\n", 2, "9"),
    ] {
        let context = place.context("c", text, &[]);
        let said = place.bryo("build").arg(context).fails(2);
        said.mentions(&format!("Dockerfile:{line}")).mentions(named);
    }
}

#[test]
fn what_is_missing_is_named() {
    let place = Place::new();
    let context = place.context("c", "FROM scratch\nCOPY gone /x\n", &[]);
    place.bryo("build").arg(&context).fails(3).mentions("gone").mentions("Dockerfile:2");
    place.bryo("build /no/such/context").fails(3).mentions("/no/such/context");
    place.bryo("build -f Nofile").arg(&context).fails(3).mentions("Nofile");
    place.bryo("inspect nothing").fails(3).mentions("nothing");
    place.bryo("push nothing").fails(3).mentions("nothing");
    place.bryo("load -i gone.tar").fails(3).mentions("gone.tar");
    place.bryo("import gone x").fails(3).mentions("gone");
    place.bryo("import host:no-such-program x").fails(3).mentions("no-such-program");
    place.bryo("build --target nine").arg(&context).fails(2).mentions("nine");
}

#[test]
fn bad_references_are_explained() {
    let place = Place::new();
    for line in ["pull team/UPPER", "pull a:b:c", "tag x Y", "run http://x/y", "push x a@b"] {
        let said = place.bryo(line);
        let said = if line.starts_with("run") { said.fails(125) } else { said.fails(2) };
        assert!(said.errors().contains("invalid"), "{said}");
    }
}

#[test]
fn an_unreachable_registry_is_named() {
    let place = Place::new();
    let host = format!("127.0.0.1:{}", free_port());
    place.bryo(&format!("pull {host}/a")).fails(6).mentions(&host);
    place.bryo("pull no-such-host.invalid/a").fails(6).mentions("no-such-host.invalid");
    let context = place.context("c", &format!("FROM {host}/a\nRUN x\n"), &[]);
    place.bryo("build").arg(context).fails(6).mentions(&host).mentions("Dockerfile:1");
}

/// An image in a registry, with the digests of its layers.
fn pushed(place: &Place, registry: &Registry) -> Option<Vec<String>> {
    if !busybox(place) {
        return None;
    }
    let name = registry.name("a");
    place.bryo(&format!("push -q base {name}")).succeeds();
    let described = place.bryo("inspect base").succeeds().json();
    let layers = described[0]["Layers"].as_array().expect("layers");
    let digests = layers.iter().map(|layer| layer["digest"].as_str().expect("text").to_owned());
    let digests = digests.collect();
    place.bryo("rm --purge base").succeeds();
    Some(digests)
}

#[test]
fn bytes_that_do_not_match_are_refused() {
    let place = Place::new();
    if !has("docker-registry", "docker-registry") {
        return;
    }
    let registry = Registry::start(&place);
    let Some(layers) = pushed(&place, &registry) else { return };
    let blob = registry.blob(&layers[0]);
    let whole = fs::read(&blob).expect("the blob");
    let name = registry.name("a");

    let mut wrong = whole.clone();
    let middle = wrong.len() / 2;
    wrong[middle] ^= 1;
    fs::write(&blob, wrong).expect("a file");
    place.bryo(&format!("pull {name}")).fails(5).mentions(&layers[0]);
    assert_eq!(place.bryo("images --json").succeeds().json(), serde_json::json!([]));

    fs::write(&blob, &whole[..middle]).expect("a file");
    let said: Said = place.bryo(&format!("pull {name}")).exits_with_any(&[5, 6]);
    said.mentions("error: ");

    fs::remove_file(&blob).expect("a file");
    place.bryo(&format!("pull {name}")).fails(3).mentions(&registry.host());

    fs::write(&blob, &whole).expect("a file");
    place.bryo(&format!("pull {name}")).succeeds();
    assert_eq!(place.bryo(&format!("run {name} echo x")).succeeds().text(), "x");
    still_works(&place);
}

#[test]
fn an_image_of_another_age_is_refused_with_its_cure() {
    let place = Place::new();
    let kind = "application/vnd.docker.distribution.manifest.v1+prettyjws";
    let text = json!({
        "schemaVersion": 1, "name": "a", "tag": "x", "architecture": "amd64",
        "fsLayers": [{"blobSum": sha256(b"layer")}], "history": [{"v1Compatibility": "{}"}],
    })
    .to_string();
    let blob = |text: &str| {
        let digest = sha256(text.as_bytes());
        let name = format!("work/layout/blobs/sha256/{}", digest.replace("sha256:", ""));
        place.file(name, text);
        digest
    };
    let entry = json!({
        "mediaType": kind, "digest": blob(&text), "size": text.len(),
        "platform": {"os": "linux", "architecture": "amd64"},
    });
    let index = |entry: &Value| json!({"schemaVersion": 2, "manifests": [entry]}).to_string();
    let nested = index(&entry);
    let outer = json!({
        "mediaType": "application/vnd.oci.image.index.v1+json", "digest": blob(&nested),
        "size": nested.len(),
    });
    place.file("work/layout/oci-layout", r#"{"imageLayoutVersion":"1.0.0"}"#);
    let told = |said: Said| said.mentions("schema 1").mentions("push the image again");
    for entry in [&entry, &outer] {
        place.file("work/layout/index.json", index(entry));
        for line in ["copy oci:layout store:x", "load -i layout", "history oci:layout"] {
            told(place.bryo(line).fails(5)).mentions("layout");
        }
        let said = place.bryo("check oci:layout").exits(1);
        assert!(said.text().contains("schema 1") && said.text().contains("push the image again"));
        assert!(said.errors().contains("no image could be looked into"), "{said}");
    }
    // A registry that has nothing else.
    let header = "Content-Type: application/vnd.docker.distribution.manifest.v1+prettyjws\r\n";
    let registry = Web::start(move |_, _| (200, header, text.clone().into_bytes()));
    let name = registry.url("/a:x").replace("http://", "");
    for verb in ["pull", "inspect --remote", "run", "endpoints"] {
        let said = place.bryo(&format!("{verb} {name}")).exits_with_any(&[5, 125]);
        told(said).mentions(&name);
    }
    told(place.bryo(&format!("copy {name} oci:out")).fails(5));
}

#[test]
fn damaged_archives_are_refused() {
    let place = Place::new();
    if !busybox(&place) {
        return;
    }
    place.bryo("save -o whole.tar base").succeeds();
    let whole = fs::read(place.path("work/whole.tar")).expect("a file");
    place.file("work/half.tar", &whole[..whole.len() / 2]);
    place.bryo("load -i half.tar").fails(5).mentions("half.tar");
    place.file("work/noise.tar", b"this is no archive at all".repeat(100));
    place.bryo("load -i noise.tar").fails(5).mentions("noise.tar");
    place.bryo("import noise.tar x").fails(5).mentions("noise.tar");
    still_works(&place);
}

#[test]
fn a_full_disk_is_named_and_survived() {
    let place = Place::new();
    if !has("busybox", "busybox-static") || !has("unshare", "util-linux") {
        return;
    }
    busybox_root(&place);
    let disk = place.folder("disk");
    let bryo = env!("CARGO_BIN_EXE_bryo");
    // A file system of our own, as only a namespace lets an ordinary user have it; bryo makes
    // another one inside.
    let script = format!(
        "mount -t tmpfs -o size=6m none {disk}
         export BRYO_STORAGE={disk}/bryo
         {bryo} import -q root base
         printf 'FROM base\\nRUN dd if=/dev/zero of=/big bs=1M count=64\\n' > Dockerfile
         {bryo} build -q . 2> full && exit 90
         {bryo} import -q root again
         test \"$({bryo} run again echo still works)\" = 'still works'
         test -z \"$(find {disk}/bryo/tmp -mindepth 1)\"
         dd if=/dev/urandom of=more bs=1M count=16 2> /dev/null
         cp more root/more
         code=0; {bryo} import root big 2> full-too || code=$?
         cat full-too
         exit $code",
        disk = disk.display()
    );
    let said = place.run("unshare").args(["-rm", "sh", "-ec", &script]).exits(9);
    assert!(said.text().contains("error: ") && said.text().contains("No space left"), "{said}");
}

#[test]
fn a_killed_bryo_leaves_nothing_in_the_way() {
    let place = Place::new();
    if !busybox(&place) {
        return;
    }
    let script =
        "FROM base\nRUN dd if=/dev/zero of=/big bs=1M count=20 && echo ready && sleep 100\n";
    let context = place.context("c", script, &[]);
    let mut child = place.bryo("build --progress plain -t killed").arg(&context).spawn();
    let mut stderr = std::io::BufReader::new(child.stderr.take().expect("a pipe"));
    let mut line = String::new();
    while !line.contains("] ready") && !line.contains("| ready") {
        line.clear();
        let count = std::io::BufRead::read_line(&mut stderr, &mut line).expect("it says something");
        assert!(count > 0, "it ended too early");
    }
    child.kill().expect("it is our child");
    child.wait().expect("it ends");
    still_works(&place);
    place.bryo("inspect killed").fails(3);
}

#[test]
fn a_namespace_that_is_forbidden_is_explained() {
    let place = Place::new();
    if !has("unshare", "util-linux") {
        return;
    }
    let bryo = env!("CARGO_BIN_EXE_bryo");
    let context = place.context("c", "FROM scratch\n", &[]);
    let inside = |line: &str| {
        let script = format!("echo 0 > /proc/sys/user/max_user_namespaces; exec {line}");
        place.run("unshare").args(["-r", "sh", "-c", &script])
    };
    let said = inside(&format!("{bryo} build {}", context.display())).fails(8);
    said.mentions("max_user_namespaces").mentions("hint: ");
    // What needs no namespace still works.
    inside(&format!("{bryo} images")).succeeds();
    inside(&format!("{bryo} version")).succeeds();
}

#[test]
fn a_storage_directory_of_a_later_bryo_is_left_alone() {
    let place = Place::new();
    place.bryo("images").succeeds();
    fs::write(place.storage().join("format"), "bryo storage 99\n").expect("a file");
    place.bryo("images").fails(9).mentions("99").mentions("hint: ");
}

#[test]
fn nobody_without_a_home_is_lost() {
    let place = Place::new();
    place.bryo("images").env_remove("HOME").env("HOME", "/").exits_with_any(&[0, 9]);
    let said =
        place.bryo("images --json").env("HOME", "/").env("BRYO_STORAGE", place.path("home/s"));
    assert_eq!(said.succeeds().json(), serde_json::json!([]));
}
