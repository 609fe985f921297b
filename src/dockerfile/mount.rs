//! `RUN --mount`.

use super::csv::fields;
use super::{Error, Expander, suggest, value};

/// One mount of a RUN, as it is to be made. A relative or empty target is below WORKDIR.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mount {
    /// Part of the context, a stage, an image or a named context. What is written to it is thrown
    /// away.
    Bind {
        from: Option<String>,
        source: String,
        target: String,
        writable: bool,
    },
    /// A directory that outlives the build; it begins as `source` in `from`, or empty.
    Cache {
        id: Option<String>,
        from: Option<String>,
        source: String,
        target: String,
        sharing: Sharing,
        writable: bool,
        owner: Owner,
    },
    Tmpfs {
        target: String,
        size: Option<u64>,
        writable: bool,
    },
    /// A file, an environment variable, or both. `target` is set unless there is `env` alone.
    Secret {
        id: String,
        target: Option<String>,
        env: Option<String>,
        required: bool,
        owner: Owner,
    },
    /// An agent's socket.
    Ssh {
        id: String,
        target: Option<String>,
        required: bool,
        owner: Owner,
    },
}

/// How builds that run at the same time use a cache mount.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Sharing {
    #[default]
    Shared,
    Private,
    Locked,
}

/// Mode and owner of what a mount makes; `None` is its kind's default.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Owner {
    pub mode: Option<u32>,
    pub uid: Option<u32>,
    pub gid: Option<u32>,
}

const KINDS: [&str; 5] = ["bind", "cache", "tmpfs", "secret", "ssh"];
const SHARINGS: [&str; 3] = ["shared", "private", "locked"];
const KEYS: [&str; 20] = [
    "type",
    "from",
    "source",
    "src",
    "target",
    "dst",
    "destination",
    "readonly",
    "ro",
    "readwrite",
    "rw",
    "id",
    "sharing",
    "required",
    "mode",
    "uid",
    "gid",
    "size",
    "env",
    "z",
];

impl Mount {
    /// Reads a `--mount`'s text; its values are expanded, except `from`.
    pub fn parse(text: &str, expander: &Expander<'_>) -> Result<Self, Error> {
        let wrong = Error::Mount;
        let mut options = Options::default();
        for field in read(text)? {
            let (key, value) = match field.split_once('=') {
                Some((key, value)) if key.eq_ignore_ascii_case("from") => (key, value.to_owned()),
                Some((key, value)) => (key, expander.text(value)?),
                None => {
                    options.switch(&field).map_err(wrong)?;
                    continue;
                }
            };
            options.set(&key.to_ascii_lowercase(), value, &field).map_err(wrong)?;
        }
        options.mount().map_err(wrong)
    }

    /// The `from` of a `--mount`'s text, which is known before variables are.
    pub fn from(text: &str) -> Option<String> {
        let fields = read(text).ok()?.into_iter();
        let mut values = fields.filter_map(|field| {
            let (key, value) = field.split_once('=')?;
            key.eq_ignore_ascii_case("from").then(|| value.to_owned())
        });
        // As in [`Mount::parse`], the last one counts.
        values.next_back().filter(|from| !from.is_empty())
    }

    /// What can be said before variables are known.
    pub(super) fn check(text: &str) -> Result<(), Error> {
        let from = read(text)?.into_iter().find_map(|field| {
            let (key, value) = field.split_once('=')?;
            key.eq_ignore_ascii_case("from").then(|| value.to_owned())
        });
        match from {
            Some(from) if from.trim_end_matches('$').contains('$') => {
                let why = "'from' doesn't support variable expansion, define alias stage instead";
                Err(Error::Mount(why.to_owned()))
            }
            _ => Ok(()),
        }
    }
}

/// The fields as they are given, still of no particular kind.
#[derive(Default)]
struct Options {
    kind: Option<String>,
    from: Option<String>,
    source: Option<String>,
    target: Option<String>,
    id: Option<String>,
    env: Option<String>,
    sharing: Option<Sharing>,
    size: Option<u64>,
    writable: Option<bool>,
    required: Option<bool>,
    owner: Owner,
}

impl Options {
    fn switch(&mut self, field: &str) -> Result<(), String> {
        match field.to_ascii_lowercase().as_str() {
            "readonly" | "ro" => self.writable = Some(false),
            "readwrite" | "rw" => self.writable = Some(true),
            "required" => self.required = Some(true),
            // podman's SELinux relabelling: there are no labels here to change.
            "z" => {}
            _ => return Err(format!("invalid field '{field}' must be a key=value pair")),
        }
        Ok(())
    }

