//! The native frames of a stopped thread, from its registers outwards, by the unwind tables (`.eh_frame`) of what is mapped.
//!
//! Bounded, and proof against tables and stacks that lie: every frame must lie above the one before it, in memory that can be
//! read. musl's C library has no tables. There, and only there, the words on the stack are gone through for the address that
//! a call of one of its functions returns to; the call itself, decoded, must be one.

use super::calls::Calls;
use super::modules::{CodeMap, Owner};
use super::pages::Pages;
use super::tables::{MACHINE_REGISTERS, RA, RSP, Step, UnwindTables};
use crate::base::{Addr, FieldValue};
use crate::os::Registers;
use crate::target::Memory;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;

/// How far above the stack pointer a call of the C library may return, where that has no unwind tables. Its wrappers of system
/// calls, and `sem_timedwait` above them, need less; functions that keep buffers on the stack need more.
const SCAN_BYTES: usize = 512;

/// One native frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NativeFrame {
    /// The next instruction: of the innermost frame, or where a call returns to.
    pub address: Addr,
    /// Whose code that is.
    pub owner: Owner,
    /// Where its function begins, as the unwind tables have it.
    pub function: Option<Addr>,
    /// The function that this frame calls, decoded from the call; `None` in the innermost frame, and for calls by register.
    pub called: Option<Addr>,
    /// The stack pointer in this frame.
    pub sp: Addr,
    /// The frame was interrupted by a signal, whose handler is further in.
    pub interrupted: bool,
}

/// Why there are no more frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// As many as were asked for, or the last that was.
    Limit,
    /// The outermost frame.
    Outermost,
    /// Code without unwind tables, or with ones that say nothing of it.
    NoTables,
    /// What the tables say leads nowhere.
    Broken,
}

/// Unwinds threads of one process. Tables are read once.
pub struct Unwinder<'m> {
    code: &'m CodeMap<'m>,
    memory: &'m dyn Memory,
    /// What was read of a stack since the thread stopped.
    pages: Pages<'m>,
    tables: RefCell<HashMap<u64, Option<Rc<UnwindTables>>>>,
    /// Code whose tables were needed and not there, while none may be read.
    missing: RefCell<Vec<Addr>>,
    may_read: Cell<bool>,
}

impl<'m> Unwinder<'m> {
    /// Nothing is read yet.
    pub fn new(code: &'m CodeMap<'m>, memory: &'m dyn Memory) -> Unwinder<'m> {
        let (tables, missing) = (RefCell::default(), RefCell::default());
        Unwinder { code, memory, pages: Pages::new(memory), tables, missing, may_read: Cell::new(true) }
    }

    /// Whether tables may be read that are not known yet: files are read for that, so better not while a thread stands still.
    /// Without it, frames end where they are needed, and [`Unwinder::read_missing`] says so.
    pub fn may_read_tables(&self, may: bool) {
        self.may_read.set(may);
    }

    /// Reads the tables that were missing. False if none were.
    pub fn read_missing(&self) -> bool {
        let before = self.may_read.replace(true);
        let missing = self.missing.take();
        for addr in &missing {
            self.tables_at(*addr);
        }
        self.may_read.set(before);
        !missing.is_empty()
    }

    /// True when the frames of the last look ended for want of tables.
    pub fn is_missing_tables(&self) -> bool {
        !self.missing.borrow().is_empty()
    }

    /// Reads the tables that nearly every stack needs, so that no thread has to stand still for that.
    pub fn prepare(&self) {
        for range in &self.code.modules.code {
            let addr = Addr(range.start);
            if matches!(self.code.owner(addr), Owner::Runtime | Owner::CLibrary | Owner::Kernel) {
                self.tables_at(addr);
            }
        }
    }

    /// The frames, innermost first, `limit` at the most, and none further out than one whose function `is_last`. `likely` says of
    /// a function of the C library whether the thread may well have called it to get where it is; needed only where that
    /// library has no tables.
    pub fn frames(
        &self,
        registers: &Registers,
        limit: usize,
        is_last: &dyn Fn(Addr) -> bool,
        likely: &dyn Fn(Addr) -> bool,
    ) -> (Vec<NativeFrame>, End) {
        self.pages.forget();
        let mut machine = machine_registers(registers);
        let (mut frames, mut interrupted, mut is_innermost) = (Vec::new(), false, true);
        loop {
            let (Some(pc), Some(sp)) = (machine[RA].map(Addr), machine[RSP].map(Addr)) else {
                return (frames, End::Broken);
            };
            if pc.is_null() {
                return (frames, End::Outermost);
            }
            // A return address may lie behind the function, when that ends with a call.
            let inside = if is_innermost || interrupted { pc } else { pc.back(1) };
            let tables = self.tables_at(inside);
            let found = tables.as_ref().and_then(|tables| tables.step(inside, &machine, &self.pages));
            frames.push(NativeFrame {
                address: pc,
                owner: self.code.owner(inside),
                function: found.as_ref().map(|found| found.0),
                called: if is_innermost || interrupted { None } else { self.calls().called_before(pc) },
                sp,
                interrupted,
            });
            if frames.len() >= limit || found.as_ref().is_some_and(|found| is_last(found.0)) {
                return (frames, End::Limit);
            }
            let step = match found {
                Some((_, step)) => step,
                None if self.code.owner(inside) == Owner::CLibrary => self.scan(sp, likely),
                None => return (frames, End::NoTables),
            };
            match step {
                Step::To(next, by_signal) if next.get(RSP).copied().flatten().is_some_and(|next| next > sp.0) => {
                    (machine, interrupted, is_innermost) = (*next, by_signal, false);
                }
                Step::Outermost => return (frames, End::Outermost),
                _ => return (frames, End::Broken),
            }
        }
    }

    /// Decodes calls.
    pub fn calls(&self) -> Calls<'_> {
        Calls { code: self.code, memory: &self.pages }
    }

