//! Scripts in processes of every state: each cell says whether the script runs, in which thread, by which routes, and the process
//! says afterwards that nothing is different. One run of each; `PYATTACH_EXEC_RUNS=100` makes it more, and prints how many ran.

use std::collections::BTreeSet;
use std::process::Command;

use nix::libc;
use serde_json::Value;

use crate::exec_uvloop::{self, Library};
use crate::support::registry::Interpreter;
use crate::support::stage::Stage;
use crate::support::target::{self, Target};
use crate::support::{Failed, Outcome, attach, ensure, kernel};

/// What a cell expects.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Expect {
    /// The main thread runs it.
    Main,
    /// A thread that was made for it runs it.
    NewThread,
}

/// A state of the main thread.
pub(crate) struct State {
    /// Its name in exec_states.py.
    pub(crate) name: &'static str,
    /// The system calls in which it is when it is there; none for one that runs.
    blocked_in: &'static [i64],
    expect: Expect,
    routes: &'static [&'static str],
    /// It never ends by itself or by command.
    endless: bool,
}

/// On top of a call that CPython's own code made; from 3.14 on CPython's own protocol does as well.
const IN_CALL: &[&str] = &["signal_frame", "remote_debugger_woken", "remote_debugger"];
const IN_LOCK: &[&str] = &["pending_call_woken", "pending_call"];
const RUNNING: &[&str] = &["pending_call", "remote_debugger"];
/// Where the main thread is now here, now there.
const ANY: &[&str] =
    &["pending_call", "pending_call_woken", "signal_frame", "remote_debugger", "remote_debugger_woken"];

impl State {
    /// False where an interpreter cannot have it.
    pub(crate) fn exists(&self, interpreter: &Interpreter) -> bool {
        self.name != "uvloop" || exec_uvloop::exists(interpreter)
    }

    /// True when nothing ends it.
    pub(crate) fn is_endless(&self) -> bool {
        self.endless
    }
}

const fn blocked(name: &'static str, blocked_in: &'static [i64], routes: &'static [&'static str]) -> State {
    State { name, blocked_in, expect: Expect::Main, routes, endless: false }
}

const fn running(name: &'static str, routes: &'static [&'static str]) -> State {
    State { name, blocked_in: &[], expect: Expect::Main, routes, endless: false }
}

const FUTEX: &[i64] = &[libc::SYS_futex];

pub(crate) const STATES: &[State] = &[
    running("busy", RUNNING),
    running("contention", ANY),
    running("malloc", ANY),
    running("c_holds_gil", RUNNING),
    running("fork", ANY),
    running("signals", RUNNING),
    blocked("sleep", &[libc::SYS_clock_nanosleep, libc::SYS_nanosleep, libc::SYS_select, libc::SYS_pselect6], IN_CALL),
    blocked("recv", &[libc::SYS_recvfrom], IN_CALL),
    blocked("recv_timeout", &[libc::SYS_poll, libc::SYS_ppoll], IN_CALL),
    blocked("accept", &[libc::SYS_accept4, libc::SYS_accept], IN_CALL),
    blocked("read_pipe", &[libc::SYS_read], IN_CALL),
    blocked("select", &[libc::SYS_select, libc::SYS_pselect6], IN_CALL),
    blocked("poll", &[libc::SYS_poll, libc::SYS_ppoll], IN_CALL),
    blocked("epoll", &[libc::SYS_epoll_wait, libc::SYS_epoll_pwait], IN_CALL),
    blocked("asyncio", &[libc::SYS_epoll_wait, libc::SYS_epoll_pwait], IN_CALL),
    blocked("lock", FUTEX, IN_LOCK),
    blocked("lock_timeout", FUTEX, IN_LOCK),
    blocked("rlock", FUTEX, IN_LOCK),
    blocked("condition", FUTEX, IN_LOCK),
    blocked("event", FUTEX, IN_LOCK),
    blocked("queue", FUTEX, IN_LOCK),
    blocked("join", FUTEX, IN_LOCK),
    blocked("waitpid", &[libc::SYS_wait4], IN_CALL),
    State {
        name: "uvloop",
        blocked_in: &[libc::SYS_epoll_wait, libc::SYS_epoll_pwait],
        expect: Expect::NewThread,
        routes: &["new_thread"],
        endless: false,
    },
    State {
        name: "c_released",
        blocked_in: &[libc::SYS_poll, libc::SYS_ppoll],
        expect: Expect::NewThread,
        routes: &["new_thread"],
        endless: true,
    },
];

/// How many scripts are run in one process.
fn runs() -> usize {
    std::env::var("PYATTACH_EXEC_RUNS").ok().and_then(|text| text.parse().ok()).unwrap_or(1)
}

/// What each script does: it counts itself, and says where it runs.
const SCRIPT: &str = "\
import os, sys, _thread, threading
main = sys.modules['__main__']
main.ran += 1
main.ran_in.append(os.getpid())
print('main' if threading.main_thread().ident == _thread.get_ident() else 'other', main.ran)
";

/// Runs a script in the process and gives the report.
pub(crate) fn exec(pid: i32, arguments: &[&str]) -> Result<Value, Failed> {
    let mut command = Command::new(attach::BINARY);
    let arguments = if arguments.is_empty() { &["--timeout", "40"] } else { arguments };
    command.args(["exec", "--json"]).args(arguments).arg(pid.to_string()).args(["-c", SCRIPT]);
    let answer = attach::run(command)?;
    let report = answer.json()?;
    attach::validate_by("exec", &report)?;
    Ok(report)
}

/// What the kernel says of the process that must be as before.
#[derive(Debug, PartialEq)]
struct Outside {
    descriptors: BTreeSet<String>,
    threads: usize,
    masks: Vec<String>,
    ours: Vec<String>,
}

impl Outside {
    fn of(pid: i32) -> Result<Outside, Failed> {
        let mut descriptors = BTreeSet::new();
        for entry in std::fs::read_dir(format!("/proc/{pid}/fd"))? {
            descriptors.insert(entry?.file_name().to_string_lossy().into_owned());
        }
        let maps = std::fs::read_to_string(format!("/proc/{pid}/maps"))?;
        let masks = ["SigBlk", "SigIgn", "SigCgt"].map(|field| kernel::status(pid, pid, field));
        Ok(Outside {
            descriptors,
            threads: kernel::threads(pid)?.len(),
            masks: masks.into_iter().collect::<Result<_, _>>()?,
            ours: maps.lines().filter(|line| line.contains("pyattach")).map(str::to_owned).collect(),
        })
    }
}

/// A cell whose process is in place.
pub(crate) struct Cell<'a> {
    pub(crate) state: &'a State,
    /// The interpreter's name.
    pub(crate) name: &'a str,
    pub(crate) pid: i32,
}

