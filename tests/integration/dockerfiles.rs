//! Dockerfiles, and what comes of them: each feature with something that can be seen.

use std::fs;

use crate::support::{Place, Said, busybox};

/// Builds `dockerfile` with `files` around it as `app`, on a base `base` of busybox.
#[track_caller]
fn build(place: &Place, dockerfile: &str, files: &[(&str, &str)]) -> Said {
    let context = place.context("context", dockerfile, files);
    place.bryo("build -t app").arg(context).succeeds()
}

/// What a shell in `app` answers.
#[track_caller]
fn ask(place: &Place, script: &str) -> String {
    place.bryo("run --rm app sh -c").arg(script).succeeds().text()
}

fn config(place: &Place) -> serde_json::Value {
    place.bryo("inspect app").succeeds().json()[0]["Config"].clone()
}

#[test]
fn run_copy_and_environment() {
    let place = Place::new();
    if !busybox(&place) {
        return;
    }
    let dockerfile = "ARG VERSION=1\n\
        FROM base AS first\n\
        ARG VERSION\n\
        ENV A=\"a b\" B=$VERSION\n\
        RUN echo \"$A/$B\" > /env\n\
        WORKDIR /work/dir\n\
        RUN [\"/bin/sh\", \"-c\", \"pwd > /pwd; id -u >> /pwd\"]\n\
        COPY file sub/ dest/\n\
        COPY --chmod=640 file /chmod\n\
        FROM base\n\
        COPY --from=first /env /pwd /\n\
        COPY --from=first /work/dir/dest /dest\n\
        COPY <<one <<\"two\" /docs/\n\
        $VERSION\\$x\n\
        one\n\
        $VERSION\n\
        two\n";
    let said = build(&place, dockerfile, &[("file", "content"), ("sub/a", "A"), ("sub/b/c", "C")]);
    let digest = said.text();
    assert!(digest.starts_with("sha256:") && digest.len() == 71, "stdout is the digest: {said}");
    assert_eq!(ask(&place, "cat /env /pwd"), "a b/1\n/work/dir\n0");
    assert_eq!(
        ask(&place, "cd /dest && find . | sort && cat file a b/c"),
        ".\n./a\n./b\n./b/c\n./file\ncontentAC"
    );
    assert_eq!(ask(&place, "cat /docs/one /docs/two"), "$x\n$VERSION");
}

#[test]
fn a_second_build_executes_nothing_and_gives_the_same_image() {
    let place = Place::new();
    if !busybox(&place) {
        return;
    }
    let dockerfile = "FROM base\nRUN echo once\nCOPY . /context\nRUN echo after\nENV A=1\n";
    let first = build(&place, dockerfile, &[("file", "1")]);
    assert!(first.errors().contains("once") && first.errors().contains("after"), "{first}");
    let second = build(&place, dockerfile, &[("file", "1")]);
    assert_eq!(first.text(), second.text());
    assert!(!second.errors().contains("\nonce"), "{second}");
    // The time of a file is not its content.
    let context = place.path("context");
    place.run("touch").arg(context.join("file")).succeeds();
    let touched = place.bryo("build -t app").arg(&context).succeeds();
    assert_eq!(first.text(), touched.text());
    // A change misses from there on, and not before.
    let changed = build(&place, dockerfile, &[("file", "2")]);
    assert_ne!(first.text(), changed.text());
    let lines: Vec<&str> = changed.errors().lines().collect();
    assert!(lines.iter().any(|line| line.trim_end().ends_with("after")), "{changed}");
    let again = place.bryo("build --no-cache -t app").arg(&context).succeeds();
    assert!(again.errors().contains("once"), "{again}");
}

