//! Failures as a person sees them: what happened, why, what helps; and the exit code that tells a program.

use crate::cpython::FindError;
use crate::os::OsError;
use crate::report::StackError;
use std::io::{self, Write};
use std::process::ExitCode;

/// Exit codes; part of the interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Exit {
    /// All that was asked for.
    Complete = 0,
    /// Something failed that no other code names.
    Failure = 1,
    /// The arguments make no sense.
    Usage = 2,
    /// Access was refused.
    Permission = 3,
    /// No such process, or not Python.
    NoPython = 4,
    /// A Python that cannot be read.
    Unsupported = 5,
    /// The report is there, but something in it is missing or not proved.
    Partial = 6,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(exit as u8)
    }
}

/// Standard output could not be written.
#[derive(Debug, thiserror::Error)]
#[error("writing the output: {0}")]
struct OutputError(#[source] io::Error);

/// Why a command failed.
#[derive(Debug)]
pub(super) struct Failure {
    exit: Exit,
    error: anyhow::Error,
    hint: Option<String>,
}

impl Failure {
    /// Standard output could not be written.
    pub(super) fn output(error: io::Error) -> Failure {
        Failure { exit: Exit::Failure, error: anyhow::Error::new(OutputError(error)), hint: None }
    }

    /// Nothing in the report answers the question.
    pub(super) fn nothing_matches(message: String) -> Failure {
        Failure { exit: Exit::Failure, error: anyhow::anyhow!(message), hint: None }
    }

    /// True when whoever reads our output has stopped reading.
    pub(super) fn is_closed_pipe(&self) -> bool {
        let kind = |error: &io::Error| error.kind() == io::ErrorKind::BrokenPipe;
        self.error.chain().any(|cause| cause.downcast_ref::<io::Error>().is_some_and(kind))
    }

    /// The exit code.
    pub(super) fn exit(&self) -> Exit {
        self.exit
    }

    /// Writes it for people.
    pub(super) fn print(&self, out: &mut dyn Write) {
        // Every error of ours says its cause itself.
        let message = self.error.to_string();
        let _ = writeln!(out, "pyattach: {}", crate::base::display_safe(&message));
        if let Some(hint) = &self.hint {
            let _ = writeln!(out, "hint: {hint}");
        }
    }
}

impl From<StackError> for Failure {
    fn from(error: StackError) -> Failure {
        let (exit, hint) = match &error {
            StackError::Process(os) => os_failure(os),
            StackError::Find { source, .. } => find_failure(source),
            StackError::Snapshot { .. } => {
                (Exit::Failure, Some("it may be starting up or shutting down: try again".to_owned()))
            }
            _ => (Exit::Failure, None),
        };
        Failure { exit, error: error.into(), hint }
    }
}

fn os_failure(error: &OsError) -> (Exit, Option<String>) {
    match error {
        OsError::Denied { refusal, .. } => (Exit::Permission, Some(refusal.advice().join("\nhint: "))),
        OsError::IsThread { tid, pid } => (
            Exit::NoPython,
            Some(format!("give the process, and choose the thread: pyattach stack {pid} --thread {tid}")),
        ),
        OsError::Proc { .. } => (Exit::Failure, None),
        _ => (Exit::NoPython, None),
    }
}

fn find_failure(error: &FindError) -> (Exit, Option<String>) {
    match error {
        FindError::Unsupported { .. } | FindError::ThirtyTwoBit => (Exit::Unsupported, None),
        FindError::Misfit { .. } => (
            Exit::Unsupported,
            Some("debug information for this very build (a -dbg or debuginfo package) would tell pyattach where things are".to_owned()),
        ),
        FindError::Os(os) => os_failure(os),
        _ => (Exit::NoPython, None),
    }
}
