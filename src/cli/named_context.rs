//! What `--build-context` says that a name means.

use std::path::Path;

use super::args;
use crate::build::{Arrival, NamedContext};

/// `NAME=SOURCE`
pub(crate) fn parse(text: &str) -> Result<(String, NamedContext), String> {
    let (name, source) = args::full_pair(text)?;
    let reference =
        |text: &str| text.parse().map_err(|error: crate::image::Error| error.to_string());
    let source = if let Some(programs) = source.strip_prefix("host:") {
        NamedContext::Host(programs.split(',').map(str::to_owned).collect())
    } else if let Some(image) = source.strip_prefix("docker-image://") {
        NamedContext::Image(reference(image)?)
    } else if let Some(layout) = source.strip_prefix("oci-layout://") {
        let digest = layout.rsplit_once('@').filter(|(_, digest)| digest.contains(':'));
        let tag = layout.rsplit_once(':').filter(|(_, tag)| !tag.contains('/'));
        let (directory, tag) = match (digest, tag) {
            (Some((before, digest)), _) => {
                // Of a tag and a digest the digest counts.
                let tag = before.rsplit_once(':').filter(|(_, tag)| !tag.contains('/'));
                (tag.map_or(before, |(directory, _)| directory), Some(digest.to_owned()))
            }
            (None, Some((directory, tag))) => (directory, Some(tag.to_owned())),
            (None, None) => (layout, None),
        };
        NamedContext::Layout { directory: directory.into(), tag }
    } else if let Some(target) = source.strip_prefix("target:") {
        return Err(format!(
            "target:{target} names a target of a bake file, and there is none here: to build on \
             another Dockerfile's image, build that one first and say docker-image://NAME"
        ));
    } else if Arrival::is_elsewhere(&source) && !Path::new(&source).exists() {
        NamedContext::Remote(source)
    } else if let Some((scheme, _)) = source.split_once("://") {
        return Err(format!(
            "{scheme}:// is not known: a directory, a URL of http or https, a git repository, \
             docker-image://, oci-layout:// and host: are"
        ));
    } else {
        NamedContext::Directory(source.into())
    };
    Ok((name, source))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contexts_are_told_apart() {
        let layout = |directory: &str, tag: Option<&str>| NamedContext::Layout {
            directory: directory.into(),
            tag: tag.map(str::to_owned),
        };
        for (text, expected) in [
            ("a=dir", Some(NamedContext::Directory("dir".into()))),
            ("a=host:sh,/bin/ls", Some(NamedContext::Host(vec!["sh".into(), "/bin/ls".into()]))),
            ("a=oci-layout:///x/y:t", Some(layout("/x/y", Some("t")))),
            ("a=oci-layout://x", Some(layout("x", None))),
            (
                "a=docker-image://debian",
                Some(NamedContext::Image("debian".parse().expect("valid"))),
            ),
            ("a=docker-image://A", None),
            ("a=oci-layout:///x@sha256:00", Some(layout("/x", Some("sha256:00")))),
            ("a=oci-layout://x:t@sha256:00", Some(layout("x", Some("sha256:00")))),
            ("a=oci-layout://x@y/z", Some(layout("x@y/z", None))),
            (
                "a=https://example/x.git#v1:d",
                Some(NamedContext::Remote("https://example/x.git#v1:d".into())),
            ),
            ("a=http://example/x", Some(NamedContext::Remote("http://example/x".into()))),
            ("a=git@example:x", Some(NamedContext::Remote("git@example:x".into()))),
            ("a=ftp://example/x", None),
            ("a=target:x", None),
            ("a", None),
            ("=x", None),
        ] {
            let expected = expected.map(|context| ("a".to_owned(), context));
            assert_eq!(parse(text).ok(), expected, "{text}");
        }
    }
}
