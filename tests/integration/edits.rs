//! Images that are changed without being built: edit, manifest, modify, import --change.

use std::fs;

use serde_json::{Value, json};

use crate::support::{Place, Registry, busybox, busybox_root, has};

fn config(place: &Place, name: &str) -> Value {
    place.bryo("inspect --config").arg(name).succeeds().json()
}

fn manifest(place: &Place, name: &str) -> Value {
    place.bryo("inspect --manifest").arg(name).succeeds().json()
}

/// An index of two images that differ in their machines.
fn index(place: &Place) {
    let context = place.context("i", "FROM base\nLABEL a=b\n", &[]);
    for arch in ["amd64", "arm64"] {
        let line = format!("edit --platform-set linux/{arch} base base:{arch}");
        place.bryo(&line).succeeds();
    }
    drop(context);
    place.bryo("manifest create both base:amd64 base:arm64").succeeds();
}

#[test]
fn an_image_says_something_else() {
    let place = Place::new();
    if !busybox(&place) {
        return;
    }
    let context = place.context("c", "FROM base\nENV A=1 B=2\nLABEL l=1 m=2\nCMD [\"x\"]\n", &[]);
    place.bryo("build -q -t app").arg(context).succeeds();
    let edit = |to: &str| {
        place
            .bryo("edit --env A=x=y --unset-env B --label n=3 --unset-label l --user www")
            .args(["--cmd", "[\"echo\", \"a b\"]", "--entrypoint", "", "--workdir", "/tmp"])
            .args(["--expose", "80-81", "--volume", "/v", "--stop-signal", "SIGINT"])
            .args(["app", to])
            .succeeds()
            .text()
    };
    let digest = edit("edited");
    let said = config(&place, "edited");
    let runtime = &said["config"];
    assert_eq!(runtime["Labels"], json!({"m": "2", "n": "3"}));
    let env: Vec<&str> =
        runtime["Env"].as_array().expect("a list").iter().filter_map(Value::as_str).collect();
    assert!(env.contains(&"A=x=y") && !env.iter().any(|env| env.starts_with("B=")), "{env:?}");
    assert_eq!(runtime["Cmd"], json!(["echo", "a b"]));
    assert_eq!(runtime["ExposedPorts"], json!({"80/tcp": {}, "81/tcp": {}}));
    assert_eq!((&runtime["User"], &runtime["StopSignal"]), (&json!("www"), &json!("SIGINT")));
    let last = said["history"].as_array().and_then(|all| all.last()).expect("a step").clone();
    assert_eq!(last["empty_layer"], true);
    let by = last["created_by"].as_str().expect("text");
    assert!(by.starts_with("bryo edit --unset-env B --env A=x=y"), "{by}");
    assert_eq!(manifest(&place, "edited")["layers"], manifest(&place, "app")["layers"]);
    assert_eq!(place.bryo("run edited").succeeds().text(), "a b");
    assert_eq!(edit("again"), digest, "the same bytes each time");
    place.bryo("edit --stop-signal NONE app x").exits(2);
    place.bryo("edit --env A app x").exits(2);
    place.bryo("edit --workdir there app x").fails(2).mentions("not absolute");
    place.bryo("edit --env A=1 nothing-here/x oci:x").exits_with_any(&[3, 4, 6]);
    place.bryo("edit app").exits(2);
}

