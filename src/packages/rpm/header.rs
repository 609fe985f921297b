//! A package's header as the database keeps it (rpm's `docs/manual/format_header.md`): how many
//! entries and how many bytes of data there are, the entries (tag, type, offset, count), the data.
//! All numbers have their big end first.

use std::path::Path;

use super::blocks::Order;
use crate::packages::{Error, Manager, Package, Result, Source, said};

/// Tags, of the hundreds that there are.
mod tag {
    pub(super) const NAME: u32 = 1000;
    pub(super) const VERSION: u32 = 1001;
    pub(super) const RELEASE: u32 = 1002;
    pub(super) const EPOCH: u32 = 1003;
    pub(super) const SUMMARY: u32 = 1004;
    pub(super) const VENDOR: u32 = 1011;
    pub(super) const LICENSE: u32 = 1014;
    pub(super) const PACKAGER: u32 = 1015;
    pub(super) const URL: u32 = 1020;
    pub(super) const ARCH: u32 = 1022;
    pub(super) const SOURCERPM: u32 = 1044;
}

/// Types of entries that we read: a number of 32 bits, a text, several texts of which the first is
/// ours (text in several languages begins with the one for all others).
const NUMBER: u32 = 4;
const TEXTS: [u32; 3] = [6, 8, 9];

/// In bytes.
const ENTRY: usize = 16;

/// What the header says; None for what is no package (keys of signers stand among them).
pub(super) fn package(header: &[u8], path: &Path) -> Result<Option<Package>> {
    let number = |at| Order::Big.u32(header, at);
    let count = number(0)? as usize;
    let length = number(4)? as usize;
    let wrong = || Error::Damaged("the header of a package is wrong");
    let start = count.checked_mul(ENTRY).and_then(|size| size.checked_add(8)).ok_or_else(wrong)?;
    let end = start.checked_add(length).ok_or_else(wrong)?;
    let data = header.get(start..end).ok_or_else(wrong)?;

    let mut package = Package::new(Manager::Rpm, path);
    let mut release = String::new();
    for at in (8..start).step_by(ENTRY) {
        let (tag, kind, offset) = (number(at)?, number(at + 4)?, number(at + 8)? as usize);
        let text = || {
            let rest = data.get(offset..).filter(|_| TEXTS.contains(&kind)).ok_or_else(wrong)?;
            let text = rest.split(|byte| *byte == 0).next().unwrap_or_default();
            Ok::<_, Error>(said(&String::from_utf8_lossy(text)))
        };
        match tag {
            tag::NAME => package.name = text()?.unwrap_or_default(),
            tag::VERSION => package.version = text()?.unwrap_or_default(),
            tag::RELEASE => release = text()?.unwrap_or_default(),
            tag::EPOCH if kind == NUMBER => package.epoch = Some(Order::Big.u32(data, offset)?),
            tag::SUMMARY => package.summary = text()?,
            tag::VENDOR => package.vendor = text()?,
            tag::LICENSE => package.license = text()?,
            tag::PACKAGER => package.packager = text()?,
            tag::URL => package.homepage = text()?,
            tag::ARCH => package.architecture = text()?,
            tag::SOURCERPM => package.source = text()?.as_deref().and_then(source),
            _ => {}
        }
    }
    if package.name == "gpg-pubkey" {
        return Ok(None);
    }
    if !release.is_empty() {
        package.version = format!("{}-{release}", package.version);
    }
    Ok(Some(package))
}

/// From the name of a source package's file: `NAME-VERSION-RELEASE.src.rpm`.
fn source(file: &str) -> Option<Source> {
    let whole = file.strip_suffix(".src.rpm").or_else(|| file.strip_suffix(".nosrc.rpm"))?;
    let (rest, release) = whole.rsplit_once('-')?;
    let (name, version) = rest.rsplit_once('-')?;
    Some(Source { name: name.to_owned(), version: Some(format!("{version}-{release}")) })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A header of texts and of an epoch.
    fn header(texts: &[(u32, &str)], epoch: u32) -> Vec<u8> {
        let mut entries = Vec::new();
        let mut data = epoch.to_be_bytes().to_vec();
        let mut entry = |tag: u32, kind: u32, offset: usize| {
            let offset = u32::try_from(offset).expect("small");
            for number in [tag, kind, offset, 1] {
                entries.extend(number.to_be_bytes());
            }
        };
        entry(tag::EPOCH, NUMBER, 0);
        for (tag, text) in texts {
            entry(*tag, 6, data.len());
            data.extend(text.bytes().chain([0]));
        }
        let count = u32::try_from(entries.len() / ENTRY).expect("small");
        let length = u32::try_from(data.len()).expect("small");
        [&count.to_be_bytes()[..], &length.to_be_bytes(), &entries, &data].concat()
    }

    #[test]
    fn a_header_says_what_a_package_is() {
        let bytes = header(
            &[
                (tag::NAME, "bash"),
                (tag::VERSION, "5.2.26"),
                (tag::RELEASE, "3.fc40"),
                (tag::SOURCERPM, "bash-completion-1-2.fc40.src.rpm"),
                (tag::LICENSE, ""),
            ],
            7,
        );
        let package = package(&bytes, Path::new("db")).expect("sound").expect("a package");
        assert_eq!((&*package.name, &*package.version), ("bash", "5.2.26-3.fc40"));
        assert_eq!((package.epoch, package.license), (Some(7), None));
        let source = package.source.expect("a source");
        assert_eq!(
            (&*source.name, source.version.as_deref()),
            ("bash-completion", Some("1-2.fc40"))
        );
    }

    #[test]
    fn keys_are_no_packages() {
        let bytes = header(&[(tag::NAME, "gpg-pubkey"), (tag::VERSION, "1")], 0);
        assert_eq!(package(&bytes, Path::new("db")).expect("sound"), None);
    }

    #[test]
    fn damage_is_told() {
        let bytes = header(&[(tag::NAME, "bash"), (tag::VERSION, "5")], 0);
        for end in 0..bytes.len() {
            assert!(package(&bytes[..end], Path::new("db")).is_err(), "{end} bytes");
        }
        let many = [&u32::MAX.to_be_bytes()[..], &[0; 100]].concat();
        assert!(package(&many, Path::new("db")).is_err());
    }

    proptest! {
        #[test]
        fn no_bytes_are_too_bad(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            drop(package(&bytes, Path::new("db")));
        }
    }
}
