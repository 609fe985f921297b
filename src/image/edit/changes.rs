//! [`Changes`]: how an image's configuration is to be another one.

use serde_json::{Map, Value};

use crate::image::{Config, History, Platform, Timestamp};

/// What changes in a configuration; nothing by default. What is taken away goes first.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Changes {
    pub unset_env: Vec<String>,
    pub env: Vec<(String, String)>,
    pub unset_labels: Vec<String>,
    pub labels: Vec<(String, String)>,
    /// An empty one takes it away; so with all that follows.
    pub cmd: Option<Vec<String>>,
    pub entrypoint: Option<Vec<String>>,
    pub user: Option<String>,
    pub working_dir: Option<String>,
    pub stop_signal: Option<String>,
    pub author: Option<String>,
    /// `port/protocol`
    pub unexpose: Vec<String>,
    pub expose: Vec<String>,
    pub unset_volumes: Vec<String>,
    pub volumes: Vec<String>,
    /// The machine that the image is for.
    pub platform: Option<Platform>,
    /// When the image was made.
    pub created: Option<Timestamp>,
}

impl Changes {
    /// Whether nothing changes.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Changes `config`, and says so in its history as `said`: a step that made no layer. Its time is
    /// the image's, so that the same change of the same image makes the same bytes.
    pub fn apply(&self, config: &mut Config, said: &str) {
        let Self {
            unset_env,
            env,
            unset_labels,
            labels,
            cmd,
            entrypoint,
            user,
            working_dir,
            stop_signal,
            author,
            unexpose,
            expose,
            unset_volumes,
            volumes,
            platform,
            created,
        } = self;
        if self.is_empty() {
            return;
        }
        let runtime = &mut config.runtime;
        let name = |entry: &str| entry.split_once('=').map_or(entry, |(name, _)| name).to_owned();
        runtime.env.retain(|entry| !unset_env.contains(&name(entry)));
        env.iter().for_each(|(name, value)| runtime.set_env(name, value));
        runtime.labels.retain(|name, _| !unset_labels.contains(name));
        runtime.labels.extend(labels.iter().cloned());
        let words = |words: &Vec<String>| Some(words.clone()).filter(|words| !words.is_empty());
        if let Some(new) = cmd {
            runtime.cmd = words(new);
            // It was about the words that were there.
            runtime.args_escaped = None;
        }
        if let Some(new) = entrypoint {
            runtime.entrypoint = words(new);
        }
        if let Some(new) = user {
            runtime.user.clone_from(new);
        }
        if let Some(new) = working_dir {
            runtime.working_dir.clone_from(new);
        }
        if let Some(new) = stop_signal {
            runtime.stop_signal = Some(new.clone()).filter(|signal| !signal.is_empty());
        }
        if let Some(new) = author {
            config.author = Some(new.clone()).filter(|author| !author.is_empty());
        }
        let empty = || Value::Object(Map::new());
        let runtime = &mut config.runtime;
        runtime.exposed_ports.retain(|port, _| !unexpose.contains(port));
        runtime.exposed_ports.extend(expose.iter().map(|port| (port.clone(), empty())));
        runtime.volumes.retain(|path, _| !unset_volumes.contains(path));
        runtime.volumes.extend(volumes.iter().map(|path| (path.clone(), empty())));
        if let Some(Platform { os, architecture, variant, .. }) = platform.clone() {
            (config.os, config.architecture, config.variant) = (os, architecture, variant);
        }
        if let Some(created) = created {
            config.created = Some(created.to_string());
        }
        remember(config, said, true);
    }
}

/// Adds a step to the history. Its time is the image's.
pub fn remember(config: &mut Config, said: &str, empty_layer: bool) {
    config.history.push(History {
        created: config.created.clone(),
        created_by: Some(said.to_owned()),
        empty_layer,
        ..History::default()
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> Config {
        let text = r#"{"architecture":"amd64","os":"linux","created":"2020-01-01T00:00:00Z","odd":1,
            "config":{"Env":["A=1","B=2","C=3"],"Labels":{"l":"1","m":"2"},"Cmd":["c"],"ArgsEscaped":true,
            "Entrypoint":["e"],"User":"u","ExposedPorts":{"80/tcp":{}},"Volumes":{"/v":{}},"StopSignal":"HUP"}}"#;
        Config::parse(text.as_bytes()).expect("valid")
    }

    #[test]
    fn all_of_a_configuration_can_change() {
        let mut config = config();
        let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        let pair = |name: &str, value: &str| vec![(name.to_owned(), value.to_owned())];
        let changes = Changes {
            unset_env: texts(&["A"]),
            env: pair("B", "x=y"),
            unset_labels: texts(&["l"]),
            labels: pair("n", "3"),
            cmd: Some(texts(&["x", "y"])),
            entrypoint: Some(Vec::new()),
            user: Some("0".to_owned()),
            working_dir: Some("/w".to_owned()),
            stop_signal: Some(String::new()),
            author: Some("ann".to_owned()),
            unexpose: texts(&["80/tcp"]),
            expose: texts(&["53/udp"]),
            unset_volumes: texts(&["/v"]),
            volumes: texts(&["/data"]),
            platform: Some(Platform::new("linux", "arm", Some("v7"))),
            created: Some(Timestamp::EPOCH),
        };
        changes.apply(&mut config, "edited");
        let runtime = &config.runtime;
        assert_eq!(runtime.env, ["B=x=y", "C=3"]);
        assert_eq!(runtime.labels.keys().collect::<Vec<_>>(), ["m", "n"]);
        assert_eq!((&runtime.cmd, &runtime.entrypoint), (&Some(texts(&["x", "y"])), &None));
        assert_eq!((&*runtime.user, &*runtime.working_dir), ("0", "/w"));
        assert_eq!((&runtime.stop_signal, &runtime.args_escaped), (&None, &None));
        assert_eq!(runtime.exposed_ports.keys().collect::<Vec<_>>(), ["53/udp"]);
        assert_eq!(runtime.volumes.keys().collect::<Vec<_>>(), ["/data"]);
        assert_eq!(config.platform().to_string(), "linux/arm/v7");
        assert_eq!(
            (config.author.as_deref(), &config.extra["odd"]),
            (Some("ann"), &Value::from(1))
        );
        let step = config.history.last().expect("a step");
        assert_eq!((step.created_by.as_deref(), step.empty_layer), (Some("edited"), true));
        assert_eq!(step.created.as_deref(), Some("1970-01-01T00:00:00Z"));
    }

    #[test]
    fn nothing_changes_by_itself() {
        let mut config = config();
        Changes::default().apply(&mut config, "edited");
        assert_eq!(config, self::config());
    }
}
