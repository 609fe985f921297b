//! Builds for several platforms, and what is done with an index.

use std::fs;

use serde_json::{Value, json};

use crate::support::{Place, Registry, busybox, has};

/// Compiles, as it were, here and for each platform.
const CROSS: &str = "FROM --platform=$BUILDPLATFORM base AS build
RUN echo once > /same
ARG TARGETPLATFORM TARGETOS TARGETARCH TARGETVARIANT BUILDPLATFORM BUILDARCH
RUN echo $TARGETPLATFORM $TARGETOS $TARGETARCH \"$TARGETVARIANT\" $BUILDPLATFORM $BUILDARCH > /says
FROM scratch
COPY --from=build /same /says /
CMD [\"/says\"]
";

fn host() -> (&'static str, String) {
    let architecture = if cfg!(target_arch = "x86_64") { "amd64" } else { "arm64" };
    (architecture, format!("linux/{architecture}"))
}

/// `OS/ARCH[/VARIANT]` of each entry of an index.
fn platforms(index: &Value) -> Vec<String> {
    let text = |platform: &Value, key: &str| platform[key].as_str().map(str::to_owned);
    index["manifests"]
        .as_array()
        .expect("an index")
        .iter()
        .map(|entry| {
            let platform = &entry["platform"];
            let words = ["os", "architecture", "variant"].map(|key| text(platform, key));
            words.into_iter().flatten().collect::<Vec<_>>().join("/")
        })
        .collect()
}

#[test]
fn several_platforms_make_an_index() {
    let place = Place::new();
    if !busybox(&place) {
        return;
    }
    let (architecture, host) = host();
    let context = place.context("c", CROSS, &[]);
    let said = place
        .bryo("build --progress plain -t app --platform linux/amd64,linux/arm64/v8 --platform linux/arm")
        .arg("-o")
        .arg(format!("type=oci,tar=false,dest={}", place.path("work/layout").display()))
        .arg("-o")
        .arg(place.path("work/files"))
        .arg("-o")
        .arg(format!("type=tar,dest={}", place.path("work/files.tar").display()))
        .arg("--iidfile")
        .arg(place.path("work/iid"))
        .arg(&context)
        .succeeds();
    let index = place.bryo("inspect --manifest app").succeeds();
    let wanted = ["linux/amd64", "linux/arm64", "linux/arm/v7"];
    assert_eq!(platforms(&index.json()), wanted, "{index}");
    assert_eq!(index.json()["mediaType"], "application/vnd.oci.image.index.v1+json");

    // What does not ask for the platform is done once.
    let once: Vec<&str> =
        said.errors().lines().filter(|line| line.contains("RUN echo once")).collect();
    assert_eq!(once.iter().filter(|line| !line.ends_with("cached")).count(), 1, "{said}");

    let describes = |platform: &str| {
        let said = place.bryo("inspect app --platform").arg(platform).succeeds();
        said.json()[0].clone()
    };
    for (platform, os, arch, variant) in [
        ("linux/amd64", "linux", "amd64", Value::Null),
        ("linux/arm64", "linux", "arm64", Value::Null),
        ("linux/arm/v7", "linux", "arm", json!("v7")),
    ] {
        let document = describes(platform);
        assert_eq!(
            (&document["Os"], &document["Architecture"], &document["Variant"]),
            (&json!(os), &json!(arch), &variant)
        );
        let words = variant.as_str().unwrap_or_default();
        let says = format!("{platform} {os} {arch} {words} {host} {architecture}\n");
        let folder = place.path("work/files").join(platform.replace('/', "_"));
        assert_eq!(fs::read_to_string(folder.join("says")).expect(platform), says);
        assert_eq!(fs::read_to_string(folder.join("same")).expect(platform), "once\n");
    }
    let listed = place.run("tar").arg("-tf").arg(place.path("work/files.tar")).succeeds().text();
    for name in ["linux_amd64/says", "linux_arm64/says", "linux_arm_v7/same"] {
        assert!(listed.lines().any(|line| line == name), "{name}: {listed}");
    }

    // Everything that takes a name takes that of an index.
    let document = &place.bryo("inspect app").succeeds().json()[0];
    assert_eq!(
        (&document["Kind"], &document["Architecture"]),
        (&json!("index"), &json!(architecture))
    );
    assert_eq!(document["Manifests"].as_array().map(Vec::len), Some(3), "{document}");
    assert_eq!(fs::read_to_string(place.path("work/iid")).expect("it was written"), said.text());
    let listed = place.bryo("images --json app").succeeds().json();
    assert_eq!((&listed[0]["kind"], &listed[0]["digest"]), (&json!("index"), &json!(said.text())));
    assert!(
        listed[0]["created"].is_string() && listed[0]["size"].as_u64() > Some(1000),
        "{listed}"
    );
    place.bryo("history app").succeeds();
    place.bryo("tag app other").succeeds();
    place.bryo("save -o out.tar --format oci other").succeeds();
    place.bryo("rm --purge app other").succeeds();
    place.bryo("load -i out.tar").succeeds();

    // The layout has the same index, for whoever reads it.
    let layout = fs::read(place.path("work/layout/index.json")).expect("a layout");
    let layout: Value = serde_json::from_slice(&layout).expect("JSON");
    assert_eq!(layout["manifests"][0]["digest"], json!(said.text()));
}

#[test]
fn an_index_is_pushed_whole() {
    let place = Place::new();
    if !busybox(&place) || !has("docker-registry", "docker-registry") {
        return;
    }
    let registry = Registry::start(&place);
    let context = place.context("c", CROSS, &[]);
    let name = registry.name("app:1");
    let said = place
        .bryo("build --platform linux/amd64,linux/arm64 --push -t")
        .arg(&name)
        .arg(&context)
        .succeeds();
    for architecture in ["amd64", "arm64"] {
        let other = Place::new();
        let platform = format!("linux/{architecture}");
        other.bryo("pull --platform").arg(&platform).arg(&name).succeeds();
        let config = other.bryo("inspect --config").arg(&name).succeeds().json();
        assert_eq!(config["architecture"], json!(architecture));
        let document = &other.bryo("inspect").arg(&name).succeeds().json()[0];
        let digests = document["RepoDigests"].to_string();
        assert!(digests.contains(&said.text()), "{digests}");
    }
}

#[test]
fn an_index_is_a_base() {
    let place = Place::new();
    if !busybox(&place) {
        return;
    }
    let both = "linux/amd64,linux/arm64";
    let context = place.context("c", CROSS, &[]);
    place.bryo("build -t first --platform").arg(both).arg(&context).succeeds();
    let second = "FROM first\nARG TARGETARCH\nLABEL is=$TARGETARCH\nCOPY says /copy\n";
    let context = place.context("d", second, &[("says", "copied")]);
    place.bryo("build -t second --platform").arg(both).arg(&context).succeeds();
    for architecture in ["amd64", "arm64"] {
        let platform = format!("linux/{architecture}");
        let said = place.bryo("inspect second --platform").arg(platform).succeeds();
        let document = &said.json()[0];
        assert_eq!(document["Config"]["Labels"]["is"], json!(architecture));
        assert_eq!(document["RootFS"]["Layers"].as_array().map(Vec::len), Some(2), "{document}");
    }
}

#[test]
fn one_platform_makes_no_index() {
    let place = Place::new();
    let context = place.context("c", "FROM scratch\nCOPY a /\n", &[("a", "")]);
    place.bryo("build -t app --platform linux/arm64,linux/arm64/v8").arg(&context).succeeds();
    let manifest = place.bryo("inspect --manifest app").succeeds().json();
    assert_eq!(manifest["mediaType"], "application/vnd.oci.image.manifest.v1+json");
    // Who asks for a platform gets an image of that platform, whatever the base is for.
    let context =
        place.context("d", "FROM --platform=linux/s390x scratch\nCOPY a /\n", &[("a", "")]);
    for (platform, architecture) in [("linux/arm64", "arm64"), ("local", host().0)] {
        place.bryo("build -t app --platform").arg(platform).arg(&context).succeeds();
        let config = place.bryo("inspect --config app").succeeds().json();
        assert_eq!(config["architecture"], architecture);
    }
    place.bryo("build -t app").arg(&context).succeeds();
    assert_eq!(place.bryo("inspect --config app").succeeds().json()["architecture"], "s390x");
}

#[test]
fn a_docker_archive_has_room_for_one() {
    let place = Place::new();
    let context = place.context("c", "FROM nowhere.invalid/never-asked-for\n", &[]);
    place
        .bryo("build --platform linux/amd64,linux/arm64 -o type=docker,dest=x")
        .arg(&context)
        .fails(2)
        .mentions("several platforms")
        .mentions("type=oci");
}
