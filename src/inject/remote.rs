//! CPython's own protocol for remote debugging (PEP 768; `Include/internal/pycore_interp_structs.h`, `Python/ceval_gil.c` of
//! 3.14): the path of a script, a flag, and a bit that makes the thread look.
//!
//! What is touched: these three fields of one thread's state, in this order, while that thread stands still; and a second
//! descriptor of the target, from which the script is read, as no file that we could make is sure to be visible there. How it
//! is undone: CPython clears the flag when it takes the script, the script closes its descriptor; where it was never taken,
//! we clear the flag under another stop. The bit only makes the thread look once more.

use super::api::{InjectError, Subject};
use super::channel_setup::Request;
use crate::base::{Addr, FieldValue};
use crate::interp::collect;
use crate::os::{MemoryWriter, innermost_id};
use crate::target::{Cache, ReadError};
use nix::errno::Errno;

/// `_PY_EVAL_PLEASE_STOP_BIT` (`Include/internal/pycore_ceval.h`).
const PLEASE_STOP: u8 = 1 << 5;
/// `_Py_MAX_SCRIPT_PATH_SIZE`: room for the path.
const PATH_BYTES: usize = 512;

/// Where a thread of Python's keeps what is asked of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mailbox {
    path: Addr,
    pending: Addr,
    eval_breaker: Addr,
    native_id: Addr,
    /// The thread's id as Python recorded it.
    id: u64,
}

impl Mailbox {
    /// That of a thread by the kernel's id of it. `None` where the version has none, or the thread is none of Python's.
    pub(super) fn find(subject: &Subject<'_>, tid: i32) -> Option<Mailbox> {
        let layout = &subject.runtime.layout.thread;
        let id = u64::try_from(innermost_id(tid)?).ok()?;
        let cache = Cache::new(subject.memory);
        let world = collect(&cache, subject.runtime).ok()?;
        let thread = world.threads().find(|thread| thread.native_id == Some(id))?.address;
        Some(Mailbox {
            path: layout.debugger_script_path?.of(thread),
            pending: layout.debugger_pending_call?.of(thread),
            eval_breaker: layout.eval_breaker?.of(thread),
            native_id: layout.native_thread_id?.of(thread),
            id,
        })
    }

    fn read<T: FieldValue, const N: usize>(subject: &Subject<'_>, at: Addr) -> Result<T, ReadError> {
        let mut bytes = [0; N];
        subject.memory.read(at, &mut bytes)?;
        T::from_bytes(&bytes).ok_or(ReadError::Invalid("field"))
    }

    /// True while the thread state still is that thread's.
    fn is_current(&self, subject: &Subject<'_>) -> bool {
        Mailbox::read::<u64, 8>(subject, self.native_id) == Ok(self.id)
    }

    /// True while a script waits there.
    pub(super) fn is_full(&self, subject: &Subject<'_>) -> bool {
        Mailbox::read::<i32, 4>(subject, self.pending).is_ok_and(|pending| pending != 0)
    }

    /// Puts the request's script there, with the thread stopped. False when another script is waiting already.
    pub(super) fn put(
        &self,
        subject: &Subject<'_>,
        writer: &MemoryWriter,
        request: &Request,
    ) -> Result<bool, InjectError> {
        let step = |source| InjectError::Step { step: "leaving the script with the thread", source };
        if !self.is_current(subject) || self.is_full(subject) {
            return Ok(false);
        }
        let fd = request.facts.text_fd.ok_or(step(Errno::EBADF))?;
        let path = format!("/proc/self/fd/{fd}\0");
        debug_assert!(path.len() <= PATH_BYTES, "a path of some 20 bytes");
        writer.write(self.path, path.as_bytes()).map_err(step)?;
        writer.write(self.pending, &1_i32.to_le_bytes()).map_err(step)?;
        // Its low byte only: the bits above are a number that others change.
        let bits: u8 = Mailbox::read::<u8, 1>(subject, self.eval_breaker).map_err(|_| step(Errno::EFAULT))?;
        writer.write(self.eval_breaker, &[bits | PLEASE_STOP]).map_err(step)?;
        Ok(true)
    }

    /// The descriptor that the script which waits there is to be read from, if it was put there by us.
    pub(super) fn descriptor(&self, subject: &Subject<'_>) -> Option<i32> {
        let mut path = [0; PATH_BYTES / 8];
        subject.memory.read(self.path, &mut path).ok().filter(|()| self.is_full(subject))?;
        let path = path.split(|byte| *byte == 0).next()?;
        std::str::from_utf8(path).ok()?.strip_prefix("/proc/self/fd/")?.parse().ok()
    }

    /// Takes it back, with the thread stopped. False when it has been taken already.
    pub(super) fn take_back(&self, subject: &Subject<'_>, writer: &MemoryWriter) -> bool {
        self.is_current(subject) && self.is_full(subject) && writer.write(self.pending, &0_i32.to_le_bytes()).is_ok()
    }
}
