//! [`Log`]: what RUN steps write, on its way to the reporter and into files; without secrets.

use std::collections::{BTreeMap, VecDeque};
use std::fs::File;
use std::io::Write as _;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::mounts::Secret;
use crate::report::{Activity, Event, Reporter};
use crate::store::{Logs, Store};

/// So much of a step's last output is repeated when it fails, in bytes.
const LAST: usize = 16 << 10;

/// What a secret becomes.
const MASK: &[u8] = b"*****";

/// Shorter texts are no secrets, and would make a mess of everything else.
const SHORTEST: usize = 3;

/// What a step has written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// All of it.
    pub log: PathBuf,
    /// The end of it; the beginning of its first line may be missing.
    pub last: Vec<u8>,
}

/// Passes events on, and keeps what commands write. Secrets are masked in both: a log of a CI system
/// is kept, too.
pub(super) struct Log<'a> {
    store: &'a Store,
    reporter: &'a dyn Reporter,
    masks: Masks,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Made when a command writes for the first time.
    logs: Option<Logs>,
    /// A log that cannot be kept is no reason to end a build; one warning does.
    is_lost: bool,
    steps: BTreeMap<Activity, Step>,
    files: usize,
}

#[derive(Debug, Default)]
struct Step {
    title: String,
    /// Perhaps the beginning of a secret.
    pending: Vec<u8>,
    file: Option<(PathBuf, File)>,
    last: VecDeque<u8>,
}

impl<'a> Log<'a> {
    pub(super) fn new(store: &'a Store, reporter: &'a dyn Reporter, secrets: &[Secret]) -> Self {
        let masks = Masks::new(secrets.iter().map(|secret| &*secret.content.0));
        Self { store, reporter, masks, state: Mutex::default() }
    }

    /// What a step that still goes on has written, if it has.
    pub(super) fn written(&self, activity: Activity) -> Option<Written> {
        let mut state = self.lock();
        let rest = std::mem::take(&mut state.steps.get_mut(&activity)?.pending);
        self.keep(&mut state, activity, &rest);
        let step = state.steps.get(&activity)?;
        let (log, _) = step.file.as_ref()?;
        Some(Written { log: log.clone(), last: step.last.iter().copied().collect() })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Shows bytes that contain no secret any more, and writes them down.
    fn keep(&self, state: &mut State, activity: Activity, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        self.reporter.report(Event::Output { activity, bytes: bytes.to_vec() });
        if let Err(error) = self.write(state, activity, bytes)
            && !std::mem::replace(&mut state.is_lost, true)
        {
            self.reporter.warn(format!("what this build writes cannot be kept: {error}"));
        }
    }

    fn write(
        &self,
        state: &mut State,
        activity: Activity,
        bytes: &[u8],
    ) -> Result<(), Box<dyn std::error::Error>> {
        let State { logs, is_lost, steps, files } = state;
        let Some(step) = steps.get_mut(&activity) else { return Ok(()) };
        step.last.extend(bytes);
        let surplus = step.last.len().saturating_sub(LAST);
        step.last.drain(..surplus);
        if *is_lost {
            return Ok(());
        }
        let (_, file) = match &mut step.file {
            Some(file) => file,
            none => {
                let logs = match logs {
                    Some(logs) => logs,
                    none => none.insert(self.store.logs()?),
                };
                *files += 1;
                let mut opened = logs.file(&file_name(*files, &step.title))?;
                writeln!(opened.1, "# {}", step.title)?;
                none.insert(opened)
            }
        };
        Ok(file.write_all(bytes)?)
    }
}

impl std::fmt::Debug for Log<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Log").field("state", &self.state).finish_non_exhaustive()
    }
}

