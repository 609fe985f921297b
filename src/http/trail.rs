//! [`Trail`]: whom a client spoke to.

use std::sync::{Arc, Mutex};

use super::Url;

/// One request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Visit {
    pub url: Url,
    /// Another server sent us there.
    pub redirected: bool,
}

/// Keeps what was asked for; clones share it.
#[derive(Debug, Clone, Default)]
pub struct Trail(Arc<Mutex<Vec<Visit>>>);

impl Trail {
    /// What was asked for since the last time.
    pub fn take(&self) -> Vec<Visit> {
        std::mem::take(&mut self.0.lock().expect("keeping a URL cannot panic"))
    }

    pub(super) fn add(&self, url: &Url, redirected: bool) {
        let visit = Visit { url: url.clone(), redirected };
        self.0.lock().expect("keeping a URL cannot panic").push(visit);
    }
}
