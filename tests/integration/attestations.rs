//! Attestations: what is said about an image, where it stands, and that nobody takes it for one.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::support::{Judge, Place, Registry, busybox, has};

const PROVENANCE: &str = "https://slsa.dev/provenance/v1";
const SBOM: &str = "https://spdx.dev/Document";

const DOCKERFILE: &str = "FROM base AS tool
ARG WHO=nobody
RUN --network=none echo $WHO > /who
FROM base
COPY --from=tool /who /who
COPY status /var/lib/dpkg/status
RUN --mount=type=secret,id=token,required=true --mount=type=secret,id=other cat /run/secrets/token >/dev/null
ENV NAME=value
";

const STATUS: &str = "Package: bash
Status: install ok installed
Maintainer: Matthias Klose <doko@debian.org>
Architecture: amd64
Version: 5.2.15-2+b7

Package: gone
Status: deinstall ok config-files
Version: 1
";

fn context(place: &Place) -> PathBuf {
    place.file("work/token", "swordfish\n");
    place.context("c", DOCKERFILE, &[("status", STATUS)])
}

/// Builds into a layout as well.
fn layout(place: &Place, line: &str, context: &Path) -> Layout {
    let folder = place.path("work/layout");
    drop(fs::remove_dir_all(&folder));
    let said = place
        .bryo(&format!("build -q -t app:1 {line}"))
        .arg("-o")
        .arg(format!("type=oci,tar=false,dest={}", folder.display()))
        .arg(context)
        .succeeds();
    Layout { folder, root: said.text() }
}

/// An image layout with one index in it.
struct Layout {
    folder: PathBuf,
    root: String,
}

impl Layout {
    fn bytes(&self, digest: &str) -> Vec<u8> {
        let hex = digest.strip_prefix("sha256:").expect("a digest");
        fs::read(self.folder.join("blobs/sha256").join(hex)).expect(digest)
    }

    fn json(&self, digest: &Value) -> Value {
        let digest = digest.as_str().expect("a digest");
        serde_json::from_slice(&self.bytes(digest)).expect("JSON")
    }

    fn index(&self) -> Value {
        self.json(&json!(self.root))
    }

    /// The statement of one kind about the image that is the `at`th in the index.
    fn statement(&self, at: usize, kind: &str) -> Value {
        let index = self.index();
        let image = &index["manifests"][at]["digest"];
        let is_about =
            |entry: &&Value| entry["annotations"]["vnd.docker.reference.digest"] == *image;
        let entry = index["manifests"].as_array().expect("a list").iter().find(is_about);
        let manifest = self.json(&entry.expect("an attestation")["digest"]);
        let layers = manifest["layers"].as_array().expect("a list");
        let layer = layers.iter().find(|l| l["annotations"]["in-toto.io/predicate-type"] == kind);
        self.json(&layer.expect(kind)["digest"])
    }

    fn predicate(&self, kind: &str) -> Value {
        self.statement(0, kind)["predicate"].clone()
    }
}

