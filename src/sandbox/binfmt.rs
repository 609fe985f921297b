//! Programs for other machines: executed by qemu's user-mode emulators.
//!
//! Since Linux 6.7 each user namespace may have formats of its own. So an emulator of this machine is
//! registered where only bryo and its sandboxes see it: a detached mount, which lives as long as
//! bryo. The flag `F` has the kernel open the emulator now, so that nothing need be in an image.
//! Where that does not work, what root has registered serves, if it is kept open likewise.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use crate::sys::{self, mount};

/// A kind of machine, by the first bytes of its programs.
#[derive(Debug)]
struct Machine {
    /// As images call it.
    name: &'static str,
    /// As qemu does.
    qemu: &'static str,
    bits: u8,
    order: Order,
    /// `e_machine` (elf.h).
    number: u16,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    Little,
    Big,
}

const MACHINES: [Machine; 11] = [
    machine("386", "i386", 32, Order::Little, 3),
    machine("amd64", "x86_64", 64, Order::Little, 62),
    machine("arm", "arm", 32, Order::Little, 40),
    machine("arm64", "aarch64", 64, Order::Little, 183),
    machine("loong64", "loongarch64", 64, Order::Little, 258),
    machine("mips64", "mips64", 64, Order::Big, 8),
    machine("mips64le", "mips64el", 64, Order::Little, 8),
    machine("ppc64", "ppc64", 64, Order::Big, 21),
    machine("ppc64le", "ppc64le", 64, Order::Little, 21),
    machine("riscv64", "riscv64", 64, Order::Little, 243),
    machine("s390x", "s390x", 64, Order::Big, 22),
];

const fn machine(
    name: &'static str,
    qemu: &'static str,
    bits: u8,
    order: Order,
    number: u16,
) -> Machine {
    Machine { name, qemu, bits, order, number }
}

/// Where distributions put the emulators.
const FOLDERS: [&str; 3] = ["/usr/bin", "/usr/local/bin", "/usr/libexec/qemu-binfmt"];

/// The kind of segment that names a loader (elf.h).
const PT_INTERP: usize = 3;

/// Where the host's registrations are seen.
const HOST: &str = "/proc/sys/fs/binfmt_misc";

/// Why programs for another machine cannot be executed here, should it turn out so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Foreign {
    /// Nobody knows an emulator for such machines.
    Unknown,
    /// This machine has no emulator.
    NoEmulator { program: String },
    /// It has one, but this kernel lets root alone register it.
    Refused { program: PathBuf, why: String },
}

impl Foreign {
    /// What a person can do about it.
    pub(super) fn remedy(&self) -> String {
        match self {
            Self::Unknown => "build it on a machine of that kind".to_owned(),
            Self::NoEmulator { program } => format!(
                "install the package qemu-user-static, which has {program}; with Linux 6.7 or newer \
                 nothing else is needed"
            ),
            Self::Refused { program, why } => format!(
                "{} is here, but only root can register it: {why}; Linux 6.7 or newer lets everybody \
                 do so for themselves, and qemu-user-static, installed together with binfmt-support \
                 or systemd, does it for all",
                program.display()
            ),
        }
    }
}

/// What has been done in this process.
#[derive(Default)]
struct Registered {
    /// The mount, or why there is none.
    mount: Option<Result<OwnedFd, String>>,
    machines: BTreeMap<&'static str, Option<Foreign>>,
}

static REGISTERED: Mutex<Option<Registered>> = Mutex::new(None);

/// Sees to it that programs for `architecture` can be executed. If they cannot, what is returned
/// explains it; they may all the same, where a registration is not seen (in containers).
pub(super) fn prepare(architecture: &str) -> Option<Foreign> {
    if is_native(architecture) {
        return None;
    }
    let Some(wanted) = MACHINES.iter().find(|machine| machine.name == architecture) else {
        return Some(Foreign::Unknown);
    };
    let mut all = REGISTERED.lock().unwrap_or_else(PoisonError::into_inner);
    let all = all.get_or_insert_default();
    if let Some(known) = all.machines.get(wanted.name) {
        return known.clone();
    }
    let result = match wanted.emulator() {
        Some(emulator) => match all.register(wanted, &emulator) {
            Ok(()) => None,
            Err(_) if host_has(Path::new(HOST), wanted) => None,
            Err(why) => Some(Foreign::Refused { program: emulator, why }),
        },
        None if host_has(Path::new(HOST), wanted) => None,
        None => Some(Foreign::NoEmulator { program: wanted.program() }),
    };
    all.machines.insert(wanted.name, result.clone());
    result
}

