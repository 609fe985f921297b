//! `bryo copy`.

use std::path::PathBuf;
use std::process::ExitCode;

use crate::cli::args::{self, Network};
use crate::cli::changes::Changes;
use crate::cli::credentials::Logins;
use crate::cli::error::Error;
use crate::cli::invocation::Invocation;
use crate::cli::mounting::mount;
use crate::cli::network::{Remote, Written, near};
use crate::image::{Descriptor, Platform, Reference};
use crate::report::Reporter;
use crate::store::Store;
use crate::transfer::sink::replace;
use crate::transfer::{About, Endpoint, Options, Sink, Source, Wishes, source, transfer, verify};

/// Copy an image from anywhere to anywhere
///
/// An index is copied whole, with the images of all its platforms and with what is said about them
/// (signatures, attestations, whatever refers to them), every byte as it was: digests stay. What
/// the destination has already is not read from the source. Prints the digest of what arrived.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "Places:
  registry:NAME[:TAG|@DIGEST]       an image in a registry; the same without a word before it
  store:NAME|ID                     an image here
  oci:DIR[:TAG]                     an OCI image layout in a directory
  oci-archive:FILE[:TAG]            an OCI image layout in a tar
  docker-archive:FILE[:NAME[:TAG]]  a tar as docker save writes it: one platform
  dir:DIR                           the files of an image, in a directory that is new or empty:
                                    one platform
  bundle:DIR                        an OCI runtime bundle, with a config.json that needs no
                                    privilege: one platform, only written
  daemon:NAME[:TAG][?socket=PATH]   docker, or podman's service: one platform
  squashfs:FILE                     one file for the files of an image, packed by mksquashfs: one
                                    platform, only written
  sif:FILE                          the same as Apptainer and SingularityCE run it: one platform,
                                    only written
  mount:DIR                         the files of an image, with their owners, packed and mounted
                                    there by squashfuse until `fusermount3 -u DIR`: one platform
  -                                 an archive on stdin; an OCI image layout in a tar on stdout

Examples:
  bryo copy debian:12 registry.example/mirror/debian:12
  bryo copy debian:12 oci:layout:debian
  bryo copy --platform linux/arm64 debian:12 docker-archive:debian.tar
  bryo copy store:app daemon:app:1
  bryo copy debian:12 - | podman load")]
pub(crate) struct Copy {
    /// Where the image is
    source: Written,
    /// Where it goes
    destination: Written,
    /// Copy this platform's image alone; what arrives is not the index any more
    #[arg(long, value_name = "OS/ARCH", value_parser = args::platform)]
    platform: Option<Platform>,
    /// Fail where only one platform's image has room
    #[arg(long, conflicts_with = "platform")]
    all_platforms: bool,
    /// Fail where the image would get another digest
    #[arg(long, conflicts_with_all = ["compress", "filter"])]
    preserve_digests: bool,
    /// Fail where signatures, attestations and what else refers to the image cannot be copied
    #[arg(long)]
    referrers: bool,
    /// Leave out what refers to the image
    #[arg(long, conflicts_with = "referrers")]
    no_referrers: bool,
    /// Give the image this tag, too, where it arrives; may be repeated
    #[arg(long, value_name = "TAG")]
    additional_tag: Vec<String>,
    /// Write the digest of what arrived to FILE
    #[arg(long, value_name = "FILE", alias = "digestfile")]
    digest_file: Option<PathBuf>,
    /// Look afterwards whether all of it is there
    ///
    /// Whatever is sent is verified on its way in any case. Then the destination is read: manifests
    /// and configurations are fetched and hashed, under each tag that was given. A registry (itself,
    /// none of its mirrors) is asked for the size of each layer, and of those that it does not tell
    /// the bytes are fetched and hashed; what is in files or in the storage directory is read and
    /// hashed whole.
    #[arg(long)]
    verify: bool,
    /// Copy layers, too, that registries do not keep, from where their manifest says they are
    #[arg(long)]
    allow_foreign: bool,
    #[command(flatten)]
    changes: Changes,
    #[command(flatten)]
    network: Network,
    #[command(flatten)]
    logins: Logins,
}

impl Copy {
    pub(crate) fn needs_namespace(&self) -> bool {
        let (source, destination) = (&self.source.endpoint, &self.destination.endpoint);
        // Another bryo packs what is mounted, and it is mounted for everybody to see.
        let is_mount = matches!(destination, Endpoint::Mount(_));
        !is_mount && (source.is_files() || destination.is_files() || self.changes.needs_namespace())
    }

