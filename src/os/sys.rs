//! The only unsafe code: system calls that `nix` cannot express, because it knows no real-time signals and would lose one
//! that arrives while a thread is being stopped; a setting of the C library's allocator, and an advice on memory
//! of our own.

use nix::errno::Errno;
use nix::libc;
use nix::sys::signal::{SigSet, Signal};
use nix::sys::time::TimeSpec;
use nix::unistd::Pid;
use std::mem::MaybeUninit;
use std::time::{Duration, Instant};

/// What `waitpid` says of a traced thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WaitState {
    /// Nothing yet.
    Running,
    /// In a stop that PTRACE_INTERRUPT, or a job-control stop of its own, brought about.
    EventStop,
    /// About to receive this signal, which must be passed on.
    SignalStop(i32),
    /// Ended.
    Ended,
}

/// Looks, without waiting, whether the traced thread has stopped.
pub(super) fn wait_stopped(tid: Pid) -> Result<WaitState, Errno> {
    let mut status: libc::c_int = 0;
    // SAFETY: `status` is a valid, writable c_int for the whole call; waitpid writes nothing else.
    let result = unsafe { libc::waitpid(tid.as_raw(), &mut status, libc::__WALL | libc::WNOHANG) };
    match Errno::result(result)? {
        0 => Ok(WaitState::Running),
        _ if !libc::WIFSTOPPED(status) => Ok(WaitState::Ended),
        _ if status >> 16 == libc::PTRACE_EVENT_STOP => Ok(WaitState::EventStop),
        _ => Ok(WaitState::SignalStop(libc::WSTOPSIG(status))),
    }
}

/// Lets the thread run on, untraced; `signal` (0: none) is delivered to it.
pub(super) fn detach(tid: Pid, signal: i32) -> Result<(), Errno> {
    // SAFETY: PTRACE_DETACH takes no pointer: the third argument is ignored and the fourth is a signal number.
    let result = unsafe {
        libc::ptrace(
            libc::PTRACE_DETACH,
            tid.as_raw(),
            std::ptr::null_mut::<libc::c_void>(),
            signal as libc::c_long as *mut libc::c_void,
        )
    };
    Errno::result(result).map(drop)
}

/// Makes all threads of pyattach share one heap. glibc gives each thread an arena of its own, which grows by a system call a
/// page or two and is never given back: for the one worker thread that does everything, both time and memory are wasted.
pub fn share_heap() {
    // SAFETY: mallopt only stores a number; called before threads are started, as its manual asks.
    #[cfg(target_env = "gnu")]
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 1);
    }
}

/// Has the kernel give memory to a buffer that is about to be filled, all at once (Linux 5.14; before that nothing happens). Else
/// each page costs a fault when it is first touched.
pub(super) fn populate(buffer: &mut [MaybeUninit<u8>]) {
    if buffer.len() < WORTH_POPULATING {
        return;
    }
    let skipped = buffer.as_ptr().align_offset(PAGE);
    let Some(pages) = buffer.get_mut(skipped..) else { return };
    // SAFETY: the range lies within `buffer`, which is ours alone, and this advice changes nothing of what memory holds. That it
    // fails is of no consequence.
    unsafe {
        libc::madvise(pages.as_mut_ptr().cast(), pages.len() / PAGE * PAGE, MADV_POPULATE_WRITE);
    }
}

/// `linux/mman.h`.
const MADV_POPULATE_WRITE: libc::c_int = 23;
/// The size of pages; where they are larger the advice is refused.
const PAGE: usize = 4096;
/// Bytes of a buffer for which it is worth a system call.
const WORTH_POPULATING: usize = 8 * PAGE;

