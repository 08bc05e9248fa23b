//! The report as data: what `--json` prints. Every field may be absent; addresses are hexadecimal strings. The schema is
//! `docs/schema/stack.schema.json`.

use super::samples::{Motion, Samples};
use crate::base::Problem;
use crate::interp::RawFrame;
use serde::Serialize;
use std::sync::Arc;

/// Name and version of the schema.
pub(super) const STACK_SCHEMA: &str = "pyattach.stack/1";

/// Every thread's stack.
#[derive(Clone, Debug, Serialize)]
pub struct StackReport {
    /// `pyattach.stack/1`: name and version of the schema.
    pub schema: &'static str,
    /// The process.
    pub process: ProcessReport,
    /// Its interpreter.
    pub python: PythonReport,
    /// How it was read.
    pub snapshot: SnapshotReport,
    /// The readings of which this is the last, when there were several.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub samples: Option<Samples>,
    /// Its interpreters, the main one first.
    pub interpreters: Vec<Interpreter>,
    /// Python threads, by interpreter, in the order in which they began.
    pub threads: Vec<Thread>,
    /// How many threads Python knows nothing of.
    pub native_thread_count: usize,
    /// Those threads, when asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub native_threads: Option<Vec<NativeThread>>,
    /// What could not be read or proved of the process as a whole.
    pub problems: Vec<Problem>,
}

/// A process.
#[derive(Clone, Debug, Serialize)]
pub struct ProcessReport {
    /// Its PID as pyattach sees it.
    pub pid: i32,
    /// PIDs from pyattach's namespace inwards; more than one when it lives in another.
    pub ns_pids: Vec<i32>,
    /// Path of the executable in the target's root.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exe: Option<String>,
    /// Command line.
    pub cmdline: Vec<String>,
}

/// An interpreter build.
#[derive(Clone, Debug, Serialize)]
pub struct PythonReport {
    /// `3.12.1`.
    pub version: String,
    /// Built without the GIL.
    pub free_threaded: bool,
    /// Built with `--with-pydebug`.
    pub debug_build: bool,
    /// Where the layout of its structures comes from.
    pub layout_source: String,
    /// How its runtime was found.
    pub found_by: String,
    /// Address of `_PyRuntime`.
    pub runtime_address: String,
    /// The file that holds the interpreter, as a path in the target's root.
    pub module: String,
}

/// How the process was read.
#[derive(Clone, Debug, Serialize)]
pub struct SnapshotReport {
    /// What was stopped.
    pub mode: SnapshotMode,
    /// How many threads were stopped for this reading.
    pub stopped_threads: usize,
    /// Longest time a thread was stopped, in microseconds.
    pub pause_us: u64,
    /// Readings it took.
    pub attempts: u32,
    /// All that was read was so at one moment.
    pub consistent: bool,
}

/// What was stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SnapshotMode {
    /// Nothing.
    None,
    /// The threads that could have changed something.
    Holder,
    /// All threads.
    All,
}

/// One interpreter of the process.
#[derive(Clone, Debug, Serialize)]
pub struct Interpreter {
    /// 0 is the main one.
    pub id: i64,
    /// Its GIL; absent in free-threaded builds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gil: Option<Gil>,
    /// The garbage collector is running.
    pub gc_collecting: bool,
}

/// A GIL.
#[derive(Clone, Debug, Serialize)]
pub struct Gil {
    /// A thread holds it.
    pub locked: bool,
    /// Which, as pyattach's PID namespace counts it.
    pub holder_tid: Option<i32>,
}

/// A Python thread.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Thread {
    /// Id of its interpreter.
    pub interpreter: i64,
    /// The kernel's id of it.
    pub tid: Option<i32>,
    /// The same in the target's own PID namespace, when that is another.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ns_tid: Option<i32>,
    /// `threading.get_ident()`.
    pub ident: String,
    /// `threading.Thread.name`.
    pub name: Option<String>,
    /// The kernel's name for it.
    pub os_name: Option<String>,
    /// It is the main thread.
    pub main: Option<bool>,
    /// `threading.Thread.daemon`.
    pub daemon: Option<bool>,
    /// State letter of `/proc`: R running, S asleep, D uninterruptible, T stopped, t traced …
    pub os_state: Option<String>,
    /// It holds its interpreter's GIL; absent in free-threaded builds.
    pub holds_gil: Option<bool>,
    /// It is waiting for the GIL.
    pub waits_for_gil: Option<bool>,
    /// It takes part in running Python code, in free-threaded builds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attached: Option<bool>,
    /// CPU time it has used, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_ms: Option<u64>,
    /// What it waits for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wait: Option<Wait>,
    /// The event loop that it runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub event_loop: Option<ThreadLoop>,
    /// Its stack is proved to have been so.
    pub consistent: bool,
    /// What it did between the readings, when there were several.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub motion: Option<Motion>,
    /// Where exactly its frames are, in their order: what two readings of a stack are compared by. Of one process only.
    #[serde(skip)]
    pub places: Arc<[RawFrame]>,
    /// The exception it is handling, when values are asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exception: Option<HandledException>,
    /// Its frames, innermost first.
    #[serde(serialize_with = "super::shared::serialize")]
    pub frames: Vec<Arc<Frame>>,
    /// What could not be read or proved.
    pub problems: Vec<Problem>,
}

