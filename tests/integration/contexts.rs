//! Where a build context and a Dockerfile come from: stdin, URLs, repositories, other directories.

use std::fs;
use std::path::Path;

use crate::support::{Place, Run, Said, Web, busybox, has, repository};

/// The names in the layers of an image on nothing, one after the other.
#[track_caller]
fn names(place: &Place, build: Run) -> String {
    build.succeeds();
    let listed = place.run("tar").args(["--numeric-owner", "-tvf", "out.tar"]).succeeds().text();
    let line = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        assert_eq!(words[1], "0/0", "{line}");
        words[5].trim_start_matches("./").to_owned()
    };
    let mut names: Vec<String> = listed.lines().map(line).filter(|name| !name.is_empty()).collect();
    names.sort();
    names.join(" ")
}

/// `bryo build`, whose result goes to `out.tar`.
fn build(place: &Place) -> Run {
    place.bryo("build -q -t app -o type=tar,dest=out.tar")
}

/// The content of a file of the last image.
#[track_caller]
fn content(place: &Place, name: &str) -> String {
    place.run("tar").args(["-xOf", "out.tar", name]).succeeds().text()
}

/// An archive of a context, made by the given words of tar.
#[track_caller]
fn archive(place: &Place, folder: &Path, words: &[&str]) -> Vec<u8> {
    let tar = place.run("tar").args(["--owner=5", "--group=6", "-c"]).args(words);
    tar.arg("-C").arg(folder).arg(".").succeeds().bytes().to_vec()
}

#[test]
fn an_archive_on_stdin_is_a_context() {
    if !has("bzip2", "bzip2") || !has("xz", "xz-utils") || !has("zstd", "zstd") {
        return;
    }
    let place = Place::new();
    let dockerfile = "FROM scratch\nCOPY . /\n";
    let files = [
        (".dockerignore", "*.log\nDockerfile\n.dockerignore\n"),
        ("a.log", ""),
        ("d/f", "deep\n"),
        ("d/Other", "FROM scratch\nCOPY d /\n"),
        ("d/Other.dockerignore", "d/Other*\n"),
    ];
    let context = place.context("context", dockerfile, &files);
    place.run("chmod").arg("750").arg(context.join("d/f")).succeeds();
    for method in ["--format=gnu", "--format=pax", "--gzip", "--bzip2", "--xz", "--zstd"] {
        let tar = archive(&place, &context, &[method]);
        let all = names(&place, build(&place).arg("-").input(tar.clone()));
        assert_eq!(all, "d/ d/Other d/Other.dockerignore d/f", "{method}");
        assert_eq!(content(&place, "d/f"), "deep");
        // In it, a Dockerfile has a path, and an ignore file of its own.
        for name in ["d/Other", "/d/Other", "./d/../d/Other"] {
            let some = names(&place, build(&place).args(["-f", name, "-"]).input(tar.clone()));
            assert_eq!(some, "f", "{method} {name}");
        }
    }
    let listed = place.run("tar").args(["-tvf", "out.tar", "f"]).succeeds().text();
    assert!(listed.starts_with("-rwxr-x---"), "{listed}");
    // What is in it is the key, however it came.
    let build = |word: &str| place.bryo("build --progress plain").arg(word);
    let first = build(context.to_str().expect("UTF-8")).succeeds();
    let again = build("-").input(archive(&place, &context, &["--gzip"])).succeeds();
    assert_eq!(first.text(), again.text());
    assert!(again.errors().contains("COPY . /: cached"), "{again}");
    let tar = archive(&place, &context, &["--exclude=./Dockerfile"]);
    build("-").input(tar).fails(3).mentions("there is no Dockerfile in stdin");
    let tar = archive(&place, &context, &[]);
    place.bryo("build -f none -").input(tar).fails(3).mentions("there is no none in stdin");
    let tar = archive(&place, &context, &["--gzip"]);
    build("-").input(&tar[..tar.len() / 2]).fails(5).mentions("unpacking stdin");
    build("-").input([0xff, 0xfe, 0xfd]).fails(2).mentions("line 1 is not UTF-8");
    build("-").fails(2).mentions("the Dockerfile cannot be empty");
}

