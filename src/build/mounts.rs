//! `RUN --mount`: what each mount shows, what of it the step's key contains, and how it is made.
//!
//! In the key are the texts after expansion and the contents that `bind` shows. Caches and secrets
//! are there by name alone: what is in them changes no result that anybody may rely on.

use std::path::{Path, PathBuf};

use super::attest::record::{Mounted, VertexId};
use super::copy_step::{Opened, Origins};
use super::error::Fault;
use super::exchange::Used;
use super::execute::{Executor, Step};
use super::files::Files;
use super::key::KeyMaker;
use super::plan::Origin;
use super::state::State;
use crate::dockerfile::{Expander, Ignore, Mount, Owner, Sharing};
use crate::image::Digest;
use crate::rootfs::live::Unwritten;
use crate::rootfs::{Choice, Copier, CopyOptions, Meta, Root, SideTable, clean};
use crate::run::{Agent, Forward};
use crate::sandbox::{self, Content, What};
use crate::store::{CacheMount, Workspace};

/// A secret that RUN may ask for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Secret {
    pub id: String,
    pub content: Content,
}

/// The mounts of one RUN.
#[derive(Default)]
pub(super) struct Mounts<'e> {
    planned: Vec<Planned<'e>>,
    /// Where the first agent's socket is, which `SSH_AUTH_SOCK` names.
    agent: Option<String>,
}

struct Planned<'e> {
    mount: Mount,
    /// Absolute; empty for a secret that is a variable alone.
    target: String,
    /// Where `bind` and `cache` read from.
    origins: Option<Origins<'e>>,
    /// Of what `bind` shows, or of what a cache begins with.
    content: Option<String>,
}

/// Mounts that can be seen, as long as this lives.
#[derive(Default)]
pub(super) struct Made<'e> {
    pub(super) mounts: Vec<sandbox::Mount>,
    /// Secrets: `NAME=value`.
    pub(super) environment: Vec<String>,
    /// What files of other images do not carry themselves.
    pub(super) unwritten: Unwritten,
    /// Keeps mounts, locks and copies.
    held: Vec<Held<'e>>,
}