/// The event loop of asyncio that a thread runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ThreadLoop {
    /// `id()` of the loop.
    pub id: String,
    /// `module.qualname` of its class.
    pub class: Arc<str>,
    /// The task that it executes.
    pub running_task: Option<RunningTask>,
    /// Callbacks that wait for their turn.
    pub ready: Option<u64>,
    /// Timers.
    pub scheduled: Option<u64>,
}

/// The task that a loop executes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RunningTask {
    /// `id()` of the task.
    pub id: String,
    /// `get_name()`; null up to 3.7, where tasks have no names.
    pub name: Option<Arc<str>>,
}

/// What a thread waits for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Wait {
    /// All of it in words.
    pub text: String,
    /// Name of the system call, or its number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub syscall: Option<String>,
    /// The descriptor.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fd: Option<i32>,
    /// Path of the file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// The socket's own address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub local: Option<String>,
    /// Address of its other end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peer: Option<String>,
    /// State of the socket.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub socket_state: Option<String>,
    /// The child, the holder of a file lock, or the process at the other end of a pipe.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pid: Option<i32>,
    /// How long it waits at the most, from when it began, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<u64>,
    /// How long it still waits at the most, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remaining_ms: Option<u64>,
    /// Type of the lock.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lock: Option<String>,
    /// Address of the lock object, or of the futex word when no object was found.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub object: Option<String>,
    /// How many threads wait for the lock.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waiters: Option<u32>,
    /// The thread that holds the lock, or whose end is waited for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub owner_tid: Option<i32>,
}

impl Wait {
    /// A wait of which there are only words.
    pub(super) fn of_text(text: impl Into<String>) -> Wait {
        Wait { text: text.into(), ..Wait::default() }
    }

    /// True when the two are of one kind: the same system call, for the same kind of lock.
    pub(super) fn is_like(&self, other: &Wait) -> bool {
        (&self.syscall, &self.lock) == (&other.syscall, &other.lock)
    }
}

/// What kind of code a frame runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FrameKind {
    /// A function, method, lambda or comprehension.
    Function,
    /// A generator.
    Generator,
    /// A coroutine.
    Coroutine,
    /// An asynchronous generator.
    AsyncGenerator,
    /// A module, or code given to `exec`.
    Module,
    /// The body of a class statement.
    Class,
}

/// A frame.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Frame {
    /// What kind of code it runs.
    pub kind: FrameKind,
    /// Qualified name from 3.11 on, else the name.
    pub function: Arc<str>,
    /// `co_name`.
    pub name: Arc<str>,
    /// `__name__` of its globals.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub module: Option<Arc<str>>,
    /// `co_filename`.
    pub file: Arc<str>,
    /// Line, from 1.
    pub line: Option<i32>,
    /// Last line of the expression being evaluated.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub end_line: Option<i32>,
    /// Its first column, in bytes of UTF-8 from 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub column: Option<i32>,
    /// The column behind its last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub end_column: Option<i32>,
    /// Its local variables, when they are asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub locals: Option<Vec<Local>>,
}

/// What a local variable is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LocalKind {
    /// A parameter.
    Argument,
    /// Any other variable that only its function uses.
    Local,
    /// A variable, perhaps a parameter, that inner functions use, too.
    Cell,
    /// An outer function's variable.
    Free,
}

/// A local variable that has a value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Local {
    /// Its name.
    pub name: Arc<str>,
    /// What it is.
    pub kind: LocalKind,
    /// The type of its value, `module.Class`, without the module for builtins.
    #[serde(rename = "type")]
    pub type_name: Arc<str>,
    /// Its value, shortened; `<redacted>` where the name says that it is secret.
    pub repr: Arc<str>,
    /// Address of the value.
    pub address: String,
}

/// An exception that a thread is handling.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct HandledException {
    /// Its type, `module.Class`, without the module for builtins.
    #[serde(rename = "type")]
    pub type_name: String,
    /// Type and arguments, shortened.
    pub repr: String,
    /// Its address.
    pub address: String,
}

/// A thread Python knows nothing of.
#[derive(Clone, Debug, Serialize)]
pub struct NativeThread {
    /// The kernel's id of it.
    pub tid: i32,
    /// The kernel's name for it.
    pub os_name: Option<String>,
    /// State letter of `/proc`.
    pub os_state: Option<String>,
}

impl StackReport {
    /// False when anything asked for is missing, cut off or not proved.
    pub fn is_complete(&self) -> bool {
        use crate::base::ProblemKind::Note;
        let fine = |problems: &[Problem]| problems.iter().all(|p| p.kind == Note);
        fine(&self.problems) && self.threads.iter().all(|t| t.consistent && fine(&t.problems))
    }
}
