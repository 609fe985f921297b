//! What others write, byte by byte: their peculiarities, and damage.

use std::io::Read as _;

use tar::{EntryType, Header};

use super::*;
use crate::layer::Error;

/// A header with its content, padded.
fn entry(flag: u8, name: &str, content: &[u8], change: impl FnOnce(&mut Header)) -> Vec<u8> {
    let mut header = Header::new_ustar();
    header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
    header.set_entry_type(EntryType::new(flag));
    header.set_size(content.len() as u64);
    header.set_mode(0o644);
    change(&mut header);
    header.set_cksum();
    let mut bytes = header.as_bytes().to_vec();
    bytes.extend_from_slice(content);
    bytes.resize(bytes.len().next_multiple_of(512), 0);
    bytes
}

fn pax(records: &[(&str, &str)], next: Vec<u8>) -> Vec<u8> {
    let mut data = Vec::new();
    for (key, value) in records {
        pax::push(&mut data, key.as_bytes(), value.as_bytes());
    }
    [entry(b'x', "pax", &data, |_| {}), next].concat()
}

/// One line for each entry: what differs from a plain file `f` of 1970, then the content.
fn list(bytes: &[u8]) -> Result<Vec<String>, Error> {
    let mut reader = Reader::new(bytes);
    let mut lines = Vec::new();
    while let Some(entry) = reader.next_entry()? {
        let mut content = Vec::new();
        reader.read_to_end(&mut content).map_err(Error::Read)?;
        assert_eq!(content.len() as u64, entry.stored());
        let mut line = format!("{:?} {}", entry.kind, entry.path.display());
        if let Some(link) = &entry.link {
            line += &format!(" -> {}", link.display());
        }
        if (entry.uid, entry.gid) != (0, 0) {
            line += &format!(" {}:{}", entry.uid, entry.gid);
        }
        if entry.mtime != (0, 0) {
            line += &format!(" @{}+{}", entry.mtime.0, entry.mtime.1);
        }
        if entry.device != (0, 0) {
            line += &format!(" {:?}", entry.device);
        }
        if let Some(segments) = &entry.sparse {
            line += &format!(" {segments:?} of {}", entry.size);
        }
        for (name, value) in &entry.xattrs {
            line += &format!(" {name:?}={:?}", String::from_utf8_lossy(value));
        }
        line += &format!(" {:?}", String::from_utf8_lossy(&content));
        lines.push(line);
    }
    Ok(lines)
}

fn nothing(_: &mut Header) {}

