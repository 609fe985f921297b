//! `bryo edit`.

use std::path::PathBuf;

use crate::cli::anywhere;
use crate::cli::args::{self, Login, Network};
use crate::cli::changes::Changes;
use crate::cli::error::Error;
use crate::cli::invocation::Invocation;
use crate::cli::network::Remote;
use crate::dockerfile::{self, Command, Instruction, parse_trigger, value};
use crate::image::edit;
use crate::image::media_type::Family;
use crate::image::{Annotations, Content, Platform, Timestamp};
use crate::report::Reporter;
use crate::store::Store;
use crate::transfer::filter::{Change, Filter};
use crate::transfer::source::{self, Edit as Edits, NewLayer, Rebase, Rewrite, Rewritten};
use crate::transfer::{Endpoint, Options, Source, Wishes, sink, transfer};

/// Change what an image says, or its layers, without building it
///
/// IMAGE and DESTINATION are names here, or places as `bryo copy` has them (registry:NAME,
/// oci:DIR:TAG, …). Of an index all images change. Layers that need no change are sent on as they
/// are; an image of Docker's stays one. The history tells of the changes. The same change of the same
/// image makes the same bytes. Filters come last. Prints the digest.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "Examples:
  bryo edit --env LANG=C.UTF-8 --cmd '[\"bash\"]' app app:2
  bryo edit --label team=green registry:registry.example/app registry:registry.example/app:green
  bryo edit --add-layer ./files --workdir /srv app app:files
  bryo edit --rebase debian:12.1=debian:12.2 app app:patched")]
pub(crate) struct Edit {
    /// Set a variable; may be repeated
    #[arg(long, value_name = "NAME=VALUE", value_parser = args::full_pair)]
    env: Vec<(String, String)>,
    /// Take a variable away; may be repeated
    #[arg(long, value_name = "NAME")]
    unset_env: Vec<String>,
    /// Set a label; may be repeated
    #[arg(long, value_name = "NAME=VALUE", value_parser = args::full_pair)]
    label: Vec<(String, String)>,
    /// Take a label away; may be repeated
    #[arg(long, value_name = "NAME")]
    unset_label: Vec<String>,
    /// Set the command, as in a Dockerfile: a JSON array, or a text for a shell; empty: none
    #[arg(long, value_name = "COMMAND", allow_hyphen_values = true)]
    cmd: Option<String>,
    /// Set the entry point, in the same way
    #[arg(long, value_name = "COMMAND", allow_hyphen_values = true)]
    entrypoint: Option<String>,
    /// Set whom the command runs as
    #[arg(long, value_name = "USER[:GROUP]")]
    user: Option<String>,
    /// Set the directory that the command begins in
    #[arg(long, value_name = "DIR")]
    workdir: Option<String>,
    /// Add a port, or several; may be repeated
    #[arg(long, value_name = "PORT[-PORT][/PROTOCOL]")]
    expose: Vec<String>,
    /// Take ports away; may be repeated
    #[arg(long, value_name = "PORT[-PORT][/PROTOCOL]")]
    unexpose: Vec<String>,
    /// Add a volume; may be repeated
    #[arg(long, value_name = "DIR")]
    volume: Vec<String>,
    /// Take a volume away; may be repeated
    #[arg(long, value_name = "DIR")]
    unset_volume: Vec<String>,
    /// Set the signal that ends the command
    #[arg(long, value_name = "SIGNAL")]
    stop_signal: Option<String>,
    /// Set who made the image
    #[arg(long, value_name = "NAME")]
    author: Option<String>,
    /// Set when the image was made: 2026-01-31T12:00:00Z, or seconds since 1970
    #[arg(long, value_name = "TIME", value_parser = args::moment)]
    created: Option<std::time::SystemTime>,
    /// Annotate, as `bryo build` does; makes an image of Docker's OCI's; may be repeated
    #[arg(long, value_name = "[KIND:]NAME=VALUE", allow_hyphen_values = true)]
    annotation: Vec<String>,
    /// Say that the image is for another machine
    #[arg(long, value_name = "OS/ARCH", value_parser = args::platform)]
    platform_set: Option<Platform>,
    /// Put the files of a directory, or the tar of a layer, on top; may be repeated
    #[arg(long, value_name = "TAR|DIR")]
    add_layer: Vec<PathBuf>,
    /// Replace the base's layers by another one's; without OLD the base that the image names
    #[arg(long, value_name = "[OLD=]NEW")]
    rebase: Option<String>,
    /// Give all files and the image this time, in seconds since 1970, or (max=N) no later one
    #[arg(long, value_name = "N|max=N", value_parser = times)]
    time: Option<Change>,
    /// Make one layer of all
    #[arg(long)]
    flatten: bool,
    #[command(flatten)]
    filters: Changes,
    /// Choose this platform from an index [default: all]
    #[arg(long, value_name = "OS/ARCH", value_parser = args::platform)]
    platform: Option<Platform>,
    #[command(flatten)]
    network: Network,
    #[command(flatten)]
    login: Login,
    /// Where it is
    image: String,
    /// Where it goes
    destination: String,
}