#[allow(dead_code, reason = "held for their drop")]
enum Held<'e> {
    Image(Opened<'e>),
    Cache(CacheMount<'e>),
    Copy(Workspace),
    // Closed in this order.
    Agent(Forward, Workspace),
}

impl<'e> Mounts<'e> {
    pub(super) fn plan(
        executor: &'e Executor<'_>,
        texts: &[String],
        step: &Step<'_>,
    ) -> Result<Self, Fault> {
        let get = |name: &str| step.state.scope.get(name).map(str::to_owned);
        let expander = Expander::new(executor.plan.escape, &get);
        let (mut planned, mut agent, mut agents) = (Vec::new(), None, 0);
        for text in texts {
            let mount = Mount::parse(text, &expander)?;
            let target = target(&mount, step.state.directory(), agents)?;
            if matches!(mount, Mount::Ssh { .. }) {
                agents += 1;
                agent = agent.or_else(|| Some(target.clone()));
            }
            let origins = origins(executor, &mount, step.stage)?;
            let content = match (&mount, &origins) {
                (Mount::Bind { source, .. } | Mount::Cache { source, .. }, Some(origins)) => {
                    Some(content(executor, origins, source)?)
                }
                _ => None,
            };
            let one = Planned { mount, target, origins, content };
            if let Some(Cache { key, name, .. }) = Cache::of(&one) {
                executor.shared.mounts(Used { name, key });
            }
            planned.push(one);
        }
        // One inside of another comes after it, whatever order they are written in.
        planned.sort_by_key(|planned| clean(Path::new(&planned.target)));
        Ok(Self { planned, agent })
    }

    /// Adds to a key what the step's result may depend on.
    pub(super) fn add_to(&self, mut key: KeyMaker) -> KeyMaker {
        for Planned { mount, target, content, .. } in &self.planned {
            key = key.field("mount", target);
            key = match mount {
                Mount::Bind { writable, .. } => {
                    key.field("bind", access(*writable)).optional("content", content.as_ref())
                }
                Mount::Cache { id, writable, .. } => {
                    key.field("cache", access(*writable)).optional("id", id.as_ref())
                }
                Mount::Tmpfs { size, writable, .. } => key
                    .field("tmpfs", access(*writable))
                    .optional("size", size.map(|size| size.to_string())),
                Mount::Secret { id, env, owner, .. } => key
                    .field("secret", id)
                    .optional("variable", env.as_ref())
                    .field("owner", shown(*owner)),
                Mount::Ssh { id, owner, .. } => key.field("ssh", id).field("owner", shown(*owner)),
            };
        }
        key
    }

    /// What the record says of them, and what they show.
    pub(super) fn told(&self, executor: &Executor<'_>) -> (Vec<Mounted>, Vec<VertexId>) {
        let (mut mounted, mut inputs) = (Vec::new(), Vec::new());
        for Planned { mount, target, origins, .. } in &self.planned {
            let from = match mount {
                Mount::Bind { from, .. } | Mount::Cache { from, .. } => from.as_deref(),
                _ => None,
            };
            let shown = origins.as_ref().and_then(|origins| origins.vertex(executor, from));
            let input = shown.map(|shown| {
                inputs.push(shown);
                inputs.len() - 1
            });
            mounted.push(Mounted { mount: mount.clone(), target: target.clone(), input });
        }
        (mounted, inputs)
    }

    /// Makes all that is to be mounted.
    pub(super) fn make(&self, executor: &'e Executor<'_>) -> Result<Made<'e>, Fault> {
        let mut made = Made::default();
        // Locks are taken in one order by everybody: nobody waits for who waits for him.
        let mut caches: Vec<_> = self.planned.iter().filter_map(Cache::of).collect();
        caches.sort_by(|a, b| (a.key.hex(), rank(a.sharing)).cmp(&(b.key.hex(), rank(b.sharing))));
        let mut reserved: Vec<(Digest, PathBuf)> = Vec::new();
        for cache in &caches {
            // One that is mounted twice is reserved once, in the strictest way.
            if reserved.iter().all(|(key, _)| *key != cache.key) {
                let path = cache.reserve(executor, &mut made)?;
                reserved.push((cache.key.clone(), path));
            }
        }
        for planned in &self.planned {
            let target = planned.target.as_str();
            match &planned.mount {
                Mount::Bind { source, writable, .. } => {
                    let origins = planned.origins.as_ref().expect("bind has one");
                    let source = made.show(executor, origins, source, *writable)?;
                    made.bind(target, source, *writable);
                }
                Mount::Cache { writable, .. } => {
                    let cache = Cache::of(planned).expect("it is one");
                    let found = reserved.iter().find(|(key, _)| *key == cache.key);
                    let (_, path) = found.expect("all were reserved");
                    made.bind(target, path.clone(), *writable);
                }
                Mount::Tmpfs { size, writable, .. } => {
                    let what = What::Tmpfs { mode: 0o1777, size: *size };
                    let mut mount = sandbox::Mount::new(target, what);
                    mount.read_only = !writable;
                    made.mounts.push(mount);
                }
                Mount::Secret { id, env, required, owner, .. } => {
                    let given = executor.options.secrets.iter().find(|secret| secret.id == *id);
                    match given {
                        Some(secret) => made.tell(secret, target, env.as_deref(), *owner)?,
                        None if *required => return Err(Fault::NoSecret(id.clone())),
                        None => {}
                    }
                }
                Mount::Ssh { id, required, owner, .. } => {
                    let given = executor.options.agents.iter().find(|agent| agent.id == *id);
                    match given {
                        Some(agent) => made.forward(executor, agent, target, *owner)?,
                        None if *required => return Err(Fault::NoAgent(id.clone())),
                        None => {}
                    }
                }
            }
        }
        if let Some(agent) = &self.agent
            && made.mounts.iter().any(|mount| mount.target == Path::new(agent))
        {
            made.environment.push(format!("SSH_AUTH_SOCK={agent}"));
        }
        Ok(made)
    }
}

/// Where a mount is seen. `number` tells the sockets of agents apart that have no target.
fn target(mount: &Mount, directory: &str, number: usize) -> Result<String, Fault> {
    let target = match mount {
        Mount::Bind { target, .. } | Mount::Cache { target, .. } | Mount::Tmpfs { target, .. } => {
            target.clone()
        }
        Mount::Secret { target: Some(target), .. } | Mount::Ssh { target: Some(target), .. } => {
            target.clone()
        }
        Mount::Secret { target: None, .. } => return Ok(String::new()),
        Mount::Ssh { target: None, .. } => format!("/run/buildkit/ssh_agent.{number}"),
    };
    let absolute = Path::new("/").join(directory).join(&target);
    let absolute = Path::new("/").join(clean(&absolute));
    if absolute == Path::new("/") {
        return Err(Fault::MountTarget(absolute.display().to_string()));
    }
    Ok(absolute.display().to_string())
}

fn origins<'e>(
    executor: &'e Executor<'_>,
    mount: &Mount,
    stage: usize,
) -> Result<Option<Origins<'e>>, Fault> {
    let from = match mount {
        Mount::Bind { from: None, .. } => {
            return Ok(Some(Origins::Context(executor.contexts.main(executor.store)?)));
        }
        Mount::Bind { from: Some(from), .. } | Mount::Cache { from: Some(from), .. } => from,
        _ => return Ok(None),
    };
    let origin = executor.plan.mount_origin(stage, from)?;
    if let Origin::Context(name) = &origin
        && let Some(files) = executor.contexts.named(name, executor.fetcher())
    {
        return Ok(Some(Origins::Context(files?)));
    }
    executor.image(&origin, stage).map(Some)
}

