//! What bryo says about a Dockerfile: the linter, and values that are wrong before anything is done.

use crate::support::{Place, busybox};

#[test]
fn check_lists_what_it_finds_and_builds_nothing() {
    let place = Place::new();
    let context = place.context("context", "FROM scratch AS App\nEXPOSE 80/TCP\n", &[]);
    let said = place.bryo("build --check -t app").arg(&context).exits(1);
    assert!(!said.errors().contains("StageNameCasing"), "a list is data: {said}");
    for part in [
        "WARNING: StageNameCasing - https://docs.docker.com/go/dockerfile/rule/stage-name-casing/\n\
         Stage name 'App' should be lowercase\n",
        "   1 | >>> FROM scratch AS App\n",
        "   2 | >>> EXPOSE 80/TCP\n",
        "Check complete, 2 warnings have been found!",
    ] {
        assert!(said.text().contains(part), "{part}: {said}");
    }
    place.bryo("inspect app").fails(3);
    let json = place.bryo("build --check --format json").arg(&context).exits(1).json();
    let shown: Vec<(&str, u64)> = json["warnings"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|one| (one["rule"].as_str().expect("a name"), one["line"].as_u64().expect("a line")))
        .collect();
    assert_eq!(shown, [("StageNameCasing", 1), ("ExposeProtoCasing", 2)]);
    place.file("context/Dockerfile", "FROM scratch AS app\nEXPOSE 80\n");
    let said = place.bryo("build --call check").arg(&context).succeeds();
    assert_eq!(said.text(), "Check complete, no warnings found.");
    // A file that cannot be built at all is no lint.
    place.file("context/Dockerfile", "FROM scratch AS App\nRUNN x\n");
    let said = place.bryo("build --call check,format=json").arg(&context).fails(2);
    let json = said.json();
    assert_eq!(json["warnings"][0]["rule"], "StageNameCasing");
    let message = json["buildError"]["message"].as_str().expect("a message");
    assert!(message.contains("unknown instruction: RUNN (did you mean RUN?)"), "{message}");
    let range = &json["buildError"]["location"]["ranges"][0];
    assert_eq!((&range["start"]["line"], &range["end"]["line"]), (&2.into(), &2.into()));
    let file = json["sources"][0]["filename"].as_str().expect("a name");
    assert!(file.ends_with("context/Dockerfile"), "{file}");
    assert!(said.errors().contains("did you mean RUN?"), "{said}");
}

#[test]
fn a_build_shows_each_warning_once_with_its_line() {
    let place = Place::new();
    if !busybox(&place) {
        return;
    }
    let dockerfile = "FROM base\nWORKDIR x\nCOPY $nothing/file .\n";
    let context = place.context("context", dockerfile, &[("file", "")]);
    let said = place.bryo("build").arg(&context).succeeds();
    for part in ["WorkdirRelativePath: Relative workdir", ":2:1", "2 | WORKDIR x", "UndefinedVar"] {
        assert_eq!(said.errors().matches(part).count(), 1, "{part}: {said}");
    }
    let said = place
        .bryo("build --build-arg BUILDKIT_DOCKERFILE_CHECK=skip=UndefinedVar;error=true")
        .arg(&context)
        .fails(1);
    let error = "lint violation found for rules: WorkdirRelativePath";
    assert!(said.errors().contains(error) && !said.errors().contains("UndefinedVar"), "{said}");
    place.file("context/Dockerfile", "# check=skip=all;error=true\nFROM base\nWORKDIR x\n");
    let said = place.bryo("build").arg(&context).succeeds();
    assert!(!said.errors().contains("WorkdirRelativePath"), "{said}");
}

#[test]
fn what_is_wrong_is_said_before_the_first_step() {
    let place = Place::new();
    if !busybox(&place) {
        return;
    }
    for (line, part) in [
        ("EXPOSE abc", "invalid containerPort: abc"),
        ("STOPSIGNAL SIGFOO", "invalid signal: SIGFOO"),
        ("HEALTHCHECK --interval=1x CMD a", "invalid duration"),
        ("COPY --chmod=9 a /", "invalid chmod parameter: '9'"),
        ("RUN --mount=type=cahce,target=/a true", "(did you mean cache?)"),
        ("COPY --form=x a /", "unknown flag: --form (did you mean from?)"),
        ("COPY --from=later a /", "cannot copy from stage \"later\""),
    ] {
        let dockerfile =
            format!("FROM base AS first\nRUN echo ex''ecuted\n{line}\nFROM first AS later\n");
        let context = place.context("context", &dockerfile, &[("a", "")]);
        let said = place.bryo("build --no-cache").arg(&context).fails(2);
        assert!(said.errors().contains(part), "{line}: {said}");
        assert!(said.errors().contains("Dockerfile:3:"), "{line}: {said}");
        assert!(!said.errors().contains("executed"), "{line}: {said}");
    }
}

