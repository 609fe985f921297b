//! [`diff`]: what is other in one image than in another one.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use serde::Serialize;
use serde_json::{Map, Value, json};

use super::databases::Databases;
use super::listing::{Item, Listing, list_keeping};
use super::merged::Merged;
use super::scan::{Budget, Limits, side_by_side};
use super::{Error, kind_name};
use crate::image::{Config, Digest, Manifest};
use crate::layer::archive::EntryKind;
use crate::packages::{Installed, Package};
use crate::store::Store;
use crate::transfer::Source;

/// One of the two images.
#[derive(Clone, Copy)]
pub struct Side<'a> {
    pub source: &'a dyn Source,
    pub manifest: &'a Manifest,
    pub config: &'a Config,
}

impl std::fmt::Debug for Side<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Side").field(&self.manifest.descriptor.digest).finish()
    }
}

/// What is other: what only one has, and what both have in different ways.
#[derive(Debug, PartialEq, Serialize)]
pub struct Changes<T> {
    pub added: BTreeMap<String, T>,
    pub removed: BTreeMap<String, T>,
    pub changed: BTreeMap<String, (T, T)>,
}

impl<T> Default for Changes<T> {
    fn default() -> Self {
        Self { added: BTreeMap::new(), removed: BTreeMap::new(), changed: BTreeMap::new() }
    }
}

impl<T: PartialEq> Changes<T> {
    fn between(mut a: BTreeMap<String, T>, b: BTreeMap<String, T>) -> Self {
        let mut changes = Self::default();
        for (name, new) in b {
            match a.remove(&name) {
                None => drop(changes.added.insert(name, new)),
                Some(old) if old != new => drop(changes.changed.insert(name, (old, new))),
                Some(_) => {}
            }
        }
        changes.removed = a;
        changes
    }

    pub fn is_empty(&self) -> bool {
        self.added.is_empty() && self.removed.is_empty() && self.changed.is_empty()
    }
}

/// A file as a difference shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Shown {
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// In bytes.
    pub size: u64,
    pub mode: String,
    pub uid: u32,
    pub gid: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub link: Option<String>,
}

/// A file that both have.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Changed {
    pub a: Shown,
    pub b: Shown,
    /// In what they differ.
    pub what: Vec<&'static str>,
}

/// What is other in the second image.
#[derive(Debug, Default, Serialize)]
pub struct Difference {
    /// Fields of the configuration, as paths with dots, that have no row of their own below.
    pub config: Changes<Value>,
    pub env: Changes<String>,
    pub labels: Changes<String>,
    /// `MANAGER NAME`, of several architectures with that; and their versions.
    pub packages: Changes<String>,
    pub files: Files,
}

#[derive(Debug, Default, Serialize)]
pub struct Files {
    pub added: BTreeMap<String, Shown>,
    pub removed: BTreeMap<String, Shown>,
    pub changed: BTreeMap<String, Changed>,
}

impl Difference {
    pub fn is_empty(&self) -> bool {
        let Self { config, env, labels, packages, files } = self;
        config.is_empty()
            && env.is_empty()
            && labels.is_empty()
            && packages.is_empty()
            && files.added.is_empty()
            && files.removed.is_empty()
            && files.changed.is_empty()
    }
}

