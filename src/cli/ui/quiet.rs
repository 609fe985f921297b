//! [`Quiet`]: says nothing until something goes wrong.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Mutex;

use super::lines::{Lines, prefix};
use super::{Ui, say};
use crate::report::{Activity, Event, Outcome, Reporter};

/// How many of a failed command's last lines are shown.
const LAST: usize = 20;

/// Keeps the last lines of each command, and shows them if it fails; shows warnings.
#[derive(Debug)]
pub(crate) struct Quiet {
    ui: Ui,
    open: Mutex<BTreeMap<Activity, Open>>,
}

#[derive(Debug, Default)]
struct Open {
    title: String,
    lines: Lines,
    last: VecDeque<String>,
}

impl Open {
    fn keep(last: &mut VecDeque<String>, line: &str) {
        if last.len() == LAST {
            last.pop_front();
        }
        last.push_back(line.to_owned());
    }
}

impl Quiet {
    pub(crate) fn new(ui: Ui) -> Self {
        Self { ui, open: Mutex::default() }
    }
}

impl Reporter for Quiet {
    fn report(&self, event: Event) {
        let mut open = self.open.lock().expect("nothing that holds the lock panics");
        match event {
            Event::Started { activity, title, .. } => {
                open.insert(activity, Open { title, ..Open::default() });
            }
            Event::Output { activity, bytes, .. } => {
                if let Some(Open { lines, last, .. }) = open.get_mut(&activity) {
                    lines.push(&bytes, |line| Open::keep(last, line));
                }
            }
            Event::Finished { activity, outcome } => {
                let Some(Open { title, mut lines, mut last }) = open.remove(&activity) else {
                    return;
                };
                lines.finish(|line| Open::keep(&mut last, line));
                if outcome == Outcome::Failed {
                    last.iter().for_each(|line| say(&format!("{} {line}", prefix(&title))));
                }
            }
            Event::Warning { text } => say(&self.ui.warning(&text)),
            Event::Detail { text } if self.ui.verbose => say(&text),
            Event::Progress { .. } | Event::Note { .. } | Event::Detail { .. } => {}
        }
    }
}
