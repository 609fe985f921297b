//! [`named_images`]: which images a Dockerfile needs of others.

use super::error::Error;
use super::plan::{Origin, Plan, Wishes};
use super::scope::Given;
use crate::dockerfile::{self, Diagnostic};
use crate::image::{Aliases, Platform, Reference};

/// The images that a Dockerfile names, each with the platform that it is needed for: what stages stand
/// on, and what COPY and RUN's mounts take files from; of all stages, whatever the target, in the order
/// of the file and each once. `platform` is what the build would be for.
///
/// # Errors
///
/// When the file is wrong, or a name is none once its variables have their values.
pub fn named_images(
    text: &str,
    arguments: &[(String, String)],
    platform: &Platform,
    aliases: Aliases,
) -> Result<Vec<(Reference, Platform)>, Error> {
    let (file, diagnostics) = dockerfile::parse(text);
    if diagnostics.iter().any(Diagnostic::is_error) {
        return Err(Error::Dockerfile(diagnostics));
    }
    let given = Given::new(arguments, &Platform::host(), platform, None);
    let wishes = Wishes { given: &given, target: None, platform, contexts: Vec::new(), aliases };
    let plan = Plan::new(file, wishes)?;
    let mut images: Vec<(Reference, Platform)> = Vec::new();
    for (number, stage) in plan.stages.iter().enumerate() {
        let mut origins = vec![stage.base.clone()];
        for step in &stage.steps {
            let more = plan.origins(number, &step.value);
            origins.extend(more.map_err(|fault| Error::at(step.span, fault))?);
        }
        for origin in origins {
            let Origin::Image(name) = origin else { continue };
            let image = (name, stage.platform.clone());
            if !images.contains(&image) {
                images.push(image);
            }
        }
    }
    Ok(images)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_images_are_found_with_their_platforms() {
        let text = "ARG TAG=12\nFROM debian:${TAG} AS a\nFROM --platform=linux/arm64 tools AS b\n\
                    COPY --from=a /x /x\nCOPY --from=h.example/data:1 /y /y\nFROM a\n\
                    RUN --mount=type=bind,from=other,target=/o --mount=from=b,target=/b true\n\
                    FROM scratch\nCOPY --from=2 / /\nFROM debian:${TAG}\n";
        let platform = Platform::new("linux", "amd64", None);
        let found = |text: &str, arguments: &[(String, String)]| -> Result<Vec<String>, String> {
            let images = named_images(text, arguments, &platform, Aliases::default());
            let images = images.map_err(|error| error.to_string())?;
            let shown = |(name, platform): &(Reference, Platform)| {
                format!("{} {platform}", name.familiar())
            };
            Ok(images.iter().map(shown).collect())
        };
        let expected = |tag: &str| {
            [
                &format!("debian:{tag} linux/amd64"),
                "tools:latest linux/arm64",
                "h.example/data:1 linux/arm64",
                "other:latest linux/amd64",
            ]
            .map(str::to_owned)
            .to_vec()
        };
        assert_eq!(found(text, &[]), Ok(expected("12")));
        let tag = [("TAG".to_owned(), "13".to_owned())];
        assert_eq!(found(text, &tag), Ok(expected("13")));
        assert_eq!(found("FROM scratch\n", &[]), Ok(Vec::new()));
        for text in ["", "FORM x\n", "FROM $NONE\n"] {
            found(text, &[]).expect_err(text);
        }
    }
}
