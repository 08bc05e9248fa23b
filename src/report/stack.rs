//! From a PID to a report: opens the process, finds its interpreter, takes a snapshot. All of it in a thread of its own with
//! a deadline, as almost anything about a process can block while that is in uninterruptible sleep.

use super::attach::{Attached, attach};
use super::build::build;
use super::event_loops;
use super::model::StackReport;
use super::wait::{Waits, explain};
use crate::asyncio::ReadThreadLoops;
use crate::base::Addr;
use crate::cpython::{FindError, LayoutChoice, RunningLoop, find_asyncio};
use crate::interp::{Pause, SnapshotError, SnapshotOptions};
use crate::objects::ValueLimits;
use crate::os::{OsError, Process, Progress, Reading, with_deadline};
use std::time::Duration;

/// How to read stacks.
#[derive(Clone, Copy, Debug)]
pub struct StackOptions {
    /// Whether threads may be stopped.
    pub pause: Pause,
    /// Longest time a thread is kept stopped.
    pub max_pause: Duration,
    /// Longest time for everything.
    pub timeout: Duration,
    /// Which source of layouts to use.
    pub layout: LayoutChoice,
    /// List threads that Python knows nothing of, too.
    pub native_threads: bool,
    /// Say what threads wait for.
    pub waits: bool,
    /// Read local variables, and show so much of each; `None` reads none.
    pub locals: Option<ValueLimits>,
}

impl Default for StackOptions {
    fn default() -> StackOptions {
        StackOptions {
            pause: Pause::Auto,
            max_pause: Duration::from_secs(1),
            timeout: Duration::from_secs(30),
            layout: LayoutChoice::Auto,
            native_threads: false,
            waits: true,
            locals: None,
        }
    }
}

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StackError {
    /// The process cannot be reached.
    #[error(transparent)]
    Process(#[from] OsError),
    /// It has no interpreter that can be read.
    #[error("process {pid}: {source}")]
    Find {
        /// The process.
        pid: i32,
        /// Why.
        source: FindError,
    },
    /// Its interpreter was found, but could not be read.
    #[error("process {pid}: {source}")]
    Snapshot {
        /// The process.
        pid: i32,
        /// Why.
        source: SnapshotError,
    },
    /// It took too long.
    #[error("gave up after {seconds} s while {doing}{state}")]
    Timeout {
        /// The limit.
        seconds: f64,
        /// What was being done.
        doing: String,
        /// What is known of the process's state.
        state: String,
    },
}

/// Reads the stacks of all Python threads of a process.
///
/// # Errors
/// When nothing can be said. What could not be read of some threads only is in the report.
pub fn stack(pid: i32, options: &StackOptions) -> Result<StackReport, StackError> {
    let process = Process::open(pid)?;
    let progress = Progress::default();
    let options = *options;
    let doing = progress.clone();
    let read = with_deadline(options.timeout, move || read(&process, &options, &doing));
    read.unwrap_or_else(|| {
        Err(StackError::Timeout {
            seconds: options.timeout.as_secs_f64(),
            doing: progress.current(),
            state: blocked_state(pid),
        })
    })
}

fn read(process: &Process, options: &StackOptions, progress: &Progress) -> Result<StackReport, StackError> {
    attach(process, options.layout, progress, |attached| report(attached, options, progress))
}

fn report(attached: &Attached<'_>, options: &StackOptions, progress: &Progress) -> Result<StackReport, StackError> {
    let Attached { process, modules, memory, runtime, tasks, facts } = attached;
    progress.at("reading the threads' stacks");
    let snapshot_options = SnapshotOptions {
        pause: options.pause,
        max_pause: options.max_pause,
        tasks: if options.waits { Reading::StatAndActivity } else { Reading::Stat },
        values: options.locals,
    };
    let says_itself = runtime.quirks.running_loop == RunningLoop::Debug;
    let debug = says_itself.then(|| find_asyncio(modules, memory, runtime)).flatten();
    let (taken, loops) = attached.snapshot(snapshot_options, &ReadThreadLoops { debug })?.split();
    let addresses: Vec<Addr> = taken.world.threads().map(|thread| thread.address).collect();
    progress.at("reading /proc/PID/task, and what threads wait for");
    let waits = match options.waits {
        true => explain(process.pid, facts, modules, memory, runtime, &taken),
        false => Waits::default(),
    };
    let mut report = build(process.pid, facts, runtime, tasks, taken, waits, options.native_threads);
    event_loops::add(&mut report.threads, &addresses, loops);
    if report.threads.iter().any(|t| !t.problems.is_empty()) && !process.is_alive() {
        return Err(OsError::Gone(process.pid).into());
    }
    Ok(report)
}

pub(super) fn find_error(pid: i32, source: FindError) -> StackError {
    match source {
        FindError::Os(error) => error.into(),
        source => StackError::Find { pid, source },
    }
}

/// What keeps a process from being read, for people.
pub(super) fn blocked_state(pid: i32) -> String {
    match Process::open(pid).map(|p| p.state()) {
        Ok('D') => format!("; process {pid} is in uninterruptible sleep (state D), usually waiting for a disk or NFS"),
        Ok(state) => format!("; process {pid} is in state {state}"),
        Err(_) => format!("; process {pid} has ended"),
    }
}
