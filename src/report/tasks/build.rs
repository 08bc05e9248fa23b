//! From a snapshot with its asyncio to the report.

use super::graph::Graph;
use super::model::*;
use crate::asyncio::{self, Asyncio, RawLoop, RawTask};
use crate::base::{Addr, AddrHashing, AddrMap, Problem, ProblemKind};
use crate::cpython::Runtime;
use crate::interp::RawFrame;
use crate::report::build::{frame_of, problem_kind};
use crate::report::model::{Frame, StackReport, Thread};
use std::collections::HashMap;
use std::sync::Arc;

/// What a process without event loops and tasks is told.
const NOTHING: &str = "asyncio is not in use: no thread runs an event loop, and there are no tasks";

/// Puts the report together. `stack` is that of the same snapshot, `states` are the thread states of its threads, in its
/// order.
pub(super) fn build(stack: StackReport, states: &[(Addr, u64)], runtime: &Runtime, asyncio: Asyncio) -> TasksReport {
    let Asyncio { loops, tasks, codes, modules, problems } = asyncio;
    let threads = stack.threads;
    let by_state = states.iter().enumerate().map(|(place, (state, _))| (*state, place)).collect();
    let builder = Builder { threads: &threads, states, by_state, runtime, codes: &codes, modules: &modules };
    let mut running = AddrMap::default();
    let mut counts: AddrMap<usize> = AddrMap::default();
    let loops: Vec<EventLoop> = loops.iter().map(|raw| builder.event_loop(raw, &mut running)).collect();
    let mut frames = Frames::default();
    let mut made: Vec<Task> = Vec::with_capacity(tasks.len());
    let mut edges = Vec::new();
    for raw in tasks {
        edges.extend(raw.waiter.map(|waiter| (raw.address, waiter)));
        if let Some(event_loop) = raw.event_loop {
            *counts.entry(event_loop).or_default() += 1;
        }
        made.push(builder.task(raw, &running, &mut frames));
    }
    let mut report = TasksReport {
        schema: TASKS_SCHEMA,
        process: stack.process,
        python: stack.python,
        snapshot: stack.snapshot,
        loops,
        tasks: made,
        cycles: Vec::new(),
        problems: stack.problems,
    };
    for event_loop in &mut report.loops {
        event_loop.tasks = counts.get(&event_loop.id.0).copied().unwrap_or(0);
    }
    report.problems.extend(problems);
    if report.loops.is_empty() && report.tasks.is_empty() && report.is_complete() {
        report.problems.push(Problem::new(ProblemKind::Note, NOTHING));
    }
    join(&mut report, &edges);
    report
}

/// Has both ends of each edge know it, and finds the circles. `waiters` are further edges: a task and what it waits for,
/// which need not be a task.
fn join(report: &mut TasksReport, waiters: &[(Addr, Addr)]) {
    let places: AddrMap<usize> = report.tasks.iter().enumerate().map(|(place, task)| (task.id.0, place)).collect();
    for (task, awaited) in waiters {
        let awaited = places.get(awaited).and_then(|place| report.tasks.get_mut(*place));
        if let Some(awaited) = awaited.filter(|awaited| !awaited.awaited_by.contains(&ObjectId(*task))) {
            awaited.awaited_by.push(ObjectId(*task));
        }
    }
    let graph = Graph::of(&report.tasks);
    let ids: Vec<ObjectId> = report.tasks.iter().map(|task| task.id).collect();
    let id = |number: &u32| ids.get(*number as usize).copied();
    for (number, task) in report.tasks.iter_mut().enumerate() {
        // Those that are in no list stay: what CPython says is said.
        let mut all: Vec<ObjectId> = graph.awaited_by(number as u32).iter().filter_map(id).collect();
        all.extend(task.awaited_by.iter().filter(|by| !places.contains_key(&by.0)));
        task.awaited_by = all;
    }
    report.cycles = graph.ways_round().iter().map(|way| way.iter().filter_map(id).collect()).collect();
}

