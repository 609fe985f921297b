//! [`CacheKey`]: all that a step's result depends on, and nothing else.
//!
//! In the key: the chain ID of the layers below, the instruction after expansion, the contents of
//! all that it reads, the environment, user, directory and shell it runs with, and how root is
//! emulated. Never in it: times, the names of host directories, how well the step is isolated,
//! which backend holds the files, proxies, secrets.

use crate::image::{Digest, Hasher};

/// Changes when a step's result is made in another way than before, so that older results are
/// not found any more.
const VERSION: &str = "bryo step 1";

/// The key of one step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct CacheKey(Digest);

impl CacheKey {
    pub(super) fn digest(&self) -> &Digest {
        &self.0
    }
}

/// A key in the making: a list of named fields, each with its length, so that no two lists have
/// the same bytes.
#[derive(Debug)]
pub(super) struct KeyMaker(Hasher);

impl KeyMaker {
    /// `kind` tells apart steps that have the same fields; `below` is the chain ID of the layers
    /// that the step sees (None: no layer).
    pub(super) fn new(kind: &str, below: Option<&Digest>) -> Self {
        let maker = Self(Hasher::sha256());
        let below = below.map_or_else(|| "scratch".to_owned(), ToString::to_string);
        maker.field("version", VERSION).field("kind", kind).field("below", below)
    }

    #[must_use]
    pub(super) fn field(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.add(name, value);
        self
    }

    pub(super) fn add(&mut self, name: &str, value: impl AsRef<[u8]>) {
        let value = value.as_ref();
        self.0.update(format!("{name} {}\n", value.len()).as_bytes());
        self.0.update(value);
    }

    /// A list of values under one name; its length counts too.
    #[must_use]
    pub(super) fn list<T: AsRef<[u8]>>(
        mut self,
        name: &str,
        values: impl IntoIterator<Item = T>,
    ) -> Self {
        let mut count = 0;
        for value in values {
            self = self.field(name, value);
            count += 1;
        }
        self.field(&format!("{name} count"), count.to_string())
    }

    #[must_use]
    pub(super) fn optional(self, name: &str, value: Option<impl AsRef<[u8]>>) -> Self {
        self.list(name, value)
    }

    pub(super) fn finish(self) -> CacheKey {
        CacheKey(self.0.finish())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn different_fields_have_different_keys() {
        let chain = Digest::of(b"below");
        let keys = [
            KeyMaker::new("run", None).finish(),
            KeyMaker::new("copy", None).finish(),
            KeyMaker::new("run", Some(&chain)).finish(),
            KeyMaker::new("run", None).list("argv", ["a", "b"]).finish(),
            KeyMaker::new("run", None).list("argv", ["ab"]).finish(),
            KeyMaker::new("run", None).list("argv", ["a"]).list("argv", ["b"]).finish(),
            KeyMaker::new("run", None).field("argv", "a").field("argv", "b").finish(),
            KeyMaker::new("run", None).optional("user", Some("")).finish(),
            KeyMaker::new("run", None).optional("user", None::<&str>).finish(),
        ];
        for (at, key) in keys.iter().enumerate() {
            assert!(!keys[..at].contains(key), "key {at} is not the only one of its kind");
        }
        let again = KeyMaker::new("run", Some(&chain)).finish();
        assert_eq!(keys[2], again);
    }
}
