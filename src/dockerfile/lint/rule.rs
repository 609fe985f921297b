//! The lint rules of the reference: names, what each is about, and what to write instead.

/// A rule of the reference's linter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rule {
    pub name: &'static str,
    /// What it is about, in the reference's words.
    pub description: &'static str,
    /// What to write instead.
    pub help: &'static str,
    /// Silent unless it is asked for (`experimental=NAME`).
    pub experimental: bool,
}

const fn rule(name: &'static str, description: &'static str, help: &'static str) -> Rule {
    Rule { name, description, help, experimental: false }
}

/// All there are, in the order of the reference's documentation.
pub const RULES: [Rule; 22] = [
    rule(
        "StageNameCasing",
        "Stage names should be lowercase",
        "write the stage's name in lower case: that is how FROM finds it",
    ),
    rule(
        "FromAsCasing",
        "The 'as' keyword should match the case of the 'from' keyword",
        "write `FROM … AS` or `from … as`",
    ),
    rule(
        "NoEmptyContinuation",
        "Empty continuation lines will become errors in a future release",
        "remove the empty line, or make it a comment",
    ),
    rule(
        "ConsistentInstructionCasing",
        "All commands within the Dockerfile should use the same casing (either upper or lower)",
        "write all instructions in the same case",
    ),
    rule(
        "DuplicateStageName",
        "Stage names should be unique",
        "rename one of the stages: only the last is found by its name",
    ),
    rule(
        "ReservedStageName",
        "Reserved stage names should not be used to name a stage",
        "choose another name than `context` and `scratch`",
    ),
    rule(
        "JSONArgsRecommended",
        "JSON arguments recommended for ENTRYPOINT/CMD to prevent unintended behavior related to \
         OS signals",
        "write [\"program\", \"argument\"], or say with SHELL that a shell is meant",
    ),
    rule(
        "MaintainerDeprecated",
        "The MAINTAINER instruction is deprecated, use a label instead to define an image author",
        "write LABEL org.opencontainers.image.authors=…",
    ),
    rule(
        "UndefinedArgInFrom",
        "FROM command must use declared ARGs",
        "declare it with ARG before the first FROM",
    ),
    rule(
        "WorkdirRelativePath",
        "Relative workdir without an absolute workdir declared within the build can have \
         unexpected results if the base image changes",
        "begin the path with /",
    ),
    rule(
        "UndefinedVar",
        "Variables should be defined before their use",
        "declare it with ARG or ENV in this stage, or say what to use without it: ${NAME:-}",
    ),
    rule(
        "MultipleInstructionsDisallowed",
        "Multiple instructions of the same type should not be used in the same stage",
        "remove this one: the last of the stage wins",
    ),
    rule(
        "LegacyKeyValueFormat",
        "Legacy key/value format with whitespace separator should not be used",
        "put a = between name and value",
    ),
    rule(
        "InvalidBaseImagePlatform",
        "Base image platform does not match expected target platform",
        "name an image that exists for the platform, or another platform",
    ),
    rule(
        "RedundantTargetPlatform",
        "Setting platform to predefined $TARGETPLATFORM in FROM is redundant as this is the \
         default behavior",
        "remove --platform",
    ),
    rule(
        "SecretsUsedInArgOrEnv",
        "Sensitive data should not be used in the ARG or ENV commands",
        "give it to the steps that need it with RUN --mount=type=secret",
    ),
    rule(
        "InvalidDefaultArgInFrom",
        "Default value for global ARG results in an empty or invalid base image name",
        "give the ARG a default with which the name of the image is one",
    ),
    rule(
        "FromPlatformFlagConstDisallowed",
        "FROM --platform flag should not use a constant value",
        "use $BUILDPLATFORM or an ARG, or put the platform into the stage's name",
    ),
    rule(
        "CopyIgnoredFile",
        "Attempting to Copy file that is excluded by .dockerignore",
        "add an exception (!path) to .dockerignore, or copy something else",
    ),
    Rule {
        experimental: true,
        ..rule(
            "InvalidDefinitionDescription",
            "Comment for build stage or argument should follow the format: `# <arg/stage name> \
             <description>`. If this is not intended to be a description comment, add an empty \
             line or comment between the instruction and the comment.",
            "begin the comment with the name, or put an empty line below it",
        )
    },
    rule(
        "ExposeProtoCasing",
        "Protocol in EXPOSE instruction should be lowercase",
        "write the protocol in lower case",
    ),
    rule(
        "ExposeInvalidFormat",
        "IP address and host-port mapping should not be used in EXPOSE instruction. This will \
         become an error in a future release",
        "write the container's port alone: who runs it maps it",
    ),
];

impl Rule {
    pub fn named(name: &str) -> Option<&'static Self> {
        RULES.iter().find(|rule| rule.name == name)
    }

    /// The page that explains it.
    pub fn url(&self) -> String {
        let mut slug = String::new();
        let mut chars = self.name.chars().peekable();
        let mut before_is_lower = false;
        while let Some(char) = chars.next() {
            let after_is_lower = chars.peek().is_some_and(char::is_ascii_lowercase);
            let begins_word = char.is_ascii_uppercase() && (before_is_lower || after_is_lower);
            if begins_word && !slug.is_empty() {
                slug.push('-');
            }
            slug.push(char.to_ascii_lowercase());
            before_is_lower = char.is_ascii_lowercase();
        }
        format!("https://docs.docker.com/go/dockerfile/rule/{slug}/")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_named_after_rules() {
        for (name, slug) in [
            ("StageNameCasing", "stage-name-casing"),
            ("JSONArgsRecommended", "json-args-recommended"),
            ("FromPlatformFlagConstDisallowed", "from-platform-flag-const-disallowed"),
        ] {
            let rule = Rule::named(name).expect("it is in the table");
            assert_eq!(rule.url(), format!("https://docs.docker.com/go/dockerfile/rule/{slug}/"));
        }
        assert_eq!(Rule::named("stagenamecasing"), None);
    }
}