#[test]
fn instructions_reach_the_configuration() {
    let place = Place::new();
    if !busybox(&place) {
        return;
    }
    let dockerfile = "FROM base\n\
        MAINTAINER moss\n\
        LABEL a=1 \"b c\"=\"2 3\"\n\
        EXPOSE 80 81/UDP 90-91\n\
        VOLUME /data [\"x\"]\n\
        USER www:33\n\
        STOPSIGNAL SIGINT\n\
        HEALTHCHECK --interval=5s --retries=2 CMD true\n\
        SHELL [\"/bin/sh\", \"-ec\"]\n\
        ONBUILD RUN echo triggered > /triggered\n\
        ENTRYPOINT [\"echo\", \"entry\"]\n\
        CMD [\"command\"]\n";
    build(&place, dockerfile, &[]);
    let config = config(&place);
    assert_eq!(config["Labels"], serde_json::json!({"a": "1", "b c": "2 3"}));
    let ports: Vec<&String> = config["ExposedPorts"].as_object().expect("ports").keys().collect();
    assert_eq!(ports, ["80/tcp", "81/udp", "90/tcp", "91/tcp"]);
    assert_eq!(config["User"], "www:33");
    assert_eq!(config["StopSignal"], "SIGINT");
    assert_eq!(config["Healthcheck"]["Test"], serde_json::json!(["CMD-SHELL", "true"]));
    assert_eq!(config["Healthcheck"]["Interval"], 5_000_000_000_i64);
    assert_eq!(config["Shell"], serde_json::json!(["/bin/sh", "-ec"]));
    assert_eq!(config["Entrypoint"], serde_json::json!(["echo", "entry"]));
    assert_eq!(config["Cmd"], serde_json::json!(["command"]));
    // A child runs the trigger, and its own ENTRYPOINT clears the inherited CMD.
    let context =
        place.context("child", "FROM app\nUSER root\nENTRYPOINT [\"cat\", \"/triggered\"]\n", &[]);
    place.bryo("build -t child").arg(context).succeeds();
    assert_eq!(place.bryo("run child").succeeds().text(), "triggered");
}

#[test]
fn dockerignore_and_add() {
    let place = Place::new();
    if !busybox(&place) {
        return;
    }
    let context = place.context(
        "context",
        "FROM base\nCOPY . /all\nADD archive.tar.gz /unpacked\nADD plain /plain/\n",
        &[
            (".dockerignore", "*.log\n!keep.log\nskip\n"),
            ("a.log", ""),
            ("keep.log", ""),
            ("skip/x", ""),
            ("plain", "p"),
        ],
    );
    place
        .run("sh")
        .arg("-ec")
        .arg(
            "mkdir -p t/d; echo in > t/d/f; ln -s f t/d/l; tar -C t -czf archive.tar.gz d; rm -r t",
        )
        .in_folder(&context)
        .succeeds();
    place.bryo("build -t app").arg(&context).succeeds();
    assert_eq!(
        ask(&place, "cd /all && ls -A | sort | tr '\\n' ' '; cat /unpacked/d/l /plain/plain"),
        ".dockerignore Dockerfile archive.tar.gz keep.log plain in\np"
    );
}

