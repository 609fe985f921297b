//! Command, environment and working directory, as Docker makes them out of the image's
//! configuration and the options.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::{Error, Options};
use crate::fakeroot::Profile;
use crate::image::Runtime;

/// `PATH` where the image sets none, as in Docker and BuildKit.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// ENTRYPOINT and CMD, either of which may be replaced; none if that is empty.
pub(super) fn command(
    config: &Runtime,
    entrypoint: Option<&[String]>,
    command: Option<&[String]>,
) -> Option<Vec<String>> {
    let (entrypoint, own) = match entrypoint {
        Some(entrypoint) => (Some(entrypoint), None),
        None => (config.entrypoint.as_deref(), config.cmd.as_deref()),
    };
    let words = entrypoint.into_iter().chain(command.or(own));
    Some(words.flatten().cloned().collect::<Vec<_>>()).filter(|words| !words.is_empty())
}

/// The image's variables, over them the options', and `PATH`, `HOME` and what a profile wants where
/// these are missing. Nothing comes from the caller's environment.
pub(super) fn environment(
    config: &Runtime,
    options: &Options,
    profile: Option<&Profile>,
    home: Option<&Path>,
) -> Vec<OsString> {
    let mut runtime = Runtime::default();
    if config.env("PATH").is_none() {
        runtime.set_env("PATH", PATH);
    }
    for (name, value) in profile.iter().flat_map(|profile| &profile.environment) {
        runtime.set_env(name, value);
    }
    for entry in config.env.iter().chain(&options.env) {
        let (name, value) = entry.split_once('=').unwrap_or((entry, ""));
        runtime.set_env(name, value);
    }
    let needs_home = runtime.env("HOME").is_none_or(str::is_empty);
    runtime.env.retain(|entry| !(needs_home && entry.starts_with("HOME=")));
    let mut env: Vec<OsString> = runtime.env.into_iter().map(OsString::from).collect();
    if needs_home {
        let mut entry = OsString::from("HOME=");
        entry.push(home.unwrap_or(Path::new("/")));
        env.push(entry);
    }
    env
}

/// Where the command begins.
pub(super) fn directory(config: &Runtime, options: &Options) -> Result<PathBuf, Error> {
    match &options.directory {
        Some(directory) if !directory.starts_with('/') => {
            Err(Error::Directory(directory.to_owned()))
        }
        Some(directory) => Ok(directory.into()),
        // Some tools write it without the slash.
        None => Ok(Path::new("/").join(&config.working_dir)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn entrypoint_and_command_combine_as_in_docker() {
        // image's ENTRYPOINT and CMD, given entry point and command, what runs
        for (entrypoint, cmd, given_entrypoint, given, argv) in [
            (Some("e 1"), Some("c 2"), None, None, "e 1 c 2"),
            (Some("e 1"), Some("c 2"), None, Some("x y"), "e 1 x y"),
            (Some("e 1"), Some("c 2"), Some("f"), None, "f"),
            (Some("e 1"), Some("c 2"), Some("f"), Some("x"), "f x"),
            (Some("e 1"), Some("c 2"), Some(""), Some("x"), "x"),
            (None, Some("c 2"), None, None, "c 2"),
            (Some("e"), None, None, None, "e"),
            (None, None, None, Some("x"), "x"),
            (None, None, None, None, ""),
            (Some("e"), Some("c"), Some(""), None, ""),
        ] {
            let config = Runtime {
                entrypoint: entrypoint.map(words),
                cmd: cmd.map(words),
                ..Runtime::default()
            };
            let (entrypoint, given) = (given_entrypoint.map(words), given.map(words));
            let found = command(&config, entrypoint.as_deref(), given.as_deref());
            assert_eq!(found.unwrap_or_default(), words(argv), "{entrypoint:?} {given:?}");
        }
    }

    #[test]
    fn the_environment_is_the_image_s_and_the_options() {
        let path = format!("PATH={PATH}");
        for (image, given, home, env) in [
            ("", "", None, vec![&*path, "HOME=/"]),
            ("", "", Some("/root"), vec![&*path, "HOME=/root"]),
            (
                "A=1 PATH=/bin B=2",
                "B=3 C=4",
                None,
                vec!["A=1", "PATH=/bin", "B=3", "C=4", "HOME=/"],
            ),
            ("PATH=/bin", "PATH=/x HOME=/h", Some("/root"), vec!["PATH=/x", "HOME=/h"]),
            ("PATH=/bin HOME=", "", Some("/root"), vec!["PATH=/bin", "HOME=/root"]),
            ("PATH=/bin EMPTY", "", None, vec!["PATH=/bin", "EMPTY=", "HOME=/"]),
        ] {
            let config = Runtime { env: words(image), ..Runtime::default() };
            let options = Options { env: words(given), ..Options::default() };
            let found = environment(&config, &options, None, home.map(Path::new));
            assert_eq!(found, env, "{image} {given}");
        }
    }

    #[test]
    fn a_profile_adds_what_nobody_else_sets() {
        let text = "name = \"toy\"\ndescription = \"Toy\"\nwords = [\"x\"]\nprefix = [\"y\"]\n\
                    [[match]]\nfile = \"/x\"\npattern = 'x'\n\
                    [environment]\nA = \"1\"\nB = \"2\"\nC = \"3\"\n";
        let profile = Profile::parse(Path::new("toy"), text).expect("it is good");
        let config = Runtime { env: words("PATH=/bin A=image"), ..Runtime::default() };
        let options = Options { env: words("B=given HOME=/h"), ..Options::default() };
        let found = environment(&config, &options, Some(&profile), None);
        for entry in ["A=image", "B=given", "C=3"] {
            assert!(found.contains(&entry.into()), "{entry}: {found:?}");
        }
        assert_eq!(found.len(), 5, "{found:?}");
    }

    #[test]
    fn the_directory_is_absolute() {
        for (image, given, found) in [
            ("", None, Some("/")),
            ("/app", None, Some("/app")),
            ("app", None, Some("/app")),
            ("/app", Some("/other"), Some("/other")),
            ("/app", Some("other"), None),
        ] {
            let config = Runtime { working_dir: image.into(), ..Runtime::default() };
            let options = Options { directory: given.map(str::to_owned), ..Options::default() };
            assert_eq!(directory(&config, &options).ok(), found.map(PathBuf::from), "{image}");
        }
    }
}
