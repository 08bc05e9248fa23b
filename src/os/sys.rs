//! The only unsafe code: system calls that `nix` cannot express, because it knows no real-time signals and would lose one
//! that arrives while a thread is being stopped; and a setting of the C library's allocator.

use nix::errno::Errno;
use nix::libc;
use nix::sys::signal::{SigSet, Signal};
use nix::unistd::Pid;
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

/// Waits until `limit` is over. True when SIGINT came meanwhile; it is consumed, and does not end the process as it would at
/// any other time. To be called by the only thread that does not block it.
pub fn wait_for_interrupt(limit: Duration) -> bool {
    let set = SigSet::from(Signal::SIGINT);
    let Ok(before) = set.thread_swap_mask(nix::sys::signal::SigmaskHow::SIG_BLOCK) else { return false };
    let end = Instant::now() + limit;
    let interrupted = loop {
        let left = end.saturating_duration_since(Instant::now());
        let time =
            libc::timespec { tv_sec: left.as_secs() as libc::time_t, tv_nsec: left.subsec_nanos() as libc::c_long };
        // SAFETY: both pointers are to values that live through the call; a null siginfo is allowed (sigtimedwait(2)).
        let signal = unsafe { libc::sigtimedwait(set.as_ref(), std::ptr::null_mut(), &time) };
        match signal {
            libc::SIGINT => break true,
            _ if left.is_zero() => break false,
            _ => {}
        }
    };
    let _ = before.thread_set_mask();
    interrupted
}
