//! apk's database of what is installed: paragraphs of `X:value`, one for each package.

use std::path::Path;

use super::{Found, Manager, Package, Result, Source, said, text};
use crate::rootfs::Root;

/// The latter since version 3 of apk.
const FILES: [&str; 2] = ["lib/apk/db/installed", "usr/lib/apk/db/installed"];

pub(super) fn read(root: &Root, found: &mut Found) {
    for file in FILES {
        let path = Path::new(file);
        let result = read_file(root, path, found);
        found.note(path, result);
    }
}

fn read_file(root: &Root, path: &Path, found: &mut Found) -> Result<()> {
    if let Some(text) = text(root, path)? {
        let mut package = Package::new(Manager::Apk, path);
        for line in text.lines().chain([""]) {
            if line.trim().is_empty() {
                let done = std::mem::replace(&mut package, Package::new(Manager::Apk, path));
                found.push(done)?;
            } else if let Some((field, value)) = line.split_once(':') {
                set(&mut package, field, value);
            }
        }
    }
    Ok(())
}

fn set(package: &mut Package, field: &str, value: &str) {
    match field {
        "P" => value.trim().clone_into(&mut package.name),
        "V" => value.trim().clone_into(&mut package.version),
        "A" => package.architecture = said(value),
        "L" => package.license = said(value),
        "m" => package.packager = said(value),
        "U" => package.homepage = said(value),
        "T" => package.summary = said(value),
        // A package has its source's version always.
        "o" => package.source = said(value).map(|name| Source { name, version: None }),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn packages_are_read() {
        let dir = tempfile::tempdir().expect("a directory");
        fs::create_dir_all(dir.path().join("lib/apk/db")).expect("made");
        let text = "C:Q1qKcZ+j23xssAXmgQhkOO8dHnbWw=\nP:alpine-baselayout\nV:3.4.3-r1\nA:x86_64\n\
            S:8911\nI:331776\nT:Alpine base dir structure and init scripts\nU:https://git.alpinelinux.org/\n\
            L:GPL-2.0-only\no:alpine-baselayout\nm:Natanael Copa <ncopa@alpinelinux.org>\nt:1683642107\n\
            D:alpine-baselayout-data=3.4.3-r1 /bin/sh\nF:dev\nM:0:0:1777\nR:fstab\na:0:0:644\n\n\
            P:musl-utils\nV:1.2.4-r2\nA:x86_64\nL:MIT AND BSD-2-Clause AND GPL-2.0-or-later\no:musl\n\n\
            P:nothing\n\nP:last\nV:1";
        fs::write(dir.path().join(FILES[0]), text).expect("written");
        let mut found = Found::default();
        read(&Root::open(dir.path()).expect("a root"), &mut found);
        assert!(found.unread.is_empty(), "{:?}", found.unread);
        let shown: Vec<_> = found.packages.iter().map(|p| (&*p.name, &*p.version)).collect();
        assert_eq!(
            shown,
            [("alpine-baselayout", "3.4.3-r1"), ("musl-utils", "1.2.4-r2"), ("last", "1")]
        );
        let Package { license, source, architecture, .. } = &found.packages[1];
        assert_eq!(license.as_deref(), Some("MIT AND BSD-2-Clause AND GPL-2.0-or-later"));
        assert_eq!(source.as_ref().map(|source| &*source.name), Some("musl"));
        assert_eq!(architecture.as_deref(), Some("x86_64"));
    }
}
