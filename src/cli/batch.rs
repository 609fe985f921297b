//! The same with several things, of which some may fail.

use std::fmt::Display;
use std::sync::Mutex;
use std::thread;

use super::error::Error;
use super::status::Status;

/// Does the same with each of `things`, whatever became of those before.
///
/// # Errors
///
/// The only failure of a single thing is that thing's own; of several it is an [`Error::Partly`].
pub(crate) fn each<T: Display>(
    things: impl IntoIterator<Item = T>,
    mut act: impl FnMut(&T) -> Result<(), Error>,
) -> Result<(), Error> {
    let mut outcomes = Outcomes::default();
    for thing in things {
        let outcome = act(&thing);
        outcomes.note(&thing, outcome);
    }
    outcomes.end()
}

/// The same with up to `jobs` of them at a time. Unless `keep_going`, the first failure is the last:
/// what is under way then comes to its end, and nothing else is begun.
pub(crate) fn side_by_side<T: Display + Sync>(
    things: &[T],
    jobs: usize,
    keep_going: bool,
    act: impl Fn(usize, &T) -> Result<(), Error> + Sync,
) -> Outcomes {
    let queue = Mutex::new(things.iter().enumerate());
    let outcomes = Mutex::new(Outcomes::default());
    let next = || {
        let has_failed = outcomes.lock().expect("keeping an outcome cannot panic").has_failed();
        let mut queue = queue.lock().expect("taking a thing cannot panic");
        if has_failed && !keep_going { None } else { queue.next() }
    };
    thread::scope(|scope| {
        for _ in 0..jobs.clamp(1, things.len().max(1)) {
            scope.spawn(|| {
                while let Some((at, thing)) = next() {
                    let outcome = act(at, thing);
                    let mut outcomes = outcomes.lock().expect("keeping an outcome cannot panic");
                    outcomes.note(thing, outcome);
                }
            });
        }
    });
    let mut outcomes = outcomes.into_inner().expect("keeping an outcome cannot panic");
    outcomes.all = things.len();
    outcomes
}

/// What became of the things so far.
#[derive(Debug, Default)]
pub(crate) struct Outcomes {
    all: usize,
    done: usize,
    failed: Vec<(String, Error)>,
}

impl Outcomes {
    /// Keeps how one of them ended.
    pub(crate) fn note(&mut self, thing: impl Display, outcome: Result<(), Error>) {
        self.all += 1;
        match outcome {
            Ok(()) => self.done += 1,
            Err(error) => self.failed.push((thing.to_string(), error)),
        }
    }

    pub(crate) fn has_failed(&self) -> bool {
        !self.failed.is_empty()
    }

    pub(crate) fn done(&self) -> usize {
        self.done
    }

    /// Without what went well: it was only asked for, and is done later.
    #[must_use]
    pub(crate) fn failures_alone(self) -> Self {
        Self { all: self.failed.len(), done: 0, ..self }
    }

    /// Those of two batches.
    #[must_use]
    pub(crate) fn and(mut self, other: Self) -> Self {
        self.all += other.all;
        self.done += other.done;
        self.failed.extend(other.failed);
        self
    }

    /// How all of it ended.
    pub(crate) fn end(mut self) -> Result<(), Error> {
        match (self.all, self.failed.len()) {
            (_, 0) => Ok(()),
            (1, _) => Err(self.failed.remove(0).1),
            (all, _) => Err(Error::Partly { all, done: self.done, failed: self.failed }),
        }
    }
}

/// How many of how many failed, and a line for each.
pub(super) fn text(all: usize, done: usize, failed: &[(String, Error)]) -> String {
    let left = all - done - failed.len();
    let left = if left > 0 { format!(" ({left} not begun)") } else { String::new() };
    let mut text = format!("{} of {all} failed{left}:", failed.len());
    for (thing, error) in failed {
        text += &format!("\n  {}", line(thing, error).replace('\n', "\n  "));
    }
    text
}

