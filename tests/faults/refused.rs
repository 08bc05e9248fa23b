//! What the system refuses: rights, system calls. The refusal is named, or another way is taken.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use crate::support::stage::{Stage, copy_executable};
use crate::support::target::{self, Target};
use crate::support::{Failed, Outcome, attach, compare, ensure, kernel};
use crate::{Test, interpreter, start};

pub(crate) const TESTS: &[Test] = &[
    ("other_user", other_user),
    ("same_user_without_root", same_user_without_root),
    ("process_vm_readv_not_permitted", || without_call("process_vm_readv", "EPERM")),
    ("process_vm_readv_not_there", || without_call("process_vm_readv", "ENOSYS")),
    ("ptrace_not_permitted", ptrace_not_permitted),
    ("each_read_may_fail", each_read_may_fail),
    ("each_ptrace_call_may_fail", each_ptrace_call_may_fail),
];

pub(crate) const NOBODY: &[&str] =
    &["--reuid=65534", "--regid=65534", "--clear-groups", "--inh-caps=-all", "--bounding-set=-all"];

/// A copy of the binary that any user can run, in a directory that goes with the result.
pub(crate) fn binary_for_all() -> Result<(tempfile::TempDir, std::path::PathBuf), Failed> {
    let directory = tempfile::tempdir()?;
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755))?;
    let binary = directory.path().join("pyattach");
    copy_executable(attach::BINARY.as_ref(), &binary)?;
    Ok((directory, binary))
}

fn stack_as_nobody(pid: i32) -> Result<attach::Answer, Failed> {
    let (_directory, binary) = binary_for_all()?;
    let mut command = Command::new("setpriv");
    command.args(NOBODY).arg(binary).args(["stack", &pid.to_string(), "--json"]);
    attach::run(command)
}

/// Root's process, looked at by nobody.
fn other_user() -> Outcome {
    let target = start(&["plain.py"])?;
    let answer = stack_as_nobody(target.pid)?;
    answer.ensure_code(&[6])?;
    answer.ensure_said("refuses access")?;
    answer.ensure_said("user 65534")?;
    let seen = answer.json()?;
    attach::validate(&seen)?;
    ensure!(seen.get("threads").is_none(), "stacks in spite of the refusal: {answer}");
    Ok(())
}

/// nobody's process, looked at by nobody: no privileges are needed for one's own.
fn same_user_without_root() -> Outcome {
    let interpreter = crate::support::registry::find("debian-3.13")?;
    let directory = tempfile::tempdir()?;
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755))?;
    let stage = Stage::new(&interpreter.root)?;
    let python = target::python(&interpreter);
    // chroot is for root alone: privileges are dropped inside it, which the shell's `setpriv` outside cannot do.
    let mut command = Command::new("chroot");
    command.args(["--userspec=65534:65534", "--groups="]).arg(&interpreter.root).arg(&interpreter.python);
    command.args(["-c", &code_that_changes_user(&stage)]).env_clear();
    command.envs(python.get_envs().filter_map(|(key, value)| Some((key, value?))));
    let target = Target::spawn(command)?;
    let answer = stack_as_nobody(target.pid)?;
    answer.ensure_code(&[0])?;
    compare::ensure_same_threads(&target.expect, &answer.json()?)
}

/// Executed anew after the change of user, a process belongs to that user in every respect.
fn code_that_changes_user(stage: &Stage) -> String {
    format!("import sys; sys.path.insert(0, {:?}); import truth; truth.stay()", stage.inside(""))
}

/// Runs pyattach with some system calls made to fail, as a container's filter does it.
fn stack_with(injections: &[&str], pid: i32, arguments: &[&str]) -> Result<attach::Answer, Failed> {
    let mut command = Command::new("strace");
    command.args(["-f", "-qq", "-o", "/dev/null"]);
    for injection in injections {
        command.args(["-e", &format!("inject={injection}")]);
    }
    command.args([attach::BINARY, "stack", &pid.to_string()]).args(arguments);
    attach::run(command)
}

/// Reading by another way, with the same result.
fn without_call(call: &str, error: &str) -> Outcome {
    let target = start(&["callbacks.py"])?;
    let answer = stack_with(&[&format!("{call}:error={error}")], target.pid, &["--json"])?;
    answer.ensure_code(&[0])?;
    compare::ensure_same(interpreter()?, &target, &answer.json()?)
}

/// An idle target needs no ptrace at all; a busy one is seen as far as it goes, and the refusal is named.
fn ptrace_not_permitted() -> Outcome {
    let idle = start(&["callbacks.py"])?;
    kernel::wait_for_read(idle.pid, idle.pid)?;
    let answer = stack_with(&["ptrace:error=EPERM"], idle.pid, &["--json"])?;
    answer.ensure_code(&[0])?;
    compare::ensure_same(interpreter()?, &idle, &answer.json()?)?;

    let busy = start(&["spinning.py", "2"])?;
    let answer = stack_with(&["ptrace:error=EPERM"], busy.pid, &["--json"])?;
    answer.ensure_code(&[0, 3, 6])?;
    if answer.status.success() {
        return compare::ensure_same(interpreter()?, &busy, &answer.json()?);
    }
    let said = format!("{}{}", answer.stderr, answer.text()).to_lowercase();
    ensure!(said.contains("refuse"), "the refusal is not named: {answer}");
    Ok(())
}

/// Whichever read fails, there is an answer: complete by another way, partial and marked, or a failure.
fn each_read_may_fail() -> Outcome {
    let target = start(&["many_threads.py", "5"])?;
    for call in ["process_vm_readv", "openat", "read", "readlink"] {
        for number in [1, 2, 3, 4, 5, 6, 8, 10, 13, 17, 22, 28, 35, 45] {
            let injection = format!("{call}:error=EFAULT:when={number}");
            let answer = stack_with(&[&injection], target.pid, &["--json"])?;
            // The dynamic loader's own calls come first: 127 is its exit code.
            let codes = if call == "process_vm_readv" { &[0, 1, 3, 4, 5, 6][..] } else { &[0, 1, 3, 4, 5, 6, 127] };
            answer
                .ensure_code(codes)
                .map_err(|failed| format!("{injection}: {}", failed.message().unwrap_or_default()))?;
            if answer.status.success() {
                let seen = answer.json()?;
                compare::ensure_same_threads(&target.expect, &seen)
                    .map_err(|failed| format!("{injection}: {}", failed.message().unwrap_or_default()))?;
            }
        }
    }
    Ok(())
}

/// Whichever call fails, no thread is left stopped.
fn each_ptrace_call_may_fail() -> Outcome {
    let target = start(&["spinning.py", "3"])?;
    for number in 1..=16 {
        for error in ["EPERM", "ESRCH"] {
            let injection = format!("ptrace:error={error}:when={number}");
            let answer = stack_with(&[&injection], target.pid, &["--json", "--pause", "always"])?;
            answer.ensure_code(&[0, 1, 3, 4, 6])?;
            kernel::ensure_left_alone(target.pid)
                .map_err(|failed| format!("{injection}: {}", failed.message().unwrap_or_default()))?;
        }
    }
    Ok(())
}
