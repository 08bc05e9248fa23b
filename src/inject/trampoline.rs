//! The code that runs in the target (x86-64), position-independent, one page that is never writable.
//!
//! Each entry takes the context's address. What it does: find out, with the GIL held, whether the script may still start
//! (its deadline, the process it was meant for, not withdrawn, not claimed by another); put the error indicator aside, make
//! room for recursion, run the program's text in a fresh dictionary, and put everything back; unmap the scratch memory as the
//! last thing. Nothing is left to be done from outside, so nothing is left behind if we are dead by then.

use super::assembler::{Assembler, If, Label, R};
use super::context::Slot;

/// How much deeper than its limit a program may call.
const DEEPER: u32 = 400;
/// `Py_file_input` in `Include/compile.h`.
const FILE_INPUT: u32 = 257;
const SYS_CLOSE: u32 = 3;
const SYS_FSTAT: u32 = 5;
const SYS_MUNMAP: u32 = 11;
const SYS_SIGPROCMASK: u32 = 14;
const SYS_GETPID: u32 = 39;
const SYS_CLOCK_GETTIME: u32 = 228;

const CLAIM: Label = Label("claim");
const BODY: Label = Label("body");
const CLOSE: Label = Label("close the channel");
const OURS: Label = Label("is the channel ours");
const LEAVE: Label = Label("leave");

/// The code, and where its entries are from its beginning.
pub(super) struct Code {
    /// Instructions.
    pub(super) bytes: Vec<u8>,
    /// `int (*)(void *)` for `Py_AddPendingCall`.
    pub(super) pending: u64,
    /// `void (*)(void *)` for `PyThread_start_new_thread`.
    pub(super) thread: u64,
    /// Entered by a thread that waits in a system call with the GIL released, with a signal frame to return to.
    pub(super) on_top: u64,
    /// `clock_gettime` where the C library's is not to be found.
    pub(super) clock: u64,
}

/// Assembles it. `None` cannot happen: a test assembles it.
pub(super) fn code() -> Option<Code> {
    let mut a = Assembler::default();
    pending(&mut a);
    thread(&mut a);
    on_top(&mut a);
    leave(&mut a);
    clock(&mut a);
    claim(&mut a);
    body(&mut a);
    close_channel(&mut a);
    is_ours(&mut a);
    let (bytes, labels) = a.finish()?;
    let at = |name| labels.iter().find(|(label, _)| label.0 == name).map(|(_, at)| *at as u64);
    Some(Code { pending: at("pending")?, thread: at("thread")?, on_top: at("on top")?, clock: at("clock")?, bytes })
}

/// Where in the signal frame that it is entered with [`call`] leaves what the function returned: in what the kernel would
/// have said of the signal, which nobody reads.
pub(super) const RESULT_AT: u64 = 8 + 304 + 16;

/// Calls the context's function and keeps what it returns. In a page of its own: a thread that the function starts may have
/// unmapped all the rest by the time it returns, so nothing else is touched then.
pub(super) fn call() -> Vec<u8> {
    let mut a = Assembler::default();
    enter(&mut a, "call");
    a.store_value(Slot::Armed, 1);
    a.load(R::Rdi, Slot::Argument1);
    a.load(R::Rsi, Slot::Argument2);
    a.call(Slot::Function);
    a.raw(&[0x5b], "pop rbx");
    a.raw(&[0x48, 0x89, 0x84, 0x24], "mov [rsp + RESULT_AT], rax");
    a.raw(&(RESULT_AT as u32).to_le_bytes(), "");
    a.raw(&[0xc3], "ret");
    a.finish().map(|(bytes, _)| bytes).unwrap_or_default()
}

/// `rbx` = context. On entry the stack pointer is 8 below a multiple of 16; a push makes it fit for calls.
fn enter(a: &mut Assembler, name: &'static str) {
    a.label(Label(name));
    a.raw(&[0x53], "push rbx");
    a.raw(&[0x48, 0x89, 0xfb], "mov rbx, rdi");
}

fn pending(a: &mut Assembler) {
    enter(a, "pending");
    claim_and_run(a, Label("pending skips"), LEAVE);
}

/// Runs the program if it may, closes the channel if not, and goes on at `then`.
fn claim_and_run(a: &mut Assembler, skip: Label, then: Label) {
    a.call_label(CLAIM);
    a.raw(&[0x85, 0xc0], "test eax, eax");
    a.jump_if(If::Zero, skip);
    a.call_label(BODY);
    a.jump(then);
    a.label(skip);
    a.call_label(CLOSE);
    a.jump(then);
}

