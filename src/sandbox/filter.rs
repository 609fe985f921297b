//! The seccomp filters: which calls the kernel lets pass, hands to emulation, or answers itself.
//!
//! A filter is a program of classic BPF that the kernel runs at every call of every process of the
//! sandbox, so it is short to walk: a binary search over the numbers, about eight comparisons for
//! all but the few calls whose arguments count. (From Linux 5.11 on a call that is always allowed
//! does not even run it.) [`rules`] says what it decides; this file compiles that.

mod rules;
#[cfg(test)]
mod tests;

use crate::sys::seccomp::Instruction;

use super::emulate::tables::{self, Abi};
use super::{RootEmulation, Sandbox};
use rules::{Condition, Verdict};

/// How much is taken from the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Filter {
    /// Everything that tells or changes an owner, an identity or a device.
    Full,
    /// That, and what only looks at files or reads them: a user other than root may not look at
    /// everything.
    Strict,
    /// As `Full`, without what tells the owners of files and without creation.
    Ids,
    /// Nothing is told to anybody: what root alone may do is answered by 0, and not done. For
    /// kernels that cannot notify.
    Fake,
}

impl Filter {
    /// The one under which a sandbox runs; `None` if it runs under none.
    pub(super) fn of(sandbox: &Sandbox) -> Option<Self> {
        match sandbox.emulation {
            RootEmulation::Full if sandbox.user.uid != 0 => Some(Self::Strict),
            RootEmulation::Full => Some(Self::Full),
            RootEmulation::Ids => Some(Self::Ids),
            RootEmulation::Fake => Some(Self::Fake),
            RootEmulation::Fakeroot | RootEmulation::None => None,
            RootEmulation::Auto => unreachable!("it was resolved before"),
        }
    }
}

/// The filter for a sandbox on this host; `None` on an architecture without tables.
///
/// In every filter io_uring, the calls of x32 and those of unknown architectures give `ENOSYS`:
/// they would go past it.
pub(super) fn program(filter: Filter) -> Option<Vec<Instruction>> {
    Abi::native().map(|host| compile(filter, host))
}

/// The filter for a kernel under programs of `host`.
fn compile(filter: Filter, host: Abi) -> Vec<Instruction> {
    let mut program = vec![load(Instruction::ARCH)];
    for &abi in host.runs() {
        let mut calls = vec![load(Instruction::NUMBER)];
        calls.extend(search(&segments(filter, abi), abi));
        program.push(test(Instruction::EQUAL, abi.audit(), 1, 0));
        program.push(skip(calls.len()));
        program.extend(calls);
    }
    program.push(returns(Verdict::Errno(host.constants().enosys)));
    program
}

/// What happens to the numbers from `first` on, up to the next segment.
#[derive(Debug, PartialEq, Eq)]
struct Segment {
    first: u32,
    action: Action,
}

/// What happens to a call. All conditions must hold for the verdict, or the call is allowed.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Action {
    conditions: Vec<Condition>,
    verdict: Verdict,
}

impl Action {
    fn always(verdict: Verdict) -> Self {
        Self { conditions: Vec::new(), verdict }
    }
}

/// All numbers there are, without a gap, in order.
fn segments(filter: Filter, abi: Abi) -> Vec<Segment> {
    let refusal = Verdict::Errno(abi.constants().enosys);
    let mut decided: Vec<_> = tables::sorted_calls(abi)
        .into_iter()
        .filter_map(|(number, trapped)| Some((number, rules::action(filter, abi, trapped.call)?)))
        .chain(tables::refused(abi).map(|(number, _)| (number, Action::always(refusal))))
        .collect();
    decided.sort_by_key(|(number, _)| *number);

    let mut segments = vec![Segment { first: 0, action: Action::always(Verdict::Allow) }];
    for (number, action) in decided {
        begin(&mut segments, number, action);
        begin(&mut segments, number + 1, Action::always(Verdict::Allow));
    }
    if abi == Abi::X86_64 {
        begin(&mut segments, X32, Action::always(refusal));
    }
    segments
}

/// `__X32_SYSCALL_BIT`: x32 shares x86_64's `AUDIT_ARCH`.
const X32: u32 = 0x4000_0000;

/// Begins a segment behind the others, or lets the last one go on if it is the same.
fn begin(segments: &mut Vec<Segment>, first: u32, action: Action) {
    segments.pop_if(|last| last.first == first);
    if segments.last().is_none_or(|last| last.action != action) {
        segments.push(Segment { first, action });
    }
}

/// Finds the segment of the number that was loaded, and does its action.
fn search(segments: &[Segment], abi: Abi) -> Vec<Instruction> {
    if let [only] = segments {
        return act(&only.action, abi);
    }
    let (below, above) = segments.split_at(segments.len() / 2);
    let middle = above[0].first;
    let below = search(below, abi);
    let mut code = match u8::try_from(below.len()) {
        Ok(length) => vec![test(Instruction::AT_LEAST, middle, length, 0)],
        Err(_) => vec![test(Instruction::AT_LEAST, middle, 0, 1), skip(below.len())],
    };
    code.extend(below);
    code.extend(search(above, abi));
    code
}

/// Ends with the verdict; before it, if there are conditions, they are tested.
fn act(action: &Action, abi: Abi) -> Vec<Instruction> {
    let mut code = vec![returns(action.verdict)];
    if !action.conditions.is_empty() {
        code.push(returns(Verdict::Allow));
    }
    for condition in action.conditions.iter().rev() {
        // What comes next if this condition holds; the last instruction is where it leads if not.
        let next = std::mem::take(&mut code);
        let miss = u8::try_from(next.len() - 1).expect("a call has few conditions");
        code.push(load(lower_half(condition.argument, abi)));
        code.extend(compare(condition, miss));
        code.extend(next);
    }
    code
}

/// Goes on behind itself if the condition holds for the loaded argument; skips `miss` more if not.
fn compare(condition: &Condition, miss: u8) -> Vec<Instruction> {
    if condition.values.is_empty() {
        return vec![test(Instruction::ANY_OF, condition.mask, 0, miss)];
    }
    let mut code = Vec::new();
    if condition.mask != u32::MAX {
        code.push(Instruction { code: Instruction::AND, jt: 0, jf: 0, k: condition.mask });
    }
    for (value, left) in condition.values.iter().zip((0..condition.values.len()).rev()) {
        let hit = u8::try_from(left).expect("a condition has few values");
        code.push(test(Instruction::EQUAL, *value, hit, if left == 0 { miss } else { 0 }));
    }
    code
}

/// Where the lower 32 bits of an argument are, the only ones that the kernel reads of an `int`.
fn lower_half(argument: u32, abi: Abi) -> u32 {
    Instruction::ARGS + 8 * argument + if abi.big_endian() { 4 } else { 0 }
}

fn load(offset: u32) -> Instruction {
    Instruction { code: Instruction::LOAD, jt: 0, jf: 0, k: offset }
}

fn test(code: u16, k: u32, jt: u8, jf: u8) -> Instruction {
    Instruction { code, jt, jf, k }
}

fn skip(count: usize) -> Instruction {
    let k = u32::try_from(count).expect("a filter has few instructions");
    Instruction { code: Instruction::SKIP, jt: 0, jf: 0, k }
}

fn returns(verdict: Verdict) -> Instruction {
    let k = match verdict {
        Verdict::Allow => Instruction::ALLOW,
        Verdict::Notify => Instruction::NOTIFY,
        Verdict::Errno(number) => Instruction::ERRNO | number,
    };
    Instruction { code: Instruction::RETURN, jt: 0, jf: 0, k }
}
