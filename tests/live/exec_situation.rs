//! What a stopped main thread is said to be doing, in every state that a script may be asked to run in, and what would be
//! decided then: one process goes through all of them.

use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use pyattach::cpython::{LayoutChoice, Runtime, find};
use pyattach::inject::{
    Attempt, CodeMap, Decision, Doing, Route, Scene, Situation, Symbols, ThreadChoice, hindrance, plan,
};
use pyattach::os::{Activity, Process, Registers, StopRequest};

use crate::support::registry::Interpreter;
use crate::support::stage::Stage;
use crate::support::target::Target;
use crate::support::{Failed, Outcome, ensure, kernel};
use crate::{Scenario, everywhere};

pub(crate) const SCENARIOS: &[Scenario] =
    &[Scenario { name: "exec_situation", exists: everywhere, run: through_all_states }];

/// Looks at a thread that runs until so many have found it where it may be interrupted, and looks at the most.
const USABLE: usize = 5;
const LOOKS: usize = 500;
/// CPU time that it uses between two looks.
const STRIDE: Duration = Duration::from_micros(200);

/// What must be seen of a state.
enum Expected {
    /// It runs, or waits for the GIL: or is for a moment where nothing may be done.
    Runs,
    /// It waits in one of these system calls, made by CPython's own code.
    Own(&'static [&'static str]),
    /// It waits for one of Python's locks.
    Lock,
    /// It waits in such a call made by somebody else, and has the GIL or not.
    Foreign(&'static str, bool),
    /// It forks, waits, forks.
    Forks,
    /// It sleeps inside the import machinery.
    Imports,
}
use Expected::{Foreign, Forks, Imports, Lock, Own, Runs};

const SLEEP: &[&str] = &["clock_nanosleep", "nanosleep", "select", "pselect6"];
const SELECT: &[&str] = &["select", "pselect6"];

/// All states, in the order of the program.
const STATES: &[(&str, Expected)] = &[
    ("busy", Runs),
    ("contention", Runs),
    ("malloc", Runs),
    ("sort", Runs),
    ("sleep", Own(SLEEP)),
    ("recv", Own(&["recvfrom"])),
    ("recv_with_timeout", Own(&["poll", "ppoll"])),
    ("accept", Own(&["accept", "accept4"])),
    ("read", Own(&["read"])),
    ("write", Own(&["write"])),
    ("select", Own(SELECT)),
    ("select_with_timeout", Own(SELECT)),
    ("poll", Own(&["poll", "ppoll"])),
    ("epoll", Own(&["epoll_wait", "epoll_pwait"])),
    ("asyncio_idle", Own(&["epoll_wait", "epoll_pwait"])),
    ("lock", Lock),
    ("lock_with_timeout", Lock),
    ("rlock", Lock),
    ("condition", Lock),
    ("event", Lock),
    ("queue_get", Lock),
    ("simple_queue_get", Lock),
    ("join", Lock),
    ("waitpid", Own(&["wait4"])),
    ("forking", Forks),
    ("signals", Runs),
    ("system", Foreign("wait4", false)),
    ("c_with_gil", Foreign("nanosleep", true)),
    ("c_without_gil", Foreign("nanosleep", false)),
    ("importing", Imports),
    ("recursion", Own(SLEEP)),
];

impl Expected {
    /// The system calls in which the thread has to be found before it is looked at.
    fn calls(&self) -> &'static [&'static str] {
        match self {
            Runs | Forks => &[],
            Own(calls) => calls,
            Lock => &["futex"],
            Foreign("wait4", _) => &["wait4"],
            Foreign(..) => &["nanosleep", "clock_nanosleep"],
            Imports => SLEEP,
        }
    }
}

