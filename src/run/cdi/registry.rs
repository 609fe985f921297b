//! The specifications of this machine, and what they say about a device.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::hooks::{self, Links};
use super::spec::{ContainerEdits, DeviceSpec, MountSpec, Spec};
use super::{Edits, Error};
use crate::report::Reporter;
use crate::run::{self, devices};
use crate::sandbox::{Mount, What};

/// By this annotation devices that belong together are asked for by one name; BuildKit's.
const CLASS: &str = "org.mobyproject.buildkit.device.class";

/// What is known of devices. Of several with one name that counts whose folder comes last.
#[derive(Debug, Clone, Default)]
pub(in crate::run) struct Registry {
    folders: Vec<PathBuf>,
    specs: Vec<Spec>,
    /// By `VENDOR/CLASS=NAME`: the specification and the device in it.
    devices: BTreeMap<String, (usize, usize)>,
}

impl Registry {
    /// Reads all specifications in `folders`. Those that make no sense are told, and left out.
    pub(in crate::run) fn read(folders: &[PathBuf], reporter: &dyn Reporter) -> Self {
        let mut registry = Self { folders: folders.to_owned(), ..Self::default() };
        for folder in folders {
            let mut here = BTreeMap::new();
            for path in files(folder, reporter) {
                let spec = fs::read_to_string(&path)
                    .map_err(|error| error.to_string())
                    .and_then(|text| Spec::parse(&path, &text));
                match spec {
                    Ok(spec) => registry.add(&path, spec, &mut here, reporter),
                    Err(why) => {
                        let path = path.display();
                        reporter.warn(format!("CDI specification {path} is left out: {why}"));
                    }
                }
            }
            // A name that two files of one folder have means neither.
            registry.devices.extend(here.into_iter().filter_map(|(name, at)| Some((name, at?))));
        }
        registry
    }

    fn add(
        &mut self,
        path: &Path,
        spec: Spec,
        here: &mut BTreeMap<String, Option<(usize, usize)>>,
        reporter: &dyn Reporter,
    ) {
        for (at, device) in spec.devices.iter().enumerate() {
            let name = format!("{}={}", spec.kind, device.name);
            if here.insert(name.clone(), Some((self.specs.len(), at))).is_some() {
                let path = path.display();
                reporter.warn(format!("CDI device {name} is left out: not only {path} has it"));
                self.devices.remove(&name);
                here.insert(name, None);
            }
        }
        self.specs.push(spec);
    }

    /// The whole names of the devices that `wanted` means: one; with `*` as its name, all of a kind;
    /// without a name, the first; by a class that an annotation tells, all of that.
    ///
    /// # Errors
    ///
    /// [`Error::Name`] when it is no name.
    pub(in crate::run) fn find(&self, wanted: &str) -> Result<Vec<String>, run::Error> {
        if !super::is_name(wanted) {
            return Err(Error::Name(wanted.to_owned()).into());
        }
        let (kind, name) = wanted.split_once('=').unwrap_or((wanted, ""));
        let of_kind = self.devices.iter().filter(|(known, _)| {
            known.strip_prefix(kind).is_some_and(|rest| rest.starts_with('='))
        });
        let names = |(name, _): (&String, _)| name.clone();
        Ok(match name {
            "" => of_kind.take(1).map(names).collect(),
            "*" => of_kind.map(names).collect(),
            _ if self.devices.contains_key(wanted) => vec![wanted.to_owned()],
            class => of_kind.filter(|(_, at)| self.class(**at) == Some(class)).map(names).collect(),
        })
    }

    fn at(&self, (spec, device): (usize, usize)) -> (&Spec, &DeviceSpec) {
        let spec = &self.specs[spec];
        (spec, &spec.devices[device])
    }

    fn class(&self, at: (usize, usize)) -> Option<&str> {
        let (spec, device) = self.at(at);
        device.annotations.get(CLASS).or(spec.annotations.get(CLASS))?.as_str()
    }

