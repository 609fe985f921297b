//! Ways of root emulation: how they are chosen, what they do, what is said of them.

use std::path::Path;

use crate::support::{Place, Run, Said, busybox, debian, has};

/// A toy of fakeroot(1), which is installed where a command has the word `id`.
const PROFILE: &str = r#"name = "toy"
description = "A toy"
words = ["id"]
prefix = ["/bin/toyroot"]

[[match]]
file = "/etc/passwd"
pattern = '^root:'

[environment]
SET_BY_PROFILE = "yes"

[[init]]
why = "there is no toyroot"
test = "test -x /bin/toyroot"
do = '''
echo installing
printf '#!/bin/sh\nTOY=$TOY+ exec "$@"\n' > /bin/toyroot
chmod 755 /bin/toyroot
echo $SET_BY_PROFILE >> /set-up
'''

[[insert]]
command = "touch"
arguments = ["/inserted"]
why = "to be seen"
"#;

fn profile(place: &Place, name: &str, text: &str) {
    for folder in ["home/.config", "home/.config/bryo", "home/.config/bryo/fakeroot-profiles"] {
        place.folder(folder);
    }
    place.file(Path::new("home/.config/bryo/fakeroot-profiles").join(name), text);
}

/// A build of `dockerfile` with `options`, as `app`.
fn build(place: &Place, options: &str, dockerfile: &str) -> Run {
    let context = place.context("context", dockerfile, &[("file", "content\n")]);
    place.bryo(&format!("build --progress plain -t app {options}")).arg(context)
}

/// What a command in `app` says, where nobody helps it.
fn ask(place: &Place, command: &str) -> String {
    place.bryo("run --root-emulation none app sh -c").arg(command).succeeds().text()
}

fn count(said: &Said, text: &str) -> usize {
    said.errors().matches(text).count()
}

/// Owner and mode of a path in a tar of the image's files.
fn listed(place: &Place, path: &str) -> String {
    let tar = place.path("work/files.tar");
    let listing = place.run("tar").args(["--numeric-owner", "-tvf"]).arg(tar).succeeds().text();
    let line = listing.lines().find(|line| line.ends_with(&format!(" {path}")));
    let words: Vec<&str> =
        line.unwrap_or_else(|| panic!("{path}:\n{listing}")).split_whitespace().collect();
    format!("{} {}", words[0], words[1])
}

#[test]
fn a_profile_of_the_user_puts_fakeroot_before_what_needs_it() {
    let place = Place::new();
    if !busybox(&place) {
        return;
    }
    profile(&place, "mine.toml", PROFILE);
    let dockerfile = "FROM base AS first\nRUN echo none:$TOY$SET_BY_PROFILE > /said\n\
        RUN true&&/bin/id && echo one:$TOY$SET_BY_PROFILE >> /said\nRUN [\"sh\", \"-c\", \"id; echo two:$TOY >> /said\"]\n\
        FROM first\nRUN <<EOF\n#!/bin/sh\necho \"id:$TOY\" >> /said\nEOF\n";
    let said = build(&place, "--root-emulation fakeroot", dockerfile).succeeds();
    assert_eq!(count(&said, "fakeroot profile toy: there is no toyroot: running "), 1, "{said}");
    assert_eq!(
        count(&said, "fakeroot profile toy, for id: running [\"/bin/toyroot\", "),
        3,
        "{said}"
    );
    assert_eq!(ask(&place, "cat /said /set-up"), "none:\none:+yes\ntwo:+\nid:+\nyes");

    let again = build(&place, "--root-emulation fakeroot", dockerfile).succeeds();
    assert_eq!((again.text(), count(&again, "toyroot")), (said.text(), 0), "{again}");
    // Another profile is another result, even if only a comment differs.
    profile(&place, "mine.toml", &format!("# Changed\n{PROFILE}"));
    let changed = build(&place, "--root-emulation fakeroot", dockerfile).succeeds();
    assert_eq!(count(&changed, "there is no toyroot: running "), 1, "{changed}");

    // Nobody else does any of it.
    for options in ["--root-emulation full", "--root-emulation none", "--root-emulation ids"] {
        let said = build(&place, options, dockerfile).succeeds();
        assert_eq!(count(&said, "toy"), 0, "{said}");
        assert_eq!(
            ask(&place, "cat /said; ls /set-up /bin/toyroot 2>&1 | wc -l"),
            "none:\none:\ntwo:\nid:\n2"
        );
    }
}

