//! asyncio's tasks: which there are, what each waits for, and who waits for whom.

mod build;
pub(super) mod graph;
pub(super) mod model;
mod peers;

pub use model::{AwaitKind, Awaiting, CreatedAt, EventLoop, ObjectId, Task, TaskException, TaskState, TasksReport};

use super::attach::{Attached, attach};
use super::stack::{StackError, StackOptions, blocked_state};
use super::wait::{Waits, explain};
use crate::interp::SnapshotOptions;
use crate::os::{OsError, Process, Progress, Reading, with_deadline};

/// Reads the event loops and tasks of a process. Of the options those for native threads and local variables are not
/// regarded.
///
/// # Errors
/// When nothing can be said, as with [`stack`](super::stack()). What could not be read of some tasks only is in the report.
pub fn tasks(pid: i32, options: &StackOptions) -> Result<TasksReport, StackError> {
    let process = Process::open(pid)?;
    let progress = Progress::default();
    let options = *options;
    let doing = progress.clone();
    let read = with_deadline(options.timeout, move || {
        attach(&process, options.layout, &doing, |attached| report(attached, &options, &doing))
    });
    read.unwrap_or_else(|| {
        Err(StackError::Timeout {
            seconds: options.timeout.as_secs_f64(),
            doing: progress.current(),
            state: blocked_state(pid),
        })
    })
}

fn report(attached: &Attached<'_>, options: &StackOptions, progress: &Progress) -> Result<TasksReport, StackError> {
    let Attached { process, modules, memory, runtime, tasks, facts } = attached;
    progress.at("reading asyncio's tasks");
    let snapshot_options = SnapshotOptions {
        pause: options.pause,
        max_pause: options.max_pause,
        tasks: if options.waits { Reading::StatAndActivity } else { Reading::Stat },
        values: None,
    };
    let (snapshot, asyncio) = attached.snapshot_with_asyncio(snapshot_options)?.split();
    progress.at("reading /proc/PID/task, and what threads wait for");
    let waits = match options.waits {
        true => explain(process.pid, facts, modules, memory, runtime, &snapshot),
        false => Waits::default(),
    };
    let states: Vec<_> = snapshot.world.threads().map(|thread| (thread.address, thread.ident)).collect();
    let stack = super::build::build(process.pid, facts, runtime, tasks, snapshot, waits, false);
    let mut report = build::build(stack, &states, runtime, asyncio);
    if options.waits {
        progress.at("looking up sockets in /proc");
        peers::add(&mut report, process.pid);
    }
    if !report.is_complete() && !process.is_alive() {
        return Err(OsError::Gone(process.pid).into());
    }
    Ok(report)
}
