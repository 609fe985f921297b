//! What was done, in the reference builder's terms: the operations of its low-level build definition
//! (`solver/pb/ops.proto`), in the form that its JSON has.

use serde_json::{Map, Value, json};

use super::base64;
use super::record::{Change, Command, Copied, Mounted, Operation, Source, Vertex, VertexId, What};
use crate::dockerfile::{Mount, Owner, Sharing};
use crate::image::Platform;
use crate::sandbox::Network;

/// Kinds of mounts; binds are 0, which goes without saying.
mod kind {
    pub(super) const SECRET: u32 = 1;
    pub(super) const SSH: u32 = 2;
    pub(super) const CACHE: u32 = 3;
    pub(super) const TMPFS: u32 = 4;
}

/// No input: nothing is below.
const NONE: i64 = -1;

/// `llbDefinition`: each vertex with its inputs, and at last which of them is the result.
pub(super) fn definition(graph: &[Vertex]) -> Value {
    let mut steps: Vec<Value> = Vec::new();
    for (at, vertex) in graph.iter().enumerate() {
        let mut op = json!({ "Op": operation(vertex) });
        if let Some(platform) = &vertex.platform {
            op["platform"] = self::platform(platform);
        }
        op["constraints"] = json!({});
        let mut step = json!({ "id": name(at), "op": op });
        if !vertex.inputs.is_empty() {
            let inputs = vertex.inputs.iter().copied().map(VertexId::number).map(output);
            step["inputs"] = inputs.collect();
        }
        steps.push(step);
    }
    if let Some(last) = graph.len().checked_sub(1) {
        let inputs = [output(last)];
        steps.push(json!({ "id": name(graph.len()), "op": { "Op": {} }, "inputs": inputs }));
    }
    steps.into()
}

/// What a vertex is called.
pub(super) fn name(at: usize) -> String {
    format!("step{at}")
}

/// What its files are called.
pub(super) fn output(at: usize) -> String {
    format!("{}:0", name(at))
}

fn below(vertex: &Vertex) -> i64 {
    if vertex.has_below { 0 } else { NONE }
}

fn platform(platform: &Platform) -> Value {
    let mut value = json!({ "Architecture": platform.architecture, "OS": platform.os });
    if let Some(variant) = &platform.variant {
        value["Variant"] = json!(variant);
    }
    value
}

fn operation(vertex: &Vertex) -> Value {
    match &vertex.what {
        What::Source(source) => json!({ "source": self::source(source) }),
        What::Done(Operation::Run(command)) => json!({ "exec": run(command, vertex) }),
        What::Done(Operation::Files(changes)) => {
            let mut actions: Vec<Value> = changes.iter().map(action).collect();
            chain(&mut actions, vertex, changes);
            json!({ "file": { "actions": actions } })
        }
    }
}

fn source(source: &Source) -> Value {
    match source {
        Source::Local(name) => json!({ "identifier": format!("local://{name}") }),
        Source::Image { reference, digest } => {
            let reference = match reference.digest() {
                Some(_) => reference.to_string(),
                None => format!("{reference}@{digest}"),
            };
            json!({ "identifier": format!("docker-image://{reference}") })
        }
        Source::Layout { name, digest } => {
            json!({ "identifier": format!("oci-layout://{name}@{digest}") })
        }
        Source::Url { url, digest } => {
            json!({ "identifier": url, "attrs": { "http.checksum": digest } })
        }
        Source::Repository { url, commit } => {
            let (remote, reference) = url.split_once('#').unwrap_or((url, ""));
            let bare = remote.split_once("://").map_or(remote, |(_, rest)| rest);
            let reference = if reference.is_empty() { commit } else { reference };
            json!({
                "identifier": format!("git://{bare}#{reference}"),
                "attrs": { "git.fullurl": remote, "git.checksum": commit },
            })
        }
        Source::Host(programs) => json!({ "identifier": format!("host:{}", programs.join(",")) }),
    }
}

fn run(command: &Command, vertex: &Vertex) -> Value {
    let Command { argv, environment, directory, user, network, mounts } = command;
    let mut meta = json!({ "args": argv, "env": environment, "cwd": directory });
    if !user.is_empty() {
        meta["user"] = json!(user);
    }
    let mut all = vec![json!({ "input": below(vertex), "dest": "/", "output": 0 })];
    let mut variables = Vec::new();
    for mounted in mounts {
        match &mounted.mount {
            Mount::Secret { id, env: Some(name), required, target: None, .. } => {
                let mut secret = json!({ "ID": id, "name": name });
                optional(&mut secret, *required);
                variables.push(secret);
            }
            _ => all.push(mount(mounted)),
        }
    }
    let mut value = json!({ "meta": meta, "mounts": all });
    if *network == Network::None {
        value["network"] = json!(2);
    }
    if !variables.is_empty() {
        value["secretenv"] = variables.into();
    }
    value
}

