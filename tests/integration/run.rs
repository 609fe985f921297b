//! `bryo run`.

use crate::support::{Place, busybox};

#[test]
fn the_programs_status_is_ours() {
    let place = Place::new();
    if !busybox(&place) {
        return;
    }
    let run = |words: &[&str]| place.bryo("run base").args(words);
    assert_eq!(run(&["echo", "a  b"]).succeeds().text(), "a  b");
    run(&["sh", "-c", "exit 7"]).exits(7);
    run(&["/no/such/program"]).fails(127).mentions("/no/such/program");
    run(&["/etc/passwd"]).fails(126).mentions("/etc/passwd");
    place.bryo("run no-such-image.invalid/x true").fails(125);
}

#[test]
fn streams_and_options_reach_the_program() {
    let place = Place::new();
    if !busybox(&place) {
        return;
    }
    assert_eq!(place.bryo("run base cat").input("in\n").succeeds().text(), "in");
    let said = place.bryo("run base sh -c").arg("echo out; echo err >&2").succeeds();
    assert_eq!((said.text().as_str(), said.errors()), ("out", "err\n"));

    let said = place
        .bryo("run -e A=1 --env B -w /tmp --env-file")
        .arg(place.file("env", "C=3\n# not this\nB2\n"))
        .args(["base", "sh", "-c", "echo $A $B $B2 $C $PWD $(id -u)"])
        .env("B", "2")
        .succeeds();
    assert_eq!(said.text(), "1 2 3 /tmp 0");
    let said = place.bryo("run --entrypoint echo base -n x").succeeds();
    assert_eq!(said.text(), "x");
}

#[test]
fn new_terminals_can_be_opened() {
    let place = Place::new();
    if !busybox(&place) {
        return;
    }
    place.bryo("run base sh -c").arg("exec 3<>/dev/ptmx && test -c /dev/pts/0").succeeds();
}

#[test]
fn volumes_are_seen_and_nothing_else_stays() {
    let place = Place::new();
    if !busybox(&place) {
        return;
    }
    let folder = place.folder("shared");
    place.file("shared/in", "from outside");
    let volume = |options: &str| format!("{}:/mnt{options}", folder.display());
    let said = place
        .bryo("run -v")
        .arg(volume(""))
        .args(["base", "sh", "-c", "cat /mnt/in; echo made > /mnt/out; echo x > /x"])
        .succeeds();
    assert_eq!(said.text(), "from outside");
    assert_eq!(std::fs::read_to_string(folder.join("out")).expect("it was made"), "made\n");
    let write = ["base", "sh", "-c", "echo x > /mnt/no"];
    assert_ne!(place.bryo("run -v").arg(volume(":ro")).args(write).exits(1).errors(), "");
    // The first run's /x is gone, and so is the mount point.
    assert!(!place.bryo("run base ls /").succeeds().text().contains("mnt"));
    place.bryo("run base test -e /x").exits(1);
    place.bryo("run -v /no/such:/mnt base true").fails(125).mentions("/no/such");
}

#[test]
fn signals_reach_the_program() {
    let place = Place::new();
    if !busybox(&place) {
        return;
    }
    let folder = place.folder("shared");
    let script = "trap 'echo got it > /mnt/got; exit 5' TERM; echo > /mnt/ready; while :; do sleep 0.05; done";
    let mut child = place
        .bryo("run -v")
        .arg(format!("{}:/mnt", folder.display()))
        .args(["base", "sh", "-c", script])
        .spawn();
    while !folder.join("ready").exists() {
        assert!(child.try_wait().expect("it is our child").is_none(), "it ended too early");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    place.run("kill").arg(child.id().to_string()).succeeds();
    assert_eq!(child.wait().expect("it ends").code(), Some(5));
    assert!(folder.join("got").exists());
}

#[test]
fn users_are_those_of_the_image() {
    let place = Place::new();
    if !busybox(&place) {
        return;
    }
    let id = |user: &str| place.bryo("run --user").arg(user).args(["base", "id"]).succeeds().text();
    assert_eq!(id("www"), "uid=33(www) gid=33(www) groups=33(www)");
    assert_eq!(id("33:0"), "uid=33(www) gid=0(root) groups=0(root)");
    assert_eq!(id("4242"), "uid=4242 gid=0(root) groups=0(root)");
    let none = place.bryo("run --root-emulation none --user www base true").fails(125);
    none.mentions("www").mentions("--root-emulation full");
    place.bryo("run --user nobody base true").fails(125).mentions("nobody");
}
