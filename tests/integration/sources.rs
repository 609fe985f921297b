//! What COPY and ADD take from where: archives, URLs, git repositories, directories with parents.

use std::path::Path;

use crate::support::{Place, Registry, Said, Web, has, repository};

/// Builds `dockerfile` on nothing at all, and gives the lines of `tar -tv` of what comes of it:
/// mode, owner, time as seconds, name.
#[track_caller]
pub(crate) fn built(place: &Place, dockerfile: &str, context: &Path) -> (Said, Vec<String>) {
    place.file(context.join("Dockerfile"), dockerfile);
    let tar = place.path("work/out.tar");
    let output = format!("type=tar,dest={}", tar.display());
    let said = place.bryo("build -t app -o").arg(output).arg(context).succeeds();
    let list = ["--utc", "--full-time", "--numeric-owner", "-tvf"];
    let listed = place.run("tar").args(list).arg(&tar).succeeds().text();
    let line = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let size = if words[0].starts_with('-') { words[2] } else { "" };
        let row = [words[0], words[1], size, words[3], words[4], &words[5..].join(" ")].join(" ");
        row.replace("1970-01-01 00:00:00", "0").replace("  ", " ")
    };
    // The root is there, too.
    (said, listed.lines().map(line).filter(|line| !line.ends_with(" ./")).collect())
}

/// The content of a file of the last image.
#[track_caller]
fn content(place: &Place, name: &str) -> String {
    place.run("tar").args(["-xOf", "out.tar", name]).succeeds().text()
}

#[test]
fn add_unpacks_archives_however_they_are_compressed() {
    if !has("bzip2", "bzip2") || !has("xz", "xz-utils") || !has("zstd", "zstd") {
        return;
    }
    let place = Place::new();
    let context = place.folder("context");
    let script = "mkdir d; echo in > d/f; chmod 750 d/f; touch -d @1000000000 d/f d
        for c in gzip bzip2 xz zstd; do tar --owner=5 --group=6 --$c -cf a.$c d; done
        tar --owner=5 --group=6 -cf a.plain d; rm -r d; echo no archive > a.text; : > a.empty";
    place.run("sh").arg("-ec").arg(script).in_folder(&context).succeeds();
    for name in ["gzip", "bzip2", "xz", "zstd", "plain"] {
        let (_, lines) = built(&place, &format!("FROM scratch\nADD a.{name} /u\n"), &context);
        let expected = [
            "drwxr-xr-x 0/0 0 u/",
            "drwxr-xr-x 5/6 2001-09-09 01:46:40 u/d/",
            "-rwxr-x--- 5/6 3 2001-09-09 01:46:40 u/d/f",
        ];
        assert_eq!(lines, expected, "{name}");
        assert_eq!(content(&place, "u/d/f"), "in");
    }
    let dockerfile = "FROM scratch\nADD --unpack=false a.gzip a.text a.empty /u/\n\
                      ADD --chown=7:8 a.plain /o\nADD --unpack=true a.text /t\n";
    let (_, lines) = built(&place, dockerfile, &context);
    let names: Vec<&str> = lines.iter().filter_map(|line| line.split(' ').next_back()).collect();
    let expected = ["o/", "o/d/", "o/d/f", "t", "u/", "u/a.empty", "u/a.gzip", "u/a.text"];
    let mut sorted = names.clone();
    sorted.sort_unstable();
    assert_eq!(sorted, expected);
    assert!(lines.iter().any(|line| line.starts_with("-rwxr-x--- 7/8")), "{lines:?}");
}

