//! pyattach in sandboxes, real ones: behind a seccomp filter, in a Landlock domain, with every way to the memory closed.

use std::process::Command;

use crate::layers::{behind, diagnose, ensure_refused, layers, seen};
use crate::support::stage::Stage;
use crate::support::{Failed, Outcome, compare, ensure};
use crate::{Test, interpreter, start};

pub(crate) const TESTS: &[Test] = &[
    ("seccomp_filter", seccomp_filter),
    ("seccomp_filter_and_closed_memory", seccomp_filter_and_closed_memory),
    ("landlock", landlock),
];

/// A launcher of tests/programs with its arguments.
fn launcher(arguments: &[&str]) -> Result<Vec<String>, Failed> {
    let (program, rest) = arguments.split_first().ok_or("no launcher")?;
    let program = Stage::new("/".as_ref())?.inside(program).display().to_string();
    let words = [interpreter()?.python.as_str(), &program].into_iter().chain(rest.iter().copied());
    Ok(words.map(str::to_owned).collect())
}

/// A filter for the two calls, whatever their arguments; `EPERM` is what container engines let it answer.
fn filter() -> Result<Vec<String>, Failed> {
    let rule = |call: i64| format!("{call}:0:0:0:{}", nix::libc::EPERM);
    let rules = [nix::libc::SYS_ptrace, nix::libc::SYS_process_vm_readv].map(rule).join(",");
    launcher(&["filtered.py", &rules])
}

fn words(command: &[String]) -> Vec<&str> {
    command.iter().map(String::as_str).collect()
}

/// Memory is read in another way, stopping is not possible, and both are said.
fn seccomp_filter() -> Outcome {
    let target = start(&["callbacks.py"])?;
    let filter = filter()?;
    let found = diagnose(&words(&filter), target.pid, 0)?;
    ensure!(found["diagnosis"] == "limits" && layers(&found, "limits") == ["seccomp", "stopping"], "{found}");
    let told = "a seccomp filter is in force for pyattach; the calls process_vm_readv and ptrace are refused";
    ensure!(seen(&found, "seccomp") == told, "{found}");
    ensure!(seen(&found, "stopping").contains("the call ptrace is refused"), "{found}");
    let advice = behind(&words(&filter), &["doctor", &target.pid.to_string()])?.text();
    ensure!(advice.contains("--security-opt seccomp="), "no advice: {advice}");
    let answer = behind(&words(&filter), &["stack", &target.pid.to_string(), "--json"])?;
    answer.ensure_code(&[0])?;
    compare::ensure_same(interpreter()?, &target, &answer.json()?)
}

/// `process_vm_readv` and `/proc/PID/mem` refused both: a device file on a file system that allows none stands in its place.
fn seccomp_filter_and_closed_memory() -> Outcome {
    let target = start(&["many_threads.py", "3"])?;
    let directory = tempfile::tempdir()?;
    let script = format!(
        "mount -t tmpfs -o nodev none \"$0\" && mknod \"$0\"/closed c 1 3 && mount --bind \"$0\"/closed /proc/{}/mem && \
         exec \"$@\"",
        target.pid
    );
    let place = directory.path().display().to_string();
    let mut wrapper: Vec<String> = ["unshare", "--mount", "sh", "-c", &script, &place].map(str::to_owned).into();
    wrapper.extend(filter()?);
    ensure_refused(&words(&wrapper), target.pid, "seccomp", "--cap-add SYS_PTRACE")
}

/// Landlock marks nobody, so by elimination; outside of it, nothing is refused.
fn landlock() -> Outcome {
    let target = start(&["many_threads.py", "3"])?;
    let mut command = Command::new(&interpreter()?.python);
    let kernel = "import ctypes; raise SystemExit(ctypes.CDLL(None).syscall(444, None, 0, 1) <= 0)";
    ensure!(command.args(["-c", kernel]).status()?.success(), "this kernel has no Landlock");
    let landlocked = launcher(&["landlocked.py"])?;
    ensure_refused(&words(&landlocked), target.pid, "lsm", "Landlock")?;
    let found = diagnose(&words(&landlocked), target.pid, 3)?;
    ensure!(seen(&found, "lsm").contains("a security module refuses, one that leaves no label"), "{found}");
    ensure!(seen(&found, "seccomp") == "no seccomp filter is in force", "{found}");
    ensure!(diagnose(&["env"], target.pid, 0)?["diagnosis"] == "fine", "refused outside of it");
    Ok(())
}
