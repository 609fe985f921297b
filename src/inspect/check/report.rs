//! [`Report`]: what a check found; and the list of all that is looked for.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// A tool may refuse the image, or read something else in it than others do.
    Error,
    /// Some tools do not take it, or it is most likely not meant.
    Warning,
    /// Worth to be known.
    Info,
}

impl Severity {
    pub fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Info => "info",
        }
    }
}

/// Something that is looked for.
#[derive(Debug)]
pub struct Check {
    pub id: &'static str,
    pub severity: Severity,
    /// What it means when it is found.
    pub meaning: &'static str,
}

const fn row(id: &'static str, severity: Severity, meaning: &'static str) -> Check {
    Check { id, severity, meaning }
}

use Severity::{Error, Info, Warning};

/// All that is looked for. Rules without a source of their own are image-spec's.
pub const CHECKS: &[Check] = &[
    row("manifest", Error, "a manifest or an index cannot be understood"),
    row("manifest-digest", Error, "a manifest is not what its digest says"),
    row("manifest-size", Error, "a manifest has another size than its descriptor says"),
    row(
        "manifest-media-type",
        Error,
        "a manifest says of itself that it is something else than what points to it says",
    ),
    row("schema-version", Error, "the manifest's schemaVersion is not 2"),
    row("metadata", Warning, "there is nothing in it to check"),
    row("config-descriptor", Error, "the manifest names no configuration"),
    row("config-digest", Error, "the configuration is not what its digest says"),
    row("config-size", Error, "the configuration has another size than its descriptor says"),
    row("config-json", Error, "the configuration cannot be understood"),
    row("config-platform", Error, "the configuration lacks os or architecture"),
    row("rootfs-type", Error, "rootfs.type is not \"layers\""),
    row("layer-count", Error, "there are more or fewer diff IDs than layers"),
    row("history-count", Error, "the history tells of more or fewer layers than there are"),
    row("platform", Error, "an index says another platform of an image than its configuration"),
    row("base", Error, "the image does not stand on what it should"),
    row("descriptor-data", Error, "the data in a descriptor is not the content that it describes"),
    row("missing-blob", Error, "a blob is not there"),
    row("layer-size", Error, "a layer has another size than its descriptor says"),
    row("layer-digest", Error, "a layer, or a part of an artifact, is not what its digest says"),
    row(
        "layer-compression",
        Error,
        "a layer is compressed in another way than its media type says",
    ),
    row("layer-seekable", Error, "a layer cannot be read to its end: it is cut off or damaged"),
    row("layer-bomb", Error, "a layer unpacks to far more than data of its size does"),
    row("diff-id", Error, "a layer unpacks to something else than its diff ID says"),
    row("tar-format", Error, "a layer is no archive, or a malformed one"),
    row("path-escape", Error, "an entry's name leads out of the image"),
    row("path-length", Error, "an entry's name is longer than Linux allows"),
    row("duplicate-path", Error, "an entry stands in one layer more than once"),
    row("hard-link", Error, "a hard link leads nowhere"),
    row(
        "path-in-file",
        Error,
        "an entry lies in what is no directory, or behind links that lead round in circles",
    ),
    row("whiteout", Error, "a deletion deletes no name"),
    row(
        "zstd-compat",
        Warning,
        "zstd: Docker before 20.10 and containerd before 1.5 do not read it",
    ),
    row("layer-media-type", Warning, "a layer is of a media type that nobody knows"),
    row(
        "foreign-layer",
        Warning,
        "a layer is to be fetched from elsewhere; registries need not have it",
    ),
    row("large-layer", Warning, "a layer has more than 1 GiB"),
    row("args-escaped", Info, "ArgsEscaped is set, which Windows alone understands"),
    row("absolute-path", Warning, "an entry's name begins with a slash"),
    row(
        "path-through-link",
        Warning,
        "an entry lies behind a symbolic link: tools differ in where they put it",
    ),
    row("whiteout-size", Warning, "a deletion has content"),
    row("tar-timestamp", Warning, "a time is before 1970 or after 2106"),
    row("tar-permissions", Warning, "a program with setuid or setgid can be written by everybody"),
    row(
        "world-writable",
        Warning,
        "a file or a directory without the sticky bit can be written by everybody",
    ),
    row("secret", Warning, "a file looks like a secret"),
    row("too-many-entries", Warning, "there are more entries than are looked at"),
    row("oci-media-type", Info, "the media types are OCI's"),
    row("docker-media-type", Info, "the media types are Docker's"),
    row("duplicate-file", Info, "a file is in several layers"),
    row("whiteout-target", Info, "a deletion of what is not there"),
    row("setuid", Info, "a program with setuid or setgid"),
    row("capability", Info, "a program with capabilities of its own"),
    row("device", Info, "a device"),
    row("store-blob", Error, "a blob of the storage directory is not what its name says"),
    row(
        "store-reference",
        Error,
        "a name of the storage directory stands for something that is not whole",
    ),
    row(
        "store-unused",
        Info,
        "a blob that neither a name nor the cache needs; `bryo prune` removes it",
    ),
];

