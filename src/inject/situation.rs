//! Looking at a thread that was stopped: everything that the decision depends on, read and not touched.

use super::doing::{Evidence, NamedFrame, doing};
use super::known::may_lead_to;
use super::modules::{CodeMap, Owner};
use super::symbols::{Symbols, is_initialized};
use super::unwind::{NativeFrame, Unwinder};
use super::{Doing, Situation};
use crate::base::{Addr, FieldValue};
use crate::cpython::Runtime;
use crate::interp::{ThreadView, main_thread_id, view_thread};
use crate::os::{Call, Process, Registers, ThreadStatus, may_suspend_seccomp, stack_limit};
use crate::target::{Memory, ReadError};

/// Native frames that are looked at: from the innermost to the evaluation loop is rarely more than twenty.
const FRAMES: usize = 64;
/// The evaluation loop: what lies further out was left at a point where Python code may be interrupted.
const EVALUATION_LOOP: &str = "_PyEval_EvalFrameDefault";
/// Gap that the kernel keeps below a stack that grows (`stack_guard_gap`, 256 pages).
const GUARD_GAP: u64 = 256 * 4096;
/// Python frames of these files are the import machinery itself.
const IMPORT_MACHINERY: [&str; 2] = ["<frozen importlib._bootstrap>", "<frozen importlib._bootstrap_external>"];
/// `struct rseq_cs` (`linux/rseq.h`): where `start_ip`, `post_commit_offset` and its end are; and where `struct rseq` has the
/// pointer to it.
const SEQUENCE_START: usize = 8;
const SEQUENCE_LENGTH: usize = 16;
const SEQUENCE_BYTES: usize = 24;
const RSEQ_CS: u64 = 8;

/// Why a thread's situation cannot be told.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LookError {
    /// The thread or the process has ended.
    #[error("the thread has ended")]
    Gone,
    /// The interpreter cannot be read at this moment; another look may do better.
    #[error("the interpreter cannot be read: {0}")]
    Unreadable(#[from] ReadError),
    /// Nothing tells whether the interpreter is initialised.
    #[error("it cannot be told whether the interpreter is initialised")]
    Initialised,
    /// What is needed to tell has to be read from files first, which is not done while the thread stands still.
    #[error("files have to be read first")]
    Unprepared,
    /// No thread of the process is the interpreter's main thread.
    #[error("the interpreter's main thread has ended, or it has none")]
    NoMainThread,
}

/// What is needed to look at threads of one process; made before any is stopped, as that takes milliseconds.
pub struct Scene<'s> {
    process: &'s Process,
    memory: &'s dyn Memory,
    runtime: &'s Runtime,
    code: &'s CodeMap<'s>,
    symbols: &'s Symbols,
    unwinder: Unwinder<'s>,
    may_suspend_seccomp: bool,
    procfs: bool,
    ns_pids: Vec<i32>,
    stack_limit: Option<u64>,
}

