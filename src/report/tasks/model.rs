//! The report on asyncio as data: what `tasks --json` prints. Every field may be absent; objects are told apart by their
//! addresses. The schema is `docs/schema/tasks.schema.json`.

use crate::base::{Addr, Problem, ProblemKind};
use crate::report::model::{Frame, ProcessReport, PythonReport, SnapshotReport, Thread, Wait};
use serde::{Serialize, Serializer};
use std::fmt;
use std::sync::Arc;

/// Name and version of the schema.
pub(super) const TASKS_SCHEMA: &str = "pyattach.tasks/1";

/// An object, by its address: `id()` of it in Python.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectId(pub Addr);

impl fmt::Display for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl Serialize for ObjectId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Every event loop, every task.
#[derive(Clone, Debug, Serialize)]
pub struct TasksReport {
    /// `pyattach.tasks/1`: name and version of the schema.
    pub schema: &'static str,
    /// The process.
    pub process: ProcessReport,
    /// Its interpreter.
    pub python: PythonReport,
    /// How it was read.
    pub snapshot: SnapshotReport,
    /// Event loops, those of the main interpreter first.
    pub loops: Vec<EventLoop>,
    /// Tasks, by loop.
    pub tasks: Vec<Task>,
    /// Tasks that wait for each other in a circle, so that none of them can go on: each circle with the tasks it leads through,
    /// every one waiting for the next and the last for the first.
    pub cycles: Vec<Vec<ObjectId>>,
    /// What could not be read or proved of the process as a whole.
    pub problems: Vec<Problem>,
}

/// An event loop.
#[derive(Clone, Debug, Default, Serialize)]
pub struct EventLoop {
    /// The loop object.
    pub id: ObjectId,
    /// `module.qualname` of its class.
    pub class: Arc<str>,
    /// Id of its interpreter.
    pub interpreter: i64,
    /// The thread that runs it, with its stack; absent when none does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub thread: Option<Thread>,
    /// The task that its thread executes.
    pub running_task: Option<ObjectId>,
    /// How many of its tasks are in the report.
    pub tasks: usize,
    /// Callbacks that wait for their turn.
    pub ready: Option<u64>,
    /// Timers.
    pub scheduled: Option<u64>,
    /// What its thread waits for: for events, when the loop is idle; anything else holds up all its tasks.
    pub blocked_in: Option<Wait>,
    /// Its thread waits for nothing but events and timers.
    pub idle: Option<bool>,
    /// Somebody closed it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub closed: Option<bool>,
    /// asyncio's debug mode is on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub debug: Option<bool>,
}

/// What a task is doing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum TaskState {
    /// It has not ended, and does not run in this moment.
    #[default]
    Pending,
    /// A thread executes it.
    Running,
    /// It has returned a result.
    Finished,
    /// It has ended by an exception.
    Failed,
    /// It was cancelled, and has ended.
    Cancelled,
}

/// A task.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Task {
    /// The `Task` object.
    pub id: ObjectId,
    /// `get_name()`; null up to 3.7, where tasks have no names.
    pub name: Option<Arc<str>>,
    /// `module.qualname` of its class.
    pub class: Arc<str>,
    /// What it is doing.
    pub state: TaskState,
    /// Its event loop.
    #[serde(rename = "loop")]
    pub event_loop: Option<ObjectId>,
    /// The thread that runs its loop, or whose task it is.
    pub tid: Option<i32>,
    /// From the innermost await out to its coroutine: coroutines, generators, asynchronous generators.
    #[serde(serialize_with = "crate::report::shared::serialize")]
    pub coroutine_stack: Vec<Arc<Frame>>,
    /// What it waits for.
    pub awaiting: Option<Awaiting>,
    /// Tasks that wait for this one, or for what it holds.
    pub awaited_by: Vec<ObjectId>,
    /// How often its cancellation was asked for.
    pub cancel_requests: Option<u64>,
    /// It will be cancelled when it runs next.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub must_cancel: bool,
    /// The exception by which it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exception: Option<TaskException>,
    /// Where it was created, innermost first, when debug mode recorded that.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub created_at: Vec<CreatedAt>,
    /// What could not be read of it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<Problem>,
}

/// What a task waits for.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Awaiting {
    /// What kind of thing.
    pub kind: AwaitKind,
    /// The object: a task, a future, a queue, a lock …
    pub id: Option<ObjectId>,
    /// In words.
    pub text: String,
    /// Tasks that have to end, or that hold what is waited for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tasks: Vec<ObjectId>,
    /// Descriptor of the socket or pipe.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fd: Option<i32>,
    /// Address of the socket's other end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peer: Option<String>,
    /// When it ends by itself, in seconds from the moment of reading.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seconds_left: Option<f64>,
}

/// Kinds of things that tasks wait for; [`crate::asyncio::AwaitKind`] says what each is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "each is documented where it is read")]
pub enum AwaitKind {
    Task,
    Gather,
    Wait,
    TaskGroup,
    Shield,
    WaitFor,
    Executor,
    Queue,
    Lock,
    Semaphore,
    Event,
    Condition,
    Barrier,
    Sleep,
    Socket,
    Subprocess,
    Turn,
    Future,
    Other,
}

/// The exception by which a task ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TaskException {
    /// Its type, `module.Class`, without the module for builtins.
    #[serde(rename = "type")]
    pub type_name: String,
    /// Type and arguments, shortened.
    pub repr: String,
    /// Somebody has asked for it: else it goes unnoticed until the task is destroyed.
    pub retrieved: bool,
}

/// One line of the place where a task was created.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CreatedAt {
    /// The file.
    pub file: Arc<str>,
    /// The line, from 1.
    pub line: i64,
    /// The function.
    pub function: Arc<str>,
}

impl Task {
    /// It has not ended.
    pub fn is_alive(&self) -> bool {
        matches!(self.state, TaskState::Pending | TaskState::Running)
    }

    /// Its cancellation was asked for, and it goes on.
    pub fn ignores_cancellation(&self) -> bool {
        self.is_alive() && self.cancel_requests.unwrap_or(0) > 0
    }
}

impl TasksReport {
    /// False when anything is missing, cut off or not proved.
    pub fn is_complete(&self) -> bool {
        let fine = |problems: &[Problem]| problems.iter().all(|problem| problem.kind == ProblemKind::Note);
        let threads = self.loops.iter().filter_map(|each| each.thread.as_ref());
        fine(&self.problems)
            && self.tasks.iter().all(|task| fine(&task.problems))
            && threads.into_iter().all(|thread| thread.consistent && fine(&thread.problems))
    }
}
