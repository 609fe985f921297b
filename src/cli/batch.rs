//! [`each`]: the same with several things, of which some may fail.

use std::fmt::Display;

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

/// What became of the things so far.
#[derive(Debug, Default)]
pub(crate) struct Outcomes {
    all: usize,
    failed: Vec<(String, Error)>,
}

impl Outcomes {
    /// Keeps how one of them ended.
    pub(crate) fn note(&mut self, thing: impl Display, outcome: Result<(), Error>) {
        self.all += 1;
        if let Err(error) = outcome {
            self.failed.push((thing.to_string(), error));
        }
    }

    /// How all of it ended.
    pub(crate) fn end(mut self) -> Result<(), Error> {
        match (self.all, self.failed.len()) {
            (_, 0) => Ok(()),
            (1, _) => Err(self.failed.remove(0).1),
            (all, _) => Err(Error::Partly { all, failed: self.failed }),
        }
    }
}

/// How many of how many failed, and a line for each.
pub(super) fn text(all: usize, failed: &[(String, Error)]) -> String {
    let mut text = format!("{} of {all} failed:", failed.len());
    for (thing, error) in failed {
        let message = error.message().replace('\n', "\n  ");
        text += "\n  ";
        if !message.contains(thing) {
            text += &format!("{thing}: ");
        }
        text += &message;
    }
    text
}

/// What can be done about them, each advice once.
pub(super) fn hints(failed: &[(String, Error)]) -> Vec<String> {
    let mut hints: Vec<String> = failed.iter().flat_map(|(_, error)| error.hints()).collect();
    let all = hints.clone();
    let mut at = 0;
    hints.retain(|hint| {
        at += 1;
        !all[..at - 1].contains(hint)
    });
    hints
}

/// What all of them ended with, if there is such a thing; part of them may not have failed at all.
pub(super) fn status(all: usize, failed: &[(String, Error)]) -> Status {
    let Some((_, first)) = failed.first() else { return Status::FAILED };
    match failed.iter().all(|(_, error)| error.status() == first.status()) {
        _ if failed.len() < all => Status::PARTLY,
        true => first.status(),
        false => Status::FAILED,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store;

    fn not_found(name: &str) -> Error {
        store::Error::NotFound(name.to_owned()).into()
    }

    fn refused() -> Error {
        Error::Refused { text: "no".to_owned(), hint: Some("yes".to_owned()) }
    }

    #[test]
    fn how_many_failed_and_of_what_decides_how_we_end() {
        let run = |texts: &[&str]| {
            let mut done = 0;
            let outcome = each(texts, |text| {
                done += 1;
                match **text {
                    "lost" => Err(not_found("lost")),
                    "held" => Err(refused()),
                    _ => Ok(()),
                }
            });
            assert_eq!(done, texts.len());
            outcome.map_err(|error| (error.status().0, error.message(), error.hints().len()))
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
}