/// Frames that were made before: tasks that wait at the same place share them.
#[derive(Default)]
struct Frames {
    known: HashMap<(Addr, Addr, Option<i64>), Arc<Frame>, AddrHashing>,
}

struct Builder<'b> {
    threads: &'b [Thread],
    /// Thread states and idents.
    states: &'b [(Addr, u64)],
    by_state: AddrMap<usize>,
    runtime: &'b Runtime,
    codes: &'b AddrMap<Result<crate::interp::Code, crate::target::ReadError>>,
    modules: &'b AddrMap<Arc<str>>,
}

impl<'b> Builder<'b> {
    fn thread_of(&self, state: Option<Addr>) -> Option<&'b Thread> {
        self.threads.get(*self.by_state.get(&state?)?)
    }

    fn event_loop(&self, raw: &RawLoop, running: &mut AddrMap<&'b Thread>) -> EventLoop {
        let by_ident = || self.states.iter().position(|(_, ident)| raw.ident == Some(*ident));
        let thread = self.thread_of(raw.thread).or_else(|| self.threads.get(by_ident()?));
        if let (Some(task), Some(thread)) = (raw.running_task, thread) {
            running.insert(task, thread);
        }
        let wait = thread.and_then(|thread| thread.wait.clone());
        EventLoop {
            id: ObjectId(raw.address),
            class: raw.class.clone(),
            interpreter: raw.interpreter,
            thread: thread.map(|thread| Thread { wait: None, ..thread.clone() }),
            running_task: raw.running_task.map(ObjectId),
            tasks: 0,
            ready: raw.ready,
            scheduled: raw.scheduled,
            idle: thread.map(|thread| raw.running_task.is_none() && waits_for_events(&raw.class, thread)),
            blocked_in: wait,
            closed: raw.closed,
            debug: raw.debug,
        }
    }

    fn task(&self, raw: RawTask, running: &AddrMap<&'b Thread>, frames: &mut Frames) -> Task {
        let thread = running.get(&raw.address).copied();
        let mut problems = Vec::new();
        if let Some(error) = raw.error {
            let message = format!("what it awaits could not be read further than this: {error}");
            problems.push(Problem::new(problem_kind(error), message));
        }
        let coroutine_stack =
            self.running_stack(&raw, thread).unwrap_or_else(|| self.stack(&raw, frames, &mut problems));
        Task {
            id: ObjectId(raw.address),
            name: raw.name,
            class: raw.class,
            state: match raw.state {
                asyncio::TaskState::Pending => TaskState::Pending,
                asyncio::TaskState::Running => TaskState::Running,
                asyncio::TaskState::Finished => TaskState::Finished,
                asyncio::TaskState::Failed => TaskState::Failed,
                asyncio::TaskState::Cancelled => TaskState::Cancelled,
            },
            event_loop: raw.event_loop.map(ObjectId),
            tid: self.thread_of(raw.thread).or(thread).and_then(|thread| thread.tid),
            coroutine_stack,
            awaiting: raw.awaiting.map(awaiting),
            awaited_by: raw.awaited_by.into_iter().map(ObjectId).collect(),
            cancel_requests: raw.cancel_requests,
            must_cancel: raw.must_cancel,
            exception: raw.exception.map(|value| TaskException {
                type_name: value.type_name,
                repr: value.text,
                retrieved: !raw.exception_not_retrieved,
            }),
            created_at: {
                let line = |(file, line, function)| CreatedAt { file, line, function };
                raw.created_at.into_iter().map(line).collect()
            },
            problems,
        }
    }

    /// The part of its thread's stack that a running task is: down to what it calls.
    fn running_stack(&self, raw: &RawTask, thread: Option<&Thread>) -> Option<Vec<Arc<Frame>>> {
        let coroutine = raw.chain.iter().find_map(|link| link.frame)?;
        let thread = thread?;
        let is_it = |place: &RawFrame| (place.code, place.globals) == (coroutine.code, coroutine.globals);
        let own = thread.places.iter().rposition(is_it)?;
        // Frames whose code could not be read are places without a frame.
        (thread.places.len() == thread.frames.len()).then(|| thread.frames.get(..=own).unwrap_or_default().to_vec())
    }

    fn stack(&self, raw: &RawTask, frames: &mut Frames, problems: &mut Vec<Problem>) -> Vec<Arc<Frame>> {
        let mut stack = Vec::with_capacity(raw.chain.len());
        for place in raw.chain.iter().rev().filter_map(|link| link.frame.as_ref()) {
            match self.frame(place, frames) {
                Ok(frame) => stack.push(frame),
                Err(problem) if problems.is_empty() => problems.push(problem),
                Err(_) => {}
            }
        }
        stack
    }

    fn frame(&self, raw: &RawFrame, frames: &mut Frames) -> Result<Arc<Frame>, Problem> {
        let key = (raw.code, raw.globals, raw.offset);
        if let Some(frame) = frames.known.get(&key) {
            return Ok(frame.clone());
        }
        let missing =
            |kind, why: &str| Problem::new(kind, format!("a frame that it awaits in could not be read: {why}"));
        let code = match self.codes.get(&raw.code) {
            Some(Ok(code)) => code,
            Some(Err(error)) => return Err(missing(problem_kind(*error), &error.to_string())),
            None => return Err(missing(ProblemKind::Unreadable, "its code")),
        };
        let module = self.modules.get(&raw.globals).cloned();
        let frame = Arc::new(frame_of(self.runtime, raw, code, module));
        frames.known.insert(key, frame.clone());
        Ok(frame)
    }
}

