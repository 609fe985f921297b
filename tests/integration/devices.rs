//! Nodes that mknod(1) makes: the harmless ones work, and all are files like any other.

use crate::support::{Place, busybox};

/// Runs a script in a fresh sandbox; what it prints, without the blanks that `wc` and `od` put in.
fn printed(place: &Place, script: &str) -> String {
    let said = place.bryo("run base sh -ec").arg(script).succeeds();
    said.text().split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn harmless_devices_work_and_are_files_like_any_other() {
    let place = Place::new();
    if !busybox(&place) {
        return;
    }
    for (what, script, expected) in [
        (
            "they can be read and written",
            "mknod null c 1 3; mknod zero c 1 5; mknod full c 1 7; mknod urandom c 1 9
             echo lost > null; cat null; head -c 2 zero | od -An -tx1
             head -c 9 urandom | wc -c; echo x 2>&- > full || echo full",
            "00 00 9 full",
        ),
        (
            "debootstrap's trial",
            "mknod test-dev-null c 1 3; echo test > test-dev-null; rm -f test-dev-null
             test -e test-dev-null || echo gone; mkdir test-dev-null && echo free",
            "gone free",
        ),
        (
            "others stay empty, and are what they are called",
            "mknod disk b 8 1; mknod kmsg c 1 11; cat disk kmsg; stat -c '%F %t:%T %s' disk kmsg",
            "block special file 8:1 0 character special file 1:b 0",
        ),
        (
            "they are renamed over others, and over them",
            "mknod a c 1 5; echo file > b; mv a c; mv c b; head -c 1 b | od -An -tx1
             echo new > d; mv d b; cat b; ls",
            "00 new b",
        ),
        (
            "directories around them are moved and removed",
            "mkdir -p a/b; mknod a/b/zero c 1 5; mv a c; head -c 1 c/b/zero | wc -c; rm -r c; ls",
            "1",
        ),
        (
            "hard links",
            "mknod a c 1 5; ln a b; stat -c %h a; rm a; head -c 1 b | wc -c; stat -c %h b",
            "2 1 1",
        ),
        (
            "owner, mode and times are the node's, not the device's",
            "mknod -m 640 a c 1 3; chown 5:6 a; chmod 4604 a; touch -h -d 2001-02-03 a
             stat -c '%a %u:%g %t:%T %y' a | cut -c1-21; stat -c '%a %u:%g' /dev/null",
            "4604 5:6 1:3 2001-02- 666 0:0",
        ),
        (
            "copies and archives",
            "mkdir x; mknod x/zero c 1 5; chown 7:8 x/zero; cp -a x y; tar -cf t x; rm -r x
             tar -xf t; stat -c '%u:%g %t:%T' x/zero y/zero; head -c 1 x/zero | wc -c",
            "7:8 1:5 7:8 1:5 1",
        ),
        (
            "what is recorded of the next file of that name is its own",
            "mknod a c 1 3; rm a; echo text > a; stat -c '%F %s' a; cat a",
            "regular file 5 text",
        ),
    ] {
        let script = format!("mkdir -p /tmp/w; cd /tmp/w; {script}");
        assert_eq!(printed(&place, &script), expected, "{what}");
    }
}

#[test]
fn devices_of_dev_are_replaced() {
    let place = Place::new();
    if !busybox(&place) {
        return;
    }
    let script = "mv /dev/random /dev/random.real; ln -s /dev/urandom /dev/random
        head -c 2 /dev/random | wc -c; head -c 2 /dev/random.real | wc -c
        rm -f /dev/null; mknod -m 666 /dev/null c 1 3; echo x > /dev/null; cat /dev/null
        chmod 600 /dev/zero && stat -c '%t:%T' /dev/null";
    assert_eq!(printed(&place, script), "2 2 1:3");
}

#[test]
fn devices_of_an_earlier_step_work_in_a_new_root() {
    let place = Place::new();
    if !busybox(&place) {
        return;
    }
    let dockerfile = "FROM base
        RUN mkdir -p /jail/dev /jail/bin && cp /bin/busybox /jail/bin/ && \
            mknod -m 666 /jail/dev/null c 1 3 && mknod -m 444 /jail/dev/urandom c 1 9
        RUN chroot /jail /bin/busybox sh -ec 'echo x > /dev/null; bb=/bin/busybox; \
            test -z \"$($bb cat /dev/null)\"; test $($bb head -c 5 /dev/urandom | $bb wc -c) = 5; \
            $bb rm /dev/null; test ! -e /dev/null' && test -c /jail/dev/urandom";
    let context = place.folder("context");
    place.file("context/Dockerfile", dockerfile);
    place.bryo("build").arg(context).succeeds();
}

#[test]
fn only_root_makes_devices_and_changes_its_root() {
    let place = Place::new();
    if !busybox(&place) {
        return;
    }
    let run = |script: &str| {
        let words = ["base", "sh", "-c", script];
        place.bryo("run --user 1000:1000").args(words).succeeds().text()
    };
    for (script, expected) in [
        ("mknod /tmp/x c 1 3 2>/dev/null; echo $?", "1"),
        ("mknod /tmp/x p && stat -c %u:%g /tmp/x", "1000:1000"),
        ("chroot / true 2>/dev/null; test $? -ne 0 && echo refused", "refused"),
        (
            "umask 027; mkdir /tmp/d; echo > /tmp/d/f; stat -c '%a %u' /tmp/d /tmp/d/f",
            "750 1000\n640 1000",
        ),
        ("ln -s /tmp/end /tmp/link; echo > /tmp/link; stat -c %u /tmp/end", "1000"),
        ("echo 2>/dev/null > /bin/x || echo refused", "refused"),
        ("rm /bin/busybox 2>/dev/null || echo refused", "refused"),
        ("mv /bin/busybox /tmp/ 2>/dev/null || echo refused", "refused"),
        ("chmod 777 /bin/busybox 2>/dev/null || echo refused", "refused"),
    ] {
        assert_eq!(run(script), expected, "{script}");
    }
}