#[test]
fn nothing_in_an_archive_leads_out_of_it() {
    let place = Place::new();
    let outside = place.file("outside/secret", "outside\n");
    let context = place.context("context", "FROM scratch\nCOPY . /\n", &[]);
    let up = "../".repeat(20);
    let target = outside.display();
    let script = format!(
        "ln -s {up}{target} link; ln -s {dir} way; ln -s /etc/passwd absolute; mkfifo pipe
         echo made > made; mkdir in; ln -s ../../../../../.. in/up",
        dir = place.path("outside").display(),
    );
    place.run("sh").arg("-ec").arg(script).in_folder(&context).succeeds();
    // Names that lead up, and names through a link that leads away.
    let words =
        ["-P", "--transform=s,^./made$,../../../../evil,", "--transform=s,^./in/up$,way/evil,"];
    let tar = place.run("tar").args(["-c", "--sort=name"]).args(words);
    let order = ["./Dockerfile", "./absolute", "./link", "./pipe", "./way", "./made", "./in/up"];
    let tar = tar.arg("-C").arg(&context).args(order).succeeds().bytes().to_vec();
    let all = names(&place, build(&place).arg("-").input(tar.clone()));
    assert_eq!(fs::read_dir(place.path("outside")).expect("a directory").count(), 1);
    assert!(all.contains("evil") && all.contains("way"), "{all}");
    for (line, code, said) in [
        ("COPY link /x", 3, "\"/link\": not found"),
        ("COPY absolute /x", 3, "\"/absolute\": not found"),
        ("COPY way/secret /x", 3, "\"/way/secret\": not found"),
    ] {
        fs::write(context.join("Dockerfile"), format!("FROM scratch\n{line}\n")).expect("a file");
        let tar = archive(&place, &context, &[]);
        place.bryo("build -").input(tar).fails(code).mentions(said);
    }
    for (name, code, said) in [
        ("link", 3, "there is no link"),
        ("absolute", 3, "there is no absolute"),
        ("pipe", 3, "is no file"),
        ("in", 3, "is no file"),
        ("../../outside/secret", 3, "there is no"),
    ] {
        let tar = archive(&place, &context, &[]);
        place.bryo("build -f").args([name, "-"]).input(tar).fails(code).mentions(said);
    }
    // Patterns, too, come from inside alone.
    let script = format!("ln -s {target} .dockerignore");
    place.run("sh").arg("-ec").arg(script).in_folder(&context).succeeds();
    fs::write(place.path("outside/secret"), "Dockerfile\n").expect("a file");
    fs::write(context.join("Dockerfile"), "FROM scratch\nCOPY Dockerfile /\n").expect("a file");
    let tar = archive(&place, &context, &[]);
    assert_eq!(names(&place, build(&place).arg("-").input(tar)), "Dockerfile");
}