    pub(crate) fn run(&self, invocation: &Invocation) -> Result<ExitCode, Error> {
        if let Endpoint::Mount(dir) = &self.destination.endpoint {
            return mount(dir, self.destination.text(), invocation);
        }
        self.check()?;
        let store = invocation.store()?;
        let (source, destination) = self.logins.given(invocation)?;
        let network = Network { allow_foreign: self.allow_foreign, ..self.network.clone() };
        let from = network.remote_as(invocation, source)?;
        let to = self.network.remote_as(invocation, destination)?;
        let errand = Errand {
            invocation,
            reporter: &*invocation.reporter,
            store: &store,
            from: &from,
            to: &to,
            changes: &self.changes,
            platform: self.platform.as_ref(),
            all_platforms: self.all_platforms,
            about: match (self.referrers, self.no_referrers) {
                (true, _) => About::Required,
                (_, true) => About::Ignored,
                _ => About::Moved,
            },
            foreign: self.allow_foreign,
            tags: &self.additional_tag,
            jobs: invocation.jobs().layers,
        };
        let (source, destination) = (from.place(&self.source)?, to.place(&self.destination)?);
        let arrived = errand
            .carry(&source, &destination)
            .inspect_err(|_| remind(&source, &store, invocation))?;
        if self.verify {
            self.verify(&to, &store, &destination, &arrived)?;
        }
        if let (true, Endpoint::Registry(name)) = (self.preserve_digests, &destination) {
            keeps_digest(&to, name, &arrived)?;
        }
        if let Some(file) = &self.digest_file {
            replace(file, format!("{}\n", arrived.digest).as_bytes())?;
        }
        if !destination.is_stream() {
            invocation.print(&format!("{}\n", arrived.digest))?;
        }
        Ok(ExitCode::SUCCESS)
    }

    /// Looks whether all of it is where it was sent, under each of its names.
    fn verify(
        &self,
        to: &Remote,
        store: &Store,
        destination: &Endpoint,
        arrived: &Descriptor,
    ) -> Result<(), Error> {
        let place = |endpoint: &Endpoint| -> Result<Box<dyn Source + '_>, Error> {
            Ok(match endpoint {
                // A mirror knows nothing of what was sent just now.
                Endpoint::Registry(name) => {
                    let registry = to.registry(name.registry()).alone();
                    Box::new(source::Registry::new(registry, name.clone()))
                }
                other => other.source(to.surroundings(store))?,
            })
        };
        let expected = destination.keeps_manifests().then_some(&arrived.digest);
        verify(&*place(destination)?, expected)?;
        for tag in &self.additional_tag {
            let root = place(&destination.tagged(tag))?.root()?;
            let found = &root.descriptor().digest;
            if let Some(expected) = expected.filter(|expected| *expected != found) {
                let text = format!("the tag {tag} is {found} there, and not {expected}");
                return Err(Error::Refused { text, hint: None });
            }
        }
        Ok(())
    }

    /// What can be known before anything is asked for.
    fn check(&self) -> Result<(), Error> {
        let usage =
            |text: String, hint: &str| Err(Error::Usage { text, hint: Some(hint.to_owned()) });
        let to = &self.destination.endpoint;
        if self.preserve_digests && !to.keeps_manifests() {
            return usage(
                format!("{to} keeps no manifests, so that the image has no digest there"),
                "choose a registry, store:, oci: or oci-archive:",
            );
        }
        let is_lost = to.is_files() || to.is_stream() || matches!(to, Endpoint::Daemon { .. });
        if self.verify && is_lost {
            return usage(
                format!("{to} cannot be read again"),
                "leave out --verify: bytes are verified on their way",
            );
        }
        if self.changes.speaks() && to.is_stream() {
            return usage(
                "stdout cannot have both the image and what find= finds".to_owned(),
                "name a file, as in oci-archive:FILE",
            );
        }
        if !self.additional_tag.is_empty() && to.is_files() {
            return usage(format!("{to} has no room for tags"), "leave out --additional-tag");
        }
        Ok(())
    }
}

/// A name alone is one in a registry, which is not what everybody means by it.
fn remind(source: &Endpoint, store: &Store, invocation: &Invocation) {
    if let Endpoint::Registry(name) = source
        && let Ok(Some(_)) = store.find_reference(name)
    {
        let name = name.familiar();
        invocation.reporter.warn(format!("an image of that name is here: store:{name}"));
    }
}

/// A registry may name what got a tag by another algorithm than its sender did.
fn keeps_digest(to: &Remote, name: &Reference, arrived: &Descriptor) -> Result<(), Error> {
    let found =
        to.registry(name.registry()).alone().head_manifest(name.repository(), &name.target());
    let digest = found?.map(|found| found.digest);
    match digest.filter(|digest| *digest != arrived.digest) {
        None => Ok(()),
        Some(digest) => {
            let text = format!("{name} has the digest {digest} there, and not {}", arrived.digest);
            let hint = Some("name it by its digest instead of a tag".to_owned());
            Err(Error::Refused { text, hint })
        }
    }
}

