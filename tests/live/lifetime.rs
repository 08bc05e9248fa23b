//! A process that is not simply running: starting, stopped, traced by another, with its files gone.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::sys::ptrace::{self, Event, Options};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use crate::support::registry::{self, Interpreter};
use crate::support::stage::{self, Stage};
use crate::support::target::{self, Target};
use crate::support::{Failed, Outcome, attach, compare, ensure, kernel};
use crate::{Scenario, everywhere};

pub(crate) const SCENARIOS: &[Scenario] = &[
    Scenario { name: "startup_site", exists: everywhere, run: startup_site },
    Scenario { name: "startup_before_python", exists: everywhere, run: before_python },
    Scenario { name: "startup_every_step", exists: everywhere, run: every_step },
    Scenario { name: "stopped", exists: everywhere, run: stopped },
    Scenario { name: "traced", exists: everywhere, run: traced },
    Scenario { name: "traced_while_running", exists: everywhere, run: traced_while_running },
    Scenario { name: "uninterruptible", exists: |i| i.since(8), run: uninterruptible },
    Scenario { name: "second_libpython", exists: |i| !i.is_in_chroot() && !i.is("musl"), run: second_libpython },
    Scenario { name: "deleted", exists: everywhere, run: |i, s| without_files(i, s, |file| fs::remove_file(file)) },
    Scenario { name: "replaced", exists: everywhere, run: |i, s| without_files(i, s, replace) },
];

/// Blocked in the site module: no main module yet, `threading` not imported.
fn startup_site(interpreter: &Interpreter, stage: &Stage) -> Outcome {
    let mut command = target::python(interpreter);
    let path = format!("{}:{}", stage.inside("site").display(), stage.inside("").display());
    command.env("PYTHONPATH", path.trim_end_matches('/')).args(["-c", "pass"]);
    let target = Target::spawn(command)?;
    let seen = attach::snapshot(target.pid, &[])?;
    compare::ensure_same(interpreter, &target, &seen)
}

/// A process of the interpreter, stopped by a tracer before its first instruction. The tracer is this thread.
struct Embryo {
    target: Target,
    pid: Pid,
}

impl Embryo {
    /// A shell stops itself and then becomes the interpreter, by way of chroot if it has a root.
    fn new(interpreter: &Interpreter, arguments: &[&str]) -> Result<Self, Failed> {
        let python = target::python(interpreter);
        let mut command = Command::new("sh");
        command.args(["-c", "kill -STOP $$; exec \"$@\"", "sh"]).arg(python.get_program()).args(python.get_args());
        command.args(arguments).env_clear();
        command.envs(python.get_envs().filter_map(|(key, value)| Some((key, value?))));
        let target = Target::spawn_unready(command)?;
        let pid = Pid::from_raw(target.pid);
        waitpid(pid, Some(WaitPidFlag::WUNTRACED))?;
        ptrace::seize(pid, Options::PTRACE_O_TRACEEXEC | Options::PTRACE_O_TRACESYSGOOD)?;
        kill(pid, Signal::SIGCONT)?;
        let mut executions = if interpreter.is_in_chroot() { 2 } else { 1 };
        while executions > 0 {
            match waitpid(pid, Some(WaitPidFlag::__WALL))? {
                WaitStatus::PtraceEvent(_, _, event) if event == Event::PTRACE_EVENT_EXEC as i32 => executions -= 1,
                WaitStatus::Stopped(_, signal) if signal != Signal::SIGCONT => Err(format!("stopped by {signal}"))?,
                WaitStatus::Exited(..) | WaitStatus::Signaled(..) => Err("ended before it was a Python")?,
                _ => {}
            }
            if executions > 0 {
                ptrace::cont(pid, None)?;
            }
        }
        Ok(Self { target, pid })
    }
}