    pub(in crate::run) fn missing(&self, name: &str) -> run::Error {
        let known = self.devices.keys().cloned().collect();
        let folders = self.folders.clone();
        Error::Missing { name: name.to_owned(), known, folders }.into()
    }

    /// Adds what the devices of these names, which [`Self::find`] gave, do to a container.
    pub(in crate::run) fn apply(
        &self,
        names: &[String],
        edits: &mut Edits,
        reporter: &dyn Reporter,
    ) -> Result<(), run::Error> {
        let mut links = Links::default();
        let mut done: Vec<usize> = Vec::new();
        for name in names {
            let Some(at) = self.devices.get(name) else { continue };
            let (spec, device) = self.at(*at);
            one(name, &device.container_edits, edits, &mut links, reporter)?;
            // What a specification says of all its devices is done once.
            if !done.contains(&at.0) {
                done.push(at.0);
                one(name, &spec.container_edits, edits, &mut links, reporter)?;
            }
        }
        links.finish(edits);
        Ok(())
    }
}

fn one(
    device: &str,
    from: &ContainerEdits,
    edits: &mut Edits,
    links: &mut Links,
    reporter: &dyn Reporter,
) -> Result<(), run::Error> {
    let privileged = |what| Error::Privileged { device: device.to_owned(), what };
    if !from.net_devices.is_empty() {
        return Err(privileged("network devices").into());
    }
    if from.intel_rdt.is_some() {
        return Err(privileged("Intel RDT").into());
    }
    for node in &from.device_nodes {
        let source = node.host_path.as_ref().unwrap_or(&node.path);
        edits.mounts.push(devices::node(source, absolute(device, &node.path)?)?);
    }
    for mount in &from.mounts {
        edits.mounts.push(mounted(device, mount)?);
    }
    edits.env.extend(from.env.iter().cloned());
    for gid in &from.additional_gids {
        if !edits.groups.contains(gid) {
            edits.groups.push(*gid);
        }
    }
    for hook in &from.hooks {
        hooks::emulate(device, hook, links, reporter)?;
    }
    Ok(())
}

fn absolute<'p>(device: &str, path: &'p Path) -> Result<&'p Path, Error> {
    match path.is_absolute() {
        true => Ok(path),
        false => Err(Error::Path { device: device.to_owned(), path: path.to_owned() }),
    }
}

fn mounted(device: &str, spec: &MountSpec) -> Result<Mount, run::Error> {
    let unknown =
        |option: &str| Error::Option { device: device.to_owned(), option: option.to_owned() };
    let target = absolute(device, &spec.container_path)?;
    let is_tmpfs = spec.kind.as_deref() == Some("tmpfs");
    let (mut read_only, mut mode, mut size) = (false, 0o1777, None);
    for option in &spec.options {
        let (key, value) = option.split_once('=').unwrap_or((option, ""));
        match key {
            "ro" => read_only = true,
            "mode" if is_tmpfs => {
                mode = u32::from_str_radix(value, 8).map_err(|_| unknown(option))?;
            }
            "size" if is_tmpfs => {
                let bytes = crate::dockerfile::value::size(value).map_err(|_| unknown(option))?;
                size = Some(bytes);
            }
            // What is so anyway, or says how others would see what changes beneath.
            "rw" | "bind" | "rbind" | "nosuid" | "nodev" | "exec" | "private" | "rprivate"
            | "slave" | "rslave" | "noatime" | "relatime" => {}
            _ => return Err(unknown(option).into()),
        }
    }
    match spec.kind.as_deref() {
        Some("tmpfs") => {
            let mut mount = Mount::new(target, What::Tmpfs { mode, size });
            mount.read_only = read_only;
            Ok(mount)
        }
        None | Some("" | "bind" | "none") => {
            let source = absolute(device, &spec.host_path)?.to_owned();
            if let Err(error) = fs::metadata(&source) {
                return Err(run::Error::Node { path: source, source: error });
            }
            Ok(Mount::new(target, What::Bind { source, read_only }))
        }
        Some(other) => Err(unknown(&format!("type={other}")).into()),
    }
}

