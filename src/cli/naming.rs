//! What an image is called that is built without `--tag`: by ch-image's rules.

use std::fs;
use std::path::Path;

use crate::dockerfile;
use crate::image::Reference;

/// The name that a Dockerfile and its context give an image; None where neither is a file here.
///
/// `Dockerfile.EXT` means EXT, `NAME.dockerfile` and `NAME.df` mean NAME, any other file the
/// directory of the context, and `/` is `root`. Letters become lower case, and what no name may
/// contain is left out.
pub(super) fn inferred(file: Option<&Path>, context: &Path) -> Option<Reference> {
    let file = file.and_then(|file| file.file_name()).map(|name| name.to_string_lossy());
    let of_file = file.as_deref().and_then(of_file);
    let of_context = || {
        let folder = fs::canonicalize(context).ok().filter(|folder| folder.is_dir())?;
        let name = folder.file_name().map_or("root".into(), |name| name.to_string_lossy());
        Some(name.into_owned())
    };
    let name = of_file.map(str::to_owned).or_else(of_context)?;
    clean(&name).parse().ok()
}

fn of_file(name: &str) -> Option<&str> {
    ["Dockerfile.", "Containerfile."]
        .iter()
        .find_map(|start| name.strip_prefix(start))
        .or_else(|| [".dockerfile", ".df"].iter().find_map(|end| name.strip_suffix(end)))
        .filter(|name| !clean(name).is_empty())
}

/// What a repository's name may consist of, with nothing but letters and digits at its ends.
fn clean(name: &str) -> String {
    let name = name.to_lowercase();
    let kept = |c: &char| c.is_ascii_lowercase() || c.is_ascii_digit() || "_.-".contains(*c);
    let name: String = name.chars().filter(kept).collect();
    name.trim_matches(|c: char| !c.is_ascii_alphanumeric()).to_owned()
}

/// Whether a `FROM` names the image `name`: one that is called so by accident would take the place
/// of what it stands on.
pub(super) fn is_a_base(name: &Reference, text: &str) -> bool {
    let (file, _) = dockerfile::parse(text);
    file.stages
        .iter()
        .any(|stage| stage.from.value.image.raw().parse().is_ok_and(|base| *name == base))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_and_directories_give_names() {
        let folder = tempfile::tempdir().expect("a directory");
        let context = |name: &str| {
            let path = folder.path().join(name);
            fs::create_dir_all(&path).expect("a directory");
            path
        };
        for (file, folder, expected) in [
            (Some("Dockerfile.@FOO.bar"), "ctx", Some("foo.bar")),
            (Some("x/Dockerfile.dev"), "ctx", Some("dev")),
            (Some("Containerfile.dev"), "ctx", Some("dev")),
            (Some("baz.@QUX.dockerfile"), "ctx", Some("baz.qux")),
            (Some("baz.df"), "ctx", Some("baz")),
            (Some(".df"), "ctx", Some("ctx")),
            (Some("Dockerfile.@"), "ctx", Some("ctx")),
            (Some("Dockerfile"), "My App_1", Some("myapp_1")),
            (None, "ctx", Some("ctx")),
            (None, "-x-", Some("x")),
            (None, "a..b", None), // no name of a repository
            (Some("-"), "ctx", Some("ctx")),
        ] {
            let found = inferred(file.map(Path::new), &context(folder));
            let found = found.map(|name| name.familiar());
            assert_eq!(
                found.as_deref().map(|name| name.trim_end_matches(":latest")),
                expected,
                "{file:?} {folder}"
            );
        }
        assert_eq!(
            inferred(None, Path::new("/")).map(|name| name.familiar()),
            "root".parse().ok().map(|name: Reference| name.familiar())
        );
        assert_eq!(inferred(None, Path::new("-")), None);
        assert_eq!(inferred(None, Path::new("https://example/x.git")), None);
    }

    #[test]
    fn bases_are_known_by_any_spelling() {
        let name = |text: &str| text.parse::<Reference>().expect("a name");
        let text = "ARG V=1\nFROM docker.io/library/debian:latest AS a\nFROM a\nFROM $V\n";
        assert!(is_a_base(&name("debian"), text));
        assert!(!is_a_base(&name("debian:12"), text));
    }
}