fn thread(a: &mut Assembler) {
    enter(a, "thread");
    // The thread that started this one had all its signals wait.
    a.set(R::Rdi, 2);
    a.address_of(R::Rsi, Slot::Mask);
    a.raw(&[0x31, 0xd2], "xor edx, edx");
    a.raw(&[0x41, 0xba, 8, 0, 0, 0], "mov r10d, 8");
    a.system_call(SYS_SIGPROCMASK);
    under_the_gil(a, Label("thread skips"), Label("thread ends"));
}

fn on_top(a: &mut Assembler) {
    let held = Label("holds the GIL");
    enter(a, "on top");
    a.store_value(Slot::Armed, 1);
    a.call(Slot::GilCheck);
    a.raw(&[0x85, 0xc0], "test eax, eax");
    a.jump_if(If::NotZero, held);
    under_the_gil(a, Label("on top skips"), Label("on top ends"));
    a.label(held);
    a.call_label(CLOSE);
    a.store_value(Slot::State, 7);
    a.jump(LEAVE);
}

fn under_the_gil(a: &mut Assembler, skip: Label, end: Label) {
    a.raw(&[0x55], "push rbp");
    a.raw(&[0x48, 0x83, 0xec, 8], "sub rsp, 8");
    a.call(Slot::GilEnsure);
    a.raw(&[0x89, 0xc5], "mov ebp, eax");
    claim_and_run(a, skip, end);
    a.label(end);
    a.raw(&[0x89, 0xef], "mov edi, ebp");
    a.call(Slot::GilRelease);
    a.raw(&[0x48, 0x83, 0xc4, 8], "add rsp, 8");
    a.raw(&[0x5d], "pop rbp");
    a.jump(LEAVE);
}

/// Unmaps the scratch memory by an instruction outside it, which returns 0 to the caller.
fn leave(a: &mut Assembler) {
    a.label(LEAVE);
    a.load(R::Rdi, Slot::Base);
    a.load(R::Rsi, Slot::Length);
    a.load(R::Rdx, Slot::SystemCall);
    a.set(R::Rax, SYS_MUNMAP);
    a.raw(&[0x5b], "pop rbx");
    a.raw(&[0xff, 0xe2], "jmp rdx");
}

fn clock(a: &mut Assembler) {
    a.label(Label("clock"));
    a.system_call(SYS_CLOCK_GETTIME);
    a.raw(&[0xc3], "ret");
}

/// `eax` = 1 if the program may run: it is claimed then. We write `Cancel` before we look at `State`; here it is the other
/// way round, each with a full barrier in between, so that one of the two sees the other.
fn claim(a: &mut Assembler) {
    let (late, gone, cancelled, no) = (Label("late"), Label("gone"), Label("cancelled"), Label("not to run"));
    a.label(CLAIM);
    a.raw(&[0x48, 0x83, 0xec, 0x18], "sub rsp, 24");
    a.set(R::Rdi, 1);
    a.raw(&[0x48, 0x89, 0xe6], "mov rsi, rsp");
    a.call(Slot::ClockGettime);
    a.raw(&[0x85, 0xc0], "test eax, eax");
    a.jump_if(If::NotZero, late);
    a.raw(&[0x48, 0x69, 0x04, 0x24, 0x00, 0xca, 0x9a, 0x3b], "imul rax, [rsp], 1000000000");
    a.raw(&[0x48, 0x03, 0x44, 0x24, 8], "add rax, [rsp + 8]");
    a.compare(R::Rax, Slot::Deadline);
    a.jump_if(If::Above, late);
    a.system_call(SYS_GETPID);
    a.compare_u32(R::Rax, Slot::Pid);
    a.jump_if(If::NotZero, no);
    // Here and not by Python, which would let go of the GIL for it.
    a.call_label(OURS);
    a.raw(&[0x85, 0xc0], "test eax, eax");
    a.jump_if(If::Zero, gone);
    a.raw(&[0x31, 0xc0], "xor eax, eax");
    a.set(R::Rcx, 1);
    a.exchange_if_equal(Slot::State);
    a.jump_if(If::NotZero, no);
    a.load_u32(R::Rax, Slot::Cancel);
    a.raw(&[0x85, 0xc0], "test eax, eax");
    a.jump_if(If::NotZero, cancelled);
    a.store_value(Slot::State, 2);
    a.set(R::Rax, 1);
    a.raw(&[0x48, 0x83, 0xc4, 0x18, 0xc3], "add rsp, 24; ret");
    a.label(late);
    a.raw(&[0x31, 0xc0], "xor eax, eax");
    a.set(R::Rcx, 4);
    a.exchange_if_equal(Slot::State);
    a.jump(no);
    a.label(gone);
    a.set(R::Rcx, 5);
    a.exchange_if_equal(Slot::State);
    a.jump(no);
    a.label(cancelled);
    a.store_value(Slot::State, 5);
    a.label(no);
    a.raw(&[0x31, 0xc0], "xor eax, eax");
    a.raw(&[0x48, 0x83, 0xc4, 0x18, 0xc3], "add rsp, 24; ret");
}