fn through_all_states(interpreter: &Interpreter, stage: &Stage) -> Outcome {
    let target = Target::start(interpreter, stage, &["states.py"])?;
    let process = Process::open(target.pid)?;
    let runtime = find(&process, &process.modules()?, &process.memory(), LayoutChoice::Auto)?;
    let mut line = target.line()?;
    let mut wrong = Vec::new();
    for (name, expected) in STATES {
        ensure!(line == *name, "{line:?} instead of {name}");
        let outcome = in_state(interpreter, &process, &runtime, expected);
        wrong.extend(outcome.err().map(|failed| format!("{name}: {}", failed.message().unwrap_or_default())));
        line = go_on(&target, name)?;
        if line.starts_with("left out: ") {
            ensure!(line.contains("ctypes"), "{name}: {line}");
            wrong.retain(|what| !what.starts_with(&format!("{name}: ")));
            line = go_on(&target, name)?;
        }
    }
    ensure!(line == "end", "{line:?} instead of the end");
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

/// Ends a state; the line that announces the next.
fn go_on(target: &Target, state: &str) -> Result<String, Failed> {
    if state == "system" {
        // The C library's `system` waits on, whatever signals come.
        for child in kernel::children(target.pid)? {
            let _ = kill(Pid::from_raw(child), Signal::SIGKILL);
        }
    }
    kill(Pid::from_raw(target.pid), Signal::SIGUSR1)?;
    target.line()
}

fn in_state(interpreter: &Interpreter, process: &Process, runtime: &Runtime, expected: &Expected) -> Outcome {
    let calls = expected.calls();
    if !calls.is_empty() && !wait_for_call(process, calls)? {
        // The program will say why.
        return Ok(());
    }
    if matches!(expected, Lock) {
        // A thread that begins makes the main thread wait for other locks, and for the GIL, before.
        kernel::wait_for_rest(process.pid)?;
    }
    let modules = process.modules()?;
    let memory = process.memory();
    let code = CodeMap::new(&modules, runtime);
    let symbols = Symbols::find(&code, &memory, runtime)?;
    let scene = Scene::new(process, &memory, runtime, &code, &symbols);
    ensure!(scene.main_tid()? == process.pid, "main thread {:?}", scene.main_tid());
    ensure!(hindrance(process, process.pid).is_none(), "{:?}", hindrance(process, process.pid));
    let (looks, usable) = if calls.is_empty() { (LOOKS, USABLE) } else { (1, 1) };
    let mut seen: Vec<Situation> = Vec::new();
    let is_usable = |situation: &&Situation| !matches!(situation.doing, Doing::Unsafe(_));
    while seen.len() < looks && seen.iter().filter(is_usable).count() < usable {
        if !seen.is_empty() {
            wait_for_progress(process)?;
        }
        let stopped = StopRequest::new(process.pid)?.wait(Duration::from_secs(10)).map_err(|failure| failure.error)?;
        let registers = Registers::read(stopped.tid())?;
        seen.push(scene.look(stopped.tid(), &registers)?);
    }
    for situation in &seen {
        check(interpreter, situation, expected).map_err(|failed| {
            let (why, frames) = (failed.message().unwrap_or_default(), &situation.native_frames);
            format!("{why}; {:?} {frames:#?}", situation.doing)
        })?;
    }
    // Who called `system` is not seen where the C library has no unwind tables.
    let never = interpreter.is("musl") && matches!(expected, Foreign("wait4", _));
    let found = seen.iter().filter(is_usable).count();
    let last = seen.last().map(|situation| &situation.doing);
    ensure!(never || found >= usable, "{found} of {} looks found it where it may be interrupted: {last:?}", seen.len());
    Ok(())
}

/// Waits until the main thread has used some CPU time, or sleeps.
fn wait_for_progress(process: &Process) -> Outcome {
    let tasks = process.tasks()?;
    let before = tasks.cpu_use(process.pid).ok_or("no CPU time")?.cpu;
    kernel::wait_until("progress", || {
        let now = tasks.cpu_use(process.pid).ok_or("no CPU time")?;
        Ok(now.off_cpu || now.cpu >= before + STRIDE)
    })
}

/// Waits until the main thread sleeps in one of the calls; false when it pauses instead, as the program does when a state
/// is left out.
fn wait_for_call(process: &Process, calls: &[&str]) -> Result<bool, Failed> {
    let (tasks, mut found) = (process.tasks()?, None);
    kernel::wait_until(&format!("{calls:?}"), || {
        found = match tasks.activity(process.pid)? {
            Activity::Call(call) => call.name(),
            _ => None,
        };
        Ok(found.is_some_and(|name| calls.contains(&name) || name == "pause"))
    })?;
    Ok(found != Some("pause"))
}

fn check(interpreter: &Interpreter, situation: &Situation, expected: &Expected) -> Outcome {
    let Situation { doing, attached, .. } = situation;
    match (expected, doing) {
        (Runs | Forks, Doing::Running | Doing::Unsafe(_)) => {}
        (Forks, Doing::OwnCall { number }) => ensure!(name(*number) == "wait4", "{}", name(*number)),
        (Own(calls), Doing::OwnCall { number }) => {
            ensure!(calls.contains(&name(*number)) || name(*number) == "restart_syscall", "{}", name(*number));
            ensure!(!attached, "it has the GIL");
        }
        (Imports, Doing::OwnCall { .. }) => {}
        (Lock, Doing::PythonLock) => ensure!(!attached, "it has the GIL"),
        (Foreign("wait4", _), Doing::ForeignCall { module, .. }) => ensure!(module.contains("system"), "{module}"),
        // Without unwind tables, who called `system` is not seen.
        (Foreign("wait4", _), Doing::Unsafe(_)) if interpreter.is("musl") => return Ok(()),
        (Foreign(_, gil), Doing::ForeignCall { .. }) => ensure!(attached == gil, "GIL: {attached}"),
        _ => return Err("not what was expected".into()),
    }
    ensure!(situation.is_main && situation.initialized && !situation.finalizing, "{situation:?}");
    ensure!(!situation.alternate_stack && !situation.shadow_stack && !situation.seccomp_kills, "{situation:?}");
    ensure!(!situation.importing && !situation.subinterpreters, "{situation:?}");
    ensure!(situation.free_stack > 1 << 20 && situation.free_stack < 1 << 23, "stack: {}", situation.free_stack);
    ensure!(situation.remote_debugging == interpreter.since(14).then_some(true), "{:?}", situation.remote_debugging);
    ensure!(situation.procfs != interpreter.is_in_chroot(), "procfs: {}", situation.procfs);
    check_decision(interpreter, situation, expected)
}

/// What follows, on the first look and for any thread.
fn check_decision(interpreter: &Interpreter, situation: &Situation, expected: &Expected) -> Outcome {
    let decision = plan(situation, &ThreadChoice::Auto, &Attempt::default());
    let official = interpreter.since(14) && !interpreter.is_in_chroot();
    let at_check = if official { Route::RemoteDebugger } else { Route::PendingCall };
    let in_call = if official { Route::RemoteDebuggerWoken } else { Route::SignalFrame };
    let route = match (expected, &situation.doing) {
        (_, Doing::Unsafe(_)) => None,
        (Runs, _) | (Forks, Doing::Running) | (Foreign(_, true), _) => Some(at_check),
        (Own(_) | Forks | Imports, _) => Some(in_call),
        (Lock, _) => Some(Route::PendingCallWoken),
        (Foreign(_, false), _) => Some(Route::NewThread),
    };
    match (&decision, route) {
        (Decision::Go(went, _), Some(route)) if *went == route => Ok(()),
        (Decision::Wait(_), None) => Ok(()),
        _ => Err(format!("{decision:?} instead of {route:?}").into()),
    }
}

fn name(number: i64) -> &'static str {
    pyattach::os::Call { number, args: [0; 6], sp: 0 }.name().unwrap_or("?")
}