fn mount(mounted: &Mounted) -> Value {
    let input = mounted.input.map_or(NONE, |input| i64::try_from(input).unwrap_or(NONE));
    let mut value = json!({ "input": input, "dest": mounted.target, "output": NONE });
    let read_only = |value: &mut Value, writable: bool| {
        if !writable {
            value["readonly"] = json!(true);
        }
    };
    match &mounted.mount {
        Mount::Bind { source, writable, .. } => {
            selector(&mut value, source);
            read_only(&mut value, *writable);
        }
        Mount::Cache { id, source, sharing, writable, .. } => {
            selector(&mut value, source);
            read_only(&mut value, *writable);
            value["mountType"] = json!(kind::CACHE);
            let id = id.as_ref().unwrap_or(&mounted.target);
            value["cacheOpt"] = json!({ "ID": id });
            match sharing {
                Sharing::Shared => {}
                Sharing::Private => value["cacheOpt"]["sharing"] = json!(1),
                Sharing::Locked => value["cacheOpt"]["sharing"] = json!(2),
            }
        }
        Mount::Tmpfs { size, .. } => {
            value["mountType"] = json!(kind::TMPFS);
            if let Some(size) = size {
                value["TmpfsOpt"] = json!({ "size": size });
            }
        }
        Mount::Secret { id, required, owner, .. } => {
            value["mountType"] = json!(kind::SECRET);
            let mut secret = described(id, *owner, 0o400);
            optional(&mut secret, *required);
            value["secretOpt"] = secret;
        }
        Mount::Ssh { id, required, owner, .. } => {
            value["mountType"] = json!(kind::SSH);
            let mut agent = described(id, *owner, 0o600);
            optional(&mut agent, *required);
            value["SSHOpt"] = agent;
        }
    }
    value
}

fn selector(value: &mut Value, source: &str) {
    if !matches!(source, "" | "/") {
        value["selector"] = json!(source);
    }
}

fn described(id: &str, owner: Owner, mode: u32) -> Value {
    let mut value = json!({ "ID": id });
    for (name, number) in [("uid", owner.uid), ("gid", owner.gid)] {
        if let Some(number) = number.filter(|number| *number != 0) {
            value[name] = json!(number);
        }
    }
    value["mode"] = json!(owner.mode.unwrap_or(mode));
    value
}

fn optional(value: &mut Value, required: bool) {
    if !required {
        value["optional"] = json!(true);
    }
}

fn action(change: &Change) -> Value {
    match change {
        Change::Copy(copied) => json!({ "copy": copy(copied) }),
        Change::Write { path, content, owner, mode } => {
            let mut value = json!({ "path": path });
            set_owner(&mut value, owner.as_deref());
            set_mode(&mut value, mode.as_deref(), 0o644);
            value["data"] = json!(base64(content.as_bytes()));
            value["timestamp"] = json!(-1);
            json!({ "mkfile": value })
        }
        Change::MakeDirectory { path, owner } => {
            let mut value = json!({ "path": path, "mode": 0o755, "makeParents": true });
            set_owner(&mut value, owner.as_deref());
            value["timestamp"] = json!(-1);
            json!({ "mkdir": value })
        }
    }
}

fn copy(copied: &Copied) -> Value {
    let Copied { input: _, source, destination, owner, mode, exclude, unpacks } = copied;
    let mut value = json!({ "src": source, "dest": destination });
    set_owner(&mut value, owner.as_deref());
    set_mode(&mut value, mode.as_deref(), -1);
    let flags = [
        ("followSymlink", true),
        ("dirCopyContents", true),
        ("attemptUnpackDockerCompatibility", *unpacks),
        ("createDestPath", true),
        ("allowWildcard", true),
        ("allowEmptyWildcard", true),
    ];
    let flags = flags.into_iter().filter(|(_, set)| *set);
    let flags: Map<String, Value> = flags.map(|(name, _)| (name.to_owned(), true.into())).collect();
    value.as_object_mut().expect("it was made as one").extend(flags);
    value["timestamp"] = json!(-1);
    if !exclude.is_empty() {
        value["excludePatterns"] = json!(exclude);
    }
    value
}

/// `--chmod`; what is no number is kept as it is.
fn set_mode(value: &mut Value, mode: Option<&str>, usual: i64) {
    let number = mode.and_then(|mode| i64::from_str_radix(mode, 8).ok());
    match (mode, number) {
        (Some(mode), None) => {
            value["mode"] = json!(usual);
            value["modeStr"] = json!(mode);
        }
        (_, number) => value["mode"] = json!(number.unwrap_or(usual)),
    }
}

/// `--chown`: names are looked up in the image below, which is the first input.
fn set_owner(value: &mut Value, owner: Option<&str>) {
    let Some(owner) = owner else { return };
    let (user, group) = owner.split_once(':').unwrap_or((owner, ""));
    let one = |text: &str| match text.parse::<u32>() {
        Ok(id) => json!({ "User": { "byId": id } }),
        Err(_) => json!({ "User": { "byName": { "name": text, "input": 0 } } }),
    };
    let mut both = Map::new();
    for (key, text) in [("user", user), ("group", group)] {
        if !text.is_empty() {
            both.insert(key.to_owned(), one(text));
        }
    }
    value["owner"] = both.into();
}

/// Turns changes into actions: each works on what the one before made, the last one's files are the
/// output. Numbers that are no inputs of the vertex are earlier actions.
fn chain(actions: &mut [Value], vertex: &Vertex, changes: &[Change]) {
    let (count, inputs) = (actions.len(), vertex.inputs.len());
    for (at, (action, change)) in actions.iter_mut().zip(changes).enumerate() {
        let number = |number: usize| i64::try_from(number).unwrap_or(NONE);
        let input = if at == 0 { below(vertex) } else { number(inputs + at - 1) };
        let secondary = match change {
            Change::Copy(Copied { input: Some(input), .. }) => number(*input),
            _ => NONE,
        };
        let output = if at + 1 == count { 0 } else { NONE };
        let what = std::mem::take(action);
        *action = json!({
            "input": input, "secondaryInput": secondary, "output": output, "Action": what,
        });
    }
}
