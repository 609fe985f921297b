//! What commands find beside their image: names of hosts, limits, devices; in steps of a build and
//! under `bryo run`.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use crate::support::{Place, Run, busybox};

fn build(place: &Place, options: &[&str], dockerfile: &str) -> Run {
    let context = place.context("context", dockerfile, &[]);
    place.bryo("build --progress plain -t app").args(options).arg(context)
}

/// The names in the top layer of `app`, sorted, in one line.
fn top_layer(place: &Place) -> String {
    place.bryo("save --format oci-dir -o saved app").succeeds();
    let script = "cd saved && index=$(grep -o 'sha256:[0-9a-f]*' index.json | head -1) &&
        layer=$(grep -o 'sha256:[0-9a-f]*' blobs/sha256/${index#*:} | tail -1) &&
        tar tzf blobs/sha256/${layer#*:} | sort | tr '\\n' ' '; cd .. && rm -rf saved";
    place.run("sh").args(["-ec", script]).succeeds().text().trim().to_owned()
}

#[test]
fn steps_find_what_options_say() {
    let place = Place::new();
    if !busybox(&place) {
        return;
    }
    for (options, script) in [
        (
            &["--add-host", "one:1.2.3.4", "--add-host=two=[fe80::1]"][..],
            "grep -q '^1.2.3.4.one$' /etc/hosts && grep -q '^fe80::1.two$' /etc/hosts && \
             grep -q localhost /etc/hosts",
        ),
        (&["--add-host", "gate:host-gateway"], "grep -q '^127.0.0.1.gate$' /etc/hosts"),
        (
            &["--shm-size", "4m"],
            "test $(busybox df -k /dev/shm | tail -1 | busybox awk '{print $2}') = 4096",
        ),
        (
            &["--ulimit", "nofile=100:200", "--ulimit", "core=0", "--ulimit", "locks=1"],
            "test $(ulimit -Sn) = 100 && test $(ulimit -Hn) = 200 && test $(ulimit -c) = 0",
        ),
        // The user of a step is no matter.
        (&["--ulimit", "nofile=50"], "busybox su -s /bin/sh www -c 'test $(ulimit -n) = 50'"),
        (
            &["--device", "/dev/zero:/dev/mine"],
            "test $(busybox head -c 3 /dev/mine | wc -c) = 3 && test -c /dev/mine",
        ),
        (
            &["--device", "/dev/null:/opt/deep/null:rwm"],
            "echo > /opt/deep/null && test -c /opt/deep/null",
        ),
    ] {
        let dockerfile = format!("FROM base\nRUN {script}\n");
        build(&place, options, &dockerfile).succeeds();
        assert_eq!(top_layer(&place), "", "{options:?}");
        // What the step could see is in its key, and nothing else is.
        let again = build(&place, options, &dockerfile).succeeds();
        assert!(again.errors().contains("cached"), "{options:?}: {again}");
        build(&place, &[], &dockerfile).fails(1);
    }
    for (options, code, said) in [
        (&["--add-host", "x"][..], 2, "NAME:ADDRESS"),
        (&["--add-host", "x:y"], 2, "invalid IP address"),
        (&["--shm-size", "x"], 2, "--shm-size"),
        (&["--ulimit", "files=1"], 2, "--ulimit"),
        (&["--ulimit", "nofile=-1"], 8, "more than this user may have"),
        (&["--device", "/dev/none"], 3, "/dev/none"),
        (&["--device", "/etc/passwd"], 3, "is not a device"),
        (&["--device", "/dev/null:/dev/x:r"], 2, "always rw"),
    ] {
        build(&place, options, "FROM base\nRUN true\n").fails(code).mentions(said);
    }
}

#[test]
fn entitlements_are_those_of_the_caller() {
    let place = Place::new();
    if !busybox(&place) {
        return;
    }
    let host = "FROM base\nRUN --network=host --security=sandbox true\n";
    build(&place, &[], host).succeeds();
    for allowed in ["network.host", "device", "device=v.com/c=x", "network.host,device"] {
        build(&place, &["--allow", allowed], host).succeeds();
    }
    let said = build(&place, &["--allow", "security.insecure"], host).fails(8);
    assert!(said.errors().contains("bryo has no privilege to give"), "{said}");
    build(&place, &["--allow", "everything"], host)
        .fails(2)
        .mentions("security.insecure are known");
    for options in
        [&["--rm", "--force-rm=true"][..], &["--debug"], &["-D", "--disable-content-trust"]]
    {
        build(&place, options, host).succeeds();
    }
    for progress in ["rawjson", "quiet"] {
        let context = place.context("context", host, &[]);
        place.bryo("build --progress").arg(progress).arg(context).succeeds();
    }
    for (line, code, said) in [
        ("build --memory 1g .", 8, "control group"),
        ("build --memory 1g .", 8, "systemd-run --user --scope"),
        ("build --builder x .", 2, "there are no builders"),
        ("run --name x base true", 2, "nothing of a command stays"),
        ("run -d base true", 2, "no daemon"),
        ("run -p 80:80 base true", 2, "its own port"),
        ("run --privileged base true", 8, "your own rights"),
    ] {
        place.bryo(line).fails(code).mentions(said);
    }
}

#[test]
fn commands_find_what_options_say() {
    let place = Place::new();
    if !busybox(&place) {
        return;
    }
    for (options, script) in [
        ("--add-host one:1.2.3.4", "grep -q '^1.2.3.4.one$' /etc/hosts"),
        ("--hostname mine", "test $(hostname) = mine && grep -q localhost.mine /etc/hosts"),
        (
            "--shm-size 4m",
            "test $(busybox df -k /dev/shm | tail -1 | busybox awk '{print $2}') = 4096",
        ),
        ("--ulimit nofile=100:200", "test $(ulimit -Sn):$(ulimit -Hn) = 100:200"),
        ("--device /dev/zero:/dev/mine", "test $(busybox head -c 3 /dev/mine | wc -c) = 3"),
        ("--tmpfs /t:size=1m,mode=0700", "test $(stat -c %a /t) = 700 && touch /t/x"),
        (
            "--read-only --tmpfs /t",
            "! touch /x && ! mkdir /etc/x && ! chmod 700 /etc && touch /t/x /dev/shm/x && echo > /dev/null",
        ),
        ("--net=none", "test $(busybox ip -o link | grep -c .) = 1"),
    ] {
        for mode in ["full", "none"] {
            let line = format!("run --root-emulation {mode} {options} base sh -ec");
            place.bryo(&line).arg(script).succeeds();
        }
    }
    place.bryo("run --read-only -w /made base pwd").succeeds();
    for (line, code, said) in [
        ("run --device /dev/none base true", 125, "/dev/none"),
        ("run --tmpfs t base true", 2, "not absolute"),
        ("run --hostname a/b base true", 2, "no name of a host"),
    ] {
        place.bryo(line).fails(code).mentions(said);
    }
}

/// Specifications in both forms, of devices and files that everybody has.
fn specifications(place: &Place) -> String {
    let library = place.file("host/libx.so.1.2", "library\n");
    let file = place.file("host/file", "from the host\n");
    let (library, file) = (library.display(), file.display());
    let yaml = format!(
        "cdiVersion: 0.6.0\nkind: vendor.com/class\nannotations:\n  \
         org.mobyproject.buildkit.device.autoallow: \"true\"\ncontainerEdits:\n  env:\n  - ALL=1\n  \
         additionalGids: [44]\n  hooks:\n  - hookName: createContainer\n    path: /usr/bin/x-hook\n    \
         args: [x-hook, create-symlinks, --link, libx.so.1.2::/usr/lib/libx.so.1]\n  \
         - hookName: createContainer\n    path: /usr/bin/x-hook\n    \
         args: [x-hook, update-ldcache, --folder, /usr/lib]\ndevices:\n- name: zero\n  \
         annotations:\n    org.mobyproject.buildkit.device.class: some\n  containerEdits:\n    \
         env: [\"ONE=zero\"]\n    deviceNodes:\n    - path: /dev/vendor/zero\n      \
         hostPath: /dev/zero\n- name: file\n  annotations:\n    \
         org.mobyproject.buildkit.device.class: some\n  containerEdits:\n    mounts:\n    \
         - hostPath: {file}\n      containerPath: /opt/vendor/file\n      \
         options: [ro, nosuid, nodev, bind]\n    - hostPath: {library}\n      \
         containerPath: /usr/lib/libx.so.1.2\n      options: [ro, bind]\n"
    );
    place.file("cdi/vendor.yaml", yaml);
    let json = r#"{"cdiVersion": "0.5.0", "kind": "other.com/class", "devices": [
        {"name": "hook", "containerEdits": {"hooks": [
            {"hookName": "prestart", "path": "/bin/evil", "args": ["evil", "root"]}]}},
        {"name": "net", "containerEdits": {"netDevices": [{"hostInterfaceName": "a", "name": "b"}]}},
        {"name": "gone", "containerEdits": {"deviceNodes": [{"path": "/dev/none-here"}]}},
        {"name": "null", "containerEdits": {"deviceNodes": [{"path": "/dev/vendor/null",
            "hostPath": "/dev/null", "type": "c", "permissions": "rw"}]}}]}"#;
    place.file("cdi/other.json", json);
    place.file("cdi/broken.yaml", "kind: [\n");
    place.path("cdi").display().to_string()
}

#[test]
fn devices_are_as_their_specifications_say() {
    let place = Place::new();
    if !busybox(&place) {
        return;
    }
    let folder = specifications(&place);
    let options = ["--cdi-dir", folder.as_str(), "--allow", "device"];
    for (flags, script) in [
        (
            "--device=vendor.com/class=zero",
            "test -c /dev/vendor/zero && test $(busybox head -c 3 /dev/vendor/zero | wc -c) = 3 && \
             test $ONE$ALL = zero1 && test ! -e /opt/vendor",
        ),
        ("--device=vendor.com/class=zero,required", "test -c /dev/vendor/zero"),
        (
            "--device=vendor.com/class",
            "test \"$(cat /opt/vendor/file)\" = 'from the host' && ! echo > /opt/vendor/file && \
             test ! -e /dev/vendor",
        ),
        (
            "--device=name=vendor.com/class=file",
            "test \"$(cat /usr/lib/libx.so.1)\" = library && test $LD_LIBRARY_PATH = /usr/lib",
        ),
        ("--device=vendor.com/class=*", "test -c /dev/vendor/zero && test -e /opt/vendor/file"),
        ("--device=vendor.com/class=some", "test -c /dev/vendor/zero && test -e /opt/vendor/file"),
        (
            "--device=vendor.com/class=zero --device=other.com/class=null",
            "test -c /dev/vendor/zero && echo > /dev/vendor/null",
        ),
        ("--device=vendor.com/class=zero", "id -G | grep -qw 44"),
        ("--device=vendor.com/class=none", "test ! -e /dev/vendor && test -z \"$ALL\""),
        ("--device=nobody.com/class", "test ! -e /dev/vendor"),
    ] {
        let dockerfile = format!("FROM base\nRUN {flags} {script}\n");
        let said = build(&place, &options, &dockerfile).succeeds();
        assert_eq!(top_layer(&place), "", "{flags} leaves something in the layer");
        assert!(said.errors().contains("broken.yaml is left out"), "{said}");
        let missing = flags.contains("none") || flags.contains("nobody");
        assert_eq!(said.errors().contains("optional device"), missing, "{said}");
    }
    let env = "FROM base\nENV LD_LIBRARY_PATH=/own ONE=own\nRUN --device=vendor.com/class=zero \
               test $LD_LIBRARY_PATH$ONE = /usr/lib:/ownzero\n";
    build(&place, &options, env).succeeds();
    for (flags, code, said) in [
        (
            "--device=vendor.com/class=none,required",
            3,
            "required device \"vendor.com/class=none\" is not registered",
        ),
        ("--device=vendor.com/class=none,required", 3, "vendor.com/class=zero"),
        ("--device=class1", 2, "invalid device \"class1\""),
        ("--device=vendor.com/class,x", 2, "invalid field 'x' must be a key=value pair"),
        ("--device=vendor.com/class,requird=1", 2, "did you mean required?"),
        ("--device=other.com/class=hook", 8, "hook \"/bin/evil evil root\" cannot be run"),
        ("--device=other.com/class=net", 8, "network devices cannot be changed"),
        ("--device=other.com/class=gone", 3, "/dev/none-here"),
    ] {
        let dockerfile = format!("FROM base\nRUN {flags} true\n");
        build(&place, &options, &dockerfile).fails(code).mentions(said);
    }
    let run = |device: &str| {
        let run = place.bryo("run --cdi-dir").arg(&folder).args(["--device", device]);
        run.args(["base", "sh", "-c", "test -c /dev/vendor/zero && echo $ONE"])
    };
    assert_eq!(run("vendor.com/class=zero").succeeds().text(), "zero");
    run("vendor.com/class=none").fails(125).mentions("is not registered");
    // A user's own specifications, where nobody says where they are.
    let own = place.folder("home/.config/cdi");
    fs::copy(place.path("cdi/vendor.yaml"), own.join("vendor.yaml")).expect("a copy");
    let mode = fs::Permissions::from_mode(0o644);
    fs::set_permissions(own.join("vendor.yaml"), mode).expect("chmod");
    build(
        &place,
        &["--no-cache"],
        "FROM base\nRUN --device=vendor.com/class=zero,required test -c /dev/vendor/zero\n",
    )
    .succeeds();
}
