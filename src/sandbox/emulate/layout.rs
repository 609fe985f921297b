//! The forms of `struct stat`, as data, and how the kernel fills them.
//!
//! Taken from the kernel's `arch/*/include/uapi/asm/stat.h` and, for what does not fit, from
//! `fs/stat.c`. `tests/system_calls` compares the offsets with the headers.

use super::tables::Abi;
use crate::sys::errno::Errno;
use crate::sys::native::Attributes;
use crate::sys::path::device_parts;

/// The fields of a `struct stat`, by the kernel's names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Field {
    Dev,
    Ino,
    /// The inode's number in a structure that has a wider place for it as well, `__st_ino`: cut.
    BrokenIno,
    Mode,
    Nlink,
    Uid,
    Gid,
    Rdev,
    Size,
    Blksize,
    Blocks,
    Atime,
    AtimeNsec,
    Mtime,
    MtimeNsec,
    Ctime,
    CtimeNsec,
}

/// A form of `struct stat`; what no field covers is 0.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Layout {
    pub(crate) size: usize,
    /// The offset of each field, and its width in bytes.
    pub(crate) fields: &'static [(Field, usize, usize)],
    /// The oldest form: device numbers have 8 bits and 8 bits, and what does not fit is not refused.
    old_devices: bool,
}

use Field::*;

const X86_64: Layout = Layout {
    size: 144,
    fields: &[
        (Dev, 0, 8),
        (Ino, 8, 8),
        (Nlink, 16, 8),
        (Mode, 24, 4),
        (Uid, 28, 4),
        (Gid, 32, 4),
        (Rdev, 40, 8),
        (Size, 48, 8),
        (Blksize, 56, 8),
        (Blocks, 64, 8),
        (Atime, 72, 8),
        (AtimeNsec, 80, 8),
        (Mtime, 88, 8),
        (MtimeNsec, 96, 8),
        (Ctime, 104, 8),
        (CtimeNsec, 112, 8),
    ],
    old_devices: false,
};

/// Of `asm-generic/stat.h`.
const GENERIC: Layout = Layout {
    size: 128,
    fields: &[
        (Dev, 0, 8),
        (Ino, 8, 8),
        (Mode, 16, 4),
        (Nlink, 20, 4),
        (Uid, 24, 4),
        (Gid, 28, 4),
        (Rdev, 32, 8),
        (Size, 48, 8),
        (Blksize, 56, 4),
        (Blocks, 64, 8),
        (Atime, 72, 8),
        (AtimeNsec, 80, 8),
        (Mtime, 88, 8),
        (MtimeNsec, 96, 8),
        (Ctime, 104, 8),
        (CtimeNsec, 112, 8),
    ],
    old_devices: false,
};

/// As x86_64's to the last used byte.
const PPC64LE: Layout = Layout { size: 144, fields: X86_64.fields, old_devices: false };

const S390X: Layout = Layout {
    size: 144,
    fields: &[
        (Dev, 0, 8),
        (Ino, 8, 8),
        (Nlink, 16, 8),
        (Mode, 24, 4),
        (Uid, 28, 4),
        (Gid, 32, 4),
        (Rdev, 40, 8),
        (Size, 48, 8),
        (Atime, 56, 8),
        (AtimeNsec, 64, 8),
        (Mtime, 72, 8),
        (MtimeNsec, 80, 8),
        (Ctime, 88, 8),
        (CtimeNsec, 96, 8),
        (Blksize, 104, 8),
        (Blocks, 112, 8),
    ],
    old_devices: false,
};

const MIPS64EL: Layout = Layout {
    size: 104,
    fields: &[
        (Dev, 0, 4),
        (Ino, 16, 8),
        (Mode, 24, 4),
        (Nlink, 28, 4),
        (Uid, 32, 4),
        (Gid, 36, 4),
        (Rdev, 40, 4),
        (Size, 56, 8),
        (Atime, 64, 4),
        (AtimeNsec, 68, 4),
        (Mtime, 72, 4),
        (MtimeNsec, 76, 4),
        (Ctime, 80, 4),
        (CtimeNsec, 84, 4),
        (Blksize, 88, 4),
        (Blocks, 96, 8),
    ],
    old_devices: false,
};

/// i386's and arm's `struct stat`, of the calls `stat`, `lstat` and `fstat`.
const NARROW: Layout = Layout {
    size: 64,
    fields: &[
        (Dev, 0, 4),
        (Ino, 4, 4),
        (Mode, 8, 2),
        (Nlink, 10, 2),
        (Uid, 12, 2),
        (Gid, 14, 2),
        (Rdev, 16, 4),
        (Size, 20, 4),
        (Blksize, 24, 4),
        (Blocks, 28, 4),
        (Atime, 32, 4),
        (AtimeNsec, 36, 4),
        (Mtime, 40, 4),
        (MtimeNsec, 44, 4),
        (Ctime, 48, 4),
        (CtimeNsec, 52, 4),
    ],
    old_devices: false,
};