/// Something that was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    pub severity: Severity,
    /// A row of [`CHECKS`].
    pub check: &'static str,
    pub message: String,
}

/// So many findings of one kind are told of each layer; the rest is counted.
fn most(severity: Severity) -> usize {
    match severity {
        Error | Warning => MOST,
        Info => 3,
    }
}

const MOST: usize = 10;

/// What was found in one layer. There may be millions, of which nobody wants to read more than a
/// few.
#[derive(Debug, Default)]
pub(super) struct Findings {
    told: Vec<(&'static str, String)>,
    counts: BTreeMap<&'static str, usize>,
}

impl Findings {
    pub(super) fn add(&mut self, id: &'static str, message: fmt::Arguments<'_>) {
        let count = self.counts.entry(id).or_default();
        *count += 1;
        if *count <= MOST {
            self.told.push((id, message.to_string()));
        }
    }
}

/// What was found, in the order in which it was.
#[derive(Debug, Default)]
pub struct Report {
    pub results: Vec<Finding>,
    /// Images that were looked at.
    pub images: usize,
    /// What messages begin with: of which image of an index they are.
    pub(super) prefix: String,
    counts: BTreeMap<&'static str, usize>,
}

impl Report {
    /// Adds a finding.
    pub(super) fn add(&mut self, id: &'static str, message: impl Into<String>) {
        let check = CHECKS.iter().find(|check| check.id == id);
        let severity = check.map_or(Error, |check| check.severity);
        let count = self.counts.entry(id).or_default();
        *count += 1;
        if *count <= most(severity) {
            let message = format!("{}{}", self.prefix, message.into());
            self.results.push(Finding { severity, check: id, message });
        }
    }

    pub(super) fn extend(&mut self, findings: Findings) {
        let Findings { told, counts } = findings;
        for (id, message) in told {
            self.add(id, message);
        }
        for (id, count) in counts {
            *self.counts.entry(id).or_default() += count.saturating_sub(MOST);
        }
    }

    /// Tells how much more there was of each kind, and begins to count anew.
    pub(super) fn close(&mut self) {
        for (id, count) in std::mem::take(&mut self.counts) {
            let Some(check) = CHECKS.iter().find(|check| check.id == id) else { continue };
            let more = count.saturating_sub(most(check.severity));
            if more > 0 {
                let message = format!("{}and {more} more of these", self.prefix);
                self.results.push(Finding { severity: check.severity, check: id, message });
            }
        }
    }

    pub fn count(&self, severity: Severity) -> usize {
        self.results.iter().filter(|finding| finding.severity == severity).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_much_is_counted() {
        let mut report = Report { prefix: "p: ".to_owned(), ..Report::default() };
        for n in 0..13 {
            report.add("diff-id", n.to_string());
        }
        report.close();
        report.add("diff-id", "x");
        report.close();
        assert_eq!(report.count(Error), 12);
        assert_eq!(report.results[10].message, "p: and 3 more of these");
        assert_eq!(report.results[11].message, "p: x");
    }

    #[test]
    fn each_check_has_one_row() {
        for (at, check) in CHECKS.iter().enumerate() {
            assert!(CHECKS[at + 1..].iter().all(|other| other.id != check.id), "{}", check.id);
        }
    }
}
