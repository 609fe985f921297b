//! What a program's file is: which other program must load it.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::PathBuf;

/// The longest first line of a script that the kernel reads (`BINPRM_BUF_SIZE`).
const LINE: usize = 256;
/// The type of the program header that names the dynamic linker.
const PT_INTERP: u64 = 3;

/// How a program is started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kind {
    /// By itself: a static program, or something that we know nothing of.
    Alone,
    /// By a dynamic linker.
    Dynamic(PathBuf),
    /// By another program, given with the rest of the line that names it.
    Script(PathBuf, String),
}

/// Reads what a file says of itself.
pub(super) fn interpreter(file: &mut File) -> io::Result<Kind> {
    let mut head = Vec::new();
    file.take(LINE as u64).read_to_end(&mut head)?;
    if let Some(line) = head.strip_prefix(b"#!") {
        let line = line.split(|byte| *byte == b'\n').next().unwrap_or(line);
        let line = String::from_utf8_lossy(line).trim().to_owned();
        let (program, rest) = line.split_once([' ', '\t']).unwrap_or((&line, ""));
        return Ok(Kind::Script(program.into(), rest.trim().to_owned()));
    }
    if !head.starts_with(b"\x7fELF") {
        return Ok(Kind::Alone);
    }
    let header =
        Fields { bytes: &head, wide: head.get(4) == Some(&2), big: head.get(5) == Some(&2) };
    // Offsets of e_phoff, e_phentsize and e_phnum (System V ABI, "ELF Header").
    let (table, entry_size, count) = match header.wide {
        true => (header.word(32), header.half(54), header.half(56)),
        false => (header.word(28), header.half(42), header.half(44)),
    };
    let size = entry_size.saturating_mul(count).min(64 << 10);
    let mut headers = vec![0; usize::try_from(size).unwrap_or(0)];
    file.seek(SeekFrom::Start(table))?;
    file.read_exact(&mut headers)?;
    for bytes in headers.chunks_exact(usize::try_from(entry_size).unwrap_or(0).max(1)) {
        let program = Fields { bytes, ..header };
        if program.number(0, 4) != PT_INTERP {
            continue;
        }
        let (offset, length) = match header.wide {
            true => (program.word(8), program.word(32)),
            false => (program.word(4), program.word(16)),
        };
        let mut path = Vec::new();
        file.seek(SeekFrom::Start(offset))?;
        file.take(length.min(4096)).read_to_end(&mut path)?;
        let path = path.split(|byte| *byte == 0).next().unwrap_or_default();
        return Ok(Kind::Dynamic(PathBuf::from(String::from_utf8_lossy(path).into_owned())));
    }
    Ok(Kind::Alone)
}

/// Numbers at offsets; 0 where there are none.
#[derive(Clone, Copy)]
struct Fields<'a> {
    bytes: &'a [u8],
    /// 64 bits.
    wide: bool,
    /// The most significant byte first.
    big: bool,
}

impl Fields<'_> {
    fn number(&self, at: usize, size: usize) -> u64 {
        let bytes = self.bytes.get(at..at + size).unwrap_or_default();
        let add = |sum: u64, byte: &u8| sum << 8 | u64::from(*byte);
        match self.big {
            true => bytes.iter().fold(0, add),
            false => bytes.iter().rev().fold(0, add),
        }
    }

    fn half(&self, at: usize) -> u64 {
        self.number(at, 2)
    }

    fn word(&self, at: usize) -> u64 {
        self.number(at, if self.wide { 8 } else { 4 })
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn scripts_name_their_interpreter() {
        for (text, kind) in [
            ("#!/bin/sh\n", Kind::Script("/bin/sh".into(), String::new())),
            (
                "#! /usr/bin/env  -S awk -f\nx",
                Kind::Script("/usr/bin/env".into(), "-S awk -f".into()),
            ),
            ("#!/bin/sh", Kind::Script("/bin/sh".into(), String::new())),
            ("text", Kind::Alone),
            ("", Kind::Alone),
        ] {
            let mut file = tempfile::tempfile().expect("a file");
            file.write_all(text.as_bytes()).expect("written");
            file.rewind().expect("rewound");
            assert_eq!(interpreter(&mut file).expect(text), kind);
        }
        let mut file = tempfile::tempfile().expect("a file");
        file.write_all(b"\x7fELF\x02\x01").expect("written");
        file.rewind().expect("rewound");
        assert_eq!(interpreter(&mut file).expect("cut off"), Kind::Alone);
    }

    #[test]
    fn the_test_itself_has_a_linker() {
        let mut file = File::open("/proc/self/exe").expect("readable");
        let Kind::Dynamic(linker) = interpreter(&mut file).expect("an ELF file") else { return };
        assert!(linker.exists(), "{}", linker.display());
    }
}
