//! A build that fails: what is said, what is kept, and how one goes on from there.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;

use crate::support::{Place, Said, busybox, has};

/// The log that a failed build names.
fn log(said: &Said) -> (PathBuf, String) {
    let (_, rest) = said.errors().split_once("(all of it: ").unwrap_or_else(|| panic!("{said}"));
    let path = PathBuf::from(rest.split("):").next().expect("it ends"));
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path:?}: {error}"));
    (path, text)
}

#[test]
fn all_that_a_step_writes_is_kept_and_its_end_is_repeated() {
    let place = Place::new();
    if !busybox(&place) {
        return;
    }
    let text =
        "FROM base\nRUN echo fine\nRUN seq 1 3000; echo out; echo err >&2; echo out; exit 7\n";
    let context = place.context("c", text, &[]);
    let said = place.bryo("build --progress plain").arg(&context).fails(1);
    let (path, whole) = log(&said);
    assert!(path.starts_with(place.storage()), "{path:?}");
    let expected: String = (1..=3000).map(|i| format!("{i}\n")).collect();
    let (title, whole) = whole.split_once('\n').expect("a title");
    assert!(title.starts_with("# [3/3] RUN seq 1 3000;"), "{title}");
    assert_eq!(whole, expected + "out\nerr\nout\n");
    // Under the error: its place in the Dockerfile, and the last lines in their order.
    let (_, end) = said.errors().split_once("error: process ").expect("an error");
    assert!(end.contains("exit code: 7"), "{end}");
    assert!(end.contains("3 | RUN seq 1 3000; echo out;"), "{end}");
    let repeated: Vec<&str> = end.lines().filter_map(|line| line.strip_prefix("  | ")).collect();
    assert_eq!(repeated.len(), 20 + 1, "the excerpt's empty line is one of them: {end}");
    assert_eq!(repeated[repeated.len() - 4..], ["3000", "out", "err", "out"]);
    // The step before has a log of its own; the others have none.
    let logs = fs::read_dir(path.parent().expect("a directory")).expect("it can be read");
    assert_eq!(
        logs.filter(|log| log.as_ref().is_ok_and(|log| log.path().extension().is_some())).count(),
        2
    );

    // Without progress the lines are shown once; for programs they are data.
    let said = place.bryo("build --quiet").arg(&context).fails(1).mentions("all that it wrote: /");
    assert_eq!(said.errors().matches("err").count(), 3 + 1, "{said}");
    let said = place.bryo("build --progress json").arg(&context).exits(1);
    let last = said.errors().lines().last().expect("an error");
    let event: serde_json::Value = serde_json::from_str(last).expect("JSON");
    assert_eq!(event["event"], "error");
    assert_eq!(event["last"].as_array().expect("a list").last(), Some(&"out".into()));
    assert!(
        fs::metadata(event["log"].as_str().expect("a path")).is_ok_and(|log| log.len() > 10_000)
    );
    // One that says nothing has nothing to repeat.
    let context = place.context("d", "FROM base\nRUN exit 3\n", &[]);
    let said = place.bryo("build --progress plain").arg(&context).fails(1);
    assert!(!said.errors().contains("what it wrote"), "{said}");
    // One that is killed has.
    let context = place.context("d", "FROM base\nRUN echo slow; sleep 1000\n", &[]);
    let said = place.bryo("build --run-timeout 1s").arg(&context).fails(1);
    assert_eq!(log(&said.mentions("did not end within 1s")).1.lines().last(), Some("slow"));
}

#[test]
fn no_log_tells_a_secret() {
    let place = Place::new();
    if !busybox(&place) {
        return;
    }
    place.file("work/key", "first line of it\nsecond line of it\n");
    let text = "FROM base\nRUN --mount=type=secret,id=key --mount=type=secret,id=word,env=WORD \
        cat /run/secrets/key; for c in hun ter 2; do printf $c; done; echo; \
        echo \"<$WORD>\"; grep second /run/secrets/key; exit 1\n";
    let context = place.context("c", text, &[]);
    for progress in ["plain", "tty", "json", "none"] {
        let said = place
            .bryo("build --secret id=key,src=key --secret id=word,env=SPELL --progress")
            .arg(progress)
            .env("SPELL", "hunter2")
            .arg(&context)
            .exits(1);
        let shown = said.errors().replace("do printf", "");
        for secret in ["first line", "second line", "hunter2"] {
            assert!(!shown.contains(secret), "{progress}: {said}");
        }
        assert!(shown.contains("<*****>"), "{progress}: {said}");
    }
    let logs = place.run("grep").args(["-r", "-e", "hunter2", "-e", "line of it"]);
    logs.arg(place.storage()).exits(1);
}

#[test]
fn the_next_build_goes_on_where_the_last_one_failed() {
    let place = Place::new();
    if !busybox(&place) {
        return;
    }
    let head = "FROM base\nRUN echo one > /one\nCOPY f /f\n";
    let context = place.context("c", &format!("{head}RUN exit 1\n"), &[("f", "f")]);
    place.bryo("build -t app").arg(&context).fails(1);
    place.bryo("inspect app").exits(3);
    place.file(context.join("Dockerfile"), format!("{head}RUN cat /one /f > /two\n"));
    let said = place.bryo("build --progress plain -t app").arg(&context).succeeds();
    for step in ["[2/4]* RUN", "[3/4]* COPY", "[4/4]. RUN"] {
        assert!(said.errors().contains(step), "{said}\n{step}");
    }
    assert_eq!(place.bryo("run app cat /two").succeeds().text(), "one\nf");
}

