//! What threads wait with: threads themselves, conditions, semaphores, events, barriers, of `threading` and of `asyncio`.
//! Their forms are those of `Lib/threading.py` and `Lib/asyncio/locks.py` of 3.11 and later, in all versions.

use super::Writer;
use super::classes::{Class, must};
use super::types::Type;
use crate::base::Addr;
use crate::target::ReadError;
use std::rc::Rc;

/// A `ThreadHandle` (`Modules/_threadmodule.c`, 3.13 on): `{ node, shutdown_node, ident, os_handle, has_os_handle, state,
/// mutex, thread_is_exiting, … }`, where nodes are two pointers each, and the last two a byte.
const HANDLE_FLAGS: u64 = 48;
const HANDLE_EXITING: usize = 9;
/// States of it: from 1, not started, to 4, done.
const HANDLE_STATES: std::ops::RangeInclusive<u8> = 1..=4;
/// `Barrier._state` when it is filling, and broken.
const FILLING: i128 = 0;
const BROKEN: i128 = -2;

impl Writer<'_, '_> {
    /// `<Thread(name, started daemon 140…)>`, as `Thread.__repr__`; one of a class of the program's with the attributes that
    /// this adds, as far as they are not private.
    pub(super) fn thread(&mut self, object: Addr, ty: &Rc<Type>) -> Result<(), ReadError> {
        let [name, ident, daemon, started] = self.own(object, ["_name", "_ident", "_daemonic", "_started"])?;
        let (name, daemon, started) = (must(name)?, self.truth(must(daemon)?)?, must(started)?);
        let started = self.truth(self.must_own(started, "_flag")?)?;
        let ident = match ident {
            Some(ident) if !self.is_none(ident)? => Some(self.number(ident)?),
            _ => None,
        };
        let status = match self.has_ended(object, started)? {
            true => "stopped",
            false if started => "started",
            false => "initial",
        };
        self.push("<");
        self.push_name(ty.name());
        self.push("(");
        self.bare(name)?;
        self.push(&format!(", {status}{}", if daemon { " daemon" } else { "" }));
        if let Some(ident) = ident {
            self.push(&format!(" {ident}"));
        }
        self.push(")");
        if ty.module() != "threading" {
            let mut added = self.attributes(object, ty)?.to_vec();
            added.retain(|(name, _)| !name.starts_with('_'));
            self.nested(object, "", |writer| {
                writer.named(&added, " ");
                Ok(())
            })?;
        }
        self.push(">");
        Ok(())
    }

    /// `<_multiprocessing.SemLock at 0x… count=1, maxvalue=1, owner=140…>`: `SemLockObject { handle, last_tid, int count, int
    /// maxvalue, int kind, … }`, which knows how often this process holds it, and which of its threads took it last
    /// (`Modules/_multiprocessing/semaphore.c`).
    pub(super) fn process_lock(&mut self, object: Addr, ty: &Type) -> Result<(), ReadError> {
        let (owner, count, most): (u64, i32, i32) =
            (self.word(object, 8)?, self.word(object, 16)?, self.word(object, 20)?);
        let owner = if count > 0 { format!(", owner={owner}") } else { String::new() };
        self.push(&format!("<{} at {object} count={count}, maxvalue={most}{owner}>", ty.full_name()));
        Ok(())
    }

    /// Whether a thread has: from 3.13 on its handle knows; before, the lock that it holds is free then.
    fn has_ended(&mut self, thread: Addr, started: bool) -> Result<bool, ReadError> {
        let names = ["_os_thread_handle", "_handle", "_is_stopped", "_tstate_lock"];
        let [handle, old_handle, stopped, lock] = self.own(thread, names)?;
        if let Some(handle) = handle.or(old_handle) {
            if &*self.objects().type_name(handle)? != "_thread._ThreadHandle" {
                return Err(ReadError::Invalid("thread handle"));
            }
            let inner: Addr = self.word(handle, 0)?;
            let flags = self.objects().bytes(inner.offset(HANDLE_FLAGS), 16)?;
            let byte = |at: usize| flags.get(at).copied().unwrap_or_default();
            if byte(0) > 1 || !HANDLE_STATES.contains(&byte(4)) {
                return Err(ReadError::Invalid("thread handle"));
            }
            return Ok(byte(HANDLE_EXITING) & 1 != 0);
        }
        if self.truth(must(stopped)?)? {
            return Ok(true);
        }
        match lock {
            Some(lock) if started && &*self.objects().type_name(lock)? == "_thread.lock" => {
                let ty = self.type_of(lock)?;
                Ok(!self.is_locked(lock, &ty)?.ok_or(ReadError::Invalid("lock"))?)
            }
            _ => Ok(false),
        }
    }

    /// `<Condition(<unlocked _thread.RLock object …>, 2)>`, with how many wait.
    pub(super) fn condition(&mut self, object: Addr, ty: &Rc<Type>) -> Result<(), ReadError> {
        let [lock, waiters] = self.own(object, ["_lock", "_waiters"])?;
        let (lock, waiters) = (must(lock)?, self.length(Some(must(waiters)?))?);
        self.push("<");
        self.push_name(ty.name());
        self.push("(");
        self.object(lock);
        self.push(&format!(", {waiters})>"));
        Ok(())
    }