/// Whether this machine's processor executes such programs itself, as far as one can tell. An empty
/// name says nothing.
fn is_native(architecture: &str) -> bool {
    let own = match std::env::consts::ARCH {
        "x86_64" => &["amd64", "386"][..],
        "aarch64" => &["arm64"],
        "x86" => &["386"],
        "powerpc64" if cfg!(target_endian = "little") => &["ppc64le"],
        "powerpc64" => &["ppc64"],
        "loongarch64" => &["loong64"],
        other => return architecture.is_empty() || architecture == other,
    };
    architecture.is_empty() || own.contains(&architecture)
}

impl Registered {
    fn register(&mut self, wanted: &Machine, emulator: &Path) -> Result<(), String> {
        let mount = self
            .mount
            .get_or_insert_with(|| mount::detached("binfmt_misc").map_err(|error| told(&error)));
        let mount = mount.as_ref().map_err(Clone::clone)?;
        let path = format!("/proc/self/fd/{}/register", mount.as_raw_fd());
        let line = wanted.line(emulator);
        let write = |path: &str| File::options().write(true).open(path)?.write_all(&line);
        write(&path).map_err(|source| told(&sys::Error { call: "write(register)".into(), source }))
    }
}

fn told(error: &sys::Error) -> String {
    format!("{error}: {}", error.source)
}

impl Machine {
    fn program(&self) -> String {
        format!("qemu-{}-static", self.qemu)
    }

    /// An emulator that needs no libraries, which would be looked for in the image.
    fn emulator(&self) -> Option<PathBuf> {
        let names = [self.program(), format!("qemu-{}", self.qemu)];
        FOLDERS
            .iter()
            .flat_map(|folder| names.iter().map(|name| Path::new(folder).join(name)))
            .find(|path| File::open(path).and_then(|file| is_static(&file)).unwrap_or(false))
    }

    /// How a program begins (elf(5)).
    fn magic(&self) -> [u8; 20] {
        let mut magic = [0; 20];
        magic[..4].copy_from_slice(b"\x7fELF");
        magic[4] = self.bits / 32;
        magic[5] = if self.order == Order::Little { 1 } else { 2 };
        magic[6] = 1;
        for (at, field) in [(16, 2), (18, self.number)] {
            magic[at..at + 2].copy_from_slice(&match self.order {
                Order::Little => u16::to_le_bytes(field),
                Order::Big => u16::to_be_bytes(field),
            });
        }
        magic
    }

    /// What counts of it: neither which system it was made for (`EI_OSABI` and after), nor whether it
    /// can be loaded anywhere (`ET_DYN` is `ET_EXEC` and a bit).
    fn mask(&self) -> [u8; 20] {
        let mut mask = [0xff; 20];
        mask[7..16].fill(0);
        mask[if self.order == Order::Little { 16 } else { 17 }] = 0xfe;
        mask
    }

    /// What is written to `register` (admin-guide/binfmt-misc.rst): the program is opened by the
    /// kernel (O), keeps its first argument (P), and the emulator is opened now (F).
    fn line(&self, emulator: &Path) -> Vec<u8> {
        let escaped = |bytes: [u8; 20]| -> String {
            bytes.iter().map(|byte| format!("\\x{byte:02x}")).collect()
        };
        let (magic, mask) = (escaped(self.magic()), escaped(self.mask()));
        format!(":qemu-{}:M::{magic}:{mask}:{}:OPF", self.qemu, emulator.display()).into_bytes()
    }
}

/// Whether a program needs no loader: none of its segments names one (`PT_INTERP`).
fn is_static(mut file: &File) -> io::Result<bool> {
    let mut head = vec![0; 4096];
    let count = file.read(&mut head)?;
    head.truncate(count);
    if !head.starts_with(b"\x7fELF") {
        return Ok(false);
    }
    let is_big = head.get(5) == Some(&2);
    let number = |at: usize, size: usize| -> Option<usize> {
        let field = head.get(at..at.checked_add(size)?)?;
        let shift = |all: usize, byte: &u8| all << 8 | usize::from(*byte);
        Some(if is_big { field.iter().fold(0, shift) } else { field.iter().rev().fold(0, shift) })
    };
    // Where the table of segments begins, the size of an entry, and how many there are.
    let table = match head.get(4) {
        Some(2) => (number(32, 8), number(54, 2), number(56, 2)),
        _ => (number(28, 4), number(42, 2), number(44, 2)),
    };
    let (Some(start), Some(size), Some(count)) = table else { return Ok(false) };
    let is_loader = |at: usize| {
        let place = at.checked_mul(size).and_then(|offset| offset.checked_add(start));
        place.and_then(|place| number(place, 4)).is_none_or(|kind| kind == PT_INTERP)
    };
    Ok(count > 0 && !(0..count).any(is_loader))
}

/// Whether root has registered an emulator that is kept open.
fn host_has(folder: &Path, wanted: &Machine) -> bool {
    let Ok(entries) = fs::read_dir(folder) else { return false };
    entries
        .flatten()
        .filter_map(|entry| fs::read_to_string(entry.path()).ok())
        .any(|text| serves(&text, wanted))
}