#[test]
fn a_repository_is_a_context() {
    let place = Place::new();
    let Some((folder, daemon)) = repository(&place) else { return };
    let all = ".dockerignore Dockerfile docker/ docker/Dockerfile docker/f f";
    let part = "Dockerfile f";
    for (rest, file, expected) in [
        ("app", None, all),
        ("app#main", None, all),
        ("app?branch=main", None, all),
        ("app#:docker", None, part),
        ("app#main:docker", None, part),
        ("app?ref=main&subdir=docker", None, part),
        ("app", Some("docker/Dockerfile"), all),
    ] {
        let file = file.map(|file| ["-f", file]);
        let build = build(&place).args(file.into_iter().flatten()).arg(daemon.url(rest));
        assert_eq!(names(&place, build), expected, "{rest} {file:?}");
        assert_eq!(content(&place, "f"), if expected == part { "two" } else { "one" });
    }
    let listed = place.run("tar").args(["--full-time", "--utc", "-tvf", "out.tar", "f"]).succeeds();
    assert!(listed.text().contains("2001-09-09 01:46:40"), "{listed}");
    // Over http, and with a Dockerfile from somewhere else.
    let web = Web::start(move |path, _| {
        let path = path.split('?').next().unwrap_or_default();
        match fs::read(folder.with_file_name(path.trim_start_matches('/'))) {
            Ok(bytes) => (200, "", bytes),
            Err(_) => (404, "", vec![]),
        }
    });
    let url = web.url("/app.git").replace("http://", "http://ann:s3cret@");
    let context = format!("{url}#main");
    assert_eq!(names(&place, build(&place).arg(&context)), all);
    let stdin = "FROM scratch\nCOPY docker /\n";
    let names_of =
        |words: [&str; 2]| names(&place, build(&place).args(words).arg(&context).input(stdin));
    assert_eq!(names_of(["-f", "-"]), part);
    let absolute = place.file("outside/Dockerfile", "FROM scratch\nCOPY f /g\n");
    assert_eq!(names_of(["-f", absolute.to_str().expect("UTF-8")]), "g");
    // A repository's own directory comes along when told to.
    let keep = build(&place).args(["--build-arg", "BUILDKIT_CONTEXT_KEEP_GIT_DIR=1"]);
    assert!(names(&place, keep.arg(daemon.url("app"))).contains(" .git/ .git/HEAD "));
    for (rest, code, said) in [
        ("app#none", 3, "no branch and no tag \"none\""),
        ("app#main:none", 3, "no directory \"none\""),
        ("app?x=1", 2, "unexpected query \"x\""),
        ("sub", 3, "failed to read dockerfile: there is no Dockerfile in git://127.0.0.1"),
        ("none", 6, "git ls-remote"),
    ] {
        place.bryo("build").arg(daemon.url(rest)).fails(code).mentions(said);
    }
    let nowhere = place.bryo("build http://ann:s3cret@127.0.0.1:1/x.git").fails(6);
    let verbose = place.bryo("build --verbose --progress plain -t app").arg(&context).succeeds();
    let history = place.bryo("history --no-trunc app").succeeds();
    for said in [nowhere, verbose, history] {
        assert!(!format!("{said}").replace(&said_line(&said), "").contains("s3cret"), "{said}");
    }
    let found = place.run("grep").args(["-rqa", "s3cret"]).arg(place.storage()).output();
    assert_eq!(found.code(), 1, "{found}");
}

/// What was typed, which [`Said`] repeats.
fn said_line(said: &Said) -> String {
    format!("{said}").lines().next().unwrap_or_default().to_owned()
}

