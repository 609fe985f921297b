//! [`Lost`]: answers that did not arrive, on kernels before 5.19.
//!
//! There any signal takes a thread out of its wait for an answer, and its call begins anew when the
//! handler is done. What was done for it is done, though: a second `mkdir` would find the directory.
//! So a thread's next call waits until the one before has been dealt with, and an answer that was
//! not taken is kept, and given to the same call when it comes again.

use std::collections::HashMap;
use std::ffi::CString;
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

use super::Answer;
use super::request::{Reply, Request};
use super::tables::Call;
use crate::sys::errno::Errno;

/// How many other calls a thread makes, in its signal handlers, before the one that it was taken
/// out of comes again. A handler may also have made it never come (siglongjmp(3), or no
/// `SA_RESTART`): then an answer must not wait for a later call that looks the same.
const PATIENCE: u32 = 64;

/// How long the call before may take at most, of a thread that was taken out of it; such calls look
/// now and then whether they still are waited for.
const LONGEST: Duration = Duration::from_secs(10);

/// By thread.
#[derive(Debug, Default)]
pub(super) struct Lost {
    threads: Mutex<HashMap<i32, Thread>>,
    ended: Condvar,
}

#[derive(Debug, Default)]
struct Thread {
    /// The call that is being answered now.
    running: Option<u64>,
    kept: Option<Kept>,
    /// The answer to its last call, which was sent: see [`is_made_once`].
    sent: Option<Kept>,
}

#[derive(Debug)]
struct Kept {
    number: i32,
    args: [u64; 6],
    /// Where the thread is in its program: another place may pass the same words.
    instruction_pointer: u64,
    /// Paths and the like: the same memory may hold others by now.
    texts: Vec<(u64, CString)>,
    reply: Reply,
    patience: u32,
}

/// What is to be done about a call.
#[derive(Debug)]
pub(super) enum Turn {
    New,
    /// This is what it was answered before, and did not hear.
    Again(Reply),
    /// The thread was taken out of it already.
    Gone,
}

impl Lost {
    /// Waits for the thread's call before, if that is still being answered.
    pub(super) fn begin(&self, request: &Request<'_>) -> Turn {
        let (thread, id) = (request.thread(), request.notification().id);
        let threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
        let is_busy = |threads: &mut HashMap<i32, Thread>| {
            threads.get(&thread).is_some_and(|thread| thread.running.is_some())
        };
        let waited = self.ended.wait_timeout_while(threads, LONGEST, is_busy);
        let (mut threads, _) = waited.unwrap_or_else(PoisonError::into_inner);
        // Another repetition may have come meanwhile, and had its turn.
        if !request.is_waiting() {
            return Turn::Gone;
        }
        let state = threads.entry(thread).or_default();
        state.running = Some(id);
        if let Some(sent) = state.sent.take().filter(|sent| sent.is_of(request)) {
            return Turn::Again(sent.reply);
        }
        match state.kept.take() {
            Some(kept) if kept.is_of(request) => return Turn::Again(kept.reply),
            Some(Kept { patience: 0, .. }) | None => {}
            Some(kept) => state.kept = Some(Kept { patience: kept.patience - 1, ..kept }),
        }
        Turn::New
    }

    /// Says that a call was answered, and keeps its reply if that was `lost`. What the kernel itself
    /// has to do is not kept, nor what was given up because nobody waited (`ESRCH`): it was not done.
    pub(super) fn end(&self, request: &Request<'_>, reply: Reply, lost: bool) {
        let mut threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
        let (thread, call) = (request.thread(), request.notification());
        let state = threads.entry(thread).or_default();
        if state.running == Some(call.id) {
            state.running = None;
        }
        let kept = |reply| Kept {
            number: call.number,
            args: call.args,
            instruction_pointer: call.instruction_pointer,
            texts: request.texts(),
            reply,
            patience: PATIENCE,
        };
        match reply {
            Ok(Answer::Continue) | Err(Errno::SRCH) => {}
            reply if lost => state.kept = Some(kept(reply)),
            Ok(Answer::Value(0)) if is_made_once(request.call()) => {
                state.sent = Some(kept(Ok(Answer::Value(0))));
            }
            _ => {}
        }
        if state.running.is_none() && state.kept.is_none() && state.sent.is_none() {
            threads.remove(&thread);
        }
        drop(threads);
        self.ended.notify_all();
    }
}

/// Whether a call succeeds only once, so that its repetition is told from a mistake of the program.
///
/// A signal that comes while the answer is sent takes the thread out of its wait all the same, and
/// the kernel says that the answer was taken (`seccomp_do_user_notification` looks at the signal
/// first). Then the thread's very next call is the same again, as no sensible program's would be.
fn is_made_once(call: Call) -> bool {
    use Call::{Bind, Link, Linkat, Mkdir, Mkdirat, Mknod, Mknodat, Symlink, Symlinkat};
    use Call::{Rename, Renameat, Renameat2, Rmdir, Unlink, Unlinkat};
    let is_made = matches!(
        call,
        Mkdir | Mkdirat | Symlink | Symlinkat | Mknod | Mknodat | Link | Linkat | Bind
    );
    is_made || matches!(call, Rename | Renameat | Renameat2 | Rmdir | Unlink | Unlinkat)
}

impl Kept {
    fn is_of(&self, request: &Request<'_>) -> bool {
        let call = request.notification();
        let same_text = |(address, text): &(u64, CString)| {
            request.text_at(*address).is_ok_and(|now| now == *text)
        };
        self.number == call.number
            && self.args == call.args
            && self.instruction_pointer == call.instruction_pointer
            && self.texts.iter().all(same_text)
    }
}
