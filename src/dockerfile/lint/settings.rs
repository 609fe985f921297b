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
        for part in text.split(';').map(str::trim).filter(|part| !part.is_empty()) {
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

    /// Whether the rule of this name speaks.
    pub fn allow(&self, rule: &str) -> bool {
        let experimental = RULES.iter().any(|known| known.name == rule && known.experimental);
        !self.skipped.contain(rule) && (!experimental || self.experimental.contain(rule))
    }

    /// Whether this switches the rule off, as a comment above an instruction does.
    pub(super) fn skips(&self, rule: &str) -> bool {
        self.skipped.contain(rule)
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
            ("experimental=InvalidDefinitionDescription;", true, true, false),
            ("skip=all;experimental=all", false, false, false),
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
            ("error=maybe", "failed to parse check option \"error=maybe\""),
        ] {
            let error = Settings::parse(text).expect_err(text);
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}
