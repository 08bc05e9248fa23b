//! The only unsafe code: system calls that `nix` cannot express, because it knows no real-time signals and would lose one
//! that arrives while a thread is being stopped; and a setting of the C library's allocator.

use nix::errno::Errno;
use nix::libc;
use nix::unistd::Pid;

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