#[test]
fn what_others_write_is_understood() {
    let file = || entry(b'0', "f", b"abc", nothing);
    let plain = "File f \"abc\"";
    let second = "File g \"\"";
    let g = entry(b'0', "g", b"", nothing);
    let long = "d/".repeat(90) + "f";
    let sized = |flag, name: &str| {
        let change = |header: &mut Header| {
            header.set_size(4096);
            header.as_old_mut().linkname[..1].copy_from_slice(b"t");
        };
        entry(flag, name, b"", change)
    };
    let gnu_sparse = |inline: [(u64, u64); 4], more: bool, real: u64, content: &[u8]| {
        let change = |header: &mut Header| {
            let size = content.len() as u64;
            let mut gnu = Header::new_gnu();
            gnu.as_old_mut().name[..1].copy_from_slice(b"f");
            gnu.set_entry_type(EntryType::GNUSparse);
            gnu.set_mode(0o644);
            gnu.set_uid(0);
            gnu.set_size(size);
            let fields = gnu.as_gnu_mut().expect("it is GNU's");
            fields.set_real_size(real);
            fields.set_is_extended(more);
            for (field, (offset, length)) in fields.sparse.iter_mut().zip(inline) {
                if (offset, length) != (0, 0) {
                    field.set_offset(offset);
                    field.set_length(length);
                }
            }
            *header = gnu;
        };
        entry(b'S', "f", content, change)
    };
    let mut extension = tar::GnuExtSparseHeader::new();
    extension.sparse_mut()[0].set_offset(4096);
    extension.sparse_mut()[0].set_length(1);
    let mut extended = gnu_sparse([(0, 1), (512, 1), (1024, 1), (2048, 1)], true, 5000, b"abcde");
    extended.splice(512..512, extension.as_bytes().iter().copied());
    let map_1_0 = |text: &str, content: &[u8]| {
        let mut data = text.as_bytes().to_vec();
        data.resize(data.len().next_multiple_of(512), 0);
        data.extend_from_slice(content);
        entry(b'0', "GNUSparseFile.1/f", &data, nothing)
    };
    let one_zero = [
        ("GNU.sparse.major", "1"),
        ("GNU.sparse.minor", "0"),
        ("GNU.sparse.name", "f"),
        ("GNU.sparse.realsize", "2000"),
    ];
    let many: String = (0..200).map(|n| format!("{}\n1\n", n * 10)).collect();

    let cases: Vec<(&str, Vec<u8>, Vec<&str>)> = vec![
        ("empty", vec![], vec![]),
        ("two blocks of zeros", vec![0; 1024], vec![]),
        ("no end", file(), vec![plain]),
        ("one block of zeros at the end", [file(), vec![0; 512]].concat(), vec![plain]),
        ("what follows the end", [file(), vec![0; 1024], vec![7; 99]].concat(), vec![plain]),
        ("a contiguous file", entry(b'7', "f", b"abc", nothing), vec![plain]),
        (
            "version 7",
            entry(0, "d/", b"", |h| {
                *h = Header::new_old();
                h.as_old_mut().name[..2].copy_from_slice(b"d/");
                h.set_size(0);
            }),
            vec!["Dir d \"\""],
        ),
        (
            "empty and padded numbers",
            entry(b'0', "f", b"", |h| {
                h.as_old_mut().mode = *b"        ";
                h.as_old_mut().uid = *b"   17 \0\0";
                h.as_old_mut().gid = [0; 8];
            }),
            vec!["File f 15:0 \"\""],
        ),
        (
            "binary numbers",
            entry(b'0', "f", b"", |h| {
                h.set_uid(3_000_000);
                h.as_old_mut().mtime = [0xff; 12];
            }),
            vec!["File f 3000000:0 @-1+0 \"\""],
        ),
        (
            "a prefix",
            entry(b'0', "f", b"", |h| {
                h.as_ustar_mut().expect("ustar").prefix[..3].copy_from_slice(b"a/b");
            }),
            vec!["File a/b/f \"\""],
        ),
        (
            "long names of GNU",
            [
                entry(b'K', "././@LongLink", b"target\0", nothing),
                entry(b'L', "././@LongLink", format!("{long}\0").as_bytes(), nothing),
                entry(b'2', "short", b"", nothing),
            ]
            .concat(),
            vec![
                "Symlink d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/f -> target \"\"",
            ],
        ),
        (
            "pax wins over GNU, whatever the order",
            pax(&[("path", "p")], [entry(b'L', "", b"l", nothing), file()].concat()),
            vec!["File p \"abc\""],
        ),
        (
            "pax times and owners",
            pax(&[("mtime", "-1.25"), ("uid", "4294967295"), ("gid", "7")], file()),
            vec!["File f 4294967295:7 @-2+750000000 \"abc\""],
        ),
        (
            "a pax time with too many digits",
            pax(&[("mtime", "12.1234567899")], file()),
            vec!["File f @12+123456789 \"abc\""],
        ),
        (
            "an empty pax value is none",
            pax(&[("path", ""), ("uid", ""), ("comment", "x")], file()),
            vec![plain],
        ),
        (
            "the size is pax's, not the header's (RUSTSEC-2025-0111)",
            [pax(&[("size", "3")], entry(b'0', "f", b"abc", |h| h.set_size(0))), g.clone()]
                .concat(),
            vec![plain, second],
        ),
        (
            "a global header and a volume's name",
            [
                entry(b'g', "g", b"18 comment=abcdef\n", nothing),
                entry(b'V', "v", b"", nothing),
                file(),
            ]
            .concat(),
            vec![plain],
        ),
        (
            "sizes where there is no content",
            [
                sized(b'1', "h"),
                sized(b'2', "s"),
                sized(b'3', "c"),
                sized(b'4', "b"),
                sized(b'5', "d/"),
                sized(b'6', "p"),
                g.clone(),
            ]
            .concat(),
            vec![
                "Hardlink h -> t \"\"",
                "Symlink s -> t \"\"",
                "Char c \"\"",
                "Block b \"\"",
                "Dir d \"\"",
                "Fifo p \"\"",
                second,
            ],
        ),
        (
            "a directory with content",
            [entry(b'D', "d/", b"Yfile\0\0", nothing), g.clone()].concat(),
            vec!["Dir d \"\"", second],
        ),
        (
            "a device",
            entry(b'4', "b", b"", |h| {
                h.set_device_major(8).expect("ustar");
                h.set_device_minor(17).expect("ustar");
            }),
            vec!["Block b (8, 17) \"\""],
        ),
        (
            "attributes",
            pax(
                &[
                    ("SCHILY.xattr.security.capability", "\u{1}\n\n=2 x\u{0}"),
                    ("SCHILY.xattr.user.a%3Db", "1"),
                    ("SCHILY.xattr.user.a%20b", "2"),
                    ("SCHILY.xattr.user.empty", ""),
                    ("LIBARCHIVE.xattr.user.a%20b", "bm8"),
                    ("LIBARCHIVE.xattr.user.c%20d", "eWVz"),
                ],
                file(),
            ),
            vec![
                "File f \"security.capability\"=\"\\u{1}\\n\\n=2 x\\0\" \"user.a b\"=\"no\" \
                 \"user.a%20b\"=\"2\" \"user.a=b\"=\"1\" \"user.c d\"=\"yes\" \"user.empty\"=\"\" \"abc\"",
            ],
        ),
        ("no padding at all, as umoci's insert", file()[..515].to_vec(), vec![plain]),
        ("not all of the padding", file()[..600].to_vec(), vec![plain]),
        (
            "sparse, old GNU",
            [gnu_sparse([(0, 3), (1000, 2), (3000, 0), (0, 0)], false, 3000, b"abcde"), g.clone()]
                .concat(),
            vec!["File f [(0, 3), (1000, 2)] of 3000 \"abcde\"", second],
        ),
        (
            "sparse, old GNU, extended",
            [extended, g.clone()].concat(),
            vec![
                "File f [(0, 1), (512, 1), (1024, 1), (2048, 1), (4096, 1)] of 5000 \"abcde\"",
                second,
            ],
        ),
        (
            "sparse, 0.0",
            pax(
                &[
                    ("GNU.sparse.size", "2000"),
                    ("GNU.sparse.numblocks", "2"),
                    ("GNU.sparse.offset", "0"),
                    ("GNU.sparse.numbytes", "1"),
                    ("GNU.sparse.offset", "100"),
                    ("GNU.sparse.numbytes", "2"),
                ],
                file(),
            ),
            vec!["File f [(0, 1), (100, 2)] of 2000 \"abc\""],
        ),
        (
            "sparse, 0.1",
            pax(
                &[
                    ("GNU.sparse.size", "2000"),
                    ("GNU.sparse.name", "real"),
                    ("GNU.sparse.map", "0,1,100,2,2000,0"),
                ],
                file(),
            ),
            vec!["File real [(0, 1), (100, 2)] of 2000 \"abc\""],
        ),
        (
            "sparse, 1.0",
            [pax(&one_zero, map_1_0("2\n0\n1\n1000\n2\n", b"abc")), g.clone()].concat(),
            vec!["File f [(0, 1), (1000, 2)] of 2000 \"abc\"", second],
        ),
        (
            "sparse, 1.0, nothing but a hole",
            pax(&one_zero, map_1_0("0\n", b"")),
            vec!["File f [] of 2000 \"\""],
        ),
        (
            "sparse, 0.0, nothing but a hole",
            pax(&[("GNU.sparse.size", "9")], g),
            vec!["File g [] of 9 \"\""],
        ),
    ];
    for (name, bytes, expected) in cases {
        let lines = list(&bytes).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(lines, expected, "{name}");
    }

    // A map of more than one block.
    let many = pax(&one_zero, map_1_0(&format!("200\n{many}"), &[b'x'; 200]));
    assert!(list(&many).expect("many")[0].starts_with("File f [(0, 1), (10, 1), (20, 1)"));
}

