//! The stacks of a process and of the Python processes below it, each with a result or an error of its own.
//!
//! They are read one after the other: each report is of one moment, all together are not.

use super::model::StackReport;
use super::refused::{RefusedReport, refused};
use super::stack::{StackError, StackOptions, stack};
use crate::cpython::{FindError, KnownFiles, is_named_python};
use crate::os::processes::{Stat, command_line, descendants};
use crate::os::{OsError, Process, each_with_deadline};
use serde::Serialize;
use std::time::Duration;

/// Name and version of the schema.
const STACKS_SCHEMA: &str = "pyattach.stacks/1";

/// Longest time to find out whether a process runs Python.
const LOOK_TIME: Duration = Duration::from_secs(5);

/// Longest time to look for what else may be meant.
const HINT_TIME: Duration = Duration::from_secs(2);

/// Stacks of several processes.
#[derive(Debug, Serialize)]
pub struct StacksReport {
    /// `pyattach.stacks/1`: name and version of the schema.
    pub schema: &'static str,
    /// The process that was asked for, and the Python processes below it, parents before their children.
    pub processes: Vec<ProcessStack>,
    /// Processes below it of which nothing could be told, as the kernel refused to show what they map.
    pub unseen_count: usize,
}

/// One process.
#[derive(Debug, Serialize)]
pub struct ProcessStack {
    /// Its PID as pyattach sees it.
    pub pid: i32,
    /// Its parent; absent for the process that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parent_pid: Option<i32>,
    /// Its stacks, or what is known without the right to read them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stack: Option<Reading>,
    /// Why it was not read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<ProcessError>,
}

/// What was read of a process.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum Reading {
    /// Its stacks.
    Stack(Box<StackReport>),
    /// What `/proc` says of it.
    Refused(Box<RefusedReport>),
}

/// Why a process was not read.
#[derive(Debug, Serialize)]
pub struct ProcessError {
    /// What it is about: `refused`, `not_python`, `unsupported`, `gone`, `timeout`, `failed`.
    pub kind: &'static str,
    /// What happened, for people.
    pub message: String,
    /// What helps.
    pub advice: Vec<String>,
    /// The error itself.
    #[serde(skip)]
    pub error: StackError,
}

impl From<StackError> for ProcessError {
    fn from(error: StackError) -> ProcessError {
        let kind = match &error {
            StackError::Process(OsError::Denied { .. }) => "refused",
            StackError::Process(OsError::Gone(_) | OsError::NoSuchProcess(_) | OsError::Zombie { .. }) => "gone",
            StackError::Process(OsError::KernelThread { .. }) => "not_python",
            StackError::Find {
                source: FindError::NotPython { .. } | FindError::NotInitialised { .. } | FindError::ShutDown { .. },
                ..
            } => "not_python",
            StackError::Find { .. } => "unsupported",
            StackError::Timeout { .. } => "timeout",
            _ => "failed",
        };
        let advice = match &error {
            StackError::Process(OsError::Denied { refusal, .. }) => refusal.advice(),
            _ => Vec::new(),
        };
        ProcessError { kind, message: error.to_string(), advice, error }
    }
}

/// Reads the stacks of a process and of all Python processes below it.
///
/// # Errors
/// When there is no such process, or the processes cannot be listed. What fails for one process stands beside it.
pub fn subprocesses(pid: i32, options: &StackOptions) -> Result<StacksReport, StackError> {
    drop(Process::open(pid)?);
    let all = descendants(pid).map_err(|source| OsError::Proc { what: "/proc".to_owned(), source })?;
    let below: Vec<(i32, i32)> = all.into_iter().filter(|(found, _)| *found != pid).collect();
    let files = KnownFiles::default();
    let looks = each_with_deadline(below.clone(), LOOK_TIME, options.timeout, move |(pid, _)| look(*pid, &files));
    let mut report = StacksReport { schema: STACKS_SCHEMA, processes: vec![read(pid, None, options)], unseen_count: 0 };
    for ((pid, parent), look) in below.into_iter().zip(looks) {
        match look {
            Some(Look::Other) => {}
            Some(Look::Unseen) => report.unseen_count += 1,
            Some(Look::Python) => report.processes.push(read(pid, Some(parent), options)),
            None => {
                let state = Stat::read(pid).map_or('?', |stat| stat.state);
                let error = StackError::Timeout {
                    seconds: LOOK_TIME.as_secs_f64(),
                    doing: format!("reading /proc/{pid}/maps"),
                    state: format!("; process {pid} is in state {state}"),
                };
                let (error, parent_pid) = (Some(error.into()), Some(parent));
                report.processes.push(ProcessStack { pid, parent_pid, stack: None, error });
            }
        }
    }
    // What ended meanwhile is not below it any more.
    report.processes.retain(|one| one.pid == pid || one.error.as_ref().is_none_or(|error| error.kind != "gone"));
    Ok(report)
}

/// The Python processes below a process, with their command lines: what may be meant where it is itself none. Those that do not
/// show in time, or cannot be looked at, are left out.
pub fn pythons_below(pid: i32) -> Vec<(i32, String)> {
    let all = descendants(pid).unwrap_or_default().into_iter().map(|(found, _)| found);
    let below: Vec<i32> = all.filter(|found| *found != pid).collect();
    let files = KnownFiles::default();
    let looks = each_with_deadline(below.clone(), HINT_TIME, HINT_TIME, move |pid| {
        matches!(look(*pid, &files), Look::Python).then(|| command_line(*pid).join(" "))
    });
    below.into_iter().zip(looks).filter_map(|(pid, look)| Some((pid, look??))).collect()
}

enum Look {
    Python,
    Other,
    Unseen,
}

fn look(pid: i32, files: &KnownFiles) -> Look {
    let Ok(process) = Process::open(pid) else { return Look::Other };
    match process.modules() {
        Ok(modules) if files.may_hold_python(&process, &modules, &process.memory()) => Look::Python,
        Ok(_) | Err(OsError::Gone(_)) => Look::Other,
        Err(_) => {
            let named = Stat::read(pid).is_some_and(|stat| is_named_python(&stat.name))
                || command_line(pid).first().is_some_and(|word| is_named_python(word));
            if named { Look::Python } else { Look::Unseen }
        }
    }
}

fn read(pid: i32, parent_pid: Option<i32>, options: &StackOptions) -> ProcessStack {
    let (stack, error) = match stack(pid, options) {
        Ok(report) => (Some(Reading::Stack(Box::new(report))), None),
        Err(error) => {
            let rest = match &error {
                StackError::Process(OsError::Denied { refusal, .. }) => refused(pid, refusal, options.timeout),
                _ => None,
            };
            (rest.map(|report| Reading::Refused(Box::new(report))), Some(error.into()))
        }
    };
    ProcessStack { pid, parent_pid, stack, error }
}