impl Cell<'_> {
    fn is_there(&self) -> Result<bool, Failed> {
        let call = kernel::system_call(self.pid, self.pid)?.map(|(number, _)| number as i64);
        // A call that was interrupted may go on under another name.
        Ok(call.is_some_and(|number| self.state.blocked_in.contains(&number) || number == libc::SYS_restart_syscall))
    }

    /// Runs the scripts, and fails unless all is from outside as it was.
    pub(crate) fn run_scripts(&self) -> Outcome {
        let Cell { state, pid, .. } = *self;
        if !state.blocked_in.is_empty() {
            kernel::wait_until(state.name, || self.is_there())?;
        }
        let before = Outside::of(pid)?;
        let mut routes = BTreeSet::new();
        for count in 1..=runs() {
            let report = exec(pid, &[])?;
            ensure!(report["status"] == "ok", "run {count}: {report}");
            let place = if state.expect == Expect::Main { "main" } else { "other" };
            ensure!(report["stdout"] == format!("{place} {count}\n"), "run {count}: {report}");
            let route = report["route"].as_str().unwrap_or_default();
            // A state that is over by itself leaves a loop that sleeps.
            ensure!(state.routes.contains(&route) || ANY.contains(&route) && count > 1, "run {count}: {report}");
            routes.insert(route.to_owned());
        }
        // The last instructions are still to be run when the script's end is seen.
        kernel::wait_until("the state of before", || {
            let now = Outside::of(pid)?;
            Ok(now == before || (state.name == "fork" && now.ours.is_empty() && now.descriptors == before.descriptors))
        })?;
        kernel::ensure_left_alone(pid)?;
        ensure!(!state.endless || self.is_there()?, "it is no longer where it was");
        if runs() > 1 {
            eprintln!("{} {}: {} of {} ran, by {routes:?}", self.name, state.name, runs(), runs());
        }
        Ok(())
    }
}

/// One cell.
pub(crate) fn run(state: &State, interpreter: &Interpreter, stage: &Stage) -> Outcome {
    let mut command = target::python(interpreter);
    command.arg(stage.inside("exec_states.py")).arg(state.name);
    let library = if state.name == "uvloop" { Some(Library::of(interpreter)?) } else { None };
    if let Some(library) = &library {
        command.env("PYTHONPATH", &library.inside);
    }
    let mut target = Target::spawn(command)?;
    Cell { state, name: &interpreter.name, pid: target.pid }.run_scripts()?;
    if state.endless {
        return Ok(());
    }
    target.tell("end\n")?;
    ensure_unchanged(&serde_json::from_str(&target.line()?)?)?;
    let ended = target.finish()?;
    ensure!(ended.success(), "it ended with {ended}");
    Ok(())
}

/// Fails unless the process says that each script ran once, and that all is as it was.
pub(crate) fn ensure_unchanged(said: &Value) -> Outcome {
    ensure!(said["value"] == said["expected"], "what was interrupted gave {said}");
    ensure!(said["ran"] == runs(), "not each ran once: {said}");
    ensure!(said["changed"] == "" && said["beats"] == true, "{said}");
    ensure!(said["modules"].as_array().is_some_and(Vec::is_empty), "modules: {said}");
    Ok(())
}

/// A script in a program that has a Python inside.
pub(crate) fn in_other_program(pid: i32, place: &str, routes: &[&str]) -> Outcome {
    let script =
        "import _thread, threading\nprint('main' if threading.main_thread().ident == _thread.get_ident() else 'other')";
    let before = Outside::of(pid)?;
    for _ in 0..runs() {
        let mut command = Command::new(attach::BINARY);
        command.args(["exec", "--json", &pid.to_string(), "-c", script]);
        let report = attach::run(command)?.json()?;
        ensure!(report["stdout"] == format!("{place}\n"), "{report}");
        ensure!(report["route"].as_str().is_some_and(|route| routes.contains(&route)), "{report}");
    }
    kernel::wait_until("the state of before", || Ok(Outside::of(pid)? == before))?;
    kernel::ensure_left_alone(pid)
}