/// `struct __old_kernel_stat`.
const OLD: Layout = Layout {
    size: 32,
    fields: &[
        (Dev, 0, 2),
        (Ino, 2, 2),
        (Mode, 4, 2),
        (Nlink, 6, 2),
        (Uid, 8, 2),
        (Gid, 10, 2),
        (Rdev, 12, 2),
        (Size, 16, 4),
        (Atime, 20, 4),
        (Mtime, 24, 4),
        (Ctime, 28, 4),
    ],
    old_devices: true,
};

/// i386's `struct stat64`, where 64 bits need no more than 32 bits' alignment.
const I386_64: Layout = Layout {
    size: 96,
    fields: &[
        (Dev, 0, 8),
        (BrokenIno, 12, 4),
        (Mode, 16, 4),
        (Nlink, 20, 4),
        (Uid, 24, 4),
        (Gid, 28, 4),
        (Rdev, 32, 8),
        (Size, 44, 8),
        (Blksize, 52, 4),
        (Blocks, 56, 8),
        (Atime, 64, 4),
        (AtimeNsec, 68, 4),
        (Mtime, 72, 4),
        (MtimeNsec, 76, 4),
        (Ctime, 80, 4),
        (CtimeNsec, 84, 4),
        (Ino, 88, 8),
    ],
    old_devices: false,
};

/// arm's `struct stat64`.
const ARM_64: Layout = Layout {
    size: 104,
    fields: &[
        (Dev, 0, 8),
        (BrokenIno, 12, 4),
        (Mode, 16, 4),
        (Nlink, 20, 4),
        (Uid, 24, 4),
        (Gid, 28, 4),
        (Rdev, 32, 8),
        (Size, 48, 8),
        (Blksize, 56, 4),
        (Blocks, 64, 8),
        (Atime, 72, 4),
        (AtimeNsec, 76, 4),
        (Mtime, 80, 4),
        (MtimeNsec, 84, 4),
        (Ctime, 88, 4),
        (CtimeNsec, 92, 4),
        (Ino, 96, 8),
    ],
    old_devices: false,
};

impl Layout {
    /// Of the structure that a call fills, if the call is one of the stat family but `statx`.
    pub(crate) fn of(abi: Abi, call: &str) -> Option<&'static Self> {
        match (abi, call) {
            (Abi::I386, "oldstat" | "oldlstat" | "oldfstat") => Some(&OLD),
            (Abi::I386, "stat64" | "lstat64" | "fstat64" | "fstatat64") => Some(&I386_64),
            (Abi::Arm, "stat64" | "lstat64" | "fstat64" | "fstatat64") => Some(&ARM_64),
            (_, "stat" | "lstat" | "fstat" | "newfstatat") => Some(match abi {
                Abi::I386 | Abi::Arm => &NARROW,
                Abi::X86_64 => &X86_64,
                Abi::Aarch64 | Abi::Riscv64 | Abi::Loongarch64 => &GENERIC,
                Abi::Ppc64le => &PPC64LE,
                Abi::S390x => &S390X,
                Abi::Mips64el => &MIPS64EL,
            }),
            _ => None,
        }
    }

    /// The structure's bytes, in this machine's order.
    ///
    /// # Errors
    ///
    /// `EOVERFLOW` where the kernel says so (`cp_old_stat`, `cp_new_stat`): an inode or a link
    /// count that does not fit, a size of more than 31 bits for a program of 32, a device that does
    /// not fit. Times, blocks and modes are cut, and an id of more than 16 bits is nobody's.
    pub(crate) fn encode(&self, attributes: &Attributes) -> Result<Vec<u8>, Errno> {
        let mut bytes = vec![0; self.size];
        for &(field, offset, width) in self.fields {
            let value = self.value(attributes, field, width)?;
            let whole = value.to_ne_bytes();
            let skip = if cfg!(target_endian = "big") { whole.len() - width } else { 0 };
            bytes[offset..offset + width].copy_from_slice(&whole[skip..skip + width]);
        }
        Ok(bytes)
    }

    fn value(&self, attributes: &Attributes, field: Field, width: usize) -> Result<u64, Errno> {
        let greatest = u64::MAX >> (64 - 8 * width);
        let whole = |value| if value > greatest { Err(Errno::OVERFLOW) } else { Ok(value) };
        match field {
            Dev | Rdev => {
                let device = if field == Dev { attributes.dev } else { attributes.rdev };
                if self.old_devices { Ok(old_device(device)) } else { whole(device) }
            }
            Ino => whole(attributes.ino),
            BrokenIno => Ok(attributes.ino),
            Mode => Ok(attributes.mode.into()),
            Nlink => whole(attributes.nlink),
            Uid => Ok(short(attributes.uid, width).into()),
            Gid => Ok(short(attributes.gid, width).into()),
            // Signed, unlike the other fields.
            Size if attributes.size > greatest >> 1 => Err(Errno::OVERFLOW),
            Size => Ok(attributes.size),
            Blksize => Ok(attributes.blksize),
            Blocks => Ok(attributes.blocks),
            Atime => Ok(attributes.atime.0.cast_unsigned()),
            AtimeNsec => Ok(attributes.atime.1.into()),
            Mtime => Ok(attributes.mtime.0.cast_unsigned()),
            MtimeNsec => Ok(attributes.mtime.1.into()),
            Ctime => Ok(attributes.ctime.0.cast_unsigned()),
            CtimeNsec => Ok(attributes.ctime.1.into()),
        }
    }
}

