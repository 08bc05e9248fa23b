//! Scripts in processes that live elsewhere or lack something: results come back, and nothing is left there.

use std::collections::BTreeSet;
use std::process::Command;

use nix::libc;
use serde_json::Value;

use crate::Test;
use crate::support::registry::{self, Interpreter};
use crate::support::stage::Stage;
use crate::support::target::{self, Target};
use crate::support::{Failed, Outcome, attach, ensure, kernel};

pub(crate) const TESTS: &[Test] = &[
    ("namespaces", || everywhere("3.12", &Place::Wrapped("unshare", NAMESPACES))),
    ("namespaces_3.14", || everywhere("3.14", &Place::Wrapped("unshare", NAMESPACES))),
    ("container", || everywhere("debian-3.13", &Place::Container)),
    ("container_of_old_version", || everywhere("debian-3.9", &Place::Container)),
    ("container_3.14", || everywhere("debian-3.14", &Place::Container)),
    ("other_user", || everywhere("3.11", &Place::Own("uid"))),
    ("other_user_3.15", || everywhere("3.15", &Place::Own("uid"))),
    ("no_free_descriptor", || everywhere("3.10", &Place::Own("nofile"))),
    ("no_free_descriptor_3.14", || everywhere("3.14", &Place::Own("nofile"))),
    ("started_with_interrupts_ignored", || everywhere("3.12", &Place::Wrapped("sh", IGNORING))),
    ("started_with_interrupts_ignored_musl", || everywhere("musl-3.14", &Place::Wrapped("sh", IGNORING))),
    ("directory_gone", || everywhere("3.8", &Place::Own("cwd"))),
    ("recursion_limit", || everywhere("3.13", &Place::Own("recursion"))),
    ("remote_debugging_disabled_by_variable", || disabled(&[], &[("PYTHON_DISABLE_REMOTE_DEBUG", "1")])),
    ("remote_debugging_disabled_by_option", || disabled(&["-X", "disable-remote-debug"], &[])),
    ("remote_debugging_protocol", remote_protocol),
];

const NAMESPACES: &[&str] =
    &["--user", "--map-root-user", "--mount", "--pid", "--net", "--ipc", "--uts", "--fork", "--kill-child"];

/// As a shell's `&` does it: Python then has no signal handler, and musl's waits do not end when they are interrupted.
const IGNORING: &[&str] = &["-c", "trap '' INT; exec \"$0\" \"$@\""];