#[test]
fn an_attestation_stands_beside_the_image() {
    let place = Place::new();
    if !busybox(&place) {
        return;
    }
    let context = context(&place);
    let line = "--provenance=mode=max --sbom=true --secret id=token,src=token --build-arg WHO=me";
    let built = layout(&place, line, &context);
    let index = built.index();
    assert_eq!(index["mediaType"], "application/vnd.oci.image.index.v1+json");
    let [image, said] = &index["manifests"].as_array().expect("a list")[..] else {
        panic!("{index}")
    };
    assert_eq!(image["platform"]["os"], "linux");
    assert_eq!(said["platform"], json!({ "architecture": "unknown", "os": "unknown" }));
    assert_eq!(said["mediaType"], "application/vnd.oci.image.manifest.v1+json");
    let annotations = json!({
        "vnd.docker.reference.digest": image["digest"],
        "vnd.docker.reference.type": "attestation-manifest",
    });
    assert_eq!(said["annotations"], annotations);

    let manifest = built.json(&said["digest"]);
    let layers = manifest["layers"].as_array().expect("a list");
    let kinds: Vec<&Value> =
        layers.iter().map(|layer| &layer["annotations"]["in-toto.io/predicate-type"]).collect();
    assert_eq!(kinds, [SBOM, PROVENANCE]);
    assert!(layers.iter().all(|layer| layer["mediaType"] == "application/vnd.in-toto+json"));
    let config = built.json(&manifest["config"]["digest"]);
    let diff_ids: Vec<&Value> = layers.iter().map(|layer| &layer["digest"]).collect();
    assert_eq!(config["rootfs"], json!({ "type": "layers", "diff_ids": diff_ids }));
    assert_eq!((&config["os"], &config["architecture"]), (&json!("unknown"), &json!("unknown")));

    let statement = built.statement(0, PROVENANCE);
    assert_eq!(statement["_type"], "https://in-toto.io/Statement/v1");
    assert_eq!(statement["predicateType"], PROVENANCE);
    let subject = &statement["subject"][0];
    let name = subject["name"].as_str().expect("a name");
    assert!(name.starts_with("pkg:docker/app@1?platform=linux%2F"), "{name}");
    let digest = format!("sha256:{}", subject["digest"]["sha256"].as_str().expect("a digest"));
    assert_eq!(image["digest"], digest);

    // The secret is nowhere.
    for entry in fs::read_dir(built.folder.join("blobs/sha256")).expect("listed") {
        let bytes = fs::read(entry.expect("an entry").path()).expect("read");
        assert!(!bytes.windows(9).any(|window| window == b"swordfish"));
    }

    // Nobody takes it for the image.
    assert_eq!(place.bryo("run app:1 cat /who").succeeds().text(), "me");
    assert!(place.bryo("history app:1").succeeds().text().contains("ENV NAME=value"));
    let document = &place.bryo("inspect app:1").succeeds().json()[0];
    assert_eq!(document["Kind"], "index");
    assert!(document["Config"]["Env"].to_string().contains("NAME=value"), "{document}");
    place.bryo("save -o app.tar app:1").succeeds();
    let listed = place.run("tar").args(["-tf", "app.tar"]).succeeds().text();
    assert_eq!(listed.lines().filter(|name| name.ends_with(".json")).count(), 2, "{listed}");
    place.bryo("save --format oci -o oci.tar app:1").succeeds();
    place.bryo("rm --purge app:1").succeeds();
    place.bryo("load -i oci.tar").succeeds();
    assert_eq!(place.bryo("run app:1 cat /who").succeeds().text(), "me");
    // And it is a base like any other.
    let next = place.context("d", "FROM app:1\nCOPY a /\n", &[("a", "")]);
    place.bryo("build -q -t next").arg(next).succeeds();
}

