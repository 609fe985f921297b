//! [`Choice`]: which names of a list somebody wants to see.

use regex::Regex;

use super::error::Error;
use crate::dockerfile::Glob;
use crate::registry;

/// Options of the commands that list what a registry has.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct Wanted {
    /// Only those that match a pattern, such as '1.*'
    #[arg(long, value_name = "PATTERN")]
    filter: Option<String>,
    /// The pattern is a regular expression, which may match any part
    #[arg(long, requires = "filter")]
    regex: bool,
    /// At most N of them, the first that the registry names; no more is read than it takes
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
}

enum Choice {
    All,
    Glob(Glob),
    Regex(Regex),
}

impl Wanted {
    /// Those of the names that `ask` gets, which reads no more of them than it is told.
    pub(crate) fn of(
        &self,
        ask: impl FnOnce(registry::Wanted<'_>) -> Result<Vec<String>, registry::Error>,
    ) -> Result<Vec<String>, Error> {
        let choice = self.choice()?;
        let fits = |name: &String| match &choice {
            Choice::All => true,
            Choice::Glob(glob) => glob.matches(name),
            Choice::Regex(regex) => regex.is_match(name),
        };
        let enough = |names: &[String]| {
            self.limit.is_some_and(|limit| names.iter().filter(|name| fits(name)).count() >= limit)
        };
        // Of many names a few may fit: only who takes all of them knows how long a page should be.
        let page = self.limit.filter(|_| self.filter.is_none());
        let page = page.unwrap_or(registry::Wanted::ALL.page);
        let mut names = ask(registry::Wanted { page, enough: &enough })?;
        names.retain(|name| fits(name));
        names.truncate(self.limit.unwrap_or(usize::MAX));
        Ok(names)
    }

    fn choice(&self) -> Result<Choice, Error> {
        let Some(pattern) = &self.filter else { return Ok(Choice::All) };
        let wrong = |error: String| {
            let hint = "quotes keep the shell from reading it".to_owned();
            Error::Usage { text: format!("--filter {pattern:?}: {error}"), hint: Some(hint) }
        };
        match self.regex {
            true => {
                Regex::new(pattern).map(Choice::Regex).map_err(|error| wrong(error.to_string()))
            }
            false => Glob::new(pattern).map(Choice::Glob).map_err(|error| wrong(error.to_string())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_chosen_by_pattern_and_number() {
        let names = ["1.0", "1.1", "2.0", "latest"].map(str::to_owned).to_vec();
        for (filter, regex, limit, expected) in [
            (None, false, None, "1.0 1.1 2.0 latest"),
            (None, false, Some(2), "1.0 1.1"),
            (Some("1.*"), false, None, "1.0 1.1"),
            (Some("1.*"), true, None, "1.0 1.1"),
            (Some("0"), false, None, ""),
            (Some("0$"), true, Some(1), "1.0"),
            (Some("0$|^l"), true, None, "1.0 2.0 latest"),
        ] {
            let wanted = Wanted { filter: filter.map(str::to_owned), regex, limit };
            assert_eq!(
                wanted.of(|_| Ok(names.clone())).expect("valid").join(" "),
                expected,
                "{filter:?}"
            );
        }
        let wanted = Wanted { filter: Some("(".to_owned()), regex: true, limit: None };
        assert!(matches!(wanted.of(|_| Ok(names.clone())), Err(Error::Usage { .. })));
        let wanted = Wanted { filter: Some("[".to_owned()), regex: false, limit: None };
        assert!(matches!(wanted.of(|_| Ok(names)), Err(Error::Usage { .. })));
    }
}
