//! What `/proc` says of a process whose memory may not be read: its threads, and which layer refuses.

use super::build::process_report;
use super::model::{ProcessReport, STACK_SCHEMA};
use crate::base::{Problem, ProblemKind, limits};
use crate::os::processes::Stat;
use crate::os::{Check, Process, Refusal, with_deadline};
use serde::Serialize;
use std::time::Duration;

/// What is left of a report when memory is closed. Its JSON is one of `pyattach.stack/1`.
#[derive(Clone, Debug, Serialize)]
pub struct RefusedReport {
    /// `pyattach.stack/1`: name and version of the schema.
    pub schema: &'static str,
    /// The process.
    pub process: ProcessReport,
    /// Its threads as the kernel counts them; which of them are Python's cannot be told.
    pub os_threads: Vec<OsThread>,
    /// The layers that refuse.
    pub refusal: Vec<Check>,
    /// That access was refused.
    pub problems: Vec<Problem>,
}

/// A thread as the kernel sees it.
#[derive(Clone, Debug, Serialize)]
pub struct OsThread {
    /// The kernel's id of it.
    pub tid: i32,
    /// The kernel's name for it.
    pub os_name: String,
    /// State letter of `/proc`.
    pub os_state: String,
    /// CPU time, in seconds.
    pub cpu_seconds: f64,
}

/// Reads what `/proc` still says; `None` when that is nothing.
pub fn refused(pid: i32, refusal: &Refusal, timeout: Duration) -> Option<RefusedReport> {
    let (process, os_threads) = with_deadline(timeout, move || {
        let process = Process::open(pid).ok()?;
        let tids = process.tasks().and_then(|tasks| tasks.ids().map_err(|_| process.denied())).ok()?;
        let thread = |tid: i32| {
            let stat = Stat::read_thread(pid, tid)?;
            let cpu_seconds = stat.cpu().as_secs_f64();
            Some(OsThread { tid, os_name: stat.name, os_state: stat.state.to_string(), cpu_seconds })
        };
        let threads: Vec<OsThread> = tids.into_iter().take(limits::THREADS).filter_map(thread).collect();
        Some((process_report(pid, &process.facts()), threads))
    })??;
    let problem = Problem::new(ProblemKind::Refused, format!("the kernel refuses access to its memory: {refusal}"));
    let report = RefusedReport {
        schema: STACK_SCHEMA,
        process,
        os_threads,
        refusal: refusal.refusing().cloned().collect(),
        problems: vec![problem],
    };
    (!report.os_threads.is_empty()).then_some(report)
}
