//! Scripts in processes that are kept from what is needed: files in memory that may not be executed, or not be made at all, and
//! waits that nothing interrupts.

use std::process::Command;

use serde_json::Value;

use crate::Test;
use crate::support::registry;
use crate::support::stage::Stage;
use crate::support::target::{self, Target};
use crate::support::{Failed, Outcome, attach, ensure, kernel};

pub(crate) const TESTS: &[Test] = &[
    ("memfd_noexec", memfd_noexec),
    ("memfd_that_must_say_noexec", || filtered("319:1:8:0:13")),
    ("memfd_not_to_be_mapped_executable", || filtered("9:3:0xffffffff:1:13")),
    ("memfd_refused", memfd_refused),
    ("lock_that_nothing_interrupts", lock_that_nothing_interrupts),
];

/// By pending call and by signal frame; then in the same ways by CPython's own protocol, whose files nobody maps.
const STATES: &[(&str, &str)] = &[("3.12", "busy"), ("3.9", "sleep"), ("3.14", "lock")];

const ENOUGH: &[&str] = &["--timeout", "40"];

/// The privilege to suspend filters is missing, and that to trace is not.
const WITHOUT_ADMIN: &[&str] = &["setpriv", "--inh-caps=-all", "--bounding-set=-all,+sys_ptrace"];

fn exec(pid: i32, wrapper: &[&str], options: &[&str]) -> Result<Value, Failed> {
    let words = [wrapper, &[attach::BINARY, "exec", "--json"], options].concat();
    let (program, arguments) = words.split_first().ok_or("no words")?;
    let mut command = Command::new(program);
    command.args(arguments).arg(pid.to_string());
    command.args(["-c", "import sys\nmain = sys.modules['__main__']\nmain.ran += 1\nprint(main.STATE)"]);
    attach::run(command)?.json()
}

/// Starts the target in a state behind a command, and gives it to `check`; nothing of what that did may stay.
fn behind(wrapper: &[String], (name, state): (&str, &str), ran: u32, check: impl Fn(i32) -> Outcome) -> Outcome {
    let interpreter = registry::find(name)?;
    let stage = Stage::new(&interpreter.root)?;
    let python = target::python(&interpreter);
    let (program, arguments) = wrapper.split_first().ok_or("no wrapper")?;
    let mut command = Command::new(program);
    command.envs(python.get_envs().filter_map(|(key, value)| Some((key, value?))));
    command.args(arguments).arg(&interpreter.python).arg(stage.inside("exec_states.py")).arg(state);
    let mut target = Target::spawn(command)?;
    let mut pid = target.spawned();
    while let [child] = *kernel::children(pid)? {
        pid = child;
    }
    check(pid).map_err(|failed| format!("{name}, {state}: {}", failed.message().unwrap_or("?")))?;
    kernel::ensure_left_alone(pid)?;
    target.tell("end\n")?;
    let said: Value = serde_json::from_str(&target.line()?)?;
    ensure!(said["ran"] == ran && said["changed"] == "" && said["beats"] == true, "{name}, {state}: {said}");
    Ok(())
}

fn ensure_ran(report: &Value) -> Outcome {
    ensure!(report["status"] == "ok" && report["stdout"].as_str().is_some_and(|text| text.ends_with('\n')), "{report}");
    Ok(())
}

/// `vm.memfd_noexec` is 2 in its PID namespace: files in memory are never programs.
fn memfd_noexec() -> Outcome {
    let script = "echo 2 >/proc/sys/vm/memfd_noexec && exec \"$0\" \"$@\"";
    let wrapper = ["unshare", "--pid", "--fork", "--kill-child", "sh", "-c", script].map(str::to_owned);
    for state in STATES {
        behind(&wrapper, *state, 1, |pid| ensure_ran(&exec(pid, &[], ENOUGH)?))?;
    }
    Ok(())
}

fn filter(rules: &str) -> Result<[String; 3], Failed> {
    let program = Stage::new("/".as_ref())?.inside("filtered.py").display().to_string();
    Ok([registry::find("3.11")?.python.clone(), program, rules.to_owned()])
}

/// The filter stays in force, as pyattach may not suspend it.
fn filtered(rules: &str) -> Outcome {
    for state in STATES {
        behind(&filter(rules)?, *state, 1, |pid| {
            let refused = exec(pid, WITHOUT_ADMIN, ENOUGH)?;
            let reason = refused["reason"].as_str().unwrap_or_default();
            ensure!(refused["status"] == "refused" && reason.contains("(seccomp)"), "{refused}");
            ensure_ran(&exec(pid, WITHOUT_ADMIN, &[ENOUGH, &["--ignore-seccomp"]].concat())?)
        })?;
    }
    Ok(())
}

/// Without any file in memory there is no way, unless the filter can be suspended; what was refused is said.
fn memfd_refused() -> Outcome {
    for errno in [1, 38] {
        for state in STATES {
            behind(&filter(&format!("319:0:0:0:{errno}"))?, *state, 1, |pid| {
                let refused = exec(pid, WITHOUT_ADMIN, &[ENOUGH, &["--ignore-seccomp"]].concat())?;
                let reason = refused["reason"].as_str().unwrap_or_default();
                ensure!(refused["status"] == "refused" && reason.contains("memfd_create"), "{refused}");
                ensure_ran(&exec(pid, &[], ENOUGH)?)
            })?;
        }
    }
    Ok(())
}

/// musl goes on waiting for a lock when it is interrupted, unless the process has a handler for some signal. Python has one for
/// SIGINT, if that was not ignored before.
fn lock_that_nothing_interrupts() -> Outcome {
    let wrapper = ["sh", "-c", "trap '' INT; exec \"$0\" \"$@\""].map(str::to_owned);
    behind(&wrapper, ("musl-3.14", "lock"), 1, |pid| {
        kernel::wait_for_futex(pid, pid)?;
        let refused = exec(pid, &[], &["--thread", "main", "--timeout", "2"])?;
        let reason = refused["reason"].as_str().unwrap_or_default();
        ensure!(refused["status"] == "not_started" && reason.contains("lets nothing interrupt"), "{refused}");
        let report = exec(pid, &[], ENOUGH)?;
        ensure_ran(&report)?;
        ensure!(report["route"] == "new_thread", "{report}");
        Ok(())
    })
}