impl Reporter for Log<'_> {
    fn pause(&self, work: &mut dyn FnMut()) {
        self.reporter.pause(work);
    }

    fn report(&self, event: Event) {
        match &event {
            Event::Started { activity, title, .. } => {
                let step = Step { title: title.clone(), ..Step::default() };
                self.lock().steps.insert(*activity, step);
            }
            Event::Output { activity, bytes } => {
                let mut state = self.lock();
                let Some(step) = state.steps.get_mut(activity) else {
                    return self.reporter.report(event);
                };
                step.pending.extend(bytes);
                let ready = self.masks.take(&mut step.pending);
                return self.keep(&mut state, *activity, &ready);
            }
            Event::Finished { activity, .. } => {
                let mut state = self.lock();
                if let Some(step) = state.steps.get_mut(activity) {
                    let rest = std::mem::take(&mut step.pending);
                    self.keep(&mut state, *activity, &rest);
                    state.steps.remove(activity);
                }
            }
            _ => {}
        }
        self.reporter.report(event);
    }
}

/// `2-build-2-5.log` of `[build 2/5] RUN …`.
fn file_name(number: usize, title: &str) -> String {
    let place = title.strip_prefix('[').and_then(|title| title.split(']').next()).unwrap_or("step");
    let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '-' };
    let place: String = place.chars().take(60).map(plain).collect();
    format!("{number:03}-{place}.log")
}

/// The texts that nobody may read.
#[derive(Debug, Default)]
struct Masks(Vec<Vec<u8>>);

impl Masks {
    /// A secret is masked as a whole, and each line of it: a command may show only a part.
    fn new<'s>(secrets: impl Iterator<Item = &'s [u8]>) -> Self {
        let mut texts: Vec<Vec<u8>> = Vec::new();
        for secret in secrets {
            let lines = secret.split(|byte| *byte == b'\n');
            texts.extend([secret].into_iter().chain(lines).map(|text| text.trim_ascii().to_vec()));
        }
        texts.retain(|text| text.len() >= SHORTEST);
        texts.sort_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
        texts.dedup();
        Self(texts)
    }

    /// Takes from `pending` what can be shown: all but an end that may become a secret.
    fn take(&self, pending: &mut Vec<u8>) -> Vec<u8> {
        if self.0.is_empty() {
            return std::mem::take(pending);
        }
        let (mut ready, mut at) = (Vec::with_capacity(pending.len()), 0);
        while at < pending.len() {
            let rest = &pending[at..];
            if let Some(text) = self.0.iter().find(|text| rest.starts_with(text)) {
                ready.extend(MASK);
                at += text.len();
            } else if self.0.iter().any(|text| text.starts_with(rest)) {
                break;
            } else {
                ready.push(pending[at]);
                at += 1;
            }
        }
        pending.drain(..at);
        ready
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn masked(secrets: &[&str], pieces: &[&str]) -> String {
        let masks = Masks::new(secrets.iter().map(|secret| secret.as_bytes()));
        let (mut pending, mut shown) = (Vec::new(), Vec::new());
        for piece in pieces {
            pending.extend(piece.as_bytes());
            shown.extend(masks.take(&mut pending));
        }
        shown.extend(pending);
        String::from_utf8(shown).expect("text")
    }

    #[test]
    fn secrets_are_masked_wherever_they_are_cut() {
        for (secrets, pieces, expected) in [
            (&["s3cret\n"][..], &["a s3cret b"][..], "a ***** b"),
            (&["s3cret"], &["a s3", "cr", "et b"], "a ***** b"),
            (&["s3cret"], &["s3", "x s3cre"], "s3x s3cre"),
            (&["s3cret"], &["s3s3cret"], "s3*****"),
            (&["abc", "abcdef"], &["abcdef abc"], "***** *****"),
            (&["one line\nand another\n"], &["x and another"], "x *****"),
            (&["ab", ""], &["ab"], "ab"), // too short to be one
            (&[], &["a", "b"], "ab"),
        ] {
            assert_eq!(masked(secrets, pieces), expected, "{secrets:?} {pieces:?}");
        }
    }

    #[test]
    fn files_are_named_after_their_steps() {
        assert_eq!(file_name(2, "[build 2/5] RUN x"), "002-build-2-5.log");
        assert_eq!(file_name(1, "fakeroot profile"), "001-step.log");
    }
}
