//! What users of ch-image find again in `bryo build`.

use std::fs;
use std::path::Path;

use crate::support::{Place, Said, busybox};

/// The names of all images.
fn names(place: &Place) -> Vec<String> {
    let images = place.bryo("images --json").succeeds().json();
    let images = images.as_array().expect("a list").iter();
    let mut names: Vec<String> =
        images.filter_map(|image| Some(image["name"].as_str()?.to_owned())).collect();
    names.sort();
    names
}

fn built(place: &Place, line: &str, context: &Path) -> Said {
    place.bryo(&format!("build --progress plain {line}")).arg(context).succeeds()
}

#[test]
fn an_image_is_named_after_its_files() {
    let place = Place::new();
    let context = place.context("My-App", "FROM scratch\nLABEL a=b\n", &[]);
    let file = |name: &str| place.file(context.join(name), "FROM scratch\nLABEL x=y\n");
    for (file, name) in [
        (None, "my-app"),
        (Some(file("Dockerfile.@FOO.bar")), "foo.bar"),
        (Some(file("baz.@QUX.dockerfile")), "baz.qux"),
        (Some(file("short.df")), "short"),
    ] {
        let mut run = place.bryo("build --progress plain").arg(&context);
        if let Some(file) = &file {
            run = run.arg("-f").arg(file);
        }
        let said = run.succeeds().mentions(&format!("inferred image name: {name}\n"));
        let said = said.mentions(&format!(" instructions: {name}:latest\n"));
        assert!(said.text().starts_with("sha256:") && said.text().len() == 71, "{said}");
        let shown = place.bryo("inspect").arg(name).succeeds();
        assert!(String::from_utf8_lossy(shown.bytes()).contains(&said.text()), "{shown}");
    }
    // A name of one's own, no file at all, or nothing that is built: nothing is inferred.
    let before = names(&place);
    assert!(!built(&place, "-t own", &context).errors().contains("inferred"));
    let said = place.bryo("build -").input("FROM scratch\nLABEL z=z\n").succeeds();
    assert!(!said.errors().contains("inferred") && said.text().starts_with("sha256:"), "{said}");
    for line in ["build --check", "build --parse-only", "build --call targets"] {
        let said = place.bryo(line).arg(&context).succeeds();
        assert!(!said.errors().contains("inferred"), "{said}");
    }
    assert_eq!(names(&place).len(), before.len() + 1, "{:?}", names(&place));
    // What it stands on keeps its name.
    let base = place.bryo("inspect own").succeeds();
    let context = place.context("own", "FROM own\nLABEL more=1\n", &[]);
    built(&place, "", &context).mentions("not named own:latest");
    assert_eq!(place.bryo("inspect own").succeeds().text(), base.text());
}

#[test]
fn a_line_per_step_says_hit_or_miss() {
    let place = Place::new();
    if !busybox(&place) {
        return;
    }
    let context = place.context("c", "FROM base\nRUN echo one\nENV A=1\nRUN echo two\n", &[]);
    let marks = |said: &Said| -> String {
        let steps = said.errors().lines().filter(|line| line.starts_with('['));
        steps.filter_map(|line| line[..7].strip_prefix('[')?.chars().nth(4)).collect()
    };
    let said = built(&place, "-t a", &context).mentions("[2/4]. RUN echo one: done in");
    assert_eq!(marks(&said).replace(' ', ""), "*...", "{said}");
    said.mentions("grown in 4 instructions: a:latest");
    let said = built(&place, "-t a", &context).mentions("[4/4]* RUN echo two: cached");
    assert_eq!(marks(&said), "****", "{said}");
    // Everything but FROM again, and what comes of it is kept.
    for line in ["--rebuild", "--cache --rebuild", "--no-cache", "--cache --no-cache"] {
        assert_eq!(marks(&built(&place, line, &context)).replace(' ', ""), "*...", "{line}");
    }
    for line in ["--cache", "--no-cache --cache", "--rebuild --cache"] {
        assert_eq!(marks(&built(&place, line, &context)), "****", "{line}");
    }
    for (value, expected) in [("disabled", "*..."), ("rebuild", "*..."), ("enabled", "****")] {
        let run = place.bryo("build --progress plain").env("CH_IMAGE_CACHE", value);
        let said = run.arg(&context).succeeds();
        assert_eq!(marks(&said).replace(' ', ""), expected, "{value}");
    }
    let run = place.bryo("build").env("CH_IMAGE_CACHE", "no").arg(&context);
    run.fails(2).mentions("CH_IMAGE_CACHE is \"no\"").mentions("enabled, disabled or rebuild");
}

#[test]
fn from_has_arguments_of_its_own() {
    let place = Place::new();
    if !busybox(&place) {
        return;
    }
    for (from, arguments, expected) in [
        ("FROM --arg=foo=bar base", "", "bar|"),
        ("FROM --arg=os=base $os", "", "|base"),
        ("FROM --arg=foo=bar --arg=os=base $os AS x", "", "bar|base"),
        ("FROM --arg=foo=ba --arg=os=${foo}se $os", "", "ba|base"),
        ("ARG g=base\nFROM --arg=os=$g $os", "", "|base"),
        (
            "FROM --arg=foo=bar --arg=os=nothing $os",
            "--build-arg os=base --build-arg foo=x",
            "x|base",
        ),
    ] {
        let context = place.context("c", &format!("{from}\nRUN echo \"$foo|$os\" > /said\n"), &[]);
        let said = built(&place, &format!("-t app {arguments}"), &context);
        assert!(!said.errors().contains("warning"), "{said}");
        assert_eq!(place.bryo("run app cat /said").succeeds().text(), expected, "{from}");
    }
    for (from, wrong) in [
        ("FROM --arg=foo base", "FROM --arg requires NAME=VALUE, not \"foo\""),
        ("FROM --arg==x base", "FROM --arg requires NAME=VALUE"),
        ("FROM --args=a=b base", "unknown flag: --args (did you mean arg?)"),
    ] {
        let context = place.context("c", &format!("{from}\n"), &[]);
        place.bryo("build").arg(&context).fails(2).mentions(wrong);
    }
}

