//! To a SIF file, which Apptainer and SingularityCE run: a header and a table before a SquashFS file
//! with the files of one image.
//!
//! The form is that of version 1 of the format (a global header of 128 bytes, 48 descriptors of 585
//! bytes from byte 4096 on, data aligned to pages). What the image says of its environment and its
//! command lies in `/.singularity.d`, where those programs look for it.

use std::fmt;
use std::fs::{OpenOptions, Permissions};
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Mutex;

use serde_json::json;

use super::Squashfs;
use super::tree::{Beside, Digests, NewFile};
use crate::image::{Config, Content, Descriptor, Digest, Timestamp};
use crate::report::{Outcome, Reporter};
use crate::store;
use crate::transfer::{Blob, Error, Root, Sink};

/// Where the descriptors begin, how many there is room for, and how long each is.
const DESCRIPTORS: usize = 4096;
const ROOM: usize = 48;
const LENGTH: usize = 585;
/// Where the files begin: the first page after the descriptors.
const DATA: u64 = 32768;

/// One image as a file.
pub struct Sif<'a> {
    squashfs: Squashfs<'a>,
    header: Mutex<Option<Header>>,
}

impl<'a> Sif<'a> {
    /// Looks for `mksquashfs` in `search`, as `PATH` has it.
    pub fn new(
        store: &'a store::Store,
        path: &Path,
        search: &str,
        reporter: &'a dyn Reporter,
    ) -> Result<Self, Error> {
        let squashfs = Squashfs::new(store, path, search, reporter)?;
        Ok(Self { squashfs: squashfs.after(DATA).beside(&Scripts), header: Mutex::default() })
    }
}

impl fmt::Debug for Sif<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Sif").field(&self.squashfs).finish()
    }
}

impl Sink for Sif<'_> {
    fn name(&self) -> String {
        self.squashfs.name()
    }

    fn takes_one_image(&self) -> bool {
        true
    }

    fn needs_foreign(&self) -> bool {
        true
    }

    fn put_blob(&self, blob: &Blob<'_>) -> Result<Outcome, Error> {
        self.squashfs.put_blob(blob)
    }

    fn put_manifest(&self, content: &Content) -> Result<(), Error> {
        self.squashfs.put_manifest(content)
    }

    fn put_root(&self, root: &Root<'_>) -> Result<(), Error> {
        self.squashfs.put_root(root)?;
        let header = root.config.map(|config| Header::of(config, root.content.descriptor()));
        *self.header.lock().expect("keeping it cannot panic") = header;
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<(), Error> {
        let Self { squashfs, header } = *self;
        let name = squashfs.name();
        let packed = squashfs.packed()?;
        let header = header.into_inner().expect("keeping it cannot panic");
        let Some(header) = header else {
            return Err(Error::Unsuitable { sink: name, what: "nothing" });
        };
        let write = || {
            let mut file = OpenOptions::new().write(true).open(packed.file())?;
            let found = file.metadata()?;
            file.write_all(&header.bytes(found.len() - DATA))?;
            // Its first line says who runs it.
            let mode = found.permissions().mode();
            file.set_permissions(Permissions::from_mode(mode | (mode & 0o444) >> 2))
        };
        write().map_err(Error::writing(name))?;
        packed.finish()
    }
}

/// What the header tells of the image.
#[derive(Debug)]
struct Header {
    /// The format's number for an architecture, as two digits.
    architecture: &'static str,
    /// Identifies the file; here the image, for the same image makes the same file.
    id: [u8; 16],
    /// In seconds since 1970.
    time: i64,
}

impl Header {
    fn of(config: &Config, image: &Descriptor) -> Self {
        let created = config.created.as_deref().and_then(|text| text.parse::<Timestamp>().ok());
        Self {
            architecture: architecture(&config.architecture),
            id: id(&image.digest),
            time: created.map_or(0, Timestamp::seconds),
        }
    }

    /// All that comes before the files, which are `length` bytes.
    fn bytes(&self, length: u64) -> Vec<u8> {
        let mut bytes = vec![0; DATA as usize];
        let mut put = |at: usize, field: &[u8]| {
            bytes[at..at + field.len()].copy_from_slice(field);
            at + field.len()
        };
        let number = |value: u64| value.to_le_bytes();
        let time = self.time.to_le_bytes();
        let table = (ROOM * LENGTH) as u64;
        let first = DESCRIPTORS as u64 + table;
        put(0, b"#!/usr/bin/env run-singularity\n\0");
        put(32, b"SIF_MAGIC\0");
        put(42, b"01\0");
        put(45, self.architecture.as_bytes());
        let mut at = put(48, &self.id);
        let counts = [ROOM as u64 - 1, ROOM as u64, DESCRIPTORS as u64, table, first];
        let data = DATA - first + length; // the gap before the page belongs to it
        for field in [time, time].into_iter().chain(counts.map(number)).chain([number(data)]) {
            at = put(at, &field);
        }
        // The only descriptor: a partition (0x4004), used, the first of its group, linked to nothing.
        let mut at = put(DESCRIPTORS, &0x4004_u32.to_le_bytes());
        at = put(at, &[1]);
        for field in [1, 0xf000_0001_u32, 0] {
            at = put(at, &field.to_le_bytes());
        }
        for field in [DATA, length, data] {
            at = put(at, &number(field));
        }
        at = put(at, &time);
        put(at, &time);
        // After two owners that nobody reads and a name: SquashFS (1), the primary system (2).
        let at = DESCRIPTORS + LENGTH - 384;
        let at = put(at, &1_u32.to_le_bytes());
        let at = put(at, &2_u32.to_le_bytes());
        put(at, self.architecture.as_bytes());
        bytes
    }
}

