//! What makes a directory a runtime bundle (runtime-spec bundle.md): the files of one image in `rootfs`, and a
//! `config.json` by which crun or runc, or a podman of their kind, starts it without privilege.
//!
//! What the image says becomes what runs by image-spec conversion.md. All else is as the runtimes'
//! own models for ordinary users have it: user namespace with the caller as its root, the caller's
//! network.

use std::path::Path;

use serde_json::{Map, Value, json};

use super::replace;
use crate::image::Config;
use crate::report::Reporter;
use crate::rootfs::{self, Accounts, Owner};
use crate::sys;
use crate::transfer::Error;

/// Where programs are, for images that do not say it.
const PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What docker lets root of a container do.
const CAPABILITIES: [&str; 14] = [
    "CAP_AUDIT_WRITE",
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_MKNOD",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_RAW",
    "CAP_SETFCAP",
    "CAP_SETGID",
    "CAP_SETPCAP",
    "CAP_SETUID",
    "CAP_SYS_CHROOT",
];

/// Where the files are in a bundle.
pub(super) const FILES: &str = "rootfs";

/// Writes what a runtime wants to know of an image with these files into `dir`. The bundle is called
/// `name` in a warning.
pub(super) fn describe(
    dir: &Path,
    files: &rootfs::Root,
    config: &Config,
    name: &str,
    reporter: &dyn Reporter,
) -> Result<(), Error> {
    let owner = Accounts::read(files)?.process_owner(&config.runtime.user)?;
    if (owner.uid, owner.gid) != (0, 0) {
        let Owner { uid, gid, .. } = &owner;
        reporter.warn(format!(
            "{name}: the image runs as {uid}:{gid}, whom only a runtime with subordinate ids can \
             have; uidMappings and gidMappings in config.json map root alone"
        ));
    }
    let text = serde_json::to_vec_pretty(&runtime_config(config, &owner, sys::ns::outside()))
        .expect("it has string keys");
    replace(&dir.join("config.json"), &text)
}

/// The bundle's `config.json` (runtime-spec config.md). `caller` is the user and the group that
/// root of the container is outside.
fn runtime_config(config: &Config, owner: &Owner, caller: (u32, u32)) -> Value {
    let runtime = &config.runtime;
    let words = |words: &Option<Vec<String>>| words.clone().unwrap_or_default();
    let mut args = [words(&runtime.entrypoint), words(&runtime.cmd)].concat();
    if args.is_empty() {
        args.push("/bin/sh".to_owned()); // a process must be told something
    }
    let mut env = runtime.env.clone();
    if !env.iter().any(|pair| pair.starts_with("PATH=")) {
        env.push(PATH.to_owned());
    }
    let cwd = if runtime.working_dir.is_empty() { "/" } else { &runtime.working_dir };
    let masked = [
        "/proc/acpi",
        "/proc/asound",
        "/proc/kcore",
        "/proc/keys",
        "/proc/latency_stats",
        "/proc/timer_list",
        "/proc/timer_stats",
        "/proc/sched_debug",
        "/proc/scsi",
        "/sys/firmware",
    ];
    let read_only = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];
    let namespaces = ["pid", "ipc", "uts", "mount", "user", "cgroup"];
    json!({
        "ociVersion": "1.0.2",
        "process": {
            "terminal": false,
            "user": {"uid": owner.uid, "gid": owner.gid},
            "args": args,
            "env": env,
            "cwd": cwd,
            "capabilities": {
                "bounding": CAPABILITIES,
                "effective": CAPABILITIES,
                "permitted": CAPABILITIES,
            },
            "noNewPrivileges": true,
        },
        "root": {"path": FILES, "readonly": false},
        "mounts": mounts(),
        "annotations": annotations(config),
        "linux": {
            "uidMappings": [{"containerID": 0, "hostID": caller.0, "size": 1}],
            "gidMappings": [{"containerID": 0, "hostID": caller.1, "size": 1}],
            "namespaces": namespaces.map(|kind| json!({"type": kind})),
            "maskedPaths": masked,
            "readonlyPaths": read_only,
        },
    })
}

