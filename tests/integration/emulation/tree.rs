//! Trees as real root sees them, path by path.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::Path;

use sha2::{Digest as _, Sha256};

use super::data;

/// What is at each path: everything but the content, and the content.
pub(super) type Tree = BTreeMap<String, (String, String)>;

/// Reads a tree, without what is mounted in it.
pub(super) fn read(root: &Path) -> Tree {
    let mut tree = Tree::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a directory of the tree") {
            let path = entry.expect("an entry").path();
            let inside = path.strip_prefix(root).expect("a path of the tree");
            tree.insert(inside.to_string_lossy().into_owned(), describe(&path));
            if path.symlink_metadata().expect("a file").is_dir() {
                folders.push(path);
            }
        }
    }
    tree
}

fn describe(path: &Path) -> (String, String) {
    let meta = path.symlink_metadata().expect("a file of the tree");
    let kind = meta.file_type();
    let mut what = format!("{:06o} {}:{}", meta.mode(), meta.uid(), meta.gid());
    if kind.is_char_device() || kind.is_block_device() {
        what += &format!(" device {:x}", meta.rdev());
    }
    if !kind.is_dir() {
        what += &format!(" links {}", meta.nlink());
    }
    if let Some(capability) = capability(path) {
        what += &format!(" capability {capability}");
    }
    let content = if kind.is_symlink() {
        what += &format!(" -> {}", fs::read_link(path).expect("a link").display());
        String::new()
    } else if kind.is_file() {
        let digest = Sha256::digest(fs::read(path).expect("a file"));
        format!("of {} bytes, sha256:{}", meta.len(), hex(&digest[..8]))
    } else {
        String::new()
    };
    (what, content)
}

/// `security.capability`, as it is in the file.
fn capability(path: &Path) -> Option<String> {
    let mut value = [0_u8; 64];
    let length = rustix::fs::lgetxattr(path, "security.capability", &mut value).ok()?;
    Some(hex(&value[..length]))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Why a path may differ: a line of `differences.txt`.
struct Exception {
    pattern: String,
    /// `content`: only the content may differ; `all`: it may even be missing.
    what: String,
}

fn exceptions() -> Vec<Exception> {
    let text = fs::read_to_string(data().join("differences.txt")).expect("differences.txt");
    text.lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(|line| {
            let mut words = line.split_whitespace().map(str::to_owned);
            let (Some(what), Some(pattern)) = (words.next(), words.next()) else {
                panic!("differences.txt: {line}");
            };
            assert!(words.next().is_some(), "differences.txt: no reason in {line:?}");
            assert!(what == "content" || what == "all", "differences.txt: {line}");
            Exception { pattern, what }
        })
        .collect()
}

/// Whether a path matches a pattern, whose `*` stands for anything.
fn matches(pattern: &[u8], path: &[u8]) -> bool {
    match pattern.split_first() {
        None => path.is_empty(),
        Some((b'*', rest)) => (0..=path.len()).any(|at| matches(rest, &path[at..])),
        Some((byte, rest)) => {
            path.split_first().is_some_and(|(first, path)| first == byte && matches(rest, path))
        }
    }
}

/// What differs between real root's tree and ours, a line each.
pub(super) fn differences(real: &Tree, ours: &Tree) -> Vec<String> {
    let exceptions = exceptions();
    let may = |path: &str, what: &str| {
        let path = Path::new(path).as_os_str().as_bytes();
        exceptions.iter().any(|exception| {
            matches(exception.pattern.as_bytes(), path)
                && (exception.what == "all" || exception.what == what)
        })
    };
    let mut paths: Vec<&String> = real.keys().chain(ours.keys()).collect();
    paths.sort();
    paths.dedup();
    let mut found = Vec::new();
    for path in paths {
        match (real.get(path), ours.get(path)) {
            (Some((real, content)), Some((ours, our_content))) => {
                if real != ours && !may(path, "all") {
                    found.push(format!("/{path}: {real:?} of real root is {ours:?}"));
                } else if content != our_content && !may(path, "content") {
                    found.push(format!("/{path}: content {content} is {our_content}"));
                }
            }
            (Some((real, _)), None) if !may(path, "all") => {
                found.push(format!("/{path}: {real:?} is missing"));
            }
            (None, Some((ours, _))) if !may(path, "all") => {
                found.push(format!("/{path}: {ours:?} is too much"));
            }
            _ => {}
        }
    }
    found
}