/// Compares two images: configurations, packages and every file's content. A layer that both have is
/// read once. With `timeless` no time of any kind makes a difference.
///
/// # Errors
///
/// What the sources say. A database of packages that cannot be read is told by `note` and counts as
/// empty.
pub fn diff(
    a: &Side<'_>,
    b: &Side<'_>,
    timeless: bool,
    store: &Store,
    jobs: usize,
    note: &mut dyn FnMut(String),
) -> Result<Difference, Error> {
    let mut difference = configurations(a.config, b.config, timeless);
    if a.manifest.descriptor.digest == b.manifest.descriptor.digest {
        return Ok(difference);
    }
    let mut layers: Vec<(&dyn Source, &crate::image::Descriptor)> = Vec::new();
    for side in [a, b] {
        for layer in &side.manifest.layers {
            if !layers.iter().any(|(_, known)| known.digest == layer.digest) {
                layers.push((side.source, layer));
            }
        }
    }
    let workspace = store.workspace()?;
    let databases = Databases::new(workspace.path());
    let (limits, budget) = (Limits::default(), Budget::default());
    let listings = side_by_side(&layers, jobs, |_, (source, layer)| {
        list_keeping(*source, layer, &limits, &budget, &databases)
    })?;
    let known: HashMap<&Digest, Listing> =
        layers.iter().map(|(_, layer)| &layer.digest).zip(listings).collect();
    let merged = |side: &Side<'_>| {
        let listings = side.manifest.layers.iter().map(|layer| known[&layer.digest].clone());
        Merged::of(listings.collect())
    };
    let trees = (merged(a), merged(b));
    difference.files = files(&trees.0, &trees.1, timeless);
    let mut packages = |side: &Side<'_>, tree: &Merged| -> Result<_, Error> {
        let digests: Vec<&Digest> =
            side.manifest.layers.iter().map(|layer| &layer.digest).collect();
        let installed = databases.installed(tree, &digests)?;
        for unread in &installed.unread {
            note(format!("{}: {unread}", side.source.name()));
        }
        Ok(versions(&installed))
    };
    let (old, new) = (packages(a, &trees.0)?, packages(b, &trees.1)?);
    difference.packages = Changes::between(old, new);
    Ok(difference)
}

fn configurations(a: &Config, b: &Config, timeless: bool) -> Difference {
    let pairs = |list: &[String]| -> BTreeMap<String, String> {
        list.iter()
            .map(|pair| {
                let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
                (name.to_owned(), value.to_owned())
            })
            .collect()
    };
    let rest = |config: &Config| {
        let mut config = config.clone();
        config.runtime.env.clear();
        config.runtime.labels.clear();
        config.rootfs.diff_ids.clear();
        config.history.clear();
        if timeless {
            config.created = None;
        }
        let mut flat = BTreeMap::new();
        flatten(json!(config), String::new(), &mut flat);
        flat
    };
    Difference {
        config: Changes::between(rest(a), rest(b)),
        env: Changes::between(pairs(&a.runtime.env), pairs(&b.runtime.env)),
        labels: Changes::between(a.runtime.labels.clone(), b.runtime.labels.clone()),
        ..Difference::default()
    }
}

/// Fields of objects in objects, as one list.
fn flatten(value: Value, name: String, into: &mut BTreeMap<String, Value>) {
    let fields: Map<String, Value> = match value {
        Value::Object(fields) if !fields.is_empty() => fields,
        Value::Object(_) if name.is_empty() => return,
        value => return drop(into.insert(name, value)),
    };
    for (field, value) in fields {
        let name = if name.is_empty() { field } else { format!("{name}.{field}") };
        flatten(value, name, into);
    }
}

fn versions(installed: &Installed) -> BTreeMap<String, String> {
    let mut count: HashMap<(&str, &str), usize> = HashMap::new();
    for package in &installed.packages {
        *count.entry((package.manager.name(), &package.name)).or_default() += 1;
    }
    let mut found = BTreeMap::new();
    for package in &installed.packages {
        let Package { manager, name, version, epoch, architecture, .. } = package;
        let mut key = format!("{} {name}", manager.name());
        if count[&(manager.name(), &**name)] > 1 {
            key += &format!(":{}", architecture.as_deref().unwrap_or_default());
        }
        let version = match epoch {
            Some(epoch) => format!("{epoch}:{version}"),
            None => version.clone(),
        };
        // Kernels are installed several times.
        found
            .entry(key)
            .and_modify(|known: &mut String| *known += &format!(", {version}"))
            .or_insert(version);
    }
    found
}

fn files(a: &Merged, b: &Merged, timeless: bool) -> Files {
    let mut found = Files::default();
    let name = |path: &Path| match path.to_string_lossy() {
        empty if empty.is_empty() => "/".to_owned(),
        path => path.into_owned(),
    };
    for (path, new) in b.iter() {
        match a.get(path) {
            None => drop(found.added.insert(name(path), shown(&new.item))),
            Some(old) => {
                let what = differences(&old.item, &new.item, timeless);
                if !what.is_empty() {
                    let (a, b) = (shown(&old.item), shown(&new.item));
                    found.changed.insert(name(path), Changed { a, b, what });
                }
            }
        }
    }
    let gone = a.iter().filter(|(path, _)| b.get(path).is_none());
    found.removed = gone.map(|(path, old)| (name(path), shown(&old.item))).collect();
    found
}