#[test]
fn provenance_tells_as_much_as_was_asked_for() {
    let place = Place::new();
    if !busybox(&place) {
        return;
    }
    let context = context(&place);
    let common = "--secret id=token,src=token --build-arg WHO=me --label a=b";
    let built = layout(
        &place,
        &format!("--attest type=provenance,mode=max,builder-id=https://ci/1 {common}"),
        &context,
    );
    let max = built.predicate(PROVENANCE);
    let definition = &max["buildDefinition"];
    assert_eq!(
        definition["buildType"],
        "https://github.com/moby/buildkit/blob/master/docs/attestations/slsa-definitions.md"
    );
    let external = &definition["externalParameters"];
    assert_eq!(external["configSource"], json!({ "path": "Dockerfile" }));
    let request = &external["request"];
    assert_eq!(request["frontend"], "dockerfile.v0");
    assert_eq!(request["args"], json!({ "build-arg:WHO": "me", "label:a": "b" }));
    assert_eq!(request["secrets"], json!([{ "id": "other", "optional": true }, { "id": "token" }]));
    assert_eq!(request["locals"], json!([{ "name": "context" }, { "name": "dockerfile" }]));
    let base = &definition["resolvedDependencies"][0];
    let uri = base["uri"].as_str().expect("a URI");
    assert!(uri.starts_with("pkg:docker/base@latest?platform=linux%2F"), "{uri}");
    let entry = &place.bryo("images --json base").succeeds().json()[0];
    let digest = format!("sha256:{}", base["digest"]["sha256"].as_str().expect("a digest"));
    assert_eq!(entry["digest"], digest);
    let details = &max["runDetails"];
    assert_eq!(details["builder"]["id"], "https://ci/1");
    let metadata = &details["metadata"];
    assert!(metadata["startedOn"].as_str() <= metadata["finishedOn"].as_str(), "{metadata}");
    assert!(metadata["invocationId"].as_str().is_some_and(|id| !id.is_empty()));
    let complete = json!({ "request": true, "resolvedDependencies": false });
    assert_eq!(metadata["buildkit_completeness"], complete);
    assert_eq!(metadata["buildkit_hermetic"], false);

    // The Dockerfile and the steps, with their places and their layers.
    let source = &metadata["buildkit_metadata"]["source"];
    let data = source["infos"][0]["data"].as_str().expect("base64");
    let decoded = place.run("base64").arg("-d").input(data).succeeds();
    assert_eq!(decoded.bytes(), DOCKERFILE.as_bytes());
    let steps = &definition["internalParameters"]["buildConfig"]["llbDefinition"];
    let steps = steps.as_array().expect("a list");
    let op = |at: usize| &steps[at]["op"]["Op"];
    assert!(op(0)["source"]["identifier"].as_str().is_some_and(|text| {
        text.starts_with("docker-image://docker.io/library/base:latest@sha256:")
    }));
    let meta = &op(1)["exec"]["meta"];
    assert_eq!(meta["args"], json!(["/bin/sh", "-c", "echo $WHO > /who"]));
    assert!(meta["env"].to_string().contains("WHO=me"), "{meta}");
    assert_eq!(op(1)["exec"]["network"], 2);
    assert_eq!(steps[2]["inputs"], json!(["step0:0", "step1:0"]));
    assert_eq!(op(2)["file"]["actions"][0]["Action"]["copy"]["src"], "/who");
    assert_eq!(op(3)["source"]["identifier"], "local://context");
    let secret = &op(5)["exec"]["mounts"][2];
    assert_eq!((&secret["mountType"], &secret["secretOpt"]["ID"]), (&json!(1), &json!("token")));
    let last = steps.last().expect("an end");
    assert_eq!((&last["op"]["Op"], &last["inputs"]), (&json!({}), &json!(["step5:0"])));
    let range = &source["locations"]["step5"]["locations"][0]["ranges"][0];
    assert_eq!(range, &json!({ "start": { "line": 7 }, "end": { "line": 7 } }));
    let layers = &metadata["buildkit_metadata"]["layers"]["step5:0"][0];
    let manifest = built.json(&built.index()["manifests"][0]["digest"]);
    assert_eq!(layers, &manifest["layers"]);

    // The least says nothing that may be nobody's business.
    let built = layout(&place, &format!("--provenance=mode=min {common}"), &context);
    let min = built.predicate(PROVENANCE);
    let request = &min["buildDefinition"]["externalParameters"]["request"];
    assert_eq!(request["args"], json!({}));
    let metadata = &min["runDetails"]["metadata"];
    assert_eq!(metadata["buildkit_completeness"]["request"], false);
    assert_eq!(metadata["buildkit_metadata"], json!({}));
    let text = min.to_string();
    for part in ["WHO", "token", "swordfish", "llbDefinition", "echo"] {
        assert!(!text.contains(part), "{part}: {text}");
    }
    assert_eq!(min["buildDefinition"]["resolvedDependencies"][0], *base);
}

#[test]
fn the_same_epoch_makes_the_same_statements() {
    let place = Place::new();
    let context = place.context("c", "FROM scratch\nCOPY a /\n", &[("a", "a")]);
    let build = |line: &str| {
        let line = format!("build -q --no-cache --provenance=true --sbom=true -t app {line}");
        place.bryo(&line).env("SOURCE_DATE_EPOCH", "1700000000").arg(&context).succeeds().text()
    };
    assert_eq!(build(""), build(""));
    let built = layout(
        &place,
        "--provenance=true --sbom=true --build-arg SOURCE_DATE_EPOCH=1700000000",
        &context,
    );
    let metadata = &built.predicate(PROVENANCE)["runDetails"]["metadata"];
    assert_eq!(metadata["startedOn"], "2023-11-14T22:13:20Z");
    assert_eq!(metadata["finishedOn"], metadata["startedOn"]);
    assert_eq!(built.predicate(SBOM)["creationInfo"]["created"], metadata["startedOn"]);
    // Without one, no build is the other.
    let one = layout(&place, "--provenance=true", &context).root;
    assert_ne!(one, layout(&place, "--provenance=true", &context).root);
}