#[test]
fn add_fetches_urls() {
    let place = Place::new();
    let context = place.folder("context");
    let date = "Last-Modified: Sun, 09 Sep 2001 01:46:40 GMT\r\n";
    let web = Web::start(move |path, before| match path {
        "/file" | "/dir/" => (200, date, b"content".to_vec()),
        "/old%20file?x=1" => (200, "", b"content".to_vec()),
        "/moved" => (302, "Location: /file\r\n", vec![]),
        "/" => (200, "", b"index".to_vec()),
        "/busy" if before == 0 => (503, "Retry-After: 0\r\n", vec![]),
        "/cut" if before == 0 => (200, "Content-Length: 100\r\n", b"con".to_vec()),
        "/busy" | "/cut" => (200, date, b"content".to_vec()),
        "/denied" => (403, "", vec![]),
        _ => (404, "", vec![]),
    });
    let when = "2001-09-09 01:46:40";
    for (flags, path, to, expected) in [
        ("", "/file", "/", format!("-rw------- 0/0 7 {when} file")),
        ("", "/file", "/name", format!("-rw------- 0/0 7 {when} name")),
        ("--chmod=755 --chown=3:4 ", "/file", "/", format!("-rwxr-xr-x 3/4 7 {when} file")),
        ("--chmod=u=rx ", "/file", "/", format!("-r-x------ 0/0 7 {when} file")),
        ("", "/moved", "/", format!("-rw------- 0/0 7 {when} moved")),
        ("", "/dir/", "/", format!("-rw------- 0/0 7 {when} dir")),
        ("", "/", "/", "-rw------- 0/0 5 0 __unnamed__".to_owned()),
        ("", "/busy", "/", format!("-rw------- 0/0 7 {when} busy")),
        ("", "/cut", "/", format!("-rw------- 0/0 7 {when} cut")),
    ] {
        let dockerfile = format!("FROM scratch\nADD {flags}{} {to}\n", web.url(path));
        let (_, lines) = built(&place, &dockerfile, &context);
        assert_eq!(lines, [expected], "{flags}{path} {to}");
    }
    let dockerfile = format!("FROM scratch\nADD {} /a/\n", web.url("/old%20file?x=1"));
    let (_, lines) = built(&place, &dockerfile, &context);
    assert_eq!(lines, ["drwxr-xr-x 0/0 0 a/", "-rw------- 0/0 7 0 a/old file"]);
    for (path, code, said) in [("/none", 3, "status 404"), ("/denied", 4, "status 403")] {
        let dockerfile = format!("FROM scratch\nADD {} /\n", web.url(path));
        place.file(context.join("Dockerfile"), dockerfile);
        place.bryo("build").arg(&context).fails(code).mentions(said);
    }
    let dockerfile = format!("FROM scratch\nADD {} /\n", "http://ann:secret@127.0.0.1:1/x?token");
    place.file(context.join("Dockerfile"), dockerfile);
    let said = place.bryo("build").arg(&context).fails(6);
    assert!(said.errors().contains("127.0.0.1:1"), "{said}");
}

#[test]
fn add_compares_what_it_fetched() {
    let place = Place::new();
    let context = place.folder("context");
    let web = Web::start(|path, before| match (path, before) {
        ("/changes", 0 | 1) => (200, "", b"content".to_vec()),
        ("/file", _) => (200, "", b"content".to_vec()),
        _ => (200, "", b"other".to_vec()),
    });
    let right = "ed7002b439e9ac845f22357d822bac1444730fbdb6016d3ec9432297b9ec9f73";
    let sha512 = place
        .run("sh")
        .args(["-c", "printf content | sha512sum | cut -d' ' -f1"])
        .succeeds()
        .text();
    for (flags, code, said) in [
        (format!("--checksum=sha256:{right}"), 0, ""),
        (format!("--checksum=sha512:{sha512}"), 0, ""),
        (format!("--checksum=sha256:{}", right.replace('e', "f")), 5, "digest mismatch"),
        ("--checksum=md5:00".to_owned(), 2, "invalid checksum"),
    ] {
        let dockerfile = format!("FROM scratch\nADD {flags} {} /\n", web.url("/file"));
        place.file(context.join("Dockerfile"), dockerfile);
        match code {
            0 => drop(place.bryo("build").arg(&context).succeeds()),
            code => drop(place.bryo("build").arg(&context).fails(code).mentions(said)),
        }
    }
    // With a checksum, a hit asks nobody.
    let before = web.count("/file");
    let checked = format!("FROM scratch\nADD --checksum=sha256:{right} {} /\n", web.url("/file"));
    let (first, _) = built(&place, &checked, &context);
    let (second, _) = built(&place, &checked, &context);
    assert_eq!((first.text(), web.count("/file")), (second.text(), before));
    // Without one, the content is the key.
    let unchecked = format!("FROM scratch\nADD {} /\n", web.url("/changes"));
    let images: Vec<String> =
        (0..3).map(|_| built(&place, &unchecked, &context).0.text()).collect();
    assert!(images[0] == images[1] && images[1] != images[2], "{images:?}");
    for (dockerfile, said) in [
        (
            format!("ADD --checksum=sha256:{right} Dockerfile /\n"),
            "requires HTTP(S) or Git sources",
        ),
        (
            format!("ADD --checksum=sha256:{right} {0} {0} /\n", web.url("/file")),
            "can't be specified for multiple sources",
        ),
        (format!("COPY {} /\n", web.url("/file")), "source can't be a URL for COPY"),
        ("COPY git@h:a /\n".to_owned(), "source can't be a git ref for COPY"),
    ] {
        place.file(context.join("Dockerfile"), format!("FROM scratch\n{dockerfile}"));
        place.bryo("build").arg(&context).fails(2).mentions(said);
    }
}