#[test]
fn what_is_damaged_is_refused() {
    let file = || entry(b'0', "f", &[7; 2000], nothing);
    let one_zero =
        [("GNU.sparse.major", "1"), ("GNU.sparse.minor", "0"), ("GNU.sparse.realsize", "2000")];
    let raw = |records: &[u8]| [entry(b'x', "x", records, nothing), file()].concat();
    let sparse = |map| pax(&[("GNU.sparse.size", "9"), ("GNU.sparse.map", map)], file());
    let content = |text: &str| entry(b'0', "f", text.as_bytes(), nothing);
    let long = entry(b'x', "x", &vec![b'1'; (1 << 20) + 1], nothing);
    let cases: Vec<(&str, Vec<u8>, &str)> = vec![
        ("a cut header", file()[..100].to_vec(), "middle of an entry, after 100 bytes"),
        ("cut content", file()[..1000].to_vec(), "middle of an entry, after 1000 bytes"),
        ("a cut extended header", raw(b"9 path=a\n")[..515].to_vec(), "after 515 bytes"),
        ("no padding after an extended header", raw(b"9 path=a\n")[..600].to_vec(), "missing"),
        ("nothing after an extended header", raw(b"9 path=a\n")[..1024].to_vec(), "missing"),
        ("noise", vec![b'x'; 512], "checksum"),
        ("zeros between", [file(), vec![0; 512], file()].concat(), "block of zeros"),
        (
            "a wrong checksum",
            {
                let mut f = file();
                f[0] = b'e';
                f
            },
            "checksum",
        ),
        (
            "a wrong number",
            entry(b'0', "f", b"", |h| h.as_old_mut().size = *b"12345678901x"),
            "size",
        ),
        ("a negative size", entry(b'0', "f", b"", |h| h.as_old_mut().size = [0xff; 12]), "size"),
        ("an enormous size", entry(b'0', "f", b"", |h| h.as_old_mut().size = [0x8f; 12]), "size"),
        ("a negative owner", entry(b'0', "f", b"", |h| h.as_old_mut().uid = [0xff; 8]), "owner"),
        ("an enormous owner", pax(&[("uid", "4294967296")], file()), "owner"),
        ("no name", entry(b'0', "", b"", nothing), "no name"),
        ("no target", entry(b'2', "s", b"", nothing), "no target"),
        ("an unknown type", entry(b'M', "f", b"", nothing), "unknown type"),
        ("two headers", [raw(b"9 path=a\n")[..1024].to_vec(), raw(b"9 path=b\n")].concat(), "two"),
        ("too long", long, "too large"),
        ("a NUL in a name", pax(&[("path", "a\0b")], file()), "NUL"),
        ("a record without a length", raw(b"path=a\n"), "malformed"),
        ("a record too long", raw(b"99 path=a\n"), "malformed"),
        ("a record too short", raw(b"5 path=a\n"), "malformed"),
        ("a record of length 0", raw(b"0 path=a\n"), "malformed"),
        ("a record without a key", raw(b"5 =a\n"), "malformed"),
        ("a record without a newline", raw(b"9 path=ab"), "malformed"),
        ("a signed size", pax(&[("size", "+3")], file()), "malformed"),
        ("a wrong time", pax(&[("mtime", "1.x")], file()), "time"),
        ("a map out of order", sparse("5,1,2,1"), "map"),
        ("a map past the end", sparse("5,5"), "map"),
        ("a map that wraps", sparse("1,18446744073709551615"), "map"),
        ("an odd map", sparse("1"), "map"),
        ("a map of other content", sparse("1,1"), "differ in size"),
        ("no count", pax(&one_zero, content("")), "longer than its content"),
        ("an enormous count", pax(&one_zero, content(&"9".repeat(512))), "longer than its content"),
        ("a map without end", pax(&one_zero, content(&"9".repeat(2 << 20))), "too large"),
        ("a wrong map", pax(&one_zero, content(&"x\n".repeat(256))), "malformed"),
        (
            "a new version",
            pax(&[("GNU.sparse.major", "2"), ("GNU.sparse.minor", "0")], file()),
            "version",
        ),
    ];
    for (name, bytes, expected) in cases {
        let error = list(&bytes).expect_err(name);
        let mut text = error.to_string();
        if let Error::Read(source) = error {
            text = source.to_string();
        }
        assert!(text.contains(expected), "{name}: {text}");
    }
}
