//! Running a script in a process, from a PID to a report of what became of it.
//!
//! A thread of its own does everything that can block or that must be done by the tracer, and sends what happens; this side
//! hands it on, and watches the time.

mod collect;
mod follow;
mod model;
mod traceback;
mod words;
mod worker;

pub use model::{ExecException, ExecExit, ExecReport, ExecResult, ExecStatus, ExecThread};

use super::stack::{StackError, StackOptions, blocked_state, stack};
use crate::cpython::LayoutChoice;
use crate::inject::channel::Stream;
use crate::inject::{Route, Script, ThreadChoice};
use crate::os::{Process, Progress as Doing};
use collect::Collected;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant};

/// How often cancelling is looked for while nothing happens.
const TICK: Duration = Duration::from_millis(20);
/// How much longer than allowed the start may take before the thread that works on it is given up.
const GRACE: Duration = Duration::from_secs(20);

/// How to run a script.
#[derive(Clone, Debug)]
pub struct ExecOptions {
    /// Longest time until it starts. Then the request is withdrawn.
    pub start_limit: Duration,
    /// Longest time to watch it run. It runs on then.
    pub run_limit: Option<Duration>,
    /// Which thread is to run it.
    pub thread: ThreadChoice,
    /// Wait for a moment in which it may run.
    pub wait: bool,
    /// This route or none.
    pub only_route: Option<Route>,
    /// Look what would be done, and change nothing.
    pub dry_run: bool,
    /// Go on where only a system-call filter speaks against it.
    pub ignore_seccomp: bool,
    /// Which source of layouts to use.
    pub layout: LayoutChoice,
}

impl Default for ExecOptions {
    fn default() -> ExecOptions {
        ExecOptions {
            start_limit: Duration::from_secs(10),
            run_limit: None,
            thread: ThreadChoice::Auto,
            wait: true,
            only_route: None,
            dry_run: false,
            ignore_seccomp: false,
            layout: LayoutChoice::Auto,
        }
    }
}

/// What happens while a script is brought to run, and runs.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum News {
    /// Another pyattach is busy with the process.
    WaitingForTurn,
    /// The main thread was looked at.
    Looked {
        /// What follows, in words: a route and why, or what it is waited for.
        decision: String,
        /// For how long it stood still.
        paused: Duration,
    },
    /// The request is in place.
    Requested(Route),
    /// The script runs.
    Started,
    /// The script printed.
    Output(Stream, Vec<u8>),
}

/// Who watches: gets the news as they come, and can end the waiting.
pub trait Watcher {
    /// Something happened.
    fn news(&mut self, news: &News);
    /// True to end it: a request that has not been carried out is withdrawn, a script that runs is left alone.
    fn is_cancelled(&mut self) -> bool;
}

/// For those who do not watch.
impl Watcher for () {
    fn news(&mut self, _: &News) {}
    fn is_cancelled(&mut self) -> bool {
        false
    }
}

/// What the working thread sends.
enum Message {
    News(News),
    Collected(Box<Collected>),
    End(Result<worker::End, StackError>),
}

/// Runs the script.
///
/// # Errors
/// When the process cannot be reached or has no interpreter that can be read. That a script did not run, or did not end well,
/// is a report.
pub fn exec(
    pid: i32,
    script: &Script,
    options: &ExecOptions,
    watcher: &mut dyn Watcher,
) -> Result<ExecReport, StackError> {
    let process = Process::open(pid)?;
    let cancel = Arc::new(AtomicBool::new(false));
    let (sender, receiver) = channel();
    let doing = Doing::default();
    {
        let (script, asked, cancel, doing) = (script.clone(), options.clone(), Arc::clone(&cancel), doing.clone());
        let work = move || worker::run(&process, &script, &asked, &cancel, &doing, &sender);
        let spawned = std::thread::Builder::new().name("pyattach-exec".into()).spawn(work);
        if spawned.is_err() {
            return Err(timeout(pid, options.start_limit, "starting a thread"));
        }
    }
    let mut report = ExecReport::new(pid);
    let mut last_moment = Some(Instant::now() + options.start_limit + GRACE);
    let end = loop {
        match receiver.recv_timeout(TICK) {
            Ok(Message::News(news)) => {
                if matches!(news, News::Started) {
                    last_moment = None;
                }
                watcher.news(&news);
            }
            Ok(Message::Collected(collected)) => collected.put_into(&mut report, script),
            Ok(Message::End(end)) => break end?,
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return Err(timeout(pid, options.start_limit, &doing.current())),
        }
        if watcher.is_cancelled() {
            cancel.store(true, Ordering::Relaxed);
        }
        if last_moment.is_some_and(|moment| Instant::now() > moment) {
            return Err(timeout(pid, options.start_limit + GRACE, &doing.current()));
        }
    };
    end.put_into(&mut report);
    if matches!(report.status, ExecStatus::NotStarted | ExecStatus::StillRunning) {
        report.stack = stack(pid, &StackOptions { timeout: GRACE, ..StackOptions::default() }).ok().map(Box::new);
    }
    Ok(report)
}

fn timeout(pid: i32, limit: Duration, doing: &str) -> StackError {
    StackError::Timeout { seconds: limit.as_secs_f64(), doing: doing.to_owned(), state: blocked_state(pid) }
}
