//! How an image came to be: SLSA provenance 1.0 in the form of the reference builder
//! (BuildKit's `docs/attestations/slsa-definitions.md`).
//!
//! With `mode=min` it says what was built and out of what. With `mode=max` it says also with which
//! arguments, secrets (their names) and agents, and has the Dockerfile and all steps. What arguments
//! say is public then; secrets have no place here in either mode.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::record::{Operation, Source, Vertex, What};
use super::{Mode, Provenance, base64, operations, purl};
use crate::build::remote::without_password;
use crate::build::scope::PROXIES;
use crate::build::{NamedContext, Options};
use crate::dockerfile::Mount;
use crate::image::{Platform, Timestamp};
use crate::sandbox::Network;

/// The type of the predicate.
pub(super) const TYPE: &str = "https://slsa.dev/provenance/v1";

/// Says what the parameters of the build mean.
const BUILD_TYPE: &str =
    "https://github.com/moby/buildkit/blob/master/docs/attestations/slsa-definitions.md";

/// What the provenance of one image is made of.
#[derive(Debug)]
pub(super) struct Facts<'a> {
    pub(super) options: &'a Options,
    /// What the image needed; see [`Record::graph`](super::record::Record::graph).
    pub(super) graph: &'a [Vertex],
    pub(super) started: Timestamp,
    pub(super) finished: Timestamp,
    /// The build's own name.
    pub(super) invocation: &'a str,
}

/// Makes the predicate.
pub(super) fn predicate(wish: &Provenance, facts: &Facts<'_>) -> Value {
    let Facts { options, graph, .. } = facts;
    let (arguments, is_whole) = arguments(options, wish.mode);
    let mut request = json!({ "frontend": "dockerfile.v0" });
    request["args"] = arguments.into();
    if wish.mode == Mode::Max {
        let (secrets, agents) = secrets(graph);
        for (name, list) in [("secrets", secrets), ("ssh", agents)] {
            if !list.is_empty() {
                request[name] = list.into();
            }
        }
    }
    let locals = locals(options, graph);
    if !locals.is_empty() {
        let named = locals.iter().map(|name| json!({ "name": name }));
        request["locals"] = named.collect();
    }
    let mut config = Map::new();
    if let Some(origin) = &options.origin.context {
        config.insert("uri".to_owned(), json!(origin.url));
        config.insert("digest".to_owned(), digests(&origin.digest));
    }
    config.insert("path".to_owned(), json!(options.origin.dockerfile));

    let mut internal = json!({ "builderPlatform": Platform::host().to_string() });
    let mut metadata = Map::new();
    if wish.mode == Mode::Max {
        internal["buildConfig"] = json!({ "llbDefinition": operations::definition(graph) });
        metadata.insert("source".to_owned(), source(options, graph));
        metadata.insert("layers".to_owned(), layers(graph));
    }
    let is_complete = locals.is_empty() && !graph.iter().any(is_untold);
    let is_hermetic = is_complete && !graph.iter().any(reaches_out);
    let definition = json!({
        "buildType": BUILD_TYPE,
        "externalParameters": { "configSource": config, "request": request },
        "internalParameters": internal,
        "resolvedDependencies": dependencies(graph),
    });
    let details = json!({
        "invocationId": facts.invocation,
        "startedOn": facts.started.to_string(),
        "finishedOn": facts.finished.to_string(),
        "buildkit_metadata": metadata,
        "buildkit_hermetic": is_hermetic,
        "buildkit_completeness": {
            "request": is_whole,
            "resolvedDependencies": is_complete,
        },
        "buildkit_reproducible": wish.reproducible,
    });
    let builder = json!({
        "id": wish.builder_id,
        "version": { "bryo": env!("CARGO_PKG_VERSION") },
    });
    json!({
        "buildDefinition": definition,
        "runDetails": { "builder": builder, "metadata": details },
    })
}

/// `args`: what the build was asked for, in the frontend's words; and whether that is all of it.
fn arguments(options: &Options, mode: Mode) -> (Map<String, Value>, bool) {
    let mut all = BTreeMap::new();
    for (name, value) in &options.build_args {
        // How this machine reaches others is its own affair, and there may be passwords in it.
        if !PROXIES.contains(&name.as_str()) {
            all.insert(format!("build-arg:{name}"), value.clone());
        }
    }
    for (name, value) in &options.labels {
        all.insert(format!("label:{name}"), value.clone());
    }
    let before = all.len();
    if mode == Mode::Min {
        all.clear();
    }
    let is_whole = all.len() == before;
    for (name, context) in &options.contexts {
        let value = match context {
            NamedContext::Directory(_) => format!("local:{name}"),
            NamedContext::Remote(url) => without_password(url),
            NamedContext::Image(reference) => format!("docker-image://{reference}"),
            NamedContext::Layout { tag, .. } => match tag {
                Some(tag) => format!("oci-layout://{name}:{tag}"),
                None => format!("oci-layout://{name}"),
            },
            NamedContext::Host(programs) => format!("host:{}", programs.join(",")),
        };
        all.insert(format!("context:{name}"), value);
    }
    if let Some(target) = &options.target {
        all.insert("target".to_owned(), target.clone());
    }
    if options.no_cache {
        all.insert("no-cache".to_owned(), String::new());
    }
    if options.network == Network::None {
        all.insert("force-network-mode".to_owned(), "none".to_owned());
    }
    (all.into_iter().map(|(name, value)| (name, value.into())).collect(), is_whole)
}