#[test]
fn the_root_of_a_failed_step_is_kept() {
    let place = Place::new();
    if !busybox(&place) {
        return;
    }
    let failing = |name: &str, last: &str| {
        let text = format!(
            "FROM base\nENTRYPOINT [\"/no/such/program\"]\nARG HINT=look\nWORKDIR /w\n\
             RUN echo before > /before\n{last}\n"
        );
        place.context(name, &text, &[("f", "f")])
    };
    let run = "RUN echo left > /left; chown 33:34 /left; exit 9";
    let context = failing("c", run);
    let said = place.bryo("build --progress plain --keep-failed -t app").arg(&context).fails(1);
    let said = said.mentions("the files of the failed step are kept: bryo run localhost/failed\n");
    assert!(said.errors().contains("exit code: 9"), "{said}");
    place.bryo("inspect app").exits(3);
    let script = "cat /before /left; stat -c %u:%g /left; pwd; echo $HINT";
    let shown = place.bryo("run localhost/failed /bin/sh -c").arg(script).succeeds();
    assert_eq!(shown.text(), "before\nleft\n33:34\n/w\nlook");
    // Alone it is a shell, in place of the image's own program.
    place.bryo("run localhost/failed").input("test -e /left\n").succeeds();

    // The next one takes its place, and leaves nothing of it.
    let before = place.bryo("images --all --json").succeeds().json();
    let context = failing("c", "RUN echo other > /other; exit 1");
    place.bryo("build --keep-failed -t app").arg(&context).fails(1);
    let after = place.bryo("images --all --json").succeeds().json();
    let count = |images: &serde_json::Value| images.as_array().expect("a list").len();
    assert_eq!(count(&before), count(&after));
    place
        .bryo("run localhost/failed /bin/sh -c")
        .arg("test -e /other && test ! -e /left")
        .succeeds();
    // A COPY leaves what it did until then; a build without the wish, or that succeeds, nothing.
    let context = failing("c", "COPY f /before/f");
    place.bryo("build --keep-failed").arg(&context).fails(1);
    place.bryo("run localhost/failed cat /before").succeeds();
    place.bryo("rm localhost/failed").succeeds();
    place.bryo("build").arg(failing("c", run)).fails(1);
    place.bryo("build --keep-failed -t ok").arg(failing("c", "RUN true")).succeeds();
    place.bryo("inspect localhost/failed").exits(3);
}

#[test]
fn a_shell_takes_the_place_of_a_failed_step() {
    let place = Place::new();
    if !busybox(&place) || !has("script", "bsdutils") {
        return;
    }
    let text = "FROM base\nENV E=env\nARG A=arg\nWORKDIR /w\nUSER www\nUSER 33:33\n\
        RUN --mount=type=tmpfs,target=/t,size=1m echo left > /t/left; exit 5\n";
    let context = place.context("c", text, &[]);
    // Without a terminal there is nobody to type.
    let said = place.bryo("build --shell-on-error").arg(&context).fails(2);
    said.mentions("--shell-on-error needs a terminal").mentions("--keep-failed");
    for progress in ["plain", "tty"] {
        let line = format!(
            "{} build --shell-on-error --keep-failed --progress {progress} {}",
            env!("CARGO_BIN_EXE_bryo"),
            context.display()
        );
        let typed =
            "echo \"<$E $A $(pwd) $(id -u) $(ls -d /t)>\"; touch /t/x && echo mine > /w/x\nexit\n";
        let said = place.run("script").args(["-qec", &line, "/dev/null"]).env("TERM", "xterm");
        let said = said.input(typed).exits(1);
        let text = said.text();
        assert!(text.contains("<env arg /w 33 /t>"), "{progress}: {said}");
        assert!(text.contains("this is /bin/sh in its place"), "{progress}: {said}");
        assert!(text.contains("exit code: 5"), "{progress}: {said}");
    }
}

#[test]
fn an_interrupted_build_says_so_and_leaves_nothing_running() {
    let place = Place::new();
    if !busybox(&place) {
        return;
    }
    let text = "FROM base\nRUN echo one > /one\nRUN echo $$; sleep 1234.5\n";
    let context = place.context("c", text, &[]);
    for (signal, code) in [("INT", 130), ("TERM", 143)] {
        let mut child = place.bryo("build --progress plain -t app").arg(&context).spawn();
        let mut lines = BufReader::new(child.stderr.take().expect("a pipe")).lines();
        let is_under_way = |line: std::io::Result<String>| line.expect("text") == "[3/3] 1";
        assert!(lines.any(is_under_way), "the last step begins");
        let pid = child.id().to_string();
        place.run("kill").args([format!("-{signal}"), pid]).succeeds();
        let rest: Vec<String> = lines.map(|line| line.expect("text")).collect();
        let status = child.wait().expect("it ends");
        assert_eq!(status.code(), Some(code), "{rest:?}");
        assert!(
            rest.iter().any(|line| *line == format!("error: ended by SIG{signal}")),
            "{rest:?}"
        );
        place.bryo("inspect app").exits(3);
    }
    let said = place.bryo("build --run-timeout 1s --progress plain").arg(&context).fails(1);
    assert!(said.errors().contains("[2/3]* RUN echo one"), "{said}");
    let left = place.run("ps").args(["-eo", "args"]).succeeds();
    assert!(!left.text().contains("sleep 1234.5"), "{left}");
}
