//! `bryo manifest`.

use clap::Subcommand;
use serde_json::{Value, json};

use crate::cli::args::{self, Login, Network};
use crate::cli::error::Error;
use crate::cli::invocation::Invocation;
use crate::cli::network::Remote;
use crate::image::media_type::{self, Family};
use crate::image::{
    Annotated, Annotations, Content, Descriptor, Digest, Index, Platform, Reference, edit,
};
use crate::store::{self, Name, RefEntry, Store};
use crate::transfer::{Options, sink, transfer};

/// Make and change indexes: lists of images for several machines
///
/// A list is kept here under its name until it is pushed. Its images are fetched with their layers if
/// they are not here.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "Examples:
  bryo manifest create registry.example/app:1 app:1-amd64 app:1-arm64
  bryo manifest annotate registry.example/app:1 app:1-arm64 --variant v8
  bryo manifest push registry.example/app:1")]
pub(crate) struct Manifest {
    #[command(subcommand)]
    verb: Verb,
}

/// How registries are spoken to.
#[derive(Debug, Default, clap::Args)]
struct Wire {
    #[command(flatten)]
    network: Network,
    #[command(flatten)]
    login: Login,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Make a list of images
    ///
    /// The machine that each is for is what its configuration says. Of a list that is named all images
    /// are taken. A list of nothing but Docker's images is Docker's.
    Create(Create),
    /// Add images to a list
    ///
    /// One for the same machine is replaced.
    Add(Add),
    /// Remove lists; their images stay
    Rm(Rm),
    /// Remove images from a list
    Remove(Remove),
    /// Change what a list says of an image, or, without one, of itself
    Annotate(Box<Annotate>),
    /// Show a list, or a manifest in a registry, as JSON
    Inspect(Inspect),
    /// Send a list with all its images to a registry; prints the digest
    Push(Push),
}

#[derive(Debug, clap::Args)]
struct Create {
    #[command(flatten)]
    wire: Wire,
    /// Add to a list that is there already
    #[arg(short, long)]
    amend: bool,
    /// Annotate the list; may be repeated
    #[arg(long, value_name = "NAME=VALUE", value_parser = args::full_pair)]
    annotation: Vec<(String, String)>,
    /// The list's name
    list: Reference,
    /// Images: names or IDs here, names in registries, places such as oci:DIR
    #[arg(value_name = "IMAGE")]
    images: Vec<String>,
}

#[derive(Debug, clap::Args)]
struct Add {
    #[command(flatten)]
    wire: Wire,
    /// Of an index, only the image for this machine
    #[arg(long, value_name = "OS/ARCH", value_parser = args::platform)]
    platform: Option<Platform>,
    /// The list's name
    list: Reference,
    /// Images: names or IDs here, names in registries, places such as oci:DIR
    #[arg(required = true, value_name = "IMAGE")]
    images: Vec<String>,
}

#[derive(Debug, clap::Args)]
struct Rm {
    /// The lists' names
    #[arg(required = true, value_name = "LIST")]
    lists: Vec<Reference>,
}

#[derive(Debug, clap::Args)]
struct Remove {
    #[command(flatten)]
    wire: Wire,
    /// The list's name
    list: Reference,
    /// Digests, or names of images
    #[arg(required = true, value_name = "IMAGE")]
    images: Vec<String>,
}

#[derive(Debug, clap::Args)]
struct Annotate {
    #[command(flatten)]
    wire: Wire,
    /// The system that the image is for
    #[arg(long, value_name = "NAME")]
    os: Option<String>,
    /// The architecture
    #[arg(long, value_name = "NAME")]
    arch: Option<String>,
    /// The architecture's variant; empty: none
    #[arg(long, value_name = "NAME")]
    variant: Option<String>,
    /// The system's version
    #[arg(long, value_name = "VERSION")]
    os_version: Option<String>,
    /// What the system must be able to do; may be repeated
    #[arg(long, value_name = "FEATURE", value_delimiter = ',')]
    os_features: Vec<String>,
    /// Annotate it; may be repeated
    #[arg(long, value_name = "NAME=VALUE", value_parser = args::full_pair)]
    annotation: Vec<(String, String)>,
    /// The list's name
    list: Reference,
    /// The digest or the name of an image; without it, the list itself is annotated
    image: Option<String>,
}

