//! Package URLs (the purl specification): one name for a package wherever it is spoken of.

use crate::image::{Digest, Platform, Reference};
use crate::packages::{Distribution, Manager, Package};

/// Of an image, as the reference builder writes it: `pkg:docker/NAME@TAG?platform=…`.
pub(super) fn image(reference: &Reference, platform: Option<&Platform>) -> String {
    let mut plain = reference.familiar();
    if let Some((name, _)) = plain.split_once('@') {
        plain = name.to_owned();
    }
    let name = match reference.tag() {
        Some(tag) => plain.strip_suffix(&format!(":{tag}")).unwrap_or(&plain),
        None => &plain,
    };
    let digest = reference.digest().map(Digest::to_string);
    let platform = platform.map(Platform::to_string);
    url("docker", name, reference.tag(), &[("digest", digest), ("platform", platform)])
}

/// Of an image of a layout, by its name in the build.
pub(super) fn layout(name: &str, digest: &Digest, platform: Option<&Platform>) -> String {
    let platform = platform.map(Platform::to_string);
    url("oci", name, None, &[("digest", Some(digest.to_string())), ("platform", platform)])
}

/// Of a distribution's package.
pub(super) fn package(package: &Package, distribution: Option<&Distribution>) -> String {
    let (kind, usual) = match package.manager {
        Manager::Apk => ("apk", Some("alpine")),
        Manager::Dpkg => ("deb", Some("debian")),
        Manager::Rpm => ("rpm", None),
    };
    let name = match package.manager {
        Manager::Rpm => package.name.clone(),
        Manager::Apk | Manager::Dpkg => package.name.to_ascii_lowercase(),
    };
    let vendor = distribution.map(|distribution| match distribution.id.as_str() {
        "rhel" => "redhat",
        // All of them: opensuse-leap, opensuse-tumbleweed.
        id if id.starts_with("opensuse") => "opensuse",
        id => id,
    });
    let name = match vendor.or(usual) {
        Some(vendor) => format!("{vendor}/{name}"),
        None => name,
    };
    let distribution = distribution.map(|Distribution { id, version, .. }| match version {
        Some(version) => format!("{id}-{version}"),
        None => id.clone(),
    });
    let source = package.source.as_ref().map(|source| match (&source.version, package.manager) {
        (Some(version), Manager::Rpm) => format!("{}-{version}.src.rpm", source.name),
        (Some(version), _) => format!("{}@{version}", source.name),
        (None, _) => source.name.clone(),
    });
    let qualifiers = [
        ("arch", package.architecture.clone()),
        ("distro", distribution),
        ("epoch", package.epoch.map(|epoch| epoch.to_string())),
        ("upstream", source.filter(|source| *source != package.name)),
    ];
    url(kind, &name, Some(&package.version), &qualifiers)
}

/// Qualifiers come in the order of their names.
fn url(
    kind: &str,
    name: &str,
    version: Option<&str>,
    qualifiers: &[(&str, Option<String>)],
) -> String {
    let name: Vec<String> = name.split('/').map(escaped).collect();
    let mut url = format!("pkg:{kind}/{}", name.join("/"));
    if let Some(version) = version {
        url = format!("{url}@{}", escaped(version));
    }
    let given = qualifiers.iter().filter_map(|(name, value)| Some((name, value.as_ref()?)));
    for (at, (name, value)) in given.enumerate() {
        let mark = if at == 0 { '?' } else { '&' };
        url = format!("{url}{mark}{name}={}", escaped(value));
    }
    url
}