/// Waits until `limit` is over. True when SIGINT came meanwhile; it is consumed, and does not end the process as it would at
/// any other time. To be called by the only thread that does not block it.
pub fn wait_for_interrupt(limit: Duration) -> bool {
    let set = SigSet::from(Signal::SIGINT);
    let Ok(before) = set.thread_swap_mask(nix::sys::signal::SigmaskHow::SIG_BLOCK) else { return false };
    let end = Instant::now() + limit;
    let interrupted = loop {
        let left = end.saturating_duration_since(Instant::now());
        let time = TimeSpec::from_duration(left);
        // SAFETY: both pointers are to values that live through the call; a null siginfo is allowed (sigtimedwait(2)).
        let signal = unsafe { libc::sigtimedwait(set.as_ref(), std::ptr::null_mut(), time.as_ref()) };
        match signal {
            libc::SIGINT => break true,
            _ if left.is_zero() => break false,
            _ => {}
        }
    };
    let _ = before.thread_set_mask();
    interrupted
}

/// Reads the vector state of a stopped thread into `buffer`, as `XSAVE` writes it; how many bytes it has.
pub(super) fn read_vectors(tid: Pid, buffer: &mut [u8]) -> Result<usize, Errno> {
    let mut vector = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
    // SAFETY: `vector` describes exactly `buffer`, which is writable and outlives the call; the kernel writes no more than
    // `iov_len` bytes there, and into `vector` how many they were.
    let result = unsafe { libc::ptrace(libc::PTRACE_GETREGSET, tid.as_raw(), NT_X86_XSTATE, &raw mut vector) };
    Errno::result(result).map(|_| vector.iov_len)
}

/// Writes it back.
pub(super) fn write_vectors(tid: Pid, bytes: &[u8]) -> Result<(), Errno> {
    let mut vector = libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() };
    // SAFETY: `vector` describes exactly `bytes`, which outlives the call; PTRACE_SETREGSET only reads from there.
    let result = unsafe { libc::ptrace(libc::PTRACE_SETREGSET, tid.as_raw(), NT_X86_XSTATE, &raw mut vector) };
    Errno::result(result).map(drop)
}

/// Which registers: `linux/elf.h`.
const NT_X86_XSTATE: usize = 0x202;

/// The signals that a stopped thread blocks, as the kernel's 64-bit set (`PTRACE_GETSIGMASK`, Linux 3.11).
pub(super) fn signal_mask(tid: Pid) -> Result<u64, Errno> {
    let mut mask = 0_u64;
    // SAFETY: the kernel writes 8 bytes, as the third argument says, to `mask`, which is that large.
    let result = unsafe { libc::ptrace(PTRACE_GETSIGMASK, tid.as_raw(), size_of::<u64>(), &raw mut mask) };
    Errno::result(result).map(|_| mask)
}

/// Sets them (`PTRACE_SETSIGMASK`).
pub(super) fn set_signal_mask(tid: Pid, mask: u64) -> Result<(), Errno> {
    // SAFETY: the kernel reads 8 bytes, as the third argument says, from `mask`, which is that large.
    let result = unsafe { libc::ptrace(PTRACE_SETSIGMASK, tid.as_raw(), size_of::<u64>(), &raw const mask) };
    Errno::result(result).map(drop)
}

/// The type of a request, which differs between C libraries.
#[cfg(target_env = "musl")]
type PtraceRequest = libc::c_int;
#[cfg(not(target_env = "musl"))]
type PtraceRequest = libc::c_uint;

const PTRACE_GETSIGMASK: PtraceRequest = 0x420a;
const PTRACE_SETSIGMASK: PtraceRequest = 0x420b;

/// Lets a stopped thread run on, still traced, with a signal (0: none): to the next boundary of a system call, or until
/// something else stops it.
pub(super) fn resume(tid: Pid, to_call: bool, signal: i32) -> Result<(), Errno> {
    let request = if to_call { libc::PTRACE_SYSCALL } else { libc::PTRACE_CONT };
    // SAFETY: neither request takes a pointer: the third argument is ignored and the fourth is a signal number.
    let result = unsafe {
        libc::ptrace(
            request,
            tid.as_raw(),
            std::ptr::null_mut::<libc::c_void>(),
            signal as libc::c_long as *mut libc::c_void,
        )
    };
    Errno::result(result).map(drop)
}