fn awaiting(raw: asyncio::Awaiting) -> Awaiting {
    use asyncio::AwaitKind as Raw;
    Awaiting {
        kind: match raw.kind {
            Raw::Task => AwaitKind::Task,
            Raw::Gather => AwaitKind::Gather,
            Raw::Wait => AwaitKind::Wait,
            Raw::TaskGroup => AwaitKind::TaskGroup,
            Raw::Shield => AwaitKind::Shield,
            Raw::WaitFor => AwaitKind::WaitFor,
            Raw::Executor => AwaitKind::Executor,
            Raw::Queue => AwaitKind::Queue,
            Raw::Lock => AwaitKind::Lock,
            Raw::Semaphore => AwaitKind::Semaphore,
            Raw::Event => AwaitKind::Event,
            Raw::Condition => AwaitKind::Condition,
            Raw::Barrier => AwaitKind::Barrier,
            Raw::Sleep => AwaitKind::Sleep,
            Raw::Socket => AwaitKind::Socket,
            Raw::Subprocess => AwaitKind::Subprocess,
            Raw::Turn => AwaitKind::Turn,
            Raw::Future => AwaitKind::Future,
            Raw::Other => AwaitKind::Other,
        },
        id: raw.object.map(ObjectId),
        text: raw.text,
        tasks: raw.tasks.into_iter().map(ObjectId).collect(),
        fd: raw.fd,
        peer: None,
        // JSON has no infinity.
        seconds_left: raw.seconds_left.filter(|seconds| seconds.is_finite()),
    }
}

/// System calls in which loops wait for events: `selectors` and libuv.
const POLLS: &[&str] = &["epoll_wait", "epoll_pwait", "epoll_pwait2", "poll", "ppoll", "select", "pselect6"];

/// True when the thread waits in the loop's own wait for events, and not in one that a callback makes. The loops of asyncio
/// call a selector in `_run_once` (`asyncio/base_events.py`); of others only the system call is known.
fn waits_for_events(class: &str, thread: &Thread) -> bool {
    let syscall = thread.wait.as_ref().and_then(|wait| wait.syscall.as_deref());
    let mut names = thread.frames.iter().map(|frame| &*frame.name);
    let own = names.next() == Some("select") && names.next() == Some("_run_once");
    syscall.is_some_and(|syscall| POLLS.contains(&syscall)) && (own || !class.starts_with("asyncio."))
}
