//! [`Help`]: what was asked for, and what works here.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use super::Error;
use super::detect::{ProfileFile, Profiles};
use super::inject::{Command, Prepared};
use super::profile::{Insertion, Profile};
use crate::report::Reporter;
use crate::rootfs::Root;
use crate::sandbox::{self, Chosen, RootEmulation};

/// What the caller asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wish {
    pub mode: RootEmulation,
    /// Instead of the profile's, in mode `fake`.
    pub insert: Option<Vec<Insertion>>,
    /// Whether the image is looked at for a profile.
    pub detect: bool,
    /// The user's own profiles. They are read when one is looked for.
    pub profiles: Vec<ProfileFile>,
}

impl Default for Wish {
    fn default() -> Self {
        Self { mode: RootEmulation::Auto, insert: None, detect: true, profiles: Vec::new() }
    }
}

/// A wish, and what this system makes of it.
#[derive(Debug)]
pub struct Help {
    wish: Wish,
    /// The best that works here; found out when it is asked for, by trying.
    chosen: OnceLock<Chosen>,
    announced: AtomicBool,
}

impl Help {
    pub fn new(wish: Wish) -> Self {
        Self { wish, chosen: OnceLock::new(), announced: AtomicBool::new(false) }
    }

    fn chosen(&self) -> &Chosen {
        self.chosen.get_or_init(sandbox::choose)
    }

    /// Why full emulation does not work here.
    fn obstacle(&self) -> String {
        self.chosen().why.as_ref().map(ToString::to_string).unwrap_or_default()
    }

    /// The mode of commands that no profile is about.
    ///
    /// # Errors
    ///
    /// [`Error::Impossible`] when another one was asked for than works here.
    pub fn mode(&self) -> Result<RootEmulation, Error> {
        use RootEmulation::{Auto, Fakeroot, None};
        match self.wish.mode {
            Auto => Ok(self.chosen().mode),
            mode @ (Fakeroot | None) => Ok(mode),
            wanted => match rank(self.chosen().mode) >= rank(wanted) {
                true => Ok(wanted),
                false => Err(Error::Impossible { wanted, why: self.obstacle() }),
            },
        }
    }

    /// Tells the mode and its reason, once: to everybody when it is less than was hoped for, else
    /// to those who want to know more.
    pub fn announce(&self, reporter: &dyn Reporter) -> Result<(), Error> {
        let mode = self.mode()?;
        if self.announced.swap(true, Ordering::Relaxed) {
            return Ok(());
        }
        match self.wish.mode {
            RootEmulation::Auto if mode != RootEmulation::Full => {
                let why = self.obstacle();
                reporter.note(format!("root emulation: {mode}; full does not work here: {why}"));
            }
            _ => reporter.detail(format!("root emulation: {mode}")),
        }
        Ok(())
    }

    /// Whether [`Self::prepare`] wants to know the image's profile.
    pub fn wants_profile(&self) -> Result<bool, Error> {
        use RootEmulation::{Auto, Fake, Fakeroot, None};
        let mode = self.mode()?;
        let used = match mode {
            Fake | Fakeroot => true,
            None => self.wish.mode == Auto,
            _ => false,
        };
        Ok(used && self.wish.detect)
    }

    /// The profile that an image is made for.
    ///
    /// # Errors
    ///
    /// When a profile of the user is wrong: it might be the one.
    pub fn detect(&self, root: &Root) -> Result<Option<Arc<Profile>>, Error> {
        let profiles = self.profiles()?;
        let found = profiles.detect(root)?;
        match (found, self.wish.mode) {
            (Option::None, RootEmulation::Fakeroot) => Err(Error::NoProfile {
                known: profiles.iter().map(|known| known.profile.name.clone()).collect(),
            }),
            (found, _) => Ok(found),
        }
    }

    fn profiles(&self) -> Result<Profiles, Error> {
        let (profiles, faults) = Profiles::new(&self.wish.profiles);
        faults.into_iter().next().map_or(Ok(profiles), |fault| Err(fault.into()))
    }

    /// What is executed in place of a command, in an image of this profile.
    pub fn prepare(
        &self,
        command: Command,
        profile: Option<&Arc<Profile>>,
    ) -> Result<Prepared, Error> {
        let mode = self.mode()?;
        let automatic = self.wish.mode == RootEmulation::Auto;
        let need = profile.and_then(|profile| Some((profile, command.mentions(&profile.words)?)));
        let need = need.map(|(profile, word)| (profile, word.to_owned()));
        Ok(match (mode, need) {
            (RootEmulation::Fakeroot, Some((profile, word))) => command.inject(profile, &word),
            (RootEmulation::None, Some((profile, word))) if automatic => {
                command.inject(profile, &word)
            }
            (RootEmulation::Fake, Some((profile, word)))
                if automatic && profile.prefer == RootEmulation::Fakeroot =>
            {
                command.inject(profile, &word)
            }
            (RootEmulation::Fake, _) => {
                let own = profile.map(|profile| profile.insert.as_slice());
                command.insert(self.wish.insert.as_deref().or(own).unwrap_or_default())
            }
            (mode, _) => command.with(mode),
        })
    }