/// What a server calls by the tag that it had before is not read again.
#[test]
fn add_asks_whether_a_file_changed() {
    let place = Place::new();
    let context = place.folder("context");
    let web = Web::start(|path, before| match (path, before) {
        ("/a", 0..=3) => (200, "ETag: \"one\"\r\n", vec![b'1'; 4 << 20]),
        ("/a", _) => (200, "ETag: \"two\"\r\n", vec![b'2'; 4 << 20]),
        // The tag of what it is not any more.
        ("/wrong", 0) => (200, "ETag: \"x\"\r\n", b"1".to_vec()),
        ("/wrong", _) => (200, "ETag: \"x\"\r\n", b"2".to_vec()),
        _ => (404, "", vec![]),
    });
    let url = web.url("/a");
    let dockerfile = format!("FROM scratch\nADD {url} /\n");
    let built = |dockerfile: &str| {
        place.file(context.join("Dockerfile"), dockerfile);
        place.bryo("build --progress plain").arg(&context).succeeds()
    };
    let fetches = |said: &Said| said.errors().contains("fetching http://");
    let (first, second) = (built(&dockerfile), built(&dockerfile));
    assert!(fetches(&first) && !fetches(&second), "{second}");
    assert!(first.text() == second.text() && second.errors().contains("cached"), "{second}");
    // Where the step is another one, its content is needed; and so it is when that changes.
    let moved = format!("FROM scratch\nADD {url} /b\n");
    assert!(fetches(&built(&moved)));
    let third = built(&dockerfile);
    assert!(fetches(&third) && third.text() != first.text(), "{third}");
    // A step never has another content than its key says.
    let wrong = web.url("/wrong");
    built(&format!("FROM scratch\nADD {wrong} /\n"));
    place.file(context.join("Dockerfile"), format!("FROM scratch\nADD {wrong} /other\n"));
    place.bryo("build").arg(&context).fails(6).mentions("its content changed");
    place.bryo("build").arg(&context).succeeds();
}

#[test]
fn add_trusts_authorities_that_are_named() {
    let place = Place::new();
    if !has("docker-registry", "docker-registry") {
        return;
    }
    let (registry, authority) = Registry::with_tls(&place);
    let context = place.folder("context");
    let dockerfile = format!("FROM scratch\nADD https://{}/v2/ /\n", registry.host());
    place.file(context.join("Dockerfile"), dockerfile);
    place.bryo("build").arg(&context).fails(6).mentions("--cacert");
    place.bryo("build -o type=tar,dest=out.tar --cacert").arg(authority).arg(&context).succeeds();
    assert_eq!(content(&place, "v2"), "{}");
    place.bryo("build --no-cache --insecure").arg(&context).succeeds();
}

