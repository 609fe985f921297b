//! What ch-image notes in the directory `/ch` of a root directory of its own: how the image is run.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::image::{Config, History, Platform};

/// The files that say something, from the root directory.
pub(super) const FILES: [&str; 2] = [METADATA, ENVIRONMENT];

/// Larger ones are none of ch-image's, in bytes.
pub(super) const LIMIT: u64 = 1 << 20;

const METADATA: &str = "ch/metadata.json";
/// `NAME=VALUE`, one a line: all that older versions have.
const ENVIRONMENT: &str = "ch/environment";

/// What ch-image sets where nobody says otherwise.
const SHELL: [&str; 2] = ["/bin/sh", "-c"];

/// Both files, as far as they are there.
#[derive(Debug, Default)]
pub(super) struct Notes {
    metadata: Option<Vec<u8>>,
    environment: Option<Vec<u8>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Metadata {
    arch: Option<String>,
    cwd: Option<String>,
    env: BTreeMap<String, String>,
    labels: BTreeMap<String, String>,
    shell: Option<Vec<String>>,
    volumes: Vec<String>,
    history: Vec<History>,
    cmd: Option<Vec<String>>,
    entrypoint: Option<Vec<String>>,
}

impl Notes {
    pub(super) fn learn(&mut self, file: &str, bytes: Vec<u8>) {
        match file {
            METADATA => self.metadata = Some(bytes),
            _ => self.environment = Some(bytes),
        }
    }

    /// Says it in the image's configuration. The steps of the history made no layers of this image.
    pub(super) fn apply(&self, config: &mut Config) -> Result<(), serde_json::Error> {
        let metadata = self.metadata.as_deref().map(serde_json::from_slice::<Metadata>);
        let known = metadata.transpose()?;
        let Metadata { arch, cwd, mut env, labels, shell, volumes, history, cmd, entrypoint } =
            known.unwrap_or_default();
        if env.is_empty() {
            let text = String::from_utf8_lossy(self.environment.as_deref().unwrap_or_default());
            let pairs = text.lines().filter_map(|line| line.split_once('='));
            env.extend(pairs.map(|(name, value)| (name.to_owned(), value.to_owned())));
        }
        let platform = arch.and_then(|arch| format!("linux/{arch}").parse::<Platform>().ok());
        if let Some(Platform { os, architecture, variant, .. }) = platform {
            (config.os, config.architecture, config.variant) = (os, architecture, variant);
        }
        let runtime = &mut config.runtime;
        env.iter().for_each(|(name, value)| runtime.set_env(name, value));
        runtime.labels.extend(labels);
        runtime.working_dir = cwd.filter(|cwd| cwd != "/").unwrap_or_default();
        runtime.shell = shell.filter(|shell| *shell != SHELL);
        let volumes = volumes.into_iter().map(|path| (path, Value::Object(Map::new())));
        runtime.volumes.extend(volumes);
        (runtime.cmd, runtime.entrypoint) = (cmd, entrypoint);
        let history = history.into_iter().map(|entry| History { empty_layer: true, ..entry });
        config.history.extend(history);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notes_become_a_configuration() {
        let text = r#"{"arch":"arm64/v8","arg":{"x":"y"},"cwd":"/w","env":{"PATH":"/bin","A":"b=c"},
            "history":[{"created_by":"RUN x"}],"labels":{"l":"1"},"shell":["/bin/sh","-c"],"volumes":["/v"]}"#;
        let mut notes = Notes::default();
        notes.learn(METADATA, text.into());
        notes.learn(ENVIRONMENT, b"OTHER=1\n".to_vec());
        let mut config = Config::scratch(&Platform::host());
        notes.apply(&mut config).expect("valid");
        assert_eq!(config.platform().to_string(), "linux/arm64/v8");
        let runtime = &config.runtime;
        assert_eq!(runtime.env, ["A=b=c", "PATH=/bin"]);
        assert_eq!((runtime.working_dir.as_str(), &runtime.shell), ("/w", &None));
        assert_eq!((runtime.labels["l"].as_str(), runtime.volumes.contains_key("/v")), ("1", true));
        assert!(config.history[0].empty_layer);

        let mut config = Config::default();
        let mut notes = Notes::default();
        notes.learn(ENVIRONMENT, b"A=1\n# no\nB=2=3\n".to_vec());
        notes.apply(&mut config).expect("valid");
        assert_eq!(config.runtime.env, ["A=1", "B=2=3"]);
        notes.learn(METADATA, b"{".to_vec());
        assert!(notes.apply(&mut config).is_err());
    }
}