/// What images say of the base that they stand on (image-spec annotations.md).
const BASE_NAME: &str = "org.opencontainers.image.base.name";
const BASE_DIGEST: &str = "org.opencontainers.image.base.digest";

/// The same, rewritten if there is anything to do.
fn rewritten<'a>(
    source: Box<dyn Source + 'a>,
    rewrite: &Rewrite,
    store: &'a Store,
    reporter: &'a dyn Reporter,
) -> Result<Box<dyn Source + 'a>, Error> {
    Ok(match *rewrite == Rewrite::default() {
        true => source,
        false => Box::new(Rewritten::of_box(source, rewrite, store, reporter)?),
    })
}

impl Edit {
    pub(crate) fn run(&self, invocation: &Invocation) -> Result<(), Error> {
        let changes = self.changes()?;
        let rewrite = self.rewrite()?;
        let store = invocation.store()?;
        let remote = self.network.remote_as(invocation, self.login.given(invocation)?)?;
        let reporter = &*invocation.reporter;
        let found = anywhere::find(&store, &remote, &self.image, false)?.source;
        let chosen;
        let mut source: &dyn Source = &*found;
        if let Some(platform) = &self.platform {
            chosen = source::One::of(source, platform)?;
            source = &chosen;
        }
        let latest = invocation.config.source_date_epoch()?;
        let layers = self.add_layer.iter().map(|path| {
            let said = format!("bryo edit --add-layer {}", path.display());
            NewLayer::read(path, latest, said, &store).map_err(Error::inside(path))
        });
        let edits = Edits {
            changes,
            layers: layers.collect::<Result<_, _>>()?,
            rebase: self.rebase(source, &remote, &store)?,
            said: self.said(),
        };
        let edited = source::edited(source, &edits, reporter)?;
        let squash = Rewrite { squash: self.flatten, ..Rewrite::default() };
        let squashed = rewritten(Box::new(&edited), &squash, &store, reporter)?;
        let changed = rewritten(squashed, &rewrite, &store, reporter)?;
        let changed = self.filters.apply(changed, invocation, &store)?;
        let sent = self.send(&*changed, &store, &remote, invocation)?;
        invocation.print(&format!("{sent}\n"))
    }

    fn send(
        &self,
        source: &dyn Source,
        store: &Store,
        remote: &Remote,
        invocation: &Invocation,
    ) -> Result<crate::image::Digest, Error> {
        let jobs = invocation.jobs().layers;
        let mut options = Options { jobs, ..Options::default() };
        let endpoint = match Endpoint::with_scheme(&self.destination)? {
            Some(endpoint) => endpoint,
            None => Endpoint::Store(self.destination.clone()),
        };
        let reporter = &*invocation.reporter;
        if let Endpoint::Store(name) = &endpoint {
            options.names = vec![name.parse()?];
            let sink = sink::Store::new(store).packed();
            return Ok(transfer(source, &sink, &options, reporter)?.digest);
        }
        let near = match (&endpoint, Endpoint::with_scheme(&self.image)) {
            // Layers that stay are taken over there, and need not come here.
            (Endpoint::Registry(to), Ok(Some(Endpoint::Registry(from))))
                if to.registry() == from.registry() && to.repository() != from.repository() =>
            {
                Some(from.repository().to_owned())
            }
            _ => None,
        };
        let wishes = Wishes { near, ..Wishes::default() };
        let (sink, names) = endpoint.sink(remote.surroundings(store), &wishes)?;
        options.names = if names.is_empty() { source.names() } else { names };
        let sent = transfer(source, &*sink, &options, reporter)?;
        sink.finish()?;
        Ok(sent.digest)
    }

    fn changes(&self) -> Result<edit::Changes, Error> {
        let usage = |error: dockerfile::Error| Error::Usage { text: error.to_string(), hint: None };
        if let Some(signal) = self.stop_signal.as_ref().filter(|signal| !signal.is_empty()) {
            value::stop_signal(signal).map_err(usage)?;
        }
        if let Some(dir) = self.workdir.as_ref().filter(|dir| !dir.starts_with('/')) {
            let hint = Some(format!("an image has no directory to count from: /{dir}"));
            return Err(Error::Usage { text: format!("--workdir {dir} is not absolute"), hint });
        }
        let platform = self.platform_set.clone();
        Ok(edit::Changes {
            unset_env: self.unset_env.clone(),
            env: self.env.clone(),
            unset_labels: self.unset_label.clone(),
            labels: self.label.clone(),
            cmd: self.cmd.as_deref().map(|text| words("CMD", text)).transpose()?,
            entrypoint: self
                .entrypoint
                .as_deref()
                .map(|text| words("ENTRYPOINT", text))
                .transpose()?,
            user: self.user.clone(),
            working_dir: self.workdir.clone(),
            stop_signal: self.stop_signal.clone(),
            author: self.author.clone(),
            unexpose: value::expose(&self.unexpose).map_err(usage)?,
            expose: value::expose(&self.expose).map_err(usage)?,
            unset_volumes: self.unset_volume.clone(),
            volumes: self.volume.clone(),
            platform,
            created: self.created.map(Timestamp::from),
        })
    }