/// Secrets and agents that commands could use, by their names.
fn secrets(graph: &[Vertex]) -> (Vec<Value>, Vec<Value>) {
    let (mut secrets, mut agents) = (BTreeMap::new(), BTreeMap::new());
    let commands = graph.iter().filter_map(|vertex| match &vertex.what {
        What::Done(Operation::Run(command)) => Some(command),
        _ => None,
    });
    for mounted in commands.flat_map(|command| &command.mounts) {
        let (known, id, required) = match &mounted.mount {
            Mount::Secret { id, required, .. } => (&mut secrets, id, required),
            Mount::Ssh { id, required, .. } => (&mut agents, id, required),
            _ => continue,
        };
        *known.entry(id.clone()).or_default() |= *required;
    }
    let list = |known: BTreeMap<String, bool>| {
        let one = |(id, required)| match required {
            true => json!({ "id": id }),
            false => json!({ "id": id, "optional": true }),
        };
        known.into_iter().map(one).collect()
    };
    (list(secrets), list(agents))
}

/// Directories of the caller's. Those that the build begins with count in any case.
fn locals(options: &Options, graph: &[Vertex]) -> Vec<String> {
    let mut names: Vec<String> = graph
        .iter()
        .filter_map(|vertex| match &vertex.what {
            What::Source(Source::Local(name)) => Some(name.clone()),
            _ => None,
        })
        .collect();
    if options.origin.context.is_none() {
        names.extend(["context".to_owned(), "dockerfile".to_owned()]);
    }
    names.sort();
    names.dedup();
    names
}

/// Whether it comes from this machine in a way that nothing tells about.
fn is_untold(vertex: &Vertex) -> bool {
    matches!(vertex.what, What::Source(Source::Host(_)))
}

fn reaches_out(vertex: &Vertex) -> bool {
    matches!(&vertex.what, What::Done(Operation::Run(command)) if command.network != Network::None)
}

/// What came from outside and has a name there, in the order of kinds and names.
fn dependencies(graph: &[Vertex]) -> Vec<Value> {
    let mut found: Vec<(u8, String, Value)> = Vec::new();
    for vertex in graph {
        let What::Source(source) = &vertex.what else { continue };
        let platform = vertex.platform.as_ref();
        let (rank, uri, digest) = match source {
            Source::Image { reference, digest } => {
                (0, purl::image(reference, platform), digests(&digest.to_string()))
            }
            Source::Layout { name, digest } => {
                (0, purl::layout(name, digest, platform), digests(&digest.to_string()))
            }
            Source::Repository { url, commit } => (1, url.clone(), digests(commit)),
            Source::Url { url, digest } => (2, url.clone(), digests(&digest.to_string())),
            Source::Local(_) | Source::Host(_) => continue,
        };
        found.push((rank, uri.clone(), json!({ "uri": uri, "digest": digest })));
    }
    found.sort_by(|a, b| (a.0, &a.1).cmp(&(b.0, &b.1)));
    found.dedup_by(|a, b| a.1 == b.1);
    found.into_iter().map(|(.., value)| value).collect()
}

/// A digest with its algorithm, or a commit.
pub(super) fn digests(digest: &str) -> Value {
    let (algorithm, hex) = match digest.split_once(':') {
        Some(both) => both,
        None if digest.len() == 64 => ("sha256", digest),
        None => ("sha1", digest),
    };
    json!({ algorithm: hex })
}

/// The Dockerfile, and which of its lines each step stands on.
fn source(options: &Options, graph: &[Vertex]) -> Value {
    let mut locations = Map::new();
    for (at, vertex) in graph.iter().enumerate() {
        let places: Vec<Value> = vertex
            .spans
            .iter()
            .map(|span| {
                let (start, end) = (json!({ "line": span.line }), json!({ "line": span.end_line }));
                json!({ "ranges": [{ "start": start, "end": end }] })
            })
            .collect();
        if !places.is_empty() {
            locations.insert(operations::name(at), json!({ "locations": places }));
        }
    }
    let file = json!({
        "filename": options.origin.dockerfile,
        "language": "Dockerfile",
        "data": base64(options.dockerfile.as_bytes()),
    });
    json!({ "locations": locations, "infos": [file] })
}

/// The layers that each step's files are in.
fn layers(graph: &[Vertex]) -> Value {
    let mut all = Map::new();
    for (at, vertex) in graph.iter().enumerate().filter(|(_, vertex)| !vertex.layers.is_empty()) {
        all.insert(operations::output(at), json!([vertex.layers]));
    }
    all.into()
}
