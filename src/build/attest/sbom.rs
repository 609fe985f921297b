//! What is in an image: an SPDX 2.3 document (spdx.github.io/spdx-spec/v2.3) of the packages that
//! its databases know.
//!
//! It depends on the image alone: its times are the image's, and its name comes from its digest.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::purl;
use crate::image::{Digest, Timestamp};
use crate::packages::license::expression;
use crate::packages::{Distribution, Installed, Package, Unread};

/// The type of the predicate.
pub(super) const TYPE: &str = "https://spdx.dev/Document";

/// Nobody says.
const UNKNOWN: &str = "NOASSERTION";

const DOCUMENT: &str = "SPDXRef-DOCUMENT";
const IMAGE: &str = "SPDXRef-Image";
const SYSTEM: &str = "SPDXRef-OperatingSystem";

/// What the document is about.
#[derive(Debug)]
pub(super) struct Facts<'a> {
    /// Of the image, or of the stage or the context that was looked at beside it.
    pub(super) title: &'a str,
    /// Of the image's manifest.
    pub(super) digest: &'a Digest,
    /// The image's package URL, if it has a name.
    pub(super) url: Option<String>,
    pub(super) created: Timestamp,
}

/// Makes the document.
pub(super) fn document(facts: &Facts<'_>, installed: &Installed) -> Value {
    let mut licenses = BTreeMap::new();
    let mut packages = vec![image(facts, installed)];
    let mut relationships = vec![relation(DOCUMENT, "DESCRIBES", IMAGE)];
    if let Some(distribution) = &installed.distribution {
        packages.push(system(distribution));
        relationships.push(relation(IMAGE, "CONTAINS", SYSTEM));
    }
    for found in &installed.packages {
        let url = purl::package(found, installed.distribution.as_ref());
        let id = identifier(found, &url);
        relationships.push(relation(IMAGE, "CONTAINS", &id));
        packages.push(package(found, &id, &url, &mut licenses));
    }
    // There is more, and nobody knows what.
    if !installed.unread.is_empty() {
        relationships.push(relation(IMAGE, "CONTAINS", UNKNOWN));
    }
    // No fractions of seconds (SPDX 2.3, 6.9).
    let created = Timestamp::from_seconds(facts.created.seconds());
    let mut document = json!({
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": DOCUMENT,
        "name": facts.title,
        "documentNamespace": namespace(facts),
        "creationInfo": {
            "created": created.to_string(),
            "creators": [format!("Tool: bryo-{}", env!("CARGO_PKG_VERSION"))],
        },
        "packages": packages,
        "relationships": relationships,
    });
    if !licenses.is_empty() {
        let one = |(id, text)| json!({ "licenseId": id, "extractedText": text });
        document["hasExtractedLicensingInfos"] = licenses.into_iter().map(one).collect();
    }
    document
}

/// A URI that no other document has, and this one has always: a UUID (RFC 9562, version 8) out of
/// the image's digest.
fn namespace(Facts { title, digest, .. }: &Facts<'_>) -> String {
    let hash = Digest::of(format!("spdx {title} {digest}").as_bytes());
    let hex = hash.hex();
    let (a, b, c) = (&hex[..8], &hex[8..12], &hex[13..16]);
    format!("urn:uuid:{a}-{b}-8{c}-a{}-{}", &hex[17..20], &hex[20..32])
}

fn relation(element: &str, kind: &str, other: &str) -> Value {
    json!({ "spdxElementId": element, "relationshipType": kind, "relatedSpdxElement": other })
}

/// What everything has that is called a package.
fn described(id: &str, name: &str) -> Value {
    json!({
        "SPDXID": id,
        "name": name,
        "downloadLocation": UNKNOWN,
        "filesAnalyzed": false,
        "licenseConcluded": UNKNOWN,
        "licenseDeclared": UNKNOWN,
        "copyrightText": UNKNOWN,
    })
}

