//! [`Lost`]: answers that did not arrive, on kernels before 5.19.
//!
//! There a signal takes a thread out of its wait for an answer, and its call begins anew when the
//! handler is done. What was done for it is done, though: a second `mkdir` would find the directory.
//! So an answer that was not taken is kept, and given to the same call when it comes again.

use std::collections::HashMap;
use std::ffi::CString;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use super::Answer;
use super::request::{Reply, Request};

/// By thread.
#[derive(Debug, Default)]
pub(super) struct Lost {
    /// Whether there is any, so that the usual case costs nothing.
    any: AtomicBool,
    replies: Mutex<HashMap<i32, Kept>>,
}

#[derive(Debug)]
struct Kept {
    number: i32,
    args: [u64; 6],
    /// Where the thread is in its program: another place may pass the same words.
    instruction_pointer: u64,
    /// The path: the same memory may hold another one by now.
    text: Option<(usize, CString)>,
    reply: Reply,
}

impl Lost {
    /// Keeps a reply for when the call comes again. What the kernel itself has to do is not kept: it
    /// was not done.
    pub(super) fn keep(&self, request: &Request<'_>, reply: Reply) {
        if matches!(reply, Ok(Answer::Continue)) {
            return;
        }
        let call = request.notification();
        let kept = Kept {
            number: call.number,
            args: call.args,
            instruction_pointer: call.instruction_pointer,
            text: request.first_text(),
            reply,
        };
        self.replies().insert(request.thread(), kept);
        self.any.store(true, Ordering::Release);
    }

    /// The reply that this very call did not get. A thread has at most one: in its signal's handler
    /// it may make other calls meanwhile.
    pub(super) fn find(&self, request: &Request<'_>) -> Option<Reply> {
        if !self.any.load(Ordering::Acquire) {
            return None;
        }
        let mut replies = self.replies();
        let (call, kept) = (request.notification(), replies.get(&request.thread())?);
        let same = kept.number == call.number
            && kept.args == call.args
            && kept.instruction_pointer == call.instruction_pointer
            && kept
                .text
                .as_ref()
                .is_none_or(|(index, text)| request.text(*index).is_ok_and(|now| now == *text));
        let found = if same { replies.remove(&request.thread()) } else { None };
        self.any.store(!replies.is_empty(), Ordering::Release);
        found.map(|kept| kept.reply)
    }

    fn replies(&self) -> std::sync::MutexGuard<'_, HashMap<i32, Kept>> {
        self.replies.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
