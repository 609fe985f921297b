//! How the steps of a build are done: options of `build` that ch-image has too.

use std::fs;
use std::io::{self, IsTerminal as _};
use std::path::Path;

use super::config::Config;
use super::error::Error;
use super::ui::Progress;
use crate::build::{Expected, Rehearsed};
use crate::image::Platform;
use crate::run::Volume;

/// Options of `build`.
#[derive(Debug, clap::Args)]
pub(crate) struct Steps {
    /// Execute every step on a base that is here, and keep the new results
    #[arg(long, overrides_with_all = ["no_cache", "cache"])]
    rebuild: bool,
    /// Take from the cache what is there, whatever $CH_IMAGE_CACHE says
    #[arg(long, overrides_with = "no_cache")]
    cache: bool,
    /// Let RUN see a file or a directory of this machine, at the same place or at DST. What lies
    /// there is no part of the image, and no reason to execute a step again; may be repeated
    #[arg(short, long, value_name = "SRC[:DST[:ro]]", value_parser = bind)]
    bind: Vec<Volume>,
    /// Build for this architecture: ch-image's way to say --platform. `host` is this machine's,
    /// `yolo` what registries give who does not ask (amd64)
    #[arg(short, long, value_name = "ARCH", value_parser = arch, conflicts_with = "platform")]
    arch: Option<Platform>,
    /// Do nothing: say for each instruction whether it would come from the cache (`*`) or be done
    /// (`.`), or that this cannot be said before something is fetched or done (`?`)
    #[arg(short = 'n', long)]
    pub(crate) dry_run: bool,
    /// Keep the files of a step that fails as the image localhost/failed, to enter with `bryo run`;
    /// the next one takes its place
    #[arg(long)]
    pub(crate) keep_failed: bool,
    /// When a RUN fails, give me a shell in its place: its files, mounts, variables, user and
    /// directory; needs a terminal
    #[arg(long)]
    shell_on_error: bool,
}

impl Steps {
    /// Whether nothing is taken from the cache. `no_cache` is that option.
    pub(crate) fn executes_all(&self, no_cache: bool, config: &Config) -> Result<bool, Error> {
        if no_cache || self.rebuild || self.cache {
            return Ok(no_cache || self.rebuild);
        }
        match config.cache.as_deref() {
            None | Some("enabled") => Ok(false),
            Some("disabled" | "rebuild") => Ok(true),
            Some(other) => Err(Error::Usage {
                text: format!("CH_IMAGE_CACHE is {other:?}"),
                hint: Some("it is enabled, disabled or rebuild".to_owned()),
            }),
        }
    }

    /// Whether a shell takes the place of a RUN that fails.
    pub(crate) fn has_shell(&self, progress: Progress) -> Result<bool, Error> {
        if !self.shell_on_error {
            return Ok(false);
        }
        let is_terminal = io::stdin().is_terminal() && io::stdout().is_terminal();
        let wrong = |text: &str| Error::Usage {
            text: text.to_owned(),
            hint: Some("--keep-failed keeps the files of the step, for bryo run".to_owned()),
        };
        match (is_terminal, progress) {
            (false, _) => Err(wrong("--shell-on-error needs a terminal, for input and output")),
            (true, Progress::Json) => {
                Err(wrong("--shell-on-error is for people: no --progress json"))
            }
            (true, _) => Ok(true),
        }
    }

    /// The platforms to build for, unless --platform names `others`.
    pub(crate) fn platforms(&self, others: &[Platform]) -> Vec<Platform> {
        if others.is_empty() { self.arch.iter().cloned().collect() } else { others.to_vec() }
    }

    /// What RUN sees of this machine; all of it is there.
    pub(crate) fn binds(&self) -> Result<Vec<Volume>, Error> {
        for bind in &self.bind {
            fs::metadata(&bind.source).map_err(Error::reading(&bind.source))?;
        }
        Ok(self.bind.clone())
    }
}

/// A line for each instruction: its line in the Dockerfile, a mark, and its text, as of ch-image.
pub(crate) fn plan_text(plan: &[Rehearsed]) -> String {
    let line = |step: &Rehearsed| {
        let mark = match step.expected {
            Expected::Hit => '*',
            Expected::Miss => '.',
            Expected::Unknown => '?',
        };
        let platform = step.platform.iter().map(|platform| format!("[{platform}] "));
        format!("{:3}{mark} {}{}\n", step.line, platform.collect::<String>(), step.instruction)
    };
    plan.iter().map(line).collect()
}

/// `SRC`, or `SRC:DST` as `run -v` takes it.
pub(crate) fn bind(text: &str) -> Result<Volume, String> {
    let (source, rest) = text.split_once(':').map_or((text, None), |(a, b)| (a, Some(b)));
    if source.is_empty() {
        return Err("say SRC or SRC:DST".to_owned());
    }
    let source = std::path::absolute(source).map_err(|error| error.to_string())?;
    // There are no named volumes here that a bare name could mean.
    let target = rest.unwrap_or_else(|| source.to_str().unwrap_or_default());
    let volume: Volume =
        format!("/:{target}").parse().map_err(|error: crate::run::Error| error.to_string())?;
    if volume.target == Path::new("/") {
        return Err("the whole image cannot be covered".to_owned());
    }
    Ok(Volume { source, ..volume })
}

fn arch(text: &str) -> Result<Platform, String> {
    match text {
        "host" => Ok(Platform::host()),
        "yolo" => Ok(Platform::new("linux", "amd64", None)),
        // `arm/v7`: of ch-image's architectures, all are Linux's.
        text if !text.starts_with("linux") => arch(&format!("linux/{text}")),
        text => text.parse().map_err(|error: crate::image::Error| error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn binds_have_a_place() {
        for (text, expected) in [
            ("/a", Some(("/a", "/a", false))),
            ("/a:/b", Some(("/a", "/b", false))),
            ("/a:/b:ro", Some(("/a", "/b", true))),
            ("/a:/", None),
            ("/a:b", None),
            (":/b", None),
            ("", None),
            ("/a:/b:x", None),
        ] {
            let expected = expected.map(|(source, target, read_only)| Volume {
                source: source.into(),
                target: target.into(),
                read_only,
            });
            assert_eq!(bind(text).ok(), expected, "{text}");
        }
        let relative = bind("x:/y").expect("a directory by its name");
        assert!(relative.source.is_absolute() && relative.source.ends_with("x"));
    }

    #[test]
    fn architectures_have_many_names() {
        for (text, expected) in [
            ("yolo", "linux/amd64"),
            ("x86_64", "linux/amd64"),
            ("aarch64", "linux/arm64"),
            ("arm/v7", "linux/arm/v7"),
        ] {
            assert_eq!(arch(text).map(|platform| platform.to_string()), Ok(expected.to_owned()));
        }
        assert_eq!(arch("host"), Ok(Platform::host()));
    }
}