    fn tables_at(&self, addr: Addr) -> Option<Rc<UnwindTables>> {
        let range = self.code.modules.code_at(addr)?;
        let file = self.code.file(addr);
        let base = file.map_or(Some(Addr(range.start)), |(_, module)| module.base)?;
        if file.is_none() && self.code.owner(addr) != Owner::Kernel {
            return None;
        }
        if let Some(known) = self.tables.borrow().get(&base.0) {
            return known.clone();
        }
        if !self.may_read.get() {
            self.missing.borrow_mut().push(addr);
            return None;
        }
        let tables = UnwindTables::read(file.map(|(_, module)| module), base, self.memory).map(Rc::new);
        self.tables.borrow_mut().insert(base.0, tables.clone());
        tables
    }

    /// The frame that called into a C library without tables: the first word on the stack behind a call of one of its
    /// functions, a likely one if there is one, from code that is not its own; else behind a call by register, as libffi makes
    /// them. Words that earlier calls left lie between those that count.
    fn scan(&self, sp: Addr, likely: &dyn Fn(Addr) -> bool) -> Step {
        let mut bytes = vec![0; SCAN_BYTES];
        if self.pages.read(sp, &mut bytes).is_err() {
            return Step::Broken;
        }
        let words: Vec<Addr> = bytes.chunks_exact(8).filter_map(Addr::from_bytes).collect();
        let outside = |to: &Addr| !matches!(self.code.owner(*to), Owner::CLibrary | Owner::NoFile | Owner::Kernel);
        let called = |to: &Addr| {
            let called = if outside(to) { self.calls().called_before(*to) } else { None };
            called.filter(|called| self.code.owner(*called) == Owner::CLibrary)
        };
        let by_register = |to: &Addr| outside(to) && self.calls().is_call_by_register_before(*to);
        let direct: Vec<(usize, Addr)> =
            words.iter().enumerate().filter_map(|(index, to)| Some((index, called(to)?))).collect();
        let best = direct.iter().find(|(_, called)| likely(*called)).or(direct.first());
        let at = best.map(|(index, _)| *index).or_else(|| words.iter().position(by_register));
        let found = at.and_then(|index| Some((index as u64, *words.get(index)?)));
        let Some((index, to)) = found else { return Step::Broken };
        let mut machine = [None; MACHINE_REGISTERS];
        machine[RA] = Some(to.0);
        machine[RSP] = Some(sp.offset(index * 8 + 8).0);
        Step::To(Box::new(machine), false)
    }
}

/// Numbers as in the System V ABI for x86-64, figure 3.36.
fn machine_registers(r: &Registers) -> [Option<u64>; MACHINE_REGISTERS] {
    [
        r.rax, r.rdx, r.rcx, r.rbx, r.rsi, r.rdi, r.rbp, r.rsp, r.r8, r.r9, r.r10, r.r11, r.r12, r.r13, r.r14, r.r15,
        r.rip,
    ]
    .map(Some)
}