/// Runs the program. On the stack: the three parts of the error indicator, the recursion limit at 24, `errno` at 32.
fn body(a: &mut Assembler) {
    let (no_errno, failed, drop_dict, out) =
        (Label("no errno"), Label("failed"), Label("drop the dictionary"), Label("out"));
    a.label(BODY);
    a.raw(&[0x55, 0x41, 0x54, 0x41, 0x55], "push rbp; push r12; push r13");
    a.raw(&[0x48, 0x83, 0xec, 0x30], "sub rsp, 48");
    a.load(R::Rax, Slot::ErrnoLocation);
    a.raw(&[0x48, 0x85, 0xc0], "test rax, rax");
    a.jump_if(If::Zero, no_errno);
    a.raw(&[0xff, 0xd0, 0x8b, 0x00], "call rax; mov eax, [rax]");
    a.raw(&[0x89, 0x44, 0x24, 0x20], "mov [rsp + 32], eax");
    a.label(no_errno);
    a.raw(&[0x48, 0x89, 0xe7], "mov rdi, rsp");
    a.raw(&[0x48, 0x8d, 0x74, 0x24, 8], "lea rsi, [rsp + 8]");
    a.raw(&[0x48, 0x8d, 0x54, 0x24, 16], "lea rdx, [rsp + 16]");
    a.call(Slot::ErrFetch);
    a.call(Slot::GetRecursionLimit);
    a.raw(&[0x89, 0x44, 0x24, 24], "mov [rsp + 24], eax");
    a.raw(&[0x8d, 0xb8], "lea edi, [rax + DEEPER]");
    a.raw(&DEEPER.to_le_bytes(), "");
    a.call(Slot::SetRecursionLimit);
    a.set(R::Rbp, 6);
    a.call(Slot::DictNew);
    a.raw(&[0x49, 0x89, 0xc4, 0x48, 0x85, 0xc0], "mov r12, rax; test rax, rax");
    a.jump_if(If::Zero, out);
    a.call(Slot::GetBuiltins);
    a.raw(&[0x48, 0x85, 0xc0], "test rax, rax");
    a.jump_if(If::Zero, failed);
    a.raw(&[0x48, 0x89, 0xc2, 0x4c, 0x89, 0xe7], "mov rdx, rax; mov rdi, r12");
    a.address_of(R::Rsi, Slot::BuiltinsName);
    a.call(Slot::DictSetItemString);
    a.address_of(R::Rdi, Slot::Text);
    a.set(R::Rsi, FILE_INPUT);
    a.raw(&[0x4c, 0x89, 0xe2, 0x4c, 0x89, 0xe1], "mov rdx, r12; mov rcx, r12");
    a.raw(&[0x45, 0x31, 0xc0], "xor r8d, r8d");
    a.call(Slot::RunString);
    a.raw(&[0x48, 0x85, 0xc0], "test rax, rax");
    a.jump_if(If::Zero, failed);
    a.raw(&[0x48, 0x89, 0xc7], "mov rdi, rax");
    a.call(Slot::DecRef);
    a.set(R::Rbp, 3);
    a.jump(drop_dict);
    a.label(failed);
    a.call(Slot::ErrClear);
    a.label(drop_dict);
    a.raw(&[0x4c, 0x89, 0xe7], "mov rdi, r12");
    a.call(Slot::DecRef);
    a.label(out);
    put_back(a);
}