#[test]
fn add_unpacks_an_archive_of_a_url_when_told_to() {
    let place = Place::new();
    let context = place.folder("context");
    let script =
        "mkdir d; echo in > d/f; touch -d @1000000000 d/f d; tar --owner=0 --group=0 -czf a.tgz d";
    place.run("sh").arg("-ec").arg(script).succeeds();
    let archive = std::fs::read(place.path("work/a.tgz")).expect("an archive");
    let web = Web::start(move |_, _| (200, "", archive.clone()));
    for (flag, expected) in [("", "a.tgz"), ("--unpack=false ", "a.tgz"), ("--unpack ", "d/f")] {
        let dockerfile = format!("FROM scratch\nADD {flag}{} /\n", web.url("/a.tgz"));
        let (_, lines) = built(&place, &dockerfile, &context);
        let last = lines.last().expect("a file");
        assert!(last.ends_with(&format!(" {expected}")), "{flag}: {lines:?}");
    }
}

#[test]
fn add_takes_a_commit_of_a_git_repository() {
    let place = Place::new();
    let Some((folder, daemon)) = repository(&place) else { return };
    let context = place.folder("context");
    let commit = |name: &str| {
        place
            .run("git")
            .args(["rev-parse", &format!("{name}^{{commit}}")])
            .in_folder(&folder)
            .succeeds()
            .text()
    };
    let (one, two) = (commit("v1"), commit("main"));
    let when = "2001-09-09 01:46:40";
    let all = [
        "drwxr-xr-x 0/0 0 r/".to_owned(),
        format!("drwxr-xr-x 0/0 {when} r/dir/"),
        format!("drwxr-xr-x 0/0 {when} r/dir/deep/"),
        format!("lrwxrwxrwx 0/0 {when} r/dir/deep/link -> ../file"),
        format!("-rwxr-xr-x 0/0 2 {when} r/dir/run"),
        format!("-rw-r--r-- 0/0 2 {when} r/file"),
    ];
    for (rest, expected) in [
        (String::new(), "2"),
        ("#main".to_owned(), "2"),
        ("#v1".to_owned(), "1"),
        ("#v2".to_owned(), "1"),
        ("#refs/tags/v1".to_owned(), "1"),
        ("?tag=v2".to_owned(), "1"),
        ("?branch=main".to_owned(), "2"),
        (format!("#{one}"), "1"),
        (format!("?commit={two}"), "2"),
        (format!("?ref=v1&checksum={}", &one[..10]), "1"),
    ] {
        let url = daemon.url("repo") + &rest;
        let (_, lines) = built(&place, &format!("FROM scratch\nADD {url} /r\n"), &context);
        assert_eq!(lines, all, "{url}");
        assert_eq!(content(&place, "r/file"), expected, "{url}");
    }
    // A directory of it, changed on the way.
    let dockerfile = format!(
        "FROM scratch\nADD --chown=5:6 --chmod=go-rx --exclude=deep {} /r\n",
        daemon.url("repo#v1:dir")
    );
    let (_, lines) = built(&place, &dockerfile, &context);
    assert_eq!(
        lines,
        [
            "drwx--x--x 5/6 0 r/".replace("--x--x", "------"),
            format!("-rwx------ 5/6 2 {when} r/run")
        ]
    );
    // A submodule comes along, unless it is not wanted.
    for (rest, expected) in [("#side", true), ("?branch=side&submodules=false", false)] {
        let dockerfile = format!("FROM scratch\nADD {} /r\n", daemon.url("repo") + rest);
        let (_, lines) = built(&place, &dockerfile, &context);
        let there = lines.iter().any(|line| line.ends_with(" r/sub/s"));
        assert_eq!(there, expected, "{rest}: {lines:?}");
        assert!(!lines.iter().any(|line| line.ends_with(".git")), "{lines:?}");
    }
    for (flags, rest, code, said) in [
        ("", "#none", 3, "no branch and no tag \"none\""),
        ("", "#main:none", 3, "no directory \"none\""),
        ("", "#main:file", 3, "no directory \"file\""),
        ("", "?x=1", 2, "unexpected query \"x\""),
        ("--checksum=abc", "", 2, "invalid checksum"),
        ("--checksum=0123456789", "", 5, "expected checksum to match 0123456789"),
    ] {
        let url = daemon.url("repo") + rest;
        place.file(context.join("Dockerfile"), format!("FROM scratch\nADD {flags} {url} /r\n"));
        place.bryo("build").arg(&context).fails(code).mentions(said);
    }
    place.file(context.join("Dockerfile"), format!("FROM scratch\nADD {} /\n", daemon.url("x")));
    place.bryo("build").arg(&context).fails(6).mentions("git ls-remote");
    place.bryo("build").arg(&context).env("PATH", "/none").fails(3).mentions("apt-get install git");
}

