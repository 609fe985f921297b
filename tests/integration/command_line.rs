//! Words, streams and exit codes, before any image is touched.

use crate::support::Place;

#[test]
fn version_is_data() {
    let place = Place::new();
    let said = place.bryo("version").succeeds();
    assert!(
        said.text().starts_with(concat!("bryo ", env!("CARGO_PKG_VERSION"), " (linux/")),
        "{said}"
    );
    assert_eq!(said.errors(), "");
    let said = place.bryo("version --json").succeeds();
    assert_eq!(said.json()["version"], env!("CARGO_PKG_VERSION"));
    place.bryo("--version").succeeds();
    // It looks at nothing: neither a home nor a storage directory appears.
    assert!(!place.storage().exists());
}

#[test]
fn wrong_words_are_usage_errors() {
    let place = Place::new();
    for (line, named) in [
        ("", "Usage:"),
        ("bild", "'build'"),
        ("images --al", "--al"),
        ("images one extra", "extra"),
        ("tag one", "required"),
        ("run", "required"),
        ("pull --jobs 0 x", "--jobs"),
        ("build --platform a/b/c/d .", "a/b/c/d"),
        ("build --build-arg =x .", "=x"),
        ("build -o type=floppy .", "floppy"),
        ("completion tcsh", "tcsh"),
        ("--progress loud images", "loud"),
    ] {
        let said = place.bryo(line).exits(2);
        assert!(said.errors().contains(named), "{said}\ndoes not name {named}");
        assert_eq!(said.text(), "", "{said}");
    }
}

#[test]
fn help_knows_every_command() {
    let place = Place::new();
    let help = place.bryo("--help").succeeds().text();
    for command in
        "build run pull push login logout images inspect history check find cat blob diff analyze tag rm save load import \
                    doctor version completion"
            .split_whitespace()
    {
        assert!(help.contains(&format!("\n  {command} ")), "{command} is not in:\n{help}");
        let own = place.bryo(&format!("{command} --help")).succeeds();
        assert!(own.text().contains(&format!("Usage: bryo {command}")), "{own}");
    }
}

#[test]
fn options_stand_before_or_after_the_command() {
    let place = Place::new();
    let storage = place.folder("elsewhere");
    for line in ["--storage DIR images --json", "images --json --storage DIR"] {
        let said = place.bryo(&line.replace("DIR", &storage.to_string_lossy())).succeeds();
        assert_eq!(said.json(), serde_json::json!([]), "{said}");
    }
    assert!(!place.storage().exists());
}

#[test]
fn completion_scripts_are_made_for_each_shell() {
    let place = Place::new();
    for shell in ["bash", "zsh", "fish"] {
        let said = place.bryo("completion").arg(shell).succeeds();
        assert!(said.text().contains("build-context"), "{said}");
    }
    // What bash makes of it.
    let script = place.bryo("completion bash").succeeds();
    let path = place.file("work/completion", script.bytes());
    let line = "source \"$0\"; COMP_WORDS=(bryo pu); COMP_CWORD=1; _bryo bryo pu bryo; echo ${COMPREPLY[*]}";
    let said = place.run("bash").args(["-c", line]).arg(path).succeeds();
    assert_eq!(said.text(), "pull push", "{said}");
}

#[test]
fn a_reader_may_go_away() {
    let place = Place::new();
    let bryo = env!("CARGO_BIN_EXE_bryo");
    let line = format!("set -o pipefail; {bryo} completion bash | true");
    place.run("bash").args(["-c", &line]).succeeds();
}

#[test]
fn options_may_stand_before_the_command() {
    let place = Place::new();
    // It is understood: what is missing is the network.
    let said = place.bryo("--offline --retry 2 tags 127.0.0.1:1/a").exits(6);
    said.mentions("offline");
    place.bryo("--offline manifest inspect 127.0.0.1:1/a --retry 2 --retry 3").exits(6);
    place.bryo("--moss tags a").exits(2).mentions("--moss");
    // Where it means nothing else.
    place.bryo("tags -v --offline 127.0.0.1:1/a").exits(6);
    place.bryo("-vv images").succeeds();
    place.bryo("images -x").exits(2).mentions("-x");
}

#[test]
fn no_message_repeats_a_password() {
    let place = Place::new();
    for line in [
        "pull ann:s3cret@h.example/a",
        "pull http://ann:s3cret@h.example/a",
        "inspect ann:s3cret@h.example/a",
        "inspect registry://ann:s3cret@h.example/a",
        "copy docker://ann:s3cret@h.example/a oci:b",
        "copy ann:s3cret@h.example/a oci:b",
        "copy oci:b registry:ann:s3cret@h.example/a",
        "tags ann:s3cret@h.example/a",
        "run ann:s3cret@h.example/a true",
        "rm ann:s3cret@h.example/a",
        "digest ann:s3cret@localhost:5000/a",
    ] {
        let said = place.bryo(line).exits_with_any(&[1, 2, 3, 125]);
        let all = said.text() + said.errors();
        assert!(!all.contains("s3cret") && all.contains("error"), "{line}: {all}");
    }
}
