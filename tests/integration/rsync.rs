//! RSYNC: the cases of ch-image's manual and tests, and those that its users would meet next.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use crate::support::{Place, Said, busybox};

/// A context with all that the cases copy, and two files beside it.
fn context(place: &Place) -> PathBuf {
    let script = "umask 0022; mkdir -p x/ctx x/dir-out && cd x && echo file-out > file-out &&
        echo dir-out.file > dir-out/dir-out.file && cd ctx &&
        echo file-top > file-top && mkdir dir-top && echo dir-top.file > dir-top/dir-top.file &&
        mkdir basic1 basic2 && echo file-basic1 > basic1/file-basic1 && chmod 604 basic1/file-basic1 &&
        chmod 705 basic1 && echo file-basic2 > basic2/file-basic2 &&
        mkdir -p sym1/dir-sym1 sym2 && echo file-sym2 > sym2/file-sym2 && cd sym1 &&
        echo file-sym1 > file-sym1 && echo dir-sym1.file > dir-sym1/dir-sym1.file &&
        ln -s \"$PWD/../../file-out\" file-out_abs && ln -s ../../file-out file-out_rel &&
        ln -s ../../dir-out dir-out_rel && ln -s \"$PWD/../file-top\" file-top_abs &&
        ln -s ../file-top file-top_rel && ln -s ../dir-top dir-top_rel &&
        ln -s \"$PWD/file-sym1\" file-sym1_abs && ln -s file-sym1 file-sym1_direct &&
        ln -s ../sym1/file-sym1 file-sym1_upover && ln -s dir-sym1 dir-sym1_direct &&
        ln -s \"$PWD/../sym2/file-sym2\" file-sym2_abs && ln -s ../sym2/file-sym2 file-sym2_upover &&
        cd .. && mkdir sym-broken hard tree && ln -s doesnotexist sym-broken/broken &&
        echo hard-file > hard/hard-file1 && ln hard/hard-file1 hard/hard-file2 &&
        mkdir -p tree/keep tree/obj && touch tree/a.c tree/a.o tree/keep/b.o tree/obj/c.c tree/.hidden";
    place.run("sh").args(["-ec", script]).succeeds();
    place.path("work/x/ctx")
}

fn build(place: &Place, context: &Path, lines: &str) -> Said {
    let text = format!("FROM base\nRUN mkdir /dst\n{lines}\n");
    let file = place.file("work/x/Dockerfile", text);
    place.bryo("build --progress plain -t app -f").arg(file).arg(context).output()
}

/// What is in /dst: mode, links, name, and where a link leads.
fn listing(place: &Place) -> String {
    let script = "cd /dst && find . | sort | while read -r f; do test \"$f\" = . && continue; \
        if test -L \"$f\"; then echo \"l ${f#./} > $(readlink \"$f\")\"; \
        elif test -d \"$f\"; then echo \"$(stat -c %a \"$f\") ${f#./}/\"; \
        else echo \"$(stat -c %a:%h:%s \"$f\") ${f#./}\"; fi; done";
    place.bryo("run app sh -c").arg(script).succeeds().text()
}

const SYM1_SAFE: &str = "755 sym1/
755 sym1/dir-sym1/
644:1:14 sym1/dir-sym1/dir-sym1.file
l sym1/dir-sym1_direct > dir-sym1
l sym1/dir-top_rel > ../dir-top
644:1:10 sym1/file-sym1
l sym1/file-sym1_direct > file-sym1
l sym1/file-sym1_upover > ../sym1/file-sym1
l sym1/file-sym2_upover > ../sym2/file-sym2
l sym1/file-top_rel > ../file-top";