/// What stands for the files at `source`.
fn content(executor: &Executor<'_>, origins: &Origins<'_>, source: &str) -> Result<String, Fault> {
    let state = match origins {
        Origins::Context(files) => return digest(files, source).map(|digest| digest.to_string()),
        Origins::Image(state) => state,
    };
    if clean(Path::new(source)) == Path::new("") {
        // A whole image has a name already.
        return Ok(chain(state));
    }
    let chain_id = state.chain_id();
    let key = KeyMaker::new("mounted", chain_id.as_ref()).field("source", source).finish();
    let digest = executor.content(&key, || digest(executor.open(origins)?.files(), source))?;
    Ok(digest.to_string())
}

fn chain(state: &State) -> String {
    state.chain_id().map_or_else(|| "scratch".to_owned(), |chain_id| chain_id.to_string())
}

/// Of a directory, that counts too which a COPY would not take: its own mode and owner.
fn digest(files: &Files, source: &str) -> Result<Digest, Fault> {
    let found = files.exactly(source)?;
    let Meta { kind, mode, uid, gid, .. } = found.meta;
    let (uid, gid) = if files.keeps_owners { (uid, gid) } else { (0, 0) };
    let key = KeyMaker::new("mounted files", None)
        .field("is", format!("{kind:?} {mode:o} {uid} {gid}"))
        .field("content", files.digest(&found, &Ignore::default())?.to_string());
    Ok(key.finish().digest().clone())
}

impl<'e> Made<'e> {
    fn bind(&mut self, target: &str, source: PathBuf, writable: bool) {
        let what = What::Bind { source, read_only: !writable };
        self.mounts.push(sandbox::Mount::new(target, what));
    }

    /// The path on this machine where `source` can be seen; what is written there is nobody's.
    fn show(
        &mut self,
        executor: &'e Executor<'_>,
        origins: &Origins<'e>,
        source: &str,
        writable: bool,
    ) -> Result<PathBuf, Fault> {
        let opened = executor.open(origins)?;
        let found = opened.files().exactly(source)?;
        let files = opened.files();
        let whole = !writable && files.is_whole(&found)?;
        match &opened {
            Opened::Context(_) if whole => Ok(files.root.path().join(found.path)),
            Opened::Context(_) => {
                let workspace = executor.store.workspace()?;
                copy(files, source, &Root::open(workspace.path())?, Path::new("files"))?;
                let path = workspace.path().join("files");
                self.held.push(Held::Copy(workspace));
                Ok(path)
            }
            Opened::Image(_, snapshot) => {
                self.unwritten.extend(snapshot.unwritten()?);
                let path = files.root.path().join(found.path);
                self.held.push(Held::Image(opened));
                Ok(path)
            }
        }
    }

    /// Shows a socket that leads to an agent.
    fn forward(
        &mut self,
        executor: &Executor<'_>,
        agent: &Agent,
        target: &str,
        owner: Owner,
    ) -> Result<(), Fault> {
        let workspace = executor.store.workspace()?;
        let mode = owner.mode.unwrap_or(0o600);
        let forward = Forward::new(agent, workspace.path(), mode, executor.services.path)?;
        let root = Root::open(workspace.path())?;
        let name = clean(Path::new(forward.path().file_name().unwrap_or_default()));
        let (uid, gid) = (owner.uid.unwrap_or(0), owner.gid.unwrap_or(0));
        let mut records = SideTable::default();
        root.set_owner(&name, uid, gid, &mut records)?;
        if let Some(meta) = root.lstat(&name)?
            && let Some(record) = records.get(&name)
        {
            self.unwritten.insert(meta.identity(), record.clone());
        }
        self.bind(target, forward.path().to_owned(), true);
        self.held.push(Held::Agent(forward, workspace));
        Ok(())
    }

    fn tell(
        &mut self,
        secret: &Secret,
        target: &str,
        variable: Option<&str>,
        owner: Owner,
    ) -> Result<(), Fault> {
        if !target.is_empty() {
            let what = What::File {
                content: secret.content.clone(),
                mode: owner.mode.unwrap_or(0o400),
                owner: (owner.uid.unwrap_or(0), owner.gid.unwrap_or(0)),
            };
            self.mounts.push(sandbox::Mount::new(target, what).read_only());
        }
        if let Some(name) = variable {
            let text = std::str::from_utf8(&secret.content.0).ok();
            let text = text.filter(|text| !text.contains('\0'));
            let text = text.ok_or_else(|| Fault::BinarySecret(secret.id.clone()))?;
            self.environment.push(format!("{name}={text}"));
        }
        Ok(())
    }
}