/// Whether a registration, as the kernel shows it, is for a machine's programs.
fn serves(text: &str, wanted: &Machine) -> bool {
    let field = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
    let bytes = |name: &str| {
        let text = field(name)?;
        let pairs = text.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).ok());
        pairs.map(|pair| u8::from_str_radix(pair?, 16).ok()).collect::<Option<Vec<u8>>>()
    };
    let is_on = text.lines().next() == Some("enabled");
    let is_open = field("flags:").is_some_and(|flags| flags.contains('F'));
    let Some(magic) = bytes("magic ").filter(|_| is_on && is_open && field("offset") == Some("0"))
    else {
        return false;
    };
    let mask = bytes("mask ").unwrap_or_else(|| vec![0xff; magic.len()]);
    let head = wanted.magic();
    magic.len() <= head.len()
        && mask.len() == magic.len()
        && magic.iter().zip(&mask).zip(head).all(|((magic, mask), own)| own & mask == magic & mask)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(name: &str) -> &'static Machine {
        MACHINES.iter().find(|machine| machine.name == name).expect("it is in the table")
    }

    #[test]
    fn programs_are_known_by_their_beginning() {
        for (name, end, mask) in [
            ("arm64", "\\x02\\x00\\xb7\\x00", "\\xfe\\xff\\xff\\xff"),
            ("arm", "\\x02\\x00\\x28\\x00", "\\xfe\\xff\\xff\\xff"),
            ("riscv64", "\\x02\\x00\\xf3\\x00", "\\xfe\\xff\\xff\\xff"),
            ("loong64", "\\x02\\x00\\x02\\x01", "\\xfe\\xff\\xff\\xff"),
            ("s390x", "\\x00\\x02\\x00\\x16", "\\xff\\xfe\\xff\\xff"),
        ] {
            let machine = find(name);
            let line = String::from_utf8(machine.line(Path::new("/q"))).expect("text");
            let fields: Vec<&str> = line.split(':').collect();
            let class = if machine.bits == 64 { "02" } else { "01" };
            let data = if machine.order == Order::Big { "02" } else { "01" };
            let zeros = "\\x00".repeat(9);
            let head = format!("\\x7f\\x45\\x4c\\x46\\x{class}\\x{data}\\x01{zeros}{end}");
            assert_eq!(fields[..4], ["", &format!("qemu-{}", machine.qemu), "M", ""]);
            assert_eq!(fields[4], head, "{name}");
            assert_eq!(fields[5], format!("{}{zeros}{mask}", "\\xff".repeat(7)), "{name}");
            assert_eq!(fields[6..], ["/q", "OPF"]);
            // As much as the kernel reads of a program and takes of a line.
            assert!(line.len() < 1920);
        }
    }

    #[test]
    fn registrations_of_root_serve_if_they_are_open() {
        let shown = |first: &str, flags: &str, magic: &str| {
            format!(
                "{first}\ninterpreter /usr/libexec/qemu-binfmt/aarch64-binfmt-P\nflags: {flags}\n\
                 offset 0\nmagic {magic}\nmask ffffffffffffff00fffffffffffffffffeffffff\n"
            )
        };
        let arm64 = "7f454c460201010000000000000000000200b700";
        for (text, wanted, expected) in [
            (shown("enabled", "POF", arm64), "arm64", true),
            (shown("enabled", "F", arm64), "arm64", true),
            (shown("enabled", "F", arm64), "riscv64", false),
            (shown("enabled", "PO", arm64), "arm64", false),
            (shown("disabled", "POF", arm64), "arm64", false),
            (shown("enabled", "POF", "7f454c46?"), "arm64", false),
            ("enabled\n".to_owned(), "arm64", false),
        ] {
            assert_eq!(serves(&text, find(wanted)), expected, "{wanted}: {text}");
        }
        assert!(!host_has(Path::new("/nowhere"), find("arm64")));
    }

    #[test]
    fn what_this_machine_executes_needs_no_help() {
        assert!(is_native(""));
        if cfg!(target_arch = "x86_64") {
            assert!(is_native("amd64") && is_native("386") && !is_native("arm64"));
        }
        assert_eq!(prepare("pdp11"), Some(Foreign::Unknown));
    }

    #[test]
    fn static_programs_name_no_loader() {
        let check = |path: &str| File::open(path).and_then(|file| is_static(&file)).ok();
        // The test itself is a program that has a loader.
        assert_eq!(check("/proc/self/exe"), Some(cfg!(target_feature = "crt-static")));
        assert_eq!(check("/etc/passwd"), Some(false));
        if Path::new("/usr/bin/busybox").exists() {
            assert_eq!(check("/usr/bin/busybox"), Some(true));
        }
    }
}
