//! [`Request`]: a trapped system call that waits for its answer.

use std::cell::RefCell;
use std::ffi::{CStr, CString};
use std::fmt::Display;
use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::Arc;

use super::credentials::Credentials;
use super::device;
use super::tables::{self, Abi, Call, Trapped};
use super::target::Target;
use super::worker::Worker;
use super::{Answer, Shared, control};
use crate::rootfs::Record;
use crate::sys::errno::Errno;
use crate::sys::seccomp::Notification;
use crate::sys::tracee;

/// `PATH_MAX`, with the NUL.
const LONGEST_PATH: usize = 4096;

/// Most paths are shorter; longer ones cost a second look.
const USUAL_PATH: usize = 256;

/// The smallest unit in which memory can be there or not, on every architecture.
const PAGE: u64 = 4096;

/// `AT_FDCWD`.
pub(super) const CURRENT_DIRECTORY: i32 = -100;

/// A system call of a traced thread, which waits until it is answered.
#[derive(Debug)]
pub(super) struct Request<'w> {
    worker: &'w Worker<'w>,
    notification: Notification,
    abi: Abi,
    trapped: Trapped,
    /// The texts that were read, and where from: what tells one call from the next.
    texts: RefCell<Vec<(u64, CString)>>,
}

impl<'w> Request<'w> {
    pub(super) fn new(
        worker: &'w Worker<'w>,
        notification: Notification,
        abi: Abi,
        trapped: Trapped,
    ) -> Self {
        Self { worker, notification, abi, trapped, texts: RefCell::default() }
    }

    /// The call that a `socketcall` is, with the arguments that it points to; `None` if that call is
    /// none that emulation takes.
    ///
    /// # Errors
    ///
    /// `EFAULT` when they are not there.
    pub(super) fn unfolded(&self) -> Result<Option<Self>, Errno> {
        let Some(call) = tables::of_socketcall(self.word(0)) else { return Ok(None) };
        let word = self.abi.pointer_size();
        let mut bytes = vec![0; tables::socketcall_arguments(call) * word];
        self.read(self.arg(1), &mut bytes)?;
        let mut notification = self.notification;
        notification.args = [0; 6];
        for (place, bytes) in notification.args.iter_mut().zip(bytes.chunks_exact(word)) {
            *place = control::number(bytes, 0, word);
        }
        let trapped = Trapped { call, ..self.trapped };
        Ok(Some(Self::new(self.worker, notification, self.abi, trapped)))
    }

    /// What the call means.
    pub(super) fn call(&self) -> Call {
        self.trapped.call
    }

