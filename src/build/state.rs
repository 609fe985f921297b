//! [`State`]: an image in the making, as it stands between two instructions of a stage.

use std::sync::Arc;

use super::attest::record::VertexId;
use super::base::Base;
use super::history;
use super::scope::Scope;
use crate::fakeroot::Profile;
use crate::image::media_type::Family;
use crate::image::{Config, Descriptor, Digest, History};

/// What `RUN` and other shell forms use when no `SHELL` was set.
pub(super) const SHELL: [&str; 2] = ["/bin/sh", "-c"];

/// The search path that every stage has which does not set its own.
pub(super) const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Configuration, layers and variables so far.
#[derive(Debug, Clone)]
pub(super) struct State {
    pub(super) config: Config,
    /// The layers' blobs, the lowest first; as many as the configuration has diff IDs.
    pub(super) layers: Vec<Descriptor>,
    pub(super) scope: Scope,
    /// A `CMD` stands in this stage: an `ENTRYPOINT` does not clear it then.
    pub(super) own_command: bool,
    /// When the latest step that had a time was made.
    pub(super) created: Option<String>,
    pub(super) fakeroot: Fakeroot,
    /// What made its files, in the build's record; None: there are none.
    pub(super) vertex: Option<VertexId>,
    /// The key of the last step that has one.
    pub(super) step: Option<Digest>,
    /// Where the lowest layers come from, in case that they are not here.
    pub(super) base: Option<Arc<Base>>,
    pub(super) ground: Ground,
}

/// How much of an image comes from the image that its first stage began with.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Ground {
    pub(super) layers: usize,
    /// Entries of the history.
    pub(super) history: usize,
}

/// What the RUN steps of a stage, and of those that it stands on, have found out about fakeroot(1).
#[derive(Debug, Clone, Default)]
pub(super) struct Fakeroot {
    /// The image's profile, if it has one; the outer None: nobody has looked.
    pub(super) profile: Option<Option<Arc<Profile>>>,
    /// A step before has done what the profile wants to be done first.
    pub(super) is_set_up: bool,
}

impl State {
    /// What a stage begins with: a base image's configuration and layers, or nothing.
    pub(super) fn new(mut config: Config, layers: &[Descriptor]) -> Self {
        if config.runtime.env("PATH").is_none() {
            config.runtime.set_env("PATH", PATH);
        }
        // Some tools write it without the slash.
        if !config.runtime.working_dir.starts_with('/') {
            config.runtime.working_dir.insert(0, '/');
        }
        complete_history(&mut config);
        let ground = Ground { layers: layers.len(), history: config.history.len() };
        Self {
            ground,
            scope: Scope::of_environment(&config.runtime.env),
            layers: layers.iter().map(as_oci).collect(),
            own_command: false,
            created: config.created.clone(),
            fakeroot: Fakeroot::default(),
            vertex: None,
            step: None,
            base: None,
            config,
        }
    }

    /// What `FROM` of this stage begins with: arguments and environment are inherited.
    pub(super) fn inherit(&self) -> Self {
        Self { own_command: false, ..self.clone() }
    }

    /// The chain ID of the layers so far.
    pub(super) fn chain_id(&self) -> Option<Digest> {
        self.config.chain_id()
    }

    pub(super) fn shell(&self) -> Vec<String> {
        match &self.config.runtime.shell {
            Some(shell) => shell.clone(),
            None => SHELL.map(str::to_owned).to_vec(),
        }
    }

    /// The working directory, absolute; as it was written otherwise.
    pub(super) fn directory(&self) -> &str {
        &self.config.runtime.working_dir
    }

    /// Adds a layer on top and its step to the history.
    pub(super) fn push_layer(
        &mut self,
        layer: Descriptor,
        diff_id: Digest,
        by: String,
        created: &str,
    ) {
        self.config.rootfs.diff_ids.push(diff_id);
        self.layers.push(layer);
        self.created = Some(created.to_owned());
        self.remember(by, false, created);
    }

    /// Adds a step that made no layer to the history.
    pub(super) fn push_change(&mut self, by: String, created: &str) {
        self.created = Some(created.to_owned());
        self.remember(by, true, created);
    }

    fn remember(&mut self, by: String, empty: bool, created: &str) {
        self.config.history.push(history::entry(by, empty, created));
    }
}

/// Gives each layer of a base its entry in the history: tools that count them refuse an image in
/// which only the new layers have one, or in which more layers are told of than there are.
fn complete_history(config: &mut Config) {
    let layers = config.rootfs.diff_ids.len();
    let told = config.history.iter_mut().filter(|entry| !entry.empty_layer);
    let mut count = 0;
    for entry in told {
        entry.empty_layer = count == layers;
        count += usize::from(!entry.empty_layer);
    }
    for _ in count..layers {
        let created = config.created.clone();
        let comment = Some("layer of the base".to_owned());
        config.history.push(History { created, comment, ..History::default() });
    }
}

/// The manifest that we write is OCI's, so Docker's names for the same bytes are translated.
fn as_oci(layer: &Descriptor) -> Descriptor {
    let media_type = Family::Oci.name_of(&layer.media_type).to_owned();
    Descriptor { media_type, ..layer.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_layer_of_a_base_has_its_history() {
        let entry = |empty_layer| History { empty_layer, ..History::default() };
        for (history, expected) in [
            (vec![], 2),
            (vec![entry(true), entry(false)], 3),
            (vec![entry(false), entry(false), entry(true), entry(false)], 4),
        ] {
            let mut config = Config::default();
            config.rootfs.diff_ids = vec![Digest::of(b"a"), Digest::of(b"b")];
            config.history = history;
            let state = State::new(config, &[]);
            assert_eq!(state.config.history.len(), expected);
            assert_eq!(state.config.history.iter().filter(|entry| !entry.empty_layer).count(), 2);
        }
    }
}
