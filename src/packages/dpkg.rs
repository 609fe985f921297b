//! dpkg's `status` (deb-control(5)), and the files of `status.d` that images have in its stead when
//! they were put together without dpkg, a package each.

use std::path::Path;

use super::{Found, Manager, Package, Result, Source, said, text};
use crate::rootfs::Root;

const STATUS: &str = "var/lib/dpkg/status";
const FOLDER: &str = "var/lib/dpkg/status.d";

pub(super) fn read(root: &Root, found: &mut Found) {
    let status = Path::new(STATUS);
    let result = read_file(root, status, found);
    found.note(status, result);
    let folder = Path::new(FOLDER);
    let result = read_folder(root, folder, found);
    found.note(folder, result);
}

fn read_file(root: &Root, path: &Path, found: &mut Found) -> Result<()> {
    if let Some(text) = text(root, path)? {
        packages(&text, path).try_for_each(|package| found.push(package))?;
    }
    Ok(())
}

fn read_folder(root: &Root, folder: &Path, found: &mut Found) -> Result<()> {
    if root.stat(folder)?.is_none_or(|meta| !meta.is_dir()) {
        return Ok(());
    }
    for (name, _) in root.read_dir(folder)? {
        // Lists of checksums stand beside the packages.
        if !name.to_string_lossy().ends_with(".md5sums") {
            let path = folder.join(name);
            let result = read_file(root, &path, found);
            found.note(&path, result);
        }
    }
    Ok(())
}

fn packages<'t>(text: &'t str, path: &'t Path) -> impl Iterator<Item = Package> + 't {
    let mut lines = text.lines().peekable();
    std::iter::from_fn(move || {
        lines.peek()?;
        // A paragraph ends with an empty line.
        let paragraph = lines.by_ref().take_while(|line| !line.trim().is_empty());
        Some(package(paragraph, path))
    })
    .flatten()
}

fn package<'t>(paragraph: impl Iterator<Item = &'t str>, path: &Path) -> Option<Package> {
    let mut package = Package::new(Manager::Dpkg, path);
    let mut is_there = true;
    for line in paragraph {
        // What begins with a blank continues the field above: descriptions, lists of files.
        let Some((name, value)) = line.split_once(':').filter(|_| !line.starts_with([' ', '\t']))
        else {
            continue;
        };
        match name.to_ascii_lowercase().as_str() {
            "package" => value.trim().clone_into(&mut package.name),
            "version" => value.trim().clone_into(&mut package.version),
            "architecture" => package.architecture = said(value),
            "maintainer" => package.packager = said(value),
            "homepage" => package.homepage = said(value),
            "description" => package.summary = said(value),
            "source" => package.source = source(value),
            // `install ok installed`: what is wanted, whether it went well, what there is.
            "status" => {
                let state = value.split_whitespace().nth(2);
                is_there = !matches!(state, Some("not-installed" | "config-files"));
            }
            _ => {}
        }
    }
    is_there.then_some(package)
}

/// `NAME` or `NAME (VERSION)`.
fn source(value: &str) -> Option<Source> {
    let (name, version) = value.split_once('(').unwrap_or((value, ""));
    let name = said(name)?;
    Some(Source { name, version: said(version.trim().trim_end_matches(')')) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_are_read() {
        let text = "Package: bash\nEssential: yes\nStatus: install ok installed\n\
            Maintainer: Matthias Klose <doko@debian.org>\nArchitecture: amd64\n\
            Version: 5.2.15-2+b7\nSource: bash (5.2.15-2)\nDescription: GNU Bourne Again SHell\n \
            Version: of the text\n .\n more\nHomepage: http://tiswww.case.edu/php/chet/bash\n\n\n\
            Package: gone\nStatus: deinstall ok config-files\nVersion: 1\n\n\
            Package: half\nStatus: install ok half-configured\nVersion: 1:2~rc1-3\nArchitecture: all\n\n\
            Status: install ok installed\nVersion: 3\n\nnonsense\n\nPackage: last\nversion: 4";
        let mut found = Found::default();
        packages(text, Path::new("status")).for_each(|p| found.push(p).expect("room"));
        let found = found.packages;
        let shown: Vec<_> = found.iter().map(|p| (&*p.name, &*p.version)).collect();
        assert_eq!(shown, [("bash", "5.2.15-2+b7"), ("half", "1:2~rc1-3"), ("last", "4")]);
        let bash = &found[0];
        assert_eq!(bash.architecture.as_deref(), Some("amd64"));
        assert_eq!(bash.packager.as_deref(), Some("Matthias Klose <doko@debian.org>"));
        assert_eq!(bash.summary.as_deref(), Some("GNU Bourne Again SHell"));
        let source = Source { name: "bash".into(), version: Some("5.2.15-2".into()) };
        assert_eq!(bash.source, Some(source));
    }

    #[test]
    fn sources_are_read() {
        let source = |text| source(text).map(|source| (source.name, source.version));
        assert_eq!(source(" gcc-12 "), Some(("gcc-12".into(), None)));
        assert_eq!(source("a (1:2-3)"), Some(("a".into(), Some("1:2-3".into()))));
        assert_eq!(source(" (2)"), None);
    }
}