    fn rewrite(&self) -> Result<Rewrite, Error> {
        let mut annotations = Annotations::default();
        self.annotation.iter().try_for_each(|text| annotations.add(text))?;
        // Docker's manifests have no place for them.
        let family = (!self.annotation.is_empty()).then_some(Family::Oci);
        let mut rewrite = Rewrite { annotations, family, ..Rewrite::default() };
        self.time.iter().cloned().for_each(|change| rewrite.add(change));
        Ok(rewrite)
    }

    fn rebase<'a>(
        &self,
        source: &dyn Source,
        remote: &'a Remote,
        store: &'a Store,
    ) -> Result<Option<Rebase<'a>>, Error> {
        let Some(text) = &self.rebase else { return Ok(None) };
        let (old, new) = match text.split_once('=') {
            Some((old, new)) => (old.to_owned(), new),
            None => (named_base(source)?, text.as_str()),
        };
        Ok(Some(Rebase {
            old: anywhere::find(store, remote, &old, false)?.source,
            new: anywhere::find(store, remote, new, false)?.source,
        }))
    }

    /// What the history says of the changes: the options that made them.
    fn said(&self) -> String {
        let mut words = vec!["bryo edit".to_owned()];
        let mut say = |option: &str, value: &str| words.push(format!("--{option} {value}"));
        let pair = |(name, value): &(String, String)| format!("{name}={value}");
        self.unset_env.iter().for_each(|name| say("unset-env", name));
        self.env.iter().for_each(|env| say("env", &pair(env)));
        self.unset_label.iter().for_each(|name| say("unset-label", name));
        self.label.iter().for_each(|label| say("label", &pair(label)));
        for (option, value) in [
            ("cmd", &self.cmd),
            ("entrypoint", &self.entrypoint),
            ("user", &self.user),
            ("workdir", &self.workdir),
            ("stop-signal", &self.stop_signal),
            ("author", &self.author),
        ] {
            value.iter().for_each(|value| say(option, value));
        }
        self.unexpose.iter().for_each(|port| say("unexpose", port));
        self.expose.iter().for_each(|port| say("expose", port));
        self.unset_volume.iter().for_each(|path| say("unset-volume", path));
        self.volume.iter().for_each(|path| say("volume", path));
        self.platform_set.iter().for_each(|platform| say("platform-set", &platform.to_string()));
        let created = self.created.map(|created| Timestamp::from(created).to_string());
        created.iter().for_each(|created| say("created", created));
        words.join(" ")
    }
}

/// As the filter `timestamps` takes it.
fn times(text: &str) -> Result<Change, String> {
    match format!("timestamps={text}").parse()? {
        Filter::Layer(change) => Ok(change),
        _ => Err("it is N or max=N".to_owned()),
    }
}

/// A command as a Dockerfile would have it.
fn words(instruction: &str, text: &str) -> Result<Vec<String>, Error> {
    if text.is_empty() {
        return Ok(Vec::new());
    }
    let usage = |text: String| Error::Usage { text, hint: None };
    let parsed = parse_trigger(&format!("{instruction} {text}"));
    let command = match parsed.map_err(|diagnostic| usage(diagnostic.message))?.value {
        Instruction::Cmd(cmd) => cmd.command,
        Instruction::Entrypoint(entrypoint) => entrypoint.command,
        _ => return Err(usage(format!("{text:?} is no command"))),
    };
    Ok(match command {
        Command::Exec(words) => words,
        Command::Shell(text) => vec!["/bin/sh".to_owned(), "-c".to_owned(), text],
    })
}

/// The base that an image, or the first image of an index, names itself.
fn named_base(source: &dyn Source) -> Result<String, Error> {
    let mut content = source.root()?;
    if let Content::Index(index) = &content
        && let Some(first) = index.manifests.first()
    {
        content = source.manifest(first)?;
    }
    let annotations = match content {
        Content::Image(manifest) => manifest.annotations,
        _ => std::collections::BTreeMap::new(),
    };
    match (annotations.get(BASE_NAME), annotations.get(BASE_DIGEST)) {
        (Some(name), Some(digest)) => {
            let name: crate::image::Reference = name.parse()?;
            Ok(name.with_digest(digest.parse()?).to_string())
        }
        _ => Err(Error::Usage {
            text: format!("{} does not say on which base it stands", source.name()),
            hint: Some("name it: --rebase OLD=NEW".to_owned()),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_those_of_a_dockerfile() {
        for (text, expected) in
            [(r#"["a", "b c"]"#, "a|b c"), ("a $B", "/bin/sh|-c|a $B"), ("", "")]
        {
            assert_eq!(words("CMD", text).expect(text).join("|"), expected);
        }
    }
}