fn image(facts: &Facts<'_>, installed: &Installed) -> Value {
    let mut value = described(IMAGE, facts.title);
    value["versionInfo"] = json!(facts.digest);
    value["primaryPackagePurpose"] = json!("CONTAINER");
    if let Some(url) = &facts.url {
        value["externalRefs"] = json!([external(url)]);
    }
    let told = installed.unread.iter().map(Unread::to_string);
    let told: Vec<String> =
        told.map(|text| format!("{text}; its packages are missing here.")).collect();
    if !told.is_empty() {
        value["comment"] = json!(told.join(" "));
    }
    value
}

fn system(distribution: &Distribution) -> Value {
    let Distribution { id, version, name } = distribution;
    let mut value = described(SYSTEM, id);
    value["primaryPackagePurpose"] = json!("OPERATING-SYSTEM");
    if let Some(version) = version {
        value["versionInfo"] = json!(version);
    }
    if let Some(name) = name {
        value["summary"] = json!(name);
    }
    value
}

fn package(found: &Package, id: &str, url: &str, licenses: &mut BTreeMap<String, String>) -> Value {
    let mut value = described(id, &found.name);
    value["versionInfo"] = json!(match found.epoch {
        Some(epoch) => format!("{epoch}:{}", found.version),
        None => found.version.clone(),
    });
    let packager = found.packager.as_deref().map(somebody);
    let vendor = found.vendor.as_deref().map(|vendor| format!("Organization: {}", plain(vendor)));
    if let Some(supplier) = vendor.or_else(|| packager.clone()) {
        value["supplier"] = json!(supplier);
    }
    if let Some(packager) = packager {
        value["originator"] = json!(packager);
    }
    if let Some(license) = found.license.as_deref().and_then(|text| expression(text, licenses)) {
        value["licenseDeclared"] = json!(license);
    }
    if let Some(homepage) = found.homepage.as_deref().filter(|url| is_url(url)) {
        value["homepage"] = json!(homepage);
    }
    if let Some(summary) = &found.summary {
        value["summary"] = json!(summary);
    }
    let database = found.database.display();
    value["sourceInfo"] = json!(format!("installed, says {} in /{database}", found.manager.name()));
    value["externalRefs"] = json!([external(url)]);
    value
}

fn external(url: &str) -> Value {
    json!({
        "referenceCategory": "PACKAGE-MANAGER",
        "referenceType": "purl",
        "referenceLocator": url,
    })
}

/// Letters, digits, points and hyphens; the same package always has the same one.
fn identifier(found: &Package, url: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || c == '.' { c } else { '-' };
    let name: String = found.name.chars().map(plain).collect();
    let manager = found.manager.name();
    format!("SPDXRef-Package-{manager}-{name}-{}", Digest::of(url.as_bytes()).short())
}

/// `Name <address>` as SPDX has it (2.3, 7.5).
fn somebody(text: &str) -> String {
    let (name, address) = match text.split_once('<') {
        Some((name, rest)) => (name.trim(), rest.trim().trim_end_matches('>')),
        None => (text, ""),
    };
    let name = plain(name);
    let many = ["team", "maintainers", "developers", "project", "group", "packagers", "list"];
    let lower = name.to_lowercase();
    let kind = match lower.split(|c: char| !c.is_alphanumeric()).any(|word| many.contains(&word)) {
        true => "Organization",
        false => "Person",
    };
    match (name.is_empty(), address.contains('@')) {
        (true, _) => format!("{kind}: {}", plain(address)),
        (false, true) => format!("{kind}: {name} ({})", plain(address)),
        (false, false) => format!("{kind}: {name}"),
    }
}

/// Without the parentheses that an address stands in.
fn plain(text: &str) -> String {
    text.trim().chars().filter(|c| !matches!(c, '(' | ')') && !c.is_control()).collect()
}