    /// How many threads wait for the condition within something.
    fn waiting(&self, condition: Option<Addr>) -> Result<String, ReadError> {
        let waiters = self.must_own(must(condition)?, "_waiters")?;
        Ok(match self.length(Some(waiters))? {
            0 => String::new(),
            count => format!(", {count} waiting"),
        })
    }

    /// `<module.Class at 0x…: …>`.
    fn described(&mut self, object: Addr, ty: &Type, what: &str) -> Result<(), ReadError> {
        self.push("<");
        self.push_name(&ty.full_name());
        self.push(&format!(" at {object}: {what}>"));
        Ok(())
    }

    /// `<threading.Semaphore at 0x…: value=0, 2 waiting>`; a bounded one has `value=0/2`.
    pub(super) fn semaphore(&mut self, object: Addr, ty: &Rc<Type>, bounded: bool) -> Result<(), ReadError> {
        let [value, initial, condition] = self.own(object, ["_value", "_initial_value", "_cond"])?;
        let mut what = format!("value={}", self.number(must(value)?)?);
        if bounded {
            what += &format!("/{}", self.number(must(initial)?)?);
        }
        what += &self.waiting(condition)?;
        self.described(object, ty, &what)
    }

    /// `<threading.Event at 0x…: unset, 2 waiting>`.
    pub(super) fn event(&mut self, object: Addr, ty: &Rc<Type>) -> Result<(), ReadError> {
        let [flag, condition] = self.own(object, ["_flag", "_cond"])?;
        let state = if self.truth(must(flag)?)? { "set" } else { "unset" };
        let what = format!("{state}{}", self.waiting(condition)?);
        self.described(object, ty, &what)
    }

    /// `<threading.Barrier at 0x…: waiters=1/2>`.
    pub(super) fn barrier(&mut self, object: Addr, ty: &Rc<Type>) -> Result<(), ReadError> {
        let [state, parties, count] = self.own(object, ["_state", "_parties", "_count"])?;
        let (parties, count) = (self.number(must(parties)?)?, self.number(must(count)?)?);
        let what = match self.number(must(state)?)? {
            BROKEN => "broken".to_owned(),
            FILLING => format!("waiters={count}/{parties}"),
            _ => format!("waiters=0/{parties}"),
        };
        self.described(object, ty, &what)
    }

    /// `<asyncio.locks.Lock object at 0x… [locked, waiters:2]>`.
    fn bracketed(&mut self, object: Addr, ty: &Type, state: &str, waiters: Option<Addr>) -> Result<(), ReadError> {
        let waiters = match self.length(waiters)? {
            0 => String::new(),
            count => format!(", waiters:{count}"),
        };
        self.push("<");
        self.push_name(&ty.full_name());
        self.push(&format!(" object at {object} [{state}{waiters}]>"));
        Ok(())
    }

    /// A lock of asyncio, or a condition, which is locked when its lock is.
    pub(super) fn async_lock(&mut self, object: Addr, ty: &Rc<Type>, class: Class) -> Result<(), ReadError> {
        let [lock, locked, waiters] = self.own(object, ["_lock", "_locked", "_waiters"])?;
        let locked = match class {
            Class::AsyncCondition => self.must_own(must(lock)?, "_locked")?,
            _ => must(locked)?,
        };
        let state = if self.truth(locked)? { "locked" } else { "unlocked" };
        self.bracketed(object, ty, state, waiters)
    }

    pub(super) fn async_semaphore(&mut self, object: Addr, ty: &Rc<Type>) -> Result<(), ReadError> {
        let [value, waiters] = self.own(object, ["_value", "_waiters"])?;
        let state = match self.number(must(value)?)? {
            0 => "locked".to_owned(),
            value => format!("unlocked, value:{value}"),
        };
        self.bracketed(object, ty, &state, waiters)
    }

    pub(super) fn async_event(&mut self, object: Addr, ty: &Rc<Type>) -> Result<(), ReadError> {
        let [value, waiters] = self.own(object, ["_value", "_waiters"])?;
        let state = if self.truth(must(value)?)? { "set" } else { "unset" };
        self.bracketed(object, ty, state, waiters)
    }

    /// `<asyncio.locks.Barrier object at 0x… [filling, waiters:1/2]>`; its state is an enumeration.
    pub(super) fn async_barrier(&mut self, object: Addr, ty: &Rc<Type>) -> Result<(), ReadError> {
        let [state, parties, count] = self.own(object, ["_state", "_parties", "_count"])?;
        let (parties, count) = (self.number(must(parties)?)?, self.number(must(count)?)?);
        let state = self.word_of(self.must_own(must(state)?, "_value_")?)?;
        let waiters = match &*state {
            "broken" => String::new(),
            "filling" => format!(", waiters:{count}/{parties}"),
            _ => format!(", waiters:0/{parties}"),
        };
        self.push("<");
        self.push_name(&ty.full_name());
        self.push(&format!(" object at {object} ["));
        self.push_name(&state);
        self.push(&format!("{waiters}]>"));
        Ok(())
    }
}