impl<'s> Scene<'s> {
    /// Reads what does not change.
    pub fn new(
        process: &'s Process,
        memory: &'s dyn Memory,
        runtime: &'s Runtime,
        code: &'s CodeMap<'s>,
        symbols: &'s Symbols,
    ) -> Scene<'s> {
        let unwinder = Unwinder::new(code, memory);
        unwinder.prepare();
        let ns_pids = process.facts().ns_pids;
        let own_id = ns_pids.last().copied().unwrap_or(process.pid);
        let procfs = process.path_in_root(&format!("/proc/{own_id}/fd")).is_dir();
        Scene {
            process,
            memory,
            runtime,
            code,
            symbols,
            unwinder,
            may_suspend_seccomp: may_suspend_seccomp(),
            procfs,
            ns_pids,
            stack_limit: stack_limit(process.pid),
        }
    }

    /// The kernel's id of the interpreter's main thread, as we see it.
    pub fn main_tid(&self) -> Result<i32, LookError> {
        let tasks = self.process.tasks().map_err(|_| LookError::Gone)?;
        let ids = &self.ns_pids;
        main_thread_id(self.memory, self.runtime, &tasks, ids)?.ok_or(LookError::NoMainThread)
    }

    /// Looks at a thread that stands still, by its registers. Neither writes nor stops anything.
    pub fn look(&self, tid: i32, registers: &Registers) -> Result<Situation, LookError> {
        self.unwinder.may_read_tables(true);
        self.look_at(tid, registers)
    }

    /// The same without reading a file that can be read before, however long that may take: [`LookError::Unprepared`] says
    /// that [`Scene::prepare`] has to be called, with the thread let go, and the thread looked at again.
    pub fn look_briefly(&self, tid: i32, registers: &Registers) -> Result<Situation, LookError> {
        self.unwinder.may_read_tables(false);
        self.look_at(tid, registers)
    }

    /// Reads what a look has missed. False if that was nothing.
    pub fn prepare(&self) -> bool {
        self.unwinder.read_missing()
    }

    fn look_at(&self, tid: i32, registers: &Registers) -> Result<Situation, LookError> {
        let status = ThreadStatus::read(self.process.pid, tid).ok_or(LookError::Gone)?;
        let initialized = is_initialized(self.runtime, &self.symbols.python, self.memory);
        let initialized = initialized.ok_or(LookError::Initialised)?;
        let view = view_thread(self.memory, self.runtime, registers.fs_base)?;
        let frames = self.frames(registers);
        if self.unwinder.is_missing_tables() {
            return Err(LookError::Unprepared);
        }
        let named = registers.interrupted_call().map(|number| (call_name(number), number));
        let evidence = Evidence {
            frames: &frames,
            call: named,
            waits_for_gil: named.is_some() && self.waits_for_gil(&view, registers),
            pending_lock_held: self.pending_lock_held(&view),
            restorer: self.symbols.restorer.address,
            in_sequence: self.in_sequence(registers),
        };
        let doing = match self.code.is_static() {
            false => doing(&evidence),
            // Which of the executable's functions are the C library's cannot be told.
            true => in_static(&evidence),
        };
        let (alternate_stack, free_stack) = self.stack(tid, registers.rsp);
        Ok(Situation {
            version: self.runtime.version,
            is_main: view.main_thread.map_or(tid == self.process.pid, |ident| ident == registers.fs_base),
            doing,
            initialized,
            finalizing: view.finalizing,
            remote_debugging: self.remote_debugging(&view)?,
            procfs: self.procfs,
            attached: view.attached,
            subinterpreters: view.interpreters > 1,
            shadow_stack: status.shadow_stack,
            alternate_stack,
            free_stack,
            seccomp_kills: status.seccomp != 0 && !self.may_suspend_seccomp,
            importing: view.frames.first().is_some_and(|(file, _)| IMPORT_MACHINERY.contains(&&**file)),
            native_frames: frames.iter().map(describe).collect(),
        })
    }

    fn frames(&self, registers: &Registers) -> Vec<NamedFrame> {
        let call = registers.interrupted_call().map(call_name);
        let likely = |called: Addr| self.symbols.libc.names_at(called).any(|name| may_lead_to(name, call));
        let is_loop = |function: Addr| self.symbols.python.names_at(function).any(|name| name == EVALUATION_LOOP);
        let (frames, _) = self.unwinder.frames(registers, FRAMES, &is_loop, &likely);
        frames.into_iter().map(|frame| self.named(frame)).collect()
    }

    fn named(&self, frame: NativeFrame) -> NamedFrame {
        let names = |addr: Option<Addr>| -> Vec<String> {
            let Some(addr) = addr else { return Vec::new() };
            let known =
                if self.code.owner(addr) == Owner::CLibrary { &self.symbols.libc } else { &self.symbols.python };
            known.names_at(addr).map(str::to_owned).collect()
        };
        let inside = if frame.called.is_some() { frame.address.back(1) } else { frame.address };
        let mut function = names(frame.function);
        // A library without unwind tables still says how large its functions are.
        if frame.function.is_none() && frame.owner == Owner::CLibrary {
            function.extend(self.symbols.libc.name_around(inside).map(str::to_owned));
        }
        NamedFrame { frame, place: self.code.name(inside), function, called: names(frame.called) }
    }

    /// Whether the word that a `futex` call waits on belongs to a GIL. Its address stays in the register when the call was
    /// interrupted and goes on as `restart_syscall`.
    fn waits_for_gil(&self, view: &ThreadView, registers: &Registers) -> bool {
        let is_futex = matches!(call_name(registers.orig_rax as i64), "futex" | "restart_syscall");
        is_futex && view.gils.iter().any(|gil| gil.is_waited_on_at(self.runtime, registers.rdi))
    }

    /// Whether anybody holds the lock of the list that `Py_AddPendingCall` adds to.
    fn pending_lock_held(&self, view: &ThreadView) -> Option<bool> {
        let layout = &self.runtime.layout;
        if let Some(mutex) = layout.runtime.pending_mutex {
            // `PyMutex` (`Include/cpython/lock.h`): bit 0 is set while it is held.
            return Some(self.bytes::<1>(mutex.of(self.runtime.address))?[0] & 1 == 1);
        }
        let of_runtime = layout.runtime.main_pending_lock.or(layout.runtime.pending_lock);
        let pointer = match (of_runtime, layout.interp.pending_lock) {
            (Some(field), _) => field.of(self.runtime.address),
            (None, Some(field)) => field.of(view.main_interpreter),
            (None, None) => return None,
        };
        let semaphore = Addr::from_bytes(&self.bytes::<8>(pointer)?)?.non_null()?;
        // `sem_t`: its count comes first. musl keeps a flag for waiters in the highest bit.
        Some(u32::from_bytes(&self.bytes::<4>(semaphore)?)? & 0x7fff_ffff == 0)
    }

    /// Whether the target lets itself be debugged, where it can say so.
    fn remote_debugging(&self, view: &ThreadView) -> Result<Option<bool>, LookError> {
        let layout = &self.runtime.layout;
        if layout.thread.debugger_pending_call.is_none() {
            return Ok(None);
        }
        let unknown = LookError::Unreadable(ReadError::Invalid("configuration of remote debugging"));
        let field = layout.interp.remote_debug.ok_or(unknown.clone())?;
        let value = self.bytes::<4>(field.of(view.main_interpreter)).ok_or(unknown)?;
        Ok(Some(value == 1i32.to_le_bytes()))
    }

    /// Whether the thread is on another stack than its own, and how much room is left on it.
    fn stack(&self, tid: i32, sp: u64) -> (bool, u64) {
        let modules = self.code.modules;
        if let Some(stack) = modules.main_stack.filter(|stack| (stack.start..stack.end).contains(&sp)) {
            let by_limit = self.stack_limit.map_or(u64::MAX, |limit| limit.saturating_sub(stack.end - sp));
            let by_neighbour = sp.saturating_sub(stack.below.saturating_add(GUARD_GAP));
            return (false, by_limit.min(by_neighbour).max(sp - stack.start));
        }
        let around = |extent: &&crate::target::Extent| sp.wrapping_sub(extent.addr.0) < extent.len as u64;
        let free = modules.writable.iter().find(around).map_or(0, |extent| sp - extent.addr.0);
        (tid == self.process.pid && modules.main_stack.is_some(), free)
    }

    /// Whether the thread is inside a restartable sequence, which must not be left for something else and come back to.
    fn in_sequence(&self, registers: &Registers) -> bool {
        let Some(offset) = self.symbols.rseq_offset else { return false };
        let area = Addr(registers.fs_base).offset(offset as u64);
        let section = self.bytes::<8>(area.offset(RSEQ_CS)).and_then(|bytes| Addr::from_bytes(&bytes));
        let Some(section) = section.and_then(Addr::non_null) else { return false };
        let Some(bytes) = self.bytes::<SEQUENCE_BYTES>(section) else { return true };
        let word = |at: usize| bytes.get(at..).and_then(u64::from_bytes);
        match (word(SEQUENCE_START), word(SEQUENCE_LENGTH)) {
            (Some(start), Some(length)) => registers.rip.wrapping_sub(start) < length,
            _ => true,
        }
    }

    fn bytes<const N: usize>(&self, at: Addr) -> Option<[u8; N]> {
        let mut bytes = [0; N];
        self.memory.read(at, &mut bytes).ok()?;
        Some(bytes)
    }
}

fn call_name(number: i64) -> &'static str {
    Call { number, args: [0; 6], sp: 0 }.name().unwrap_or("a system call")
}

/// In a program with the C library linked into it, a thread may only be interrupted where it sleeps in a system call: the
/// allocator does not.
fn in_static(evidence: &Evidence<'_>) -> Doing {
    match evidence.call {
        _ if evidence.pending_lock_held != Some(false) => {
            Doing::Unsafe("the list of pending calls may be changed at this moment".to_owned())
        }
        // It may wait for one of the allocator's locks: then it gets no further than to where it may be interrupted.
        Some(("futex" | "futex_waitv", _)) | None => Doing::Running,
        Some((_, number)) => {
            let module = evidence.frames.first().map(|frame| frame.place.clone()).unwrap_or_default();
            Doing::ForeignCall { number, module: format!("{module}, which has the C library linked into it") }
        }
    }
}

fn describe(frame: &NamedFrame) -> String {
    match frame.function.first() {
        Some(name) => format!("{name} ({})", frame.place),
        None => format!("{} ({})", frame.frame.address, frame.place),
    }
}
