//! Stopping one thread, as briefly as possible and so that it always runs on.
//!
//! `PTRACE_SEIZE` sends no signal, `PTRACE_INTERRUPT` brings the thread to a stop, and `PTRACE_DETACH` lets it go; nothing
//! is written to it. The kernel detaches by itself when the tracing thread ends, whatever ends it, `SIGKILL` included, so
//! no moment exists at which the target would stay stopped. A signal that arrives meanwhile is passed on when letting go.

use super::sys::{WaitState, detach, wait_stopped};
use nix::errno::Errno;
use nix::sys::ptrace;
use nix::unistd::Pid;
use std::marker::PhantomData;
use std::time::{Duration, Instant};

/// How long to look for the stop without sleeping in between: it usually comes within 50 µs.
const SPIN: Duration = Duration::from_millis(1);

/// How long a killed thread may take to end.
const TAKING_NOTE: Duration = Duration::from_millis(100);

/// Why a thread could not be stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StopError {
    /// It has ended.
    #[error("the thread has ended")]
    Gone,
    /// Not allowed, or traced already.
    #[error("the kernel refused to stop it")]
    Refused,
    /// It sleeps uninterruptibly, so it would stop when it wakes up, not before.
    #[error("it is in uninterruptible sleep")]
    Uninterruptible,
    /// It did not stop in time.
    #[error("it did not stop in time")]
    Deadline,
    /// Something else.
    #[error("ptrace failed: {0}")]
    Os(Errno),
}

/// A stop that was asked for. Several can be asked for before the first is waited for, so that threads stop side by side.
/// Dropping it lets the thread run again if it has stopped by then; if it stops later, the kernel does that when the thread
/// that asked ends, so ask from one that ends soon. Not `Send`: only the thread that stopped it can let it go.
pub struct StopRequest {
    tid: Pid,
    since: Instant,
    not_send: PhantomData<*const ()>,
}

/// Why a thread is not stopped.
pub struct StopFailure {
    /// Why.
    pub error: StopError,
    /// What remains of the request: to be kept until everything else is let go.
    pub late: Option<StopRequest>,
}

impl StopRequest {
    /// Asks a thread to stop.
    pub fn new(tid: i32) -> Result<StopRequest, StopError> {
        let tid = Pid::from_raw(tid);
        ptrace::seize(tid, ptrace::Options::empty()).map_err(from_errno)?;
        let request = StopRequest { tid, since: Instant::now(), not_send: PhantomData };
        ptrace::interrupt(tid).map_err(from_errno)?;
        Ok(request)
    }

    /// Waits until it has stopped, for `limit` at the most.
    pub fn wait(self, limit: Duration) -> Result<StoppedThread, StopFailure> {
        let waiting_since = Instant::now();
        loop {
            match wait_stopped(self.tid) {
                Ok(WaitState::EventStop) => return Ok(StoppedThread { request: self, signal: 0 }),
                Ok(WaitState::SignalStop(signal)) => return Ok(StoppedThread { request: self, signal }),
                Ok(WaitState::Ended) | Err(Errno::ECHILD | Errno::ESRCH) => {
                    return Err(StopFailure { error: StopError::Gone, late: None });
                }
                Ok(WaitState::Running) | Err(Errno::EINTR) => {}
                Err(errno) => return Err(StopFailure { error: StopError::Os(errno), late: Some(self) }),
            }
            let waited = waiting_since.elapsed();
            if waited > limit {
                return Err(StopFailure { error: StopError::Deadline, late: Some(self) });
            }
            if waited < SPIN {
                std::thread::yield_now();
            } else {
                std::thread::sleep(Duration::from_micros(100));
            }
        }
    }

    /// The thread.
    pub fn tid(&self) -> i32 {
        self.tid.as_raw()
    }
}

impl Drop for StopRequest {
    fn drop(&mut self) {
        // A stopped thread that was waited for has been let go already; then there is nothing to wait for here.
        let signal = match wait_stopped(self.tid) {
            Ok(WaitState::EventStop) => 0,
            Ok(WaitState::SignalStop(signal)) => signal,
            _ => return,
        };
        let _ = detach(self.tid, signal);
    }
}

/// A thread that stands still until this is dropped.
pub struct StoppedThread {
    request: StopRequest,
    /// Signal to deliver when letting go; 0 for none.
    signal: i32,
}

impl StoppedThread {
    /// When the stop was asked for.
    pub fn since(&self) -> Instant {
        self.request.since
    }

    /// The thread.
    pub fn tid(&self) -> i32 {
        self.request.tid()
    }
}

impl Drop for StoppedThread {
    fn drop(&mut self) {
        if detach(self.request.tid, self.signal).is_err() {
            // It was killed meanwhile. It lingers until its tracer has taken note, and an exec(2) of another thread of the
            // process waits for that.
            let since = Instant::now();
            while since.elapsed() < TAKING_NOTE && matches!(wait_stopped(self.request.tid), Ok(WaitState::Running)) {
                std::thread::sleep(Duration::from_micros(100));
            }
        }
    }
}

pub(super) fn from_errno(errno: Errno) -> StopError {
    match errno {
        Errno::ESRCH => StopError::Gone,
        Errno::EPERM | Errno::EACCES => StopError::Refused,
        other => StopError::Os(other),
    }
}
