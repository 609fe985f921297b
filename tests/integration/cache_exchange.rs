//! Caches elsewhere: what one machine built, another one takes.

use std::fs;
use std::path::{Path, PathBuf};

use crate::support::{Place, Registry, Run, Said, busybox, has};

const DOCKERFILE: &str = "FROM base AS tools\nRUN echo tool > /tool; echo > /more\nFROM base\n\
                          RUN echo one > /one\nCOPY --from=tools /tool /tool\nENV A=1\n\
                          RUN cat /tool /one > /both\n";

/// A machine with nothing but the same base.
fn machine(place: &Place, name: &str) -> PathBuf {
    let storage = place.path("home").join(name);
    let root = place.path("work/root");
    on(place, &storage, "import").arg(root).arg("base").succeeds();
    storage
}

fn on(place: &Place, storage: &Path, line: &str) -> Run {
    place.bryo(line).env("BRYO_STORAGE", storage)
}

/// Whether the step came from a cache.
fn is_hit(said: &Said, step: &str) -> bool {
    let mut lines = said.errors().lines().filter(|line| line.contains(step));
    let line = lines.next().unwrap_or_else(|| panic!("there is no {step}: {said}"));
    line.contains("]* ")
}

#[test]
fn the_whole_cache_moves_to_another_machine() {
    let place = Place::new();
    if !has("docker-registry", "docker-registry") || !busybox(&place) {
        return;
    }
    let registry = Registry::start(&place);
    let context = place.context("c", DOCKERFILE, &[]);
    let digest = place.bryo("build -q -t app").arg(&context).succeeds().text();
    let name = registry.name("team/cache:all");
    let exported = place.bryo("cache export").arg(&name).succeeds();
    assert_eq!(place.bryo("digest").arg(&name).succeeds().text(), exported.text());
    let layout = place.bryo("cache export oci:layout").succeeds();
    assert_eq!(layout.text(), exported.text());
    place.bryo("cache export oci-archive:cache.tar").succeeds();
    let steps = ["RUN echo tool", "RUN echo one", "COPY --from", "ENV A", "RUN cat"];
    for (machine_name, from) in [("second", &*name), ("third", "oci-archive:cache.tar")] {
        let storage = machine(&place, machine_name);
        on(&place, &storage, "cache import").arg(from).succeeds().mentions("imported ");
        // What is here now needs nobody any more.
        let said = on(&place, &storage, "build --progress plain --offline -t app").arg(&context);
        let said = said.succeeds();
        for step in steps {
            assert!(is_hit(&said, step), "{step}: {said}");
        }
        assert_eq!(said.text(), digest);
        assert_eq!(on(&place, &storage, "run app cat /both").succeeds().text(), "tool\none");
    }
    let fourth = machine(&place, "fourth");
    let line = "build --progress plain -t app --cache-from type=local,src=layout";
    let said = on(&place, &fourth, line).arg(&context).succeeds();
    assert!(steps.iter().all(|step| is_hit(&said, step)), "{said}");
    place.bryo("push -q base").arg(registry.name("base:1")).succeeds();
    let none = place.bryo("cache import").arg(registry.name("base:1"));
    none.exits_with_any(&[5]).mentions("no cache in it");
    place.bryo("cache export dir:x").fails(2).mentions("no room for a cache");
}

#[test]
fn another_machine_takes_what_this_one_made() {
    let place = Place::new();
    if !has("docker-registry", "docker-registry") || !busybox(&place) {
        return;
    }
    let registry = Registry::start(&place);
    let context = place.context("c", DOCKERFILE, &[]);
    let (most, least) = (registry.name("team/cache:max"), registry.name("team/cache:min"));
    let line = format!(
        "build -q -t app --cache-to type=registry,ref={most},mode=max,image-manifest=true \
         --cache-to {least}"
    );
    let digest = place.bryo(&line).arg(&context).succeeds().text();

    let second = machine(&place, "second");
    let line = format!("build --progress plain -t app --cache-from type=registry,ref={most}");
    let said = on(&place, &second, &line).arg(&context).succeeds();
    for step in ["RUN echo tool", "RUN echo one", "COPY --from", "ENV A", "RUN cat"] {
        assert!(is_hit(&said, step), "{step}: {said}");
    }
    assert_eq!(said.text(), digest, "the same image, times and all");
    assert_eq!(on(&place, &second, "run app cat /both").succeeds().text(), "tool\none");
    // From now on it has all of that itself.
    let said = on(&place, &second, "build --progress plain -t app").arg(&context).succeeds();
    assert!(is_hit(&said, "RUN cat"), "{said}");

    // The smaller one has nothing of stages that are only copied from.
    let third = machine(&place, "third");
    let line = format!("build --progress plain -t app --cache-from {least}");
    let said = on(&place, &third, &line).arg(&context).succeeds();
    let hits =
        ["RUN echo tool", "RUN echo one", "COPY --from", "RUN cat"].map(|s| is_hit(&said, s));
    assert_eq!(hits, [false, true, true, true], "{said}");

    // One that is not there costs nothing but a warning.
    let fourth = machine(&place, "fourth");
    let none = registry.name("team/none:1");
    let line = format!("build --progress plain -t app --cache-from {none} --cache-from {most}");
    let said = on(&place, &fourth, &line).arg(&context).succeeds();
    assert!(said.errors().contains("no cache of"), "{said}");
    assert!(is_hit(&said, "RUN cat"), "{said}");
    let fifth = machine(&place, "fifth");
    let line = format!("build --progress plain --no-cache -t app --cache-from {most}");
    let said = on(&place, &fifth, &line).arg(&context).succeeds();
    assert!(!is_hit(&said, "RUN cat"), "{said}");
}