/// The specifications in a folder, in the order of their names. A folder that is not there has none.
fn files(folder: &Path, reporter: &dyn Reporter) -> Vec<PathBuf> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) => {
            if error.kind() != io::ErrorKind::NotFound {
                reporter.warn(format!("CDI specifications in {}: {error}", folder.display()));
            }
            return Vec::new();
        }
    };
    let is_spec = |path: &PathBuf| {
        path.extension().is_some_and(|extension| extension == "json" || extension == "yaml")
    };
    let mut files: Vec<PathBuf> =
        entries.flatten().map(|entry| entry.path()).filter(is_spec).collect();
    files.sort();
    files
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::{Recorder, Silent};

    fn registry(files: &[(&str, &str)]) -> (tempfile::TempDir, Registry, usize) {
        let folder = tempfile::tempdir().expect("a directory");
        for (name, text) in files {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().expect("inside")).expect("a directory");
            fs::write(path, text).expect("a file");
        }
        let recorder = Recorder::default();
        let folders = ["a", "b", "none"].map(|name| folder.path().join(name));
        let registry = Registry::read(&folders, &recorder);
        (folder, registry, recorder.events().len())
    }

    fn spec(kind: &str, devices: &[&str]) -> String {
        let devices: Vec<String> = devices
            .iter()
            .map(|name| {
                let class = if name.starts_with('x') { "odd" } else { "even" };
                format!(
                    r#"{{"name": "{name}", "annotations": {{"{CLASS}": "{class}"}},
                        "containerEdits": {{"env": ["D={name}"]}}}}"#
                )
            })
            .collect();
        format!(
            r#"{{"cdiVersion": "0.6.0", "kind": "{kind}", "devices": [{}],
                "containerEdits": {{"env": ["ALL={kind}"]}}}}"#,
            devices.join(", ")
        )
    }

    #[test]
    fn devices_are_found_as_in_the_reference() {
        let (_folder, registry, told) = registry(&[
            ("a/one.json", &spec("v.com/c", &["b", "a", "x1", "x2"])),
            ("a/two.json", &spec("v.com/cc", &["a"])),
            ("a/three.json", "{"),
            ("a/other.txt", "{"),
            ("b/four.json", &spec("v.com/twice", &["a", "b"])),
            ("b/five.json", &spec("v.com/twice", &["a"])),
        ]);
        assert_eq!(told, 2);
        for (wanted, expected) in [
            ("v.com/c=a", Some("v.com/c=a")),
            ("v.com/c", Some("v.com/c=a")),
            ("v.com/c=*", Some("v.com/c=a v.com/c=b v.com/c=x1 v.com/c=x2")),
            ("v.com/c=odd", Some("v.com/c=x1 v.com/c=x2")),
            ("v.com/c=none", Some("")),
            ("v.com/none", Some("")),
            ("v.com/twice=a", Some("")),
            ("v.com/twice=b", Some("v.com/twice=b")),
            ("none", None),
        ] {
            let found = registry.find(wanted).ok().map(|names| names.join(" "));
            assert_eq!(found.as_deref(), expected, "{wanted}");
        }
        let mut edits = Edits::default();
        let names = registry.find("v.com/c=odd").expect("a name");
        registry.apply(&names, &mut edits, &Silent).expect("harmless");
        assert_eq!(edits.env, ["D=x1", "ALL=v.com/c", "D=x2"]);
    }

    #[test]
    fn a_later_folder_counts() {
        let (_folder, registry, told) = registry(&[
            ("a/x.json", &spec("v.com/c", &["a"])),
            (
                "b/x.yaml",
                "cdiVersion: 1.0.0\nkind: v.com/c\ndevices:\n- name: a\n  containerEdits: {env: [LATER=1]}\n",
            ),
        ]);
        let mut edits = Edits::default();
        registry.apply(&["v.com/c=a".into()], &mut edits, &Silent).expect("harmless");
        assert_eq!((edits.env, told), (vec!["LATER=1".to_owned()], 0));
    }
}
