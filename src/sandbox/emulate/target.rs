//! [`Target`]: a file that a traced thread means, as a worker names it.

use std::ffi::{CStr, CString};
use std::os::fd::OwnedFd;
use std::sync::Arc;

use super::Shared;
use crate::rootfs::{DeviceKind, FileType, Record, live};
use crate::sys::errno::Errno;
use crate::sys::native::{self, Attributes};
use crate::sys::path::device_number;

const S_IFCHR: u32 = 0o020_000;
const S_IFBLK: u32 = 0o060_000;

/// The host's users that our namespace does not know. What is theirs and can be seen at all, such as
/// the nodes in `/dev`, is root's to everyone inside.
const UNMAPPED: u32 = 65534;

/// A path that has a meaning to the calling thread alone, and only until it locates the next one.
#[derive(Debug)]
pub(super) struct Target {
    path: CString,
    follow: bool,
    /// What it means that there is no such file.
    absent: Errno,
    /// What the path speaks of: the file beneath a device.
    held: Option<Arc<OwnedFd>>,
}

impl Target {
    pub(super) fn new(path: CString, follow: bool) -> Self {
        Self { path, follow, absent: Errno::NOENT, held: None }
    }

    /// A path that speaks of a descriptor, which may not be open.
    pub(super) fn of_descriptor(path: CString) -> Self {
        Self { absent: Errno::BADF, ..Self::new(path, true) }
    }

    pub(super) fn holding(self, descriptor: Arc<OwnedFd>) -> Self {
        Self { held: Some(descriptor), ..self }
    }

    /// Whether it is hidden beneath a device, where the kernel would not look for it.
    pub(super) fn is_held(&self) -> bool {
        self.held.is_some()
    }

    pub(super) fn path(&self) -> &CStr {
        &self.path
    }

    /// Whether a link at the end of the path is followed.
    pub(super) fn follow(&self) -> bool {
        self.follow
    }

    /// What the kernel says about it.
    pub(super) fn native(&self) -> Result<Attributes, Errno> {
        native::stat(&self.path, self.follow)
            .map_err(|errno| if errno == Errno::NOENT { self.absent } else { errno })
    }

    /// What is recorded about it.
    pub(super) fn record(&self, shared: &Shared, native: &Attributes) -> Option<Record> {
        let kind = FileType::of(native.mode);
        if matches!(kind, FileType::Char | FileType::Block) {
            return None;
        }
        // A record that cannot be read is as good as none: the file is root's.
        let record = live::read(&self.path, self.follow, kind).ok().flatten();
        record.or_else(|| shared.unwritten.get(native))
    }

    /// Records something about it: on the file itself, or in memory where that is refused.
    pub(super) fn set_record(
        &self,
        shared: &Shared,
        native: &Attributes,
        record: &Record,
    ) -> Result<(), Errno> {
        let kind = FileType::of(native.mode);
        let written = live::write(&self.path, self.follow, kind, record);
        match written.map_err(|e| Errno::from_io_error(&e.source).unwrap_or(Errno::IO))? {
            live::Written::OnFile => shared.unwritten.forget(native),
            live::Written::Refused => shared.unwritten.set(native, record.clone()),
        }
        Ok(())
    }

    /// Handle (`O_PATH`) on it.
    pub(super) fn handle(&self) -> Result<OwnedFd, Errno> {
        native::handle(&self.path, self.follow)
    }
}

/// Takes owner and device from what is recorded.
pub(super) fn apply(attributes: &mut Attributes, record: Option<&Record>) {
    for id in [&mut attributes.uid, &mut attributes.gid] {
        if *id == UNMAPPED {
            *id = 0;
        }
    }
    let Some(record) = record else { return };
    (attributes.uid, attributes.gid) = (record.uid, record.gid);
    if let Some(device) = record.device.filter(|_| attributes.is_file()) {
        let kind = match device.kind {
            DeviceKind::Char => S_IFCHR,
            DeviceKind::Block => S_IFBLK,
        };
        attributes.mode = attributes.mode & 0o7777 | kind;
        attributes.rdev = device_number(device.major, device.minor);
        (attributes.size, attributes.blocks) = (0, 0);
    }
}