#[test]
fn nothing_is_said_unless_it_is_asked_for() {
    let place = Place::new();
    let context = place.context("c", "FROM scratch\nCOPY a /\n", &[("a", "a")]);
    for line in ["", "--provenance=false --sbom=false", "--attest type=sbom,disabled=true"] {
        place.bryo(&format!("build -q -t app {line}")).arg(&context).succeeds();
        let manifest = place.bryo("inspect --manifest app").succeeds().json();
        assert_eq!(manifest["mediaType"], "application/vnd.oci.image.manifest.v1+json", "{line}");
    }
    for (line, part) in [
        ("--sbom=generator=docker/buildkit-syft-scanner", "no generator is run"),
        ("--provenance=version=v0.2", "only version=v1"),
        ("--attest mode=max", "attestation type not specified"),
        ("--attest type=signature", "provenance and sbom are known"),
        ("--provenance=mode=most", "min and max are known"),
    ] {
        place.bryo(&format!("build -q {line}")).arg(&context).fails(2).mentions(part);
    }
}

#[test]
fn an_sbom_has_the_packages_of_all_databases() {
    let place = Place::new();
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/packages/rpm");
    let dockerfile = "FROM scratch
COPY os-release /etc/
COPY status /var/lib/dpkg/
COPY installed /lib/apk/db/
COPY rpm /usr/lib/sysimage/rpm/
COPY Packages /var/lib/rpm/
";
    let files = [
        ("os-release", "ID=fedora\nVERSION_ID=40\nPRETTY_NAME=\"Fedora Linux 40\"\n"),
        ("status", STATUS),
        ("installed", "P:musl\nV:1.2.4-r2\nA:x86_64\nL:MIT\nm:Timo <timo@alpinelinux.org>\n\n"),
        ("Packages", "this is no database, whatever it is called, and it is long enough to be one"),
    ];
    let context = place.context("c", dockerfile, &files);
    let rpm = context.join("rpm");
    place.run("mkdir").arg(&rpm).succeeds();
    for entry in fs::read_dir(data.join("sqlite")).expect("listed") {
        let entry = entry.expect("an entry");
        place.run("cp").arg(entry.path()).arg(&rpm).succeeds();
    }
    let said = place.bryo("build -t app --sbom=true").arg(&context).succeeds();
    let warning = "/var/lib/rpm/Packages cannot be read: it is of a kind that cannot be read";
    assert!(said.errors().contains(warning), "{said}");
    // What is not looked at is told.
    let scans = "ARG BUILDKIT_SBOM_SCAN_STAGE=true\nFROM scratch\nCOPY os-release /\n";
    let other = place.file("c/Scans", scans);
    let wish = |line: &str| place.bryo(line).arg(&other).arg(&context).succeeds();
    let warning = "BUILDKIT_SBOM_SCAN_STAGE is not supported";
    assert!(wish("build --sbom=true -f").errors().contains(warning));
    let without = "build --sbom=true --build-arg BUILDKIT_SBOM_SCAN_STAGE=false -f";
    assert!(!wish(without).errors().contains(warning));
    assert!(!wish("build -f").errors().contains(warning));
    let document = layout(&place, "--sbom=true", &context).predicate(SBOM);
    assert_eq!(document["spdxVersion"], "SPDX-2.3");
    let packages = document["packages"].as_array().expect("a list");
    let named = |name: &str| {
        let found = packages.iter().find(|package| package["name"] == name);
        found.unwrap_or_else(|| panic!("{name} is not in {document}"))
    };
    let url = |package: &Value| package["externalRefs"][0]["referenceLocator"].clone();
    for (name, version, locator) in [
        ("bash", "5.2.15-2+b7", "pkg:deb/fedora/bash@5.2.15-2%2Bb7?arch=amd64&distro=fedora-40"),
        ("musl", "1.2.4-r2", "pkg:apk/fedora/musl@1.2.4-r2?arch=x86_64&distro=fedora-40"),
        (
            "hello-libs",
            "1:2.12.1-3.fc40",
            "pkg:rpm/fedora/hello-libs@2.12.1-3.fc40?arch=noarch&distro=fedora-40&epoch=1&upstream=hello-2.12.1-3.fc40.src.rpm",
        ),
    ] {
        assert_eq!(named(name)["versionInfo"], version);
        assert_eq!(url(named(name)), locator);
    }
    assert_eq!(named("musl")["licenseDeclared"], "MIT");
    assert_eq!(named("hello-libs")["supplier"], "Organization: Example Project");
    assert_eq!(named("fedora")["primaryPackagePurpose"], "OPERATING-SYSTEM");
    assert!(!packages.iter().any(|package| package["name"] == "gone"));
    let extracted = document["hasExtractedLicensingInfos"].to_string();
    assert!(extracted.contains("LGPLv2+ with exceptions"), "{extracted}");
    let comment = named("app:1")["comment"].as_str().expect("a comment");
    assert!(comment.contains("/var/lib/rpm/Packages"), "{comment}");
    let relationships = document["relationships"].as_array().expect("a list");
    assert_eq!(relationships.len(), packages.len() + 1, "one of them is unknown");
    assert_eq!(relationships[0]["relationshipType"], "DESCRIBES");
}

