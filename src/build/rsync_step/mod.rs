//! RSYNC: what rsync(1) would do with a directory of this machine and one in the image, done here.
//!
//! By bryo's own hands, not by the host's rsync: a build must not need another program, nor depend on
//! its version; owners and attributes that an ordinary user cannot set are recorded as for COPY; and
//! what is copied has to be read for the step's key anyway. What is compared is always the content.

mod filter;
mod links;
mod list;
mod place;

use std::cell::Cell;
use std::ffi::OsStr;
use std::path::Path;

use super::attest::record::{Change, Copied, Operation, Told};
use super::content::Contents;
use super::copy_step::Origins;
use super::copy_words::absolute;
use super::error::Fault;
use super::execute::{Deed, Executor, Step, Worth};
use super::files::Files;
use super::key::KeyMaker;
use crate::dockerfile::rsync::{Rsync, Settings};
use crate::dockerfile::{Expander, Word};
use crate::report::Reporter;
use crate::rootfs::{Accounts, CAPABILITY, Copier, CopyOptions, FileType, Meta, SideTable};
use crate::store::Snapshot;
use list::{Entry, List, Lister, Side};
use place::Target;

pub(super) fn plan<'d>(
    executor: &'d Executor<'_>,
    rsync: &Rsync,
    step: &Step<'_>,
) -> Result<Deed<'d>, Fault> {
    let get = |name: &str| step.state.scope.get(name).map(str::to_owned);
    let expander = Expander::new(executor.plan.escape, &get);
    let settings = rsync.settings(&expander).map_err(Fault::Rsync)?;
    let expand = |words: &[Word]| -> Result<Vec<String>, Fault> {
        Ok(words.iter().map(|word| expander.word(word)).collect::<Result<_, _>>()?)
    };
    let (options, sources) = (expand(&rsync.options)?, expand(&rsync.sources)?);
    let written = expander.word(&rsync.destination)?;
    let destination = absolute(step.state.directory(), &written);
    let files = executor.contexts.main(executor.store)?;
    let mut lister = Lister::new(files, &settings, executor.options.is_local)?;
    for source in &sources {
        lister.add(source)?;
    }
    let list = lister.finish();
    let below = step.state.chain_id();
    let key = KeyMaker::new("rsync", below.as_ref());
    let key = add(files, &list, &settings, key)?
        .field("settings", format!("{settings:?} {:?}", list.rules))
        .field("destination", &destination)
        .field("time", executor.time_of_made().to_string())
        .finish();
    let vertex = Origins::Context(files).vertex(executor, None);
    let copied = |source: &String| {
        Change::Copy(Copied {
            input: vertex.map(|_| 0),
            source: format!("/{}", source.trim_start_matches('/')),
            destination: destination.clone(),
            owner: settings.chown.clone(),
            mode: None,
            exclude: Vec::new(),
            unpacks: false,
        })
    };
    let operation = Operation::Files(sources.iter().map(copied).collect());
    let told = Told { operation, inputs: vertex.into_iter().collect() };
    let plus = rsync.group.word();
    let words = [vec![plus.to_owned()], options, sources, vec![written]].concat();
    let said = format!("RSYNC {}", words.join(" "));
    let (seconds, reporter) = (executor.time_of_made(), executor.reporter);
    let act = move |snapshot: &mut Snapshot<'_>| {
        tell(&list, reporter);
        perform(&list, &settings, &destination, seconds, snapshot)?;
        Ok(if list.is_as_it_was()? { Worth::Lasting } else { Worth::Once })
    };
    Ok(Deed { key, said, told, act: Box::new(act) })
}

/// So many files that are left out are named.
const TOLD: usize = 12;

fn tell(list: &List<'_>, reporter: &dyn Reporter) {
    for name in list.skipped.iter().take(TOLD) {
        reporter.warn(format!("RSYNC: {name}"));
    }
    if let Some(more) = list.skipped.len().checked_sub(TOLD).filter(|more| *more > 0) {
        reporter.warn(format!("RSYNC: and {more} others are skipped"));
    }
    for path in &list.outside {
        let path = path.display();
        reporter.warn(format!("RSYNC copies {path}, which lies outside of the build context"));
    }
}