/// What went wrong, and with what.
pub(super) fn line(thing: &str, error: &Error) -> String {
    let message = error.message();
    if message.contains(thing) { message } else { format!("{thing}: {message}") }
}

/// What can be done about them, each advice once.
pub(super) fn hints(all: usize, done: usize, failed: &[(String, Error)]) -> Vec<String> {
    let mut hints: Vec<String> = Vec::new();
    let left = all > done + failed.len();
    let left = left.then(|| "--keep-going does the others all the same".to_owned());
    for hint in failed.iter().flat_map(|(_, error)| error.hints()).chain(left) {
        if !hints.contains(&hint) {
            hints.push(hint);
        }
    }
    hints
}

/// What all of them ended with, if there is such a thing, unless some were done.
pub(super) fn status(done: usize, failed: &[(String, Error)]) -> Status {
    let Some((_, first)) = failed.first() else { return Status::FAILED };
    match failed.iter().all(|(_, error)| error.status() == first.status()) {
        _ if done > 0 => Status::PARTLY,
        true => first.status(),
        false => Status::FAILED,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::store;

    fn not_found(name: &str) -> Error {
        store::Error::NotFound(name.to_owned()).into()
    }

    fn refused() -> Error {
        Error::Refused { text: "no".to_owned(), hint: Some("yes".to_owned()) }
    }

    fn act(text: &str) -> Result<(), Error> {
        match text {
            "lost" => Err(not_found("lost")),
            "held" => Err(refused()),
            _ => Ok(()),
        }
    }

    fn told(error: &Error) -> (u8, String, usize) {
        (error.status().0, error.message(), error.hints().len())
    }

    #[test]
    fn how_many_failed_and_of_what_decides_how_we_end() {
        let run = |texts: &[&str]| {
            let mut done = 0;
            let outcome = each(texts, |text| {
                done += 1;
                act(text)
            });
            assert_eq!(done, texts.len());
            outcome.map_err(|error| told(&error))
        };
        assert_eq!(run(&[]), Ok(()));
        assert_eq!(run(&["a", "b"]), Ok(()));
        let lost = not_found("lost").message();
        let alone = run(&["lost"]).expect_err("it is lost");
        assert_eq!((alone.0, &alone.1), (3, &lost));
        let hints = alone.2;
        for (texts, status, text, count) in [
            (["lost", "a"], 7, format!("1 of 2 failed:\n  {lost}"), hints),
            (["lost", "lost"], 3, format!("2 of 2 failed:\n  {lost}\n  {lost}"), hints),
            (["lost", "held"], 1, format!("2 of 2 failed:\n  {lost}\n  held: no"), hints + 1),
            (["held", "held"], 1, "2 of 2 failed:\n  held: no\n  held: no".to_owned(), 1),
        ] {
            assert_eq!(run(&texts), Err((status, text, count)), "{texts:?}");
        }
    }

    #[test]
    fn the_first_failure_is_the_last_unless_somebody_keeps_going() {
        for (things, jobs, keep_going, expected) in [
            (["a", "held", "b", "c"], 1, false, Some((7, "1 of 4 failed (2 not begun):"))),
            (["held", "a", "b", "c"], 1, false, Some((1, "1 of 4 failed (3 not begun):"))),
            (["held", "a", "b", "c"], 2, true, Some((7, "1 of 4 failed:"))),
            (["a", "b", "c", "d"], 9, false, None),
        ] {
            let begun = AtomicUsize::new(0);
            let outcome = side_by_side(&things, jobs, keep_going, |_, text| {
                begun.fetch_add(1, Ordering::Relaxed);
                act(text)
            });
            let error = outcome.end().err().map(|error| told(&error));
            let (status, text) = error.map_or((0, String::new()), |told| (told.0, told.1));
            let (wanted, beginning) = expected.unwrap_or((0, ""));
            assert_eq!(status, wanted, "{things:?}: {text}");
            assert!(text.starts_with(beginning), "{things:?}: {text}");
            if keep_going {
                assert_eq!(begun.into_inner(), 4);
            }
        }
    }
}