#[test]
fn run_injects_as_build_does() {
    let place = Place::new();
    if !busybox(&place) {
        return;
    }
    profile(&place, "mine.toml", PROFILE);
    let run = |mode: &str, words: &[&str]| {
        place.bryo("run --root-emulation").arg(mode).arg("base").args(words)
    };
    let said = run("fakeroot", &["sh", "-c", "id; echo $TOY"]).succeeds();
    assert_eq!(said.text(), "uid=0(root) gid=0(root)\n+", "{said}");
    assert_eq!(count(&said, " | installing"), 1, "{said}");
    assert_eq!(run("fakeroot", &["sh", "-c", "echo $TOY"]).succeeds().text(), "");
    assert_eq!(
        run("full", &["sh", "-c", "id; echo $TOY"]).succeeds().text(),
        "uid=0(root) gid=0(root)"
    );
    run("fake", &["touch", "/x"]).succeeds();
    let shown = run("fake", &["sh", "-c", "touch /x; ls /x /inserted"]).succeeds();
    assert_eq!(shown.text(), "/inserted\n/x");
}

#[test]
fn an_image_that_no_profile_is_for() {
    let place = Place::new();
    if !busybox(&place) {
        return;
    }
    let dockerfile = "FROM base\nRUN true\n";
    let said = build(&place, "--root-emulation fakeroot", dockerfile).fails(2);
    said.mentions("no profile is made for this image").mentions("alpine, arch, debian");
    build(&place, "--root-emulation fake", dockerfile).succeeds();
    build(&place, "--root-emulation none", dockerfile).succeeds();
}

#[test]
fn a_broken_profile_matters_only_where_one_is_looked_for() {
    let place = Place::new();
    if !busybox(&place) {
        return;
    }
    profile(&place, "broken.toml", "name = \"broken\"\nwrods = []\n");
    let dockerfile = "FROM base\nRUN true\n";
    build(&place, "", dockerfile).succeeds();
    build(&place, "--root-emulation fake --no-force-detect", dockerfile).succeeds();
    let said = build(&place, "--root-emulation fake", dockerfile).fails(2);
    said.mentions("broken.toml:2: unknown field `wrods`, expected one of `name`");
    let doctor = place.bryo("doctor").succeeds();
    assert!(doctor.text().contains("broken.toml:2: unknown field `wrods`"), "{doctor}");
}

#[test]
fn a_step_of_set_up_that_fails_ends_the_build() {
    let place = Place::new();
    if !busybox(&place) {
        return;
    }
    profile(&place, "mine.toml", &PROFILE.replace("chmod 755", "exit 7; chmod 755"));
    let said = build(&place, "--root-emulation fakeroot", "FROM base\nRUN id\n").fails(1);
    said.mentions("fakeroot profile toy: there is no toyroot, and what should help exited with 7");
}

#[test]
fn each_mode_has_its_own_results() {
    let place = Place::new();
    if !busybox(&place) {
        return;
    }
    let is_hit = |said: &Said| said.errors().lines().any(|line| line.starts_with("[3/3]* RUN"));
    let dockerfile = "FROM base\nCOPY file /f\nRUN chown 33:33 /f && stat -c %u:%g /f > /seen || echo refused > /seen\n";
    for (mode, seen, owner) in [
        ("full", "33:33", "33/33"),
        ("ids", "0:0", "33/33"),
        ("fake", "0:0", "0/0"),
        ("none", "refused", "0/0"),
    ] {
        let options = format!("--root-emulation {mode} -o type=tar,dest=files.tar");
        let first = build(&place, &options, dockerfile).succeeds();
        assert!(!is_hit(&first), "{mode}: {first}");
        assert_eq!(ask(&place, "cat /seen"), seen, "{mode}");
        let of_file = listed(&place, "f");
        assert_eq!(of_file.split(' ').next_back(), Some(owner), "{mode}");
        let second = build(&place, &options, dockerfile).succeeds();
        assert_eq!(second.text(), first.text(), "{mode}");
        assert!(is_hit(&second), "{mode}: {second}");
    }
}

#[test]
fn force_is_understood_as_ch_image_does() {
    let place = Place::new();
    if !busybox(&place) {
        return;
    }
    let dockerfile = "FROM base\nCOPY file /f\nRUN chown 33 /f && stat -c %u /f > /seen || echo refused > /seen\n";
    for (options, seen) in
        [("", "33"), ("--force", "33"), ("--force=seccomp", "0"), ("--force=none", "refused")]
    {
        build(&place, options, dockerfile).succeeds();
        assert_eq!(ask(&place, "cat /seen"), seen, "{options}");
    }
    build(&place, "", dockerfile).env("BRYO_ROOT_EMULATION", "none").succeeds();
    assert_eq!(ask(&place, "cat /seen"), "refused");
    let said = build(&place, "", dockerfile).env("BRYO_ROOT_EMULATION", "some").fails(2);
    said.mentions("BRYO_ROOT_EMULATION").mentions("\"some\"");
}

