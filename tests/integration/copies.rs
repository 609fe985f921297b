//! What COPY, ADD and WORKDIR leave in a layer: kinds, modes, owners, times, links.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use crate::sources::built;
use crate::support::{Place, has};

/// The moment that all files of [`context`] are of, as it is listed.
const THEN: &str = "2001-09-09 01:46:40";

/// A context in which a shell script has made all files; these are of the same moment.
fn context(place: &Place, script: &str) -> PathBuf {
    let context = place.folder("context");
    let script = format!("umask 022; {script}\nfind . -exec touch -h -d @1000000000 {{}} +");
    place.run("sh").arg("-ec").arg(script).in_folder(&context).succeeds();
    context
}

/// Builds each Dockerfile in turn, and compares what is listed: `=` stands for the moment of the
/// context's files.
#[track_caller]
fn compare(place: &Place, context: &Path, rows: &[(&str, &[&str])]) {
    for (dockerfile, expected) in rows {
        let (_, lines) = built(place, dockerfile, context);
        let lines: Vec<String> = lines.iter().map(|line| line.replace(THEN, "=")).collect();
        assert_eq!(lines, *expected, "{dockerfile}");
    }
}

#[test]
fn all_kinds_of_files_are_copied() {
    let place = Place::new();
    let context = context(
        &place,
        "mkdir -p d/s; echo 1 > d/f; chmod 4750 d/f; ln d/f d/s/hard; ln -s ../gone d/soft; mkfifo d/p
         chmod 1777 d; chmod 2700 d/s",
    );
    let socket = UnixListener::bind(context.join("d/socket")).expect("a socket");
    let touch = ["-d", "@1000000000", "d/socket", "d"];
    place.run_as(None, "touch").args(touch).in_folder(&context).succeeds();
    let tree = [
        "drwxr-xr-x 0/0 0 t/",
        "-rwsr-x--- 0/0 2 = t/f",
        "prw-r--r-- 0/0 = t/p",
        "drwx--S--- 0/0 = t/s/",
        "hrwsr-x--- 0/0 = t/s/hard link to t/f",
        "-rwxr-xr-x 0/0 0 = t/socket",
        "lrwxrwxrwx 0/0 = t/soft -> ../gone",
    ];
    compare(
        &place,
        &context,
        &[
            ("FROM scratch\nCOPY d /t\n", &tree),
            ("FROM scratch\nADD d/. t/\n", &tree),
            ("FROM scratch AS one\nCOPY d /t\nFROM scratch\nCOPY --from=one / /\n", &tree),
            (
                "FROM scratch\nCOPY d/socket d/p /\n",
                &["prw-r--r-- 0/0 = p", "-rwxr-xr-x 0/0 0 = socket"],
            ),
            // Each source is copied for itself.
            (
                "FROM scratch\nCOPY d/f d/s/hard /\n",
                &["-rwsr-x--- 0/0 2 = f", "-rwsr-x--- 0/0 2 = hard"],
            ),
        ],
    );
    drop(socket);
}

#[test]
fn destinations_of_several_sources() {
    let place = Place::new();
    let context = context(&place, "mkdir d e; echo > f; echo > g; echo > d/x; echo > e/y");
    let both = ["drwxr-xr-x 0/0 0 t/", "-rw-r--r-- 0/0 1 = t/f", "-rw-r--r-- 0/0 1 = t/x"];
    compare(
        &place,
        &context,
        &[
            // What the first one makes a directory is one for the next.
            ("FROM scratch\nCOPY d f /t\n", &both),
            ("FROM scratch\nCOPY f d /t/\n", &both),
            ("FROM scratch\nWORKDIR /t\nCOPY d f ./\n", &both),
            ("FROM scratch\nCOPY d /t\nCOPY f none* /t\n", &both),
        ],
    );
    for words in ["f d /t", "f g /t", "f none* /t"] {
        place.file(context.join("Dockerfile"), format!("FROM scratch\nCOPY {words}\n"));
        place.bryo("build").arg(&context).fails(2).mentions("must be a directory and end with /");
    }
}

#[test]
fn archives_keep_their_modes() {
    let place = Place::new();
    let context = context(&place, "mkdir -m 700 d; echo 1 > d/f; tar -cf a.tar d; rm -r d");
    let listed = ["drwxr-xr-x 7/8 0 t/", "drwx------ 7/8 = t/d/", "-rw-r--r-- 7/8 2 = t/d/f"];
    // The first touch came too late for them.
    let script =
        "mkdir -m 700 d; echo 1 > d/f; touch -d @1000000000 d/f d; tar -cf a.tar d; rm -r d";
    place.run("sh").arg("-ec").arg(format!("umask 022; {script}")).in_folder(&context).succeeds();
    compare(&place, &context, &[("FROM scratch\nADD --chown=7:8 --chmod=600 a.tar /t\n", &listed)]);
}

