//! The kernel's headers for one architecture, as far as a comparison needs them: the preprocessor
//! does the work, and no compiler for that architecture is needed.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};

use std::io::Write as _;

use crate::emulate::tables::Abi;

/// Where Debian has the headers of an ABI, and how the preprocessor gets to know which one it is.
pub(crate) struct Home {
    pub(crate) abi: Abi,
    /// The package that has them where they are not the machine's own.
    pub(crate) package: &'static str,
    folders: [&'static str; 2],
    defines: &'static [&'static str],
    /// What its own `asm/unistd.h` is.
    numbers: &'static str,
}

const ASM: &str = "asm/unistd.h";

pub(crate) const HOMES: [Home; 9] = [
    Home {
        abi: Abi::X86_64,
        package: "linux-libc-dev-amd64-cross",
        folders: ["/usr/x86_64-linux-gnu/include", "/usr/include/x86_64-linux-gnu"],
        defines: &["__x86_64__", "__LP64__"],
        numbers: ASM,
    },
    Home {
        abi: Abi::I386,
        package: "linux-libc-dev-i386-cross",
        folders: ["/usr/i686-linux-gnu/include", "/usr/include/x86_64-linux-gnu"],
        defines: &["__i386__"],
        numbers: ASM,
    },
    Home {
        abi: Abi::Aarch64,
        package: "linux-libc-dev-arm64-cross",
        folders: ["/usr/aarch64-linux-gnu/include", "/usr/include/aarch64-linux-gnu"],
        defines: &["__aarch64__", "__LP64__"],
        numbers: ASM,
    },
    Home {
        abi: Abi::Arm,
        package: "linux-libc-dev-armhf-cross",
        folders: ["/usr/arm-linux-gnueabihf/include", "/usr/include/arm-linux-gnueabihf"],
        defines: &["__arm__", "__ARMEL__", "__ARM_EABI__"],
        numbers: ASM,
    },
    Home {
        abi: Abi::Riscv64,
        package: "linux-libc-dev-riscv64-cross",
        folders: ["/usr/riscv64-linux-gnu/include", "/usr/include/riscv64-linux-gnu"],
        defines: &["__riscv", "__riscv_xlen=64", "__SIZEOF_POINTER__=8", "__LP64__"],
        numbers: ASM,
    },
    Home {
        abi: Abi::Ppc64le,
        package: "linux-libc-dev-ppc64el-cross",
        folders: ["/usr/powerpc64le-linux-gnu/include", "/usr/include/powerpc64le-linux-gnu"],
        defines: &["__powerpc__", "__powerpc64__", "__LITTLE_ENDIAN__"],
        numbers: ASM,
    },
    Home {
        abi: Abi::S390x,
        package: "linux-libc-dev-s390x-cross",
        folders: ["/usr/s390x-linux-gnu/include", "/usr/include/s390x-linux-gnu"],
        defines: &["__s390__", "__s390x__"],
        numbers: ASM,
    },
    Home {
        abi: Abi::Mips64el,
        package: "linux-libc-dev-mips64el-cross",
        folders: ["/usr/mips64el-linux-gnuabi64/include", "/usr/include/mips64el-linux-gnuabi64"],
        defines: &["__mips__", "__MIPSEL__", "_MIPS_SIM=3", "_MIPS_SZLONG=64"],
        numbers: ASM,
    },
    // Debian bookworm has no package for it. It takes everything from asm-generic, as riscv64 does;
    // `__ARCH_WANT_NEW_STAT` it has since Linux 6.11.
    Home {
        abi: Abi::Loongarch64,
        package: "linux-libc-dev-riscv64-cross",
        folders: ["/usr/riscv64-linux-gnu/include", "/usr/include/riscv64-linux-gnu"],
        defines: &["__riscv_xlen=64", "__SIZEOF_POINTER__=8", "__ARCH_WANT_NEW_STAT"],
        numbers: "asm-generic/unistd.h",
    },
];

/// Headers behind the preprocessor, which put everything that was asked for in its place.
pub(crate) struct Headers {
    text: String,
    pointer_size: usize,
    /// i386 aligns 64 bits as it does 32.
    greatest_alignment: usize,
}

impl Headers {
    /// `None` where they are not installed.
    pub(crate) fn of(home: &Home, asked: &[&str]) -> Option<Self> {
        let folder = home.folders.iter().find(|folder| Path::new(folder).join(ASM).exists())?;
        let mut source = format!("#include <{}>\n", home.numbers);
        for header in [
            "asm/errno.h",
            "asm/fcntl.h",
            "asm/socket.h",
            "asm/stat.h",
            "linux/audit.h",
            "linux/net.h",
            "linux/prctl.h",
            "linux/resource.h",
            "linux/sched.h",
            "linux/stat.h",
        ] {
            source += &format!("#include <{header}>\n");
        }
        for name in asked {
            source += &format!("@ \"{name}\" {name}\n");
        }
        let mut cc = Command::new("cc");
        cc.args(["-E", "-P", "-dD", "-undef", "-nostdinc", "-x", "c", "-I", folder]);
        cc.args(["-I", "/usr/include"]);
        cc.args(home.defines.iter().map(|define| format!("-D{define}")));
        let mut cc = cc
            .arg("-")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a C compiler, as Rust needs to link");
        cc.stdin.take().expect("its input").write_all(source.as_bytes()).expect("a source");
        let output = cc.wait_with_output().expect("its output");
        assert!(output.status.success(), "the headers of {:?} do not parse", home.abi);
        Some(Self {
            text: String::from_utf8(output.stdout).expect("ASCII"),
            pointer_size: home.abi.pointer_size(),
            greatest_alignment: if home.abi == Abi::I386 { 4 } else { 8 },
        })
    }

