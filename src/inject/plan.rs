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

impl Route {
    /// Its name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Route::PendingCall => "pending_call",
            Route::PendingCallWoken => "pending_call_woken",
            Route::SignalFrame => "signal_frame",
            Route::NewThread => "new_thread",
            Route::RemoteDebugger => "remote_debugger",
            Route::RemoteDebuggerWoken => "remote_debugger_woken",
        }
    }

    /// The same without waking.
    pub fn kind(self) -> Route {
        match self {
            Route::PendingCallWoken => Route::PendingCall,
            Route::RemoteDebuggerWoken => Route::RemoteDebugger,
            other => other,
        }
    }
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

/// What a thread is doing, as far as it matters here.
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
    /// The thread that was looked at is the interpreter's main thread.
    pub is_main: bool,
    /// What that thread is doing.
    pub doing: Doing,
    /// `Py_IsInitialized`, as read.
    pub initialized: bool,
    /// The interpreter is shutting down.
    pub finalizing: bool,
    /// CPython's remote debugging is enabled; `None` where the version has none.
    pub remote_debugging: Option<bool>,
    /// The process has a `/proc` of its own that shows it, by which it can open its own descriptors.
    pub procfs: bool,
    /// The thread holds the GIL, or is attached in a build without.
    pub attached: bool,
    /// There are subinterpreters: `PyGILState_Check` says nothing then.
    pub subinterpreters: bool,
    /// The thread has a shadow stack.
    pub shadow_stack: bool,
    /// The thread runs on an alternate signal stack.
    pub alternate_stack: bool,
    /// Free bytes below its stack pointer.
    pub free_stack: u64,
    /// Seccomp would kill, and cannot be suspended.
    pub seccomp_kills: bool,
    /// The thread is inside the import machinery, which holds locks.
    pub importing: bool,
    /// The thread's native frames as far as they were looked at, innermost first, for people.
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

/// How often it was tried, and what turned out not to work.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Attempt<'a> {
    /// Looks so far; 0 for the first.
    pub number: u32,
    /// Routes that failed for a reason which will not go away.
    pub excluded: &'a [Route],
    /// The only route that is wanted, with or without waking.
    pub only: Option<Route>,
    /// The target has too few free descriptors for CPython's own protocol.
    pub few_descriptors: bool,
}

/// Stack that a script needs, in bytes: evaluating a source file takes most of it.
pub const STACK_NEEDED: u64 = 128 << 10;

/// Decides. Refusals come before anything that waiting may help.
pub fn plan(situation: &Situation, choice: &ThreadChoice, attempt: &Attempt<'_>) -> Decision {
    if let Some(why) = never(situation) {
        return Decision::Refuse(why.to_owned());
    }
    if let Some(why) = not_yet(situation) {
        return Decision::Wait(why);
    }
    Planner { situation, choice, attempt }.route()
}

/// Why it will never do, if so.
fn never(situation: &Situation) -> Option<&'static str> {
    if situation.finalizing {
        return Some("the interpreter is shutting down: it runs nothing new any more");
    }
    if situation.remote_debugging == Some(false) {
        return Some(
            "the target does not want it: remote debugging is disabled (-X disable-remote-debug, \
             PYTHON_DISABLE_REMOTE_DEBUG, the configuration of the program that embeds Python, or a build \
             --without-remote-debug); to allow it, restart the target without that",
        );
    }
    if situation.shadow_stack {
        return Some(
            "the thread has a shadow stack (CET): the processor would end the process when the thread came back from what \
             it was borrowed for; to allow it, restart the target with GLIBC_TUNABLES=glibc.cpu.x86_shstk=off",
        );
    }
    if situation.seccomp_kills {
        return Some(
            "the target is under a system-call filter (seccomp), which may kill it for the calls that are needed \
             (mmap, memfd_create); with CAP_SYS_ADMIN, pyattach can suspend the filter for these",
        );
    }
    None
}

/// Why nothing may be done at this moment, if so.
fn not_yet(situation: &Situation) -> Option<String> {
    if !situation.initialized {
        return Some("the interpreter is not initialised: it is starting, or has been shut down".to_owned());
    }
    if situation.alternate_stack {
        return Some("the thread is on another stack than its own, as in a signal handler".to_owned());
    }
    if situation.free_stack < STACK_NEEDED {
        let (free, needed) = (situation.free_stack >> 10, STACK_NEEDED >> 10);
        return Some(format!("the thread has {free} KiB of its stack left, and a script needs {needed} KiB"));
    }
    if situation.importing {
        return Some(
            "the thread is inside the import machinery, which holds locks that a script's imports need".to_owned(),
        );
    }
    match &situation.doing {
        Doing::Unsafe(place) => Some(format!("the thread is {place}, where nothing may be done")),
        _ => None,
    }
}

struct Planner<'p> {
    situation: &'p Situation,
    choice: &'p ThreadChoice,
    attempt: &'p Attempt<'p>,
}