#[test]
fn each_platform_has_its_own() {
    let place = Place::new();
    let context = place.context(
        "c",
        "FROM scratch\nARG TARGETARCH\nLABEL is=$TARGETARCH\nCOPY a /\n",
        &[("a", "a")],
    );
    let line = "--platform linux/amd64,linux/arm64 --provenance=mode=max";
    let built = layout(&place, line, &context);
    let index = built.index();
    let platforms: Vec<&Value> = index["manifests"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|entry| &entry["platform"]["architecture"])
        .collect();
    assert_eq!(platforms, ["amd64", "arm64", "unknown", "unknown"]);
    for (at, platform) in ["linux%2Famd64", "linux%2Farm64"].iter().enumerate() {
        let name = built.statement(at, PROVENANCE)["subject"][0]["name"].to_string();
        assert!(name.contains(platform), "{name}");
    }
}

#[test]
fn files_have_statements_beside_them() {
    let place = Place::new();
    let context = place.context("c", "FROM scratch\nCOPY a /dir/\n", &[("a", "content")]);
    let line = "build -q --provenance=mode=min,filename=p.json --sbom=true";
    let (folder, tar) = (place.path("work/out"), place.path("work/out.tar"));
    place.bryo(line).arg("-o").arg(&folder).arg(&context).succeeds();
    let destination = format!("type=tar,dest={}", tar.display());
    place.bryo(line).arg("-o").arg(destination).arg(&context).succeeds();
    for (name, kind) in [("p.json", PROVENANCE), ("sbom.spdx.json", SBOM)] {
        let text = fs::read(folder.join(name)).expect(name);
        let statement: Value = serde_json::from_slice(&text).expect("JSON");
        assert_eq!(statement["predicateType"], kind);
        let digest = "ed7002b439e9ac845f22357d822bac1444730fbdb6016d3ec9432297b9ec9f73";
        let subject = json!([{ "name": "dir/a", "digest": { "sha256": digest } }]);
        assert_eq!(statement["subject"], subject, "{name}");
    }
    let listed = place.run("tar").arg("-tvf").arg(&tar).succeeds().text();
    let statements: Vec<&str> = listed.lines().filter(|line| line.contains(".json")).collect();
    assert_eq!(statements.len(), 2, "{listed}");
    assert!(statements.iter().all(|line| line.starts_with("-rw-------")), "{listed}");

    let line = "build -q --provenance=true --platform linux/amd64,linux/arm64";
    let folder = place.path("work/both");
    let output = "type=local,platform-split=false,attestation-prefix=said-,dest=";
    let output = format!("{output}{}", folder.display());
    place.bryo(line).arg("-o").arg(output).arg(&context).succeeds();
    let names = ["said-provenance.linux_amd64.json", "said-provenance.linux_arm64.json"];
    assert!(names.iter().all(|name| folder.join(name).is_file()), "{}", folder.display());
    let split = place.path("work/split");
    place.bryo(line).arg("-o").arg(&split).arg(&context).succeeds();
    assert!(split.join("linux_arm64/provenance.json").is_file());

    let line = "build -q --provenance=inline-only=true -o";
    let folder = place.path("work/none");
    place.bryo(line).arg(&folder).arg(&context).succeeds();
    assert!(!folder.join("provenance.json").exists() && folder.join("dir/a").exists());
}