fn shown(item: &Item) -> Shown {
    Shown {
        kind: kind_name(item.kind),
        size: item.size,
        mode: format!("{:04o}", item.mode),
        uid: item.uid,
        gid: item.gid,
        link: item.link.as_deref().map(|link| link.to_string_lossy().into_owned()),
    }
}

fn differences(a: &Item, b: &Item, timeless: bool) -> Vec<&'static str> {
    let is_link = a.kind == EntryKind::Symlink;
    let rows = [
        ("type", a.kind != b.kind),
        ("content", a.content != b.content || a.size != b.size),
        ("link", a.link != b.link),
        // A link's own mode means nothing.
        ("mode", a.mode != b.mode && !is_link),
        ("owner", (a.uid, a.gid) != (b.uid, b.gid)),
        ("device", a.device != b.device),
        ("attributes", a.xattrs != b.xattrs),
        ("time", a.mtime != b.mtime && !timeless),
    ];
    rows.into_iter().filter_map(|(name, differs)| differs.then_some(name)).collect()
}

#[cfg(test)]
mod tests {

    use super::*;
    use crate::inspect::Record;
    use crate::layer::archive::Entry;

    #[test]
    fn configurations_are_compared_field_by_field() {
        let parse = |text: &str| Config::parse(text.as_bytes()).expect("valid");
        let a = parse(
            r#"{"created":"1","os":"linux","architecture":"amd64","config":{"Env":["A=1","B=2"],"Cmd":["sh"],"Labels":{"x":"1"}},"rootfs":{"type":"layers","diff_ids":[]}}"#,
        );
        let b = parse(
            r#"{"created":"2","os":"linux","architecture":"amd64","config":{"Env":["A=1","B=3","C"],"User":"u","Labels":{}},"rootfs":{"type":"layers","diff_ids":[]}}"#,
        );
        let found = configurations(&a, &b, false);
        assert_eq!(found.env.added.keys().collect::<Vec<_>>(), ["C"]);
        assert_eq!(found.env.changed["B"], ("2".into(), "3".into()));
        assert_eq!(found.labels.removed["x"], "1");
        assert_eq!(found.config.added.keys().collect::<Vec<_>>(), ["config.User"]);
        assert_eq!(found.config.removed.keys().collect::<Vec<_>>(), ["config.Cmd"]);
        assert_eq!(found.config.changed.keys().collect::<Vec<_>>(), ["created"]);
        assert!(configurations(&a, &b, true).config.changed.is_empty());
        assert!(configurations(&a, &a, false).is_empty());
    }

    #[test]
    fn files_are_compared_by_all_that_they_have() {
        let file = |path: &str, mode, mtime, content: &str| {
            let entry = Entry {
                mode,
                mtime: (mtime, 0),
                size: content.len() as u64,
                ..Entry::new("", EntryKind::File)
            };
            let digest = Some(Box::new(Digest::of(content.as_bytes())));
            Record::put(path, Item { content: digest, ..Item::of(entry) })
        };
        let a = Merged::of(vec![vec![
            file("same", 1, 1, "x"),
            file("c", 1, 1, "x"),
            file("t", 1, 1, "x"),
            file("gone", 1, 1, ""),
        ]]);
        let b = Merged::of(vec![vec![
            file("same", 1, 1, "x"),
            file("c", 2, 1, "y"),
            file("t", 1, 2, "x"),
            file("new", 1, 1, "abc"),
        ]]);
        let found = files(&a, &b, false);
        assert_eq!(found.changed["c"].what, ["content", "mode"]);
        assert_eq!(found.changed["t"].what, ["time"]);
        assert_eq!(found.added["new"].size, 3);
        assert!(found.removed.contains_key("gone") && found.removed.len() == 1);
        let found = files(&a, &b, true);
        assert_eq!(found.changed.keys().collect::<Vec<_>>(), ["c"]);
    }
}
