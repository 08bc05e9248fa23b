//! Which route a script may take now, and why. Pure: facts in, decision out.

use crate::base::Version;

/// How a script gets to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Route {
    /// The main thread calls `Py_AddPendingCall`; the evaluation loop runs it at its own check.
    PendingCall,
    /// The same, and the lock that the main thread waits for returns `EINTR`, upon which CPython runs pending calls.
    PendingCallWoken,
    /// The main thread runs it on top of its blocking system call, as a signal handler would, under `PyGILState_Ensure`.
    SignalFrame,
    /// The main thread starts a Python thread that runs it.
    NewThread,
    /// CPython's own protocol for remote debugging, 3.14 on.
    RemoteDebugger,
    /// The same, and the system call that the thread waits in returns `EINTR`, upon which CPython looks.
    RemoteDebuggerWoken,
}

/// Which thread is to run it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ThreadChoice {
    /// The main thread where possible, else a new one.
    Auto,
    /// The main thread and no other.
    Main,
    /// Any thread will do, whichever is first.
    Any,
    /// The kernel's id of a thread.
    Tid(i32),
    /// The name of a thread.
    Name(String),
}

/// What the main thread is doing, as far as it matters here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Doing {
    /// It runs, in Python or in C, or waits for the GIL.
    Running,
    /// It waits for one of Python's locks.
    PythonLock,
    /// It waits in a system call that CPython's own code made with the GIL released.
    OwnCall {
        /// Number of the system call.
        number: i64,
    },
    /// It waits in a system call that other C code made.
    ForeignCall {
        /// Number of the system call.
        number: i64,
        /// The module that made it.
        module: String,
    },
    /// It is where nothing may be done: in the loader, the allocator, the pending-calls code.
    Unsafe(String),
}

/// Everything that the decision depends on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Situation {
    /// The interpreter's version.
    pub version: Version,
    /// What the main thread is doing.
    pub doing: Doing,
    /// `Py_IsInitialized`, as read.
    pub initialized: bool,
    /// The interpreter is shutting down.
    pub finalizing: bool,
    /// CPython's remote debugging is enabled; `None` where the version has none.
    pub remote_debugging: Option<bool>,
    /// The process has a `/proc` of its own that shows it, by which it can open its own descriptors.
    pub procfs: bool,
    /// The main thread holds the GIL, or is attached in a build without.
    pub attached: bool,
    /// There are subinterpreters: `PyGILState_Check` says nothing then.
    pub subinterpreters: bool,
    /// The main thread has a shadow stack.
    pub shadow_stack: bool,
    /// The main thread runs on an alternate signal stack.
    pub alternate_stack: bool,
    /// Free bytes below its stack pointer.
    pub free_stack: u64,
    /// Seccomp would kill, and cannot be suspended.
    pub seccomp_kills: bool,
    /// The main thread is inside the import machinery, which holds locks.
    pub importing: bool,
    /// The main thread's native frames as far as they were looked at, innermost first, for people.
    pub native_frames: Vec<String>,
}

/// What to do now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Go this way; why, in words.
    Go(Route, String),
    /// Nothing may be done now; look again later. Why, in words.
    Wait(String),
    /// It will never do. Why, in words.
    Refuse(String),
}