/// The executable is there, but nothing of Python has run.
/// A libpython is not mapped by then.
fn before_python(interpreter: &Interpreter, _: &Stage) -> Outcome {
    let embryo = Embryo::new(interpreter, &["-c", "pass"])?;
    kill(embryo.pid, Signal::SIGSTOP)?;
    ptrace::detach(embryo.pid, None)?;
    kernel::wait_until("the stop", || {
        Ok(kernel::status(embryo.target.pid, embryo.target.pid, "State")?.starts_with('T'))
    })?;
    let answer = attach::stack(embryo.target.pid, &["--json"])?;
    answer.ensure_code(&[4])?;
    answer.ensure_said(if interpreter.is("shared") { "not run CPython" } else { "initiali" })
}

/// From its first instruction to its last, seen at every so many system calls: no answer may be a panic, a hang or wrong.
fn every_step(interpreter: &Interpreter, _: &Stage) -> Outcome {
    const STRIDE: u32 = 53;
    let code = "import threading\nthreading.Thread(target=print, name='short').start()";
    let embryo = Embryo::new(interpreter, &["-c", code])?;
    let (mut stops, mut complete) = (0, 0);
    loop {
        ptrace::syscall(embryo.pid, None)?;
        match waitpid(embryo.pid, Some(WaitPidFlag::__WALL))? {
            WaitStatus::Exited(_, code) => {
                ensure!(code == 0, "the interpreter ended with {code}");
                break;
            }
            WaitStatus::Stopped(_, signal) => Err(format!("a signal from nowhere: {signal}"))?,
            WaitStatus::PtraceSyscall(_) => {}
            other => Err(format!("unexpected: {other:?}"))?,
        }
        stops += 1;
        if stops % STRIDE == 0 {
            let answer = attach::stack(embryo.target.pid, &["--json"])?;
            answer.ensure_code(&[0, 4, 6])?;
            complete += u32::from(answer.status.success());
        }
    }
    ensure!(stops > STRIDE && complete > 0, "{complete} complete snapshots in {stops} system calls");
    Ok(())
}

/// A stopped process is seen, and stays stopped; continued, it goes on as if nothing had been.
fn stopped(interpreter: &Interpreter, stage: &Stage) -> Outcome {
    for program in [["many_threads.py", "3"], ["spinning.py", "2"]] {
        let target = Target::start(interpreter, stage, &program)?;
        let pid = Pid::from_raw(target.pid);
        kill(pid, Signal::SIGSTOP)?;
        waitpid(pid, Some(WaitPidFlag::WUNTRACED))?;
        for pause in ["auto", "always", "never"] {
            let seen = attach::snapshot(target.pid, &["--pause", pause])?;
            compare::ensure_same(interpreter, &target, &seen)?;
            ensure!(seen["threads"][0]["os_state"] == "T", "state: {}", seen["threads"][0]["os_state"]);
            // Where a thread was stopped in the middle of running it waits for nothing.
            let waits = seen["threads"].as_array().into_iter().flatten().map(|thread| &thread["wait"]["text"]);
            let of_memory = waits.filter_map(|text| text.as_str()).find(|text| text.contains("outside a system call"));
            ensure!(of_memory.is_none(), "a stopped thread: {of_memory:?}");
            for tid in kernel::threads(target.pid)? {
                let tracer = kernel::status(target.pid, tid, "TracerPid")?;
                ensure!(tracer == "0", "still traced by {tracer}");
                // Let go, a thread stops again by itself.
                let is_stopped = || Ok(kernel::status(target.pid, tid, "State")?.starts_with('T'));
                kernel::wait_until("the stop to be kept", is_stopped)?;
            }
        }
        kill(pid, Signal::SIGCONT)?;
        let status = target.finish()?;
        ensure!(status.success(), "the continued program ended with {status}");
    }
    Ok(())
}

/// A debugger that lets all threads run. In its end it ends the process: its dead threads are its own to wait for.
struct Debugger {
    pid: i32,
    tids: Vec<i32>,
}

