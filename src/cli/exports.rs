//! [`Exports`]: what becomes of a build's result: names, files, registries.

use std::fs;
use std::io::{self, IsTerminal as _};
use std::path::Path;

use super::error::Error;
use super::invocation::Invocation;
use super::network::Remote;
use super::output::{Form, Look, Output};
use crate::build::{Beside, Built, Shape};
use crate::image::Reference;
use crate::image::media_type::Family;
use crate::layer::compress::Compression;
use crate::report::Reporter;
use crate::store::Store;
use crate::transfer::source::{Rewrite, Rewritten};
use crate::transfer::{self, Sink, Source, sink, source, transfer};

/// All outputs of one build.
#[derive(Debug)]
pub(crate) struct Exports {
    outputs: Vec<Output>,
    /// What all outputs that are images want, where they want the same.
    look: Option<Look>,
    names: Vec<Reference>,
    /// How new layers are compressed where no output says it.
    compression: Compression,
}

impl Exports {
    /// `push` and `load` are short forms. `tags` beat the names that outputs say.
    pub(crate) fn new(
        outputs: &[Output],
        push: bool,
        load: bool,
        tags: &[Reference],
        compression: Compression,
    ) -> Result<Self, Error> {
        let mut outputs = outputs.to_vec();
        if push {
            let mut images = outputs.iter_mut().filter(|output| output.form == Form::Image);
            match images.next() {
                None => outputs.push(Output::registry()),
                Some(first) => {
                    let all = std::iter::once(first).chain(images);
                    all.for_each(|output| _ = output.push.get_or_insert_default());
                }
            }
        }
        if load && !outputs.iter().any(|output| output.form == Form::Image) {
            outputs.push(Output { push: None, ..Output::registry() });
        }
        for output in &mut outputs {
            if !tags.is_empty() {
                output.names = tags.to_vec();
            }
            check(output)?;
        }
        let usage = |text: &str| Err(Error::Usage { text: text.to_owned(), hint: None });
        match outputs.iter().filter(|output| output.is_stdout()).count() {
            0 => {}
            1 if io::stdout().is_terminal() => {
                let hint = Some("name a file with dest=, or redirect stdout".to_owned());
                let text = "an archive is nothing for a terminal".to_owned();
                return Err(Error::Usage { text, hint });
            }
            1 => {}
            _ => return usage("stdout has room for one output"),
        }
        let mut looks = outputs.iter().filter(|output| output.form.is_image());
        let look = match looks.next() {
            None => Some(Look::default()),
            Some(first) => looks.all(|other| other.look == first.look).then(|| first.look.clone()),
        };
        let mut names = tags.to_vec();
        for name in outputs.iter().flat_map(|output| &output.names) {
            if !names.contains(name) {
                names.push(name.clone());
            }
        }
        Ok(Self { outputs, look, names, compression })
    }

    /// Names the result as `names` where neither tags nor outputs say what it is called.
    #[must_use]
    pub(crate) fn called(mut self, names: Vec<Reference>) -> Self {
        if self.names.is_empty() {
            self.names = names;
        }
        self
    }

    /// What the result shall be called, by tags and outputs alike.
    pub(crate) fn names(&self) -> &[Reference] {
        &self.names
    }

    /// Whether the result itself is an image that is kept here: unless nobody wants it, or each
    /// output keeps its own.
    pub(crate) fn is_named(&self) -> bool {
        let mut images = self.outputs.iter().filter(|output| output.form == Form::Image).peekable();
        match images.peek() {
            None => !self.outputs.iter().any(|output| output.form == Form::CacheOnly),
            Some(_) => self.look.is_some() && images.any(|output| output.is_stored),
        }
    }

    /// What the outputs want of the result is done to it at once where they agree. Returns how new
    /// layers are compressed.
    pub(crate) fn apply(
        &self,
        shape: &mut Shape,
        is_attested: bool,
        reporter: &dyn Reporter,
    ) -> Compression {
        let Some(look) = &self.look else { return self.compression };
        let Look { compression, force, family, annotations, rewrite_timestamp } = look;
        shape.force_compression |= force;
        shape.annotations = shape.annotations.and(annotations);
        shape.rewrite_timestamp |= rewrite_timestamp;
        shape.family = family.unwrap_or(shape.family);
        if shape.family == Family::Docker && (shape.annotations.need_oci() || is_attested) {
            reporter.warn(
                "oci-mediatypes=false is ignored, for Docker's manifests have no place for what is \
                 said about images"
                    .to_owned(),
            );
            shape.family = Family::Oci;
        }
        compression.unwrap_or(self.compression)
    }

