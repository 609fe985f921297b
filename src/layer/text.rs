//! Archives and trees as lines of text, for this room's tests.
//!
//! A line is an entry: kind, path, and words as the kind needs them.
//!
//! ```text
//! d etc 1777          directory; the mode is 755 if not given
//! f etc/motd hello    file and content
//! s bin -> usr/bin    symbolic link
//! h b -> a            hard link
//! p run/fifo          fifo
//! c dev/null 1:3      device; b for a block device
//! ```
//!
//! A word `@1:2` is an owner, `t=9` a time, `x.user.a=b` an extended attribute; `m=4755` is a mode.
//! A drawn tree has the same lines, sorted; `w path` is a whiteout and `!` marks an opaque
//! directory. Modes are drawn where they are not 755 (directories), 644 (files), times where they are
//! not 0.

use std::fmt::Write as _;
use std::io;
use std::path::Path;

use super::archive::{Entry, EntryKind, Writer};
use super::whiteout;
use crate::rootfs::{FileType, Root, SideTable, Walk};

/// Makes an archive of lines.
pub(super) fn archive(lines: &str) -> Vec<u8> {
    let mut writer = Writer::new(Vec::new());
    for line in lines.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let (entry, content) = entry(line);
        writer.append(&entry, io::Cursor::new(content)).unwrap_or_else(|e| panic!("{line}: {e}"));
    }
    writer.finish().expect("a vector takes all that is written")
}

fn entry(line: &str) -> (Entry, Vec<u8>) {
    let mut words = line.split(' ');
    let kind = match words.next().expect("a kind") {
        "d" => EntryKind::Dir,
        "f" => EntryKind::File,
        "s" => EntryKind::Symlink,
        "h" => EntryKind::Hardlink,
        "p" => EntryKind::Fifo,
        "c" => EntryKind::Char,
        "b" => EntryKind::Block,
        other => panic!("no kind {other}"),
    };
    let mut entry = Entry::new(words.next().expect("a path"), kind);
    entry.mode = if kind == EntryKind::Dir { 0o755 } else { 0o644 };
    let mut content = Vec::new();
    for word in words {
        let number = |text: &str| text.parse::<u32>().expect("a number");
        let pair = |text: &str| {
            let (a, b) = text.split_once(':').expect("two numbers");
            (number(a), number(b))
        };
        if let Some(owner) = word.strip_prefix('@') {
            (entry.uid, entry.gid) = pair(owner);
        } else if let Some(time) = word.strip_prefix("t=") {
            entry.mtime = (time.parse().expect("a time"), 0);
        } else if let Some(mode) = word.strip_prefix("m=") {
            entry.mode = u32::from_str_radix(mode, 8).expect("a mode");
        } else if let Some(xattr) = word.strip_prefix("x.") {
            let (name, value) = xattr.split_once('=').expect("a value");
            entry.xattrs.insert(name.into(), value.into());
        } else if matches!(kind, EntryKind::Char | EntryKind::Block) {
            entry.device = pair(word);
        } else if matches!(kind, EntryKind::Symlink | EntryKind::Hardlink) {
            entry.link = Some(word).filter(|word| *word != "->").map(Into::into).or(entry.link);
        } else if kind == EntryKind::Dir {
            entry.mode = u32::from_str_radix(word, 8).expect("a mode");
        } else {
            content = word.into();
        }
    }
    entry.size = content.len() as u64;
    (entry, content)
}

/// Draws a tree.
pub(super) fn draw(root: &Root, records: &SideTable) -> String {
    let mut text = String::new();
    for found in Walk::new(root, Path::new(""), records) {
        let found = found.expect("a tree that can be read");
        let (path, meta) = (found.path, found.meta);
        let place = root.place(&path).expect("a place").expect("a directory around it");
        let shown =
            if path.as_os_str().is_empty() { ".".into() } else { path.display().to_string() };
        if whiteout::is_whiteout(&place, &meta).expect("attributes") {
            writeln!(text, "w {shown}").expect("a string");
            continue;
        }
        let (kind, usual) = match (&found.link, meta.kind) {
            (Some(_), _) => ('h', meta.mode),
            (None, FileType::Dir) => ('d', 0o755),
            (None, FileType::File) => ('f', 0o644),
            (None, FileType::Symlink) => ('s', meta.mode),
            (None, FileType::Fifo) => ('p', 0o644),
            (None, FileType::Char) => ('c', 0o644),
            (None, FileType::Block) => ('b', 0o644),
            (None, FileType::Socket) => ('S', meta.mode),
        };
        write!(text, "{kind} {shown}").expect("a string");
        let mut word = |word: String| write!(text, " {word}").expect("a string");
        match (&found.link, meta.kind) {
            (Some(first), _) => {
                word(format!("-> {}", first.display()));
                text.push('\n');
                continue;
            }
            (None, FileType::File) if meta.size > 0 => {
                let content = root.read_file(&path, 1 << 20).expect("a file").unwrap_or_default();
                word(String::from_utf8_lossy(&content).into_owned());
            }
            (None, FileType::Symlink) => {
                word(format!("-> {}", root.read_link(&path).expect("a link").display()));
            }
            (None, FileType::Char | FileType::Block) => {
                word(format!("{}:{}", meta.rdev.0, meta.rdev.1));
            }
            _ => {}
        }
        if meta.mode != usual {
            word(format!("m={:o}", meta.mode));
        }
        if (meta.uid, meta.gid) != (0, 0) {
            word(format!("@{}:{}", meta.uid, meta.gid));
        }
        if meta.mtime.0 != 0 {
            word(format!("t={}", meta.mtime.0));
        }
        let mut xattrs = place.record(records).expect("a record").unwrap_or_default().xattrs;
        xattrs.extend(place.xattrs(meta.real_kind).expect("attributes"));
        for (name, value) in xattrs {
            word(format!("x.{}={}", name.display(), String::from_utf8_lossy(&value)));
        }
        if meta.is_dir() && whiteout::is_opaque(&place).expect("attributes") {
            word("!".into());
        }
        text.push('\n');
    }
    text
}

/// Lines without their indentation and without empty ones.
pub(super) fn lines(text: &str) -> String {
    text.lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .fold(String::new(), |all, line| all + line + "\n")
}
