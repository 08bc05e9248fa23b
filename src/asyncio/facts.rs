//! What is read of asyncio. Addresses identify: a task is its `Task` object, a loop its loop object.

use crate::base::{Addr, AddrMap, Problem};
use crate::interp::{Code, RawFrame};
use crate::objects::Value;
use crate::target::ReadError;
use std::sync::Arc;

/// All of it.
#[derive(Default)]
pub struct Asyncio {
    /// Event loops, those of the main interpreter first; a loop without tasks too when a thread runs it.
    pub loops: Vec<RawLoop>,
    /// Tasks that are not done, and done ones that something still refers to and that were found on the way.
    pub tasks: Vec<RawTask>,
    /// Code objects of coroutines, by address.
    pub codes: AddrMap<Result<Code, ReadError>>,
    /// `__name__` in the globals at an address.
    pub modules: AddrMap<Arc<str>>,
    /// What went wrong as a whole.
    pub problems: Vec<Problem>,
}

/// An event loop.
#[derive(Clone, Debug, Default)]
pub struct RawLoop {
    /// The object.
    pub address: Addr,
    /// `module.qualname` of its class.
    pub class: Arc<str>,
    /// Id of the interpreter.
    pub interpreter: i64,
    /// The thread state whose running loop this is.
    pub thread: Option<Addr>,
    /// `threading.get_ident()` of the thread that runs it, as the loop has it (`_thread_id`).
    pub ident: Option<u64>,
    /// The task that runs now.
    pub running_task: Option<Addr>,
    /// Callbacks that wait for their turn (`_ready`).
    pub ready: Option<u64>,
    /// Timers (`_scheduled`).
    pub scheduled: Option<u64>,
    /// Somebody closed it.
    pub closed: Option<bool>,
    /// asyncio's debug mode.
    pub debug: Option<bool>,
}

/// What a task is doing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
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
#[derive(Clone, Debug, Default)]
pub struct RawTask {
    /// The object.
    pub address: Addr,
    /// `module.qualname` of its class.
    pub class: Arc<str>,
    /// `get_name()`; `None` up to 3.7, where tasks have no names.
    pub name: Option<Arc<str>>,
    /// What it is doing.
    pub state: TaskState,
    /// Its loop.
    pub event_loop: Option<Addr>,
    /// The thread state on whose list it was found (3.14 on), or that runs its loop.
    pub thread: Option<Addr>,
    /// Its coroutine.
    pub coroutine: Option<Addr>,
    /// From its coroutine down to the innermost await, outermost first.
    pub chain: Vec<RawLink>,
    /// Why the chain is incomplete, if it is.
    pub error: Option<ReadError>,
    /// The future it waits for (`_fut_waiter`).
    pub waiter: Option<Addr>,
    /// What it waits for.
    pub awaiting: Option<Awaiting>,
    /// Tasks that wait for this one: CPython's own record (3.14 on), or what its callbacks say.
    pub awaited_by: Vec<Addr>,
    /// How often its cancellation was asked for (`cancelling()`, 3.11 on).
    pub cancel_requests: Option<u64>,
    /// It will be cancelled when it runs next (`_must_cancel`).
    pub must_cancel: bool,
    /// Its exception, where it failed.
    pub exception: Option<Value>,
    /// Nobody has asked for its exception yet (`_log_traceback`).
    pub exception_not_retrieved: bool,
    /// Where it was created, innermost first, where debug mode recorded it: file, line, function.
    pub created_at: Vec<(Arc<str>, i64, Arc<str>)>,
}

/// One thing in a chain of awaits.
#[derive(Clone, Debug)]
pub struct RawLink {
    /// The object.
    pub object: Addr,
    /// What it is.
    pub kind: LinkKind,
    /// `module.qualname` of its type.
    pub class: Arc<str>,
    /// Where it stands, for what has a frame.
    pub frame: Option<RawFrame>,
    /// Where that frame lies: a `_PyInterpreterFrame`, or a `PyFrameObject` up to 3.10.
    pub frame_address: Option<Addr>,
}

/// What a link in a chain of awaits is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkKind {
    /// A coroutine.
    Coroutine,
    /// A generator, be it a coroutine of old or an `__await__`.
    Generator,
    /// An asynchronous generator.
    AsyncGenerator,
    /// A function, called by the coroutine of a task that runs.
    Function,
    /// A future or task, at the end of the chain.
    Future,
    /// Anything else, at the end of the chain: it has no frame that could be read.
    Other,
}

/// What a task waits for.
#[derive(Clone, Debug, PartialEq)]
pub struct Awaiting {
    /// What kind of thing.
    pub kind: AwaitKind,
    /// The object: a task, a future, a queue, a lock...
    pub object: Option<Addr>,
    /// Tasks that have to end, or that hold what is waited for.
    pub tasks: Vec<Addr>,
    /// In words, as in `Queue.get (0 items, 3 waiters)`.
    pub text: String,
    /// File descriptor of a socket or pipe, where that is what it waits for.
    pub fd: Option<i32>,
    /// When it ends by itself, in seconds from the moment of reading.
    pub seconds_left: Option<f64>,
}

/// Kinds of things that tasks wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum AwaitKind {
    /// Another task.
    Task,
    /// `asyncio.gather`.
    Gather,
    /// `asyncio.wait`, `as_completed`.
    Wait,
    /// The end of an `asyncio.TaskGroup`.
    TaskGroup,
    /// `asyncio.shield`.
    Shield,
    /// `asyncio.wait_for`, where nothing more exact is known.
    WaitFor,
    /// A function in an executor.
    Executor,
    /// A queue that is empty, full, or not done.
    Queue,
    /// A lock.
    Lock,
    /// A semaphore.
    Semaphore,
    /// An event.
    Event,
    /// A condition.
    Condition,
    /// A barrier, 3.11 on.
    Barrier,
    /// Time.
    Sleep,
    /// A socket, pipe or stream.
    Socket,
    /// A child process.
    Subprocess,
    /// Its next turn, as after `sleep(0)`: it waits for nothing.
    Turn,
    /// A future that nothing more is known of.
    Future,
    /// Something that is no future.
    Other,
}
