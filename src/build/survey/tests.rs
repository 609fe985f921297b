//! Tables of Dockerfiles and of what is said about them.

use std::fs;

use super::*;
use crate::image::Aliases;
use crate::layer::compress::Compression;

/// Builds nothing: `text` in a context with an ignore file, on an empty store.
fn look(text: &str, arguments: &[(&str, &str)]) -> Survey {
    let folder = tempfile::tempdir().expect("a directory");
    let context = folder.path().join("context");
    fs::create_dir(&context).expect("a directory");
    fs::write(context.join(".dockerignore"), "*.log\nsecret/\n").expect("a file");
    let store = Store::open(&folder.path().join("store")).expect("a store");
    let options = Options {
        dockerfile: text.to_owned(),
        context: Some(context),
        ignore_file: None,
        tags: Vec::new(),
        target: None,
        build_args: arguments
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect(),
        contexts: Vec::new(),
        aliases: Aliases::default(),
        platforms: vec![Platform::new("linux", "amd64", None)],
        labels: Vec::new(),
        pull: false,
        no_cache: false,
        binds: Vec::new(),
        no_cache_filter: Vec::new(),
        is_local: true,
        keep_failed: false,
        shell_on_error: false,
        source_date_epoch: None,
        compression: Compression::default(),
        shape: crate::build::Shape::default(),
        is_named: false,
        emulation: crate::fakeroot::Wish::default(),
        network: crate::sandbox::Network::Host,
        surroundings: crate::run::Surroundings::default(),
        cache_from: Vec::new(),
        inline_cache: false,
        run_timeout: None,
        secrets: Vec::new(),
        agents: Vec::new(),
        origin: crate::build::Origin::default(),
        attestations: crate::build::Attestations::default(),
        jobs: crate::build::Jobs { steps: 1, layers: 1 },
    };
    survey(&store, &options, false)
}

/// `Rule line detail` of each warning.
fn said(survey: &Survey) -> Vec<String> {
    let said = |found: &Diagnostic| {
        format!("{} {} {}", found.rule.unwrap_or("?"), found.span.line, found.message)
    };
    survey.warnings.iter().map(said).collect()
}

/// `tests/data/dockerfile/lint.txt`
#[test]
fn every_rule_fires_and_is_silent() {
    let cases = include_str!("../../../tests/data/dockerfile/lint.txt");
    let mut fired = Vec::new();
    let mut silent = 0;
    for case in cases.split("\n\n").filter(|case| !case.starts_with('#')) {
        let is_text = |line: &&str| line.starts_with('|');
        let text: String = case
            .lines()
            .filter(is_text)
            .map(|line| format!("{}\n", line[1..].strip_prefix(' ').unwrap_or(&line[1..])))
            .collect();
        let expected: Vec<&str> =
            case.lines().filter(|line| !is_text(line) && *line != "-").collect();
        assert_eq!(said(&look(&text, &[])), expected, "{text}");
        silent += usize::from(expected.is_empty());
        fired.extend(expected.iter().filter_map(|line| line.split(' ').next()));
    }
    assert!(silent >= 21, "only {silent} cases are silent");
    for rule in dockerfile::lint::RULES {
        // That one needs an image of another machine: see `images_of_other_machines`.
        let elsewhere = rule.name == "InvalidBaseImagePlatform";
        assert!(fired.contains(&rule.name) || elsewhere, "{} has no case", rule.name);
    }
}

#[test]
fn images_of_other_machines() {
    let reference = "registry.example/base".parse().expect("a reference");
    let config = Config::scratch(&Platform::new("linux", "arm64", None));
    for (wanted, expected) in [
        (
            Platform::new("linux", "amd64", None),
            Some(
                "Base image registry.example/base:latest was pulled with platform \"linux/arm64\", \
                 expected \"linux/amd64\" for current build",
            ),
        ),
        (Platform::new("linux", "arm64", Some("v8")), None),
    ] {
        let found = lint::base_platform(&reference, &config, &wanted, Span::default());
        assert_eq!(found.as_ref().map(|found| found.message.as_str()), expected);
        assert!(found.is_none_or(|found| found.rule == Some("InvalidBaseImagePlatform")));
    }
}

#[test]
fn settings_come_from_the_file_or_beat_it() {
    let text = "# check=skip=all\nFROM scratch AS A\n";
    assert_eq!(said(&look(text, &[])), [""; 0]);
    let given = look(text, &[(CHECK, "error=true")]);
    assert_eq!((given.rules(), given.is_strict), (vec!["StageNameCasing"], true));
    let told = said(&look("# check=skip=StageNameCasin\nFROM scratch\n", &[]));
    assert_eq!(told, ["? 1 there is no lint rule \"StageNameCasin\""]);
    let wrong = look("# check=skp=all\nFROM scratch\n", &[]).error.map(|error| error.to_string());
    let expected =
        "failed to parse check options: invalid check option \"skp\" (did you mean skip?)";
    assert_eq!(wrong.as_deref(), Some(expected));
}

#[test]
fn a_base_that_is_not_here_may_define_more() {
    let unknown = look("FROM alpine\nLABEL a=$NODE\n", &[]);
    assert!(!unknown.is_complete);
    assert_eq!(unknown.warnings[0].hint.as_deref(), Some(lint::UNSURE));
    let known = look("FROM scratch\nLABEL a=$NODE\n", &[]);
    assert!(known.is_complete);
    assert!(known.warnings[0].hint.as_ref().is_some_and(|hint| hint.contains("declare it")));
}

#[test]
fn wrong_values_are_found_before_anything_is_done() {
    for (steps, expected) in [
        ("EXPOSE abc", "invalid containerPort: abc"),
        ("EXPOSE 80/xyz", "invalid proto: xyz"),
        ("STOPSIGNAL SIGFOO", "invalid signal: SIGFOO"),
        ("ARG P=70000\nEXPOSE $P", "invalid containerPort: 70000"),
        ("COPY --chmod=64a a b", "invalid chmod parameter: '64a'"),
        ("RUN --mount=type=bind,target=/ true", "invalid mount target \"/\""),
        (
            "RUN --mount=type=bnd,target=/a true",
            "unsupported mount type \"bnd\" (did you mean bind?)",
        ),
        ("ENV a=${b?needed}", "b: needed"),
        ("LABEL a=${b", "missing '}'"),
        ("WORKDIR ${none", "missing '}'"),
        ("COPY http://h/x /", "source can't be a URL for COPY"),
        ("COPY git@h:x /", "source can't be a git ref for COPY"),
        ("ADD --checksum=sha256:0 a /", "checksum requires HTTP(S) or Git sources"),
        ("ADD --checksum=sha256:0 a b /", "checksum can't be specified for multiple sources"),
        ("VOLUME $none", "VOLUME specified can not be an empty string"),
    ] {
        let text = format!("FROM scratch\nRUN long\n{steps}\n");
        let error = look(&text, &[]).error.unwrap_or_else(|| panic!("{steps} was accepted"));
        assert!(error.to_string().contains(expected), "{steps}: {error}");
        let line = 2 + steps.lines().count();
        assert_eq!(error.span().map(|span| span.line), Some(line), "{steps}");
    }
    for fine in [
        // The base may say what it is.
        "FROM alpine\nSTOPSIGNAL $SIGNAL\nEXPOSE $PORT-x\n",
        // Nobody builds that stage.
        "FROM scratch\nEXPOSE abc\nFROM scratch\n",
        "FROM scratch\nARG M=755\nCOPY --chmod=$M a b\n",
    ] {
        assert!(look(fine, &[]).error.is_none(), "{fine}");
    }
}
