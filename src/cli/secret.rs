//! `--secret` and `--ssh`: what RUN steps may see or use, and nobody afterwards.

use std::fs::File;
use std::io::Read as _;
use std::path::{self, Path, PathBuf};

use super::config::Config;
use super::error::Error;
use crate::report::Reporter;
use crate::sandbox::Content;
use crate::{build, run};

/// As the reference's: what is larger is no secret, but a file.
const MOST: u64 = 500 * 1024;

/// `id=ID[,src=FILE|,env=NAME]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Secret {
    id: String,
    source: Source,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Source {
    File(PathBuf),
    Variable(String),
    /// A variable of the secret's name, or else such a file.
    Name,
}

impl Secret {
    /// What it says now; none when its variable is not set, which a warning tells.
    pub(crate) fn read(
        &self,
        config: &Config,
        reporter: &dyn Reporter,
    ) -> Result<Option<build::Secret>, Error> {
        let variable = |name: &str| config.raw_variable(name);
        let content = match &self.source {
            Source::File(path) => file(path)?,
            Source::Variable(name) => match variable(name) {
                Some(value) => value,
                None => {
                    let id = &self.id;
                    reporter.warn(format!("secret {id}: the variable {name} is not set"));
                    return Ok(None);
                }
            },
            Source::Name => match variable(&self.id) {
                Some(value) => value,
                None => file(Path::new(&self.id))?,
            },
        };
        if content.len() as u64 > MOST {
            let text = format!("secret {}: it is larger than {MOST} bytes", self.id);
            return Err(Error::Usage { text, hint: None });
        }
        Ok(Some(build::Secret { id: self.id.clone(), content: Content(content) }))
    }
}

fn file(path: &Path) -> Result<Vec<u8>, Error> {
    let mut content = Vec::new();
    // Once, for it may be a pipe.
    File::open(path)
        .and_then(|file| file.take(MOST + 1).read_to_end(&mut content))
        .map_err(Error::reading(path))?;
    Ok(content)
}

/// `default`, `ID=SOCKET` or `ID=KEY[,KEY]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Agent {
    id: String,
    /// None: the one that the environment names.
    paths: Vec<PathBuf>,
}

impl Agent {
    pub(crate) fn find(&self, config: &Config) -> Result<run::Agent, Error> {
        let mut paths = self.paths.clone();
        if paths.is_empty() {
            paths.push(config.agent.clone().ok_or_else(|| Error::Usage {
                text: format!("--ssh {}: SSH_AUTH_SOCK is not set", self.id),
                hint: Some("start ssh-agent, or name a socket or a key: --ssh ID=FILE".to_owned()),
            })?);
        }
        // Where the agent or a key is not, there nobody could ask it later.
        for path in &paths {
            path.metadata().map_err(Error::reading(path))?;
        }
        let absolute = |path: &PathBuf| path::absolute(path).map_err(Error::reading(path));
        let paths = paths.iter().map(absolute).collect::<Result<_, _>>()?;
        Ok(run::Agent { id: self.id.clone(), paths })
    }
}

/// The text after `--ssh`.
pub(crate) fn agent(text: &str) -> Result<Agent, String> {
    let (id, paths) = text.split_once('=').unwrap_or((text, ""));
    if id.is_empty() {
        return Err("it has no id".to_owned());
    }
    let paths = paths.split(',').filter(|path| !path.is_empty()).map(PathBuf::from).collect();
    Ok(Agent { id: id.to_owned(), paths })
}

/// The text after `--secret`.
pub(crate) fn secret(text: &str) -> Result<Secret, String> {
    let (mut id, mut path, mut variable, mut kind) = (None, None, None, None);
    for field in text.split(',') {
        let (key, value) = field.split_once('=').unwrap_or((field, ""));
        let place = match key.to_ascii_lowercase().as_str() {
            "id" => &mut id,
            "src" | "source" => &mut path,
            "env" => &mut variable,
            "type" => &mut kind,
            _ => return Err(format!("{field:?}: the keys are id, src, env and type")),
        };
        if value.is_empty() {
            return Err(format!("say {key}=VALUE"));
        }
        *place = Some(value.to_owned());
    }
    let id = id.ok_or("it has no id")?;
    let source = match (kind.as_deref(), path, variable) {
        (_, Some(_), Some(_)) => return Err("src and env are two different sources".to_owned()),
        (None | Some("file"), Some(path), None) => Source::File(path.into()),
        (None | Some("env"), None, Some(name)) | (Some("env"), Some(name), None) => {
            Source::Variable(name)
        }
        (Some("file"), None, None) => Source::File(id.clone().into()),
        (Some("env"), None, None) => Source::Variable(id.clone()),
        (None, None, None) => Source::Name,
        (Some(kind), ..) => return Err(format!("type={kind} does not fit the rest")),
    };
    Ok(Secret { id, source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_are_told_apart() {
        let is = |source| Some(Secret { id: "a".to_owned(), source });
        let file = |path: &str| is(Source::File(path.into()));
        let variable = |name: &str| is(Source::Variable(name.to_owned()));
        for (text, expected) in [
            ("id=a,src=f", file("f")),
            ("source=/x/f=g,id=a", file("/x/f=g")),
            ("type=file,id=a,src=f", file("f")),
            ("type=file,id=a", file("a")),
            ("id=a,env=B", variable("B")),
            ("id=a,type=env,src=B", variable("B")),
            ("id=a,type=env,env=B", variable("B")),
            ("id=a,type=env", variable("a")),
            ("id=a", is(Source::Name)),
            ("src=f", None),
            ("id=", None),
            ("id=a,src=f,env=B", None),
            ("id=a,type=file,env=B", None),
            ("id=a,type=vault", None),
            ("id=a,mode=0400", None),
            ("", None),
        ] {
            assert_eq!(secret(text).ok(), expected, "{text}");
        }
    }

    #[test]
    fn agents_have_an_id_and_perhaps_paths() {
        for (text, expected) in [
            ("default", Some(("default", vec![]))),
            ("a=/s", Some(("a", vec!["/s"]))),
            ("a=k,l", Some(("a", vec!["k", "l"]))),
            ("a=", Some(("a", vec![]))),
            ("=x", None),
            ("", None),
        ] {
            let expected = expected.map(|(id, paths)| Agent {
                id: id.to_owned(),
                paths: paths.into_iter().map(PathBuf::from).collect(),
            });
            assert_eq!(agent(text).ok(), expected, "{text}");
        }
    }
}