#[test]
fn a_commit_is_fetched_once_and_its_directory_is_the_same_each_time() {
    let place = Place::new();
    let Some((folder, daemon)) = repository(&place) else { return };
    let context = place.folder("context");
    let kept = format!("FROM scratch\nADD --keep-git-dir {} /r\n", daemon.url("repo#v2"));
    let (first, lines) = built(&place, &kept, &context);
    assert!(lines.iter().any(|line| line.ends_with(" r/.git/HEAD")), "{lines:?}");
    assert!(first.errors().contains("fetching git://"), "{first}");
    let script = "rm -rf x && mkdir x && tar -C x -xf out.tar && cd x/r && git status --porcelain && \
                  git describe --tags && git config remote.origin.url";
    let said = place.run("sh").arg("-ec").arg(script).succeeds().text();
    assert_eq!(said, format!("v2\n{}", daemon.url("repo")));
    place.file(context.join("Dockerfile"), &kept);
    let again = place.bryo("build --no-cache").arg(&context).succeeds();
    let layers = |said: &Said| {
        let inspected = place.bryo("inspect").arg(said.text()).succeeds().json();
        inspected[0]["RootFS"]["Layers"].clone()
    };
    assert_eq!(layers(&again), layers(&first));
    // Until the branch moves, nobody fetches anything.
    let plain = format!("FROM scratch\nADD {} /r\n", daemon.url("repo"));
    let (first, _) = built(&place, &plain, &context);
    let (second, _) = built(&place, &plain, &context);
    assert_eq!(first.text(), second.text());
    assert!(!second.errors().contains("fetching git://"), "{second}");
    let script = "echo 3 > file; git commit -qam three";
    place.run("sh").arg("-ec").arg(script).in_folder(&folder).succeeds();
    let (third, _) = built(&place, &plain, &context);
    assert_ne!(first.text(), third.text());
    assert_eq!(content(&place, "r/file"), "3");
}

