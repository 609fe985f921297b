//! `--keep-failed`: the root of a step that failed becomes an image.

use super::base::Form;
use super::error::Fault;
use super::execute::Executor;
use super::state::State;
use crate::image::{Descriptor, Reference, edit, media_type};
use crate::store::{Name, RefEntry, Snapshot};

/// The image's name. There is one: the next one takes its place.
pub const FAILED: &str = "localhost/failed:latest";

impl Executor<'_> {
    /// Keeps what a step has left that failed, with the variables that it had; says so. What goes
    /// wrong with that is no other reason for the build to fail.
    pub(super) fn keep(&self, snapshot: Snapshot<'_>, state: &State, said: &str) {
        match self.keep_as(snapshot, state, said) {
            Ok(()) => self.reporter.note(format!(
                "the files of the failed step are kept: bryo run {}",
                FAILED.trim_end_matches(":latest")
            )),
            Err(fault) => {
                self.reporter.warn(format!("the files of the failed step cannot be kept: {fault}"));
            }
        }
    }

    fn keep_as(&self, snapshot: Snapshot<'_>, state: &State, said: &str) -> Result<(), Fault> {
        if let Some(base) = &state.base {
            base.fetch(self, Form::Packed)?;
        }
        let (layer, diff_id) = self.commit(snapshot)?;
        let mut state = state.clone();
        let time = self.now();
        state.push_layer(layer, diff_id, format!("{said} (failed)"), &time);
        state.config.created = Some(time);
        // For a look around, neither its program nor only part of its variables will do.
        let runtime = &mut state.config.runtime;
        (runtime.entrypoint, runtime.cmd) = (None, Some(vec!["/bin/sh".to_owned()]));
        for (name, value) in state.scope.environment() {
            runtime.set_env(name, value);
        }
        let bytes = state.config.to_bytes();
        self.store.put_blob(&bytes)?;
        let config = Descriptor::of(media_type::OCI_CONFIG, &bytes);
        let manifest = edit::manifest(&config, &state.layers).map_err(Fault::Image)?;
        self.store.put_blob(&manifest.bytes)?;
        let name: Reference = FAILED.parse().map_err(Fault::Image)?;
        let name = Name::Tagged(name);
        // The one before goes, instead of staying without a name; not now, as other steps are at
        // work whose results nothing holds yet.
        let entry = RefEntry { name, descriptor: manifest.descriptor, index: None };
        Ok(self.store.supersede_ref(&entry)?)
    }
}