#[derive(Debug, clap::Args)]
struct Inspect {
    #[command(flatten)]
    wire: Wire,
    /// Each manifest with its descriptor, as docker has it
    #[arg(short = 'v')]
    each: bool,
    /// A list here, or a place of an image
    #[arg(value_name = "LIST|IMAGE")]
    name: String,
}

#[derive(Debug, clap::Args)]
struct Push {
    #[command(flatten)]
    wire: Wire,
    /// Remove the list here afterwards
    #[arg(short, long)]
    purge: bool,
    /// The list's name
    list: Reference,
    /// Its name there [default: the same]
    destination: Option<Reference>,
}

/// What all verbs work with.
struct Desk<'a> {
    store: &'a Store,
    remote: &'a Remote,
    invocation: &'a Invocation,
}

impl Manifest {
    pub(crate) fn run(&self, invocation: &Invocation) -> Result<(), Error> {
        let store = &invocation.store()?;
        let offline = Wire::default();
        let wire = match &self.verb {
            Verb::Create(Create { wire, .. })
            | Verb::Add(Add { wire, .. })
            | Verb::Remove(Remove { wire, .. })
            | Verb::Inspect(Inspect { wire, .. })
            | Verb::Push(Push { wire, .. }) => wire,
            Verb::Annotate(annotate) => &annotate.wire,
            Verb::Rm(_) => &offline,
        };
        let remote = &wire.network.remote_as(invocation, wire.login.given()?)?;
        let desk = Desk { store, remote, invocation };
        match &self.verb {
            Verb::Create(create) => create.run(&desk),
            Verb::Add(add) => add.run(&desk),
            Verb::Rm(rm) => rm.run(&desk),
            Verb::Remove(remove) => remove.run(&desk),
            Verb::Annotate(annotate) => annotate.run(&desk),
            Verb::Inspect(inspect) => inspect.run(&desk),
            Verb::Push(push) => push.run(&desk),
        }
    }
}

impl Create {
    fn run(&self, desk: &Desk<'_>) -> Result<(), Error> {
        let known = desk.store.get_ref(&Name::Tagged(self.list.clone()))?;
        let before = match known {
            None => None,
            Some(_) if self.amend => Some(desk.list(&self.list)?),
            Some(_) => {
                let text = format!("{} is there already", self.list.familiar());
                let hint = Some("add to it with --amend, or remove it first".to_owned());
                return Err(Error::Refused { text, hint });
            }
        };
        let mut entries = before.as_ref().map_or_else(Vec::new, |index| index.manifests.clone());
        for image in &self.images {
            desk.gather(image, None, &mut entries)?;
        }
        let is_docker = |entry: &Descriptor| Family::of(&entry.media_type) == Family::Docker;
        let family = match !entries.is_empty() && entries.iter().all(is_docker) {
            true => Family::Docker,
            false => Family::Oci,
        };
        let start = match before {
            Some(before) => before,
            None => edit::empty_index(family)?,
        };
        desk.keep(&self.list, &start, &entries, &self.annotation)?;
        desk.invocation.print(&format!("Created manifest list {}\n", self.list))
    }
}

impl Add {
    fn run(&self, desk: &Desk<'_>) -> Result<(), Error> {
        let index = desk.list(&self.list)?;
        let mut entries = index.manifests.clone();
        for image in &self.images {
            desk.gather(image, self.platform.as_ref(), &mut entries)?;
        }
        let kept = desk.keep(&self.list, &index, &entries, &[])?;
        desk.invocation.print(&format!("{kept}\n"))
    }
}

impl Rm {
    fn run(&self, desk: &Desk<'_>) -> Result<(), Error> {
        for list in &self.lists {
            desk.list(list)?;
        }
        let names: Vec<Name> = self.lists.iter().cloned().map(Name::from).collect();
        Ok(desk.store.forget(&names)?)
    }
}

