//! `bryo manifest`.

mod desk;

use clap::Subcommand;
use serde_json::{Value, json};

use crate::cli::anywhere;
use crate::cli::args::{self, Login, Network};
use crate::cli::batch;
use crate::cli::error::Error;
use crate::cli::invocation::Invocation;
use crate::image::{Content, Descriptor, Platform, Reference};
use crate::store::Name;
use desk::Desk;

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
