//! `bryo sync`: which images are meant, and where each of them goes.

pub(crate) mod find;
pub(crate) mod list;
pub(crate) mod place;
mod semver;
pub(crate) mod titled;
