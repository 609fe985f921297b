//! `bryo build`.

use std::fs;

use crate::support::{Place, Registry, Said, busybox, has};

/// How many steps of a build with plain progress came from the cache.
fn hits(said: &Said) -> usize {
    said.errors().lines().filter(|line| line.ends_with(": cached")).count()
}

const FIVE: &str = "FROM base
ENV GREETING=hello
WORKDIR /srv
COPY a.txt ./
RUN echo $GREETING $(cat a.txt) > said
CMD [\"cat\", \"said\"]
";

#[test]
fn an_unchanged_build_executes_nothing() {
    let place = Place::new();
    if !busybox(&place) {
        return;
    }
    let context = place.context("c", FIVE, &[("a.txt", "one\n")]);
    let build = || place.bryo("build --progress plain -t app").arg(&context).succeeds();
    let first = build();
    assert!(first.text().starts_with("sha256:") && first.text().len() == 71, "{first}");
    assert_eq!(hits(&first), 1, "only the base is here: {first}");
    assert_eq!(place.bryo("run app").succeeds().text(), "hello one");

    let second = build();
    assert_eq!(second.text(), first.text());
    assert!(hits(&second) >= 2 && !second.errors().contains("done in"), "{second}");

    // Another time is no other content.
    place.run("touch").args(["-d", "2001-01-01"]).arg(context.join("a.txt")).succeeds();
    assert_eq!(build().text(), first.text());

    place.file(context.join("a.txt"), "two\n");
    let third = build();
    assert_ne!(third.text(), first.text());
    assert_eq!(place.bryo("run app").succeeds().text(), "hello two");

    // And back: what was made once is still there.
    place.file(context.join("a.txt"), "one\n");
    let fourth = build();
    assert_eq!(fourth.text(), first.text());
    assert!(!fourth.errors().contains("done in"), "{fourth}");

    let again = place.bryo("build --no-cache --progress plain").arg(&context).succeeds();
    assert_eq!(hits(&again), 1, "only the base is here: {again}");
}

#[test]
fn same_input_same_bytes() {
    let dockerfile = "FROM base\nCOPY --chown=33:33 --chmod=640 d /d\nWORKDIR /a/b\n";
    let mut digests = Vec::new();
    for order in [["one", "two", "three"], ["three", "one", "two"]] {
        let place = Place::new();
        if !busybox(&place) {
            return;
        }
        let context = place.context("c", dockerfile, &[]);
        for name in order {
            let path = place.file(context.join("d").join(name), name);
            place.run("touch").args(["-d", "2001-01-01T00:00:00Z"]).arg(path).succeeds();
        }
        let said = place
            .bryo("build --progress plain -t app")
            .env("SOURCE_DATE_EPOCH", "1000000000")
            .arg(&context)
            .succeeds();
        assert!(said.text().starts_with("sha256:"), "{said}");
        let layers = &place.bryo("inspect app").succeeds().json()[0]["RootFS"]["Layers"];
        let layers = layers.as_array().expect("layers")[1..].to_vec();
        digests.push(layers);
    }
    assert_eq!(digests[0], digests[1]);
}

#[test]
fn stages_names_arguments_and_targets() {
    let place = Place::new();
    if !busybox(&place) {
        return;
    }
    let dockerfile = "ARG BASE=nothing
FROM ${BASE} AS one
ARG WHO
RUN echo for $WHO > /who
FROM ${BASE} AS unused
RUN false
FROM ${BASE} AS two
COPY --from=one /who /who
COPY --from=extra x /x
LABEL a=b
CMD cat /who /x
";
    let context = place.context("c", dockerfile, &[]);
    let extra = place.folder("extra");
    place.file("extra/x", "extra\n");
    let said = place
        .bryo("build -t a -t b:2 --build-arg BASE=base --build-arg WHO --label c=d --label e")
        .arg("--build-context")
        .arg(format!("extra={}", extra.display()))
        .arg("--iidfile")
        .arg(place.path("work/iid"))
        .arg(&context)
        .env("WHO", "you")
        .succeeds();
    assert!(!said.errors().contains("unused"), "{said}");
    assert_eq!(place.bryo("run b:2").succeeds().text(), "for you\nextra");
    let described = &place.bryo("inspect a").succeeds().json()[0];
    assert_eq!(described["Config"]["Labels"], serde_json::json!({"a": "b", "c": "d", "e": ""}));
    let iid = fs::read_to_string(place.path("work/iid")).expect("it was written");
    assert_eq!(described["Id"], iid.trim());

    place
        .bryo("build -q --target one --build-arg BASE=base --build-arg WHO=me -t one")
        .arg(&context)
        .succeeds();
    assert_eq!(place.bryo("run one cat /who").succeeds().text(), "for me");
}

#[test]
fn the_dockerfile_may_come_from_elsewhere() {
    let place = Place::new();
    if !busybox(&place) {
        return;
    }
    let said = place.bryo("build -q -t a -").input("FROM base\nRUN echo x > /x\n").succeeds();
    assert!(said.text().starts_with("sha256:"), "{said}");
    let context = place.context("c", "FROM nothing.invalid/x\n", &[("f", "f\n")]);
    let other = place.file("work/Other", "FROM base\nCOPY f /f\n");
    place.bryo("build -q -t b -f").arg(other).arg(&context).succeeds();
    assert_eq!(place.bryo("run b cat /f").succeeds().text(), "f");
    place.bryo("build -q -t c -f -").arg(&context).input("FROM b\nCOPY f /g\n").succeeds();
    assert_eq!(place.bryo("run c cat /g").succeeds().text(), "f");
}

#[test]
fn ignored_files_do_not_exist() {
    let place = Place::new();
    if !busybox(&place) {
        return;
    }
    let files = [
        (".dockerignore", "**/*.o\n!keep.o\nsecret\n"),
        ("a.o", ""),
        ("keep.o", ""),
        ("secret/x", ""),
    ];
    let context = place.context("c", "FROM base\nCOPY . /c\nCMD find /c | sort\n", &files);
    place.bryo("build -q -t a").arg(context).succeeds();
    let said = place.bryo("run a").succeeds();
    assert_eq!(said.text(), "/c\n/c/.dockerignore\n/c/Dockerfile\n/c/keep.o", "{said}");
}

#[test]
fn a_run_leaves_no_trace_of_its_world() {
    let place = Place::new();
    if !busybox(&place) {
        return;
    }
    let dockerfile = "FROM base\nRUN echo x > /x; ls -l /proc/self/exe /dev/null /sys/kernel /etc/resolv.conf /etc/hosts\n";
    let context = place.context("c", dockerfile, &[]);
    place.bryo("build -q -t a -o type=tar,dest=out.tar").arg(&context).succeeds();
    let listed = place.run("tar").args(["-tf", "out.tar"]).succeeds().text();
    for absent in ["dev/null", "etc/resolv.conf", "etc/hosts", "proc/", "sys/", "dev/"] {
        assert!(
            !listed.lines().any(|line| line.trim_start_matches("./") == absent),
            "{absent}:\n{listed}"
        );
    }
    assert!(listed.lines().any(|line| line.trim_start_matches("./") == "x"), "{listed}");
}

#[test]
fn outputs_are_read_by_others() {
    let place = Place::new();
    if !busybox(&place) {
        return;
    }
    let context = place.context("c", "FROM base\nRUN echo x > /x && ln /x /y\n", &[]);
    let build = |output: &str| {
        place.bryo("build -q -t a:1 -o").arg(output).arg(&context).succeeds();
    };
    build("type=local,dest=tree");
    assert_eq!(fs::read_to_string(place.path("work/tree/y")).expect("a file"), "x\n");
    build("plain-directory");
    assert!(place.path("work/plain-directory/bin/busybox").exists());
    build("type=oci,dest=oci.tar");
    build("type=docker,dest=docker.tar");
    if has("skopeo", "skopeo") {
        for archive in ["oci-archive:oci.tar", "docker-archive:docker.tar"] {
            let said = place.run("skopeo").args(["inspect", archive]).succeeds().json();
            assert_eq!(said["Layers"].as_array().map(Vec::len), Some(2), "{archive}: {said:#}");
        }
    }
}

#[test]
fn output_of_commands_is_shown_live_and_after_a_failure() {
    let place = Place::new();
    if !busybox(&place) {
        return;
    }
    let context = place.context("c", "FROM base\nRUN echo one; echo two >&2; exit 3\n", &[]);
    for style in ["plain", "none", "tty"] {
        let said = place.bryo("build --progress").arg(style).arg(&context).fails(1);
        assert!(said.errors().contains(" one") && said.errors().contains(" two"), "{said}");
        let said = said.mentions("Dockerfile:2").mentions("RUN echo one").mentions("exit");
        assert_eq!(said.text(), "");
    }
    let said = place.bryo("build --progress json").arg(&context).exits(1);
    for line in said.errors().lines() {
        let event: serde_json::Value = serde_json::from_str(line).expect(line);
        assert!(event["event"].is_string(), "{line}");
    }
    let said = place
        .bryo("build -q -t x")
        .arg(place.context("d", "FROM base\nRUN echo x\n", &[]))
        .succeeds();
    assert_eq!(said.errors(), "");
}

#[test]
fn builds_run_side_by_side() {
    let place = Place::new();
    if !busybox(&place) {
        return;
    }
    let context = place.context("c", FIVE, &[("a.txt", "one\n")]);
    let children: Vec<_> = (0..6)
        .map(|at| {
            place
                .bryo("build --progress plain -t")
                .arg(format!("app{}", at % 3))
                .arg(&context)
                .spawn()
        })
        .collect();
    for child in children {
        let output = child.wait_with_output().expect("it ends");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{said}");
    }
    for at in 0..3 {
        assert_eq!(place.bryo(&format!("run app{at}")).succeeds().text(), "hello one");
    }
}

#[test]
fn named_contexts_of_every_kind() {
    let place = Place::new();
    if !busybox(&place) {
        return;
    }
    place.bryo("save --format oci-dir -o layout base").succeeds();
    place.folder("work/dir");
    place.file("work/dir/f", "from a directory\n");
    let dockerfile = "FROM first\nCOPY --from=second /etc/group /group\nCOPY --from=third f /f\n";
    let context = place.context("c", dockerfile, &[]);
    place
        .bryo("build -q -t a --build-context first=docker-image://base")
        .args(["--build-context", "second=oci-layout://layout"])
        .args(["--build-context", "third=dir"])
        .arg(&context)
        .succeeds();
    let said = place.bryo("run a cat /f /group").succeeds();
    assert_eq!(said.text(), "from a directory\nroot:x:0:\nwww:x:33:");
}

#[test]
fn layers_are_compressed_as_wished() {
    let place = Place::new();
    if !busybox(&place) {
        return;
    }
    for (method, suffix) in [("gzip:9", "+gzip"), ("zstd", "+zstd"), ("none", ".tar")] {
        let context = place.context("c", "FROM base\nRUN echo x > /x\n", &[]);
        let line = format!("build -q --no-cache --compress {method} -t a");
        place.bryo(&line).arg(context).succeeds();
        let described = place.bryo("inspect a").succeeds().json();
        let media_type = described[0]["Layers"][1]["mediaType"].as_str().expect("text").to_owned();
        assert!(media_type.ends_with(suffix), "{method}: {media_type}");
        assert_eq!(place.bryo("run a cat /x").succeeds().text(), "x");
    }
    place.bryo("build --compress lzma .").exits(2).mentions("lzma");
}

#[test]
fn what_was_built_is_pushed_under_each_name() {
    let place = Place::new();
    if !has("docker-registry", "docker-registry") || !busybox(&place) {
        return;
    }
    let registry = Registry::start(&place);
    let names = ["one:1", "two:2"].map(|name| registry.name(name));
    let context = place.context("c", "FROM base\nRUN echo x > /x\n", &[]);
    let line = format!("build -q --push -t {} -t {}", names[0], names[1]);
    let digest = place.bryo(&line).arg(context).succeeds().text();
    for name in &names {
        place.bryo(&format!("rm {name}")).succeeds();
        assert_eq!(place.bryo(&format!("pull -q {name}")).succeeds().text(), digest);
    }
    place.bryo("build --push .").exits(2).mentions("--tag");
}
