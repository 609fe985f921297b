//! [`Bars`]: events drawn live on a terminal.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::lines::{self, Lines, prefix};
use super::{Style, Ui, say};
use crate::report::{Activity, Event, Outcome, Reporter};

/// Draws a bar for each activity that goes on; what ended scrolls up as a line.
#[derive(Debug)]
pub(crate) struct Bars {
    ui: Ui,
    screen: MultiProgress,
    open: Mutex<BTreeMap<Activity, Open>>,
}

#[derive(Debug)]
struct Open {
    title: String,
    since: Instant,
    bar: ProgressBar,
    lines: Lines,
}

impl Bars {
    pub(crate) fn new(ui: Ui) -> Self {
        let screen = MultiProgress::with_draw_target(ProgressDrawTarget::stderr());
        Self { ui, screen, open: Mutex::default() }
    }

    fn line(&self, text: &str) {
        // `--progress tty` without a terminal.
        if self.screen.is_hidden() {
            return say(text);
        }
        // A terminal that went away has nobody to tell.
        drop(self.screen.println(text));
    }

    fn bar(&self, title: &str, total: Option<u64>) -> ProgressBar {
        let (bar, template) = match total {
            Some(total) => (
                ProgressBar::new(total),
                "{spinner} {wide_msg} [{bar:20}] {bytes:>10}/{total_bytes:<10} {bytes_per_sec:>12}",
            ),
            None => (ProgressBar::new_spinner(), "{spinner} {wide_msg} {elapsed:>5}"),
        };
        let style = ProgressStyle::with_template(template).expect("the templates are valid");
        let bar = self.screen.add(bar.with_style(style.progress_chars("=> ")));
        bar.set_message(title.to_owned());
        bar.enable_steady_tick(Duration::from_millis(120));
        bar
    }

    fn finished(&self, mut open: Open, outcome: Outcome) {
        let start = prefix(&open.title).to_owned();
        open.lines.finish(|line| self.line(&format!("{start} {line}")));
        open.bar.finish_and_clear();
        self.screen.remove(&open.bar);
        let word = self.ui.outcome(outcome, open.since.elapsed());
        self.line(&format!("{}: {word}", lines::marked(&open.title, outcome)));
    }
}

impl Reporter for Bars {
    fn pause(&self, work: &mut dyn FnMut()) {
        self.screen.suspend(work);
    }

    fn report(&self, event: Event) {
        let mut open = self.open.lock().expect("nothing that holds the lock panics");
        match event {
            Event::Started { activity, title, total } => {
                let title = lines::title(&title);
                let bar = self.bar(&title, total);
                let (since, lines) = (Instant::now(), Lines::default());
                open.insert(activity, Open { title, since, bar, lines });
            }
            Event::Progress { activity, done } => {
                if let Some(open) = open.get(&activity) {
                    open.bar.set_position(done);
                }
            }
            Event::Output { activity, bytes, .. } => {
                if let Some(Open { title, lines, .. }) = open.get_mut(&activity) {
                    lines.push(&bytes, |line| self.line(&format!("{} {line}", prefix(title))));
                }
            }
            Event::Finished { activity, outcome } => {
                if let Some(open) = open.remove(&activity) {
                    self.finished(open, outcome);
                }
            }
            Event::Warning { text } => self.line(&self.ui.warning(&text)),
            Event::Note { text } => self.line(&text),
            Event::Detail { text } if self.ui.verbose => {
                self.line(&self.ui.paint(Style::Dim, &text));
            }
            Event::Detail { .. } => {}
        }
    }
}