    fn set(&mut self, key: &str, value: String, field: &str) -> Result<(), String> {
        let switch = |value: &str| match value.to_ascii_lowercase().as_str() {
            "1" | "t" | "true" => Ok(true),
            "0" | "f" | "false" => Ok(false),
            _ => Err(format!("invalid value for {key}: {value}")),
        };
        let number = |radix| {
            u32::from_str_radix(&value, radix)
                .map(Some)
                .map_err(|_| format!("invalid value {value} for {key}"))
        };
        match key {
            "type" => {
                let kind = value.to_ascii_lowercase();
                if !KINDS.contains(&kind.as_str()) {
                    let meant = meant(&kind, &KINDS);
                    return Err(format!("unsupported mount type {value:?}{meant}"));
                }
                self.kind = Some(kind);
            }
            "from" => self.from = Some(value),
            "source" | "src" => self.source = Some(value),
            "target" | "dst" | "destination" => self.target = Some(value),
            "readonly" | "ro" => self.writable = Some(!switch(&value)?),
            "readwrite" | "rw" => self.writable = Some(switch(&value)?),
            "required" => self.required = Some(switch(&value)?),
            "id" => self.id = Some(value),
            "env" => self.env = Some(value),
            "sharing" => {
                self.sharing = Some(match value.to_ascii_lowercase().as_str() {
                    "shared" => Sharing::Shared,
                    "private" => Sharing::Private,
                    "locked" => Sharing::Locked,
                    other => {
                        let meant = meant(other, &SHARINGS);
                        return Err(format!("unsupported sharing value {value:?}{meant}"));
                    }
                });
            }
            "size" => {
                let size = value::size(&value);
                self.size = Some(size.map_err(|_| format!("invalid value for size: {value}"))?);
            }
            "mode" => self.owner.mode = number(8)?,
            "uid" => self.owner.uid = number(10)?,
            "gid" => self.owner.gid = number(10)?,
            _ => return Err(format!("unexpected key '{key}' in '{field}'{}", meant(key, &KEYS))),
        }
        Ok(())
    }

    fn mount(self) -> Result<Mount, String> {
        let kind = self.kind.as_deref().unwrap_or("bind");
        let present = |value: &Option<String>| value.as_ref().is_some_and(|text| !text.is_empty());
        let only = |given: bool, kinds: &[&str], what: String| match given && !kinds.contains(&kind)
        {
            true => Err(what),
            false => Ok(()),
        };
        for (key, given) in [
            ("mode", self.owner.mode.is_some()),
            ("uid", self.owner.uid.is_some()),
            ("gid", self.owner.gid.is_some()),
        ] {
            let what = format!("{key} not allowed for {kind:?} type mounts");
            only(given, &["cache", "secret", "ssh"], what)?;
        }
        let unexpected = |key: &str| format!("unexpected key '{key}' for mount type '{kind}'");
        only(self.required.is_some(), &["secret", "ssh"], unexpected("required"))?;
        only(self.size.is_some(), &["tmpfs"], unexpected("size"))?;
        only(self.env.is_some(), &["secret"], unexpected("env"))?;
        if kind == "secret" && present(&self.from) {
            return Err("secret mount should not have a from".to_owned());
        }
        if kind == "secret" && self.sharing.is_some() {
            return Err("secret mount should not define sharing".to_owned());
        }
        let what = format!("invalid cache sharing set for {kind} mount");
        only(self.sharing.is_some(), &["cache"], what)?;
        let target = self.target.filter(|target| !target.is_empty());
        if target.as_ref().is_some_and(|target| is_root(target)) {
            return Err("invalid mount target \"/\"".to_owned());
        }
        let from = self.from.filter(|from| !from.is_empty());
        let source = self.source.filter(|source| !source.is_empty());
        let id = self.id.filter(|id| !id.is_empty());
        let (owner, required) = (self.owner, self.required.unwrap_or(false));
        let writable = self.writable;
        Ok(match kind {
            "cache" => Mount::Cache {
                id,
                from,
                source: source.unwrap_or_else(|| "/".to_owned()),
                target: target.unwrap_or_default(),
                sharing: self.sharing.unwrap_or_default(),
                writable: writable.unwrap_or(true),
                owner,
            },
            "tmpfs" => Mount::Tmpfs {
                target: target.unwrap_or_default(),
                size: self.size,
                writable: writable.unwrap_or(true),
            },
            "secret" => {
                let id = match (source, id) {
                    (Some(_), Some(_)) => return Err("both source and id can't be set".to_owned()),
                    (Some(id), None) | (None, Some(id)) => id,
                    (None, None) => match &target {
                        Some(target) => base_name(target).to_owned(),
                        None => {
                            let why = "invalid secret mount. one of source, target required";
                            return Err(why.to_owned());
                        }
                    },
                };
                let target = match (target, &self.env) {
                    (None, None) => Some(format!("/run/secrets/{}", base_name(&id))),
                    (target, _) => target,
                };
                Mount::Secret { id, target, env: self.env, required, owner }
            }
            "ssh" => {
                if source.is_some() {
                    return Err("ssh does not support source".to_owned());
                }
                let id = id.unwrap_or_else(|| "default".to_owned());
                Mount::Ssh { id, target, required, owner }
            }
            _ => Mount::Bind {
                from,
                source: source.unwrap_or_else(|| "/".to_owned()),
                target: target.unwrap_or_default(),
                writable: writable.unwrap_or(false),
            },
        })
    }
}

fn read(text: &str) -> Result<Vec<String>, Error> {
    fields(text).map_err(|why| Error::Mount(format!("failed to parse csv mounts: {why}")))
}