/// SPDX wants a URI; some packages have a word there, or several.
fn is_url(text: &str) -> bool {
    let known = ["http://", "https://", "ftp://"].iter().any(|scheme| text.starts_with(scheme));
    known && text.bytes().all(|byte| byte.is_ascii_graphic() && !b"\"<>\\^`{|}".contains(&byte))
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::packages::{Error, Manager};

    fn facts(digest: &Digest) -> Facts<'_> {
        let created = "2024-05-01T10:00:00.5Z".parse().expect("a time");
        let url = Some("pkg:docker/app@1".to_owned());
        Facts { title: "app:1", digest, url, created }
    }

    fn bash() -> Package {
        Package {
            manager: Manager::Dpkg,
            name: "bash".into(),
            version: "5.2.15-2+b7".into(),
            epoch: None,
            architecture: Some("amd64".into()),
            license: Some("GPLv3+ and MIT".into()),
            packager: Some("Matthias Klose <doko@debian.org>".into()),
            vendor: None,
            homepage: Some("http://tiswww.case.edu/php/chet/bash/bashtop.html".into()),
            summary: Some("GNU Bourne Again SHell".into()),
            source: None,
            database: "var/lib/dpkg/status".into(),
        }
    }

    #[test]
    fn a_document_says_what_is_there() {
        let digest = Digest::of(b"image");
        let installed = Installed {
            distribution: Some(Distribution {
                id: "debian".into(),
                version: Some("12".into()),
                name: None,
            }),
            packages: vec![bash()],
            unread: vec![Unread {
                path: PathBuf::from("var/lib/rpm/Packages"),
                error: Error::Damaged("torn"),
            }],
        };
        let document = document(&facts(&digest), &installed);
        assert_eq!(document["creationInfo"]["created"], "2024-05-01T10:00:00Z");
        let found = &document["packages"][2];
        for (field, expected) in [
            ("name", "bash"),
            ("versionInfo", "5.2.15-2+b7"),
            ("supplier", "Person: Matthias Klose (doko@debian.org)"),
            ("licenseDeclared", "LicenseRef-GPLv3-or-later AND MIT"),
            ("sourceInfo", "installed, says dpkg in /var/lib/dpkg/status"),
        ] {
            assert_eq!(found[field], expected, "{field}");
        }
        assert_eq!(
            found["externalRefs"][0]["referenceLocator"],
            "pkg:deb/debian/bash@5.2.15-2%2Bb7?arch=amd64&distro=debian-12"
        );
        assert_eq!(document["hasExtractedLicensingInfos"][0]["extractedText"], "GPLv3+");
        let told = document["packages"][0]["comment"].as_str().expect("a comment");
        assert!(told.contains("/var/lib/rpm/Packages"), "{told}");
        let related: Vec<_> = document["relationships"]
            .as_array()
            .expect("a list")
            .iter()
            .map(|one| one["relatedSpdxElement"].as_str().expect("a text"))
            .collect();
        let id = found["SPDXID"].as_str().expect("a text");
        assert_eq!(related, [IMAGE, SYSTEM, id, UNKNOWN]);
    }

    #[test]
    fn a_document_is_always_the_same() {
        let digest = Digest::of(b"image");
        let installed = || Installed { distribution: None, packages: vec![bash()], unread: vec![] };
        let one = document(&facts(&digest), &installed());
        assert_eq!(one, document(&facts(&digest), &installed()));
        let other = document(&facts(&Digest::of(b"other")), &installed());
        assert_ne!(one["documentNamespace"], other["documentNamespace"]);
        let uuid = one["documentNamespace"].as_str().expect("a text");
        assert_eq!(uuid.len(), "urn:uuid:".len() + 36, "{uuid}");
    }

    #[test]
    fn people_and_others() {
        for (text, expected) in [
            ("Jane Doe <jane@example.org>", "Person: Jane Doe (jane@example.org)"),
            (
                "Debian Bash Maintainers <b@p.debian.org>",
                "Organization: Debian Bash Maintainers (b@p.debian.org)",
            ),
            ("Jane (J.) Doe", "Person: Jane J. Doe"),
            ("<jane@example.org>", "Person: jane@example.org"),
            ("Fedora Project", "Organization: Fedora Project"),
        ] {
            assert_eq!(somebody(text), expected);
        }
        assert!(is_url("https://h/x?a=b#c"));
        for bad in ["h/x", "https://h/a b", "none", "https://h/\u{e9}"] {
            assert!(!is_url(bad), "{bad}");
        }
    }
}