fn mounts() -> Value {
    let mount = |place: &str, kind: &str, source: &str, options: &[&str]| json!({"destination": place, "type": kind, "source": source, "options": options});
    let dev = ["nosuid", "strictatime", "mode=755", "size=65536k"];
    let pts = ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"];
    let shm = ["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"];
    let closed = ["nosuid", "noexec", "nodev"];
    json!([
        mount("/proc", "proc", "proc", &[]),
        mount("/dev", "tmpfs", "tmpfs", &dev),
        mount("/dev/pts", "devpts", "devpts", &pts),
        mount("/dev/shm", "tmpfs", "shm", &shm),
        mount("/dev/mqueue", "mqueue", "mqueue", &closed),
        // The network is the caller's, and whoever has another's cannot mount a sysfs.
        mount("/sys", "none", "/sys", &["rbind", "nosuid", "noexec", "nodev", "ro"]),
        mount("/etc/resolv.conf", "none", "/etc/resolv.conf", &["bind", "ro"]),
    ])
}

/// What conversion.md wants to be said; what the image's labels say of the same wins.
fn annotations(config: &Config) -> Value {
    let mut said = Map::new();
    let mut say = |name: &str, text: Option<&str>| {
        if let Some(text) = text.filter(|text| !text.is_empty()) {
            said.insert(format!("org.opencontainers.image.{name}"), text.into());
        }
    };
    let ports: Vec<&str> = config.runtime.exposed_ports.keys().map(String::as_str).collect();
    say("os", Some(&config.os));
    say("architecture", Some(&config.architecture));
    say("variant", config.variant.as_deref());
    say("author", config.author.as_deref());
    say("created", config.created.as_deref());
    say("stopSignal", config.runtime.stop_signal.as_deref());
    say("exposedPorts", Some(&ports.join(",")));
    for (name, text) in &config.runtime.labels {
        said.insert(name.clone(), text.clone().into());
    }
    Value::Object(said)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_image_says_is_what_runs() {
        let text = r#"{"os":"linux","architecture":"arm64","author":"Ann","config":{
            "User":"33:5","Env":["A=b"],"Entrypoint":["/e","-x"],"Cmd":["c d"],"WorkingDir":"/w",
            "ExposedPorts":{"80/tcp":{},"53/udp":{}},"StopSignal":"SIGINT",
            "Labels":{"l":"1","org.opencontainers.image.author":"Bob"}}}"#;
        let config = Config::parse(text.as_bytes()).expect("a configuration");
        let owner = Accounts::default().process_owner("33:5").expect("numbers");
        let made = runtime_config(&config, &owner, (1000, 100));
        let process = &made["process"];
        assert_eq!(process["args"], json!(["/e", "-x", "c d"]));
        assert_eq!(process["env"], json!(["A=b", PATH]));
        assert_eq!(process["user"], json!({"uid": 33, "gid": 5}));
        assert_eq!(process["cwd"], "/w");
        let hosts = ["uidMappings", "gidMappings"].map(|name| &made["linux"][name][0]["hostID"]);
        assert_eq!(hosts, [&json!(1000), &json!(100)]);
        let said =
            |name: &str| made["annotations"][format!("org.opencontainers.image.{name}")].clone();
        let names = ["os", "architecture", "author", "stopSignal", "exposedPorts", "created"];
        let expected = ["linux", "arm64", "Bob", "SIGINT"].map(Value::from);
        assert_eq!(names.map(said)[..4], expected);
        assert_eq!((said("exposedPorts"), said("created")), ("53/udp,80/tcp".into(), Value::Null));
        assert_eq!(made["annotations"]["l"], "1");
        let bare = runtime_config(&Config::default(), &owner, (0, 0));
        assert_eq!(
            (&bare["process"]["args"], &bare["process"]["cwd"]),
            (&json!(["/bin/sh"]), &json!("/"))
        );
    }
}