#[test]
fn arguments_are_inserted_in_mode_fake() {
    let place = Place::new();
    if !busybox(&place) {
        return;
    }
    profile(&place, "mine.toml", PROFILE);
    let dockerfile = "FROM base\nRUN true&&touch /shell; echo touch it > /said\nRUN [\"touch\", \"/exec\"]\nRUN ls / > /seen\n";
    let seen = |options: &str| {
        build(&place, options, dockerfile).succeeds();
        ask(&place, "for p in shell exec inserted a,b c; do grep -x $p /seen; done; cat /said")
            .replace('\n', " ")
    };
    assert_eq!(seen("--force=seccomp"), "shell exec inserted touch it");
    assert_eq!(seen("--force=seccomp --no-force-detect"), "shell exec touch it");
    assert_eq!(
        seen("--force=seccomp --force-cmd=touch,/a\\,b,/c --force-cmd=foo,x"),
        "shell exec a,b c touch it"
    );
    assert_eq!(
        seen("--force-cmd=touch,/c"),
        "shell exec touch it",
        "with full emulation it is not needed"
    );
    assert_eq!(seen("--root-emulation full"), "shell exec touch it");
}

#[test]
fn a_failure_says_which_mode_would_help() {
    let place = Place::new();
    if !busybox(&place) {
        return;
    }
    let dockerfile = "FROM base\nRUN chown 33 /etc/passwd && test $(stat -c %u /etc/passwd) = 33\n";
    for mode in ["none", "fake", "ids"] {
        let said = build(&place, &format!("--root-emulation {mode}"), dockerfile).fails(1);
        said.mentions("hint: --root-emulation full works here");
    }
    build(&place, "", dockerfile).succeeds();
    let said = build(&place, "", "FROM base\nRUN false\n").fails(1);
    assert!(!said.errors().contains("hint"), "{said}");
}

#[test]
fn doctor_knows_modes_and_profiles() {
    let place = Place::new();
    profile(&place, "a.toml", PROFILE);
    profile(&place, "b.toml", &PROFILE.replace("\"toy\"", "\"debian\""));
    profile(&place, "c.txt", "no profile");
    let text = place.bryo("doctor").succeeds().text();
    for line in
        ["  full      works", "  ids       works", "  fake      works", "  alpine   Alpine Linux"]
    {
        assert!(text.contains(line), "{line} is not in:\n{text}");
    }
    let said = place.bryo("doctor --json").succeeds().json();
    let profiles = said["fakeroot_profiles"].as_array().expect("a list").clone();
    let names: Vec<&str> = profiles.iter().filter_map(|row| row["name"].as_str()).collect();
    assert_eq!(
        names,
        ["toy", "debian", "adelie", "alpine", "arch", "fedora", "rhel7", "rhel8", "suse"]
    );
    let file = |at: usize| profiles[at]["file"].as_str().map(|file| file.ends_with(".toml"));
    assert_eq!((file(0), file(1), file(2)), (Some(true), Some(true), None));
    // Where configuration is kept is the user's choice.
    let other = place.folder("other/bryo/fakeroot-profiles");
    place.file(other.join("x.toml"), PROFILE.replace("\"toy\"", "\"other\""));
    let said = place.bryo("doctor").env("XDG_CONFIG_HOME", place.path("other")).succeeds();
    assert!(said.text().contains("  other    A toy ("), "{said}");
    assert!(!said.text().contains("  toy "), "{said}");
}

