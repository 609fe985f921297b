//! [`Aliases`]: short names that somebody gave a meaning (containers-registries.conf(5),
//! "SHORT-NAME ALIASING").

use std::collections::BTreeMap;

use super::{Error, Reference};

/// Which name without a registry, tag and digest stands for which repository.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Aliases(BTreeMap<String, String>);

impl Aliases {
    /// Adds more; of two meanings of one name the later counts.
    pub fn extend(&mut self, more: impl IntoIterator<Item = (String, String)>) {
        self.0.extend(more);
    }

    /// What a name means, and whether that is because of an alias: tag and digest stay.
    ///
    /// # Errors
    ///
    /// If it is no name, or the alias means none.
    pub fn reference(&self, text: &str) -> Result<(Reference, bool), Error> {
        let name = &text[..text.find('@').unwrap_or(text.len())];
        // A colon after the last slash begins a tag; one before it, a port.
        let end = name.rfind(':').filter(|at| !name[*at..].contains('/')).unwrap_or(name.len());
        Ok(match self.0.get(&name[..end]) {
            Some(full) => (format!("{full}{}", &text[end..]).parse()?, true),
            None => (text.parse()?, false),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::Digest;

    #[test]
    fn short_names_mean_long_ones() {
        let mut aliases = Aliases::default();
        for full in ["first.example/moss", "quay.example/plants/moss"] {
            aliases.extend([("moss".to_owned(), full.to_owned())]);
        }
        aliases.extend([("a/b".to_owned(), "h:1/c".to_owned())]);
        let digest = Digest::of(b"");
        let (pinned, full) =
            (format!("moss@{digest}"), format!("quay.example/plants/moss@{digest}"));
        for (text, expected, is_alias) in [
            ("moss", "quay.example/plants/moss:latest", true),
            ("moss:1", "quay.example/plants/moss:1", true),
            (&pinned, &full, true),
            ("a/b:x", "h:1/c:x", true),
            ("docker.io/library/moss", "docker.io/library/moss:latest", false),
            ("x/moss", "docker.io/x/moss:latest", false),
            ("moss:5000/a", "moss:5000/a:latest", false),
        ] {
            let (found, is) = aliases.reference(text).expect(text);
            assert_eq!((found.to_string().as_str(), is), (expected, is_alias), "{text}");
        }
    }
}