#[test]
fn layers_are_added_and_made_one() {
    let place = Place::new();
    if !busybox(&place) {
        return;
    }
    place.file("work/files/srv/f", "one");
    place.run("tar").args(["-C", "files", "-czf", "layer.tgz", "srv"]).succeeds();
    place.run("tar").args(["-C", "files", "-cJf", "layer.txz", "srv"]).succeeds();
    let context =
        place.context("c", "FROM base\nRUN echo x > /x && chown 33 /x && rm /etc/group\n", &[]);
    place.bryo("build -q -t app").arg(context).succeeds();
    place
        .bryo("edit --add-layer files --add-layer layer.tgz --add-layer layer.txz app more")
        .succeeds();
    let layers = manifest(&place, "more")["layers"].as_array().expect("a list").clone();
    assert_eq!(layers.len(), 5);
    // What is a layer already is one byte by byte.
    let sum = place.run("sha256sum").arg("layer.tgz").succeeds().text();
    assert_eq!(layers[3]["digest"], format!("sha256:{}", &sum[..64]));
    assert_eq!(place.bryo("run more cat /srv/f").succeeds().text(), "one");
    place.file("work/none.tar", "this is no tar at all, but a text".repeat(100));
    place.bryo("edit --add-layer none.tar app wrong").fails(5).mentions("none.tar: ");
    place.bryo("inspect wrong").exits(3);

    place.bryo("edit --time max=1000 more older").succeeds();
    assert_eq!(place.bryo("run older stat -c %Y /srv/f").succeeds().text(), "1000");
    place.bryo("edit --time soon more older").exits(2);
    place.bryo("edit --flatten more flat").succeeds();
    let flat = config(&place, "flat");
    assert_eq!(flat["rootfs"]["diff_ids"].as_array().map(Vec::len), Some(1));
    let steps = flat["history"].as_array().expect("a list");
    assert_eq!(steps.iter().filter(|step| step["empty_layer"] != true).count(), 1);
    let export = |name: &str| place.bryo("export").arg(name).succeeds();
    assert!(export("more").bytes() == export("flat").bytes());
}

#[test]
fn a_base_is_replaced() {
    let place = Place::new();
    if !busybox(&place) {
        return;
    }
    for (name, text) in [("old", "old"), ("new", "new")] {
        let text = format!("FROM base\nRUN echo {text} > /version\nENV V={text}\n");
        let context = place.context(name, &text, &[]);
        place.bryo(&format!("build -q -t {name}")).arg(context).succeeds();
    }
    let context = place.context(
        "c",
        "FROM old\nRUN echo app > /app\nCMD [\"cat\", \"/version\", \"/app\"]\n",
        &[],
    );
    place.bryo("build -q -t app").arg(context).succeeds();
    place.bryo("edit --rebase old=new app patched").succeeds();
    assert_eq!(place.bryo("run patched").succeeds().text(), "new\napp");
    let layers = |name: &str| manifest(&place, name)["layers"].clone();
    assert_eq!(first(&layers("patched"), 2), first(&layers("new"), 2));
    let steps = config(&place, "patched")["history"].as_array().expect("a list").clone();
    assert_eq!(steps.iter().filter(|step| step["empty_layer"] != true).count(), 3);
    place.bryo("edit --rebase new=old app wrong").fails(1).mentions("does not stand on the base");
    place.bryo("edit --rebase new app wrong").exits(2);
}

/// The first few of a list.
fn first(list: &Value, count: usize) -> &[Value] {
    &list.as_array().expect("a list")[..count]
}

