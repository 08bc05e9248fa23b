//! asyncio's tasks: which there are, what each waits for, and who waits for whom.

mod build;
pub(super) mod graph;
pub(super) mod model;

pub use model::{AwaitKind, Awaiting, CreatedAt, EventLoop, ObjectId, Task, TaskException, TaskState, TasksReport};

use super::attach::{Attached, attach};
use super::stack::{StackError, StackOptions, blocked_state};
use super::wait::{Waits, descriptors, explain};
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
        name_sockets(process.pid, &mut report);
    }
    if !report.is_complete() && !process.is_alive() {
        return Err(OsError::Gone(process.pid).into());
    }
    Ok(report)
}

/// Has waits for descriptors say what those refer to.
fn name_sockets(pid: i32, report: &mut TasksReport) {
    let waits = || report.tasks.iter().filter_map(|task| Some((task.tid, task.awaiting.as_ref()?.fd?)));
    let Some(tid) = waits().find_map(|(tid, _)| tid) else { return };
    let fds = waits().map(|(_, fd)| fd).collect();
    let known = descriptors(pid, tid, &fds);
    for awaiting in report.tasks.iter_mut().filter_map(|task| task.awaiting.as_mut()) {
        let Some((fd, found)) = awaiting.fd.and_then(|fd| Some((fd, known.get(&fd)?))) else { continue };
        // A name before it may look like it; the descriptor itself comes last.
        let name = format!("fd {fd}");
        let is_whole = |rest: &str| !rest.starts_with(|c: char| c.is_ascii_digit());
        if let Some((before, rest)) = awaiting.text.rsplit_once(&name).filter(|(_, rest)| is_whole(rest)) {
            awaiting.text = format!("{before}{name}{}{rest}", found.words);
        }
        awaiting.peer.clone_from(&found.wait.peer);
    }
}