/// Adds what the files are to a key.
fn add(
    files: &Files,
    list: &List<'_>,
    settings: &Settings,
    mut key: KeyMaker,
) -> Result<KeyMaker, Fault> {
    let mut contents = Contents::new(files);
    for (at, entry) in list.entries.iter().enumerate() {
        let Meta { kind, mode, .. } = entry.meta;
        let root = list.root(entry.side);
        key = key
            .field("name", entry.name.as_os_str().as_encoded_bytes())
            .field("is", format!("{kind:?} {mode:o} {}", entry.is_searched));
        let xattrs = match kind {
            FileType::Symlink => {
                let target = root.read_link(&entry.path)?;
                key = key.field("leads to", target.as_os_str().as_encoded_bytes());
                continue;
            }
            FileType::File | FileType::Dir => root.xattrs(&entry.path)?,
            _ => continue,
        };
        let counts = |name: &OsStr| settings.xattrs || name == CAPABILITY;
        for (name, value) in xattrs.iter().filter(|(name, _)| counts(name)) {
            key = key.field("attribute", name.as_encoded_bytes()).field("value", value);
        }
        if kind != FileType::File {
            continue;
        }
        let same = |other: &&Entry| {
            other.side == entry.side && other.meta.identity() == entry.meta.identity()
        };
        let first = (settings.hard_links && entry.meta.nlink > 1)
            .then(|| list.entries[..at].iter().find(same))
            .flatten();
        key = match first {
            Some(first) => key.field("hard link", first.name.as_os_str().as_encoded_bytes()),
            None => {
                let path = root.path().join(&entry.path);
                let is_all = !xattrs.contains_key(OsStr::new(CAPABILITY));
                contents.add(path, &entry.meta, is_all, || Ok(root.open_file(&entry.path)?))?;
                key
            }
        };
    }
    Ok(key.field("contents", contents.finish()?.to_string()))
}

/// Does it.
fn perform(
    list: &List<'_>,
    settings: &Settings,
    destination: &str,
    seconds: i64,
    snapshot: &mut Snapshot<'_>,
) -> Result<(), Fault> {
    if list.entries.is_empty() {
        return Ok(());
    }
    let owner = match &settings.chown {
        Some(text) => Accounts::read(snapshot.root())?.file_owner(text)?,
        None => Accounts::read(snapshot.root())?.file_owner("0:0")?,
    };
    let owner = (owner.uid, owner.gid);
    let target = Target::find(list, destination, snapshot)?;
    let is_made = target.make(owner, seconds, snapshot)?;
    if settings.delete {
        list.delete_others(settings, &target, snapshot)?;
    }
    // What directories get when all is in them.
    let mut unfinished = Vec::new();
    for entry in list.entries.iter().filter(|entry| entry.meta.is_dir()) {
        let path = target.path(&entry.name);
        let before = there(&path, settings, snapshot)?;
        let is_new = match &before {
            Some(meta) if meta.is_dir() => is_made && entry.name.as_os_str().is_empty(),
            Some(_) if settings.existing => continue,
            Some(_) => {
                place::remove(&path, snapshot)?;
                true
            }
            None if settings.existing => continue,
            None => true,
        };
        if is_new {
            // A directory on the way may have been left out, too.
            snapshot.root().create_dir_all(&path, 0o755)?;
            place::own(&path, owner, snapshot)?;
        }
        let mode = mode(settings, &entry.meta, before.filter(|_| !is_new).as_ref());
        let time = match (settings.times, is_new || entry.name.as_os_str().is_empty()) {
            (true, _) => Some(entry.meta.mtime),
            (false, true) => Some((seconds, 0)),
            (false, false) => None,
        };
        unfinished.push((path, mode, time));
    }
    for side in [Side::Context, Side::Outside] {
        let entries = list.entries.iter().filter(|entry| entry.side == side);
        let entries: Vec<&Entry> = entries.filter(|entry| !entry.meta.is_dir()).collect();
        copy(list, side, &entries, settings, owner, seconds, &target, snapshot)?;
    }
    for (path, mode, time) in unfinished.iter().rev() {
        if let Some(mode) = mode {
            snapshot.root().set_mode(path, *mode)?;
        }
        if let Some(time) = time {
            snapshot.root().set_time(path, *time)?;
        }
    }
    Ok(())
}