    /// What the kernel calls it.
    pub(super) fn name(&self) -> &'static str {
        self.trapped.name
    }

    pub(super) fn trapped(&self) -> &Trapped {
        &self.trapped
    }

    pub(super) fn abi(&self) -> Abi {
        self.abi
    }

    pub(super) fn notification(&self) -> &Notification {
        &self.notification
    }

    /// The thread, as our pid namespace numbers it.
    pub(super) fn thread(&self) -> i32 {
        self.notification.thread.cast_signed()
    }

    pub(super) fn shared(&self) -> &'w Shared {
        self.worker.shared()
    }

    /// An argument as it was passed. Nobody reads the upper half of a 32-bit call's, where a program
    /// of 64 bits that makes one (by `int 0x80`) may have left anything.
    pub(super) fn arg(&self, index: usize) -> u64 {
        let argument = self.notification.args[index];
        if self.abi.pointer_size() == 4 { argument & u64::from(u32::MAX) } else { argument }
    }

    /// An argument that is an `int`.
    #[expect(clippy::cast_possible_truncation, reason = "an int is the lower half")]
    pub(super) fn int(&self, index: usize) -> i32 {
        self.arg(index) as i32
    }

    /// An argument that is an unsigned 32-bit number: flags, modes, masks.
    pub(super) fn word(&self, index: usize) -> u32 {
        self.int(index).cast_unsigned()
    }

    /// A user's or group's id; `u32::MAX` leaves something as it is. The old calls of 32-bit
    /// architectures pass 16 bits.
    pub(super) fn id(&self, index: usize) -> u32 {
        match self.word(index) {
            id if !self.trapped.short_ids => id,
            id if id & 0xffff == 0xffff => u32::MAX,
            id => id & 0xffff,
        }
    }

    /// Reads exactly as much as `buffer` holds.
    ///
    /// # Errors
    ///
    /// `EFAULT` when that is not there.
    pub(super) fn read(&self, address: u64, buffer: &mut [u8]) -> Result<(), Errno> {
        match self.read_some(address, buffer)? {
            count if count == buffer.len() => Ok(()),
            _ => Err(Errno::FAULT),
        }
    }

    fn read_some(&self, address: u64, buffer: &mut [u8]) -> Result<usize, Errno> {
        tracee::read(&self.shared().proc, self.thread(), address, buffer)
    }

    /// Writes to the thread's memory, if it still waits: its number might be somebody else's.
    ///
    /// # Errors
    ///
    /// `EFAULT` when that memory is not there or cannot be written to.
    pub(super) fn write(&self, address: u64, bytes: &[u8]) -> Result<(), Errno> {
        if !self.is_waiting() {
            return Err(Errno::SRCH);
        }
        match tracee::write(&self.shared().proc, self.thread(), address, bytes)? {
            count if count == bytes.len() => Ok(()),
            _ => Err(Errno::FAULT),
        }
    }

    pub(super) fn is_waiting(&self) -> bool {
        self.shared().listener.is_waiting(self.notification.id)
    }

    /// A text that an argument points to.
    ///
    /// # Errors
    ///
    /// `EFAULT`, or `ENAMETOOLONG` when it is longer than a path may be.
    pub(super) fn text(&self, index: usize) -> Result<CString, Errno> {
        let text = self.text_at(self.arg(index))?;
        // Only where answers get lost does somebody ask for it again.
        if !self.shared().listener.is_killable() {
            self.texts.borrow_mut().push((self.arg(index), text.clone()));
        }
        Ok(text)
    }

    /// A text at an address, as [`Self::text`] reads one.
    pub(super) fn text_at(&self, address: u64) -> Result<CString, Errno> {
        let mut start = [0; USUAL_PATH];
        // Memory may end with the page: what lies behind is asked for only if it is needed.
        let page_rest = |address: u64| usize::try_from(PAGE - address % PAGE).unwrap_or(USUAL_PATH);
        let first = page_rest(address).min(USUAL_PATH);
        let count = self.read_some(address, &mut start[..first])?;
        if let Ok(text) = CStr::from_bytes_until_nul(&start[..count]) {
            return Ok(text.to_owned());
        }
        let mut text = start[..count].to_vec();
        while text.len() < LONGEST_PATH {
            let (known, from) = (text.len(), address + text.len() as u64);
            text.resize(LONGEST_PATH.min(known + page_rest(from)), 0);
            let count = self.read_some(from, &mut text[known..])?;
            text.truncate(known + count);
            if let Some(length) = text[known..].iter().position(|byte| *byte == 0) {
                text.truncate(known + length);
                return Ok(CString::new(text).expect("it ends at the first NUL"));
            }
        }
        Err(Errno::NAMETOOLONG)
    }

    /// The texts that were read, and where from; on kernels where answers do not get lost, none.
    pub(super) fn texts(&self) -> Vec<(u64, CString)> {
        self.texts.borrow().clone()
    }

    /// See [`Worker::step_aside`].
    pub(super) fn step_aside<T>(&self, wait: impl FnOnce() -> T) -> Option<T> {
        self.worker.step_aside(wait)
    }

    /// The file that a path names, relative to the descriptor that argument `at` is, or to the
    /// working directory.
    ///
    /// # Errors
    ///
    /// `ENOENT` for an empty path, `EBADF` for a descriptor that is none.
    pub(super) fn target(
        &self,
        at: Option<usize>,
        path: usize,
        follow: bool,
    ) -> Result<Target, Errno> {
        let directory = at.map_or(CURRENT_DIRECTORY, |at| self.int(at));
        self.target_of(directory, &self.text(path)?, follow)
    }

    /// As [`Self::target`], of values instead of arguments.
    pub(super) fn target_of(
        &self,
        directory: i32,
        path: &CStr,
        follow: bool,
    ) -> Result<Target, Errno> {
        device::beneath(self, self.topmost_of(directory, path, follow)?)
    }

    /// As [`Self::target`], of a file that is only looked at, which is faster. What is not found may
    /// be there all the same, and only the kernel knows the right error.
    pub(super) fn glimpse(
        &self,
        at: Option<usize>,
        path: usize,
        follow: bool,
    ) -> Result<Target, Errno> {
        let directory = at.map_or(CURRENT_DIRECTORY, |at| self.int(at));
        let path = self.text(path)?;
        if path.is_empty() || path.to_bytes().starts_with(b"/") {
            return self.target_of(directory, &path, follow);
        }
        device::beneath(self, self.worker.glimpse(self.thread(), directory, &path, follow)?)
    }

    /// See [`Worker::way`].
    pub(super) fn way(&self, directory: i32, path: &CStr) -> Result<(CString, usize), Errno> {
        self.worker.way(self.thread(), directory, path)
    }

    /// As [`Self::target_of`]; of a device's node, what is mounted over it.
    pub(super) fn topmost_of(
        &self,
        directory: i32,
        path: &CStr,
        follow: bool,
    ) -> Result<Target, Errno> {
        if path.is_empty() {
            return Err(Errno::NOENT);
        }
        self.worker.locate(self.thread(), directory, path, follow)
    }

    /// Lets the next relative paths lead from a directory of ours.
    pub(super) fn stand_in(&self, directory: &OwnedFd) -> Result<(), Errno> {
        self.worker.stand_in(directory)
    }

    /// The file behind a descriptor of ours, which must stay open as long as it is used.
    pub(super) fn own_descriptor(&self, descriptor: &OwnedFd) -> Result<Target, Errno> {
        self.worker.own_descriptor(descriptor)
    }

    /// As [`Self::own_descriptor`], and the target keeps it open.
    pub(super) fn held(&self, descriptor: Arc<OwnedFd>) -> Result<Target, Errno> {
        Ok(self.own_descriptor(&descriptor)?.holding(descriptor))
    }

    /// The file that a descriptor of the thread stands for; the working directory for
    /// [`CURRENT_DIRECTORY`].
    pub(super) fn target_descriptor(&self, descriptor: i32) -> Result<Target, Errno> {
        device::beneath(self, self.worker.descriptor(self.thread(), descriptor)?)
    }

    /// A copy of one of the thread's descriptors.
    pub(super) fn steal(&self, descriptor: i32) -> Result<OwnedFd, Errno> {
        tracee::descriptor(&self.shared().proc, self.thread(), descriptor)
    }

    /// Gives the thread a descriptor besides the answer; its number there.
    pub(super) fn give(&self, descriptor: &OwnedFd, close_on_exec: bool) -> Result<i32, Errno> {
        let listener = &self.shared().listener;
        listener.give(self.notification.id, descriptor.as_fd(), close_on_exec)
    }

    /// Whether the kernel can give it a descriptor at all (Linux 5.9).
    pub(super) fn can_give(&self) -> bool {
        self.shared().listener.can_give()
    }

    /// The mode bits that the thread's new files do not get.
    pub(super) fn umask(&self) -> Result<u32, Errno> {
        tracee::umask(&self.shared().proc, self.thread())
    }

    /// Whether the owner of every new file is recorded, and not only what was changed.
    pub(super) fn knows_creators(&self) -> bool {
        self.shared().knows_creators
    }

    /// What is recorded about a file, or what a file without a record means to a process: root's,
    /// or, where nobody looks at who makes files, perhaps its own.
    pub(super) fn presume(&self, record: Option<Record>, credentials: &Credentials) -> Record {
        record.unwrap_or_else(|| match self.knows_creators() {
            true => Record::default(),
            false => Record::owner(credentials.uid.fs, credentials.gid.fs),
        })
    }

    /// Who the thread believes to be.
    pub(super) fn credentials(&self) -> Result<Arc<Credentials>, Errno> {
        self.shared().credentials_of(self.thread())
    }

    /// Makes its whole process somebody else.
    pub(super) fn set_credentials(&self, credentials: Credentials) -> Result<(), Errno> {
        self.shared().set_credentials_of(self.thread(), credentials).map_err(|errno| match errno {
            // The hard RLIMIT_LOCKS of the host bounds how many identities there can be.
            Errno::AGAIN => self.refuse(format_args!("{}()", self.name()), errno),
            errno => errno,
        })
    }

    /// Notes that the emulation cannot do what was asked, for the message of a step that fails;
    /// gives the error number back.
    pub(super) fn refuse(&self, what: impl Display, errno: Errno) -> Errno {
        self.shared().refuse(what.to_string(), errno);
        errno
    }
}

/// Answers to a call.
pub(super) type Reply = Result<Answer, Errno>;