/// How images are carried.
pub(crate) struct Errand<'a> {
    pub(crate) invocation: &'a Invocation,
    pub(crate) reporter: &'a dyn Reporter,
    pub(crate) store: &'a Store,
    pub(crate) from: &'a Remote,
    pub(crate) to: &'a Remote,
    pub(crate) changes: &'a Changes,
    /// One platform's image alone.
    pub(crate) platform: Option<&'a Platform>,
    /// It is an error where only one platform's image has room.
    pub(crate) all_platforms: bool,
    pub(crate) about: About,
    pub(crate) foreign: bool,
    /// More tags that the image gets.
    pub(crate) tags: &'a [String],
    /// So many layers at once.
    pub(crate) jobs: usize,
}

impl<'a> Errand<'a> {
    /// Copies one image; gives the descriptor of what arrived.
    pub(crate) fn carry(
        &self,
        source: &Endpoint,
        destination: &Endpoint,
    ) -> Result<Descriptor, Error> {
        let image = source.source(self.from.surroundings(self.store))?;
        let near = self.near(source, destination, &*image)?;
        self.carry_image(image, near, destination)
    }

    /// The same with an image that is at hand; the destination may have layers of it in the
    /// repository `near`.
    pub(crate) fn carry_image(
        &self,
        image: Box<dyn Source + 'a>,
        near: Option<String>,
        destination: &Endpoint,
    ) -> Result<Descriptor, Error> {
        let Self { invocation, store, .. } = *self;
        let wishes = Wishes { tags: self.tags.to_vec(), near };
        let names = image.names();
        let image = self.changes.apply(image, invocation, store)?;
        if let (Endpoint::Registry(name), None) = (destination, self.platform)
            && let Some(digest) = name.digest()
        {
            let is = image.root()?.descriptor().digest.clone();
            if is != *digest {
                let text = format!("{name} cannot be: the image has the digest {is}");
                let hint = Some("give it a tag there, or that digest".to_owned());
                return Err(Error::Usage { text, hint });
            }
        }
        let (sink, own) = destination.sink(self.to.surroundings(store), &wishes)?;
        if sink.takes_one_image() && self.all_platforms {
            let text = format!("{destination} has room for one platform's image");
            let hint = Some("name one with --platform".to_owned());
            return Err(Error::Usage { text, hint });
        }
        let options = self.options(self.names(destination, own, names)?);
        let arrived = transfer(&*image, &*sink, &options, self.reporter)?;
        sink.finish()?;
        Ok(arrived)
    }

    /// Copies one image into a place of several.
    pub(crate) fn carry_into(
        &self,
        image: Box<dyn Source + 'a>,
        sink: &dyn Sink,
        names: Vec<Reference>,
    ) -> Result<Descriptor, Error> {
        let image = self.changes.apply(image, self.invocation, self.store)?;
        Ok(transfer(&*image, sink, &self.options(names), self.reporter)?)
    }

    pub(crate) fn options(&self, names: Vec<Reference>) -> Options {
        Options {
            platform: self.platform.cloned(),
            jobs: self.jobs,
            names,
            about: self.about,
            foreign: self.foreign,
            ..Options::default()
        }
    }

    /// A repository that the registry can take layers over from.
    fn near(
        &self,
        source: &Endpoint,
        destination: &Endpoint,
        image: &dyn Source,
    ) -> Result<Option<String>, Error> {
        let Endpoint::Registry(to) = destination else { return Ok(None) };
        match source {
            Endpoint::Registry(from) => {
                let is_same = from.registry() == to.registry();
                Ok(is_same.then(|| from.repository().to_owned()))
            }
            Endpoint::Store(_) => near(self.store, &image.root()?, to),
            _ => Ok(None),
        }
    }

    /// What the image is called where it arrives: what the destination says, or what it was called
    /// before; and more of the same.
    fn names(
        &self,
        destination: &Endpoint,
        own: Vec<Reference>,
        before: Vec<Reference>,
    ) -> Result<Vec<Reference>, Error> {
        let has_tag = |name: &Reference| name.tag().is_some();
        let mut names = match own.is_empty() {
            false => own,
            true => before.into_iter().filter(has_tag).collect(),
        };
        let Some(first) = names.first().cloned() else { return Ok(names) };
        for tag in self.tags {
            let Some(name) = first.with_tag(tag) else {
                let text = format!("{tag:?} is no tag");
                let hint = Some("a tag has at most 128 letters, digits, '_', '.', '-'".to_owned());
                return Err(Error::Usage { text, hint });
            };
            // Layouts were told themselves.
            if matches!(destination, Endpoint::Store(_) | Endpoint::DockerArchive { .. }) {
                names.push(name);
            }
        }
        Ok(names)
    }
}