#[test]
fn run_sees_what_is_bound() {
    let place = Place::new();
    if !busybox(&place) {
        return;
    }
    let shared = place.folder("shared");
    place.file(shared.join("f"), "theirs\n");
    let (at, file) = (shared.display(), shared.join("f"));
    let context = place.context(
        "c",
        &format!("FROM base\nRUN cat {at}/f /b/x/f /g > /said && echo new > /b/x/made\n"),
        &[],
    );
    let line = format!("-t app -b {at} --bind {at}:/b/x -b {}:/g:ro", file.display());
    built(&place, &line, &context);
    let said = place.bryo("run app cat /said").succeeds();
    assert_eq!(said.text(), "theirs\ntheirs\ntheirs");
    assert_eq!(fs::read_to_string(shared.join("made")).expect("written to"), "new\n");
    // No trace of the places, and no part of the key.
    let script = format!("test ! -e /b && test ! -e /g && test ! -e {at}");
    place.bryo("run app sh -c").arg(script).succeeds();
    place.file(&file, "other\n");
    built(&place, "-t app", &context).mentions("[2/2]* RUN");
    place.bryo("build -b /no/such/thing").arg(&context).fails(3).mentions("/no/such/thing");
    place.bryo("build -b /tmp:relative").arg(&context).exits(2);
}

#[test]
fn arguments_and_architectures_are_taken_as_ch_image_does() {
    let place = Place::new();
    if !busybox(&place) {
        return;
    }
    let text = "FROM base\nARG A\nARG B=b\nRUN echo \"${A-unset}|$B\" > /said\n";
    let context = place.context("c", text, &[]);
    for (line, variables, expected) in [
        ("", &[][..], "unset|b"),
        ("--build-arg A", &[("A", "env")], "env|b"),
        // As docker has it: what the environment does not know is not given.
        ("--build-arg A --build-arg B", &[], "unset|b"),
        ("--build-arg A= --build-arg B=", &[], "|"),
        ("--build-arg B=1 --build-arg B=2", &[], "unset|2"),
    ] {
        let mut run = place.bryo(&format!("build -t app {line}")).arg(&context);
        for (name, value) in variables {
            run = run.env(name, value);
        }
        run.succeeds();
        assert_eq!(place.bryo("run app cat /said").succeeds().text(), expected, "{line}");
    }
    let context = place.context("d", "FROM scratch\nLABEL a=b\n", &[]);
    for (arch, expected) in [("arm/v7", "arm"), ("aarch64", "arm64"), ("yolo", "amd64")] {
        built(&place, &format!("-t app --arch {arch}"), &context);
        let shown = place.bryo("inspect app").succeeds();
        assert!(shown.text().contains(&format!("\"{expected}\"")), "{arch}: {shown}");
    }
    place.bryo("build --arch host --platform linux/amd64").arg(&context).exits(2);
}

#[test]
fn a_dry_run_does_nothing_and_says_what_would_be_done() {
    let place = Place::new();
    if !busybox(&place) {
        return;
    }
    let shared = place.folder("shared");
    let text = format!(
        "FROM base AS one\nRUN echo one > /one\n\
         FROM base\nLABEL a=b\nCOPY f /f\nCOPY --from=one /one /one\nRUN touch {}/ran\nENV x=y\n",
        shared.display()
    );
    let context = place.context("c", &text, &[("f", "1")]);
    let bind = format!("-b {}", shared.display());
    let plan = |more: &str| -> String {
        let line = format!("build -n {bind} -t app {more}");
        place.bryo(&line).arg(&context).succeeds().text()
    };
    let marks = |plan: &str| -> String {
        plan.lines().map(|line| line.chars().nth(3).expect("a mark")).collect()
    };
    let first = plan("");
    let lines: Vec<&str> = first.lines().collect();
    assert_eq!(lines[..3], ["  1* FROM base AS one", "  2. RUN echo one > /one", "  3* FROM base"]);
    assert_eq!(lines[6], format!("  7. RUN touch {}/ran", shared.display()));
    assert_eq!(marks(&first), "*.*.....");
    place.bryo("inspect app").exits(3);
    assert!(!shared.join("ran").exists(), "it ran");

    built(&place, &format!("{bind} -t app"), &context);
    assert!(shared.join("ran").exists());
    assert_eq!(marks(&plan("")), "********");
    place.file(context.join("f"), "2");
    assert_eq!(marks(&plan("")), "****....");
    assert_eq!(marks(&plan("--no-cache")), "*.*.....");
    // What is not here is not fetched, and nobody is asked.
    let context =
        place.context("d", "FROM registry.invalid/x\nRUN true\nADD http://x.invalid/f /\n", &[]);
    let said = place.bryo("build --dry-run --format json").arg(&context).succeeds();
    let steps = said.json()["steps"].clone();
    let expected: Vec<&str> =
        steps.as_array().expect("a list").iter().filter_map(|s| s["expected"].as_str()).collect();
    assert_eq!(expected, ["miss", "unknown", "unknown"], "{said}");
    // What is wrong is found all the same.
    let context = place.context("e", "FROM base\nCOPY nothing /\n", &[]);
    place.bryo("build -n").arg(&context).fails(3).mentions("\"/nothing\": not found");
}
