//! [`Resolved`]: an image without its layers, which may follow later, or never.

use std::io::Read;

use super::{Error, Options, Sink, Source, choose, read_small, transfer, warn_of_platform};
use crate::image::{Config, Content, Descriptor, Index, Manifest};
use crate::report::Reporter;

/// What a name means now: a manifest and a configuration.
#[derive(Debug, Clone)]
pub struct Resolved {
    pub manifest: Manifest,
    pub config: Config,
    /// The index that the image was chosen from.
    pub index: Option<Index>,
    /// The configuration, byte for byte.
    bytes: Vec<u8>,
}

impl Resolved {
    /// The configuration, byte for byte.
    pub fn config_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Asks a source for the image of [`Options::platform`].
    ///
    /// # Errors
    ///
    /// Also when it has something else than an image.
    pub fn of(
        source: &dyn Source,
        options: &Options,
        reporter: &dyn Reporter,
    ) -> Result<Self, Error> {
        let (content, index) = choose(source, source.root()?, options, true)?;
        let Content::Image(manifest) = content else {
            let problem = "it is an artifact, which has no files".to_owned();
            return Err(Error::NoImage { path: source.name(), problem });
        };
        let bytes = read_small(source, &manifest.config)?;
        let config = Config::parse(&bytes)?;
        let (diff_ids, layers) = (config.rootfs.diff_ids.len(), manifest.layers.len());
        if diff_ids != layers {
            return Err(Error::LayerCount { image: source.name(), diff_ids, layers });
        }
        if let Some(wanted) = &options.platform {
            warn_of_platform(wanted, &config, source, reporter);
        }
        Ok(Self { manifest, config, index, bytes })
    }

    /// Moves exactly this image from the source that it was asked from, whatever has become of its
    /// name since.
    pub fn transfer(
        &self,
        source: &dyn Source,
        sink: &dyn Sink,
        options: &Options,
        reporter: &dyn Reporter,
    ) -> Result<(), Error> {
        let pinned = Pinned { source, resolved: self };
        let options = Options { platform: None, ..options.clone() };
        transfer(&pinned, sink, &options, reporter).map(drop)
    }
}

/// A source whose root cannot change any more.
struct Pinned<'a> {
    source: &'a dyn Source,
    resolved: &'a Resolved,
}

impl Source for Pinned<'_> {
    fn name(&self) -> String {
        self.source.name()
    }

    fn root(&self) -> Result<Content, Error> {
        Ok(Content::Image(self.resolved.manifest.clone()))
    }

    fn manifest(&self, descriptor: &Descriptor) -> Result<Content, Error> {
        self.source.manifest(descriptor)
    }

    fn open(&self, descriptor: &Descriptor) -> Result<Box<dyn Read + Send + '_>, Error> {
        match descriptor.digest == self.resolved.manifest.config.digest {
            true => Ok(Box::new(&self.resolved.bytes[..])),
            false => self.source.open(descriptor),
        }
    }
}