#[test]
fn a_directory_holds_a_cache() {
    let place = Place::new();
    if !busybox(&place) {
        return;
    }
    let context = place.context("c", DOCKERFILE, &[]);
    let cache = place.path("work/cache");
    let line = "build -q -t app --cache-to type=local,dest=cache,mode=max";
    place.bryo(line).arg(&context).succeeds();
    let second = machine(&place, "second");
    let line = "build --progress plain -t app --cache-from type=local,src=cache";
    let said = on(&place, &second, line).arg(&context).succeeds();
    assert!(is_hit(&said, "RUN echo tool") && is_hit(&said, "RUN cat"), "{said}");

    // What somebody has damaged is made again.
    for blob in fs::read_dir(cache.join("blobs/sha256")).expect("blobs") {
        let path = blob.expect("a blob").path();
        let content = fs::read(&path).expect("a blob");
        if content.starts_with(&[0x1f, 0x8b]) {
            fs::write(&path, vec![0; content.len()]).expect("a blob");
        }
    }
    let third = machine(&place, "third");
    let said = on(&place, &third, line).arg(&context).succeeds();
    assert!(!is_hit(&said, "RUN cat"), "{said}");
    assert!(said.errors().contains("from the cache of cache:latest"), "{said}");
    assert_eq!(on(&place, &third, "run app cat /both").succeeds().text(), "tool\none");

    place
        .bryo("build --cache-to type=gha .")
        .fails(2)
        .mentions("a service that bryo does not speak");
    place.bryo("build --cache-from type=locall,src=x .").fails(2).mentions("did you mean local?");
    // A directory that cannot be written fails the build, unless that was said.
    place.file("work/file", "");
    let line = "build -q -t app --cache-to type=local,dest=file/x";
    let said = place.bryo(line).arg(&context).fails(9);
    assert!(!said.errors().contains("FROM base"), "nothing is built: {said}");
    let said = place.bryo(&format!("{line},ignore-error=true")).arg(&context).succeeds();
    assert!(said.text().starts_with("sha256:"), "{said}");
}

#[test]
fn what_commands_have_cached_goes_along() {
    let place = Place::new();
    if !busybox(&place) {
        return;
    }
    let mounts =
        "--mount=type=cache,id=deps,target=/c --mount=type=cache,id=other,target=/o,mode=700";
    let fill = format!(
        "FROM base\nRUN {mounts} echo one > /c/f; ln -s f /c/l; chmod 4751 /c/f; echo > /o/x\n"
    );
    let context = place.context("fill", &fill, &[]);
    let line = "build -q -t app --cache-to type=local,dest=some,mounts=deps,mounts=id=none \
                --cache-to type=local,dest=all,mounts=all";
    place.bryo(line).arg(&context).succeeds().mentions("no step mounts a cache \"none\"");
    // A build whose steps are all cached has them all the same.
    let line = "build -q -t app --cache-to type=local,dest=again,mounts=all";
    place.bryo(line).arg(&context).succeeds();

    let look = format!(
        "FROM base\nRUN {mounts} cat /c/l > /got; stat -c %a /c/f /c /o >> /got; ls /o >> /got\n"
    );
    let context = place.context("look", &look, &[]);
    for (cache, expected) in [
        ("some", "one\n4751\n755\n700"),
        ("all", "one\n4751\n755\n700\nx"),
        ("again", "one\n4751\n755\n700\nx"),
    ] {
        let storage = machine(&place, cache);
        let line = format!("build -q -t app --cache-from type=local,src={cache}");
        on(&place, &storage, &line).arg(&context).succeeds();
        let got = on(&place, &storage, "run app cat /got").succeeds().text();
        assert_eq!(got, expected, "{cache}");
    }
}

#[test]
fn an_image_holds_its_own_cache() {
    let place = Place::new();
    if !has("docker-registry", "docker-registry") || !busybox(&place) {
        return;
    }
    let registry = Registry::start(&place);
    let context = place.context("c", DOCKERFILE, &[]);
    for (name, options) in [
        ("team/app:1", "--cache-to type=inline"),
        ("team/app:2", "--compress zstd --build-arg BUILDKIT_INLINE_CACHE=1"),
    ] {
        let name = registry.name(name);
        place.bryo(&format!("build -q --push -t {name} {options}")).arg(&context).succeeds();
        let storage = machine(&place, &name.replace(['/', ':'], "_"));
        let line = format!("build --progress plain -t app --cache-from {name}");
        let said = on(&place, &storage, &line).arg(&context).succeeds();
        let hits = ["RUN echo tool", "RUN echo one", "RUN cat"].map(|step| is_hit(&said, step));
        assert_eq!(hits, [false, true, true], "{said}");
    }
    // An image without one.
    let name = registry.name("team/plain:1");
    place.bryo(&format!("build -q --push -t {name}")).arg(&context).succeeds();
    let storage = machine(&place, "plain");
    let line = format!("build --progress plain -t app --cache-from {name}");
    on(&place, &storage, &line).arg(&context).succeeds().mentions("there is no cache in it");
}