#[test]
fn copy_with_parents() {
    let place = Place::new();
    let context = place.context(
        "context",
        "",
        &[
            (".dockerignore", "Dockerfile\n.dockerignore\na/skip\n"),
            ("a/x.txt", "1"),
            ("a/b/y.txt", "2"),
            ("a/b/z.bin", "3"),
            ("a/skip", ""),
            ("c/x.txt", "4"),
            ("top.txt", "5"),
        ],
    );
    place.run("ln").args(["-s", "a", "link"]).in_folder(&context).succeeds();
    for (words, expected) in [
        ("a/x.txt c/x.txt /p/", "p/ p/a/ p/a/x.txt p/c/ p/c/x.txt"),
        ("a/b /p", "p/ p/a/ p/a/b/ p/a/b/y.txt p/a/b/z.bin"),
        ("./a/./b/y.txt /p/", "p/ p/b/ p/b/y.txt"),
        ("a/./b/y.txt a/b/./z.bin /p/", "p/ p/b/ p/b/y.txt p/z.bin"),
        ("./a/b/../b/y.txt /p/", "p/ p/a/ p/a/b/ p/a/b/y.txt"),
        ("*/x.txt /p/", "p/ p/a/ p/a/x.txt p/c/ p/c/x.txt"),
        ("**/*.txt /p/", "p/ p/a/ p/a/b/ p/a/b/y.txt p/a/x.txt p/c/ p/c/x.txt p/top.txt"),
        ("a/./**/*.txt /p/", "p/ p/b/ p/b/y.txt p/x.txt"),
        ("--exclude=**/b a /p/", "p/ p/a/ p/a/x.txt"),
        ("none*/x /p/", "p/"),
        (
            "./ /p/",
            "p/ p/a/ p/a/b/ p/a/b/y.txt p/a/b/z.bin p/a/x.txt p/c/ p/c/x.txt p/link p/top.txt",
        ),
        ("link /p/", "p/ p/link"),
        ("link/./x.txt /p/", "p/ p/x.txt"),
    ] {
        let (_, lines) =
            built(&place, &format!("FROM scratch\nCOPY --parents {words}\n"), &context);
        let name = |line: &String| {
            let line = line.split(" -> ").next().unwrap_or_default().to_owned();
            line.split(' ').next_back().unwrap_or_default().to_owned()
        };
        let names: Vec<String> = lines.iter().map(name).collect();
        assert_eq!(names.join(" "), expected, "{words}");
    }
    for (words, said) in [
        ("a/none /p/", "\"/a/none\": not found"),
        ("a/skip /p/", "\"/a/skip\": not found"),
        ("none/./a /p/", "\"/none\": not found"),
        ("link/x.txt /p/", "\"/link/x.txt\": not found"),
    ] {
        place.file(context.join("Dockerfile"), format!("FROM scratch\nCOPY --parents {words}\n"));
        place.bryo("build").arg(&context).fails(3).mentions(said);
    }
    let dockerfile = "FROM scratch AS one\nCOPY . /s\nFROM scratch\n\
                      COPY --from=one --parents --chmod=u=rwX,go= --chown=7 /s/./**/y.txt /\n";
    let (_, lines) = built(&place, dockerfile, &context);
    assert!(
        lines[2].starts_with("-rw------- 7/7 1 ") && lines[2].ends_with(" a/b/y.txt"),
        "{lines:?}"
    );
    let history = place.bryo("history app").succeeds().text();
    assert!(history.contains("COPY --parents --chown=7 --chmod="), "{history}");
}

#[test]
fn a_linked_copy_replaces_what_is_in_its_way() {
    let place = Place::new();
    let files = [("f", "new"), ("d/x/g", "new"), ("d/y", "new")];
    let context = place.context("context", "", &files);
    let script =
        "mkdir -p base/real base/dir/x base/a/y/z; ln -s real base/link; ln -s real base/a/x
        echo old > base/dir/x/old; echo old > base/file";
    place.run("sh").arg("-ec").arg(script).in_folder(&context).succeeds();
    for (words, there, gone) in [
        ("f /link/", "link/ link/f real/", "real/f"),
        ("f /link/deep/name", "link/ link/deep/ link/deep/name real/", "real/deep/"),
        ("f /link", "link real/", "link/"),
        ("f /file/", "file/ file/f", "file"),
        ("f /dir", "dir", "dir/"),
        ("f /dir/", "dir/ dir/f dir/x/old", "dir"),
        ("d /a", "a/ a/x/ a/x/g a/y real/", "a/y/ a/y/z/ real/g"),
        ("d /a/", "a/ a/x/ a/x/g a/y", "a/y/"),
        ("d/x /file", "file/ file/g", "file"),
    ] {
        let dockerfile = format!("FROM scratch\nCOPY base /\nCOPY --link {words}\n");
        let (_, lines) = built(&place, &dockerfile, &context);
        let name = |line: &String| {
            let line = line.split(" -> ").next().unwrap_or_default().to_owned();
            line.split(' ').next_back().unwrap_or_default().to_owned()
        };
        let names: Vec<String> = lines.iter().map(name).collect();
        let has = |name: &str| names.iter().any(|one| one == name);
        assert!(there.split(' ').all(has), "{words}: {names:?}");
        assert!(!gone.split(' ').any(has), "{words}: {names:?}");
    }
    // Without it, links are followed.
    let dockerfile = "FROM scratch\nCOPY base /\nCOPY f /link/\n";
    let (_, lines) = built(&place, dockerfile, &context);
    assert!(lines.iter().any(|line| line.ends_with(" real/f")), "{lines:?}");
}