impl Debugger {
    fn attach(pid: i32) -> Result<Self, Failed> {
        let tids = kernel::threads(pid)?;
        for tid in &tids {
            ptrace::seize(Pid::from_raw(*tid), Options::empty())?;
        }
        Ok(Self { pid, tids })
    }
}

impl Drop for Debugger {
    fn drop(&mut self) {
        let _ = kill(Pid::from_raw(self.pid), Signal::SIGKILL);
        for tid in self.tids.iter().filter(|tid| **tid != self.pid) {
            let _ = waitpid(Pid::from_raw(*tid), Some(WaitPidFlag::__WALL));
        }
    }
}

/// A debugger has the process: an idle one needs no stop, so it is seen all the same.
fn traced(interpreter: &Interpreter, stage: &Stage) -> Outcome {
    let target = Target::start(interpreter, stage, &["many_threads.py", "3"])?;
    kernel::wait_for_read(target.pid, target.pid)?;
    let _debugger = Debugger::attach(target.pid)?;
    let seen = attach::snapshot(target.pid, &[])?;
    compare::ensure_same(interpreter, &target, &seen)?;
    let answer = attach::stack(target.pid, &["--json", "--pause", "always"])?;
    answer.ensure_code(&[0, 3, 6])
}

/// A debugger has the process and lets it run: who can't be stopped is seen as far as that is possible, and it is said.
fn traced_while_running(interpreter: &Interpreter, stage: &Stage) -> Outcome {
    let target = Target::start(interpreter, stage, &["spinning.py", "1"])?;
    let _debugger = Debugger::attach(target.pid)?;
    for _ in 0..5 {
        let answer = attach::stack(target.pid, &["--json"])?;
        answer.ensure_code(&[0, 6])?;
        let seen = answer.json()?;
        attach::validate(&seen)?;
        if answer.status.success() {
            compare::ensure_same(interpreter, &target, &seen)?;
        } else {
            ensure!(
                answer.text().contains("trace") || answer.stderr.contains("trace"),
                "nothing said of a tracer: {answer}"
            );
        }
    }
    Ok(())
}

/// A named pipe. In its end it lets go who waits for it to be opened: an orphan that nobody could wake.
struct Gate(PathBuf);

impl Gate {
    fn open(&self) -> std::io::Result<fs::File> {
        fs::OpenOptions::new().read(true).write(true).open(&self.0)
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        let _ = self.open();
    }
}

/// The main thread is in state D, with the GIL: it cannot be stopped, and does not run either. No wait for it is endless.
fn uninterruptible(interpreter: &Interpreter, stage: &Stage) -> Outcome {
    let directory = stage::directory_in(&interpreter.root)?;
    let gate = Gate(directory.path().join("gate"));
    nix::unistd::mkfifo(&gate.0, nix::sys::stat::Mode::S_IRWXU)?;
    let inside = stage::inside(&interpreter.root, &gate.0).display().to_string();
    let target = Target::start(interpreter, stage, &["vforked.py", &inside])?;
    kernel::wait_until("state D", || Ok(kernel::status(target.pid, target.pid, "State")?.starts_with('D')))?;
    for pause in ["auto", "never", "always"] {
        let answer = attach::stack(target.pid, &["--json", "--pause", pause, "--timeout", "5"])?;
        answer.ensure_code(&[0, 6])?;
        let seen = answer.json()?;
        attach::validate(&seen)?;
        ensure!(seen["threads"][0]["os_state"] == "D", "state: {}", seen["threads"][0]["os_state"]);
        if answer.status.success() {
            compare::ensure_same(interpreter, &target, &seen)?;
        }
        let wait = seen["threads"][0]["wait"]["text"].as_str().unwrap_or_default();
        ensure!(wait.contains("a child") && wait.contains("to start its program or end"), "it waits for {wait:?}");
        kernel::ensure_left_alone(target.pid)?;
    }
    let mut doctor = Command::new(attach::BINARY);
    doctor.args(["doctor", &target.pid.to_string(), "--json"]);
    let found = attach::run(doctor)?.json()?;
    let state = found["checks"].as_array().into_iter().flatten().find(|check| check["layer"] == "state");
    let told = state.is_some_and(|check| {
        check["verdict"] == "limits" && check["seen"].as_str().is_some_and(|seen| seen.contains("uninterruptible"))
    });
    ensure!(told, "doctor does not say so: {found}");
    let _opened = gate.open()?;
    let status = target.finish()?;
    ensure!(status.success(), "the target does not end as it should: {status}");
    Ok(())
}