impl Remove {
    fn run(&self, desk: &Desk<'_>) -> Result<(), Error> {
        let index = desk.list(&self.list)?;
        let mut entries = index.manifests.clone();
        for image in &self.images {
            let at = desk.position(image, &entries, &self.list)?;
            entries.remove(at);
        }
        let kept = desk.keep(&self.list, &index, &entries, &[])?;
        desk.invocation.print(&format!("{kept}\n"))
    }
}

impl Annotate {
    fn run(&self, desk: &Desk<'_>) -> Result<(), Error> {
        let index = desk.list(&self.list)?;
        let mut entries = index.manifests.clone();
        let Some(image) = &self.image else {
            let only = self.os.is_none() && self.arch.is_none() && self.variant.is_none();
            if !only || self.os_version.is_some() || !self.os_features.is_empty() {
                let text = "name the image that is for this machine".to_owned();
                return Err(Error::Usage { text, hint: None });
            }
            let kept = desk.keep(&self.list, &index, &entries, &self.annotation)?;
            return desk.invocation.print(&format!("{kept}\n"));
        };
        let at = desk.position(image, &entries, &self.list)?;
        let entry = &mut entries[at];
        let platform = entry.platform.get_or_insert_with(|| Platform::new("", "", None));
        if let Some(os) = &self.os {
            platform.os.clone_from(os);
        }
        if let Some(arch) = &self.arch {
            // Docker's and Go's names alike.
            let parsed = format!("linux/{arch}").parse::<Platform>()?;
            platform.architecture = parsed.architecture;
            platform.variant = parsed.variant.or(platform.variant.take());
        }
        if let Some(variant) = &self.variant {
            platform.variant = Some(variant.clone()).filter(|variant| !variant.is_empty());
        }
        if let Some(version) = &self.os_version {
            platform.extra.insert("os.version".to_owned(), json!(version));
        }
        if !self.os_features.is_empty() {
            platform.extra.insert("os.features".to_owned(), json!(self.os_features));
        }
        if !self.annotation.is_empty() {
            entry.annotations.get_or_insert_default().extend(self.annotation.iter().cloned());
        }
        let kept = desk.keep(&self.list, &index, &entries, &[])?;
        desk.invocation.print(&format!("{kept}\n"))
    }
}

impl Inspect {
    fn run(&self, desk: &Desk<'_>) -> Result<(), Error> {
        let source = desk.remote.find(desk.store, &self.name)?;
        let root = source.root()?;
        let value = |content: &Content| -> Result<Value, Error> {
            let failed = |source| crate::image::Error::Json { what: "the manifest", source };
            Ok(serde_json::from_slice(content.bytes()).map_err(failed)?)
        };
        let shown = match (&root, self.each) {
            (Content::Index(index), true) => {
                let mut all = Vec::new();
                for entry in &index.manifests {
                    let content = source.manifest(entry)?;
                    all.push(json!({
                        "Ref": format!("{}@{}", source.name(), entry.digest),
                        "Descriptor": entry,
                        "Manifest": value(&content)?,
                    }));
                }
                Value::Array(all)
            }
            (content, true) => json!({
                "Ref": source.name(),
                "Descriptor": content.descriptor(),
                "Manifest": value(content)?,
            }),
            (content, false) => value(content)?,
        };
        desk.invocation.print(&format!("{shown:#}\n"))
    }
}

impl Push {
    fn run(&self, desk: &Desk<'_>) -> Result<(), Error> {
        desk.list(&self.list)?;
        let destination = self.destination.as_ref().unwrap_or(&self.list);
        let name = self.list.to_string();
        let sent = desk.remote.push(desk.invocation, desk.store, &name, destination)?;
        if self.purge {
            desk.store.forget(&[Name::Tagged(self.list.clone())])?;
        }
        desk.invocation.print(&format!("{}\n", sent.digest))
    }
}