#[test]
fn all_images_of_an_index_change_from_registry_to_registry() {
    let place = Place::new();
    if !busybox(&place) || !has("skopeo", "skopeo") {
        return;
    }
    index(&place);
    let registry = Registry::start(&place);
    let (from, to) = (registry.name("from:1"), registry.name("to:1"));
    place.bryo("manifest push both").arg(&from).succeeds();
    let line = format!("edit --label x=y registry:{from} registry:{to}");
    let digest = place.bryo(&line).succeeds().text();
    let raw = |name: &str| {
        place
            .run("skopeo")
            .args(["inspect", "--raw", "--tls-verify=false", &format!("docker://{name}")])
            .succeeds()
    };
    let said = raw(&to);
    let sum = place.run("sha256sum").input(said.bytes()).succeeds().text();
    assert_eq!(format!("sha256:{}", &sum[..64]), digest);
    let (before, after) = (raw(&from).json(), said.json());
    assert_eq!(after["manifests"].as_array().map(Vec::len), Some(2));
    for (at, arch) in ["amd64", "arm64"].iter().enumerate() {
        let entry = &after["manifests"][at];
        assert_ne!(entry["digest"], before["manifests"][at]["digest"]);
        assert_eq!(entry["platform"]["architecture"], *arch);
        let config = place
            .run("skopeo")
            .args(["inspect", "--config", "--tls-verify=false", "--override-arch", arch])
            .arg(format!("docker://{to}"))
            .succeeds()
            .json();
        assert_eq!(
            (&config["config"]["Labels"]["x"], &config["architecture"]),
            (&json!("y"), &json!(arch))
        );
    }
    // One of them, to an archive.
    let line = format!("edit --platform linux/arm64 --env A=1 registry:{to} oci-archive:out.tar:v");
    place.bryo(&line).succeeds();
    let policy = place.file("policy.json", r#"{"default":[{"type":"insecureAcceptAnything"}]}"#);
    place
        .run("skopeo")
        .arg("--policy")
        .arg(policy)
        .args(["copy", "-q", "--override-arch", "arm64", "oci-archive:out.tar:v", "dir:out"])
        .succeeds();
    let wrong = format!("edit --platform-set linux/s390x registry:{to} both");
    place.bryo(&wrong).exits(2).mentions("for several machines");
}

#[test]
fn dockers_images_stay_dockers() {
    let place = Place::new();
    if !busybox(&place) {
        return;
    }
    let line = "build -q -o type=image,name=docker,oci-mediatypes=false";
    let context = place.context("c", "FROM base\nLABEL a=b\n", &[]);
    place.bryo(line).arg(context).succeeds();
    let kinds = |name: &str| {
        let manifest = manifest(&place, name);
        let kind = |part: &Value| part["mediaType"].as_str().expect("text").contains("docker");
        (kind(&manifest), kind(&manifest["config"]), kind(&manifest["layers"][0]))
    };
    assert_eq!(kinds("docker"), (true, true, true));
    place.file("work/files/f", "x");
    place.bryo("edit --label x=y --add-layer files docker edited").succeeds();
    assert_eq!(kinds("edited"), (true, true, true));
    let layers = manifest(&place, "edited")["layers"].clone();
    assert_eq!(layers[1]["mediaType"], "application/vnd.docker.image.rootfs.diff.tar.gzip");
    // Annotations are OCI's alone.
    place.bryo("edit --annotation a=b docker said").succeeds();
    assert_eq!(kinds("said"), (false, false, false));
    assert_eq!(manifest(&place, "said")["annotations"], json!({"a": "b"}));
    // Manifests in other words, over the same layers.
    place.bryo("copy store:docker store:oci -f format=oci").succeeds();
    assert_eq!(kinds("oci"), (false, false, false));
    place.bryo("edit -f format=docker said again").succeeds();
    assert_eq!(kinds("again"), (true, true, true));
    assert_eq!(manifest(&place, "again")["annotations"], Value::Null);
    let digests = |name: &str| {
        let layers = manifest(&place, name)["layers"].clone();
        layers.as_array().expect("layers").iter().map(|l| l["digest"].clone()).collect::<Vec<_>>()
    };
    assert_eq!((digests("oci"), digests("again")), (digests("docker"), digests("docker")));
    // No registry knows zstd by a name of Docker's.
    place.bryo("copy store:docker store:zstd --compress zstd").succeeds();
    assert_eq!(kinds("zstd"), (false, false, false));
    let refused = place.bryo("copy store:zstd oci:l -f format=docker").fails(2);
    refused.mentions("recompress=gzip");
    place.bryo("copy store:zstd oci:l -f recompress=gzip -f format=docker").succeeds();
    // A list of Docker's is Docker's.
    place.bryo("manifest create list docker edited").succeeds();
    let kind = |name: &str| manifest(&place, name)["mediaType"].as_str().expect("text").to_owned();
    assert!(kind("list").contains("docker.distribution.manifest.list"), "{}", kind("list"));
    place.bryo("manifest add list said").succeeds();
    assert!(kind("list").contains("oci.image.index"), "{}", kind("list"));
}

#[test]
fn lists_are_made_changed_and_pushed() {
    let place = Place::new();
    if !busybox(&place) {
        return;
    }
    index(&place);
    let said = place.bryo("manifest create one base:amd64").succeeds();
    assert_eq!(said.text(), "Created manifest list docker.io/library/one:latest");
    place.bryo("manifest create one base:arm64").fails(1).mentions("--amend");
    let twice = place.bryo("manifest create twice base base:amd64").succeeds();
    twice.mentions("was for linux/amd64, too");
    place.bryo("manifest create --amend one base:arm64").succeeds();
    // An index in a list is as many images.
    place.bryo("manifest create nested both").succeeds();
    let shown = |name: &str| place.bryo("manifest inspect").arg(name).succeeds().json();
    assert_eq!(shown("nested")["manifests"], shown("both")["manifests"]);
    assert_eq!(shown("one")["manifests"], shown("both")["manifests"]);
    let arms = |name: &str| -> Vec<String> {
        let all = shown(name)["manifests"].clone();
        let machine = |entry: &Value| {
            let platform = &entry["platform"];
            let part = |name: &str| platform[name].as_str().unwrap_or_default().to_owned();
            format!("{}/{}/{}", part("os"), part("architecture"), part("variant"))
        };
        all.as_array().expect("a list").iter().map(machine).collect()
    };
    assert_eq!(arms("one"), ["linux/amd64/", "linux/arm64/"]);
    place
        .bryo("manifest annotate one base:arm64 --variant v8 --os-features a,b --annotation k=v")
        .succeeds();
    assert_eq!(arms("one"), ["linux/amd64/", "linux/arm64/v8"]);
    let entry = shown("one")["manifests"][1].clone();
    assert_eq!(
        (&entry["annotations"]["k"], &entry["platform"]["os.features"]),
        (&json!("v"), &json!(["a", "b"]))
    );
    place.bryo("manifest annotate one --annotation all=1").succeeds();
    assert_eq!(shown("one")["annotations"], json!({"all": "1"}));
    let digest = shown("one")["manifests"][0]["digest"].as_str().expect("text").to_owned();
    place.bryo("manifest remove one").arg(&digest).succeeds();
    assert_eq!(arms("one"), ["linux/arm64/v8"]);
    place.bryo("manifest remove one").arg(&digest).fails(3);
    let each = place.bryo("manifest inspect both -v").succeeds().json();
    assert_eq!(each.as_array().map(Vec::len), Some(2));
    assert_eq!(each[0]["Descriptor"]["platform"]["architecture"], "amd64");

    let registry = Registry::start(&place);
    let name = registry.name("app:1");
    let sent = place.bryo("manifest push --purge both").arg(&name).succeeds().text();
    place.bryo("manifest inspect both").exits_with_any(&[3, 4, 6]);
    let remote = place.bryo("manifest inspect").arg(&name).succeeds();
    assert_eq!(remote.json()["manifests"].as_array().map(Vec::len), Some(2));
    if has("skopeo", "skopeo") {
        let line = format!("inspect --raw --tls-verify=false docker://{name}");
        let said = place.run("skopeo").args(line.split(' ')).succeeds();
        assert_eq!(said.json(), remote.json());
    }
    // What is in a registry alone is fetched.
    let line = format!("manifest create fetched {name}@{sent}");
    place.bryo(&line).succeeds();
    assert_eq!(arms("fetched"), ["linux/amd64/", "linux/arm64/"]);
    // Several at once lose nothing.
    let mut adding = Vec::new();
    for at in 0..4 {
        place.bryo(&format!("edit --platform-set linux/arm/v{} base v{at}", at + 4)).succeeds();
        adding.push(place.bryo(&format!("manifest create --amend many v{at}")).spawn());
    }
    adding.into_iter().for_each(|mut child| assert!(child.wait().expect("it ends").success()));
    assert_eq!(shown("many")["manifests"].as_array().map(Vec::len), Some(4));
    place.bryo("manifest rm one nested fetched").succeeds();
    place.bryo("manifest rm one").fails(3);
    assert_eq!(place.bryo("run base:amd64 echo x").succeeds().text(), "x");
}

#[test]
fn commands_modify_an_image() {
    let place = Place::new();
    if !busybox(&place) {
        return;
    }
    let context =
        place.context("c", "FROM base\nENV A=1\nWORKDIR /tmp\nCMD [\"cat\", \"/made\"]\n", &[]);
    place.bryo("build -q -t app").arg(context).succeeds();
    let run = place.bryo("modify app new").args([
        "-c",
        "echo $A $PWD > /made",
        "-c",
        "chown 33 /made; rm /etc/group",
    ]);
    let digest = run.succeeds().text();
    assert!(digest.starts_with("sha256:"), "{digest}");
    assert_eq!(place.bryo("run new").succeeds().text(), "1 /tmp");
    assert_eq!(
        place
            .bryo("run new sh -c")
            .arg("stat -c %u /made; test -e /etc/group || echo gone")
            .succeeds()
            .text(),
        "33\ngone"
    );
    let steps = config(&place, "new")["history"].as_array().expect("a list").clone();
    let by =
        |back: usize| steps[steps.len() - back]["created_by"].as_str().expect("text").to_owned();
    assert_eq!(by(2), "RUN /bin/sh -c echo $A $PWD > /made # buildkit");
    assert_eq!(manifest(&place, "new")["layers"].as_array().map(Vec::len), Some(4));
    // One that fails names nothing.
    place
        .bryo("modify app wrong")
        .args(["-c", "true", "-c", "exit 7"])
        .fails(1)
        .mentions("exit code: 7");
    place.bryo("inspect wrong").exits(3);
    // A script, with an interpreter of its own or not; the same name again.
    let script = place.file("work/fix.sh", "#!/bin/busybox ash\necho script > /made\n");
    place.bryo("modify new new").arg(&script).succeeds();
    assert_eq!(place.bryo("run new").succeeds().text(), "script");
    // The other way round, as the script's name tells.
    place.bryo("modify new fix.sh new").succeeds();
    place.bryo("modify new new -").input("echo piped > /made\n").succeeds();
    assert_eq!(place.bryo("run new").succeeds().text(), "piped");
    place.bryo("run new sh -c").arg("test ! -e /dev/bryo-script").succeeds();
    // The shell, with somebody at it.
    place.bryo("modify -i new new").input("echo typed > /made\nfalse\n").succeeds();
    assert_eq!(place.bryo("run new").succeeds().text(), "typed");
    place.bryo("modify new x").exits(2).mentions("nothing to do");
    // stdout is for the digest.
    let said = place.bryo("modify new said -c").arg("echo loud; echo louder >&2").succeeds();
    assert!(said.text().starts_with("sha256:") && said.text().lines().count() == 1, "{said}");
    assert!(said.errors().contains("loud\n") && said.errors().contains("louder"), "{said}");
    place.bryo("modify oci:dir x -c true").fails(2).mentions("bryo copy oci:dir store:NAME");
}

#[test]
fn files_become_an_image_that_says_something() {
    let place = Place::new();
    if !has("busybox", "busybox-static") {
        return;
    }
    busybox_root(&place);
    let run = place.bryo("import -q root changed -m hello");
    run.args(["-c", "ENV A=b C=$A", "-c", "CMD [\"echo\", \"x\"]", "-c", "WORKDIR tmp"]).succeeds();
    let said = config(&place, "changed");
    assert_eq!(said["config"]["Env"], json!(["A=b", "C="]));
    assert_eq!(said["config"]["WorkingDir"], "/tmp");
    assert_eq!(said["history"][0]["comment"], "hello");
    assert_eq!(place.bryo("run changed").succeeds().text(), "x");
    place
        .bryo("import -q root x")
        .args(["-c", "RUN x"])
        .fails(2)
        .mentions("RUN is not a valid change command");
    // A link to a directory; what is younger than the epoch.
    std::os::unix::fs::symlink("root", place.path("work/link")).expect("a link");
    let mut digests = Vec::new();
    for source in ["root", "link"] {
        let run = place.bryo(&format!("import -q {source} old")).env("SOURCE_DATE_EPOCH", "1000");
        run.succeeds();
        digests.push(manifest(&place, "old")["layers"].clone());
        let said = config(&place, "old");
        assert_eq!(said["created"], "1970-01-01T00:16:40Z");
    }
    assert_eq!(digests[0], digests[1]);
    assert_eq!(place.bryo("run old stat -c %Y /etc/passwd").succeeds().text(), "1000");
    // What ch-image knew of it.
    place.file(
        "work/root/ch/metadata.json",
        r#"{"arch":"amd64","cwd":"/etc","env":{"X":"y z"},"labels":{"l":"1"},
        "history":[{"created_by":"RUN x"}],"shell":["/bin/sh","-c"],"volumes":[]}"#,
    );
    place.run("tar").args(["-cf", "ch.tar", "-C", "root", "."]).succeeds();
    place.run("bzip2").arg("ch.tar").succeeds();
    for source in ["root", "ch.tar.bz2"] {
        place.bryo(&format!("import -q {source} ch")).succeeds();
        assert_eq!(place.bryo("run ch sh -c").arg("echo $X $PWD").succeeds().text(), "y z /etc");
        let said = config(&place, "ch");
        assert_eq!(said["config"]["Labels"], json!({"l": "1"}));
        assert_eq!(said["history"].as_array().map(Vec::len), Some(2));
    }
    fs::write(place.path("work/root/ch/metadata.json"), "{").expect("a file");
    place.bryo("import -q root wrong").fails(5).mentions("ch/metadata.json");
}
