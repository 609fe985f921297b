//! `--root-emulation` and what belongs to it, in `build` and `run`.

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};

use super::config::Config;
use super::error::Error;
use crate::fakeroot::{Insertion, Wish};
use crate::sandbox::RootEmulation;

/// Options of the commands that run commands of images.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = "Root emulation options")]
pub(crate) struct Emulation {
    /// How commands are root, though you are not [default: $BRYO_ROOT_EMULATION, or auto]
    #[arg(long, value_name = "MODE", value_parser = mode())]
    root_emulation: Option<RootEmulation>,
    /// ch-image's words for it: `seccomp` is fake; alone it is auto, which is better than ch-image's
    /// own default wherever it can be
    #[arg(long, value_name = "MODE", num_args = 0..=1, require_equals = true)]
    #[arg(default_missing_value = "auto", value_parser = force(), conflicts_with = "root_emulation")]
    force: Option<RootEmulation>,
    /// In mode fake, insert ARG after the command CMD, instead of what the image's profile inserts;
    /// may be repeated. `\,` is a comma. CMD is found where a shell would run it, in the shell form
    /// of RUN as in the exec form
    #[arg(long, value_name = "CMD,ARG[,ARG]...", value_parser = insertion)]
    force_cmd: Vec<Insertion>,
    /// Do not look in the image for what fakeroot profile it is made for
    #[arg(long)]
    no_force_detect: bool,
}

impl Emulation {
    pub(crate) fn wish(&self, config: &Config) -> Result<Wish, Error> {
        let mode = match (self.root_emulation.or(self.force), &config.root_emulation) {
            (Some(mode), _) => mode,
            (None, Some(text)) => text.parse().map_err(|error| Error::Usage {
                text: format!("BRYO_ROOT_EMULATION: {error}"),
                hint: None,
            })?,
            (None, None) => RootEmulation::default(),
        };
        let senseless = |text: String| Err(Error::Usage { text, hint: None });
        if !self.force_cmd.is_empty() && !matches!(mode, RootEmulation::Auto | RootEmulation::Fake)
        {
            return senseless(format!("--force-cmd is about root emulation fake, not {mode}"));
        }
        if self.no_force_detect && mode == RootEmulation::Fakeroot {
            return senseless(
                "root emulation fakeroot needs a profile, and --no-force-detect looks for none"
                    .to_owned(),
            );
        }
        Ok(Wish {
            mode,
            insert: Some(self.force_cmd.clone()).filter(|given| !given.is_empty()),
            detect: !self.no_force_detect,
            profiles: config.profile_files()?,
        })
    }
}

/// Each mode, and what it means.
fn mode() -> impl TypedValueParser<Value = RootEmulation> {
    PossibleValuesParser::new([
        PossibleValue::new("auto").help("The first of full, fake and fakeroot that works here"),
        PossibleValue::new("full").help("Owners, identities and devices as root would see them"),
        PossibleValue::new("ids")
            .help("The same, except that files look like root's; a little faster"),
        PossibleValue::new("fake")
            .help("The kernel says \"done\" and does nothing; root is the only user"),
        PossibleValue::new("fakeroot")
            .help("Install fakeroot(1) where an image's profile says so; root is the only user"),
        PossibleValue::new("none").help("Nothing; root is the only user"),
    ])
    .map(|name| name.parse().expect("each value is a mode's name"))
}

fn force() -> impl TypedValueParser<Value = RootEmulation> {
    PossibleValuesParser::new(["auto", "seccomp", "fakeroot", "none"]).map(|name| match &*name {
        "auto" => RootEmulation::Auto,
        "seccomp" => RootEmulation::Fake,
        "fakeroot" => RootEmulation::Fakeroot,
        _ => RootEmulation::None,
    })
}

/// `CMD,ARG[,ARG]…`
fn insertion(text: &str) -> Result<Insertion, String> {
    let mut words = vec![String::new()];
    let mut characters = text.chars();
    while let Some(c) = characters.next() {
        match c {
            ',' => words.push(String::new()),
            '\\' => words.last_mut().expect("never empty").extend(characters.next()),
            c => words.last_mut().expect("never empty").push(c),
        }
    }
    let command = words.remove(0);
    if command.is_empty() || command.contains('/') {
        return Err("CMD is a command's name, without its path".to_owned());
    }
    match words.is_empty() {
        true => Err("say CMD,ARG: what is to come after the command".to_owned()),
        false => Ok(Insertion { command, arguments: words, why: "--force-cmd".to_owned() }),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        emulation: Emulation,
        rest: Vec<String>,
    }

    /// The mode that a command line means; or what is wrong with it.
    fn wish(line: &str, variable: Option<&str>) -> Result<Wish, String> {
        let words = std::iter::once("bryo").chain(line.split_whitespace());
        let line = Line::try_parse_from(words).map_err(|error| error.to_string())?;
        let mut config = Config::read(None);
        config.root_emulation = variable.map(str::to_owned);
        config.profiles = None;
        line.emulation.wish(&config).map_err(|error| error.to_string())
    }

    #[test]
    fn every_spelling_means_one_mode() {
        use RootEmulation::{Auto, Fake, Fakeroot, Full, Ids, None};
        for (line, variable, mode) in [
            ("x", Option::None, Auto),
            ("--root-emulation full x", Option::None, Full),
            ("--root-emulation=ids x", Some("none"), Ids),
            ("x", Some("fake"), Fake),
            ("--root-emulation auto", Some("fake"), Auto),
            ("--force x", Some("fake"), Auto),
            ("--force=seccomp x", Option::None, Fake),
            ("--force=fakeroot x", Option::None, Fakeroot),
            ("--force=none x", Option::None, None),
            ("--force-cmd=foo,-a x", Option::None, Auto),
            ("--force-cmd=foo,-a --force=seccomp", Option::None, Fake),
            ("--no-force-detect --force=none", Option::None, None),
        ] {
            assert_eq!(wish(line, variable).expect(line).mode, mode, "{line}");
        }
        assert!(!wish("--no-force-detect", Option::None).expect("it is good").detect);
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for (line, variable, said) in [
            ("--root-emulation seccomp", None, "[possible values: auto, full, ids, fake, fakeroot"),
            ("--force=full", None, "[possible values: auto, seccomp, fakeroot, none]"),
            ("--force --root-emulation auto", None, "cannot be used with"),
            ("x", Some("Full"), "BRYO_ROOT_EMULATION: invalid root emulation \"Full\""),
            ("--force-cmd=a,b --force=none", None, "--force-cmd is about root emulation fake"),
            ("--force-cmd=a,b", Some("full"), "--force-cmd is about root emulation fake, not full"),
            ("--force-cmd=a", None, "say CMD,ARG"),
            ("--force-cmd=,a", None, "CMD is a command's name"),
            ("--force-cmd=/a,b", None, "CMD is a command's name"),
            ("--force=fakeroot --no-force-detect", None, "needs a profile"),
        ] {
            let error = wish(line, variable).expect_err(line);
            assert!(error.contains(said), "{line}\n{error}");
        }
    }

    #[test]
    fn commas_can_be_escaped() {
        let found = insertion(r"foo,-a,--b=c\,d\\e,").expect("it is good");
        assert_eq!(
            (found.command.as_str(), found.arguments),
            ("foo", vec!["-a".into(), r"--b=c,d\e".into(), String::new()])
        );
    }
}
