//! [`Titled`]: who tells of one image among many.

use crate::report::{Event, Reporter};

/// Tells which image a layer is of.
pub(crate) struct Titled<'a> {
    pub(crate) reporter: &'a (dyn Reporter + Send + Sync),
    pub(crate) title: String,
}

impl Reporter for Titled<'_> {
    fn report(&self, event: Event) {
        self.reporter.report(match event {
            Event::Started { activity, title, total } => {
                let title = format!("{}: {title}", self.title);
                Event::Started { activity, title, total }
            }
            event => event,
        });
    }

    fn pause(&self, work: &mut dyn FnMut()) {
        self.reporter.pause(work);
    }
}