/// The end of the body: everything as it was, and the state, which `ebp` holds.
fn put_back(a: &mut Assembler) {
    let (kept, no_errno, fine) = (Label("limit kept"), Label("no errno to put back"), Label("fine"));
    // Unless the program has changed the limit on purpose.
    a.call(Slot::GetRecursionLimit);
    a.raw(&[0x8b, 0x7c, 0x24, 24], "mov edi, [rsp + 24]");
    a.raw(&[0x8d, 0x8f], "lea ecx, [rdi + DEEPER]");
    a.raw(&DEEPER.to_le_bytes(), "");
    a.raw(&[0x39, 0xc8], "cmp eax, ecx");
    a.jump_if(If::NotZero, kept);
    a.call(Slot::SetRecursionLimit);
    a.label(kept);
    a.raw(&[0x48, 0x8b, 0x3c, 0x24], "mov rdi, [rsp]");
    a.raw(&[0x48, 0x8b, 0x74, 0x24, 8], "mov rsi, [rsp + 8]");
    a.raw(&[0x48, 0x8b, 0x54, 0x24, 16], "mov rdx, [rsp + 16]");
    a.call(Slot::ErrRestore);
    a.raw(&[0x83, 0xfd, 3], "cmp ebp, 3");
    a.jump_if(If::Zero, fine);
    a.call_label(CLOSE);
    a.label(fine);
    a.load(R::Rax, Slot::ErrnoLocation);
    a.raw(&[0x48, 0x85, 0xc0], "test rax, rax");
    a.jump_if(If::Zero, no_errno);
    a.raw(&[0xff, 0xd0], "call rax");
    a.raw(&[0x8b, 0x4c, 0x24, 0x20, 0x89, 0x08], "mov ecx, [rsp + 32]; mov [rax], ecx");
    a.label(no_errno);
    a.store_u32(Slot::State, R::Rbp);
    a.raw(&[0x48, 0x83, 0xc4, 0x30], "add rsp, 48");
    a.raw(&[0x41, 0x5d, 0x41, 0x5c, 0x5d, 0xc3], "pop r13; pop r12; pop rbp; ret");
}

/// Closes the channel, unless its descriptor stands for something else by now.
fn close_channel(a: &mut Assembler) {
    let end = Label("not ours to close");
    a.label(CLOSE);
    a.call_label(OURS);
    a.raw(&[0x85, 0xc0], "test eax, eax");
    a.jump_if(If::Zero, end);
    a.load_u32(R::Rdi, Slot::Descriptor);
    a.system_call(SYS_CLOSE);
    a.label(end);
    a.raw(&[0xc3], "ret");
}

/// `eax` = 1 if the descriptor still stands for the channel, else 0.
fn is_ours(a: &mut Assembler) {
    let not = Label("another file");
    a.label(OURS);
    a.raw(&[0x48, 0x81, 0xec, 0x98, 0, 0, 0], "sub rsp, 152");
    a.load_u32(R::Rdi, Slot::Descriptor);
    a.raw(&[0x48, 0x89, 0xe6], "mov rsi, rsp");
    a.system_call(SYS_FSTAT);
    a.raw(&[0x85, 0xc0], "test eax, eax");
    a.jump_if(If::NotZero, not);
    a.raw(&[0x48, 0x8b, 0x04, 0x24], "mov rax, [rsp]");
    a.compare(R::Rax, Slot::Device);
    a.jump_if(If::NotZero, not);
    a.raw(&[0x48, 0x8b, 0x44, 0x24, 8], "mov rax, [rsp + 8]");
    a.compare(R::Rax, Slot::Inode);
    a.jump_if(If::NotZero, not);
    a.set(R::Rax, 1);
    a.raw(&[0x48, 0x81, 0xc4, 0x98, 0, 0, 0, 0xc3], "add rsp, 152; ret");
    a.label(not);
    a.raw(&[0x31, 0xc0], "xor eax, eax");
    a.raw(&[0x48, 0x81, 0xc4, 0x98, 0, 0, 0, 0xc3], "add rsp, 152; ret");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inject::context::PAGE;

    #[test]
    fn it_fits_a_page_and_its_entries_are_apart() {
        let code = code().unwrap();
        assert!(code.bytes.len() < PAGE as usize);
        let entries = [code.pending, code.thread, code.on_top, code.clock];
        assert!(entries.is_sorted_by(|a, b| a < b) && entries.iter().all(|entry| *entry < PAGE));
        // Each begins by keeping rbx, but for the clock, which needs none.
        assert_eq!(call().first(), Some(&0x53));
        assert!(entries[..3].iter().all(|entry| code.bytes[*entry as usize] == 0x53));
    }
}