#[test]
fn scripts_are_told_how_an_image_came_to_be() {
    let place = Place::new();
    let context = place.context("c", "FROM scratch\nARG A\nCOPY a /\n", &[("a", "a")]);
    let told = |variable: Option<&str>, line: &str| -> Value {
        let line = format!("build -q --build-arg A=1 --metadata-file m.json {line}");
        let mut run = place.bryo(&line).arg(&context);
        if let Some(value) = variable {
            run = run.env("BUILDX_METADATA_PROVENANCE", value);
        }
        run.succeeds();
        let text = fs::read(place.path("work/m.json")).expect("it was written");
        serde_json::from_slice(&text).expect("JSON")
    };
    let request = |provenance: &Value| {
        provenance["buildDefinition"]["externalParameters"]["request"]["args"].clone()
    };
    let min = told(None, "");
    assert_eq!(request(&min["buildx.build.provenance"]), json!({}));
    // It goes to the script alone.
    assert!(min["containerimage.config.digest"].is_string(), "{min}");
    let max = told(Some("max"), "");
    assert_eq!(request(&max["buildx.build.provenance"]), json!({ "build-arg:A": "1" }));
    assert!(told(Some("disabled"), "")["buildx.build.provenance"].is_null());
    let both = told(None, "--platform linux/amd64,linux/arm64");
    for platform in ["linux/amd64", "linux/arm64"] {
        assert!(both[format!("buildx.build.provenance/{platform}")].is_object(), "{both}");
    }
}

#[test]
fn others_find_the_image_and_what_is_said_of_it() {
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
    let Some(judge) = Judge::new(&place) else { return };
    if !busybox(&place) {
        return;
    }
    let registry = Registry::start(&place);
    let name = registry.name("team/app:1");
    let context = context(&place);
    let line = "build -q --push --provenance=mode=max --sbom=true --secret id=token,src=token -t";
    let digest = place.bryo(line).arg(&name).arg(&context).succeeds().text();
    let there = format!("docker://{name}");
    let raw = judge.run("skopeo").args(["inspect", "--tls-verify=false", "--raw", &there]);
    let index = raw.succeeds().json();
    assert_eq!(
        index["manifests"][1]["annotations"]["vnd.docker.reference.type"],
        "attestation-manifest"
    );
    let hex = digest.trim_start_matches("sha256:");
    let sum = place.run("sha256sum").arg(registry.blob(&digest)).succeeds().text();
    assert!(sum.starts_with(hex), "{sum}");
    // What is said came along, to the last blob.
    let manifest = fs::read(registry.blob(index["manifests"][1]["digest"].as_str().expect("one")));
    let manifest: Value = serde_json::from_slice(&manifest.expect("it was sent")).expect("JSON");
    for layer in manifest["layers"].as_array().expect("a list") {
        let bytes = fs::read(registry.blob(layer["digest"].as_str().expect("one")));
        let statement: Value = serde_json::from_slice(&bytes.expect("sent")).expect("JSON");
        let subject = statement["subject"][0]["name"].as_str().expect("a name");
        assert!(
            subject.starts_with(&format!("pkg:docker/{}", registry.name("team/app@1"))),
            "{subject}"
        );
    }
    let plain = judge.run("skopeo").args(["inspect", "--tls-verify=false", &there]);
    assert_eq!(plain.succeeds().json()["Os"], "linux");
    judge.run("buildah").args(["pull", "-q", "--tls-verify=false", &name]).succeeds();
    let config = judge.run("buildah").args(["inspect", "--type", "image", &name]).succeeds();
    assert!(config.text().contains("NAME=value"), "{config}");
    let copied =
        judge.run("skopeo").args(["copy", "-q", "--src-tls-verify=false", &there, "oci:l:1"]);
    copied.succeeds();
    judge.run("umoci").args(["unpack", "--rootless", "--image", "l:1", "bundle"]).succeeds();
    let who = judge.run("cat").arg("bundle/rootfs/who").succeeds();
    assert_eq!(who.text(), "nobody");
    // We too, from another machine.
    let other = Place::new();
    other.bryo("pull").arg(&name).succeeds();
    assert_eq!(other.bryo("run").arg(&name).args(["cat", "/who"]).succeeds().text(), "nobody");
}