#[test]
fn results_are_those_of_ch_image() {
    let place = Place::new();
    if !busybox(&place) {
        return;
    }
    let context = context(&place);
    let slashed = "755 sym1/\n755 sym1/dir-sym1/\n644:1:14 sym1/dir-sym1/dir-sym1.file\n";
    let sym2 = "\n755 sym2/\n644:1:10 sym2/file-sym2";
    for (lines, expected) in [
        ("RSYNC /basic1/file-basic1 /dst", "604:1:12 file-basic1"),
        ("NSYNC basic1/file-basic1 /dst/renamed", "604:1:12 renamed"),
        ("RSYNC +z /basic1/file-basic1 /dst/plain", "604:1:12 plain"),
        ("RSYNC /basic1/file-basic1 /dst/new/", "755 new/\n604:1:12 new/file-basic1"),
        (
            "RSYNC /basic1/file-basic1 /basic2/file-basic2 /dst/newB",
            "755 newB/\n604:1:12 newB/file-basic1\n644:1:12 newB/file-basic2",
        ),
        ("WORKDIR /dst\nRSYNC file-top there", "644:1:9 there"),
        // a directory, and what is in it
        ("RSYNC /basic1 /dst", "705 basic1/\n604:1:12 basic1/file-basic1"),
        ("RSYNC /basic1 /dst/n", "755 n/\n705 n/basic1/\n604:1:12 n/basic1/file-basic1"),
        ("RSYNC /basic1/ /dst/n", "705 n/\n604:1:12 n/file-basic1"),
        ("RSYNC /basic1/ /dst/n/", "705 n/\n604:1:12 n/file-basic1"),
        ("RSYNC +z /basic1 /dst/n", ""),
        ("RSYNC +z -r /basic1/ /dst/n", "705 n/\n604:1:12 n/file-basic1"),
        (
            "RUN mkdir /dst/C && echo x > /dst/C/old\nRSYNC /basic* /dst/C",
            "755 C/\n705 C/basic1/\n604:1:12 C/basic1/file-basic1\n755 C/basic2/\n\
             644:1:12 C/basic2/file-basic2\n644:1:2 C/old",
        ),
        (
            "RUN mkdir /dst/E && echo x > /dst/E/old\nRSYNC /basic*/ /dst/E",
            "705 E/\n604:1:12 E/file-basic1\n644:1:12 E/file-basic2\n644:1:2 E/old",
        ),
        (
            "RUN mkdir /dst/F && echo x > /dst/F/old\nRSYNC /basic1 /basic2/ /dst/F",
            "755 F/\n705 F/basic1/\n604:1:12 F/basic1/file-basic1\n644:1:12 F/file-basic2\n\
             644:1:2 F/old",
        ),
        (
            "RUN mkdir -p /dst/G/d && echo x > /dst/G/d/old\nRSYNC --delete /basic*/ /dst/G",
            "705 G/\n604:1:12 G/file-basic1\n644:1:12 G/file-basic2",
        ),
        // symbolic links
        ("RSYNC /sym1 /dst", SYM1_SAFE),
        (
            "RSYNC /sym1/ /dst/sym1",
            &format!(
                "{slashed}l sym1/dir-sym1_direct > dir-sym1\n644:1:10 sym1/file-sym1\n\
                 l sym1/file-sym1_direct > file-sym1"
            ),
        ),
        ("RSYNC +m /sym1/ /dst/sym1", &format!("{slashed}644:1:10 sym1/file-sym1")),
        ("RSYNC /sym1 /sym2 /dst", &format!("{SYM1_SAFE}{sym2}")),
        (
            "RSYNC /sym1/file-sym1_direct /sym1/file-sym1_upover /dst",
            "l file-sym1_direct > file-sym1",
        ),
        ("RSYNC /sym1/dir-sym1_direct /dst", "l dir-sym1_direct > dir-sym1"),
        ("RSYNC /sym1/dir-sym1_direct/ /dst/d", "755 d/\n644:1:14 d/dir-sym1.file"),
        ("RSYNC /sym-broken /dst", "755 sym-broken/\nl sym-broken/broken > doesnotexist"),
        (
            "RSYNC +u /sym1/ /dst/s",
            "755 s/\n755 s/dir-out_rel/\n644:1:13 s/dir-out_rel/dir-out.file\n755 s/dir-sym1/\n\
             644:1:14 s/dir-sym1/dir-sym1.file\nl s/dir-sym1_direct > dir-sym1\n\
             755 s/dir-top_rel/\n644:1:13 s/dir-top_rel/dir-top.file\n644:1:9 s/file-out_abs\n\
             644:1:9 s/file-out_rel\n644:1:10 s/file-sym1\n644:1:10 s/file-sym1_abs\n\
             l s/file-sym1_direct > file-sym1\n644:1:10 s/file-sym1_upover\n\
             644:1:10 s/file-sym2_abs\n644:1:10 s/file-sym2_upover\n644:1:9 s/file-top_abs\n\
             644:1:9 s/file-top_rel",
        ),
        ("RUN touch /dst/f && ln -s f /dst/l\nRSYNC /file-top /dst/l", "644:1:0 f\n644:1:9 l"),
        (
            "RUN mkdir /dst/d && ln -s d /dst/l\nRSYNC /file-top /dst/l",
            "755 d/\n644:1:9 d/file-top\nl l > d",
        ),
        (
            "RUN mkdir /dst/d && ln -s d /dst/l\nRSYNC /dir-top /dst/l",
            "755 d/\n755 d/dir-top/\n644:1:13 d/dir-top/dir-top.file\nl l > d",
        ),
        (
            "RUN mkdir /dst/d && ln -s d /dst/l\nRSYNC /dir-top/ /dst/l",
            "755 d/\n644:1:13 d/dir-top.file\nl l > d",
        ),
        // hard links
        ("RSYNC /hard /dst", "755 hard/\n644:2:10 hard/hard-file1\n644:2:10 hard/hard-file2"),
        ("RSYNC --no-hard-links /hard/ /dst", "644:1:10 hard-file1\n644:1:10 hard-file2"),
    ] {
        let said = build(&place, &context, lines);
        assert_eq!(said.code(), 0, "{lines}: {said}");
        assert_eq!(listing(&place), expected, "{lines}: {said}");
    }
    let said = build(&place, &context, "RSYNC +m /sym1/ /dst/sym1");
    assert_eq!(said.errors().matches("skipping non-regular file").count(), 0, "a hit says nothing");
    let said = build(&place, &context, "RSYNC +m /sym1/ /dst/other");
    assert_eq!(said.errors().matches("skipping non-regular file").count(), 12, "{said}");
    let said = build(&place, &context, "RSYNC +u /sym1 /dst/other");
    assert!(said.errors().contains("file-out, which lies outside of the build context"), "{said}");
}