#[test]
fn a_url_is_a_context_or_a_dockerfile() {
    let place = Place::new();
    let files = [("f", "one\n"), ("other", "FROM scratch\nCOPY f /g\n")];
    let context = place.context("context", "FROM scratch\nCOPY f /\n", &files);
    let (plain, packed) = (archive(&place, &context, &[]), archive(&place, &context, &["--gzip"]));
    let web = Web::start(move |path, before| match path {
        "/c.tar" => (200, "", plain.clone()),
        "/moved" => (302, "Location: /c.tgz\r\n", vec![]),
        "/c.tgz" | "/what?token=s3cret" => (200, "", packed.clone()),
        "/busy" if before == 0 => (503, "Retry-After: 0\r\n", vec![]),
        "/busy" => (200, "", packed.clone()),
        "/Dockerfile" => (200, "", b"FROM scratch\nCOPY <<E /text\nhere\nE\n".to_vec()),
        "/needs" => (200, "", b"FROM scratch\nCOPY f /\n".to_vec()),
        "/broken" => (200, "", packed[..packed.len() / 2].to_vec()),
        "/denied" => (401, "", vec![]),
        _ => (404, "", vec![]),
    });
    for path in ["/c.tar", "/c.tgz", "/moved", "/what?token=s3cret", "/busy"] {
        assert_eq!(names(&place, build(&place).arg(web.url(path))), "f", "{path}");
    }
    let other = build(&place).args(["-f", "other"]).arg(web.url("/c.tar"));
    assert_eq!(names(&place, other), "g");
    assert_eq!(names(&place, build(&place).arg(web.url("/Dockerfile"))), "text");
    // A Dockerfile alone may come from there, too.
    let remote = |context: &Path| build(&place).arg("-f").arg(web.url("/needs")).arg(context);
    assert_eq!(names(&place, remote(&context)), "f");
    for (path, code, said) in [
        ("/none", 3, "status 404"),
        ("/denied", 4, "status 401"),
        ("/broken", 5, "unpacking http://127.0.0.1"),
        ("/needs", 3, "\"/f\": not found"),
    ] {
        place.bryo("build").arg(web.url(path)).fails(code).mentions(said);
    }
    let said = place.bryo("build").arg(web.url("/needs")).fails(3);
    assert!(said.errors().contains("there is no build context"), "{said}");
    place.bryo("build --progress plain http://ann:s3cret@127.0.0.1:1/x.tar?s3cret").fails(6);
    let url = web.url("/what?token=s3cret");
    let said = place.bryo("build --verbose --progress plain").arg(&url).succeeds();
    assert!(!said.errors().contains("s3cret"), "{said}");
    let found = place.run("grep").args(["-rqa", "s3cret"]).arg(place.storage()).output();
    assert_eq!(found.code(), 1, "{found}");
}

#[test]
fn what_cannot_be_a_context_is_explained() {
    let place = Place::new();
    let context = place.context("work/c", "FROM scratch\n", &[("sub/Other", "FROM scratch\n")]);
    place.file("work/c.tar", "");
    for (line, input, code, said) in [
        ("build none", "", 3, "unable to prepare context: path \"none\" not found"),
        ("build c.tar", "", 3, "path \"c.tar\" is not a directory"),
        ("build c.tar", "", 3, "bryo build - < c.tar"),
        ("build -f none c", "", 3, "failed to read dockerfile: none"),
        ("build -f sub/Other c", "", 3, "did you mean c/sub/Other?"),
        ("build c/sub", "", 3, "failed to read dockerfile: c/sub/Dockerfile"),
        ("build -f - -", "", 2, "stdin cannot be both"),
        ("build -f c/Dockerfile -", "FROM scratch\n", 2, "ambiguous Dockerfile source"),
        ("build --build-context x=none c", "", 3, "named context \"x\": path \"none\""),
        ("build --build-context x=target:y c", "", 2, "bake file"),
        ("build --build-context x=ftp://h/y c", "", 2, "ftp:// is not known"),
        ("build ftp://h/y", "", 3, "path \"ftp://h/y\" not found"),
    ] {
        place.bryo(line).input(input).fails(code).mentions(said);
    }
    place.bryo("build -q -f c/sub/Other c").succeeds();
    // Without a context there is none, as in the reference: nothing, and not an error.
    let text = "FROM scratch\nCOPY . /\nCOPY a* /\n";
    assert_eq!(names(&place, build(&place).arg("-").input(text)), "");
    let said = place.bryo("build -").input("FROM scratch\nCOPY f /\n").fails(3);
    assert!(said.errors().contains("\"/f\": not found"), "{said}");
    assert!(said.errors().contains("there is no build context"), "{said}");
    drop(context);
}