fn meant(word: &str, candidates: &[&'static str]) -> String {
    suggest(word, candidates.iter().copied())
        .map_or_else(String::new, |word| format!(" (did you mean {word}?)"))
}

fn base_name(path: &str) -> &str {
    path.trim_end_matches('/').rsplit('/').next().unwrap_or(path)
}

/// Whether an absolute path means `/` in the end.
fn is_root(path: &str) -> bool {
    let mut depth = 0_usize;
    for name in path.split('/') {
        match name {
            "" | "." => {}
            ".." => depth = depth.saturating_sub(1),
            _ => depth += 1,
        }
    }
    path.starts_with('/') && depth == 0
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn mount(text: &str) -> Result<Mount, String> {
        let lookup = |name: &str| (name == "D").then(|| "/data".to_owned());
        Mount::parse(text, &Expander::new('\\', &lookup)).map_err(|error| error.to_string())
    }

    #[test]
    fn reads_every_kind() {
        let none = Owner::default();
        let text = |text: &str| text.to_owned();
        let some = |text: &str| Some(text.to_owned());
        for (given, expected) in [
            (
                "target=$D/x,source=a",
                Mount::Bind {
                    from: None,
                    source: text("a"),
                    target: text("/data/x"),
                    writable: false,
                },
            ),
            (
                "type=bind,from=base,dst=x,rw,z",
                Mount::Bind {
                    from: some("base"),
                    source: text("/"),
                    target: text("x"),
                    writable: true,
                },
            ),
            (
                "Type=Cache,target=/c,sharing=locked,mode=0700,uid=1,gid=2,ro=true,id=n",
                Mount::Cache {
                    id: some("n"),
                    from: None,
                    source: text("/"),
                    target: text("/c"),
                    sharing: Sharing::Locked,
                    writable: false,
                    owner: Owner { mode: Some(0o700), uid: Some(1), gid: Some(2) },
                },
            ),
            (
                "type=tmpfs,target=/t,size=1m",
                Mount::Tmpfs { target: text("/t"), size: Some(1 << 20), writable: true },
            ),
            (
                "type=secret,id=a/key,required",
                Mount::Secret {
                    id: text("a/key"),
                    target: some("/run/secrets/key"),
                    env: None,
                    required: true,
                    owner: none,
                },
            ),
            (
                "type=secret,id=key,env=KEY",
                Mount::Secret {
                    id: text("key"),
                    target: None,
                    env: some("KEY"),
                    required: false,
                    owner: none,
                },
            ),
            (
                "required=false,type=secret,target=/a/k",
                Mount::Secret {
                    id: text("k"),
                    target: some("/a/k"),
                    env: None,
                    required: false,
                    owner: none,
                },
            ),
            (
                "type=ssh",
                Mount::Ssh { id: text("default"), target: None, required: false, owner: none },
            ),
            (
                "type=bind,\"target=/a,b\"",
                Mount::Bind {
                    from: None,
                    source: text("/"),
                    target: text("/a,b"),
                    writable: false,
                },
            ),
        ] {
            assert_eq!(mount(given), Ok(expected), "{given}");
        }
    }

    #[test]
    fn says_what_is_wrong() {
        for (given, part) in [
            ("type=bnd,target=/a", "unsupported mount type \"bnd\" (did you mean bind?)"),
            ("type=volume", "unsupported mount type \"volume\""),
            ("type=cache,target=/a,sharing=x", "unsupported sharing value \"x\""),
            ("targt=/a", "unexpected key 'targt' in 'targt=/a' (did you mean target?)"),
            ("target=/a,foo", "invalid field 'foo' must be a key=value pair"),
            ("type=tmpfs,target=/a,mode=0700", "mode not allowed for \"tmpfs\" type mounts"),
            ("target=/a,sharing=locked", "invalid cache sharing set for bind mount"),
            ("target=/a,required", "unexpected key 'required' for mount type 'bind'"),
            ("target=/a,size=1", "unexpected key 'size' for mount type 'bind'"),
            ("type=secret", "invalid secret mount. one of source, target required"),
            ("type=secret,id=a,src=b", "both source and id can't be set"),
            ("type=secret,id=a,from=b", "secret mount should not have a from"),
            ("target=/", "invalid mount target \"/\""),
            ("target=/a/..", "invalid mount target \"/\""),
            ("type=cache,target=/a,mode=9", "invalid value 9 for mode"),
            ("target=/a,ro=x", "invalid value for ro: x"),
            ("target=\"a", "failed to parse csv mounts: parse error on line 1, column 8: bare"),
            ("", "failed to parse csv mounts: EOF"),
            ("target=${", "missing '}'"),
        ] {
            let error = mount(given).expect_err(given);
            assert!(error.contains(part), "{given}: {error}");
        }
        assert!(Mount::check("from=$a,target=/b").is_err());
        assert!(Mount::check("from=a$,target=$b").is_ok());
    }

    proptest! {
        #[test]
        fn never_panics(text in r#"(type=(bind|cache|tmpfs|secret|ssh))?[a-z=,"$\{\}/.0-9]{0,20}"#) {
            drop((mount(&text), Mount::check(&text)));
        }
    }
}
