//! From a snapshot to the report.

use super::model::*;
use super::values;
use super::wait::Waits;
use crate::base::{Addr, AddrHashing, Problem, ProblemKind};
use crate::cpython::Runtime;
use crate::interp::{Code, CodeKind, GilState, Mode, RawFrame, RawThread, Snapshot, World, position};
use crate::os::{Activity, ProcessFacts, TaskStat, Tasks};
use crate::target::ReadError;
use nix::errno::Errno;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// Puts the report together; reads name and state of each thread.
pub(super) fn build(
    pid: i32,
    facts: &ProcessFacts,
    runtime: &Runtime,
    tasks: &Tasks,
    snapshot: Snapshot,
    waits: Waits,
    native_threads: bool,
) -> StackReport {
    let builder = Builder { facts, runtime, tasks, snapshot: &snapshot, waits: &waits };
    let threads = builder.threads();
    let known: HashSet<i32> = threads.iter().filter_map(|t| t.tid).collect();
    let native: Vec<i32> = snapshot.tids.iter().copied().filter(|tid| !known.contains(tid)).collect();
    StackReport {
        schema: STACK_SCHEMA,
        process: process_report(pid, facts),
        python: python_report(runtime),
        snapshot: SnapshotReport {
            mode: match snapshot.mode {
                Mode::None => SnapshotMode::None,
                Mode::Holder => SnapshotMode::Holder,
                Mode::All => SnapshotMode::All,
            },
            stopped_threads: snapshot.stopped_threads,
            pause_us: snapshot.pause.as_micros() as u64,
            attempts: snapshot.attempts,
            consistent: snapshot.unproved.is_empty(),
        },
        samples: None,
        interpreters: builder.interpreters(),
        threads,
        native_thread_count: native.len(),
        native_threads: native_threads.then(|| native.into_iter().map(|tid| builder.native_thread(tid)).collect()),
        problems: builder.problems(),
    }
}

pub(super) fn process_report(pid: i32, facts: &ProcessFacts) -> ProcessReport {
    ProcessReport { pid, ns_pids: facts.ns_pids.clone(), exe: facts.exe.clone(), cmdline: facts.cmdline.clone() }
}

pub(super) fn python_report(runtime: &Runtime) -> PythonReport {
    PythonReport {
        version: runtime.version.to_string(),
        free_threaded: runtime.free_threaded,
        debug_build: runtime.debug_build,
        layout_source: runtime.layout_source.to_string(),
        found_by: runtime.found_by.to_string(),
        runtime_address: runtime.address.to_string(),
        module: runtime.module.clone(),
    }
}

/// Frames that were made before: threads that do the same have the same.
#[derive(Default)]
struct KnownFrames<'b> {
    /// By code, globals and instruction.
    frames: HashMap<(Addr, Addr, Option<i64>), Arc<Frame>, AddrHashing>,
    /// The stack before, which in a pool of threads is often the next one too.
    last_stack: &'b [RawFrame],
    last_frames: Vec<Arc<Frame>>,
    last_places: Arc<[RawFrame]>,
}

impl KnownFrames<'_> {
    fn places(&mut self, raw: &[RawFrame]) -> Arc<[RawFrame]> {
        if *self.last_places != *raw {
            self.last_places = raw.into();
        }
        self.last_places.clone()
    }
}

struct Builder<'b> {
    facts: &'b ProcessFacts,
    runtime: &'b Runtime,
    tasks: &'b Tasks,
    snapshot: &'b Snapshot,
    waits: &'b Waits,
}

