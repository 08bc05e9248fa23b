//! The end of pyattach, or of the target, at any moment: the other one goes on as if nothing had been.

use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::support::registry;
use crate::support::stage::Stage;
use crate::support::target::Target;
use crate::support::{Outcome, attach, ensure, kernel};
use crate::{Failed, Test, start};

pub(crate) const TESTS: &[Test] = &[
    ("killed", || rounds("3.11", 200, Signal::SIGKILL, "auto")),
    ("killed_while_all_are_stopped", || rounds("3.11", 200, Signal::SIGKILL, "always")),
    ("killed_over_old_version", || rounds("3.8", 100, Signal::SIGKILL, "auto")),
    ("killed_over_free_threads", || rounds("3.14t", 200, Signal::SIGKILL, "auto")),
    ("ctrl_c", || rounds("3.11", 60, Signal::SIGINT, "auto")),
    ("ctrl_c_while_all_are_stopped", || rounds("3.13", 60, Signal::SIGINT, "always")),
    ("ctrl_c_between_samples", ctrl_c_between_samples),
    ("terminated", || rounds("3.11", 60, Signal::SIGTERM, "always")),
    ("target_exits", target_exits),
    ("target_exits_by_itself", target_exits_by_itself),
    ("target_executes", target_executes),
    ("many_at_once", many_at_once),
    ("signals_are_kept", signals_are_kept),
];

/// A sequence without pattern, the same in each run.
struct Chance(u64);

impl Chance {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (self.0 >> 33) % limit.max(1)
    }
}

fn spawn(pid: i32, arguments: &[&str]) -> std::io::Result<Child> {
    let mut command = Command::new(attach::BINARY);
    command.arg("stack").arg(pid.to_string()).args(arguments);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()
}

/// How long one whole run takes here, the longest of a few, in microseconds.
fn duration(pid: i32, arguments: &[&str]) -> Result<u64, Failed> {
    let mut longest = 0;
    for _ in 0..5 {
        let start = Instant::now();
        spawn(pid, arguments)?.wait()?;
        longest = longest.max(start.elapsed().as_micros() as u64);
    }
    Ok(longest)
}

/// Sends a signal to pyattach at random moments of its run over a busy target, which each time must be left as it was.
fn rounds(interpreter: &str, count: u32, signal: Signal, pause: &str) -> Outcome {
    let interpreter = registry::find(interpreter)?;
    let mut target = Target::start(&interpreter, &Stage::new(&interpreter.root)?, &["counting.py", "4"])?;
    let arguments = ["--json", "--pause", pause];
    let mut whole = duration(target.pid, &arguments)?;
    let mut chance = Chance(u64::from(count));
    let mut by_signal = 0;
    for round in 0..count {
        let mut child = spawn(target.pid, &arguments)?;
        // Not to wait for anything: the moment is what is being varied.
        std::thread::sleep(Duration::from_micros(chance.below(whole)));
        kill(Pid::from_raw(child.id() as i32), signal)?;
        let status = child.wait()?;
        let in_time = status.signal().is_some();
        by_signal += u32::from(in_time);
        // Follows a machine that gets faster or slower, so that two of three come in time.
        whole = if in_time { whole + whole / 20 } else { whole - whole / 10 };
        ensure_ended_well(status, signal).map_err(|failed| at(round, failed))?;
        kernel::ensure_left_alone(target.pid).map_err(|failed| at(round, failed))?;
        if round % 20 == 0 {
            ensure_progress(&mut target).map_err(|failed| at(round, failed))?;
        }
    }
    ensure!(by_signal > count / 3, "only {by_signal} of {count} runs were ended by the signal");
    ensure_progress(&mut target)?;
    ensure!(target.finish()?.success(), "the target does not end as it should");
    Ok(())
}

fn at(round: u32, failed: Failed) -> Failed {
    format!("round {round}: {}", failed.message().unwrap_or_default()).into()
}

/// By the signal itself, so that a calling shell sees it, or because it had done its work.
fn ensure_ended_well(status: ExitStatus, signal: Signal) -> Outcome {
    ensure!(status.code() == Some(0) || status.signal() == Some(signal as i32), "ended by {status}");
    Ok(())
}

/// Waits until counting.py has got further. Which of its threads is up to the interpreter: its lock is not fair.
fn ensure_progress(target: &mut Target) -> Outcome {
    let mut counts = || -> Result<Vec<u64>, Failed> {
        target.tell("how far?\n")?;
        Ok(serde_json::from_str(&target.line()?)?)
    };
    let before = counts()?;
    kernel::wait_until("progress", || Ok(counts()?.iter().zip(&before).any(|(now, then)| now > then)))
}