#[test]
fn options_of_rsync_choose_and_change() {
    let place = Place::new();
    if !busybox(&place) {
        return;
    }
    let context = context(&place);
    fs::write(context.join("rules"), "+ keep/\n+ keep/*.o\n- *.o\n# no\n").expect("a file");
    fs::write(context.join("tree/.rsync-filter"), "- /obj\n- .rsync-filter\n").expect("a file");
    for (lines, expected) in [
        (
            "RSYNC --exclude=*.o --exclude=.* /tree/ /dst",
            "644:1:0 a.c\n755 keep/\n755 obj/\n644:1:0 obj/c.c",
        ),
        (
            "RSYNC --filter='merge rules' --exclude=obj --exclude=.* /tree/ /dst",
            "644:1:0 a.c\n755 keep/\n644:1:0 keep/b.o",
        ),
        ("RSYNC -F --exclude=*.o --exclude=.h* -m /tree/ /dst", "644:1:0 a.c"),
        (
            "RSYNC --include=*/ --include=*.c --exclude=* -m /tree/ /dst",
            "644:1:0 a.c\n755 obj/\n644:1:0 obj/c.c",
        ),
        ("RSYNC -R /tree/obj/c.c /dst", "755 tree/\n755 tree/obj/\n644:1:0 tree/obj/c.c"),
        ("RSYNC -R /tree/./obj/c.c /dst", "755 obj/\n644:1:0 obj/c.c"),
        ("RSYNC --chmod=u=rwX,go= --chown=33:33 /tree/keep /dst", "700 keep/\n600:1:0 keep/b.o"),
        ("RSYNC --chmod=D750,F640 /tree/keep /dst", "750 keep/\n640:1:0 keep/b.o"),
        // What is not copied for its size or kind is there all the same.
        (
            "RUN cd /dst && echo > file-basic1 && touch gone\nRSYNC --delete --max-size=9 /basic1/ /dst",
            "644:1:1 file-basic1",
        ),
        ("RSYNC --max-size=9 /basic1/ /file-top /dst/", "644:1:9 file-top"),
        (
            "RUN echo old > /dst/file-top\nRSYNC --ignore-existing /file-top /dst",
            "644:1:4 file-top",
        ),
        ("RSYNC --existing /file-top /dst", ""),
        (
            "RUN cd /dst && touch a.o keep.me gone\nRSYNC --delete --exclude=*.o --exclude=.* \
             --filter='P keep.me' /tree/ /dst",
            "644:1:0 a.c\n644:1:0 a.o\n755 keep/\n644:1:0 keep.me\n755 obj/\n644:1:0 obj/c.c",
        ),
        (
            "RUN cd /dst && touch a.o\nRSYNC --delete-excluded --exclude=*.o --exclude=.* /tree/ /dst",
            "644:1:0 a.c\n755 keep/\n755 obj/\n644:1:0 obj/c.c",
        ),
        ("RSYNC +z -L /sym1/file-top_rel /dst/", "644:1:9 file-top_rel"),
        ("ARG d=basic2\nRSYNC /$d/ /dst", "644:1:12 file-basic2"),
    ] {
        let said = build(&place, &context, lines);
        assert_eq!(said.code(), 0, "{lines}: {said}");
        let listing = listing(&place);
        let listing = listing.trim_end();
        // The root of /dst takes the attributes of a slashed source; its own line is not shown.
        assert_eq!(listing, expected, "{lines}: {said}");
    }
    // Owners in the layer are root's, or those that were asked for.
    build(&place, &context, "RSYNC /file-top /dst\nRSYNC --chown=33:34 /file-top /dst/other");
    let said = place.bryo("run app stat -c %u:%g /dst/file-top /dst/other").succeeds();
    assert_eq!(said.text(), "0:0\n33:34");
}