#[test]
fn a_dockerfile_is_asked_for_its_targets_and_what_they_take() {
    let place = Place::new();
    let dockerfile = "# V which one\nARG V=1\nFROM alpine:$V AS base\nARG X\n\
        # app is all\nFROM base AS app\nARG V\nARG Y=$V$X\n\
        RUN --mount=type=secret,id=key,required --mount=type=ssh true\n\
        RUN --mount=type=cache,target=/c true\n";
    let context = place.context("context", dockerfile, &[]);
    let said = place.bryo("build --call targets").arg(&context).succeeds();
    assert_eq!(said.text(), "TARGET         DESCRIPTION\nbase\napp (default)  is all");
    let json = place.bryo("build --call targets,format=json").arg(&context).succeeds().json();
    assert_eq!(json["targets"][0]["base"], "alpine:$V");
    let line = "build --call outline --format json --build-arg X=2";
    let json = place.bryo(line).arg(&context).succeeds().json();
    assert_eq!((&json["name"], &json["description"]), (&"app".into(), &"is all".into()));
    let argument =
        |at: usize| (json["args"][at]["name"].clone(), json["args"][at]["value"].clone());
    assert_eq!(argument(0), ("V".into(), "1".into()));
    assert_eq!((argument(1), argument(2)), (("X".into(), "2".into()), ("Y".into(), "12".into())));
    assert_eq!(
        (&json["secrets"][0]["name"], &json["ssh"][0]["name"]),
        (&"key".into(), &"default".into())
    );
    assert_eq!(json["cache"][0]["id"], "/c");
    let said = place.bryo("build --call outline --target base").arg(&context).succeeds();
    assert!(
        said.text().contains("V          1      which one") && !said.text().contains("SECRET"),
        "{said}"
    );
}

#[test]
fn a_dockerfile_is_read_alone() {
    let place = Place::new();
    let context = place.context("context", "", &[("Containerfile", "FROM a\nHEALTHCHECK\n")]);
    std::fs::remove_file(context.join("Dockerfile")).expect("it is there");
    let said = place.bryo("build --parse-only --format json").arg(&context).succeeds();
    assert!(said.errors().contains("Containerfile"), "{said}");
    assert_eq!(said.json()["instructions"][1]["name"], "HEALTHCHECK");
    let said = place.bryo("build --parse-only --validate").arg(&context).fails(2);
    assert!(said.errors().contains("HEALTHCHECK requires at least one argument"), "{said}");
    place.file("context/Dockerfile", "");
    let said = place.bryo("build --parse-only").arg(&context).fails(2);
    assert!(said.errors().contains("the Dockerfile cannot be empty"), "{said}");
}

#[test]
fn parts_of_the_language_answer_alone() {
    let place = Place::new();
    for (line, words, expected) in [
        ("debug expand --env A=x --word", &["${A:-y}'$A'${B:-z}"][..], "x$Az"),
        ("debug expand --split --env A=x --word", &["$A 'b c'"], "[\"x\",\"b c\"]"),
        (
            "debug ignore-match --pattern *.log --pattern !a.log --",
            &["a.log", "b.log"],
            "[false,true]",
        ),
        ("debug size", &["1.5k"], "1536"),
        ("debug size --si", &["1.5k"], "1500"),
        ("debug ulimit", &["nofile=1:2"], "{\"name\":\"nofile\",\"soft\":1,\"hard\":2}"),
        ("debug expose --", &["80-81", "53/UDP"], "[\"53/udp\",\"80/tcp\",\"81/tcp\"]"),
    ] {
        assert_eq!(place.bryo(line).args(words).succeeds().text(), expected, "{line}");
    }
    for (line, word) in [
        ("debug expand --word", "${"),
        ("debug reference", "A"),
        ("debug size", "x"),
        ("debug expose --", "a"),
    ] {
        place.bryo(line).arg(word).fails(1);
    }
}
