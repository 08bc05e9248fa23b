//! What became of a script, as data: what `--json` prints. The schema is `docs/schema/exec.schema.json`.

use crate::base::Problem;
use crate::report::StackReport;
use serde::Serialize;
use serde_json::value::RawValue;

/// Name and version of the schema.
pub(super) const EXEC_SCHEMA: &str = "pyattach.exec/1";

/// What became of a script.
#[derive(Clone, Debug, Serialize)]
pub struct ExecReport {
    /// `pyattach.exec/1`: name and version of the schema.
    pub schema: &'static str,
    /// The process.
    pub pid: i32,
    /// How it ended.
    pub status: ExecStatus,
    /// Why it did not run, or not to its end, in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Which way it got to run: see [`crate::inject::Route`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub route: Option<&'static str>,
    /// Why that way, in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// What would have been written into the process: with a dry run only.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub would: Vec<String>,
    /// The thread that ran it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub thread: Option<ExecThread>,
    /// From the beginning until it started, or until that was given up, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waited_ms: Option<f64>,
    /// How long it ran, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ran_ms: Option<f64>,
    /// For how long the thread that was borrowed stood still, in microseconds, all stops together.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub paused_us: Option<u64>,
    /// What it printed.
    pub stdout: String,
    /// What it printed to `sys.stderr`.
    pub stderr: String,
    /// It printed more than is kept.
    pub output_cut: bool,
    /// The exception that ended it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exception: Option<ExecException>,
    /// What it gave to `SystemExit`: a number as such, anything else as text; absent when it ended otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exit: Option<ExecExit>,
    /// The value of an expression.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub result: Option<ExecResult>,
    /// Signals whose handlers ended the script, and which were sent to the application again.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub signals: Vec<i32>,
    /// Where the target's threads are, when it did not start in time or is still running: a document of `pyattach.stack/1`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stack: Option<Box<StackReport>>,
    /// What could not be read or proved.
    pub problems: Vec<Problem>,
}

/// How a script ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ExecStatus {
    /// To its end.
    Ok,
    /// By an exception.
    Exception,
    /// By `SystemExit`.
    Exit,
    /// It did not start in time, or waiting was ended; the request was withdrawn, and it will not run.
    NotStarted,
    /// It runs on, unobserved.
    StillRunning,
    /// It may not run in this process.
    Refused,
    /// The process ended while it ran.
    Gone,
    /// Nothing was to be run: a dry run.
    Planned,
}

impl ExecStatus {
    /// Its name in JSON.
    pub fn name(self) -> &'static str {
        match self {
            ExecStatus::Ok => "ok",
            ExecStatus::Exception => "exception",
            ExecStatus::Exit => "exit",
            ExecStatus::NotStarted => "not_started",
            ExecStatus::StillRunning => "still_running",
            ExecStatus::Refused => "refused",
            ExecStatus::Gone => "gone",
            ExecStatus::Planned => "planned",
        }
    }
}

/// A thread.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ExecThread {
    /// The kernel's id of it, as pyattach sees it.
    pub tid: Option<i32>,
    /// `threading.get_ident()`.
    pub ident: Option<String>,
    /// Its name, where `threading` knows it.
    pub name: Option<String>,
}

/// An exception.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ExecException {
    /// Its class, with the module unless that is builtin.
    #[serde(rename = "type")]
    pub kind: String,
    /// `str()` of it.
    pub message: String,
    /// As Python prints it, causes first.
    pub traceback: String,
}

/// What a script gave to `SystemExit`.
#[derive(Clone, Debug, Serialize)]
pub struct ExecExit {
    /// Its number, 0 for none given. Absent for a text.
    pub code: Option<i64>,
    /// What Python would print.
    pub message: Option<String>,
}

/// A value.
#[derive(Clone, Debug, Serialize)]
pub struct ExecResult {
    /// Its type, with the module unless that is builtin.
    #[serde(rename = "type")]
    pub kind: String,
    /// `repr()` of it, the first 65,536 characters.
    pub repr: String,
    /// Characters of all of its `repr()`.
    pub repr_chars: u64,
    /// The value itself, when it consists of what JSON has, and is not too large.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<Box<RawValue>>,
}

impl ExecReport {
    /// Of a script of which nothing is known yet.
    pub(super) fn new(pid: i32) -> ExecReport {
        ExecReport {
            schema: EXEC_SCHEMA,
            pid,
            status: ExecStatus::NotStarted,
            reason: None,
            route: None,
            why: None,
            would: Vec::new(),
            thread: None,
            waited_ms: None,
            ran_ms: None,
            paused_us: None,
            stdout: String::new(),
            stderr: String::new(),
            output_cut: false,
            exception: None,
            exit: None,
            result: None,
            signals: Vec::new(),
            stack: None,
            problems: Vec::new(),
        }
    }
}
