//! What stands between pyattach and a process: each layer looked at, and whether the interpreter is found behind them.

use super::build::{process_report, python_report};
use super::model::{ProcessReport, PythonReport};
use super::stack::blocked_state;
use crate::cpython::{FindError, LayoutChoice, Runtime, find};
use crate::os::{Cgroup, Check, Layer, OsError, Process, Verdict, absent, checks, with_deadline};
use serde::Serialize;
use std::time::Duration;

/// Name and version of the schema.
const DOCTOR_SCHEMA: &str = "pyattach.doctor/1";

/// What follows from all checks together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Diagnosis {
    /// Nothing stands in the way.
    Fine,
    /// Stacks can be read, with a limit that is said.
    Limits,
    /// A layer refuses.
    Refused,
    /// There is no such process here, or it has ended.
    NoProcess,
    /// It does not run Python, or not yet.
    NotPython,
    /// It runs a Python that is not supported.
    Unsupported,
    /// It could not be found out.
    Unknown,
}

/// The findings.
#[derive(Clone, Debug, Serialize)]
pub struct DoctorReport {
    /// `pyattach.doctor/1`: name and version of the schema.
    pub schema: &'static str,
    /// The PID that was asked for.
    pub pid: i32,
    /// What follows from all checks together.
    pub diagnosis: Diagnosis,
    /// The process, when it is there.
    pub process: Option<ProcessReport>,
    /// Its interpreter, when that was found.
    pub python: Option<PythonReport>,
    /// All that was looked at, in the order in which it matters.
    pub checks: Vec<Check>,
}

/// Looks at everything, for `timeout` at the most.
pub fn doctor(pid: i32, timeout: Duration) -> DoctorReport {
    let process = match Process::open(pid) {
        Ok(process) => process,
        Err(error) => return unreachable(pid, &error),
    };
    let examined = with_deadline(timeout, move || examine(&process));
    examined.unwrap_or_else(|| {
        let seen = format!("it did not answer within {} s{}", timeout.as_secs_f64(), blocked_state(pid));
        report(pid, Diagnosis::Unknown, vec![Check::new(Layer::State, Verdict::Unknown, seen)])
    })
}

fn report(pid: i32, diagnosis: Diagnosis, checks: Vec<Check>) -> DoctorReport {
    DoctorReport { schema: DOCTOR_SCHEMA, pid, diagnosis, process: None, python: None, checks }
}

fn unreachable(pid: i32, error: &OsError) -> DoctorReport {
    let (diagnosis, check) = match error {
        OsError::NoSuchProcess(_) => return report(pid, Diagnosis::NoProcess, absent(pid).checks),
        OsError::IsThread { pid, .. } => {
            (Diagnosis::NoProcess, vec![format!("give the process: pyattach doctor {pid}")])
        }
        OsError::KernelThread { .. } => (Diagnosis::NotPython, Vec::new()),
        _ => (Diagnosis::NoProcess, Vec::new()),
    };
    report(pid, diagnosis, vec![Check::new(Layer::Process, Verdict::Refuses, error.to_string()).with(check)])
}

fn examine(process: &Process) -> DoctorReport {
    let pid = process.pid;
    let facts = process.facts();
    let mut all = vec![Check::new(Layer::Process, Verdict::Fine, described(pid, &facts.ns_pids))];
    all.extend(checks(pid));
    let refuses = |check: &Check| check.verdict == Verdict::Refuses;
    let mut python = None;
    let mut diagnosis = Diagnosis::Refused;
    if !all.iter().any(refuses) {
        let (found, check) = interpreter(process);
        (python, diagnosis) = match found {
            Ok(runtime) => (Some(python_report(&runtime)), Diagnosis::Fine),
            Err(error) => (None, of_find_error(&error)),
        };
        all.push(check);
    }
    if diagnosis == Diagnosis::Fine && all.iter().any(|check| check.verdict == Verdict::Limits) {
        diagnosis = Diagnosis::Limits;
    }
    DoctorReport { process: Some(process_report(pid, &facts)), python, ..report(pid, diagnosis, all) }
}

/// The process in words: number, number inside, container.
fn described(pid: i32, ns_pids: &[i32]) -> String {
    let mut words = vec![format!("process {pid} is there")];
    if let [_, .., inside] = ns_pids {
        words.push(format!("it is {inside} inside its PID namespace"));
    }
    let cgroup = Cgroup::read(pid);
    if let (Some(engine), Some(id)) = (cgroup.engine, &cgroup.container_id) {
        words.push(format!("its control group is that of {engine} container {id}"));
    }
    if let Some(unit) = &cgroup.unit {
        words.push(format!("it belongs to {unit}"));
    }
    words.join("; ")
}

fn interpreter(process: &Process) -> (Result<Runtime, FindError>, Check) {
    let memory = process.memory();
    let modules = process.modules().map_err(FindError::from);
    let found = modules.and_then(|modules| find(process, &modules, &memory, LayoutChoice::Auto));
    let check = match &found {
        Ok(runtime) => Check::new(
            Layer::Interpreter,
            Verdict::Fine,
            format!(
                "CPython {} in {}, found by {}; layout: {}",
                runtime.version, runtime.module, runtime.found_by, runtime.layout_source
            ),
        ),
        Err(error) => Check::new(Layer::Interpreter, Verdict::Refuses, error.to_string()).with(advice(error)),
    };
    (found, check)
}

fn advice(error: &FindError) -> Vec<String> {
    let advice = match error {
        FindError::Misfit { .. } => {
            "install debug information for this very build (a -dbg or debuginfo package), which tells where things are"
        }
        FindError::NotInitialised { .. } => "try again when it is up",
        FindError::NotPython { .. } | FindError::ShutDown { .. } => "list the Python processes: pyattach ps",
        FindError::Os(OsError::Denied { refusal, .. }) => return refusal.advice(),
        _ => return Vec::new(),
    };
    vec![advice.to_owned()]
}

fn of_find_error(error: &FindError) -> Diagnosis {
    match error {
        FindError::Unsupported { .. } | FindError::ThirtyTwoBit | FindError::Misfit { .. } => Diagnosis::Unsupported,
        FindError::NotPython { .. } | FindError::NotInitialised { .. } | FindError::ShutDown { .. } => {
            Diagnosis::NotPython
        }
        FindError::Os(OsError::Denied { .. }) => Diagnosis::Refused,
        FindError::Os(OsError::Gone(_) | OsError::NoSuchProcess(_)) => Diagnosis::NoProcess,
        _ => Diagnosis::Unknown,
    }
}