/// Where the process is.
enum Place {
    /// Behind a command that makes namespaces, or something else that is inherited.
    Wrapped(&'static str, &'static [&'static str]),
    /// In all namespaces of its own, in a root that is read-only and has no /proc.
    Container,
    /// As the program makes it itself.
    Own(&'static str),
}

/// States that take different routes, and the system calls by which they are recognised.
const STATES: &[(&str, &[i64])] = &[("busy", &[]), ("recv", &[libc::SYS_recvfrom]), ("lock", &[libc::SYS_futex])];

fn everywhere(name: &str, place: &Place) -> Outcome {
    let interpreter = registry::find(name)?;
    let stage = Stage::new(&interpreter.root)?;
    for (state, calls) in STATES {
        // Sockets need a descriptor.
        if matches!(place, Place::Own("nofile")) && *state == "recv" {
            continue;
        }
        let words = format!("{name}, {state}");
        one(&interpreter, &stage, place, state, calls)
            .map_err(|failed| format!("{words}: {}", failed.message().unwrap_or("?")))?;
    }
    Ok(())
}

fn command(interpreter: &Interpreter, stage: &Stage, place: &Place, state: &str) -> Command {
    let python = target::python(interpreter);
    let mut command = match place {
        Place::Own(_) => target::python(interpreter),
        Place::Wrapped(wrapper, arguments) => {
            let mut command = Command::new(wrapper);
            command.args(*arguments).arg(&interpreter.python);
            command
        }
        Place::Container => {
            let root = interpreter.root.display().to_string();
            let mut command = Command::new("bwrap");
            command.args([
                "--ro-bind",
                &root,
                "/",
                "--dev",
                "/dev",
                "--unshare-all",
                "--die-with-parent",
                "--as-pid-1",
            ]);
            command.arg(&interpreter.python);
            command
        }
    };
    command.env_clear().envs(python.get_envs().filter_map(|(key, value)| Some((key, value?))));
    command.arg(stage.inside("exec_states.py")).arg(state);
    if let Place::Own(place) = place {
        command.arg(place);
    }
    command
}

/// The process that the program is in, the last in the line of descent.
fn innermost(target: &Target) -> Result<i32, Failed> {
    let mut pid = target.spawned();
    while let [child] = *kernel::children(pid)? {
        pid = child;
    }
    Ok(pid)
}

pub(crate) fn descriptors(pid: i32) -> Result<BTreeSet<String>, Failed> {
    let entries = std::fs::read_dir(format!("/proc/{pid}/fd"))?;
    Ok(entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect::<std::io::Result<_>>()?)
}

pub(crate) fn limits(pid: i32) -> Result<String, Failed> {
    Ok(std::fs::read_to_string(format!("/proc/{pid}/limits"))?)
}

const SCRIPT: &str = "import sys\nmain = sys.modules['__main__']\nmain.ran += 1\nprint(main.STATE)\n";

pub(crate) fn exec(pid: i32, arguments: &[&str]) -> Result<Value, Failed> {
    let mut command = Command::new(attach::BINARY);
    command.args(["exec", "--json", "--timeout", "40"]).args(arguments).arg(pid.to_string()).args(["-c", SCRIPT]);
    let report = attach::run(command)?.json()?;
    attach::validate_by("exec", &report)?;
    Ok(report)
}

fn one(interpreter: &Interpreter, stage: &Stage, place: &Place, state: &str, calls: &[i64]) -> Outcome {
    let mut target = Target::spawn(command(interpreter, stage, place, state))?;
    let pid = innermost(&target)?;
    if !calls.is_empty() {
        kernel::wait_until(state, || {
            Ok(kernel::system_call(pid, pid)?.is_some_and(|(number, _)| calls.contains(&(number as i64))))
        })?;
    }
    let (before, limits_before) = (descriptors(pid)?, limits(pid)?);
    let report = exec(pid, &[])?;
    ensure!(report["status"] == "ok" && report["stdout"] == format!("{state}\n"), "{report}");
    kernel::wait_until("the descriptors of before", || Ok(descriptors(pid)? == before))?;
    ensure!(limits(pid)? == limits_before, "other limits: {}", limits(pid)?);
    kernel::ensure_left_alone(pid)?;
    target.tell("end\n")?;
    let said: Value = serde_json::from_str(&target.line()?)?;
    ensure!(said["value"] == said["expected"] && said["ran"] == 1 && said["changed"] == "", "{said}");
    ensure!(said["beats"] == true, "{said}");
    Ok(())
}

/// A process that is not to be debugged from outside is left alone.
fn disabled(options: &[&str], variables: &[(&str, &str)]) -> Outcome {
    let interpreter = registry::find("3.14")?;
    let stage = Stage::new(&interpreter.root)?;
    let mut command = target::python(&interpreter);
    command.args(options).envs(variables.iter().copied()).arg(stage.inside("exec_states.py")).arg("busy");
    let mut target = Target::spawn(command)?;
    let report = exec(target.pid, &[])?;
    ensure!(report["status"] == "refused" && report["stdout"] == "", "{report}");
    let reason = report["reason"].as_str().unwrap_or_default();
    ensure!(reason.contains("remote debugging"), "{report}");
    target.tell("end\n")?;
    let said: Value = serde_json::from_str(&target.line()?)?;
    ensure!(said["ran"] == 0 && said["changed"] == "", "{said}");
    Ok(())
}

/// CPython's own protocol raises CPython's own audit event, and is as isolated as the other ways.
fn remote_protocol() -> Outcome {
    for name in ["3.14", "3.15t", "3.14t"] {
        let interpreter = registry::find(name)?;
        let stage = Stage::new(&interpreter.root)?;
        let target = Target::start(&interpreter, &stage, &["exec_states.py", "busy", "audit"])?;
        let pid = target.pid.to_string();
        let run = |code: &str| -> Result<Value, Failed> {
            let mut command = Command::new(attach::BINARY);
            command.args(["exec", "--json", "--route", "remote-debugger", "--timeout", "40", &pid, "-c", code]);
            attach::run(command)?.json().map_err(|failed| format!("{name}: {}", failed.message().unwrap_or("?")).into())
        };
        let report = run("import sys; print(sys.modules['__main__'].audited); x = 1")?;
        ensure!(report["stdout"] == "['cpython.remote_debugger_script']\n", "{name}: {report}");
        ensure!(report["route"].as_str().is_some_and(|route| route.starts_with("remote_debugger")), "{name}: {report}");
        let report = run("print(x)")?;
        ensure!(report["exception"]["type"] == "NameError", "a namespace of its own, {name}: {report}");
        ensure!(run("raise SystemExit(3)")?["exit"]["code"] == 3, "{name}");
        ensure!(run("raise KeyboardInterrupt")?["exception"]["type"] == "KeyboardInterrupt", "{name}");
        ensure!(run("x = '\u{fffd}' +")?["exception"]["type"] == "SyntaxError", "{name}");
        kernel::ensure_left_alone(target.pid)?;
    }
    Ok(())
}