#[test]
fn parents_from_a_pivot_behind_wildcards() {
    let place = Place::new();
    let context = context(
        &place,
        "mkdir -p a/b/c/d/e a/b/c2/d/e a/b2/c/d/e; echo > a/b/c/d/f; echo > a/b/c2/d/e/baz
         echo > a/b2/c/d/e/bar; echo > a/bfile",
    );
    symlink("b", context.join("a/blink")).expect("a link");
    let name = |line: &String| line.rsplit(' ').next().unwrap_or_default().to_owned();
    for (words, expected) in [
        ("/a/b*/./c/**/e /t/", "t/ t/c/ t/c/d/ t/c/d/e/ t/c/d/e/bar"),
        (
            "/a/b/c*/./d/**/baz /a/b2*/./c/**/bar /t/",
            "t/ t/c/ t/c/d/ t/c/d/e/ t/c/d/e/bar t/d/ t/d/e/ t/d/e/baz",
        ),
        ("/a/./b/./c/d/f /t/", "t/ t/b/ t/b/c/ t/b/c/d/ t/b/c/d/f"),
        ("/none*/./x /t/", ""),
        ("/a/*/./none /t/", "t/"),
    ] {
        let (_, lines) =
            built(&place, &format!("FROM scratch\nCOPY --parents {words}\n"), &context);
        let names: Vec<String> = lines.iter().map(name).collect();
        assert_eq!(names.join(" "), expected, "{words}");
    }
}

#[test]
fn what_may_not_be_read_is_named() {
    let place = Place::new();
    let context = context(&place, "mkdir -p d/dir; echo > d/secret; ln -s loop loop");
    let mode = |path: &str, mode: u32| {
        fs::set_permissions(context.join(path), fs::Permissions::from_mode(mode)).expect("chmod");
    };
    mode("d/secret", 0);
    mode("d/dir", 0);
    for (line, said) in [
        ("COPY d/secret /", "d/secret cannot be read"),
        ("ADD d/secret /", "d/secret cannot be read"),
        ("COPY d/dir /", "d/dir cannot be read"),
        ("COPY d /", "cannot be read"),
        ("COPY loop /", "loop cannot be read"),
    ] {
        place.file(context.join("Dockerfile"), format!("FROM scratch\n{line}\n"));
        place.bryo("build").arg(&context).fails(1).mentions(said);
    }
    // What is ignored need not be readable.
    place.file(context.join(".dockerignore"), "d\n!d/f*\nloop\n");
    place.file(context.join("d/f"), "");
    let (_, lines) = built(&place, "FROM scratch\nCOPY d /\n", &context);
    assert!(lines.len() == 1 && lines[0].ends_with(" f"), "{lines:?}");
    mode("d/dir", 0o700);
}

/// A build that is watched: which files and directories below `context` it has read, and by which
/// call, with their paths from there.
fn watched(place: &Place, context: &Path, words: &str) -> Vec<String> {
    let trace = place.path("work/trace");
    let calls = "trace=read,getdents64";
    place
        .run("strace")
        .args(["-f", "-y", "-qq", "-e", calls, "-o"])
        .arg(&trace)
        .arg(env!("CARGO_BIN_EXE_bryo"))
        .args(words.split_whitespace())
        .arg(context)
        .succeeds();
    let below = format!("<{}/", context.display());
    let trace = fs::read_to_string(&trace).expect("a trace");
    let read = trace.lines().filter_map(|line| {
        let (call, rest) = line.split_once(&below)?;
        let call = call.rsplit_once('(')?.0.rsplit(' ').next()?;
        Some(format!("{call} {}", rest.split_once('>')?.0))
    });
    read.collect()
}

