//! Does a layout fit? A candidate runtime is believed only when its structures, read with that layout, point at each other
//! as CPython's must. The checks are redundant on purpose: chance agreement of all of them is out of the question, so a
//! layout that passes is not a guess.

use super::Quirks;
use super::layout::Layout;
use crate::base::{Addr, Version, limits};
use crate::objects::Objects;
use crate::target::{Cache, ReadError};

/// Thread states looked at per interpreter; a wrong layout fails at the first.
const THREADS_LOOKED_AT: usize = 3;

/// What a fitting layout let us read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Facts {
    /// `sys.hexversion`; `None` while `sys` is not there (yet, or any more).
    pub(super) version: Option<Version>,
    /// `sys.gettotalrefcount` exists.
    pub(super) debug_build: bool,
}

/// Why a layout does not fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Misfit {
    /// No interpreter in the list: not started yet, shut down, or an unused copy of the library.
    #[error("no interpreter is initialised")]
    Uninitialised,
    /// No interpreter in the list, and the runtime remembers who shut it down. `Py_FinalizeEx` leaves that set, and only
    /// a new start clears it (`_PyRuntimeState_SetFinalizing` in `Python/pylifecycle.c`).
    #[error("the interpreter has been shut down")]
    ShutDown,
    /// This cannot be so.
    #[error("{0}")]
    Contradiction(&'static str),
    /// It leads to memory that cannot be read.
    #[error("{0}")]
    Read(#[from] ReadError),
}

/// Checks `layout` against the runtime at `runtime`.
pub(super) fn validate(cache: &Cache<'_>, runtime: Addr, layout: &Layout, quirks: Quirks) -> Result<Facts, Misfit> {
    let objects = Objects::new(cache, layout, quirks);
    let head = objects.field(runtime, layout.runtime.interpreters_head)?;
    let main = objects.field(runtime, layout.runtime.interpreters_main)?;
    if head.is_null() {
        let ended_by = layout.runtime.finalizing.and_then(|field| objects.field(runtime, field).ok());
        return Err(match ended_by {
            Some(thread) if thread.is_plausible() => Misfit::ShutDown,
            _ => Misfit::Uninitialised,
        });
    }
    let main_is_listed = walk_interpreters(&objects, head, main)?;
    if !main_is_listed {
        return Err(Misfit::Contradiction("the main interpreter is not in the list of interpreters"));
    }
    check_threads(&objects, main)?;
    check_gil(&objects, runtime, main)?;
    check_modules(&objects, main)
}

fn walk_interpreters(objects: &Objects<'_>, head: Addr, main: Addr) -> Result<bool, Misfit> {
    let mut main_is_listed = false;
    let mut interp = head;
    let mut previous_id = i64::MAX;
    for _ in 0..limits::INTERPRETERS {
        if interp.is_null() {
            return Ok(main_is_listed);
        }
        if !interp.is_plausible() {
            return Err(Misfit::Contradiction("the list of interpreters leads nowhere"));
        }
        let id = objects.field(interp, objects.layout.interp.id)?;
        // New interpreters are put in front, with ids that count up from 0.
        if id < 0 || id >= previous_id || (id == 0) != (interp == main) {
            return Err(Misfit::Contradiction("the interpreters' ids are not in order"));
        }
        previous_id = id;
        main_is_listed |= interp == main;
        interp = objects.field(interp, objects.layout.interp.next)?;
    }
    Err(Misfit::Contradiction("the list of interpreters does not end"))
}

fn check_threads(objects: &Objects<'_>, interp: Addr) -> Result<(), Misfit> {
    let layout = &objects.layout.thread;
    let mut thread = objects.field(interp, objects.layout.interp.threads_head)?;
    if thread.is_null() {
        return Err(Misfit::Contradiction("the main interpreter has no thread"));
    }
    for _ in 0..THREADS_LOOKED_AT {
        if thread.is_null() {
            break;
        }
        if !thread.is_plausible() || objects.field(thread, layout.interp)? != interp {
            return Err(Misfit::Contradiction("a thread state does not belong to its interpreter"));
        }
        thread = objects.field(thread, layout.next)?;
    }
    Ok(())
}

fn check_gil(objects: &Objects<'_>, runtime: Addr, interp: Addr) -> Result<(), Misfit> {
    let layout = objects.layout;
    let gil = match (layout.interp.gil, layout.runtime.gil) {
        (Some(pointer), _) => objects.field(interp, pointer)?,
        (None, Some(inside)) => inside.of(runtime),
        (None, None) => return Ok(()),
    };
    let locked = objects.field(gil, layout.gil.locked)?;
    let holder = objects.field(gil, layout.gil.last_holder)?;
    if !(-1..=1).contains(&locked) || !(holder.is_null() || holder.is_plausible()) {
        return Err(Misfit::Contradiction("the GIL is in an impossible state"));
    }
    Ok(())
}

fn check_modules(objects: &Objects<'_>, interp: Addr) -> Result<Facts, Misfit> {
    let layout = &objects.layout.interp;
    let (modules, sysdict) = (objects.field(interp, layout.modules)?, objects.field(interp, layout.sysdict)?);
    for dict in [modules, sysdict] {
        if !dict.is_null() && &*objects.type_name(dict)? != "dict" {
            return Err(Misfit::Contradiction("sys.modules or sys.__dict__ is no dict"));
        }
    }
    if sysdict.is_null() {
        return Ok(Facts { version: None, debug_build: false });
    }
    // Names in `sys` are not there at first, and None in the end.
    let hex = match objects.dict_get(sysdict, "hexversion")? {
        Some(object) if &*objects.type_name(object)? == "int" => Some(objects.int(object)?),
        _ => None,
    };
    let version = hex.and_then(|hex| u32::try_from(hex).ok()).and_then(Version::from_hex);
    Ok(Facts { version, debug_build: objects.dict_get(sysdict, "gettotalrefcount")?.is_some() })
}