#[test]
fn files_of_a_user_are_its_own_in_the_layer() {
    let place = Place::new();
    if !busybox(&place) {
        return;
    }
    let dockerfile = "FROM base\nUSER www\nWORKDIR /srv/work\nRUN id -un > who && echo $HOME > home && mkdir d && umask 077 && echo > d/private\n\
        COPY file copied\nCOPY --chown=www file chowned\nCOPY --chown=4:5 file numbers\nUSER 12:34\nWORKDIR other\nUSER 56\nWORKDIR third\n\
        USER root\nRUN cd /srv/work && cat who home > /said && stat -c %u:%g . who other >> /said\n";
    build(&place, "-o type=tar,dest=files.tar", dockerfile).succeeds();
    assert_eq!(ask(&place, "cat /said"), "www\n/var/www\n33:33\n33:33\n12:34");
    for (path, expected) in [
        ("srv/", "drwxr-xr-x 33/33"),
        ("srv/work/", "drwxr-xr-x 33/33"),
        ("srv/work/who", "-rw-r--r-- 33/33"),
        ("srv/work/d/", "drwxr-xr-x 33/33"),
        ("srv/work/d/private", "-rw------- 33/33"),
        ("srv/work/copied", "-rw-r--r-- 0/0"),
        ("srv/work/chowned", "-rw-r--r-- 33/33"),
        ("srv/work/numbers", "-rw-r--r-- 4/5"),
        ("srv/work/other/", "drwxr-xr-x 12/34"),
        ("srv/work/other/third/", "drwxr-xr-x 56/56"),
    ] {
        assert_eq!(listed(&place, path), expected, "{path}");
    }
}

/// A package whose installation makes a group and gives it a directory.
const DEBIAN: &str = "FROM base\nRUN apt-get update && apt-get install -y --no-install-recommends ssl-cert && stat -c %U:%G /etc/ssl/private > /seen\n\
    RUN stat -c %U:%G /etc/ssl/private >> /seen; ! command -v fakeroot || echo fakeroot >> /seen\n";

#[test]
fn packages_of_debian_are_installed_in_every_mode() {
    let place = Place::new();
    let Some(base) = debian() else { return };
    place.bryo("import -q").arg(base).arg("base").succeeds();
    for (mode, seen) in [
        ("full", "root:ssl-cert\nroot:ssl-cert"),
        ("fake", "root:root\nroot:root"),
        ("fakeroot", "root:ssl-cert\nroot:root\nfakeroot"),
    ] {
        build(&place, &format!("--root-emulation {mode}"), DEBIAN).succeeds();
        assert_eq!(ask(&place, "cat /seen"), seen, "{mode}");
    }
    let said = build(&place, "--root-emulation none", DEBIAN).fails(1);
    said.mentions("hint: --root-emulation full works here");
}

/// What happens on systems that allow less.
#[test]
fn the_next_best_is_taken_and_said() {
    let place = Place::new();
    if !busybox(&place) || !has("cc", "gcc") {
        return;
    }
    profile(&place, "mine.toml", PROFILE);
    let source =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/fakeroot/without-seccomp.c");
    place.run("cc").args(["-o", "without"]).arg(source).succeeds();
    let bryo = |missing: &str, line: &str, dockerfile: &str| {
        let context = place.context("context", dockerfile, &[("file", "content\n")]);
        let words = [missing, env!("CARGO_BIN_EXE_bryo")];
        let run = place.run(place.path("work/without")).args(words).args(line.split_whitespace());
        if line.starts_with("build") { run.args(["--progress", "plain"]).arg(context) } else { run }
    };
    let chown = "FROM base\nCOPY file /f\nRUN chown 33 /f && test $(stat -c %u /f) = 33\n";
    let id = "FROM base\nRUN id && touch /x; echo $TOY > /toy; ls / > /seen\n";
    for (missing, mode, of_id, of_touch) in
        [("listeners", "fake", "", "/inserted"), ("filters", "none", "+", "")]
    {
        let doctor = bryo(missing, "doctor", "").succeeds().text();
        assert!(doctor.contains("  full      fails: "), "{doctor}");
        let fake = if mode == "fake" { "works" } else { "fails: " };
        assert!(doctor.contains(&format!("  fake      {fake}")), "{doctor}");

        let said = bryo(missing, "build -t app", id).succeeds();
        let told = format!("root emulation: {mode}; full does not work here: ");
        assert_eq!(count(&said, &told), 1, "{said}");
        assert_eq!(count(&said, "fakeroot profile toy, for id"), of_id.len(), "{said}");
        assert_eq!(ask(&place, "cat /toy"), of_id, "{missing}");
        let seen = ask(&place, "grep inserted /seen | sed s,^,/,");
        assert_eq!(seen, of_touch, "{missing}");

        let said = bryo(missing, "build --no-cache", chown).fails(1);
        said.mentions("hint: --root-emulation full does not work here: ");
        bryo(missing, "build --no-cache --root-emulation full", chown)
            .fails(8)
            .mentions("root emulation \"full\" does not work here: ");
        bryo(missing, "build --no-cache", "FROM base\nUSER www\nRUN true\n")
            .fails(8)
            .mentions("user \"www\" is 33:33")
            .mentions("other users need it");
    }
    bryo("filters", "build --root-emulation fake", chown).fails(8).mentions("\"fake\" does not");
}
