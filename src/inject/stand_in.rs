//! Stands in for the lookup of symbols and for looking at the main thread.

use super::api::Subject;
use super::borrow::Gadgets;
use super::{Decision, Doing, Route, Situation};
use crate::base::Addr;
use crate::elf::Image;
use crate::os::{Module, Registers};

pub(super) struct Symbols {
    python: Vec<(String, Addr)>,
    libc: Vec<(String, Addr)>,
    pub(super) gadgets: Gadgets,
}

fn all(module: &Module) -> Vec<(String, Addr)> {
    let names = [
        "PyErr_Fetch",
        "PyErr_Restore",
        "PyErr_Clear",
        "Py_GetRecursionLimit",
        "Py_SetRecursionLimit",
        "PyDict_New",
        "PyDict_SetItemString",
        "PyEval_GetBuiltins",
        "PyRun_StringFlags",
        "Py_DecRef",
        "PyGILState_Ensure",
        "PyGILState_Release",
        "PyGILState_Check",
        "Py_AddPendingCall",
        "PyThread_start_new_thread",
        "__errno_location",
        "clock_gettime",
    ];
    let Some(base) = module.base else { return Vec::new() };
    let Some(file) = module.open().next() else { return Vec::new() };
    let Ok(image) = Image::parse(&file) else { return Vec::new() };
    let Some(bias) = image.bias(base) else { return Vec::new() };
    let found = image.dynamic_symbols(names);
    names
        .iter()
        .zip(found)
        .filter_map(|(name, symbol)| Some(((*name).to_owned(), Addr(symbol?.value.wrapping_add(bias)))))
        .collect()
}

impl Symbols {
    pub(super) fn find(subject: &Subject<'_>) -> Result<Symbols, String> {
        let python = subject.modules.files.iter().filter(|module| module.path == subject.runtime.module);
        let python = python.flat_map(all).collect();
        let libc = |module: &&Module| {
            let name = module.path.rsplit('/').next().unwrap_or_default();
            name.starts_with("libc.so") || name.starts_with("libc-2") || name.starts_with("ld-musl")
        };
        let module = subject.modules.files.iter().find(libc).ok_or("C library")?;
        let base = module.base.ok_or("C library")?;
        let mut bytes = Vec::new();
        for page in 0..1024_u64 {
            let mut some = [0; 4096];
            let _ = subject.memory.read(base.offset(page * 4096), &mut some);
            bytes.extend_from_slice(&some);
        }
        let find = |pattern: &[u8]| {
            bytes.windows(pattern.len()).position(|window| window == pattern).map(|at| base.0 + at as u64)
        };
        let syscall = find(&[0x0f, 0x05, 0xc3]).ok_or("system call")?;
        let (restorer, restorer_len) = match find(&[0x48, 0xc7, 0xc0, 0x0f, 0, 0, 0, 0x0f, 0x05]) {
            Some(at) => (at, 9),
            None => (find(&[0xb8, 0x0f, 0, 0, 0, 0x0f, 0x05]).ok_or("restorer")?, 7),
        };
        Ok(Symbols { python, libc: all(module), gadgets: Gadgets { syscall, restorer, restorer_len } })
    }

    pub(super) fn python(&self, name: &str) -> Option<Addr> {
        self.python.iter().find(|(known, _)| known == name).map(|(_, addr)| *addr)
    }

    pub(super) fn libc(&self, name: &str) -> Option<Addr> {
        self.libc.iter().find(|(known, _)| known == name).map(|(_, addr)| *addr)
    }
}

pub(super) fn look(subject: &Subject<'_>, registers: &Registers) -> Situation {
    let doing = match registers.interrupted_call() {
        None => Doing::Running,
        Some(number) => Doing::ForeignCall { number, module: String::new() },
    };
    Situation {
        version: subject.runtime.version,
        doing,
        initialized: true,
        finalizing: false,
        remote_debugging: None,
        shadow_stack: false,
        alternate_stack: false,
        free_stack: 1 << 20,
        seccomp_kills: false,
        importing: false,
    }
}

pub(super) fn plan(situation: &Situation, only: Option<Route>) -> Decision {
    match (&situation.doing, only) {
        (_, Some(route)) => Decision::Go(route, "it was asked for".to_owned()),
        (Doing::Running, None) => Decision::Go(Route::PendingCall, "the main thread runs".to_owned()),
        _ => Decision::Wait("the main thread waits in a system call".to_owned()),
    }
}
