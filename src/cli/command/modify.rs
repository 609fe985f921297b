//! `bryo modify`.

use std::fs;
use std::io::{self, IsTerminal as _};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::build::{self, Deed};
use crate::cli::args::Reach;
use crate::cli::emulation::Emulation;
use crate::cli::error::Error;
use crate::cli::invocation::Invocation;
use crate::cli::steps;
use crate::fakeroot::Help;
use crate::image::{Content, Platform, Reference, Timestamp};
use crate::run::{Options, Volume};
use crate::transfer;
use crate::transfer::endpoint::SCHEMES;

/// Change an image by commands, and name what comes of it
///
/// Each command makes a layer and a line in the history, as RUN of a Dockerfile does; variables, user
/// and working directory are the image's. A command that fails ends it, and nothing is named. With -i
/// somebody at a terminal does what there is to do, and all of it becomes a layer when the shell ends.
/// Prints the digest; what commands say goes to stderr, and their stdin is empty.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "Examples:
  bryo modify -c 'apt-get update' -c 'apt-get install -y less' debian:12 less
  bryo modify app app:fixed fix.sh
  bryo modify -i app app:tried")]
pub(crate) struct Modify {
    /// Do this, in the image's shell; may be repeated
    #[arg(short, long, value_name = "COMMAND", conflicts_with_all = ["interactive", "script"])]
    command: Vec<String>,
    /// Do it yourself, in the image's shell; so it is without -c and SCRIPT at a terminal
    #[arg(short, long, conflicts_with = "script")]
    interactive: bool,
    /// Show a directory or a file of this machine there; may be repeated
    #[arg(short, long = "bind", value_name = "SRC[:DST[:ro]]", value_parser = steps::bind)]
    bind: Vec<Volume>,
    /// What commands reach
    #[arg(long = "network", value_enum, default_value = "default", value_name = "REACH")]
    reach: Reach,
    #[command(flatten)]
    emulation: Emulation,
    /// A name, or the beginning of an ID
    image: String,
    /// The name of the result; it may be the image's own
    #[arg(value_name = "NAME")]
    name: String,
    /// Execute this file; `-` is stdin. It may stand before NAME, too
    script: Option<PathBuf>,
}

impl Modify {
    pub(crate) fn run(&self, invocation: &Invocation) -> Result<(), Error> {
        let (name, script) = self.name_and_script();
        let name: Reference = name.parse()?;
        let deeds = self.deeds(script)?;
        let help = Help::new(self.emulation.wish(&invocation.config)?);
        let created = match invocation.config.source_date_epoch()? {
            Some(seconds) => Timestamp::from_seconds(seconds),
            None => Timestamp::from(SystemTime::now()),
        };
        let store = invocation.store()?;
        let found = store.find(&self.image).map_err(|error| match self.image.split_once(':') {
            Some((word, _)) if SCHEMES.iter().any(|scheme| scheme.name == word) => Error::Usage {
                text: format!("{}: what is changed must be here", self.image),
                hint: Some(format!("bring it here: bryo copy {} store:NAME", self.image)),
            },
            _ => error.into(),
        })?;
        let content = store.content_for(&found.descriptor, &Platform::host())?;
        let Content::Image(manifest) = &content else {
            return Err(Error::NotAnImage(self.image.clone()));
        };
        let reporter = &*invocation.reporter;
        let moving = transfer::Options { jobs: invocation.jobs().layers, ..Default::default() };
        transfer::unpack(&store, &content, &moving, reporter)?;
        let options = Options {
            volumes: self.bind.clone(),
            network: self.reach.into(),
            ..Options::default()
        };
        let created = created.to_string();
        let made =
            build::modify(&store, manifest, &deeds, &name, &options, &help, &created, reporter)?;
        invocation.print(&format!("{}\n", made.digest))
    }

    /// Both, in whichever order they were given.
    fn name_and_script(&self) -> (&str, Option<&Path>) {
        let script = self.script.as_deref();
        let is_file = |path: &Path| path == Path::new("-") || path.is_file();
        match script {
            Some(other) if !is_file(other) && is_file(Path::new(&self.name)) => {
                (other.to_str().unwrap_or_default(), Some(Path::new(&self.name)))
            }
            script => (&self.name, script),
        }
    }

    fn deeds(&self, script: Option<&Path>) -> Result<Vec<Deed>, Error> {
        if !self.command.is_empty() {
            return Ok(self.command.iter().cloned().map(Deed::Text).collect());
        }
        let Some(script) = script else {
            if self.interactive || io::stdin().is_terminal() {
                return Ok(vec![Deed::Shell]);
            }
            let hint = Some("give -c COMMAND, a script, or -i at a terminal".to_owned());
            return Err(Error::Usage { text: "there is nothing to do".to_owned(), hint });
        };
        let (name, bytes) = match script.as_os_str() == "-" {
            true => {
                let mut bytes = Vec::new();
                io::Read::read_to_end(&mut io::stdin(), &mut bytes).map_err(Error::Stdin)?;
                ("stdin".to_owned(), bytes)
            }
            false => {
                let name = script.file_name().unwrap_or_default().to_string_lossy().into_owned();
                (name, fs::read(script).map_err(Error::reading(script))?)
            }
        };
        match String::from_utf8(bytes) {
            Ok(content) => Ok(vec![Deed::Script { name, content }]),
            Err(_) => Err(Error::Usage { text: format!("{name} is no script"), hint: None }),
        }
    }
}