/// Another version's library is mapped and nobody uses it: the interpreter that runs is the one that is seen.
fn second_libpython(interpreter: &Interpreter, stage: &Stage) -> Outcome {
    let other = libraries(registry::find(if interpreter.name == "3.13" { "3.14-shared" } else { "3.13" })?, stage)?;
    let [library] = &other[..] else { return Err(format!("not one libpython: {other:?}").into()) };
    let target = Target::start(interpreter, stage, &["second_runtime.py", &library.display().to_string()])?;
    ensure!(target::mapped_files(target.pid)?.contains(library), "{} is not mapped", library.display());
    let seen = attach::snapshot(target.pid, &[])?;
    compare::ensure_same(interpreter, &target, &seen)
}

/// The shared libpython the interpreter uses, if there is one.
fn libraries(interpreter: Interpreter, stage: &Stage) -> Result<Vec<PathBuf>, Failed> {
    Ok(binaries(&interpreter, stage)?.split_off(1))
}

/// The executable and libpython go away under a running process, as in an upgrade.
fn without_files(interpreter: &Interpreter, stage: &Stage, take_away: fn(&Path) -> std::io::Result<()>) -> Outcome {
    let prefix = target::output(interpreter, "import sys; print(sys.base_prefix)")?;
    let directory = stage::directory_in(&interpreter.root)?;
    let files = copy_binaries(interpreter, stage, directory.path())?;
    let mut words = files.iter().map(|file| stage::inside(&interpreter.root, file).display().to_string());
    let mut moved = interpreter.clone();
    moved.python = words.next().ok_or("no executable")?;
    moved.env.push(("PYTHONHOME".into(), prefix));
    moved.env.extend(words.map(|library| ("LD_PRELOAD".into(), library)));

    let target = Target::start(&moved, stage, &["callbacks.py"])?;
    let mapped = target::mapped_files(target.pid)?;
    for file in &files {
        ensure!(mapped.contains(file), "{} is not what runs: {mapped:?}", file.display());
        take_away(file)?;
    }
    let seen = attach::snapshot(target.pid, &[])?;
    compare::ensure_same(interpreter, &target, &seen)
}

/// The executable and, if there is one, the shared libpython.
fn binaries(interpreter: &Interpreter, stage: &Stage) -> Result<Vec<PathBuf>, Failed> {
    let target = Target::start(interpreter, stage, &["plain.py"])?;
    let is_libpython =
        |file: &PathBuf| file.file_name().is_some_and(|name| name.to_string_lossy().starts_with("libpython"));
    let libraries: BTreeSet<_> = target::mapped_files(target.pid)?.into_iter().filter(is_libpython).collect();
    let mut files = vec![fs::read_link(format!("/proc/{}/exe", target.pid))?];
    files.extend(libraries);
    Ok(files)
}

fn copy_binaries(interpreter: &Interpreter, stage: &Stage, to: &Path) -> Result<Vec<PathBuf>, Failed> {
    let mut copies = Vec::new();
    for file in binaries(interpreter, stage)? {
        let copy = to.join(file.file_name().ok_or("a file without a name")?);
        stage::copy_executable(&file, &copy)?;
        copies.push(copy);
    }
    Ok(copies)
}

/// Another program takes the file's name, as a package manager does it.
fn replace(file: &Path) -> std::io::Result<()> {
    let new = file.with_extension("new");
    fs::copy(attach::BINARY, &new)?;
    fs::rename(new, file)
}
