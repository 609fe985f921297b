//! A command in a snapshot: image configuration and options to a [`Sandbox`]. RUN is this; so is
//! `bryo run`.
//!
//! [`Sandbox`]: crate::sandbox::Sandbox

mod volumes;

pub use volumes::Volume;

/// What differs from the image's own configuration.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Options {
    /// Replaces the image's CMD, as the words after the image of `docker run`.
    pub command: Option<Vec<String>>,
    /// Replaces the image's ENTRYPOINT (and drops its CMD). RUN has an empty one.
    pub entrypoint: Option<Vec<String>>,
    /// `NAME=value`, over the image's.
    pub env: Vec<String>,
    /// Replaces the image's USER.
    pub user: Option<String>,
    /// Replaces the image's WORKDIR.
    pub directory: Option<String>,
    pub volumes: Vec<Volume>,
}
