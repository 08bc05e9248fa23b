//! Exit codes and the words with them: each kind of process that cannot be looked at has an answer of its own.

use std::os::fd::OwnedFd;
use std::process::{Command, Stdio};

use libtest_mimic::Trial;

use crate::support::registry::{self, Interpreter};
use crate::support::target::{self, Target};
use crate::support::{Outcome, attach, ensure, kernel};
use crate::{Test, start};

pub(crate) const TESTS: &[Test] = &[
    ("no_such_process", no_such_process),
    ("thread_instead_of_process", thread_instead_of_process),
    ("not_python", not_python),
    ("not_initialised", not_initialised),
    ("kernel_thread", kernel_thread),
    ("zombie", zombie),
    ("usage", usage),
    ("help_and_version", help_and_version),
    ("no_such_thread", no_such_thread),
    ("closed_pipe", closed_pipe),
    ("full_disk", full_disk),
    ("main_thread_ended", main_thread_ended),
];

fn no_such_process() -> Outcome {
    // A process that was there and has been waited for: its number is not taken again so soon.
    let mut child = Command::new("true").spawn()?;
    child.wait()?;
    for arguments in [&[][..], &["--json"]] {
        let answer = attach::stack(child.id() as i32, arguments)?;
        answer.ensure_code(&[4])?;
        answer.ensure_said("no process")?;
        ensure!(answer.stdout.is_empty(), "data in spite of the failure: {answer}");
    }
    attach::stack(i32::MAX, &[])?.ensure_code(&[4])
}

/// /proc has directories for thread ids too.
fn thread_instead_of_process() -> Outcome {
    let target = start(&["many_threads.py", "1"])?;
    let tid = *kernel::threads(target.pid)?.last().ok_or("no threads")?;
    let answer = attach::stack(tid, &["--json"])?;
    answer.ensure_code(&[0, 4])?;
    if answer.status.success() {
        let pid = &answer.json()?["process"]["pid"];
        ensure!(*pid == target.pid, "the thread is taken for the process: {pid}");
    }
    Ok(())
}

fn not_python() -> Outcome {
    for program in [["sleep", "60"], ["sh", "-c"]] {
        let mut command = Command::new(program[0]);
        command.arg(program[1]);
        if program[0] == "sh" {
            command.arg("read line");
        }
        let target = Target::spawn_unready(command)?;
        kernel::wait_until("the program itself", || {
            let exe = std::fs::read_link(format!("/proc/{}/exe", target.pid))?;
            Ok(!exe.to_string_lossy().contains("faults-"))
        })?;
        let answer = attach::stack(target.pid, &[])?;
        answer.ensure_code(&[4])?;
        answer.ensure_said("python")?;
    }
    Ok(())
}

/// A program that has libpython in its memory but never started an interpreter.
fn not_initialised() -> Outcome {
    let python = registry::find("3.13")?;
    let directory = target::output(&python, "import sysconfig; print(sysconfig.get_config_var('LIBDIR'))")?;
    let library = format!("{directory}/libpython3.13.so.1.0");
    let mut command = Command::new("cat");
    command.env("LD_PRELOAD", &library);
    let target = Target::spawn_unready(command)?;
    kernel::wait_for_read(target.pid, target.pid)?;
    ensure!(target::mapped_files(target.pid)?.contains(&library.clone().into()), "{library} is not mapped");
    let answer = attach::stack(target.pid, &[])?;
    answer.ensure_code(&[4])?;
    answer.ensure_said("initiali")
}

fn kernel_thread() -> Outcome {
    let name = std::fs::read_to_string("/proc/2/comm")?;
    ensure!(name.trim() == "kthreadd", "process 2 is {name}: the kernel's threads cannot be seen from here");
    let answer = attach::stack(2, &[])?;
    answer.ensure_code(&[4])?;
    answer.ensure_said("kernel")
}

fn zombie() -> Outcome {
    let mut target = start(&["plain.py"])?;
    target.kill();
    let is_zombie = || Ok(kernel::status(target.pid, target.pid, "State")?.starts_with('Z'));
    kernel::wait_until("the zombie", is_zombie)?;
    let answer = attach::stack(target.pid, &[])?;
    answer.ensure_code(&[4])?;
    answer.ensure_said("zombie")
}

fn usage() -> Outcome {
    for arguments in [
        &["stack"][..],
        &["stack", "not-a-pid"],
        &["stack", "0"],
        &["stack", "-1"],
        &["stack", "1", "--no-such-option"],
        &["stack", "1", "--pause", "sometimes"],
        &["stack", "1", "--max-frames", "many"],
        &["stack", "1", "--format", "xml"],
        &["stack", "1", "--format", "text", "--json"],
        &["stack", "1", "--samples", "1"],
        &["stack", "1", "--interval", "1"],
        &["stack", "1", "-n", "2", "--interval", "0"],
        &["stack", "1", "-n", "2", "--interval", "1e18"],
        &["stack", "1", "-n", "2", "--format", "py-spy"],
        &["tasks"],
        &["tasks", "1", "--tree", "--table"],
        &["tasks", "1", "--json", "--by-await"],
        &["tasks", "1", "--task", "main", "--table"],
        &["no-such-command"],
    ] {
        let mut command = Command::new(attach::BINARY);
        command.args(arguments);
        let answer = attach::run(command)?;
        answer
            .ensure_code(&[2])
            .map_err(|failed| format!("{arguments:?}: {}", failed.message().unwrap_or_default()))?;
        ensure!(answer.stdout.is_empty() && !answer.stderr.is_empty(), "{arguments:?}: {answer}");
    }
    Ok(())
}