/// Copies what is at `source` into `root`, without what is ignored: as `target`, or into it when it
/// is a directory. A context's files become root's.
fn copy(files: &Files, source: &str, root: &Root, target: &Path) -> Result<(), Fault> {
    let (found, ignore) = (files.exactly(source)?, Ignore::default());
    let choose = |path: &Path, meta: &Meta| -> Choice { files.choose(&found, &ignore, path, meta) };
    let options = CopyOptions {
        owner: if files.keeps_owners { None } else { Some((0, 0)) },
        no_xattrs: !files.keeps_owners,
        choose: Some(&choose),
        ..CopyOptions::default()
    };
    let mut records = SideTable::default();
    if found.meta.is_dir() {
        root.create_dir_all(target, 0o755)?;
    }
    Copier::new(&files.root, &files.records, root, &mut records, options)?
        .copy(&found.path, target)?;
    if found.meta.is_dir() {
        let Meta { uid, gid, mode, mtime, .. } = found.meta;
        let (uid, gid) = options.owner.unwrap_or((uid, gid));
        root.set_owner(target, uid, gid, &mut records)?;
        root.set_mode(target, mode)?;
        root.set_time(target, mtime)?;
    }
    Ok(())
}

/// A cache that a step mounts.
struct Cache<'p, 'e> {
    key: Digest,
    name: String,
    sharing: Sharing,
    owner: Owner,
    /// What it begins as.
    begin: Option<(&'p Origins<'e>, &'p str)>,
}

impl<'p, 'e> Cache<'p, 'e> {
    /// As in the reference, those that begin differently are different ones.
    fn of(planned: &'p Planned<'e>) -> Option<Self> {
        let Mount::Cache { id, source, target, sharing, owner, .. } = &planned.mount else {
            return None;
        };
        // Without an id it is the target as it is written, wherever WORKDIR leads.
        let name = match id {
            Some(id) => id.clone(),
            None if target.is_empty() || target.starts_with('/') => planned.target.clone(),
            None => clean(Path::new(target)).display().to_string(),
        };
        let key = KeyMaker::new("cache", None)
            .field("id", &name)
            .optional("content", planned.content.as_ref())
            .field("owner", shown(*owner))
            .finish();
        let begin = planned.origins.as_ref().map(|origins| (origins, source.as_str()));
        let key = key.digest().clone();
        Some(Self { key, name, sharing: *sharing, owner: *owner, begin })
    }

    /// Keeps the cache for this step, and gives its directory.
    fn reserve(&self, executor: &'e Executor<'_>, made: &mut Made<'e>) -> Result<PathBuf, Fault> {
        let waits = || {
            let name = &self.name;
            executor.reporter.note(format!("waiting for the cache {name}: another step has it"));
        };
        let cache = executor.store.cache_mount(&self.key, &self.name, self.sharing, &waits)?;
        let begin = self.begin.map(|(origins, source)| (executor.open(origins), source));
        let path = cache.files(|new| {
            let Executor { store, reporter, .. } = *executor;
            let is_filled = executor.shared.imported.fill(&self.key, new, store, reporter)?;
            self.fill(begin.filter(|_| !is_filled), new)
        })?;
        made.held.push(Held::Cache(cache));
        Ok(path)
    }

    fn fill(
        &self,
        begin: Option<(Result<Opened<'e>, Fault>, &str)>,
        new: &Path,
    ) -> Result<(), Fault> {
        let (root, top) = (Root::open(new)?, Path::new(""));
        if let Some((opened, source)) = begin {
            let opened = opened?;
            let found = opened.files().exactly(source)?;
            if !found.meta.is_dir() {
                return Err(Fault::NotADirectory(Path::new("/").join(found.path)));
            }
            copy(opened.files(), source, &root, top)?;
        } else {
            root.set_mode(top, 0o755)?;
        }
        let Owner { mode, uid, gid } = self.owner;
        if let Some(mode) = mode {
            root.set_mode(top, mode)?;
        }
        if let Some(before) = root.stat(top)?
            && (uid.is_some() || gid.is_some())
        {
            let (uid, gid) = (uid.unwrap_or(before.uid), gid.unwrap_or(before.gid));
            root.set_owner(top, uid, gid, &mut SideTable::default())?;
        }
        Ok(())
    }
}

fn rank(sharing: Sharing) -> u8 {
    match sharing {
        Sharing::Locked => 0,
        Sharing::Private => 1,
        Sharing::Shared => 2,
    }
}

fn access(writable: bool) -> &'static str {
    if writable { "read and write" } else { "read" }
}

fn shown(owner: Owner) -> String {
    let Owner { mode, uid, gid } = owner;
    format!("{mode:?} {uid:?} {gid:?}")
}