/// What is at a place where a directory or a file is to be; with --keep-dirlinks, a link to a
/// directory is one.
fn there(path: &Path, settings: &Settings, snapshot: &Snapshot<'_>) -> Result<Option<Meta>, Fault> {
    let root = snapshot.root();
    let found = root.lstat(path)?;
    match found {
        Some(meta) if settings.keep_dirlinks && meta.kind == FileType::Symlink => {
            Ok(root.stat(path)?.filter(Meta::is_dir).or(Some(meta)))
        }
        found => Ok(found),
    }
}

#[allow(clippy::too_many_arguments, reason = "it is the inner part of one loop")]
fn copy(
    list: &List<'_>,
    side: Side,
    entries: &[&Entry],
    settings: &Settings,
    owner: (u32, u32),
    seconds: i64,
    target: &Target,
    snapshot: &mut Snapshot<'_>,
) -> Result<(), Fault> {
    let nothing = SideTable::default();
    let wanted = Cell::new(0);
    let mode_of = |_: &Meta| wanted.get();
    let options = CopyOptions {
        owner: Some(owner),
        mode: Some(&mode_of),
        time: (!settings.times).then_some((seconds, 0)),
        no_xattrs: !settings.xattrs,
        separate: !settings.hard_links,
        ..CopyOptions::default()
    };
    let mut pairs = Vec::new();
    for entry in entries {
        let path = target.path(&entry.name);
        let before = snapshot.root().lstat(&path)?;
        match before {
            None if settings.existing => continue,
            Some(_) if settings.ignore_existing => continue,
            Some(meta) if meta.is_dir() => {
                let empty = snapshot.root().read_dir(&path)?.is_empty();
                if !empty && !settings.force && !settings.delete {
                    return Err(Fault::IsADirectory(Path::new("/").join(path)));
                }
                place::remove(&path, snapshot)?;
            }
            _ => {}
        }
        let folder = path.parent().unwrap_or(Path::new(""));
        // A directory that --existing left out takes what is in it along.
        if snapshot.root().stat(folder)?.is_some_and(|meta| meta.is_dir()) {
            let before = before.filter(|meta| meta.kind == FileType::File);
            let mode = mode(settings, &entry.meta, before.as_ref());
            pairs.push((*entry, path, mode.or(before.map(|meta| meta.mode))));
        }
    }
    let mut records = std::mem::take(snapshot.new_records());
    let done = Copier::new(list.root(side), &nothing, snapshot.root(), &mut records, options)
        .and_then(|mut copier| {
            pairs.iter().try_for_each(|(entry, path, mode)| {
                wanted.set(mode.unwrap_or(entry.meta.mode));
                copier.copy(&entry.path, path).map(drop)
            })
        });
    *snapshot.new_records() = records;
    done.map_err(|error| Fault::in_image(error, snapshot.root()))
}

/// The mode that a file or a directory gets; None: it keeps what it has. Without --perms, what is new
/// is made as a process with the usual mask makes it.
fn mode(settings: &Settings, source: &Meta, before: Option<&Meta>) -> Option<u32> {
    const MASK: u32 = 0o022;
    let changed = settings.chmod.as_ref().map(|mode| mode.apply(source.mode, source.is_dir()));
    let mode = changed.unwrap_or(source.mode);
    if settings.perms {
        return Some(mode);
    }
    let Some(before) = before else { return Some(mode & 0o777 & !MASK) };
    if !settings.executability || source.kind != FileType::File {
        return None;
    }
    let old = before.mode;
    Some(match (mode & 0o111 != 0, old & 0o111 != 0) {
        (false, _) => old & !0o111,
        (true, false) => old | ((old & 0o444) >> 2),
        (true, true) => old,
    })
}