#[test]
fn hits_and_misses_are_by_content() {
    let place = Place::new();
    if !busybox(&place) {
        return;
    }
    let context = context(&place);
    let is_hit = |lines: &str| build(&place, &context, lines).errors().contains("[3/3]* RSYNC");
    let lines = "RSYNC --exclude=*.o /tree /file-top /dst";
    assert!(!is_hit(lines));
    assert!(is_hit(lines));
    place.run("touch").args(["-d", "2001-01-01"]).arg(context.join("file-top")).succeeds();
    assert!(is_hit(lines), "a time is no content");
    fs::write(context.join("tree/a.o"), "new").expect("a file");
    assert!(is_hit(lines), "what is left out does not count");
    fs::write(context.join("file-top"), "FILE-TOP\n").expect("a file");
    assert!(!is_hit(lines), "the same length and another content");
    fs::set_permissions(context.join("file-top"), fs::Permissions::from_mode(0o600))
        .expect("chmod");
    assert!(!is_hit(lines), "a mode");
    fs::write(context.join("tree/new"), "").expect("a file");
    assert!(!is_hit(lines), "a name");
    assert!(is_hit(lines));
    assert!(!is_hit("RSYNC --exclude=*.c /tree /file-top /dst"));
    // The ignore file counts as for COPY.
    fs::write(context.join(".dockerignore"), "tree/obj\nsym1\n").expect("a file");
    build(&place, &context, "RSYNC /tree/ /dst");
    assert!(!listing(&place).contains("obj"));
    let said = build(&place, &context, "RSYNC /sym1/ /dst");
    assert_eq!(said.code(), 3, "{said}");
}

#[test]
fn what_cannot_be_copied_is_explained() {
    let place = Place::new();
    if !busybox(&place) {
        return;
    }
    let context = context(&place);
    symlink(".", context.join("basic2/circle")).expect("a link");
    for (lines, code, part) in [
        ("RSYNC +m --copy-links /sym-broken /dst", 2, "symlink has no referent: "),
        ("RSYNC -L /basic2 /dst", 2, "links lead in a circle"),
        ("RSYNC /nope /dst", 3, "\"/nope\": not found"),
        ("RSYNC /nope* /dst", 3, "\"/nope*\": not found"),
        ("RSYNC --exclude-from=nope /basic1 /dst", 3, "\"/nope\": not found"),
        ("RSYNC /dst", 2, "RSYNC requires at least two arguments"),
        ("RSYNC --dry-run /a /dst", 2, "the copy would come to nothing"),
        ("RSYNC --filter=x /a /dst", 2, "filter rule \"x\""),
        ("RSYNC --recursiv /a /dst", 2, "(did you mean --recursive?)"),
        ("RYSNC /a /dst", 2, "unknown instruction: RYSNC (did you mean RSYNC?)"),
        ("RSYNC /basic1 /etc/passwd", 1, "cannot copy to non-directory: \"/etc/passwd\""),
        ("RUN mkdir -p /dst/file-top/x\nRSYNC /file-top /dst", 1, "cannot replace to directory"),
    ] {
        let said = build(&place, &context, lines);
        assert_eq!(said.code(), code, "{lines}: {said}");
        assert!(said.errors().contains(part), "{lines}: {said}");
    }
    // What came over stdin may not lead into the caller's files.
    place.file("work/x/ctx/Dockerfile", "FROM base\nRSYNC +u /sym1/file-out_abs /dst\n");
    let tar = place.run("tar").args(["-C"]).arg(&context).args(["-cf", "x.tar", "."]);
    tar.succeeds();
    let input = fs::read(place.path("work/x.tar")).expect("a tar");
    let said = place.bryo("build -").input(input).fails(2);
    assert!(
        said.errors().contains("out of a build context that is not a directory here"),
        "{said}"
    );
}
