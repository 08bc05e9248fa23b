//! Failures as a person sees them: what happened, why, what helps; and the exit code that tells a program.

use crate::cpython::FindError;
use crate::os::{Layer, OsError, Refusal};
use crate::report::{StackError, pythons_below};
use std::io::{self, Write};
use std::process::ExitCode;

/// Processes that are offered instead of one that is no Python.
const PYTHONS_SHOWN: usize = 8;

/// Exit codes; part of the interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Exit {
    /// All that was asked for.
    Complete = 0,
    /// Something failed that no other code names.
    Failure = 1,
    /// The arguments make no sense.
    Usage = 2,
    /// Access was refused, and nothing could be shown.
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

    /// A file of this machine cannot be read.
    pub(super) fn input(name: &str, error: io::Error) -> Failure {
        Failure { exit: Exit::Failure, error: anyhow::anyhow!("{name}: {error}"), hint: None }
    }

    /// The audit line cannot be written.
    pub(super) fn audit(target: &std::path::Path, error: io::Error) -> Failure {
        Failure {
            exit: Exit::Failure,
            error: anyhow::anyhow!("the audit log {}: {error}", target.display()),
            hint: None,
        }
    }

    /// Options that do not go together.
    pub(super) fn usage(message: String) -> Failure {
        Failure { exit: Exit::Usage, error: anyhow::anyhow!(message), hint: None }
    }

    /// The same failure, when part of what was asked for has been printed.
    pub(super) fn after_a_part(self) -> Failure {
        Failure { exit: Exit::Partial, ..self }
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
        for hint in self.hint.iter().flat_map(|hint| hint.lines()) {
            let _ = writeln!(out, "hint: {}", crate::base::display_safe(hint));
        }
    }
}

impl From<StackError> for Failure {
    fn from(error: StackError) -> Failure {
        let (exit, mut hint) = stack_failure(&error);
        if let StackError::Find { pid, source: FindError::NotPython { .. } } = &error {
            hint = Some(pythons_instead(*pid));
        }
        Failure { exit, error: error.into(), hint }
    }
}

impl From<OsError> for Failure {
    fn from(error: OsError) -> Failure {
        StackError::from(error).into()
    }
}

/// The exit code for an error, and what helps.
pub(super) fn stack_failure(error: &StackError) -> (Exit, Option<String>) {
    match error {
        StackError::Process(os) => os_failure(os),
        StackError::Find { source, .. } => find_failure(source),
        StackError::Snapshot { .. } => {
            (Exit::Failure, Some("it may be starting up or shutting down: try again".to_owned()))
        }
        _ => (Exit::Failure, None),
    }
}

fn os_failure(error: &OsError) -> (Exit, Option<String>) {
    match error {
        OsError::Denied { refusal, .. } => (Exit::Permission, advice(refusal)),
        OsError::IsThread { tid, pid } => (
            Exit::NoPython,
            Some(format!("give the process, and choose the thread: pyattach stack {pid} --thread {tid}")),
        ),
        OsError::NoSuchProcess(pid) => (Exit::NoPython, Some(why_absent(*pid))),
        OsError::Proc { .. } => (Exit::Failure, None),
        _ => (Exit::NoPython, None),
    }
}

/// A line for each advice.
fn advice(refusal: &Refusal) -> Option<String> {
    let lines: Vec<String> = refusal.advice().iter().map(|line| line.replace('\n', " ")).collect();
    (!lines.is_empty()).then(|| lines.join("\n"))
}

/// What is known of a process that is not here, unless it is no more than that.
fn why_absent(pid: i32) -> String {
    let refusal = crate::os::absent(pid);
    let seen = (refusal.layer() != Some(Layer::Process)).then(|| refusal.to_string().replace('\n', " "));
    seen.into_iter().chain(advice(&refusal)).collect::<Vec<_>>().join("\n")
}

/// Often the PID is that of a shell, or of another program that started the Python that is meant.
fn pythons_instead(pid: i32) -> String {
    let below = pythons_below(pid);
    match below.as_slice() {
        [] => "pyattach ps lists the Python processes".to_owned(),
        [(python, command)] => format!("a Python runs below it: {python} ({command})"),
        _ => {
            let shown: Vec<String> = below.iter().take(PYTHONS_SHOWN).map(|(python, _)| python.to_string()).collect();
            let more = if below.len() > shown.len() { ", …" } else { "" };
            format!(
                "{} Pythons run below it: {}{more}; stack --subprocesses shows all of them",
                below.len(),
                shown.join(", ")
            )
        }
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