    /// Forms that have room for one image cannot be written of several.
    pub(crate) fn refuse_several(&self) -> Result<(), Error> {
        let usage = |text: &str, hint: &str| {
            Err(Error::Usage { text: text.to_owned(), hint: Some(hint.to_owned()) })
        };
        for output in &self.outputs {
            match output.form {
                Form::Docker | Form::OciDirectory
                    if output.is_layout || output.form == Form::Docker =>
                {
                    return usage(
                        "a docker archive holds no index, and several platforms make one",
                        "write type=oci, or build one --platform at a time",
                    );
                }
                Form::Squashfs | Form::Sif => {
                    return usage(
                        "one such file has no room for several platforms",
                        "build one --platform at a time",
                    );
                }
                Form::Tar if !output.split => {
                    return usage(
                        "one tar without platform-split has no room for several platforms",
                        "leave platform-split=false out",
                    );
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Whether an output has stdout, so that the digest does not.
    pub(crate) fn has_stdout(&self) -> bool {
        self.outputs.iter().any(Output::is_stdout)
    }

    /// Writes and sends them, in their order.
    pub(crate) fn write(
        &self,
        built: &Built,
        store: &Store,
        remote: &Remote,
        invocation: &Invocation,
    ) -> Result<(), Error> {
        let plain = source::Store::new(store, built.descriptor().clone());
        let way = Way { exports: self, built, store, remote, invocation };
        for output in &self.outputs {
            match self.rewrite(output, built)? {
                None => way.write(output, &plain)?,
                Some(rewrite) => {
                    let reporter = &*invocation.reporter;
                    way.write(output, &Rewritten::new(&plain, &rewrite, store, reporter)?)?;
                }
            }
        }
        Ok(())
    }

    /// What an output wants to be different from the result.
    fn rewrite(&self, output: &Output, built: &Built) -> Result<Option<Rewrite>, Error> {
        if self.look.is_some() || !output.form.is_image() || output.look == Look::default() {
            return Ok(None);
        }
        if built.images.iter().any(|image| !image.attestations.is_empty()) {
            let text = "outputs that want different images cannot have attestations, which are \
                        about one"
                .to_owned();
            let hint = Some("build once for each of them".to_owned());
            return Err(Error::Usage { text, hint });
        }
        let Look { compression, force, family, annotations, rewrite_timestamp } = &output.look;
        Ok(Some(Rewrite {
            changes: Vec::new(),
            squash: false,
            lowest: None,
            latest: built.epoch.filter(|_| *rewrite_timestamp),
            compression: compression.or(force.then_some(self.compression)),
            forced: *force,
            own: built.new_layers(),
            family: family.filter(|_| !annotations.need_oci()),
            annotations: annotations.clone(),
        }))
    }
}

/// One build's outputs, under way.
struct Way<'a> {
    exports: &'a Exports,
    built: &'a Built,
    store: &'a Store,
    remote: &'a Remote,
    invocation: &'a Invocation,
}

impl Way<'_> {
    fn write(&self, output: &Output, source: &dyn Source) -> Result<(), Error> {
        let Self { built, store, .. } = *self;
        let reporter = &*self.invocation.reporter;
        let archive = || match &output.destination {
            Some(path) => sink::Output::File(path.clone()),
            None => sink::Output::Stream("stdout", Box::new(io::stdout())),
        };
        let split = built.has_several_platforms() && output.split;
        let together = built.has_several_platforms() && !output.split;
        let beside = Beside { built, prefix: output.attestation_prefix.clone(), together };
        let layout = |sink: sink::Oci| if output.is_layout { sink.for_docker() } else { sink };
        let sink: Box<dyn Sink> = match (output.form, &output.destination) {
            (Form::CacheOnly, _) => return Ok(()),
            (Form::Image, _) => return self.keep(output, source),
            (Form::Docker, _) if !output.is_layout => {
                Box::new(sink::Docker::archive(archive(), store)?)
            }
            (Form::Oci | Form::Docker, _) => Box::new(layout(sink::Oci::archive(archive(), None)?)),
            (Form::Tar, _) => {
                let tar = sink::Tree::tar(store, archive(), reporter)?;
                Box::new(tar.split(split).at(built.epoch).beside(&beside))
            }
            (Form::Local, Some(path)) => {
                let directory = sink::Tree::directory(store, path, reporter);
                Box::new(directory.split(split).at(built.epoch).beside(&beside))
            }
            (Form::Squashfs, Some(path)) => {
                let search = &self.invocation.config.path;
                Box::new(sink::Squashfs::new(store, path, search, reporter)?)
            }
            (Form::Sif, Some(path)) => {
                let search = &self.invocation.config.path;
                Box::new(sink::Sif::new(store, path, search, reporter)?)
            }
            (Form::OciDirectory, Some(path)) => Box::new(layout(sink::Oci::directory(path, None)?)),
            (Form::OciDirectory | Form::Local | Form::Squashfs | Form::Sif, None) => {
                unreachable!("Output::new refuses these")
            }
        };
        let options = || self.options(output);
        if output.form.is_image() {
            transfer(source, &*sink, &options(), reporter)?;
        } else {
            // Files alone have no index.
            for image in &built.images {
                let source = source::Store::new(store, image.manifest.descriptor.clone());
                transfer(&source, &*sink, &options(), reporter)?;
            }
        }
        Ok(sink.finish()?)
    }

    fn options(&self, output: &Output) -> transfer::Options {
        let jobs = self.invocation.jobs().layers;
        transfer::Options { names: output.names.clone(), jobs, ..Default::default() }
    }

    /// An image that stays here, or that is pushed.
    fn keep(&self, output: &Output, source: &dyn Source) -> Result<(), Error> {
        let reporter = &*self.invocation.reporter;
        // Where all want the same, the build itself has named it.
        if self.exports.look.is_none() && output.is_stored {
            let sink = sink::Store::new(self.store).packed();
            transfer(source, &sink, &self.options(output), reporter)?;
        }
        let Some(push) = output.push else { return Ok(()) };
        let digest = source.root()?.descriptor().digest.clone();
        for name in &output.names {
            let destination = match push.by_digest {
                true => name.with_digest(digest.clone()),
                false => name.clone(),
            };
            self.remote.send(self.invocation, self.store, source, &destination, false)?;
        }
        Ok(())
    }
}

/// Registries that an output allows to be spoken to without TLS.
pub(crate) fn insecure(outputs: &[Output], tags: &[Reference]) -> Vec<String> {
    let outputs = outputs.iter().filter(|output| output.push.is_some_and(|push| push.insecure));
    let names = outputs.flat_map(|output| output.names.iter().chain(tags));
    names.map(|name| name.registry().to_owned()).collect()
}

/// What can be known of an output before anything is built.
fn check(output: &Output) -> Result<(), Error> {
    let refuse = |text: String, hint: &str| Err(Error::Usage { text, hint: Some(hint.to_owned()) });
    if output.push.is_some() && output.names.is_empty() {
        return refuse(
            "tag is needed when pushing to registry".to_owned(),
            "name it with --tag, or name=",
        );
    }
    let is_directory = matches!(output.form, Form::Local | Form::OciDirectory);
    output.destination.as_ref().map_or(Ok(()), |path| can_be_written(path, is_directory))
}

/// Whether a file or a directory can be written there, as far as that shows before.
pub(super) fn can_be_written(path: &Path, is_directory: bool) -> Result<(), Error> {
    let refuse = |text: String, hint: &str| Err(Error::Usage { text, hint: Some(hint.to_owned()) });
    match fs::metadata(path) {
        Ok(found) if is_directory && !found.is_dir() => {
            let text = format!("{} is no directory", path.display());
            return refuse(text, "choose another dest=");
        }
        Ok(found) if !is_directory && found.is_dir() => {
            let text = format!("{} is a directory", path.display());
            return refuse(text, "name a file in it, or write a directory with type=local");
        }
        Ok(found) if !is_directory && !found.is_file() => return Ok(()), // a pipe, or a device
        _ => {}
    }
    // The nearest directory that is there; a file is made beside what it replaces.
    let above = path
        .ancestors()
        .skip(usize::from(!is_directory))
        .map(|path| if path.as_os_str().is_empty() { Path::new(".") } else { path });
    let folder = match is_directory {
        true => above.into_iter().find(|path| path.exists()),
        false => above.into_iter().next(),
    };
    let Some(folder) = folder else { return Ok(()) };
    // Whatever forbids it says so now and not after the build.
    match tempfile::tempfile_in(folder) {
        Ok(_) => Ok(()),
        Err(source) => Err(Error::Write { path: path.to_owned(), source }),
    }
}