    /// What a person may try whose command failed in `mode`; None where nothing would be better.
    pub fn advice(&self, mode: RootEmulation) -> Option<String> {
        let best = self.chosen().mode;
        match (mode, best) {
            (RootEmulation::Full, _) => None,
            (_, RootEmulation::Full) => {
                Some(format!("{FULL_WORKS}: commands may do what root may"))
            }
            _ => {
                let rest = if rank(best) > rank(mode) {
                    format!("; --root-emulation {best} does")
                } else if mode != RootEmulation::Fakeroot {
                    "; --root-emulation fakeroot helps the commands that a profile of the image \
                     knows"
                        .to_owned()
                } else {
                    String::new()
                };
                Some(format!("{FULL_FAILS}: {}{rest}", self.obstacle()))
            }
        }
    }

    /// What a person may try who wants to be another user than root.
    pub fn advice_for_users(&self) -> String {
        match self.chosen().mode {
            RootEmulation::Full => format!("{FULL_WORKS}: commands may be any user"),
            _ => format!("{FULL_FAILS}, and other users need it: {}", self.obstacle()),
        }
    }
}

const FULL_WORKS: &str = "--root-emulation full works here";
const FULL_FAILS: &str = "--root-emulation full does not work here";

/// More is better; each includes what those below it need of the system.
fn rank(mode: RootEmulation) -> u8 {
    match mode {
        RootEmulation::Full | RootEmulation::Auto => 3,
        RootEmulation::Ids => 2,
        RootEmulation::Fake => 1,
        RootEmulation::Fakeroot | RootEmulation::None => 0,
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::report::{Event, Recorder};
    use crate::sandbox::Obstacle;

    fn help(mode: RootEmulation, best: RootEmulation) -> Help {
        let help = Help::new(Wish { mode, ..Wish::default() });
        let why = (best != RootEmulation::Full).then(|| Obstacle::Other("because".into()));
        help.chosen.set(Chosen { mode: best, why }).expect("it is new");
        help
    }

    fn profile(prefer: RootEmulation) -> Arc<Profile> {
        let text = format!(
            "name = \"toy\"\ndescription = \"Toy\"\nwords = [\"get\"]\nprefix = [\"fr\", \"--\"]\n\
             prefer = \"{prefer}\"\n[[match]]\nfile = \"/x\"\npattern = 'x'\n\
             [[insert]]\ncommand = \"get\"\narguments = [\"-t\"]\nwhy = \"trust\"\n"
        );
        Arc::new(Profile::parse(Path::new("toy"), &text).expect("it is good"))
    }

    /// What becomes of `sh -c "get x"`: the mode, and what is executed.
    fn prepared(wished: RootEmulation, best: RootEmulation, profile: &Arc<Profile>) -> String {
        let command = Command::new(["sh", "-c", "get x"].map(str::to_owned).to_vec());
        match help(wished, best).prepare(command, Some(profile)) {
            Ok(prepared) => format!("{}: {}", prepared.mode, prepared.command.argv.join(" ")),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn the_best_that_works_is_taken_and_no_less_than_was_asked_for() {
        use RootEmulation::{Auto, Fake, Fakeroot, Full, Ids, None};
        let fake = profile(Fake);
        for (wished, best, expected) in [
            (Auto, Full, "full: sh -c get x"),
            (Auto, Ids, "ids: sh -c get x"),
            (Auto, Fake, "fake: sh -c get -t x"),
            (Auto, None, "fakeroot: fr -- sh -c get x"),
            (Full, Full, "full: sh -c get x"),
            (Full, Ids, "root emulation \"full\" does not work here: because"),
            (Ids, Full, "ids: sh -c get x"),
            (Fake, Full, "fake: sh -c get -t x"),
            (Fake, None, "root emulation \"fake\" does not work here: because"),
            (Fakeroot, Full, "fakeroot: fr -- sh -c get x"),
            (None, Full, "none: sh -c get x"),
            (None, None, "none: sh -c get x"),
        ] {
            assert_eq!(prepared(wished, best, &fake), expected, "{wished} {best}");
        }
        let fakeroot = profile(Fakeroot);
        for (wished, best, expected) in [
            (Auto, Fake, "fakeroot: fr -- sh -c get x"),
            (Fake, Fake, "fake: sh -c get -t x"),
            (Auto, Full, "full: sh -c get x"),
        ] {
            assert_eq!(prepared(wished, best, &fakeroot), expected, "{wished} {best}");
        }
    }

    #[test]
    fn only_commands_that_need_it_are_changed() {
        use RootEmulation::{Auto, Fake, Fakeroot, None};
        let toy = profile(Fake);
        let of = |argv: &[&str]| Command::new(argv.iter().map(|word| (*word).into()).collect());
        for (wished, mode) in [(Auto, None), (Fakeroot, Fakeroot)] {
            let help = help(wished, None);
            let bare = help.prepare(of(&["sh", "-c", "make x"]), Some(&toy)).expect("it can be");
            assert_eq!((bare.mode, bare.injection.is_none()), (mode, true));
            let helped = help.prepare(of(&["sh", "-c", "true&&/bin/get x"]), Some(&toy));
            let injection = helped.expect("it can be").injection.expect("it is helped");
            assert_eq!((injection.word.as_str(), injection.profile.name.as_str()), ("get", "toy"));
            let unknown = help.prepare(of(&["get"]), Option::None).expect("it can be");
            assert_eq!((unknown.mode, unknown.command), (mode, of(&["get"])));
        }
        // A script that comes with the command counts as its text.
        let script = |text: &str| Command { script: Some(text.into()), ..of(&["sh", "/script"]) };
        let found = help(Auto, None).prepare(script("#!/usr/bin/perl\nget"), Some(&toy));
        assert!(found.expect("it can be").injection.is_some());
        let faked = |text| help(Auto, Fake).prepare(script(text), Some(&toy)).expect("it can be");
        assert_eq!(faked("get x").command.script.as_deref(), Some("get -t x"));
        assert_eq!(
            faked("#!/bin/perl\nget x").command.script.as_deref(),
            Some("#!/bin/perl\nget x")
        );
    }

    #[test]
    fn the_user_s_insertions_replace_the_profile_s() {
        let toy = profile(RootEmulation::Fake);
        let mut help = help(RootEmulation::Fake, RootEmulation::Full);
        let arguments = vec!["-a".to_owned(), "--b=c".to_owned()];
        let insertion = Insertion { command: "foo".into(), arguments, why: String::new() };
        help.wish.insert = Some(vec![insertion]);
        let argv = vec!["sh".to_owned(), "-c".to_owned(), "get x; foo -c".to_owned()];
        let prepared = help.prepare(Command::new(argv), Some(&toy)).expect("it can be");
        assert_eq!(prepared.command.argv[2], "get x; foo -a --b=c -c");
    }

    #[test]
    fn images_are_looked_at_only_where_it_matters() {
        use RootEmulation::{Auto, Fake, Fakeroot, Full, Ids, None};
        for (wished, best, expected) in [
            (Auto, Full, false),
            (Auto, Ids, false),
            (Auto, Fake, true),
            (Auto, None, true),
            (Full, Full, false),
            (Fake, Full, true),
            (Fakeroot, Full, true),
            (None, None, false),
        ] {
            let mut help = help(wished, best);
            assert_eq!(help.wants_profile().ok(), Some(expected), "{wished} {best}");
            help.wish.detect = false;
            assert_eq!(help.wants_profile().ok(), Some(false), "{wished} {best}");
        }
        let image = tempfile::tempdir().expect("a directory");
        let root = Root::open(image.path()).expect("a root");
        assert!(help(Auto, None).detect(&root).expect("no profile is all right").is_none());
        let error = help(Fakeroot, None).detect(&root).expect_err("there is none");
        assert!(error.hint().is_some_and(|hint| hint.contains("alpine")), "{error}");
        let mut help = help(Auto, None);
        help.wish.profiles = vec![ProfileFile { path: "x.toml".into(), text: "?".into() }];
        let error = help.detect(&root).expect_err("a broken profile");
        assert!(matches!(error, Error::Profile(_)), "{error:?}");
    }

    #[test]
    fn advice_names_what_works() {
        use RootEmulation::{Auto, Fake, Fakeroot, Full, Ids, None};
        for (best, mode, expected) in [
            (Full, Full, Option::None),
            (Full, None, Some("--root-emulation full works here: ")),
            (Full, Ids, Some("--root-emulation full works here: ")),
            (Fake, None, Some("full does not work here: because; --root-emulation fake does")),
            (Fake, Fake, Some("full does not work here: because; --root-emulation fakeroot helps")),
            (None, None, Some("full does not work here: because; --root-emulation fakeroot helps")),
            (None, Fakeroot, Some("full does not work here: because")),
        ] {
            let advice = help(Auto, best).advice(mode);
            let fits = match (&advice, expected) {
                (Some(advice), Some(expected)) => advice.contains(expected),
                (advice, expected) => advice.is_none() && expected.is_none(),
            };
            assert!(fits, "{best} {mode}: {advice:?}");
            // fakeroot(1) makes nobody another user.
            assert!(!help(Auto, best).advice_for_users().contains("fakeroot"), "{best}");
        }
    }

    #[test]
    fn less_than_the_best_is_told_once() {
        use RootEmulation::{Auto, Fake, Full, Ids, None};
        let note = |text: &str| Event::Note { text: text.into() };
        let detail = |text: &str| Event::Detail { text: text.into() };
        for (wished, best, told) in [
            (Auto, Full, detail("root emulation: full")),
            (Auto, Fake, note("root emulation: fake; full does not work here: because")),
            (Ids, Full, detail("root emulation: ids")),
            (None, Full, detail("root emulation: none")),
        ] {
            let (help, recorder) = (help(wished, best), Recorder::default());
            for _ in 0..2 {
                help.announce(&recorder).expect("it is possible");
            }
            assert_eq!(recorder.events(), [told], "{wished} {best}");
        }
    }
}