#[test]
fn a_file_is_read_once_for_many_steps_and_builds() {
    let place = Place::new();
    if !has("strace", "strace") {
        return;
    }
    // Files that were not made just now, for younger ones are not trusted.
    let context = Path::new(env!("CARGO_MANIFEST_DIR")).join("man");
    let dockerfile = "FROM scratch\nCOPY . /one/\nCOPY . /two/\nCOPY bryo.1 /three/\n";
    let file = place.file("work/Dockerfile", dockerfile);
    let words = format!("build --no-cache -f {}", file.display());
    let names = fs::read_dir(&context).expect("pages").map(|entry| entry.expect("a page"));
    let mut expected: Vec<String> =
        names.map(|entry| format!("read {}", entry.file_name().display())).collect();
    expected.sort_unstable();
    let mut read = watched(&place, &context, &words);
    read.sort_unstable();
    assert_eq!(read, expected);
    assert_eq!(watched(&place, &context, &words), Vec::<String>::new());
}

#[test]
fn ignored_directories_are_not_read() {
    let place = Place::new();
    if !has("strace", "strace") {
        return;
    }
    let context = place.folder("context");
    let script = "mkdir -p src/deep node_modules/a/b kept/a/b kept/c some/in/x some/out/x
        for d in src/deep node_modules/a/b kept/a/b kept/c some/in/x some/out/x; do echo > $d/f; done";
    place.run("sh").arg("-ec").arg(script).in_folder(&context).succeeds();
    let ignore = "node_modules\nkept\n!kept/a/*/f\n**/x\n!some/in/x\n*file\n.*\n";
    place.file(context.join(".dockerignore"), ignore);
    for (words, expected) in [
        (". /", "kept kept/a kept/a/b some some/in some/in/x some/out src src/deep"),
        ("src/deep src/*/f /", "src src/deep"),
        ("*/f* */*/f /", "kept kept/a some some/in some/out src src/deep"),
        ("--parents src/./**/deep /", "src src/deep"),
        ("--parents src /", "src src/deep"),
        ("--exclude=deep src /", "src"),
    ] {
        place.file(context.join("Dockerfile"), format!("FROM scratch\nCOPY {words}\n"));
        let read = watched(&place, &context, "build");
        let folders = read.iter().filter_map(|line| line.strip_prefix("getdents64 "));
        let mut folders: Vec<&str> = folders.collect();
        folders.sort_unstable();
        folders.dedup();
        assert_eq!(folders.join(" "), expected, "{words}");
    }
}

#[test]
fn keys_are_of_what_is_copied() {
    let place = Place::new();
    let context = place.folder("context");
    let first = "FROM scratch AS one\nCOPY d /d\nFROM scratch\nCOPY --from=one /d/ /e\n";
    let reset = "rm -rf d; mkdir -p d/s; echo 1 > d/f; echo 2 > d/s/g; ln -s f d/l; echo x > other
        chmod 755 d d/s; chmod 644 d/f d/s/g; printf '%s\n' Dockerfile .dockerignore > .dockerignore";
    let script = |script: &str| {
        place.run("sh").arg("-ec").arg(script).in_folder(&context).succeeds();
    };
    script(reset);
    place.file(context.join("Dockerfile"), first);
    place.bryo("build -t app").arg(&context).succeeds();
    let renamed = first.replace("one", "two").replace("COPY d", "LABEL a=b\nENV c=d\nCOPY d");
    let more = first.replace("COPY d /d\n", "COPY d /d\nCOPY other /other\n");
    let (hit, miss) = ("cached", "done");
    for (change, dockerfile, copy, from) in [
        ("true", first, hit, hit),
        ("touch d d/f d/s/g", first, hit, hit),
        ("echo 1 > new; mv new d/f; chmod 644 d/f", first, hit, hit),
        ("chmod 700 d", first, hit, hit),
        ("echo y > other; echo d/ignored >> .dockerignore; echo > d/ignored", first, hit, hit),
        ("true", &renamed, hit, hit),
        ("true", &more, hit, hit),
        ("chmod 600 d/f", first, miss, miss),
        ("chmod 700 d/s", first, miss, miss),
        ("echo 3 > d/f", first, miss, miss),
        ("mv d/f d/h", first, miss, miss),
        ("ln -sf s d/l", first, miss, miss),
        ("rm d/s/g; ln d/f d/s/g", first, miss, miss),
        ("rm d/s/g; ln -s ../f d/s/g", first, miss, miss),
        ("mkdir d/empty", first, miss, miss),
    ] {
        script(&format!("{reset}\n{change}"));
        place.file(context.join("Dockerfile"), dockerfile);
        let said = place.bryo("build -t app").arg(&context).succeeds();
        for (step, expected) in [("COPY d /d", copy), ("/d/ /e", from)] {
            let told =
                said.errors().lines().any(|line| line.contains(&format!("{step}: {expected}")));
            assert!(told, "{change}: {step} is not {expected}: {said}");
        }
    }
}
