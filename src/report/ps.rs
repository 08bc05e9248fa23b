//! All Python processes that may be seen.
//!
//! A process is recognised by what it maps, not by its name: hundreds of others cost their list of mappings and a look into a
//! table of files that were seen before. Each has a deadline of its own, as one that sleeps uninterruptibly may hold up
//! whoever reads of it.

use super::stack::{StackError, find_error};
use super::tree::arrange;
use crate::base::{Problem, ProblemKind};
use crate::cpython::{FindError, KnownFiles, LayoutChoice, Runtime, find, find_in_files, is_named_python};
use crate::os::processes::{Stat, command_line, identity, pids, uptime, user_names};
use crate::os::{Cgroup, OsError, Process, each_with_deadline, with_deadline};
use serde::Serialize;
use std::time::Duration;

/// Name and version of the schema.
const PS_SCHEMA: &str = "pyattach.ps/1";

/// Longest time for the names of users, whose file may lie on a file system that hangs.
const NAMES_TIME: Duration = Duration::from_secs(1);

/// How to list.
#[derive(Clone, Copy, Debug)]
pub struct PsOptions {
    /// Longest time for one process.
    pub each: Duration,
    /// Longest time for all of them.
    pub timeout: Duration,
}

impl Default for PsOptions {
    fn default() -> PsOptions {
        PsOptions { each: Duration::from_secs(5), timeout: Duration::from_secs(30) }
    }
}

/// The list.
#[derive(Clone, Debug, Serialize)]
pub struct PsReport {
    /// `pyattach.ps/1`: name and version of the schema.
    pub schema: &'static str,
    /// The Python processes: below each its Python children, both in the order of their PIDs.
    pub processes: Vec<PsProcess>,
    /// Processes of which nothing could be told, as the kernel refused to show what they map.
    pub unseen_count: usize,
    /// What could not be read of the list as a whole.
    pub problems: Vec<Problem>,
}

/// A Python process.
#[derive(Clone, Debug, Default, Serialize)]
pub struct PsProcess {
    /// Its PID as pyattach sees it.
    pub pid: i32,
    /// PIDs from pyattach's PID namespace inwards.
    pub ns_pids: Vec<i32>,
    /// Its parent, of whatever kind.
    pub parent_pid: i32,
    /// The nearest Python process above it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub python_parent_pid: Option<i32>,
    /// Python processes above it.
    pub depth: usize,
    /// Its Python in words: `CPython 3.12.1`, `PyPy`. Null when that could not be read.
    pub runtime: Option<String>,
    /// Its Python, when it is one that pyattach reads.
    pub python: Option<PsPython>,
    /// How many threads it has.
    pub threads: u64,
    /// State letter of its main thread.
    pub state: String,
    /// CPU time of all its threads, in seconds.
    pub cpu_seconds: f64,
    /// Resident memory in bytes.
    pub rss_bytes: u64,
    /// Time since it started, in seconds.
    pub age_seconds: Option<f64>,
    /// Its effective user id.
    pub uid: Option<u32>,
    /// The name of that user here.
    pub user: Option<String>,
    /// Its container or service, as far as its control groups tell.
    #[serde(skip_serializing_if = "Cgroup::is_empty")]
    pub cgroup: Cgroup,
    /// The kernel's name for it.
    pub name: String,
    /// Path of its executable in its own root.
    pub exe: Option<String>,
    /// Command line.
    pub cmdline: Vec<String>,
    /// Why its Python could not be read.
    pub problems: Vec<Problem>,
}

/// A Python that pyattach reads.
#[derive(Clone, Debug, Serialize)]
pub struct PsPython {
    /// `3.12.1`.
    pub version: String,
    /// Built without the GIL.
    pub free_threaded: bool,
    /// Built with `--with-pydebug`.
    pub debug_build: bool,
    /// The file that holds the interpreter, in the root of the process.
    pub module: String,
}

impl PsReport {
    /// False when a process that looks like Python could not be read. That the kernel hides others' processes is no failure.
    pub fn is_complete(&self) -> bool {
        let fine = |problems: &[Problem]| problems.iter().all(|p| p.kind == ProblemKind::Note);
        fine(&self.problems) && self.processes.iter().all(|process| fine(&process.problems))
    }
}

/// What became of looking at one process.
enum Look {
    /// No Python, or gone.
    Other,
    /// What it maps is not shown, and it does not look like Python otherwise.
    Unseen,
    Python(Box<PsProcess>),
}

/// Lists the Python processes.
///
/// # Errors
/// When `/proc` cannot be listed.
pub fn ps(options: &PsOptions) -> Result<PsReport, OsError> {
    let pids = pids().map_err(|source| OsError::Proc { what: "/proc".to_owned(), source })?;
    let files = KnownFiles::default();
    let up = uptime();
    let looks = each_with_deadline(pids.clone(), options.each, options.timeout, move |pid| look(*pid, &files, up));
    let mut report = PsReport { schema: PS_SCHEMA, processes: Vec::new(), unseen_count: 0, problems: Vec::new() };
    for (pid, look) in pids.into_iter().zip(looks) {
        match look {
            Some(Look::Other) => {}
            Some(Look::Unseen) => report.unseen_count += 1,
            Some(Look::Python(process)) => report.processes.push(*process),
            None => late(pid, up, options, &mut report),
        }
    }
    name_users(&mut report.processes);
    report.processes = arrange(report.processes, |pid| Stat::read(pid).map(|stat| stat.parent));
    Ok(report)
}

