//! Options that change an image on its way: the same for every command that moves images.

use std::io;

use super::error::Error;
use super::invocation::Invocation;
use super::ui;
use crate::layer::compress::Compression;
use crate::store::Store;
use crate::transfer::Source;
use crate::transfer::filter::{self, Filter, Found, Kitchen};

#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = "Changing the image")]
pub(crate) struct Changes {
    /// Change the image on its way; may be repeated, and the order counts
    ///
    /// timestamps[=N]: all files and the configuration get the time N, in seconds since 1970, 0
    /// if it is left out; timestamps=max=N: no later time. exclude=GLOB leaves out files, as a
    /// line of a .gitignore does. find=GLOB lists the files that match. record=FILE appends the
    /// history and the sizes of the layers, as a line of JSON. recompress=gzip, recompress=zstd:9 and
    /// recompress=none compress all layers so. squash makes one layer of all. platform=OS/ARCH takes one
    /// platform's image out of an index. format=oci and format=docker call manifests, configurations and
    /// layers so, and change no layer. occystrap's names are understood too:
    /// normalize-timestamps:ts=N, exclude:pattern=GLOB,GLOB, search:pattern=GLOB, inspect:file=FILE.
    #[arg(short, long, value_name = "NAME[=VALUE]")]
    filter: Vec<Filter>,
    /// Compress all layers so
    #[arg(long, alias = "compression", value_name = "gzip|zstd|none[:LEVEL]")]
    compress: Option<Compression>,
}

impl Changes {
    /// The same after others.
    #[must_use]
    pub(crate) fn after(&self, first: impl IntoIterator<Item = Filter>) -> Self {
        let filter = first.into_iter().chain(self.filter.iter().cloned()).collect();
        Self { filter, compress: self.compress }
    }

    /// The same with layers that are compressed so, unless something was said about that.
    #[must_use]
    pub(crate) fn compressed(self, compress: Option<Compression>) -> Self {
        Self { compress: self.compress.or(compress), ..self }
    }

    /// Whether files must be unpacked for it.
    pub(crate) fn needs_namespace(&self) -> bool {
        self.filter.iter().any(Filter::unpacks)
    }

    /// Whether an image stays as it is.
    pub(crate) fn are_none(&self) -> bool {
        self.filter.is_empty() && self.compress.is_none()
    }

    /// Whether something is written to stdout.
    pub(crate) fn speaks(&self) -> bool {
        self.filter.iter().any(Filter::speaks)
    }

    /// All of them, in their order.
    pub(crate) fn filters(&self) -> Vec<Filter> {
        self.filter.iter().cloned().chain(self.compress.map(Filter::Compress)).collect()
    }

    /// The same image, changed.
    pub(crate) fn apply<'a>(
        &self,
        source: Box<dyn Source + 'a>,
        invocation: &'a Invocation,
        store: &'a Store,
    ) -> Result<Box<dyn Source + 'a>, Error> {
        let kitchen = Kitchen { store, reporter: &*invocation.reporter, found: &told };
        Ok(filter::apply(source, &self.filters(), kitchen)?)
    }
}

/// A line for what was found: for programs as occystrap has it, for people without the image's name.
pub(crate) fn told(found: &Found<'_>) -> io::Result<()> {
    let path = found.entry.path.to_string_lossy();
    let path = path.trim_start_matches("./");
    let line = match found.script {
        true => format!("{}:{}:{path}\n", found.image, found.layer.hex()),
        false => format!("{} {path}\n", found.layer),
    };
    ui::data(line.as_bytes())
}
