//! Users, and what is told of a failure.

use super::*;
use crate::fakeroot::{Command, Wish};
use crate::report::{Event, Recorder};

fn image() -> tempfile::TempDir {
    let image = tempfile::tempdir().expect("a directory");
    let etc = image.path().join("etc");
    std::fs::create_dir(&etc).expect("etc");
    let passwd = "root:x:0:0::/root:/bin/sh\napp:x:1000:1000::/home/app:/bin/sh\n";
    std::fs::write(etc.join("passwd"), passwd).expect("passwd");
    let group = "root:x:0:\nstaff:x:50:app,root\naudio:x:29:app\n";
    std::fs::write(etc.join("group"), group).expect("group");
    image
}

fn prepared_as(user: &str, mode: RootEmulation) -> Result<Sandbox, Error> {
    let image = image();
    let root = Root::open(image.path()).expect("a root");
    let options = Options { user: Some(user.into()), ..Options::default() };
    let image = Image {
        root: &root,
        upper: &root,
        config: &Runtime::default(),
        architecture: "",
        unwritten: &Unwritten::new(),
    };
    let help = Help::new(Wish { mode, ..Wish::default() });
    prepare(image, &options, &Command::new(vec!["true".into()]).with(mode), &help)
}

#[test]
fn users_are_those_of_the_image() {
    for (user, ids, groups, home) in [
        ("", (0, 0), &[50][..], "/root"),
        ("root", (0, 0), &[50], "/root"),
        ("0:0", (0, 0), &[], "/root"),
        ("root:staff", (0, 50), &[], "/root"),
        ("app", (1000, 1000), &[1000, 50, 29], "/home/app"),
        ("1000", (1000, 1000), &[1000, 50, 29], "/home/app"),
        ("app:audio", (1000, 29), &[29], "/home/app"),
        ("12", (12, 0), &[0], "/"),
        ("12:34", (12, 34), &[34], "/"),
    ] {
        for mode in [RootEmulation::Full, RootEmulation::Ids] {
            let sandbox = prepared_as(user, mode).expect(user);
            let (uid, gid) = ids;
            assert_eq!(sandbox.user, Identity { uid, gid, groups: groups.to_vec() }, "{user}");
            assert_eq!(sandbox.emulation, mode);
            assert!(sandbox.env.contains(&format!("HOME={home}").into()), "{user}");
        }
    }
    let error = prepared_as("nobody", RootEmulation::Full).expect_err("no such user");
    assert_eq!(error.to_string(), "no user \"nobody\" in the image's /etc/passwd");
    assert!(!error.is_unsupported());
}

#[test]
fn without_emulation_only_root_runs() {
    for mode in [RootEmulation::Fake, RootEmulation::Fakeroot, RootEmulation::None] {
        for (user, refused) in [
            ("root", None),
            ("0:0", None),
            ("app", Some("user \"app\" is 1000:1000, and with root emulation")),
            ("root:staff", Some("user \"root:staff\" is 0:50, and with root emulation")),
        ] {
            let result = prepared_as(user, mode);
            match (&result, refused) {
                (Ok(sandbox), None) => assert!(sandbox.user.is_plain_root(), "{user}"),
                (Err(error), Some(text)) => {
                    assert!(error.to_string().starts_with(text), "{error}");
                    assert!(error.to_string().contains(&format!("\"{mode}\"")), "{error}");
                    assert!(error.is_unsupported());
                    assert!(error.hint().is_some_and(|hint| hint.contains("full")), "{mode}");
                }
                _ => panic!("{user}: {result:?}"),
            }
        }
    }
}

#[test]
fn refusals_are_told_as_strace_would() {
    let refusal = |number: u32| Refusal {
        call: format!("mknod(\"/{number}\", S_IFBLK)"),
        errno: crate::sys::errno::EPERM,
        count: number,
    };
    let recorder = Recorder::default();
    tell(&(1..=12).map(refusal).collect::<Vec<_>>(), &recorder);
    let told: Vec<String> = recorder
        .events()
        .into_iter()
        .filter_map(|event| match event {
            Event::Warning { text } => Some(text),
            _ => None,
        })
        .collect();
    assert_eq!(told.len(), 11);
    assert_eq!(told[0], "emulation refused mknod(\"/1\", S_IFBLK): Operation not permitted");
    assert_eq!(
        told[1],
        "emulation refused mknod(\"/2\", S_IFBLK): Operation not permitted (2 times)"
    );
    assert_eq!(told[10], "emulation refused 2 other calls");
}