/// A process that did not answer in time: all that does not block, and why the rest is missing.
fn late(pid: i32, up: Option<Duration>, options: &PsOptions, report: &mut PsReport) {
    let Some(stat) = Stat::read(pid).filter(|stat| !stat.has_ended()) else { return };
    let known = stat.clone();
    let process = with_deadline(options.each, move || facts(pid, &known, up));
    let mut process = process.unwrap_or_else(|| PsProcess { pid, name: stat.name.clone(), ..PsProcess::default() });
    let state = process.state.clone();
    let seconds = options.each.as_secs_f64();
    let message = format!("it was not read in time ({seconds} s); it is in state {state}");
    if is_named_python(&stat.name) || process.exe.as_deref().is_some_and(is_named_python) {
        process.problems.push(Problem::new(ProblemKind::Unreadable, message));
        report.processes.push(process);
    } else {
        report
            .problems
            .push(Problem::new(ProblemKind::Unreadable, format!("process {pid} ({}): {message}", stat.name)));
    }
}

/// What is read without blocking, but for the links of `/proc`.
fn facts(pid: i32, stat: &Stat, up: Option<Duration>) -> PsProcess {
    let (ns_pids, uid) = identity(pid);
    PsProcess {
        pid,
        ns_pids,
        parent_pid: stat.parent,
        threads: stat.threads,
        state: stat.state.to_string(),
        cpu_seconds: stat.cpu().as_secs_f64(),
        rss_bytes: stat.resident_bytes(),
        age_seconds: up.map(|up| stat.age(up).as_secs_f64()),
        uid,
        cgroup: Cgroup::read(pid),
        name: stat.name.clone(),
        exe: Process::open(pid).ok().and_then(|process| process.exe()),
        ..PsProcess::default()
    }
}

fn look(pid: i32, files: &KnownFiles, up: Option<Duration>) -> Look {
    let Some(stat) = Stat::read(pid).filter(|stat| !stat.is_kernel && !stat.has_ended()) else { return Look::Other };
    let Ok(process) = Process::open(pid) else { return Look::Other };
    let memory = process.memory();
    let found = match process.modules() {
        Err(error) => Err(error.into()),
        Ok(modules) => match files.may_hold_python(&process, &modules, &memory) {
            true => match find_in_files(&process, &modules, &memory, LayoutChoice::Auto) {
                // Only where the name promises one is it worth while to look through its memory.
                Err(FindError::NotPython { exe }) if is_named_python(&exe) => {
                    find(&process, &modules, &memory, LayoutChoice::Auto)
                }
                result => result,
            },
            false => return Look::Other,
        },
    };
    let is_denied = matches!(found, Err(FindError::Os(OsError::Denied { .. })));
    let is_other = matches!(found, Err(FindError::NotPython { .. } | FindError::Os(OsError::Gone(_))));
    if is_other || !process.is_alive() {
        return Look::Other;
    }
    let cmdline = command_line(pid);
    let looks_like_python = || is_named_python(&stat.name) || cmdline.first().is_some_and(|word| is_named_python(word));
    if is_denied && !looks_like_python() {
        return Look::Unseen;
    }
    let mut row = PsProcess { cmdline, ..facts(pid, &stat, up) };
    match found {
        Ok(runtime) => {
            row.runtime = Some(in_words(&runtime));
            row.python = Some(PsPython {
                version: runtime.version.to_string(),
                free_threaded: runtime.free_threaded,
                debug_build: runtime.debug_build,
                module: runtime.module,
            });
        }
        Err(error) => not_read(&mut row, pid, error),
    }
    Look::Python(Box::new(row))
}

/// What is known of a Python that pyattach does not read. That it does not is a note; that it could not is a problem.
fn not_read(row: &mut PsProcess, pid: i32, error: FindError) {
    let kind = match &error {
        FindError::Unsupported { what } => {
            row.runtime = Some(what.clone());
            ProblemKind::Note
        }
        FindError::ThirtyTwoBit => {
            row.runtime = Some("32-bit".to_owned());
            ProblemKind::Note
        }
        FindError::NotInitialised { .. } | FindError::ShutDown { .. } => ProblemKind::Note,
        _ => ProblemKind::Unreadable,
    };
    let message = match find_error(pid, error) {
        StackError::Find { source, .. } => source.to_string(),
        error => error.to_string(),
    };
    row.problems.push(Problem::new(kind, message));
}

fn in_words(runtime: &Runtime) -> String {
    let traits = [(runtime.free_threaded, " free-threaded"), (runtime.debug_build, " debug")];
    let traits: String = traits.iter().filter(|(has, _)| *has).map(|(_, word)| *word).collect();
    format!("CPython {}{traits}", runtime.version)
}

fn name_users(processes: &mut [PsProcess]) {
    let names = with_deadline(NAMES_TIME, user_names).unwrap_or_default();
    for process in processes {
        process.user = process.uid.and_then(|uid| names.get(&uid).cloned());
    }
}
