//! What the program has to tell a person, as data.
//!
//! Rooms emit [`Event`]s to a [`Reporter`]; `cli` draws them, tests record them. Nothing below
//! `cli` prints.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::Serialize;

/// Names one activity (a step, a layer) from its start to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub struct Activity(u64);

impl Activity {
    /// A new one, different from all others of this process.
    pub fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Self(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}

impl Default for Activity {
    fn default() -> Self {
        Self::new()
    }
}

/// How an activity ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// The work was done now.
    Done,
    /// The result was there already: a cache hit, a layer that exists.
    Cached,
    Failed,
    /// It was ended because something else failed.
    Cancelled,
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Event {
    /// An activity began. `total` is its size in bytes, where that has a meaning.
    Started { activity: Activity, title: String, total: Option<u64> },
    /// It got as far as `done` bytes.
    Progress { activity: Activity, done: u64 },
    /// A command that runs in it wrote this, to stdout or to stderr (any bytes, not necessarily a
    /// whole line).
    Output {
        activity: Activity,
        #[serde(serialize_with = "lossy")]
        bytes: Vec<u8>,
    },
    /// It ended.
    Finished { activity: Activity, outcome: Outcome },
    /// Something a person should know, though the work goes on.
    Warning { text: String },
    /// Worth a line to somebody who watches.
    Note { text: String },
    /// Only for who asked for more (`-v`).
    Detail { text: String },
}

/// Where events go.
pub trait Reporter: Sync {
    fn report(&self, event: Event);

    /// Does something that needs the terminal for itself; nothing is drawn meanwhile.
    fn pause(&self, work: &mut dyn FnMut()) {
        work();
    }

    /// Tells a person something, though the work goes on.
    fn warn(&self, text: String) {
        self.report(Event::Warning { text });
    }

    fn note(&self, text: String) {
        self.report(Event::Note { text });
    }

    fn detail(&self, text: String) {
        self.report(Event::Detail { text });
    }
}

/// Begins an activity; it ends as [`Outcome::Failed`] when the returned guard is dropped without
/// [`Running::finish`].
pub fn start(reporter: &dyn Reporter, title: impl Into<String>, total: Option<u64>) -> Running<'_> {
    let activity = Activity::new();
    reporter.report(Event::Started { activity, title: title.into(), total });
    Running { reporter, activity, done: AtomicU64::new(0), open: true }
}

/// An activity that goes on.
pub struct Running<'a> {
    reporter: &'a dyn Reporter,
    activity: Activity,
    done: AtomicU64,
    open: bool,
}

impl Running<'_> {
    pub fn activity(&self) -> Activity {
        self.activity
    }

    /// `bytes` more are done.
    pub fn advance(&self, bytes: u64) {
        let done = self.done.fetch_add(bytes, Ordering::Relaxed) + bytes;
        self.reporter.report(Event::Progress { activity: self.activity, done });
    }

    pub fn finish(mut self, outcome: Outcome) {
        self.open = false;
        self.reporter.report(Event::Finished { activity: self.activity, outcome });
    }
}

impl std::fmt::Debug for Running<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Running").field(&self.activity).finish()
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        if self.open {
            let (activity, outcome) = (self.activity, Outcome::Failed);
            self.reporter.report(Event::Finished { activity, outcome });
        }
    }
}

/// Keeps events, for tests.
#[derive(Debug, Default)]
pub struct Recorder(Mutex<Vec<Event>>);

impl Recorder {
    /// What was reported so far.
    pub fn events(&self) -> Vec<Event> {
        self.0.lock().expect("no reporter panics while it holds the lock").clone()
    }
}

impl Reporter for Recorder {
    fn report(&self, event: Event) {
        self.0.lock().expect("no reporter panics while it holds the lock").push(event);
    }
}

/// Says nothing to nobody.
#[derive(Debug, Clone, Copy)]
pub struct Silent;

impl Reporter for Silent {
    fn report(&self, _: Event) {}
}

fn lossy<S: serde::Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&String::from_utf8_lossy(bytes))
}
