//! A specification as its file has it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::Value;

/// A vendor's devices of one kind.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Spec {
    pub(super) cdi_version: String,
    /// `VENDOR/CLASS`
    pub(super) kind: String,
    #[serde(default)]
    pub(super) annotations: BTreeMap<String, Value>,
    #[serde(default)]
    pub(super) devices: Vec<DeviceSpec>,
    /// What is to be done whichever of its devices is asked for.
    #[serde(default)]
    pub(super) container_edits: ContainerEdits,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct DeviceSpec {
    pub(super) name: String,
    #[serde(default)]
    pub(super) annotations: BTreeMap<String, Value>,
    #[serde(default)]
    pub(super) container_edits: ContainerEdits,
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct ContainerEdits {
    pub(super) env: Vec<String>,
    pub(super) device_nodes: Vec<DeviceNode>,
    pub(super) mounts: Vec<MountSpec>,
    pub(super) hooks: Vec<Hook>,
    #[serde(rename = "additionalGIDs", alias = "additionalGids")]
    pub(super) additional_gids: Vec<u32>,
    pub(super) net_devices: Vec<Value>,
    pub(super) intel_rdt: Option<Value>,
}

/// Its numbers, mode, owner and permissions are those of the node that there is.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct DeviceNode {
    /// In the container, and on this machine unless there is another one.
    pub(super) path: PathBuf,
    #[serde(default)]
    pub(super) host_path: Option<PathBuf>,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct MountSpec {
    pub(super) host_path: PathBuf,
    pub(super) container_path: PathBuf,
    #[serde(default)]
    pub(super) options: Vec<String>,
    #[serde(default, rename = "type")]
    pub(super) kind: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Hook {
    pub(super) path: PathBuf,
    #[serde(default)]
    pub(super) args: Vec<String>,
}

impl Spec {
    /// Reads a file whose name ends in `.json` or `.yaml`.
    pub(super) fn parse(path: &Path, text: &str) -> Result<Self, String> {
        let value = match path.extension().is_some_and(|extension| extension == "json") {
            true => serde_json::from_str(text).map_err(|error| error.to_string())?,
            false => crate::document::from_yaml(text)?,
        };
        let spec: Self = serde_json::from_value(value).map_err(|error| error.to_string())?;
        let version = spec.cdi_version.strip_prefix('v').unwrap_or(&spec.cdi_version);
        if !version.starts_with("0.") && !version.starts_with("1.") {
            return Err(format!("cdiVersion {version:?} is unknown"));
        }
        if spec.kind.contains('=') || !super::is_name(&spec.kind) {
            return Err(format!("kind {:?} is not VENDOR/CLASS", spec.kind));
        }
        for device in &spec.devices {
            if device.name == "*" || !super::is_name(&format!("{}={}", spec.kind, device.name)) {
                return Err(format!("{:?} is no name of a device", device.name));
            }
        }
        Ok(spec)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_and_yaml_say_the_same() {
        let yaml = "cdiVersion: \"0.6.0\"\nkind: vendor.com/class\ndevices:\n- name: \"0\"\n  \
                    containerEdits:\n    deviceNodes:\n    - path: /dev/x\n      hostPath: /dev/null\n\
                    containerEdits:\n  env: [A=1]\n  additionalGids: [5]\n  hooks:\n  - hookName: \
                    createContainer\n    path: /h\n    args:\n    - h\n    - update-ldcache\n";
        let json = r#"{"cdiVersion": "0.6.0", "kind": "vendor.com/class", "devices": [{"name": "0",
            "containerEdits": {"deviceNodes": [{"path": "/dev/x", "hostPath": "/dev/null"}]}}],
            "containerEdits": {"env": ["A=1"], "additionalGids": [5],
            "hooks": [{"hookName": "createContainer", "path": "/h", "args": ["h", "update-ldcache"]}]}}"#;
        let read = |name: &str, text: &str| Spec::parse(Path::new(name), text).expect(name);
        let (one, two) = (read("x.yaml", yaml), read("x.json", json));
        assert_eq!(one, two);
        assert_eq!(one.devices[0].container_edits.device_nodes[0].path, Path::new("/dev/x"));
        assert_eq!(one.container_edits.additional_gids, [5]);
    }

    #[test]
    fn what_makes_no_sense_is_said() {
        for (text, expected) in [
            ("{}", "cdiVersion"),
            ("{\"cdiVersion\": \"9\", \"kind\": \"a/b\"}", "cdiVersion \"9\" is unknown"),
            ("{\"cdiVersion\": \"1.0.0\", \"kind\": \"a\"}", "is not VENDOR/CLASS"),
            (
                "{\"cdiVersion\": \"1.0.0\", \"kind\": \"a/b\", \"devices\": [{\"name\": \"x y\"}]}",
                "is no name of a device",
            ),
            ("[", "EOF"),
        ] {
            let error = Spec::parse(Path::new("x.json"), text).expect_err(text);
            assert!(error.contains(expected), "{text}: {error}");
        }
        assert!(Spec::parse(Path::new("x.yaml"), "a: [").is_err());
    }
}
