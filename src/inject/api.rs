//! What is asked of an injection, what it reports while it goes on, and how it ends.

use super::{Decision, Route, Situation, ThreadChoice};
use crate::cpython::Runtime;
use crate::os::{Modules, Process, StopError};
use crate::target::Memory;
use std::fs::File;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// The process that a script is to run in, as found.
#[derive(Clone, Copy)]
pub struct Subject<'a> {
    /// The process.
    pub process: &'a Process,
    /// What it has mapped.
    pub modules: &'a Modules,
    /// Its memory, unbuffered.
    pub memory: &'a dyn Memory,
    /// Its interpreter.
    pub runtime: &'a Runtime,
}

/// How a script is to be run.
#[derive(Clone, Debug)]
pub struct InjectOptions {
    /// Which thread is to run it.
    pub thread: ThreadChoice,
    /// How long it may take until the script starts; afterwards the request is withdrawn.
    pub start_limit: Duration,
    /// Look again for as long as `start_limit` allows when nothing may be done yet. Without, that ends the attempt.
    pub wait: bool,
    /// Only this route; for tests, and for those who want the official protocol or nothing.
    pub only_route: Option<Route>,
    /// Go on where only a system-call filter speaks against it.
    pub ignore_seccomp: bool,
    /// Set, at any time, to have the request withdrawn.
    pub cancel: Option<Arc<AtomicBool>>,
}

impl InjectOptions {
    pub(super) fn is_cancelled(&self) -> bool {
        self.cancel.as_ref().is_some_and(|cancel| cancel.load(Ordering::Relaxed))
    }
}

impl Default for InjectOptions {
    fn default() -> InjectOptions {
        InjectOptions {
            thread: ThreadChoice::Auto,
            start_limit: Duration::from_secs(10),
            wait: true,
            only_route: None,
            ignore_seccomp: false,
            cancel: None,
        }
    }
}

/// What the program that runs in the target has to know of its channel. The program is Python source in ASCII, without a NUL
/// byte; it is run by `PyRun_StringFlags` as a file's text in a fresh dictionary that holds `__builtins__` only (or, on the
/// routes of CPython's own protocol, as that runs a script's text).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChannelFacts {
    /// The descriptor in the target.
    pub fd: i32,
    /// Device of the file behind it (`st_dev`), by which a descriptor that was closed and taken again is recognised.
    pub device: u64,
    /// Its inode (`st_ino`).
    pub inode: u64,
    /// Where the records begin in the file; the program seeks there before it writes the first. The file is that long at
    /// first, and what lies before is not the program's business.
    pub stream_at: u64,
    /// The target's PID as it sees itself; in a child of it the program must do nothing but close the descriptor.
    pub ns_pid: i32,
    /// `time.monotonic_ns()`, as the target sees it, after which the program must not start. Checked before the program is
    /// run, except on the routes of CPython's own protocol, where the program has to.
    pub deadline_ns: u64,
    /// The way it goes.
    pub route: Route,
    /// A second descriptor that the program has to close first: where its own text is read from on the routes of CPython's
    /// own protocol.
    pub text_fd: Option<i32>,
}

/// What happens meanwhile, in this order; `Looked` may come many times.
#[derive(Debug)]
pub enum Progress {
    /// Another pyattach is busy with this process; its turn comes first.
    WaitingForTurn,
    /// The main thread was looked at, and this was decided. It was stopped for so long.
    Looked {
        /// What was seen.
        situation: Situation,
        /// What follows from it.
        decision: Decision,
        /// For how long the thread stood still.
        paused: Duration,
    },
    /// The channel is there: a handle of our own, which stays readable whatever happens to the target.
    ChannelOpen {
        /// The file; records begin at `facts.stream_at`.
        file: File,
        /// What the program was told.
        facts: ChannelFacts,
    },
    /// The request is in place; the script starts as soon as the target gets there.
    Requested {
        /// By which route.
        route: Route,
    },
    /// A channel that was opened is not used after all: another one follows.
    ChannelClosed,
}

/// A script that has been started. Others wait for their turn until this is dropped.
#[derive(Debug)]
pub struct Injected {
    /// The way it took.
    pub route: Route,
    /// The kernel's id of the thread that runs it, as we see it; `None` for a new one.
    pub tid: Option<i32>,
    /// From the beginning until it was seen to have started.
    pub waited: Duration,
    /// For how long the thread that was borrowed stood still or worked for us, all stops together.
    pub paused: Duration,
    /// Each stop by itself.
    pub stops: Vec<Duration>,
    pub(super) _turn: super::turn::Turn,
}

/// Why a script was not started. In all cases nothing of the request is left in the target, except where it says so.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InjectError {
    /// It will never do; nothing was changed.
    #[error("{0}")]
    Refused(String),
    /// It did not start in time, and the request was withdrawn.
    #[error("the script did not start within {waited:?}: {why}")]
    NotStarted {
        /// How long it was waited for.
        waited: Duration,
        /// What was in the way when last looked.
        why: String,
        /// What was seen last.
        situation: Option<Box<Situation>>,
        /// Pauses, all together.
        paused: Duration,
    },
    /// Python was reached but could not run the program: it reported an error of its own before the first line.
    #[error("Python could not run the program: {0}")]
    Failed(String),
    /// The process ended.
    #[error("the process has ended")]
    Gone,
    /// The main thread could not be stopped.
    #[error("its main thread could not be stopped: {0}")]
    Stop(#[from] StopError),
    /// The kernel refused one of the steps.
    #[error("{step}: {source}")]
    Step {
        /// What was being done.
        step: &'static str,
        /// Why it failed.
        source: nix::errno::Errno,
    },
}
