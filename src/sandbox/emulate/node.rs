//! Nodes: fifos and sockets, which the kernel makes, and devices, for which it would ask the real
//! root. An empty file stands for such a one, and a record says what it is.

use super::credentials::Capability;
use super::place::{Made, Place};
use super::request::{CURRENT_DIRECTORY, Reply, Request};
use super::tables::Call;
use super::{Answer, create, device};
use crate::rootfs::{Device, DeviceKind};
use crate::sys::errno::Errno;
use crate::sys::native;

const S_IFMT: u32 = 0o170_000;
const S_IFREG: u32 = 0o100_000;
const S_IFCHR: u32 = 0o020_000;
const S_IFBLK: u32 = 0o060_000;

pub(super) fn mknod(request: &Request<'_>) -> Reply {
    let (directory, path) = match request.call() {
        Call::Mknod => (CURRENT_DIRECTORY, 0),
        _ => (request.int(0), 1),
    };
    let (mode, number) = (request.word(path + 1), request.word(path + 2));
    let path = request.text(path)?;
    let mode = if mode & S_IFMT == 0 { mode | S_IFREG } else { mode };
    let kind = match mode & S_IFMT {
        S_IFCHR => DeviceKind::Char,
        S_IFBLK => DeviceKind::Block,
        _ => {
            return create::make(request, directory, &path, |place, name| {
                native::make_node(name, place.permissions(mode))
            });
        }
    };
    let Ok(place) = Place::find(request, directory, &path, 0) else { return Ok(Answer::Continue) };
    let device = decode(kind, number);
    let is_whiteout = kind == DeviceKind::Char && number == 0;
    // overlayfs lets nobody make what it takes for a deletion.
    if is_whiteout || !request.credentials()?.may(Capability::MkNod) {
        // It asks for the right last.
        return if place.is_free() { Err(Errno::PERM) } else { Ok(Answer::Continue) };
    }
    let mode = place.permissions(mode & 0o7777);
    match place.make_device(device, |name| native::make_node(name, S_IFREG | mode))? {
        Made::Here(()) => {
            device::bind(request, place.name(), device);
            Ok(Answer::Value(0))
        }
        Made::Exists | Made::Not => Ok(Answer::Continue),
    }
}

/// The kernel's `new_decode_dev`.
fn decode(kind: DeviceKind, number: u32) -> Device {
    let minor = number & 0xff | number >> 12 & 0xf_ff00;
    Device { kind, major: number >> 8 & 0xfff, minor }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_those_of_the_kernel() {
        for (number, major, minor) in [
            (0x0103, 1, 3),
            (0x0501, 5, 1),
            (0x10_08ff, 8, 0x1ff),
            (0xffff_ffff, 0xfff, 0xf_ffff),
            (0, 0, 0),
        ] {
            let device = Device { kind: DeviceKind::Block, major, minor };
            assert_eq!(decode(DeviceKind::Block, number), device, "{number:#x}");
        }
    }
}