impl<'b> Builder<'b> {
    fn world(&self) -> &'b World {
        &self.snapshot.world
    }

    fn problems(&self) -> Vec<Problem> {
        let mut problems = self.world().problems.clone();
        if self.world().finalizing {
            problems.push(Problem::new(ProblemKind::Note, "the interpreter is shutting down"));
        }
        match (self.facts.state, &self.facts.tracer) {
            (_, Some((tracer, name))) => problems.push(Problem::new(
                ProblemKind::Note,
                format!("the process is traced by process {tracer} ({name}): its threads cannot be stopped"),
            )),
            ('T', _) => problems.push(Problem::new(
                ProblemKind::Note,
                "the process is stopped (by SIGSTOP, or from a terminal); kill -CONT lets it go on",
            )),
            _ => {}
        }
        problems.extend(self.waits.problem.clone());
        problems
    }

    fn gil(&self, address: Option<Addr>) -> Option<&GilState> {
        self.snapshot.gils.get(&address?).filter(|gil| gil.enabled)
    }

    fn interpreters(&self) -> Vec<Interpreter> {
        let gil = |gil: &GilState| Gil {
            locked: gil.locked,
            holder_tid: Some(gil.last_holder)
                .filter(|_| gil.locked)
                .and_then(|holder| Some(self.snapshot.native_ids.get(&holder)?.1)),
        };
        let interpreter = |raw: &crate::interp::RawInterpreter| Interpreter {
            id: raw.id,
            gil: self.gil(raw.gil).map(gil),
            gc_collecting: raw.gc_collecting,
        };
        self.world().interpreters.iter().map(interpreter).collect()
    }

    fn threads(&self) -> Vec<Thread> {
        let mut known = KnownFrames::default();
        let mut threads = Vec::new();
        for interpreter in &self.world().interpreters {
            let gil = self.gil(interpreter.gil);
            for raw in &interpreter.threads {
                threads.push(self.thread(interpreter.id, gil, raw, &mut known));
            }
        }
        threads
    }

    fn thread(
        &self,
        interpreter: i64,
        gil: Option<&GilState>,
        raw: &'b RawThread,
        known: &mut KnownFrames<'b>,
    ) -> Thread {
        let ids = self.snapshot.native_ids.get(&raw.address);
        let tid = ids.map(|(_, host)| *host);
        let stat = tid.and_then(|tid| self.stat(tid));
        let cpu_ticks = stat.as_ref().and_then(|stat| stat.cpu_ticks);
        let holds_gil = gil.map(|gil| gil.locked && gil.last_holder == raw.address);
        let activity = stat.as_ref().and_then(|stat| stat.activity);
        let waits = |gil: &GilState| self.waits_for(gil, tid?, activity, holds_gil == Some(true));
        let unproved = self.snapshot.unproved.contains(&raw.address);
        Thread {
            interpreter,
            tid,
            ns_tid: ids.filter(|_| self.facts.ns_pids.len() > 1).map(|(own, _)| *own as i32),
            ident: format!("{:#x}", raw.ident),
            name: raw.name.name.clone(),
            os_name: stat.as_ref().map(|s| s.name.clone()),
            main: self.world().main_thread.map(|main| main == raw.ident && interpreter == 0),
            daemon: raw.name.daemon,
            os_state: stat.map(|s| s.state.to_string()),
            holds_gil,
            waits_for_gil: gil.and_then(waits),
            attached: raw.attached,
            cpu_ms: cpu_ticks.and_then(milliseconds),
            wait: tid.and_then(|tid| self.waits.by_tid.get(&tid).cloned()),
            event_loop: None,
            consistent: !unproved,
            motion: None,
            places: known.places(&raw.frames),
            exception: values::exception(raw),
            frames: match raw.locals.is_empty() {
                true => self.frames(&raw.frames, known),
                false => self.frames_with_locals(raw),
            },
            problems: thread_problems(raw, unproved),
        }
    }

    /// A waiting thread sleeps on the GIL's condition variable. The futex word tells, with glibc; musl's waiters sleep on
    /// words of their own, so there it remains unknown; as with one that is awake for the moment in which it asks the holder
    /// for the GIL, whatever its state letter said a moment ago. `activity` is what it does, when that was looked at.
    fn waits_for(
        &self,
        gil: &GilState,
        tid: i32,
        activity: Option<Result<Activity, Errno>>,
        holds: bool,
    ) -> Option<bool> {
        if holds || !gil.locked {
            return Some(false);
        }
        let activity = activity.unwrap_or_else(|| self.tasks.activity(tid)).ok()?;
        match (activity, activity.futex_word()) {
            (Activity::Running, _) => None,
            (_, Some(word)) => Some(gil.is_waited_on_at(self.runtime, word)).filter(|waits| *waits || !self.is_musl()),
            (_, None) => Some(false),
        }
    }

    /// Name and state, from the snapshot where it has them.
    fn stat(&self, tid: i32) -> Option<TaskStat> {
        self.snapshot.stats.get(&tid).cloned().or_else(|| self.tasks.stat(tid))
    }

    fn is_musl(&self) -> bool {
        self.runtime.is_musl
    }

    fn frames(&self, raw: &'b [RawFrame], known: &mut KnownFrames<'b>) -> Vec<Arc<Frame>> {
        if known.last_stack == raw {
            return known.last_frames.clone();
        }
        let mut frames = Vec::with_capacity(raw.len());
        frames.extend(raw.iter().filter_map(|frame| self.frame(frame, known)));
        (known.last_stack, known.last_frames) = (raw, frames.clone());
        frames
    }

    /// Frames with values are each thread's own.
    fn frames_with_locals(&self, raw: &RawThread) -> Vec<Arc<Frame>> {
        let frame = |(frame, locals): (&RawFrame, &Vec<_>)| {
            let code = self.world().codes.get(&frame.code)?.as_ref().ok()?;
            Some(Arc::new(Frame { locals: Some(values::locals(locals)), ..self.new_frame(frame, code) }))
        };
        raw.frames.iter().zip(&raw.locals).filter_map(frame).collect()
    }

    fn frame(&self, raw: &RawFrame, known: &mut KnownFrames<'b>) -> Option<Arc<Frame>> {
        let key = (raw.code, raw.globals, raw.offset);
        if let Some(frame) = known.frames.get(&key) {
            return Some(frame.clone());
        }
        let code = self.world().codes.get(&raw.code)?.as_ref().ok()?;
        let frame = Arc::new(self.new_frame(raw, code));
        known.frames.insert(key, frame.clone());
        Some(frame)
    }

    fn new_frame(&self, raw: &RawFrame, code: &Code) -> Frame {
        frame_of(self.runtime, raw, code, self.world().modules.get(&raw.globals).cloned())
    }

    fn native_thread(&self, tid: i32) -> NativeThread {
        let stat = self.tasks.stat(tid);
        NativeThread {
            tid,
            os_name: stat.as_ref().map(|s| s.name.clone()),
            os_state: stat.map(|s| s.state.to_string()),
        }
    }
}

