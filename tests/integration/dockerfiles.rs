//! Dockerfiles, and what comes of them: each feature with something that can be seen.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt as _;

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
        ONBUILD USER root\n\
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
    let context = place.context("child", "FROM app\nENTRYPOINT [\"cat\", \"/triggered\"]\n", &[]);
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
    let dockerfile = "FROM base\nCOPY --chown=www:7 file link /d/\nRUN mv /d/file /d/moved && chmod 4755 /d/moved\n";
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
    assert_eq!(line(" d/moved"), "-rwsr-xr-x 33/7");
    assert_eq!(line(" d/"), "drwxr-xr-x 33/7");
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
    let context = place.context(
        "context",
        "FROM mine\nRUN echo hello > /hello\nCMD [\"cat\", \"/hello\"]\n",
        &[],
    );
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
fn a_user_other_than_root_needs_emulation() {
    let place = Place::new();
    if !busybox(&place) {
        return;
    }
    let context = place.context("context", "FROM base\nUSER www\nRUN true\n", &[]);
    for mode in ["none", "fake", "fakeroot"] {
        let line = format!("build -t app --no-cache --root-emulation {mode}");
        // No profile is for busybox, so fakeroot does not even come that far.
        let status = if mode == "fakeroot" { 2 } else { 8 };
        let said = place.bryo(&line).arg(&context).fails(status);
        if mode != "fakeroot" {
            let said = said.mentions("user \"www\" is 33:33").mentions(&format!("\"{mode}\""));
            said.mentions("--root-emulation full");
        }
    }
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

#[test]
fn copies_go_where_the_reference_puts_them() {
    let place = Place::new();
    if !busybox(&place) {
        return;
    }
    let dockerfile = "FROM base\n\
        RUN mkdir -p /real /there/b && ln -s real /link && ln -s /gone/x /dangling \\\n\
            && echo old > /there/keep && ln -s keep /there/f && chmod 700 /there/b\n\
        COPY f /link/new\n\
        COPY f /dangling\n\
        COPY f /there/\n\
        COPY d/ /there\n\
        COPY none* /nothing/\n\
        COPY d e /both\n\
        COPY f /plain\n\
        WORKDIR /w\n\
        COPY f .\n\
        COPY [\"a b\", \"s p/\"]\n\
        COPY l* /l/\n";
    let files = [("f", "F"), ("d/b/in", "I"), ("d/x", "X"), ("e/y", "Y"), ("a b", "S")];
    let context = place.context("context", dockerfile, &files);
    let mode = fs::Permissions::from_mode(0o775);
    fs::set_permissions(context.join("d/b"), mode).expect("chmod");
    place.run("ln").args(["-s", "/f", "link"]).in_folder(&context).succeeds();
    place.bryo("build -t app").arg(context).succeeds();
    let asked = "cat /real/new /gone/x /there/f /there/keep /both/x /both/y /plain /w/f '/w/s p/a b'
        ls /l/link /nothing 2>&1 | sed 's/.*nothing.*/none/'; stat -c %a /there/b /both; cat /l/link";
    assert_eq!(ask(&place, asked), "FFFold\nXYFFSnone\n/l/link\n775\n755\nF");
}

#[test]
fn what_cannot_be_copied_is_said_with_its_line() {
    let place = Place::new();
    if !busybox(&place) {
        return;
    }
    let files =
        [(".dockerignore", "ignored\n"), ("ignored", ""), ("f", ""), ("g", ""), ("d/bin/x", "")];
    for (line, code, needle) in [
        ("COPY none /x", 3, "\"/none\": not found"),
        ("COPY ignored /x", 3, ".dockerignore"),
        ("COPY f g /x", 2, "must be a directory and end with /"),
        ("COPY f /etc/passwd/", 1, "cannot copy to non-directory: \"/etc/passwd\""),
        ("COPY f /etc/passwd/x", 1, "cannot copy to non-directory"),
        ("RUN mkdir -p /e/f\nCOPY f /e", 1, "cannot replace to directory \"/e/f\" with file"),
        ("RUN mkdir /u && ln -s x /u/bin\nCOPY d /u", 1, "non-directory: \"/u/bin\""),
        ("COPY --chown=nobody-here f /x", 3, "nobody-here"),
        ("COPY --chmod=64a f /x", 2, "invalid chmod parameter: '64a'"),
        ("COPY https://example.com/x /x", 2, "source can't be a URL for COPY"),
        ("COPY git@example.com:x /x", 2, "source can't be a git ref for COPY"),
        ("ADD --checksum=sha256:00 f /x", 2, "checksum requires HTTP(S) or Git sources"),
        ("COPY --parents d/none /x", 3, "\"/d/none\": not found"),
        ("COPY --from=5 / /", 2, "invalid stage index 5"),
        ("USER nobody-here\nRUN true", 3, "unable to find user nobody-here"),
        ("ENV a=\"${b:?is needed}\"", 2, "b: is needed"),
    ] {
        let context = place.context("context", &format!("FROM base\n{line}\n"), &files);
        let said = place.bryo("build").arg(context).fails(code).mentions(needle);
        let number = 1 + line.lines().count();
        assert!(said.errors().contains(&format!("Dockerfile:{number}")), "{line}: {said}");
    }
}

#[test]
fn archives_that_cannot_be_unpacked_are_not_copied_instead() {
    let place = Place::new();
    if !busybox(&place) {
        return;
    }
    let context = place.context("context", "FROM base\nADD t.tar /x/\n", &[]);
    let script = "seq 100000 > f; tar -cf t.tar f; truncate -s 100000 t.tar";
    place.run("sh").arg("-ec").arg(script).in_folder(&context).succeeds();
    place.bryo("build").arg(&context).fails(5).mentions("unpacking t.tar").mentions("ends");
    place.file(context.join("Dockerfile"), "FROM base\nADD --unpack=false t.tar /x/\n");
    place.bryo("build -t app").arg(&context).succeeds();
    assert_eq!(ask(&place, "ls /x"), "t.tar");
    // Something else behind the first bytes of an archive is a file, as in the reference.
    place.file(context.join("Dockerfile"), "FROM base\nADD t.tar.xz /x/\n");
    place.file(context.join("t.tar.xz"), b"\xfd7zXZ\0 and more");
    place.bryo("build -t app").arg(&context).succeeds();
    assert_eq!(ask(&place, "ls /x"), "t.tar.xz");
}

#[test]
fn arguments_reach_where_the_reference_lets_them() {
    let place = Place::new();
    if !busybox(&place) {
        return;
    }
    let dockerfile = "ARG TAG=base\n\
        FROM $TAG AS one\n\
        RUN echo \"1 $TAG $A\" > /said\n\
        ARG TAG\n\
        ARG A=a B=$A\n\
        ENV A=env\n\
        RUN echo \"2 $TAG $A $B $http_proxy $HTTP_PROXY\" >> /said\n\
        FROM one\n\
        ARG A=again\n\
        RUN echo \"3 $TAG $A\" >> /said\n";
    let context = place.context("context", dockerfile, &[]);
    let said = place
        .bryo("build -t app --build-arg A=given --build-arg UNUSED=1 --build-arg http_proxy=p:1")
        .arg(&context)
        .succeeds();
    assert!(said.errors().contains("[\"UNUSED\"] were not consumed"), "{said}");
    assert_eq!(ask(&place, "cat /said"), "1  \n2 base env given p:1 p:1\n3 base given");
    assert_eq!(ask(&place, "echo $A"), "env");
    // Another proxy is no other image; the history does not know it.
    let again = place
        .bryo("build -t app --build-arg A=given --build-arg http_proxy=q:1")
        .arg(&context)
        .succeeds();
    assert_eq!(again.text(), said.text());
    let inspected = place.bryo("history --no-trunc app").succeeds().text();
    assert!(inspected.contains("RUN |3 TAG=base A=env B=given /bin/sh -c echo"), "{inspected}");
    assert!(!inspected.contains("p:1"), "{inspected}");
}

#[test]
fn what_changes_the_configuration_alone_disturbs_no_later_step() {
    let place = Place::new();
    if !busybox(&place) {
        return;
    }
    let file = |label: &str| {
        format!("FROM base\nLABEL a={label}\nARG X={label}\nEXPOSE 80\nCOPY f /f\nRUN echo deed\n")
    };
    let first = build(&place, &file("1"), &[("f", "")]);
    assert!(first.errors().lines().any(|line| line.ends_with(" deed")), "{first}");
    let second = build(&place, &file("1"), &[("f", "")]);
    assert_eq!(first.text(), second.text());
    let file = file("2").replace("ARG X=2\n", "");
    let third = build(&place, &file, &[("f", "")]);
    assert!(third.errors().contains("COPY f /f: cached"), "{third}");
    assert_ne!(first.text(), third.text());
}

#[test]
fn triggers_run_in_the_child_alone() {
    let place = Place::new();
    if !busybox(&place) {
        return;
    }
    let dockerfile = "FROM base AS files\nRUN echo f > /f\n\
        FROM base AS parent\nONBUILD ARG V=1\nONBUILD COPY --from=files /f /f\n\
        ONBUILD RUN echo $V >> /ran\n\
        FROM parent AS child\nRUN cat /f /ran\n\
        FROM child\n";
    build(&place, dockerfile, &[]);
    assert_eq!(ask(&place, "cat /f /ran"), "f\n1");
    assert_eq!(config(&place)["OnBuild"], serde_json::Value::Null);
}

#[test]
fn the_source_date_sets_all_times() {
    let dockerfile = "FROM scratch\nCOPY f /a/b/\nWORKDIR /w\nENV A=1\n";
    let build = |arguments: &str, dockerfile: &str| {
        let place = Place::new();
        let context = place.context("context", dockerfile, &[("f", "x")]);
        place.run("touch").args(["-d", "@1", "f"]).in_folder(&context).succeeds();
        let line = format!("build -t app {arguments}");
        let digest = place.bryo(&line).arg(&context).succeeds().text();
        let inspected = place.bryo("inspect app").succeeds().json();
        (digest, inspected[0]["Created"].as_str().unwrap_or_default().to_owned())
    };
    let expected = build("--build-arg SOURCE_DATE_EPOCH=1000000000", dockerfile);
    assert!(expected.1.starts_with("2001-09-09T01:46:40"), "{expected:?}");
    assert_eq!(build("--build-arg SOURCE_DATE_EPOCH=1000000000", dockerfile), expected);
    let own = format!("ARG SOURCE_DATE_EPOCH=1000000000\n{dockerfile}");
    assert_eq!(build("", &own), expected);
}

#[test]
fn a_killed_build_leaves_a_storage_that_works() {
    let place = Place::new();
    if !busybox(&place) {
        return;
    }
    let dockerfile =
        "FROM base\nRUN echo first > /first\nRUN echo > /half; test -e /slow/go || sleep 1000\n";
    let context = place.context("context", dockerfile, &[]);
    let mut child = place.bryo("build --progress plain").arg(&context).spawn();
    // The second command runs as soon as it is announced.
    let mut lines = BufReader::new(child.stderr.take().expect("a pipe")).lines();
    let announced =
        lines.any(|line| line.expect("text").contains("[2/3]. RUN echo first > /first: done"));
    assert!(announced, "the first step ends");
    child.kill().expect("it runs");
    child.wait().expect("it ends");
    let quick = dockerfile.replace("sleep 1000", "true");
    let said = build(&place, &quick, &[]);
    assert!(said.errors().contains("/first: cached"), "{said}");
    assert_eq!(ask(&place, "cat /first"), "first");
}
