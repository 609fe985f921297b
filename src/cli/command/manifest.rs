//! `bryo manifest`.

use clap::Subcommand;
use serde_json::{Value, json};

use crate::cli::anywhere;
use crate::cli::args::{self, Login, Network};
use crate::cli::batch;
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
        let remote = &wire.network.remote_as(invocation, wire.login.given(invocation)?)?;
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
        desk.refuse(&self.list, self.amend)?;
        let found = desk.gather(&self.images, None)?;
        desk.change(&self.list, &self.annotation, |before| {
            if before.is_some() {
                // Somebody else may have been quicker.
                desk.refuse(&self.list, self.amend)?;
            }
            let known = before.map_or_else(Vec::new, |index| index.manifests.clone());
            Ok(desk.added(known, &found))
        })?;
        desk.invocation.print(&format!("Created manifest list {}\n", self.list))
    }
}

impl Add {
    fn run(&self, desk: &Desk<'_>) -> Result<(), Error> {
        desk.list(&self.list)?;
        let found = desk.gather(&self.images, self.platform.as_ref())?;
        desk.change(&self.list, &[], |before| {
            Ok(desk.added(desk.known(before, &self.list)?.manifests.clone(), &found))
        })
        .and_then(|digest| desk.invocation.print(&format!("{digest}\n")))
    }
}

impl Rm {
    fn run(&self, desk: &Desk<'_>) -> Result<(), Error> {
        batch::each(&self.lists, |list| {
            desk.list(list)?;
            Ok(desk.store.forget(&[Name::from(Reference::clone(list))])?)
        })
    }
}

impl Remove {
    fn run(&self, desk: &Desk<'_>) -> Result<(), Error> {
        desk.change(&self.list, &[], |before| {
            let mut entries = desk.known(before, &self.list)?.manifests.clone();
            for image in &self.images {
                let at = desk.position(image, &entries, &self.list)?;
                entries.remove(at);
            }
            Ok(entries)
        })
        .and_then(|digest| desk.invocation.print(&format!("{digest}\n")))
    }
}

impl Annotate {
    fn run(&self, desk: &Desk<'_>) -> Result<(), Error> {
        let of_list = if self.image.is_none() { &self.annotation[..] } else { &[] };
        desk.change(&self.list, of_list, |before| {
            let mut entries = desk.known(before, &self.list)?.manifests.clone();
            match &self.image {
                Some(image) => {
                    let at = desk.position(image, &entries, &self.list)?;
                    self.describe(&mut entries[at])?;
                }
                None if self.is_of_a_machine() => {
                    let text = "name the image that is for this machine".to_owned();
                    return Err(Error::Usage { text, hint: None });
                }
                None => {}
            }
            Ok(entries)
        })
        .and_then(|digest| desk.invocation.print(&format!("{digest}\n")))
    }

    fn is_of_a_machine(&self) -> bool {
        let words = [&self.os, &self.arch, &self.variant, &self.os_version];
        words.iter().any(|word| word.is_some()) || !self.os_features.is_empty()
    }

    fn describe(&self, entry: &mut Descriptor) -> Result<(), Error> {
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
        Ok(())
    }
}

impl Inspect {
    fn run(&self, desk: &Desk<'_>) -> Result<(), Error> {
        let source = anywhere::find(desk.store, desk.remote, &self.name, false)?.source;
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
    /// What the name stands for here, if that is an index.
    fn find(&self, name: &Reference) -> Result<Option<Index>, Error> {
        let Some(entry) = self.store.get_ref(&Name::Tagged(name.clone()))? else {
            return Ok(None);
        };
        match self.store.content(&entry.descriptor)? {
            Content::Index(index) => Ok(Some(index)),
            _ => Err(Error::Usage {
                text: format!("{} is an image, and no list of images", name.familiar()),
                hint: Some("make a list of it: bryo manifest create LIST IMAGE".to_owned()),
            }),
        }
    }

    /// The index of that name here.
    fn list(&self, name: &Reference) -> Result<Index, Error> {
        self.find(name)?.ok_or_else(|| store::Error::NotFound(name.familiar()).into())
    }

    fn known<'i>(&self, found: Option<&'i Index>, name: &Reference) -> Result<&'i Index, Error> {
        found.ok_or_else(|| store::Error::NotFound(name.familiar()).into())
    }

    /// Refuses to make what is there already.
    fn refuse(&self, name: &Reference, amend: bool) -> Result<(), Error> {
        match self.store.get_ref(&Name::Tagged(name.clone()))? {
            Some(_) if !amend => Err(Error::Refused {
                text: format!("{} is there already", name.familiar()),
                hint: Some("add to it with --amend, or remove it first".to_owned()),
            }),
            _ => Ok(()),
        }
    }

    /// Fetches what texts name, if need be; all images of it.
    fn gather(
        &self,
        images: &[String],
        platform: Option<&Platform>,
    ) -> Result<Vec<Descriptor>, Error> {
        let jobs = self.invocation.jobs().layers;
        let mut found = Vec::new();
        for text in images {
            let source = anywhere::find(self.store, self.remote, text, false)?.source;
            let options = Options { platform: platform.cloned(), jobs, ..Options::default() };
            let sink = sink::Store::nameless(self.store).packed();
            let arrived = transfer(&*source, &sink, &options, &*self.invocation.reporter)?;
            self.flatten(arrived, &mut found)?;
        }
        Ok(found)
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
        let source = anywhere::find(self.store, self.remote, text, false)?.source;
        let root = source.root()?;
        at(&root.descriptor().digest).ok_or_else(missing)
    }

    /// What is listed once others came. One for the same machine is told to go.
    fn added(&self, mut entries: Vec<Descriptor>, new: &[Descriptor]) -> Vec<Descriptor> {
        for new in new {
            for old in entries.iter().filter(|old| is_replaced(old, new)) {
                if let (true, Some(platform)) = (old.digest != new.digest, &new.platform) {
                    let (old, new) = (old.digest.short(), new.digest.short());
                    let text = format!("{old} was for {platform}, too: {new} takes its place");
                    self.invocation.reporter.warn(text);
                }
            }
            entries.retain(|old| !is_replaced(old, new));
            entries.push(new.clone());
        }
        entries
    }

    /// Changes what is listed, and gives the list's digest. What it was before is kept by nobody. Who
    /// changes it at the same time waits.
    fn change(
        &self,
        name: &Reference,
        annotations: &[(String, String)],
        change: impl FnOnce(Option<&Index>) -> Result<Vec<Descriptor>, Error>,
    ) -> Result<Digest, Error> {
        let _lease = self.store.lease(&Digest::of(name.to_string().as_bytes()))?;
        let before = self.find(name)?;
        let entries = change(before.as_ref())?;
        let is_docker = |entry: &Descriptor| Family::of(&entry.media_type) == Family::Docker;
        let index = match before {
            Some(before) => before,
            None if !entries.is_empty() && entries.iter().all(is_docker) => {
                edit::empty_index(Family::Docker)?
            }
            None => edit::empty_index(Family::Oci)?,
        };
        // Docker's lists have no place for annotations.
        let family = (!annotations.is_empty()).then_some(Family::Oci);
        let mut content = edit::relisted(&index, &entries, family)?;
        if !annotations.is_empty() {
            let mut all = Annotations::default();
            for (name, value) in annotations {
                all.add(&format!("index:{name}={value}"))?;
            }
            let said = all.on(Annotated::Index, None);
            let edits = edit::Edits { annotations: Some(&said), ..Default::default() };
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