/// A UUID of version 8 (RFC 9562, section 5.8): the beginning of a digest.
fn id(digest: &Digest) -> [u8; 16] {
    let mut id = [0; 16];
    let pairs = digest.hex().as_bytes().chunks_exact(2);
    for (byte, pair) in id.iter_mut().zip(pairs) {
        let text = std::str::from_utf8(pair).unwrap_or_default();
        *byte = u8::from_str_radix(text, 16).unwrap_or_default();
    }
    id[6] = id[6] & 0x0f | 0x80;
    id[8] = id[8] & 0x3f | 0x80;
    id
}

fn architecture(name: &str) -> &'static str {
    match name {
        "386" => "01",
        "amd64" => "02",
        "arm" => "03",
        "arm64" => "04",
        "ppc64" => "05",
        "ppc64le" => "06",
        "mips" => "07",
        "mipsle" => "08",
        "mips64" => "09",
        "mips64le" => "10",
        "s390x" => "11",
        "riscv64" => "12",
        _ => "00",
    }
}

/// Environment, command and labels.
struct Scripts;

impl Beside for Scripts {
    fn files(&self, _: &Digest, config: &Config, _: &Digests<'_>) -> Result<Vec<NewFile>, Error> {
        let file = |name: &str, mode, content: String| NewFile {
            name: format!(".singularity.d/{name}"),
            mode,
            content: content.into_bytes(),
        };
        let labels = json!(config.runtime.labels);
        Ok(vec![
            file("env/10-docker2singularity.sh", 0o755, environment(&config.runtime.env)),
            file("runscript", 0o755, runscript(config)),
            file("labels.json", 0o644, format!("{labels:#}\n")),
        ])
    }
}

/// What the caller has set stays where the program lets a script see it, but for the path of programs.
fn environment(variables: &[String]) -> String {
    let mut script = "#!/bin/sh\n".to_owned();
    for (name, value) in variables.iter().filter_map(|pair| pair.split_once('=')) {
        // A shell could not say others.
        let is_name = |c: char| c == '_' || c.is_ascii_alphanumeric();
        if name.is_empty()
            || name.starts_with(|c: char| c.is_ascii_digit())
            || !name.chars().all(is_name)
        {
            continue;
        }
        let value = quoted(value);
        script += &match name {
            "PATH" => format!("export PATH={value}\n"),
            _ => format!("[ -n \"${{{name}+set}}\" ] || export {name}={value}\n"),
        };
    }
    script
}

/// Arguments come instead of CMD, after ENTRYPOINT.
fn runscript(config: &Config) -> String {
    let words = |words: &Option<Vec<String>>| {
        words.iter().flatten().map(|word| quoted(word)).collect::<Vec<_>>().join(" ")
    };
    let (entrypoint, command) = (words(&config.runtime.entrypoint), words(&config.runtime.cmd));
    let command = match (entrypoint.is_empty(), command.is_empty()) {
        (true, true) => "/bin/sh".to_owned(),
        _ => command,
    };
    format!("#!/bin/sh\n[ \"$#\" -gt 0 ] || set -- {command}\nexec {entrypoint} \"$@\"\n")
}

/// As a word of a shell. (Apptainer's own one reads `'\''` as a backslash too many.)
fn quoted(text: &str) -> String {
    let mut word = "\"".to_owned();
    for c in text.chars() {
        if matches!(c, '"' | '\\' | '$' | '`') {
            word.push('\\');
        }
        word.push(c);
    }
    word + "\""
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_is_that_of_the_format() {
        let digest: Digest = format!("sha256:{}", "ab".repeat(32)).parse().expect("a digest");
        let header = Header { architecture: "04", id: id(&digest), time: 7 };
        let bytes = header.bytes(100);
        assert_eq!(bytes.len(), 32768);
        let number = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight"));
        assert_eq!(&bytes[32..48], b"SIF_MAGIC\x0001\x0004\0");
        assert_eq!((bytes[54], bytes[56]), (0x8b, 0xab));
        assert_eq!((number(64), number(72)), (7, 7));
        let counts = [80, 88, 96, 104, 112, 120].map(number);
        assert_eq!(counts, [47, 48, 4096, 28080, 32176, 692]);
        assert_eq!(&bytes[4096..4096 + 17], b"\x04\x40\0\0\x01\x01\0\0\0\x01\0\0\xf0\0\0\0\0");
        assert_eq!([4113, 4121, 4129].map(number), [32768, 100, 692]);
        let extra = 4096 + 585 - 384;
        assert_eq!(&bytes[extra..extra + 11], b"\x01\0\0\0\x02\0\0\x0004\0");
    }

    #[test]
    fn what_the_image_says_becomes_scripts() {
        let text = r#"{"config":{"Env":["A=it's $1 \"b\"","PATH=/x:/y","b.c=1","_=2"],
            "Entrypoint":["/e","a b"],"Cmd":["c"]}}"#;
        let config = Config::parse(text.as_bytes()).expect("a configuration");
        assert_eq!(
            environment(&config.runtime.env),
            r#"#!/bin/sh
[ -n "${A+set}" ] || export A="it's \$1 \"b\""
export PATH="/x:/y"
[ -n "${_+set}" ] || export _="2"
"#
        );
        let script = r#"#!/bin/sh
[ "$#" -gt 0 ] || set -- "c"
exec "/e" "a b" "$@"
"#;
        assert_eq!(runscript(&config), script);
        let script = runscript(&Config::default());
        assert!(script.contains("set -- /bin/sh\nexec  \"$@\""), "{script}");
    }
}