impl Planner<'_> {
    fn route(&self) -> Decision {
        if self.attempt.only.map(Route::kind) == Some(Route::RemoteDebugger)
            && let Some(why) = self.why_never_official()
        {
            return Decision::Refuse(format!(
                "only the route remote_debugger is wanted, and it cannot be taken: {why}"
            ));
        }
        if !self.situation.is_main {
            return self.of_other_thread();
        }
        match &self.situation.doing {
            Doing::Unsafe(_) => Decision::Wait("the thread is where nothing may be done".to_owned()),
            Doing::Running => self.at_its_own_check("the thread runs, or is about to"),
            // What it waits for comes to it while it keeps the GIL; nothing else gets in before.
            _ if self.situation.attached => self
                .at_its_own_check("the thread waits in C code that keeps the GIL, so nothing runs before that returns"),
            Doing::PythonLock => self.in_lock(),
            Doing::OwnCall { .. } => self.in_own_call(),
            Doing::ForeignCall { module, .. } => {
                self.in_new_thread(&format!("the main thread waits in a system call that {module} made"))
            }
        }
    }

    fn is_excluded(&self, route: Route) -> bool {
        self.attempt.excluded.contains(&route)
    }

    fn in_lock(&self) -> Decision {
        if self.is_excluded(Route::PendingCallWoken) {
            return self.in_new_thread(
                "the thread waits for one of Python's locks, and its C library lets nothing interrupt that (musl does so in a \
                 process that handles no signal)",
            );
        }
        self.go(
            Route::PendingCallWoken,
            "the thread waits for one of Python's locks, which looks for pending calls when it is interrupted",
        )
    }

    fn at_its_own_check(&self, why: &str) -> Decision {
        if self.official() {
            return self.go(Route::RemoteDebugger, &format!("{why}: CPython's own protocol"));
        }
        self.go(Route::PendingCall, &format!("{why}: {}", self.why_not_official()))
    }

    fn in_own_call(&self) -> Decision {
        let why = "the thread waits in a system call of CPython's own, without the GIL";
        if self.official() {
            return self.go(Route::RemoteDebuggerWoken, &format!("{why}: CPython's own protocol"));
        }
        if self.situation.subinterpreters {
            return self
                .in_new_thread(&format!("{why}, and with subinterpreters nothing tells which one it belongs to"));
        }
        // Either will do; which of them is wanted decides, and whether the first has turned out not to work.
        if self.is_excluded(Route::SignalFrame) {
            return self.in_new_thread(&format!("{why}, and it cannot be borrowed there"));
        }
        if self.attempt.only == Some(Route::NewThread) {
            return self.in_new_thread(why);
        }
        self.go(Route::SignalFrame, &format!("{why}: {}", self.why_not_official()))
    }

    fn in_new_thread(&self, why: &str) -> Decision {
        match self.choice {
            ThreadChoice::Auto | ThreadChoice::Any => self.go(Route::NewThread, &format!("{why}: a thread of its own")),
            _ => {
                Decision::Wait(format!("{why}; only the main thread is wanted, and it must come back to Python first"))
            }
        }
    }

    /// Only CPython's own protocol reaches threads other than the main one at a safe point.
    fn of_other_thread(&self) -> Decision {
        if !self.official() {
            return Decision::Refuse(format!(
                "only CPython's own protocol runs a script in a thread other than the main one, and it cannot be used: {}",
                self.why_not_official()
            ));
        }
        let wait = |why: &str| Decision::Wait(format!("{why}, where CPython looks for no scripts until that is over"));
        match &self.situation.doing {
            Doing::Running => self.at_its_own_check("the thread runs, or is about to"),
            _ if self.situation.attached => self.at_its_own_check("the thread waits in C code that keeps the GIL"),
            Doing::OwnCall { .. } => self.in_own_call(),
            Doing::PythonLock => wait("the thread waits for one of Python's locks"),
            Doing::ForeignCall { module, .. } => wait(&format!("the thread waits in a system call that {module} made")),
            Doing::Unsafe(place) => wait(&format!("the thread is {place}")),
        }
    }

    fn go(&self, route: Route, why: &str) -> Decision {
        match self.attempt.only {
            _ if self.is_excluded(route) => {
                Decision::Wait(format!("{why}; but that way was tried and does not work in this process"))
            }
            Some(only) if only.kind() != route.kind() => {
                let (fits, only) = (route.name(), only.kind().name());
                Decision::Wait(format!(
                    "only the route {only} is wanted (--route), and what the thread does now fits {fits}: {why}"
                ))
            }
            _ => Decision::Go(route, why.to_owned()),
        }
    }

    /// Whether CPython's own protocol can be used. Its script has to be a file that the target can open.
    fn official(&self) -> bool {
        let is_wanted = self.attempt.only.is_none_or(|only| only.kind() == Route::RemoteDebugger);
        is_wanted && self.why_never_official().is_none()
    }

    fn why_not_official(&self) -> &'static str {
        self.why_never_official().unwrap_or("another route than CPython's own protocol is wanted")
    }

    fn why_never_official(&self) -> Option<&'static str> {
        let has_failed = self.attempt.excluded.iter().any(|route| route.kind() == Route::RemoteDebugger);
        match (self.situation.remote_debugging, self.situation.procfs) {
            (Some(true), false) => Some("CPython's own protocol needs /proc in the target's root, which is not there"),
            (Some(true), true) if self.attempt.few_descriptors => {
                Some("CPython's own protocol needs some free file descriptors, which the target has not left")
            }
            (Some(true), true) if has_failed => {
                Some("CPython's own protocol was tried and does not work in this process")
            }
            (Some(true), true) => None,
            _ => Some("this version has no protocol of its own"),
        }
    }
}

#[cfg(test)]
mod tests;