/// One frame, in the module of this name.
pub(super) fn frame_of(runtime: &Runtime, raw: &RawFrame, code: &Code, module: Option<Arc<str>>) -> Frame {
    let at = position(runtime.quirks.line_table, &code.line_table, code.first_line, raw.offset);
    Frame {
        kind: match code.kind {
            CodeKind::Function => FrameKind::Function,
            CodeKind::Generator => FrameKind::Generator,
            CodeKind::Coroutine => FrameKind::Coroutine,
            CodeKind::AsyncGenerator => FrameKind::AsyncGenerator,
            CodeKind::Module => FrameKind::Module,
            CodeKind::Class => FrameKind::Class,
        },
        function: code.qualname.clone().unwrap_or_else(|| code.name.clone()),
        name: code.name.clone(),
        module,
        file: code.filename.clone(),
        line: at.line,
        end_line: at.end_line,
        column: at.column,
        end_column: at.end_column,
        locals: None,
    }
}

/// Clock ticks in milliseconds.
fn milliseconds(ticks: u64) -> Option<u64> {
    ticks.checked_mul(1000)?.checked_div(procfs::ticks_per_second())
}

/// What kind of problem it is that something could not be read.
pub(super) fn problem_kind(error: ReadError) -> ProblemKind {
    match error {
        ReadError::TooLarge => ProblemKind::Limit,
        ReadError::Invalid(_) => ProblemKind::Invalid,
        ReadError::Gone => ProblemKind::Gone,
        _ => ProblemKind::Unreadable,
    }
}

fn thread_problems(raw: &RawThread, unproved: bool) -> Vec<Problem> {
    let mut problems = Vec::new();
    if let Some(error) = raw.error {
        let message = format!("the stack could not be read further than this: {error}");
        problems.push(Problem::new(problem_kind(error), message));
    }
    if unproved {
        problems.push(Problem::new(ProblemKind::Unproved, "it ran while it was read, so this stack is not proved"));
    }
    problems
}
