//! A build that fails: what is said, what is kept, and how one goes on from there.

use std::fs;
use std::path::PathBuf;

use crate::support::{Place, Said, busybox};

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