#[test]
fn named_contexts_from_elsewhere() {
    let place = Place::new();
    let Some((_, daemon)) = repository(&place) else { return };
    if !busybox(&place) {
        return;
    }
    let context = place.context("context", "", &[]);
    let files = [("g", "packed\n"), (".dockerignore", "Dockerfile\nno\n"), ("no", "")];
    let packed = place.context("packed", "", &files);
    let tar = archive(&place, &packed, &["--gzip"]);
    let web = Web::start(move |path, _| match path {
        "/x.tgz" => (200, "", tar.clone()),
        _ => (404, "", vec![]),
    });
    place.bryo("save --format oci-dir -o layout base").succeeds();
    let index = fs::read_to_string(place.path("work/layout/index.json")).expect("an index");
    let at = index.find("sha256:").expect("a digest");
    let digest = &index[at..at + 71];
    let git = format!("git={}", daemon.url("app#:docker"));
    for (option, dockerfile, expected) in [
        (git.as_str(), "FROM scratch\nCOPY --from=git f /\n", "f"),
        (&git, "FROM git\n", "Dockerfile f"),
        (
            &format!("web={}", web.url("/x.tgz")),
            "FROM scratch\nCOPY --from=web . /\n",
            ".dockerignore g",
        ),
        ("dir=../packed", "FROM dir AS a\nFROM scratch\nCOPY --from=a / /\n", ".dockerignore g"),
        (
            &format!("oci=oci-layout://layout@{digest}"),
            "FROM scratch\nCOPY --from=oci /etc/group /\n",
            "group",
        ),
        ("oci=oci-layout://layout", "FROM scratch\nCOPY --from=oci /etc/group /\n", "group"),
    ] {
        place.file(context.join("Dockerfile"), dockerfile);
        let build = build(&place).arg("--build-context").arg(option).arg(&context);
        assert_eq!(names(&place, build), expected, "{option} {dockerfile}");
    }
    // A step sees them, and a second build finds what the first one made.
    let dockerfile = "FROM base\nRUN --mount=from=git,target=/m cat /m/f > /seen\n";
    place.file(context.join("Dockerfile"), dockerfile);
    let build = || {
        let build = place.bryo("build --progress plain -t app --build-context").arg(&git);
        build.arg(&context).succeeds()
    };
    let (first, second) = (build(), build());
    assert_eq!(place.bryo("run app cat /seen").succeeds().text(), "two");
    assert!(first.text() == second.text() && second.errors().contains("cached"), "{second}");
    place.file(context.join("Dockerfile"), "FROM dir\nRUN true\n");
    let from = place.bryo("build --build-context").arg("dir=../work/root").arg(&context);
    let (said, again) = (from.succeeds(), place.bryo("build --progress plain --build-context"));
    let again = again.arg("dir=../work/root").arg(&context).succeeds();
    assert_eq!(said.text(), again.text());
    place.file(context.join("Dockerfile"), "FROM scratch\nCOPY --from=web g /\n");
    let none = format!("web={}", web.url("/none"));
    place.bryo("build --build-context").arg(none).arg(&context).fails(3).mentions("status 404");
}

/// What is no image is a stage's name, misspelt.
#[test]
fn stages_whose_names_are_misspelt_are_guessed() {
    let place = Place::new();
    let meant = "did you mean the stage builder?";
    for (text, hint) in [
        ("FROM scratch AS builder\nFROM biulder\n", meant),
        ("FROM scratch AS builder\nFROM scratch\nCOPY --from=biulder / /\n", meant),
        ("FROM scratch AS builder\nFROM scratch\nRUN --mount=from=bulder,target=/m true\n", meant),
        (
            "FROM later AS a\nFROM scratch AS later\nFROM a\n",
            "the stage later has to be defined before",
        ),
        ("FROM scratch AS one\nFROM One\n", "the stage is called one"),
    ] {
        let context = place.context("context", text, &[]);
        // Whatever the registry would say: nobody is there.
        let run = place.bryo("build").arg(&context).env("https_proxy", "http://127.0.0.1:1");
        run.exits_with_any(&[2, 6]).mentions(hint);
    }
}
