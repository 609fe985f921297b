//! `RUN --mount`, `--network` and `--run-timeout`: what a step sees, and what stays of it.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::support::{Place, Said, busybox, has};

/// Builds `dockerfile` above `FROM base`, in a context with a few files.
#[track_caller]
fn build(place: &Place, options: &str, dockerfile: &str) -> Said {
    let context = context(place, dockerfile);
    place
        .bryo("build -t app --progress plain")
        .args(options.split_whitespace())
        .arg(context)
        .succeeds()
}

fn context(place: &Place, dockerfile: &str) -> PathBuf {
    let files = [
        ("f", "file\n"),
        ("d/g", "deep\n"),
        ("d/ignored/x", "x"),
        (".dockerignore", "d/ignored\nDockerfile\n"),
    ];
    place.context("context", dockerfile, &files)
}

/// The names in the top layer of `app`, sorted, in one line.
fn top_layer(place: &Place) -> String {
    place.bryo("save --format oci-dir -o saved app").succeeds();
    let script = "cd saved && index=$(grep -o 'sha256:[0-9a-f]*' index.json | head -1) &&
        layer=$(grep -o 'sha256:[0-9a-f]*' blobs/sha256/${index#*:} | tail -1) &&
        tar tzf blobs/sha256/${layer#*:} | sort | tr '\\n' ' '; cd .. && rm -rf saved";
    place.run("sh").args(["-ec", script]).succeeds().text().trim().to_owned()
}

/// What a step with these flags sees; a check is a script that must succeed.
#[test]
fn mounts_show_what_they_should() {
    let place = Place::new();
    if !busybox(&place) {
        return;
    }
    let head = "FROM base AS one\n\
        RUN mkdir /o && echo one > /o/f && chown 33:34 /o/f && chmod 640 /o/f\n\
        FROM base\n\
        ENV D=/data\n\
        WORKDIR /work\n";
    place.file("work/secret", "s3cret");
    for (flags, check) in [
        // the build context, without what is ignored
        ("target=/c", "test \"$(cat /c/f)\" = file && ! touch /c/new && ! echo > /c/f"),
        ("target=/c", "test ! -e /c/d/ignored && test ! -e /c/Dockerfile && test -e /c/d/g"),
        ("target=/c", "test \"$(stat -c %u:%g /c/f)\" = 0:0"),
        ("source=d,target=/c", "test \"$(ls /c)\" = g && ! touch /c/new"),
        ("source=f,target=/etc/file", "test \"$(cat /etc/file)\" = file && ! echo > /etc/file"),
        ("source=f,target=$D/x/file", "test \"$(cat /data/x/file)\" = file"),
        ("source=/../f,target=relative", "test \"$(cat /work/relative)\" = file"),
        ("target=/c,rw", "echo new > /c/f && touch /c/new && rm /c/d/g && test ! -e /c/d/ignored"),
        ("source=f,target=/c,readwrite=true", "echo new > /c && test \"$(cat /c)\" = new"),
        // a stage, an image, nothing
        ("from=one,source=/o,target=/o", "test \"$(stat -c %u:%g:%a /o/f)\" = 33:34:640"),
        ("from=one,source=/o,target=/o", "! touch /o/new && ! rm /o/f"),
        ("from=one,target=/o,rw", "rm /o/o/f && touch /o/o/new /o/new"),
        ("from=base,source=/etc/passwd,target=/p", "test \"$(head -c 4 /p)\" = root"),
        ("from=extra,source=e,target=/e", "test \"$(cat /e)\" = extra"),
        // tmpfs
        (
            "type=tmpfs,target=/t,size=1m",
            "dd if=/dev/zero of=/t/x bs=1000k count=1 && \
            ! dd if=/dev/zero of=/t/y bs=1000k count=1",
        ),
        ("type=tmpfs,target=/t", "test \"$(stat -c %a /t)\" = 1777 && touch /t/x"),
        ("type=tmpfs,target=/t,ro", "! touch /t/x"),
        // caches
        ("type=cache,target=/k", "test \"$(stat -c %u:%g:%a /k)\" = 0:0:755 && touch /k/x"),
        ("type=cache,target=/k", "test -e /k/x"),
        ("type=cache,id=/k,target=/elsewhere,ro", "test -e /elsewhere/x && ! touch /elsewhere/y"),
        ("type=cache,target=/k,id=other", "test ! -e /k/x"),
        (
            "type=cache,target=/k,mode=0700,uid=33,gid=34",
            "test ! -e /k/x && test \"$(stat -c %u:%g:%a /k)\" = 33:34:700",
        ),
        (
            "type=cache,target=/k,from=one,source=/o",
            "test \"$(stat -c %u:%g:%a /k/f)\" = 33:34:640 && rm /k/f && chown 5:6 /k",
        ),
        (
            "type=cache,target=/k,from=one,source=/o",
            "test ! -e /k/f && test \"$(stat -c %u:%g /k)\" = 5:6",
        ),
        (
            "type=cache,target=/k,sharing=locked --mount=type=cache,target=/l,id=/k,sharing=private",
            "touch /k/both && test -e /l/both",
        ),
        // secrets
        (
            "type=secret,id=s",
            "test \"$(cat /run/secrets/s)\" = s3cret && \
            test \"$(stat -c %u:%g:%a /run/secrets/s)\" = 0:0:400 && ! echo > /run/secrets/s",
        ),
        (
            "type=secret,id=s,target=/a/b,uid=33,gid=34,mode=0444",
            "test \"$(stat -c %u:%g:%a /a/b)\" = 33:34:444",
        ),
        ("type=secret,id=s,env=S", "test \"$S\" = s3cret && test ! -e /run/secrets/s"),
        ("type=secret,id=s,env=S,target=t", "test \"$S\" = \"$(cat /work/t)\""),
        ("type=secret,id=v", "test \"$(cat /run/secrets/v)\" = variable"),
        ("type=secret,id=absent", "test ! -e /run"),
        // one in the other, in any order
        (
            "type=tmpfs,target=/t/u --mount=type=cache,id=in,target=/t",
            "touch /t/u/x && test -d /t/u",
        ),
    ] {
        let context = context(&place, &format!("{head}RUN --mount={flags} set -e; {check}\n"));
        place.file("extra/e", "extra\n");
        place
            .bryo("build -t app --secret id=s,src=secret --secret id=v,env=V")
            .arg(format!("--build-context=extra={}", place.path("extra").display()))
            .arg(context)
            .env("V", "variable")
            .succeeds();
        let layer = top_layer(&place);
        assert_eq!(layer, "", "{flags} leaves something in the layer");
    }
}

/// Values from variables, and steps of another user than root.
#[test]
fn mounts_are_for_every_user() {
    let place = Place::new();
    if !busybox(&place) {
        return;
    }
    place.file("work/secret", "s3cret");
    let dockerfile = "FROM base\nARG U=33\nARG M=0710\nENV T=/v I=name S=locked K=cache\nUSER www\n\
        RUN --mount=type=$K,target=$T,id=$I,uid=$U,gid=34,mode=$M,sharing=$S \
        test \"$(stat -c %u:%g:%a /v)\" = 33:34:710 && touch /v/mine && \
        test \"$(stat -c %u /v/mine)\" = 33\n\
        RUN --mount=type=cache,target=/w,id=name,uid=33,gid=34,mode=0710 test -e /w/mine && rm /w/mine\n\
        RUN --mount=type=secret,id=s,uid=$U,target=$T/k --mount=type=secret,id=s,env=E \
        test \"$(cat /v/k)\" = s3cret && test \"$(stat -c %u:%a /v/k)\" = 33:400 && test $E = s3cret\n\
        RUN --mount=type=tmpfs,target=/t,size=1m touch /t/x && test \"$(stat -c %u /t/x)\" = 33\n\
        RUN --mount=source=${D:-d},target=/c cat /c/g && ! touch /c/new\n\
        USER root\nWORKDIR /one\nRUN --mount=type=cache,target=sub/ touch sub/x\n\
        WORKDIR /two\nRUN --mount=type=cache,target=./sub test -e sub/x\n\
        RUN --mount=type=cache,target=/two/sub test ! -e sub/x\n";
    build(&place, "--secret id=s,src=secret", dockerfile);
}

/// Beside a mount point, what the step itself does is in the layer.
#[test]
fn a_layer_has_what_a_step_wrote_beside_its_mounts() {
    let place = Place::new();
    if !busybox(&place) {
        return;
    }
    let dockerfile = "FROM base\nRUN --mount=type=cache,target=/root/.cache/pip \
        --mount=type=tmpfs,target=/opt/t echo > /root/.cache/other; touch /opt/t/x /root/.cache/pip/x\n";
    build(&place, "", dockerfile);
    assert_eq!(top_layer(&place), "root/ root/.cache/ root/.cache/other");
}

#[test]
fn secrets_are_nowhere_afterwards() {
    let place = Place::new();
    if !busybox(&place) {
        return;
    }
    place.file("work/secret", "s3cret-one");
    let dockerfile = "FROM base\n\
        RUN --mount=type=secret,id=s,required --mount=type=secret,id=s,env=S,required \
        test \"$(cat /run/secrets/s)\" = \"$S\" && echo done > /done\n";
    let first = build(&place, "--verbose --secret id=s,src=secret", dockerfile);
    let found = place.run("grep").args(["-rqa", "s3cret-one"]).arg(place.storage()).output();
    assert_eq!(found.code(), 1, "{found}");
    assert!(!first.errors().contains("s3cret"), "{first}");
    // Another secret, or none, is no reason to execute the step again.
    place.file("work/secret", "s3cret-two");
    let second = build(&place, "--secret id=s,src=secret", dockerfile);
    assert_eq!(first.text(), second.text());
    assert_eq!(first.text(), build(&place, "", dockerfile).text());
    for (options, step, code, said) in [
        ("", "--mount=type=secret,id=n,required true", 3, "secret n: not found"),
        ("--secret id=n,src=nowhere", "true", 3, "nowhere"),
        ("--secret src=secret", "true", 2, "it has no id"),
    ] {
        let context = context(&place, &format!("FROM base\nRUN {step}\n"));
        let line = format!("build {options}");
        place.bryo(&line).arg(context).fails(code).mentions(said);
    }
}

/// What makes a step run again, and what does not.
#[test]
fn a_key_has_what_is_bound_and_nothing_else() {
    let place = Place::new();
    if !busybox(&place) {
        return;
    }
    let step = |flags: &str, other: &str| {
        format!(
            "FROM base AS one\nRUN echo 1 > /one{other}\nFROM base\n\
             RUN --mount={flags} echo executed\n"
        )
    };
    let executed = |said: &Said| !said.errors().contains("echo executed: cached");
    for (flags, change, other, again) in [
        ("target=/c", ("f", "changed"), "", true),
        ("target=/c", ("new", ""), "", true),
        ("target=/c", ("d/ignored/x", "changed"), "", false),
        ("source=d,target=/c", ("f", "changed"), "", false),
        ("source=d,target=/c,rw", ("d/g", "changed"), "", true),
        ("type=cache,target=/c", ("f", "changed"), "", false),
        ("from=one,target=/c", ("f", "changed"), "", false),
        ("from=one,target=/c", ("f", "changed"), "; echo 2 > /two", true),
        ("from=one,source=one,target=/c", ("f", "changed"), "; echo 2 > /two", false),
    ] {
        build(&place, "", &step(flags, ""));
        let folder = context(&place, &step(flags, other));
        place.file(folder.join(change.0), change.1);
        let said = place.bryo("build --progress plain").arg(&folder).succeeds();
        assert_eq!(executed(&said), again, "{flags}, {change:?}, {other:?}\n{said}");
        fs::remove_dir_all(folder).expect("it is ours");
    }
    let first = "FROM base\nRUN --mount=type=cache,target=/c echo 1 >> /c/n\n";
    build(&place, "", first);
    let second = format!("{first}RUN --mount=type=cache,target=/c cat /c/n && echo 2 >> /c/n\n");
    build(&place, "", &second);
    let said = build(&place, "", &second);
    assert!(said.errors().contains("echo 2 >> /c/n: cached"), "{said}");
}

/// Two builds at the same time: with a lock the second one waits, with a private cache it has its
/// own.
#[test]
fn caches_are_shared_as_asked_for() {
    let place = Place::new();
    if !busybox(&place) {
        return;
    }
    // Each says what it finds, stays for a moment, and leaves something.
    for (sharing, expected) in [("locked", "1"), ("private", "0"), ("shared", "1")] {
        let dockerfile = |name: &str| {
            let wait = if name == "a" { "sleep 2" } else { "true" };
            format!(
                "FROM base\nRUN --mount=type=cache,id={sharing},target=/c,sharing={sharing} \
                 echo begun-{name}; n=$(ls /c | wc -l); touch /c/{name}; {wait}; echo found-$n\n"
            )
        };
        let first = place.context("first", &dockerfile("a"), &[]);
        let second = place.context("second", &dockerfile("b"), &[]);
        let mut child = place.bryo("build --progress plain").arg(&first).spawn();
        let began = Instant::now();
        let folder = place.storage().join("caches");
        let busy = || place.run("find").arg(&folder).args(["-name", "a"]).output().text();
        while busy().is_empty() || !busy().contains("/a") {
            assert!(began.elapsed() < Duration::from_secs(60), "the first one begins");
            std::thread::sleep(Duration::from_millis(50));
        }
        let said = place.bryo("build --progress plain").arg(&second).succeeds();
        assert!(said.errors().contains(&format!("found-{expected}")), "{sharing}\n{said}");
        let ended = child.try_wait().expect("it is ours").is_some();
        assert!(
            ended || sharing != "locked",
            "{sharing}: the second one waits for the first\n{said}"
        );
        if sharing == "locked" {
            assert!(said.errors().contains("waiting for the cache locked"), "{said}");
        }
        assert!(child.wait().expect("it ends").success());
        place.run("rm").arg("-rf").arg(&folder).succeeds();
    }
}

#[test]
fn what_cannot_be_mounted_is_explained() {
    let place = Place::new();
    if !busybox(&place) {
        return;
    }
    for (step, code, said) in [
        ("--mount=target=/", 2, "invalid mount target \"/\""),
        ("--mount=target=..", 2, "invalid mount target \"/\""),
        ("--mount=target=/c,source=nowhere", 3, "\"/nowhere\": not found"),
        ("--mount=target=/c,source=d/ignored", 3, ".dockerignore leaves it out"),
        ("--mount=target=/c,from=base,source=nowhere", 3, "\"/nowhere\": not found"),
        ("--mount=target=/c,from=later", 2, "needs to be defined before"),
        ("--mount=target=/c,from=this", 2, "circular dependency"),
        ("--mount=type=cache,target=/c,from=base,source=/etc/passwd", 1, "non-directory"),
        ("--device=vendor.com/class=name,required", 3, "is not registered"),
        ("--security=insecure", 8, "bryo has no privilege to give"),
    ] {
        let dockerfile = format!("FROM base AS this\nRUN {step} true\nFROM base AS later\n");
        let folder = context(&place, &dockerfile);
        let said = place.bryo("build --target this").arg(folder).fails(code).mentions(said);
        assert!(said.errors().contains("Dockerfile:2:1") || code == 2, "{said}");
        // What no system allows is known before anything is done.
        assert!(!said.errors().contains("[1/2]") || code != 8, "{said}");
    }
}

#[test]
fn a_step_without_a_network_has_only_itself() {
    let place = Place::new();
    if !busybox(&place) {
        return;
    }
    let script = "busybox ip -o link | grep -c . > /count; busybox ip -o link show lo > /lo; \
        busybox ip -4 -o addr show lo >> /lo";
    let host = fs::read_dir("/sys/class/net").expect("sysfs").count().to_string();
    for (option, flag, alone) in [
        ("", "", false),
        ("", "--network=none", true),
        ("", "--network=host", false),
        ("--network none", "", true),
        ("--network=none", "--network=default", true),
        ("--network=none", "--network=host", false),
        ("--network=host", "--network=none", true),
    ] {
        build(&place, option, &format!("FROM base\nRUN {flag} {script}\n"));
        let said = place.bryo("run app cat /count /lo").succeeds().text();
        let (count, lo) = said.split_once('\n').expect("lines");
        assert_eq!(count, if alone { "1" } else { &host }, "{option} {flag}: {said}");
        assert!(lo.contains("UP") && lo.contains("127.0.0.1/8"), "{option} {flag}: {lo}");
    }
    for (option, count) in [("none", "1"), ("host", host.as_str()), ("default", host.as_str())] {
        let line = format!("run --network {option} base sh -c");
        let said = place.bryo(&line).arg("busybox ip -o link | grep -c .").succeeds();
        assert_eq!(said.text(), count, "{option}");
    }
}

#[test]
fn a_step_ends_at_its_limit_with_all_that_it_started() {
    let place = Place::new();
    if !busybox(&place) {
        return;
    }
    let began = Instant::now();
    // The second process would hold the pipes open if it lived on.
    let step = "FROM base\nRUN trap '' TERM; (sleep 300; echo late) & sleep 300\n";
    let folder = context(&place, step);
    for mode in ["full", "none"] {
        let line = format!("build --root-emulation {mode} --run-timeout 1s500ms");
        let said = place.bryo(&line).arg(&folder).fails(1).mentions("did not end within 1.5s");
        assert!(said.errors().contains("--run-timeout sets this limit"), "{said}");
    }
    assert!(began.elapsed() < Duration::from_secs(100));
    build(&place, "--run-timeout 1h", "FROM base\nRUN echo in time\n");
    for limit in ["0s", "-1s", "1", "soon"] {
        place.bryo("build --run-timeout").args([limit, "."]).fails(2);
    }
}

/// A base with the host's own `ssh-add`; what a step finds behind its socket, and what it may not do.
#[test]
fn agents_sign_for_steps_and_change_for_nobody() {
    if !has("ssh-agent", "openssh-client") {
        return;
    }
    let place = Place::new();
    let script = "ssh-keygen -q -t ed25519 -N '' -C one -f one && \
        ssh-keygen -q -t ed25519 -N '' -C two -f two && \
        ssh-keygen -q -t ed25519 -N secret -C closed -f closed";
    place.run("sh").args(["-ec", script]).succeeds();
    let build = |options: &str, step: &str| {
        let dockerfile = format!("FROM tools\nRUN {step}\n");
        let context = place.context("context", &dockerfile, &[]);
        place
            .bryo("build -t app --no-cache --build-context tools=host:sh,ssh-add,ssh-keygen,stat,env,cat")
            .args(options.split_whitespace())
            .arg(context)
    };
    let key = |name: &str| format!("{name}={}", place.path("work").join(name).display());
    let listed = build(
        &format!("--ssh default={} --ssh {}", place.path("work/one").display(), key("two")),
        "--mount=type=ssh,required --mount=type=ssh,id=two,target=/t/two,uid=33,gid=34,mode=0640 \
         ssh-add -l && env && SSH_AUTH_SOCK=/t/two ssh-add -l && stat -c %u:%g:%a:%F /t/two && \
         ! ssh-add -D",
    )
    .succeeds();
    for said in [
        " one (ED25519)",
        " two (ED25519)",
        "33:34:640:socket",
        "SSH_AUTH_SOCK=/run/buildkit/ssh_agent.0",
    ] {
        assert!(listed.errors().contains(said), "{said:?}\n{listed}");
    }
    assert_eq!(top_layer(&place), "", "the sockets leave no trace");
    // The user's own agent, which signs, and has its key afterwards, too.
    let step = "--mount=type=ssh ssh-add -L > /key && echo text > /text && \
        ssh-keygen -q -Y sign -f /key -n test /text && cat /text.sig && ! ssh-add -D";
    let context = place.context("context", &format!("FROM tools\nRUN {step}\n"), &[]);
    let script = "ssh-add -q one && \"$0\" build --no-cache --ssh default \
        --build-context tools=host:sh,ssh-add,ssh-keygen,cat \"$1\" && ssh-add -l";
    let said = place
        .run("ssh-agent")
        .args(["sh", "-ec", script, env!("CARGO_BIN_EXE_bryo")])
        .arg(context)
        .succeeds();
    assert!(said.errors().contains("BEGIN SSH SIGNATURE"), "{said}");
    assert!(said.text().contains(" one (ED25519)"), "{said}");
    // Without an agent there is neither socket nor variable.
    build("", "--mount=type=ssh test -z \"$SSH_AUTH_SOCK\" && ! test -e /run/buildkit").succeeds();
    for (options, code, said) in [
        ("", 3, "no SSH key \"default\" forwarded from the client"),
        ("--ssh default", 2, "SSH_AUTH_SOCK is not set"),
        ("--ssh default=nowhere", 3, "nowhere"),
        ("--ssh default=closed", 3, "ssh-add does not take"),
        ("--ssh =x", 2, "it has no id"),
    ] {
        build(options, "--mount=type=ssh,required true").fails(code).mentions(said);
    }
}