/// A device number as it once was (`old_encode_dev`), which mixes what does not fit.
fn old_device(device: u64) -> u64 {
    let (major, minor) = device_parts(device);
    u64::from(major << 8 | minor)
}

/// An id in a field of 16 bits, when it has no more than that (`high2lowuid`).
fn short(id: u32, width: usize) -> u32 {
    if width < 4 { short_id(id) } else { id }
}

/// What calls of 16 bits tell of an id (`high2lowuid` of the kernel): those that are greater are
/// all nobody's.
pub(crate) fn short_id(id: u32) -> u32 {
    const OVERFLOW: u32 = 65534;
    if id > 0xffff { OVERFLOW } else { id }
}

/// The places in `struct statx` that emulation changes; it is the same for all.
pub(crate) mod statx {
    pub(crate) const SIZE: usize = 256;
    pub(crate) const UID: usize = 20;
    pub(crate) const GID: usize = 24;
    /// Of 16 bits.
    pub(crate) const MODE: usize = 28;
    /// Of 64 bits, like the next two.
    pub(crate) const INO: usize = 32;
    pub(crate) const LENGTH: usize = 40;
    pub(crate) const BLOCKS: usize = 48;
    pub(crate) const RDEV_MAJOR: usize = 128;
    pub(crate) const RDEV_MINOR: usize = 132;
    pub(crate) const DEV_MAJOR: usize = 136;
    pub(crate) const DEV_MINOR: usize = 140;
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: Attributes = Attributes {
        dev: 0x8001,
        ino: 0x1234,
        mode: 0o104_755,
        nlink: 3,
        uid: 33,
        gid: 70_000,
        rdev: 0x0103,
        size: 0x7fff_fff0,
        blksize: 4096,
        blocks: 0x1_0000,
        atime: (1, 2),
        mtime: (-3, 999_999_999),
        ctime: (0x1_0000_0005, 6),
    };