impl Desk<'_> {
    /// The index of that name here.
    fn list(&self, name: &Reference) -> Result<Index, Error> {
        let Some(entry) = self.store.get_ref(&Name::Tagged(name.clone()))? else {
            return Err(store::Error::NotFound(name.familiar()).into());
        };
        match self.store.content(&entry.descriptor)? {
            Content::Index(index) => Ok(index),
            _ => Err(Error::Usage {
                text: format!("{} is an image, and no list of images", name.familiar()),
                hint: Some("make a list of it: bryo manifest create LIST IMAGE".to_owned()),
            }),
        }
    }

    /// Fetches what `text` names, if need be, and adds its images to the list.
    fn gather(
        &self,
        text: &str,
        platform: Option<&Platform>,
        entries: &mut Vec<Descriptor>,
    ) -> Result<(), Error> {
        let source = self.remote.find(self.store, text)?;
        let options = Options {
            platform: platform.cloned(),
            jobs: self.invocation.jobs().layers,
            ..Options::default()
        };
        let sink = sink::Store::nameless(self.store).packed();
        let arrived = transfer(&*source, &sink, &options, &*self.invocation.reporter)?;
        let mut found = Vec::new();
        self.flatten(arrived, &mut found)?;
        for new in found {
            entries.retain(|old| !is_replaced(old, &new));
            entries.push(new);
        }
        Ok(())
    }

    /// The images of an index, and of those in it; an image itself.
    fn flatten(&self, entry: Descriptor, found: &mut Vec<Descriptor>) -> Result<(), Error> {
        match self.store.content(&entry)? {
            Content::Index(index) => {
                index.manifests.into_iter().try_for_each(|entry| self.flatten(entry, found))
            }
            Content::Image(manifest) => {
                let platform = match entry.platform.clone() {
                    Some(platform) => platform,
                    None => self.store.config(&manifest)?.platform(),
                };
                found.push(Descriptor { platform: Some(platform), ..entry });
                Ok(())
            }
            Content::Artifact(_) => {
                found.push(entry);
                Ok(())
            }
        }
    }

    /// Where an image stands in a list.
    fn position(
        &self,
        text: &str,
        entries: &[Descriptor],
        list: &Reference,
    ) -> Result<usize, Error> {
        let at = |digest: &Digest| entries.iter().position(|entry| entry.digest == *digest);
        // Shorter ones may be names.
        let hex = text.strip_prefix("sha256:").unwrap_or(if text.len() < 12 { "-" } else { text });
        if let Some(at) = entries.iter().position(|entry| entry.digest.hex().starts_with(hex)) {
            return Ok(at);
        }
        // A name with a digest needs nobody to be asked.
        let pinned = text.parse::<Reference>().ok().and_then(|name| name.digest().cloned());
        if let Some(found) = pinned.as_ref().and_then(at) {
            return Ok(found);
        }
        let missing = || Error::NotListed { image: text.to_owned(), list: list.familiar() };
        let source = self.remote.find(self.store, text)?;
        let root = source.root()?;
        at(&root.descriptor().digest).ok_or_else(missing)
    }

    /// Keeps the list, and gives its digest. What it was before is kept by nobody.
    fn keep(
        &self,
        name: &Reference,
        index: &Index,
        entries: &[Descriptor],
        annotations: &[(String, String)],
    ) -> Result<Digest, Error> {
        let mut content = edit::relisted(index, entries)?;
        if !annotations.is_empty() {
            let mut all = Annotations::default();
            for (name, value) in annotations {
                all.add(&format!("index:{name}={value}"))?;
            }
            let said = all.on(Annotated::Index, None);
            // Docker's lists have no place for them.
            let family = Some(Family::Oci);
            let edits = edit::Edits { family, annotations: Some(&said), ..Default::default() };
            content = edit::edit(&content, &edits)?;
        }
        let digest = self.store.put_blob(content.bytes())?;
        let descriptor = content.descriptor().clone();
        let name = Name::Tagged(name.clone());
        self.store.replace_ref(&RefEntry { name, descriptor, index: None })?;
        Ok(digest)
    }
}

/// Whether an entry goes when `new` comes: the same image, or one for the same machine.
fn is_replaced(old: &Descriptor, new: &Descriptor) -> bool {
    let is_known = |platform: &&Platform| platform.os != "unknown";
    let machine =
        |entry: &Descriptor| entry.platform.as_ref().filter(is_known).map(Platform::to_string);
    let is_same_machine = machine(new).is_some_and(|new| machine(old).as_ref() == Some(&new));
    old.digest == new.digest || is_same_machine && media_type::is_manifest(&old.media_type)
}
