//! `skip=…;error=true;experimental=…`: which rules speak, and whether they end the build.

use super::RULES;
use crate::dockerfile::suggest;

/// What `# check=…` or the build argument `BUILDKIT_DOCKERFILE_CHECK` says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Settings {
    skipped: Names,
    experimental: Names,
    /// A warning ends the build.
    pub error: bool,
    /// Names of no rule, and what may have been meant.
    pub unknown: Vec<(String, Option<&'static str>)>,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Names {
    all: bool,
    names: Vec<String>,
}

impl Names {
    fn parse(text: &str) -> Self {
        let names = text.split(',').map(str::trim).filter(|name| !name.is_empty());
        match text.trim() {
            "all" => Self { all: true, names: Vec::new() },
            _ => Self { all: false, names: names.map(str::to_owned).collect() },
        }
    }

    fn add(&mut self, more: &Self) {
        self.all |= more.all;
        self.names.extend(more.names.iter().cloned());
    }

    fn contain(&self, name: &str) -> bool {
        self.all || self.names.iter().any(|known| known == name)
    }
}

impl Settings {
    /// # Errors
    ///
    /// The reason, in the reference's words.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut settings = Self::default();
        let text = text.trim();
        for part in text.splitn(3, ';').filter(|_| !text.is_empty()) {
            let (key, value) = part
                .split_once('=')
                .ok_or_else(|| format!("invalid check option {part:?}{}", known(part)))?;
            let value = value.trim();
            match key.trim() {
                "skip" => settings.skipped = Names::parse(value),
                "experimental" => settings.experimental = Names::parse(value),
                // Go's booleans.
                "error" => match value {
                    "1" | "t" | "T" | "true" | "TRUE" | "True" => settings.error = true,
                    "0" | "f" | "F" | "false" | "FALSE" | "False" => settings.error = false,
                    _ => {
                        return Err(format!(
                            "failed to parse check option {part:?}: {value:?} is not true or false"
                        ));
                    }
                },
                key => return Err(format!("invalid check option {key:?}{}", known(key))),
            }
        }
        let names = settings.skipped.names.iter().chain(&settings.experimental.names);
        settings.unknown = names
            .filter(|name| RULES.iter().all(|rule| rule.name != name.as_str()))
            .map(|name| (name.clone(), suggest(name, RULES.iter().map(|rule| rule.name))))
            .collect();
        Ok(settings)
    }

    /// [`Self::parse`] for a comment, where everything after the first blank is a remark.
    ///
    /// # Errors
    ///
    /// As there.
    pub fn of_comment(text: &str) -> Result<Self, String> {
        Self::parse(text.split(' ').next().unwrap_or_default())
    }

    /// Whether the rule of this name speaks: an experimental one when it is asked for, any other
    /// unless it is skipped.
    pub fn allow(&self, rule: &str) -> bool {
        match RULES.iter().any(|known| known.name == rule && known.experimental) {
            true => self.experimental.contain(rule),
            false => !self.skipped.contain(rule),
        }
    }

    /// These with what a comment above an instruction adds for it alone.
    pub(super) fn and(&self, above: Option<&Self>) -> Self {
        let mut both = self.clone();
        if let Some(above) = above {
            both.skipped.add(&above.skipped);
            both.experimental.add(&above.experimental);
        }
        both
    }
}

fn known(option: &str) -> String {
    let known = ["skip", "error", "experimental"];
    let meant = suggest(option.split('=').next().unwrap_or(option), known);
    meant.map_or_else(
        || " (there are skip, error and experimental)".to_owned(),
        |meant| format!(" (did you mean {meant}?)"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_say_who_speaks() {
        for (text, casing, described, error) in [
            ("", true, false, false),
            ("skip=StageNameCasing", false, false, false),
            (" skip = JSONArgsRecommended , StageNameCasing ; error = true", false, false, true),
            ("skip=all", false, false, false),
            ("error=1;experimental=all", true, true, true),
            ("experimental=InvalidDefinitionDescription", true, true, false),
            ("skip=all;experimental=all", false, true, false),
        ] {
            let settings = Settings::parse(text).expect(text);
            let allowed = |rule| settings.allow(rule);
            assert_eq!(
                (
                    allowed("StageNameCasing"),
                    allowed("InvalidDefinitionDescription"),
                    settings.error
                ),
                (casing, described, error),
                "{text}"
            );
        }
        let commented = Settings::of_comment("skip=StageNameCasing // a;remark");
        assert!(commented.is_ok_and(|settings| !settings.allow("StageNameCasing")));
        let unknown = Settings::parse("skip=StageNameCasin,Other").expect("settings").unknown;
        assert_eq!(
            unknown,
            [("StageNameCasin".to_owned(), Some("StageNameCasing")), ("Other".to_owned(), None)]
        );
    }

    #[test]
    fn settings_that_mean_nothing_are_refused() {
        for (text, part) in [
            ("skipp=all", "invalid check option \"skipp\" (did you mean skip?)"),
            ("x=1", "there are skip, error and experimental"),
            ("error", "invalid check option \"error\""),
            ("skip=all;", "invalid check option \"\""),
            ("error=maybe", "failed to parse check option \"error=maybe\""),
        ] {
            let error = Settings::parse(text).expect_err(text);
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}
