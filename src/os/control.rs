//! A thread that is stopped in order to be changed: its registers, its signal mask, and its way through system calls.
//!
//! [`Held`] exists only while the thread stands still and lets it go when dropped, whatever happens to us: the kernel does
//! that when the tracing thread ends, `SIGKILL` included. Single steps and breakpoints are never used, as either would leave
//! the target a trap that kills it if we ended at that moment. Reading memory is `Memory`'s business; what changes something
//! is here, in [`Control`], so that no reader can do it by mistake.

use super::Registers;
use super::steps::step;
use super::stop::{StopError, from_errno};
use super::sys::{self, WaitState};
use nix::errno::Errno;
use nix::sys::ptrace;
use nix::unistd::Pid;
use std::cell::Cell;
use std::marker::PhantomData;
use std::time::{Duration, Instant};

/// How long to look for a stop without sleeping in between: a thread that has a processor of its own needs less. Giving way
/// (`sched_yield`) is no help: the kernel then has every other program of the machine run first, for milliseconds, with the
/// thread standing still.
const SPIN: Duration = Duration::from_micros(40);
/// How long to sleep between looks then: the thread may wait for our processor.
const NAP: Duration = Duration::from_micros(20);
/// And how long where that is no help either.
const LONG_NAP: Duration = Duration::from_micros(200);
/// When that begins.
const IS_LONG: Duration = Duration::from_millis(20);

/// `PTRACE_O_SUSPEND_SECCOMP`: system calls are not filtered while traced (Linux 4.3, needs `CAP_SYS_ADMIN`).
const SUSPEND_SECCOMP: i32 = 1 << 21;

/// What `waitpid` shows at the boundary of a system call under `PTRACE_O_TRACESYSGOOD`.
const CALL_STOP: i32 = nix::libc::SIGTRAP | 0x80;

/// More than any x86-64 processor saves; AMX tiles make it some 11 KiB.
const VECTOR_BYTES: usize = 32 << 10;

/// A thread that can be changed because it stands still.
pub trait Control {
    /// Its general registers.
    fn registers(&self) -> Result<Registers, Errno>;
    /// Changes them.
    fn set_registers(&self, registers: &Registers) -> Result<(), Errno>;
    /// Its floating-point and vector state, in the form of `XSAVE` as `ptrace` gives it.
    fn vectors(&self) -> Result<Vec<u8>, Errno>;
    /// Puts that back.
    fn set_vectors(&self, state: &[u8]) -> Result<(), Errno>;
    /// The signals it blocks.
    fn signal_mask(&self) -> Result<u64, Errno>;
    /// Changes them.
    fn set_signal_mask(&self, mask: u64) -> Result<(), Errno>;
    /// Lets it run to the next entry into, or exit from, a system call. Signals that arrive are delivered.
    fn run_to_call(&self, deadline: Instant) -> Result<(), StopError>;
    /// From a stop at a system call: to one as [`Held::stop`] makes it, without an instruction in between. Only at such a
    /// stop does the kernel apply its own logic of restarting calls.
    fn leave_call(&self, deadline: Instant) -> Result<(), StopError>;
}

/// A thread that was asked to stop and has not yet. Kept until it has: the kernel would otherwise have it traced by us, and
/// by nobody else, until the tracing thread ends.
pub struct Stopping(Held);

impl Stopping {
    /// Asks a thread to stop.
    pub fn new(tid: i32) -> Result<Stopping, StopError> {
        let tid = Pid::from_raw(tid);
        let options = ptrace::Options::PTRACE_O_TRACESYSGOOD;
        let suspending = options | ptrace::Options::from_bits_retain(SUSPEND_SECCOMP);
        let since = Instant::now();
        step();
        let seized = match ptrace::seize(tid, suspending) {
            Err(Errno::EPERM | Errno::EINVAL) => ptrace::seize(tid, options),
            result => result,
        };
        seized.map_err(from_errno)?;
        step();
        let held = Held { tid, since, ran: Cell::new(since), not_send: PhantomData };
        ptrace::interrupt(tid).map_err(from_errno)?;
        Ok(Stopping(held))
    }

    /// Waits until it has stopped, for `limit` at the most; in vain, what remains can be waited for again.
    pub fn wait(mut self, limit: Duration) -> Result<Held, (StopError, Option<Stopping>)> {
        match self.0.wait_for_stop(Instant::now() + limit) {
            Ok(()) => {
                self.0.since = self.0.ran.get();
                Ok(self.0)
            }
            Err(StopError::Deadline) => Err((StopError::Deadline, Some(self))),
            Err(error) => Err((error, None)),
        }
    }
}

/// A thread that stands still until this is dropped. Not `Send`: only the thread that stopped it can do anything with it.
pub struct Held {
    tid: Pid,
    /// Since when it may have stood still.
    since: Instant,
    /// When it certainly ran last: it was asked to stop, or was looked at and had not.
    ran: Cell<Instant>,
    not_send: PhantomData<*const ()>,
}