fn help_and_version() -> Outcome {
    for arguments in [&["--help"][..], &["--version"], &["stack", "--help"], &["tasks", "--help"]] {
        let mut command = Command::new(attach::BINARY);
        command.args(arguments);
        let answer = attach::run(command)?;
        answer.ensure_code(&[0])?;
        ensure!(answer.stderr.is_empty() && !answer.stdout.is_empty(), "{arguments:?}: {answer}");
    }
    Ok(())
}

/// A selection that fits no thread is not an empty success.
fn no_such_thread() -> Outcome {
    let target = start(&["plain.py"])?;
    // Nor is one that fits beside one that does not.
    for also in [&[][..], &["--thread", "MainThread"]] {
        let answer = attach::stack(target.pid, &[also, &["--thread", "no such thread"]].concat())?;
        answer.ensure_code(&[1])?;
        answer.ensure_said("no python thread \"no such thread\"; there are \"mainthread\"")?;
        ensure!(answer.stdout.is_empty(), "{answer}");
    }
    Ok(())
}

/// Runs pyattach with its standard output going there.
fn with_stdout(pid: i32, arguments: &[&str], stdout: impl Into<Stdio>) -> Result<attach::Answer, crate::Failed> {
    let mut command = Command::new(attach::BINARY);
    command.arg("stack").arg(pid.to_string()).args(arguments).stdout(stdout).stderr(Stdio::piped());
    let output = command.output()?;
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    Ok(attach::Answer { status: output.status, stdout: output.stdout, stderr })
}

/// `pyattach stack PID | head -1`: who reads has read enough, which is no failure.
fn closed_pipe() -> Outcome {
    let target = start(&["many_threads.py", "50"])?;
    for arguments in [&["--no-fold"][..], &["--json"]] {
        let (reader, writer) = std::io::pipe()?;
        drop(reader);
        let answer = with_stdout(target.pid, arguments, OwnedFd::from(writer))?;
        answer.ensure_code(&[0])?;
        ensure!(answer.stderr.is_empty(), "words about a closed pipe: {answer}");
    }
    Ok(())
}

fn full_disk() -> Outcome {
    let target = start(&["many_threads.py", "50"])?;
    for arguments in [&["--no-fold"][..], &["--json"], &["--main"]] {
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full")?;
        let answer = with_stdout(target.pid, arguments, full)?;
        answer.ensure_code(&[1])?;
        answer.ensure_said("no space left")?;
    }
    Ok(())
}

/// The first thread has ended by itself and is a zombie; the others live on.
fn main_thread_ended() -> Outcome {
    let target = start(&["leaderless.py"])?;
    let is_zombie = || Ok(kernel::status(target.pid, target.pid, "State")?.starts_with('Z'));
    kernel::wait_until("the main thread's end", is_zombie)?;
    let answer = attach::stack(target.pid, &["--json"])?;
    answer.ensure_code(&[0, 4, 6])?;
    if answer.status.code() == Some(4) { answer.ensure_said("zombie") } else { attach::validate(&answer.json()?) }
}

/// One test for each interpreter that is refused, with words that name it.
pub(crate) fn unsupported() -> Vec<Trial> {
    let all = match registry::interpreters() {
        Ok(all) => all,
        Err(failed) => return vec![Trial::test("faults::unsupported", || Err(failed))],
    };
    let mut trials = Vec::new();
    for kind in ["2.7", "3.6", "pypy", "32-bit"] {
        let fitting = |interpreter: &&Interpreter| interpreter.name == kind || interpreter.is(kind);
        let found = all.iter().find(fitting).cloned();
        let missing = format!("no {kind} interpreter: run scripts/interpreters");
        let run = move || refusal(kind, &found.ok_or(missing)?);
        trials.push(Trial::test(format!("faults::unsupported::{kind}"), run));
    }
    trials
}

fn refusal(kind: &str, interpreter: &Interpreter) -> Outcome {
    let mut command = target::python(interpreter);
    command.args(["-c", "import os; os.write(1, b'ready\\n'); os.read(0, 1)"]);
    let target = Target::spawn_unready(command)?;
    target.line()?;
    let answer = attach::stack(target.pid, &[])?;
    answer.ensure_code(&[5])?;
    answer.ensure_said(kind)?;
    let answer = attach::stack(target.pid, &["--json"])?;
    answer.ensure_code(&[5])?;
    kernel::ensure_left_alone(target.pid)
}