/// Percent-encoded, except what the specification lets stand.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'.' | b'-' | b'_' | b'~' | b':' => {
                escaped.push(char::from(byte));
            }
            _ => escaped.push_str(&format!("%{byte:02X}")),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::packages::Source;

    #[test]
    fn images_have_urls() {
        let digest = format!("sha256:{}", "a".repeat(64));
        let platform = Platform::new("linux", "arm", Some("v7"));
        for (name, platform, expected) in [
            ("alpine", None, "pkg:docker/alpine@latest".to_owned()),
            ("library/alpine:3.15", None, "pkg:docker/alpine@3.15".to_owned()),
            ("user/test:v2", None, "pkg:docker/user/test@v2".to_owned()),
            ("ghcr.io/foo/bar:v2", None, "pkg:docker/ghcr.io/foo/bar@v2".to_owned()),
            ("localhost:5000/x:1", None, "pkg:docker/localhost:5000/x@1".to_owned()),
            (
                "debian:bookworm",
                Some(&platform),
                "pkg:docker/debian@bookworm?platform=linux%2Farm%2Fv7".to_owned(),
            ),
            (
                &format!("alpine:3@{digest}"),
                Some(&platform),
                format!("pkg:docker/alpine@3?digest={digest}&platform=linux%2Farm%2Fv7"),
            ),
            (&format!("alpine@{digest}"), None, format!("pkg:docker/alpine?digest={digest}")),
        ] {
            let reference: Reference = name.parse().expect(name);
            assert_eq!(image(&reference, platform), expected, "{name}");
        }
    }

    #[test]
    fn packages_have_urls() {
        let distribution = |id: &str, version: Option<&str>| Distribution {
            id: id.to_owned(),
            version: version.map(str::to_owned),
            name: None,
        };
        let made = |manager, name: &str, version: &str, epoch, arch: &str, source| Package {
            manager,
            name: name.to_owned(),
            version: version.to_owned(),
            epoch,
            architecture: Some(arch.to_owned()),
            license: None,
            packager: None,
            vendor: None,
            homepage: None,
            summary: None,
            source,
            database: PathBuf::new(),
        };
        let source = |name: &str, version: Option<&str>| {
            Some(Source { name: name.to_owned(), version: version.map(str::to_owned) })
        };
        let debian = distribution("debian", Some("12"));
        let fedora = distribution("fedora", Some("40"));
        for (found, distribution, expected) in [
            (
                made(
                    Manager::Dpkg,
                    "bash",
                    "5.2.15-2+b7",
                    None,
                    "amd64",
                    source("bash", Some("5.2.15-2")),
                ),
                Some(&debian),
                "pkg:deb/debian/bash@5.2.15-2%2Bb7?arch=amd64&distro=debian-12&upstream=bash%405.2.15-2",
            ),
            (
                made(Manager::Dpkg, "attr", "1:2.4.47~2", None, "all", None),
                None,
                "pkg:deb/debian/attr@1:2.4.47~2?arch=all",
            ),
            (
                made(Manager::Apk, "musl-utils", "1.2.4-r2", None, "x86_64", source("musl", None)),
                Some(&distribution("alpine", Some("3.18.4"))),
                "pkg:apk/alpine/musl-utils@1.2.4-r2?arch=x86_64&distro=alpine-3.18.4&upstream=musl",
            ),
            (
                made(Manager::Apk, "musl", "1.2.4-r2", None, "x86_64", source("musl", None)),
                Some(&distribution("wolfi", None)),
                "pkg:apk/wolfi/musl@1.2.4-r2?arch=x86_64&distro=wolfi",
            ),
            (
                made(
                    Manager::Rpm,
                    "NetworkManager",
                    "1.46.0-2.fc40",
                    Some(1),
                    "x86_64",
                    source("NetworkManager", Some("1.46.0-2.fc40")),
                ),
                Some(&fedora),
                "pkg:rpm/fedora/NetworkManager@1.46.0-2.fc40?arch=x86_64&distro=fedora-40&epoch=1&upstream=NetworkManager-1.46.0-2.fc40.src.rpm",
            ),
            (
                made(Manager::Rpm, "bash", "5.1.8-9.el9", None, "x86_64", None),
                Some(&distribution("rhel", Some("9.3"))),
                "pkg:rpm/redhat/bash@5.1.8-9.el9?arch=x86_64&distro=rhel-9.3",
            ),
        ] {
            assert_eq!(package(&found, distribution), expected);
        }
    }
}
