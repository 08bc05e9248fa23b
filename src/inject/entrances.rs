//! Everything of the target's code that is called or jumped to, looked up before anything is stopped.

use super::Symbols;
use super::api::InjectError;
use super::borrow::Gadgets;
use super::context::{Context, Slot};
use super::trampoline::{self, Code};
use crate::base::Addr;

/// Functions of CPython that each route needs, and where the code expects their addresses.
const PYTHON: &[(&str, Slot)] = &[
    ("PyErr_Fetch", Slot::ErrFetch),
    ("PyErr_Restore", Slot::ErrRestore),
    ("PyErr_Clear", Slot::ErrClear),
    ("Py_GetRecursionLimit", Slot::GetRecursionLimit),
    ("Py_SetRecursionLimit", Slot::SetRecursionLimit),
    ("PyDict_New", Slot::DictNew),
    ("PyDict_SetItemString", Slot::DictSetItemString),
    ("PyEval_GetBuiltins", Slot::GetBuiltins),
    ("PyRun_StringFlags", Slot::RunString),
    ("Py_DecRef", Slot::DecRef),
    ("PyGILState_Ensure", Slot::GilEnsure),
    ("PyGILState_Release", Slot::GilRelease),
    ("PyGILState_Check", Slot::GilCheck),
];

/// Addresses of functions and instructions in the target.
pub(super) struct Entrances {
    pub(super) gadgets: Gadgets,
    pub(super) add_pending_call: Addr,
    pub(super) start_new_thread: Addr,
    pub(super) code: Code,
    python: Vec<(Slot, Addr)>,
    errno_location: Option<Addr>,
    clock_gettime: Option<Addr>,
}

impl Entrances {
    /// Takes them from what was looked up.
    pub(super) fn new(symbols: &Symbols) -> Result<Entrances, InjectError> {
        let refused = |what: &str| InjectError::Refused(format!("it has no {what}, which is needed to run a script"));
        let code = trampoline::code().ok_or_else(|| refused("room for the code"))?;
        let python = |name: &str| symbols.python.get(name).ok_or_else(|| refused(name));
        let mut functions = Vec::new();
        for (name, slot) in PYTHON {
            functions.push((*slot, python(name)?));
        }
        Ok(Entrances {
            gadgets: Gadgets { syscall: symbols.syscall, restorer: symbols.restorer },
            add_pending_call: python("Py_AddPendingCall")?,
            start_new_thread: python("PyThread_start_new_thread")?,
            code,
            python: functions,
            errno_location: symbols.libc.get("__errno_location"),
            clock_gettime: symbols.libc.get("clock_gettime"),
        })
    }

    /// Writes the addresses into a context for scratch memory at `base`.
    pub(super) fn fill(&self, context: &mut Context, base: Addr) {
        for (slot, address) in &self.python {
            context.set_address(*slot, *address);
        }
        context.set_address(Slot::SystemCall, self.gadgets.syscall);
        context.set_address(Slot::ErrnoLocation, self.errno_location.unwrap_or_default());
        let clock = self.clock_gettime.unwrap_or_else(|| base.offset(self.code.clock));
        context.set_address(Slot::ClockGettime, clock);
    }
}