/// Ctrl-C while the next sample is waited for: the report is there, with what there is.
fn ctrl_c_between_samples() -> Outcome {
    let target = start(&["many_threads.py", "2"])?;
    let mut command = Command::new(attach::BINARY);
    command.args(["stack", &target.pid.to_string(), "--json", "--samples", "9", "--interval", "1000"]);
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let pid = child.id() as i32;
    kernel::wait_until("the wait between two samples", || {
        Ok(kernel::system_call(pid, pid)?.is_some_and(|(number, _)| number == nix::libc::SYS_rt_sigtimedwait as u64))
    })?;
    kill(Pid::from_raw(pid), Signal::SIGINT)?;
    let output = child.wait_with_output()?;
    ensure!(output.status.code() == Some(0), "ended by {}", output.status);
    let seen: serde_json::Value = serde_json::from_slice(&output.stdout)?;
    attach::validate(&seen)?;
    ensure!(seen["samples"]["count"] == 1 && seen["threads"][2]["frames"].is_array(), "seen: {seen}");
    kernel::ensure_left_alone(target.pid)
}

/// The target is killed at random moments while it is looked at.
fn target_exits() -> Outcome {
    let whole = duration(start(&["spinning.py", "2"])?.pid, &["--json"])?;
    let mut chance = Chance(7);
    for round in 0..100 {
        let target = start(&["spinning.py", "2"])?;
        let pause = if round % 2 == 0 { "auto" } else { "always" };
        let delay = Duration::from_micros(chance.below(whole));
        let pid = Pid::from_raw(target.pid);
        let killer = std::thread::spawn(move || {
            std::thread::sleep(delay);
            kill(pid, Signal::SIGKILL)
        });
        let answer = attach::stack(target.pid, &["--json", "--pause", pause])?;
        killer.join().map_err(|_| "the killer panicked")??;
        answer.ensure_code(&[0, 4, 6]).map_err(|failed| at(round, failed))?;
        if answer.status.success() {
            attach::validate(&answer.json()?)?;
        }
    }
    Ok(())
}

/// The target ends in order, with everything that happens in a shutdown, while it is looked at again and again.
fn target_exits_by_itself() -> Outcome {
    for round in 0..25 {
        let mut target = start(&["ending.py"])?;
        target.tell("\n")?;
        loop {
            let answer = attach::stack(target.pid, &["--json"])?;
            answer.ensure_code(&[0, 4, 6]).map_err(|failed| at(round, failed))?;
            if answer.status.code() == Some(4) && kernel::status(target.pid, target.pid, "State")?.starts_with('Z') {
                break;
            }
        }
        ensure!(target.finish()?.success(), "round {round}: the target does not end as it should");
    }
    Ok(())
}

/// The target becomes another program, again and again: exec ends its other threads and all its memory.
fn target_executes() -> Outcome {
    let target = start(&["executing.py", "60"])?;
    let mut dumps = 0;
    while !kernel::status(target.pid, target.pid, "State")?.starts_with('Z') {
        attach::stack(target.pid, &["--json"])?.ensure_code(&[0, 4, 6]).map_err(|failed| at(dumps, failed))?;
        dumps += 1;
    }
    ensure!(target.finish()?.success(), "the target does not end as it should after {dumps} dumps");
    Ok(())
}

/// Several at the same time: who cannot stop a thread because another one has it stopped still answers.
fn many_at_once() -> Outcome {
    let mut target = start(&["counting.py", "4"])?;
    let pid = target.pid;
    let run = move || -> Result<(), String> {
        for _ in 0..10 {
            let pass = || attach::stack(pid, &["--json"])?.ensure_code(&[0, 6]);
            pass().map_err(|failed: Failed| failed.message().unwrap_or_default().to_owned())?;
        }
        Ok(())
    };
    let runs: Vec<_> = (0..4).map(|_| std::thread::spawn(run)).collect();
    for run in runs {
        run.join().map_err(|_| "a panic")??;
    }
    kernel::ensure_left_alone(target.pid)?;
    ensure_progress(&mut target)
}

/// Signals sent to the target while it is stopped and let go arrive, each once: as many as it was sent.
fn signals_are_kept() -> Outcome {
    let mut target = start(&["signalled.py"])?;
    let pid = Pid::from_raw(target.pid);
    for number in 1..=60 {
        let mut child = spawn(target.pid, &["--json", "--pause", "always"])?;
        kill(pid, Signal::SIGUSR1)?;
        target.line().and_then(|line| {
            ensure!(line == number.to_string(), "signal {number} is the target's {line}");
            Ok(())
        })?;
        ensure!(child.wait()?.code() == Some(0), "signal {number}: pyattach failed");
    }
    kernel::ensure_left_alone(target.pid)?;
    target.tell("\n")?;
    ensure!(target.finish()?.success(), "the target does not end as it should");
    Ok(())
}