    fn layout(abi: Abi, name: &str) -> &'static Layout {
        Layout::of(abi, name).expect("a structure")
    }

    /// What a program would read, unsigned.
    fn field(layout: &Layout, bytes: &[u8], wanted: Field) -> u64 {
        let mut fields = layout.fields.iter();
        let (_, offset, width) = fields.find(|(field, ..)| *field == wanted).expect("a field");
        let bytes = &bytes[*offset..offset + width];
        let add = |value, byte: &u8| value << 8 | u64::from(*byte);
        if cfg!(target_endian = "big") {
            bytes.iter().fold(0, add)
        } else {
            bytes.iter().rev().fold(0, add)
        }
    }

    #[test]
    fn fields_stand_where_programs_read_them() {
        let (full, cut) = (-3_i64 as u64, u64::from(-3_i32 as u32));
        // The group, the second time and the third one's seconds depend on the widths.
        let cases = [
            (Abi::X86_64, "stat", 70_000, full, 0x1_0000_0005),
            (Abi::Aarch64, "newfstatat", 70_000, full, 0x1_0000_0005),
            (Abi::Ppc64le, "fstat", 70_000, full, 0x1_0000_0005),
            (Abi::S390x, "lstat", 70_000, full, 0x1_0000_0005),
            (Abi::Mips64el, "stat", 70_000, cut, 5),
            (Abi::I386, "stat64", 70_000, cut, 5),
            (Abi::Arm, "fstatat64", 70_000, cut, 5),
            (Abi::I386, "stat", 65_534, cut, 5),
            (Abi::I386, "oldstat", 65_534, cut, 5),
        ];
        for (abi, name, gid, mtime, ctime) in cases {
            let layout = layout(abi, name);
            let file = Attributes { size: 0x1234, ..FILE };
            let bytes = layout.encode(&file).expect("it fits");
            assert_eq!(bytes.len(), layout.size);
            for (wanted, right) in [
                (Dev, 0x8001),
                (Ino, 0x1234),
                (Nlink, 3),
                (Uid, 33),
                (Gid, gid),
                (Rdev, 0x0103),
                (Size, 0x1234),
                (Mtime, mtime),
                (Ctime, ctime),
            ] {
                assert_eq!(field(layout, &bytes, wanted), right, "{abi:?} {name} {wanted:?}");
            }
            // 16 bits hold the whole mode.
            assert_eq!(field(layout, &bytes, Mode), 0o104_755, "{abi:?} {name}");
            if name != "oldstat" {
                assert_eq!(field(layout, &bytes, MtimeNsec), 999_999_999, "{abi:?} {name}");
                assert_eq!(field(layout, &bytes, Blksize), 4096, "{abi:?} {name}");
                assert_eq!(field(layout, &bytes, Blocks), 0x1_0000, "{abi:?} {name}");
            }
        }
    }

    #[test]
    fn what_does_not_fit_is_refused_or_cut_as_in_the_kernel() {
        let wide_device = 0x10_0000;
        let cases: &[(&str, Attributes, &str)] = &[
            // A file and what each form of i386 says: oldstat, stat, stat64.
            ("all fits", FILE, "yyy"),
            ("a large file", Attributes { size: 0x8000_0000, ..FILE }, "nny"),
            ("an inode of 17 bits", Attributes { ino: 0x1_0000, ..FILE }, "nyy"),
            ("an inode of 33 bits", Attributes { ino: 0x1_0000_0000, ..FILE }, "nny"),
            ("many links", Attributes { nlink: 0x1_0000, ..FILE }, "nny"),
            ("a device of 21 bits", Attributes { rdev: wide_device, ..FILE }, "yyy"),
            ("on a device of 21 bits", Attributes { dev: wide_device, ..FILE }, "yyy"),
            ("many blocks", Attributes { blocks: 0x1_0000_0001, ..FILE }, "yyy"),
        ];
        for (what, file, right) in cases {
            let found: String = ["oldstat", "stat", "stat64"]
                .iter()
                .map(|name| match layout(Abi::I386, name).encode(file) {
                    Ok(_) => 'y',
                    Err(Errno::OVERFLOW) => 'n',
                    Err(e) => panic!("{e}"),
                })
                .collect();
            assert_eq!(&found, right, "{what}");
        }
        // Device 6:300 in 8 bits and 8 bits, as the kernel puts it there.
        let bytes = layout(Abi::I386, "oldstat").encode(&Attributes { rdev: 0x10_062c, ..FILE });
        assert_eq!(field(&OLD, &bytes.expect("it fits"), Rdev), 0x72c);
        // In `struct stat64` the inode has a short place too, where it is cut.
        let bytes = layout(Abi::I386, "stat64").encode(&Attributes { ino: 0x1_0000_0007, ..FILE });
        let bytes = bytes.expect("it fits");
        assert_eq!(field(&I386_64, &bytes, BrokenIno), 7);
        assert_eq!(field(&I386_64, &bytes, Ino), 0x1_0000_0007);
    }

    #[test]
    fn what_no_field_covers_is_zero() {
        let ones = Attributes {
            dev: 0xffff,
            ino: 0xffff,
            mode: 0xffff,
            nlink: 0xffff,
            uid: u32::MAX,
            gid: u32::MAX,
            rdev: 0xffff,
            size: 0x7fff_ffff,
            blksize: u64::MAX,
            blocks: u64::MAX,
            atime: (-1, u32::MAX),
            mtime: (-1, u32::MAX),
            ctime: (-1, u32::MAX),
        };
        for layout in all() {
            let mut bytes = layout.encode(&ones).expect("it fits");
            for (_, offset, width) in layout.fields {
                bytes[*offset..offset + width].fill(0);
            }
            assert!(bytes.iter().all(|byte| *byte == 0), "{layout:?}");
        }
    }

    #[test]
    fn fields_do_not_overlap() {
        for layout in all() {
            let mut fields: Vec<_> = layout.fields.iter().map(|(_, at, n)| (*at, *n)).collect();
            fields.sort_unstable();
            fields.push((layout.size, 0));
            assert!(fields.windows(2).all(|pair| pair[0].0 + pair[0].1 <= pair[1].0), "{layout:?}");
        }
    }

    fn all() -> impl Iterator<Item = &'static Layout> {
        let names = ["oldstat", "stat", "stat64"];
        Abi::ALL.into_iter().flat_map(move |abi| names.map(|name| Layout::of(abi, name))).flatten()
    }
}