    /// The values of what was asked for; what the headers do not define is missing.
    pub(crate) fn values(&self) -> BTreeMap<&str, u64> {
        self.text
            .lines()
            .filter_map(|line| line.strip_prefix("@ \"")?.split_once("\" "))
            .filter_map(|(name, expression)| Some((name, evaluate(expression)?)))
            .collect()
    }

    /// The names of all system calls that have a number, whatever it is.
    pub(crate) fn calls(&self) -> impl Iterator<Item = &str> {
        self.text.lines().filter_map(|line| {
            let (name, value) = line.strip_prefix("#define __NR_")?.split_once(' ')?;
            (!value.trim().is_empty()).then_some(name)
        })
    }

    /// The highest number, by the count that all architectures share.
    pub(crate) fn newest(&self) -> u32 {
        let numbers = self.text.lines().filter_map(|line| {
            let (_, value) = line.strip_prefix("#define __NR_")?.split_once(' ')?;
            let digits = value.trim_end_matches(')').rsplit([' ', '+', '(']).next()?;
            // What is greater is the base that the others are added to.
            digits.parse().ok().filter(|number| *number < 4000)
        });
        numbers.max().expect("calls")
    }

    /// Offset and size of each member of a structure, and the size of it all.
    pub(crate) fn structure(&self, name: &str) -> (BTreeMap<String, (usize, usize)>, usize) {
        let mut members = BTreeMap::new();
        let (mut end, mut whole) = (0_usize, 1);
        for declaration in self.body(name).split(';').filter(|line| !line.trim().is_empty()) {
            let (kind, member) = declaration.trim().rsplit_once([' ', '\t']).expect("a member");
            let (member, count) = match member.split_once('[') {
                Some((member, rest)) => (member, rest.trim_end_matches(']').trim()),
                None => (member, "1"),
            };
            let (size, alignment) = self.size_of(kind);
            let offset = end.next_multiple_of(alignment);
            members.insert(member.to_owned(), (offset, size));
            end = offset + size * count.parse::<usize>().expect("a length");
            whole = whole.max(alignment);
        }
        (members, end.next_multiple_of(whole))
    }

    /// Without its braces, and without the macros that stand between its members.
    fn body(&self, structure: &str) -> String {
        let head = format!("struct {structure} {{");
        let (_, rest) = self.text.split_once(&head).unwrap_or_else(|| panic!("no {head}"));
        let body = rest.split('}').next().expect("its end");
        body.lines().filter(|line| !line.starts_with('#')).collect::<Vec<_>>().join("\n")
    }

    /// Size and alignment of a type.
    fn size_of(&self, kind: &str) -> (usize, usize) {
        let words: Vec<_> = kind.split_whitespace().collect();
        if let ["struct", name] = words[..] {
            // The only one of them, `struct statx_timestamp`, begins with 64 bits.
            return (self.structure(name).1, self.greatest_alignment);
        }
        let count = |word| words.iter().filter(|each| **each == word).count();
        let size = match (count("char"), count("short"), count("long"), count("int")) {
            (1, ..) => 1,
            (_, 1, ..) => 2,
            (_, _, 2, _) => 8,
            (_, _, 1, _) => self.pointer_size,
            (_, _, _, 1) => 4,
            _ => return self.size_of(self.typedef(words.last().expect("a type"))),
        };
        (size, size.min(self.greatest_alignment))
    }

    fn typedef(&self, name: &str) -> &str {
        let lines = self.text.lines().map(|line| line.trim_start_matches("__extension__ "));
        lines
            .filter_map(|line| line.strip_prefix("typedef ")?.strip_suffix(';'))
            .filter_map(|line| line.rsplit_once(' '))
            .find(|(_, new)| *new == name)
            .unwrap_or_else(|| panic!("no type {name}"))
            .0
    }
}

/// A sum or an alternative of numbers, which is all that the constants are.
fn evaluate(expression: &str) -> Option<u64> {
    let flat = expression.replace(['(', ')', ' ', 'U', 'L'], "");
    flat.split('|').try_fold(0, |bits, sum| {
        let sum = sum.split('+').try_fold(0, |sum, number| Some(sum + parse(number)?));
        Some(bits | sum?)
    })
}

fn parse(number: &str) -> Option<u64> {
    match number.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).ok(),
        None if number.starts_with('0') => u64::from_str_radix(number, 8).ok(),
        None => number.parse().ok(),
    }
}