impl Held {
    /// Stops a thread and waits for that.
    pub fn stop(tid: i32, limit: Duration) -> Result<Held, StopError> {
        Stopping::new(tid)?.wait(limit).map_err(|(error, _)| error)
    }

    /// Waits for the stop that was asked for; signals that come first are delivered.
    fn wait_for_stop(&self, deadline: Instant) -> Result<(), StopError> {
        loop {
            match self.wait(deadline)? {
                WaitState::EventStop => return Ok(()),
                WaitState::SignalStop(signal) => {
                    let signal = if signal == CALL_STOP { 0 } else { signal };
                    sys::resume(self.tid, false, signal).map_err(from_errno)?;
                }
                WaitState::Ended | WaitState::Running => return Err(StopError::Gone),
            }
        }
    }

    fn wait(&self, deadline: Instant) -> Result<WaitState, StopError> {
        let began = Instant::now();
        loop {
            let looked = Instant::now();
            match sys::wait_stopped(self.tid) {
                Ok(WaitState::Running) => self.ran.set(looked),
                Err(Errno::EINTR) => {}
                Ok(state) => return Ok(state),
                Err(Errno::ECHILD | Errno::ESRCH) => return Err(StopError::Gone),
                Err(errno) => return Err(StopError::Os(errno)),
            }
            if looked > deadline {
                return Err(StopError::Deadline);
            }
            let waited = looked.duration_since(began);
            if waited < SPIN {
                std::hint::spin_loop();
            } else {
                std::thread::sleep(if waited < IS_LONG { NAP } else { LONG_NAP });
            }
        }
    }

    /// The thread.
    pub fn tid(&self) -> i32 {
        self.tid.as_raw()
    }

    /// Lets it go; for how long it stood still, or made system calls for us, at the most.
    pub fn let_go(self) -> Duration {
        // Before the kernel is asked: it may have the thread run on our processor at once, and us when that is done.
        self.since.elapsed()
    }

    /// Stops it again when it did not reach the system call that it was let run to.
    pub fn stop_again(&self, deadline: Instant) -> Result<(), StopError> {
        ptrace::interrupt(self.tid).map_err(from_errno)?;
        match self.wait_for_stop(deadline) {
            // It was standing still all along.
            Err(StopError::Deadline) => Ok(()),
            result => result,
        }
    }
}

impl Control for Held {
    fn registers(&self) -> Result<Registers, Errno> {
        Registers::read(self.tid.as_raw())
    }

    #[cfg(target_arch = "x86_64")]
    fn set_registers(&self, registers: &Registers) -> Result<(), Errno> {
        step();
        ptrace::setregs(self.tid, (*registers).into())
    }

    #[cfg(not(target_arch = "x86_64"))]
    fn set_registers(&self, _registers: &Registers) -> Result<(), Errno> {
        Err(Errno::ENOSYS)
    }

    fn vectors(&self) -> Result<Vec<u8>, Errno> {
        let mut bytes = vec![0; VECTOR_BYTES];
        let len = sys::read_vectors(self.tid, &mut bytes)?;
        bytes.truncate(len);
        Ok(bytes)
    }

    fn set_vectors(&self, state: &[u8]) -> Result<(), Errno> {
        step();
        sys::write_vectors(self.tid, state)
    }

    fn signal_mask(&self) -> Result<u64, Errno> {
        sys::signal_mask(self.tid)
    }

    fn set_signal_mask(&self, mask: u64) -> Result<(), Errno> {
        step();
        sys::set_signal_mask(self.tid, mask)
    }

    fn run_to_call(&self, deadline: Instant) -> Result<(), StopError> {
        let mut signal = 0;
        loop {
            step();
            sys::resume(self.tid, true, signal).map_err(from_errno)?;
            signal = match self.wait(deadline)? {
                WaitState::SignalStop(CALL_STOP) => return Ok(()),
                WaitState::SignalStop(signal) => signal,
                // The process as a whole is being stopped or continued.
                WaitState::EventStop => 0,
                WaitState::Ended | WaitState::Running => return Err(StopError::Gone),
            };
        }
    }

    fn leave_call(&self, deadline: Instant) -> Result<(), StopError> {
        step();
        ptrace::interrupt(self.tid).map_err(from_errno)?;
        step();
        sys::resume(self.tid, false, 0).map_err(from_errno)?;
        self.wait_for_stop(deadline)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        step();
        // Where it is not stopped, as after a deadline, the kernel lets it go when the tracing thread ends; asking for a
        // stop again brings that about sooner.
        if sys::detach(self.tid, 0).is_ok() {
            step();
            return;
        }
        let _ = ptrace::interrupt(self.tid);
        let deadline = Instant::now() + Duration::from_millis(100);
        if self.wait_for_stop(deadline).is_ok() {
            let _ = sys::detach(self.tid, 0);
        }
    }
}
