//! [`Plain`]: events as lines, for logs and pipes.

use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use super::lines::{self, Lines, prefix};
use super::{Style, Ui, say};
use crate::report::{Activity, Event, Outcome, Reporter};

/// An activity that takes longer gets a line when it starts as well as one when it ends.
const PATIENCE: Duration = Duration::from_secs(1);

/// Writes a line for each activity that ended, one for each that takes long, and what commands
/// write.
#[derive(Debug)]
pub(crate) struct Plain {
    ui: Ui,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    open: BTreeMap<Activity, Open>,
    watching: bool,
    over: bool,
}

#[derive(Debug)]
struct Open {
    title: String,
    since: Instant,
    announced: bool,
    lines: Lines,
}

impl Open {
    fn announce(&mut self) {
        if !self.announced {
            say(&self.title);
            self.announced = true;
        }
    }
}

impl Plain {
    pub(crate) fn new(ui: Ui) -> Self {
        Self { ui, shared: Arc::default() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().expect("nothing that holds the lock panics")
    }

    fn finished(&self, mut open: Open, outcome: Outcome) {
        let mut rest = Vec::new();
        open.lines.finish(|line| rest.push(line.to_owned()));
        for line in rest {
            say(&format!("{} {line}", prefix(&open.title)));
        }
        let word = self.ui.outcome(outcome, open.since.elapsed());
        say(&format!("{}: {word}", lines::marked(&open.title, outcome)));
    }
}

impl Reporter for Plain {
    fn pause(&self, work: &mut dyn FnMut()) {
        let _state = self.lock();
        work();
    }

    fn report(&self, event: Event) {
        match event {
            Event::Started { activity, title, .. } => {
                let mut state = self.lock();
                let title = lines::title(&title);
                let (since, lines) = (Instant::now(), Lines::default());
                state.open.insert(activity, Open { title, since, announced: false, lines });
                if !std::mem::replace(&mut state.watching, true) {
                    let shared = Arc::clone(&self.shared);
                    std::thread::spawn(move || watch(&shared));
                }
                self.shared.changed.notify_one();
            }
            Event::Progress { .. } => {}
            Event::Output { activity, bytes, .. } => {
                let mut state = self.lock();
                let Some(open) = state.open.get_mut(&activity) else { return };
                open.announce();
                let start = prefix(&open.title).to_owned();
                open.lines.push(&bytes, |line| say(&format!("{start} {line}")));
            }
            Event::Finished { activity, outcome } => {
                let open = self.lock().open.remove(&activity);
                if let Some(open) = open {
                    self.finished(open, outcome);
                }
            }
            Event::Warning { text } => say(&self.ui.warning(&text)),
            Event::Note { text } => say(&text),
            Event::Detail { text } if self.ui.verbose => say(&self.ui.paint(Style::Dim, &text)),
            Event::Detail { .. } => {}
        }
    }
}

impl Drop for Plain {
    fn drop(&mut self) {
        self.lock().over = true;
        self.shared.changed.notify_one();
    }
}

/// Announces activities that take long; sleeps while there are none.
fn watch(shared: &Shared) {
    let mut state = shared.state.lock().expect("nothing that holds the lock panics");
    while !state.over {
        let mut next: Option<Duration> = None;
        for open in state.open.values_mut().filter(|open| !open.announced) {
            match PATIENCE.checked_sub(open.since.elapsed()) {
                Some(left) if !left.is_zero() => next = Some(next.map_or(left, |n| n.min(left))),
                _ => open.announce(),
            }
        }
        let woken = match next {
            Some(left) => shared.changed.wait_timeout(state, left).map(|(state, _)| state).ok(),
            None => shared.changed.wait(state).ok(),
        };
        let Some(woken) = woken else { return };
        state = woken;
    }
}
