//! [`Json`]: events as JSON lines, for programs.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use super::{Ui, say};
use crate::report::{Activity, Event, Reporter};

/// Progress of one activity is told at most so often.
const INTERVAL: Duration = Duration::from_millis(100);

/// Writes each event as one JSON object on a line of its own.
#[derive(Debug)]
pub(crate) struct Json {
    ui: Ui,
    told: Mutex<BTreeMap<Activity, Instant>>,
}

impl Json {
    pub(crate) fn new(ui: Ui) -> Self {
        Self { ui, told: Mutex::default() }
    }

    /// Whether progress of `activity` is due; remembers that it was told.
    fn due(&self, activity: Activity) -> bool {
        let mut told = self.told.lock().expect("nothing that holds the lock panics");
        let now = Instant::now();
        let due = told.get(&activity).is_none_or(|last| now.duration_since(*last) >= INTERVAL);
        if due {
            told.insert(activity, now);
        }
        due
    }
}

impl Reporter for Json {
    fn report(&self, event: Event) {
        match event {
            Event::Progress { activity, .. } if !self.due(activity) => return,
            Event::Detail { .. } if !self.ui.verbose => return,
            _ => {}
        }
        say(&serde_json::to_string(&event).expect("events have string keys and no failing types"));
    }
}