#[test]
fn owners_are_recorded_although_they_cannot_be_set() {
    let place = Place::new();
    if !busybox(&place) {
        return;
    }
    let dockerfile =
        "FROM base\nCOPY --chown=www:7 file link /d/\nRUN mv /d /e && chmod 4755 /e/file\n";
    let context = place.context("context", dockerfile, &[("file", "x")]);
    place.run("ln").args(["-s", "file", "link"]).in_folder(&context).succeeds();
    let tar = place.path("work/out.tar");
    place
        .bryo("build -t app -o")
        .arg(format!("type=tar,dest={}", tar.display()))
        .arg(&context)
        .succeeds();
    let listed = place.run("tar").args(["--numeric-owner", "-tvf"]).arg(&tar).succeeds().text();
    let line = |name: &str| {
        let found = listed
            .lines()
            .find(|line| line.ends_with(name))
            .unwrap_or_else(|| panic!("no {name} in {listed}"));
        found.split_whitespace().take(2).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(line(" e/file"), "-rwsr-xr-x 33/7");
    assert_eq!(line(" e/"), "drwxr-xr-x 33/7");
}

#[test]
fn a_failing_command_ends_the_build_with_its_line() {
    let place = Place::new();
    if !busybox(&place) {
        return;
    }
    let context = place.context("context", "FROM base\n\nRUN echo noise; exit 7\nRUN true\n", &[]);
    let said = place.bryo("build -t app").arg(context).fails(1);
    let said = said.mentions("exit code: 7").mentions("noise").mentions("RUN echo noise; exit 7");
    assert!(said.errors().contains(":3") || said.errors().contains("3 |"), "names line 3: {said}");
    assert_eq!(said.text(), "");
    place.bryo("inspect app").fails(3);
}

#[test]
fn nothing_of_the_mounts_reaches_a_layer() {
    let place = Place::new();
    if !busybox(&place) {
        return;
    }
    build(&place, "FROM base\nRUN touch /new && echo kept > /tmp/kept\n", &[]);
    let oci = place.path("work/oci");
    place.bryo("save --format oci-dir -o").arg(&oci).arg("app").succeeds();
    let manifest = place.bryo("inspect --manifest app").succeeds().json();
    let layers = manifest["layers"].as_array().expect("layers");
    let digest =
        layers.last().expect("a layer")["digest"].as_str().expect("a digest").replace(':', "/");
    let blob = oci.join("blobs").join(digest);
    let listed = place.run("tar").arg("-tzf").arg(&blob).succeeds().text();
    assert_eq!(listed, "new\ntmp/\ntmp/kept");
    assert_eq!(ask(&place, "cat /tmp/kept"), "kept");
}

#[test]
fn an_image_of_the_hosts_programs_needs_no_network() {
    let place = Place::new();
    let context =
        place.context("context", "FROM mine\nRUN echo hello > /hello\nCMD cat /hello\n", &[]);
    place.bryo("build -t app --build-context mine=host:sh,cat").arg(&context).succeeds();
    assert_eq!(place.bryo("run app").succeeds().text(), "hello");
    let second =
        place.bryo("build -t app --build-context mine=host:sh,cat").arg(&context).succeeds();
    assert!(!second.errors().contains("warning"), "{second}");
}

#[test]
fn many_layers() {
    let place = Place::new();
    if !busybox(&place) {
        return;
    }
    let mut dockerfile = "FROM base\n".to_owned();
    for number in 0..150 {
        dockerfile += &format!("COPY file /n/{number}\n");
    }
    dockerfile += "RUN ls /n | wc -l > /count && rm /n/0 && echo changed > /n/1\n";
    build(&place, &dockerfile, &[("file", "x")]);
    assert_eq!(ask(&place, "cat /count; ls /n | wc -l; cat /n/1 /n/149"), "150\n149\nchanged\nx");
}

#[test]
fn a_user_other_than_root_is_refused_until_it_can_be_done_right() {
    let place = Place::new();
    if !busybox(&place) {
        return;
    }
    let context = place.context("context", "FROM base\nUSER www\nRUN true\n", &[]);
    let said = place.bryo("build -t app").arg(context).fails(8);
    assert!(said.errors().contains("www"), "{said}");
}

#[test]
fn the_target_decides_what_is_built() {
    let place = Place::new();
    if !busybox(&place) {
        return;
    }
    let dockerfile = "FROM nowhere.invalid/x AS unneeded\nRUN false\nFROM base AS wanted\nRUN echo w > /w\nFROM wanted\nRUN false\n";
    let context = place.context("context", dockerfile, &[]);
    place.bryo("build -t app --target wanted").arg(&context).succeeds();
    assert_eq!(ask(&place, "cat /w"), "w");
    let said = place.bryo("build --target wantd").arg(&context).fails(2);
    assert!(said.errors().contains("wanted"), "{said}");
}

#[test]
fn iidfile_and_outputs() {
    let place = Place::new();
    if !busybox(&place) {
        return;
    }
    let context = place.context("context", "FROM base\nRUN echo x > /x\n", &[]);
    let (iid, local) = (place.path("work/iid"), place.path("work/local"));
    let said = place
        .bryo("build --iidfile")
        .arg(&iid)
        .arg("-o")
        .arg(format!("type=local,dest={}", local.display()))
        .arg(&context)
        .succeeds();
    let id = fs::read_to_string(&iid).expect("the file");
    assert!(id.starts_with("sha256:"), "{id}");
    assert!(said.text().starts_with("sha256:"), "{said}");
    assert_eq!(fs::read_to_string(local.join("x")).expect("a file"), "x\n");
}
