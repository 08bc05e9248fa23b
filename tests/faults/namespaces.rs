//! A target in other namespaces and another root: its own ids and the host's, and its files by its own paths.

use std::process::Command;

use crate::support::registry::{self, Interpreter};
use crate::support::stage::Stage;
use crate::support::target::{self, Target};
use crate::support::{Failed, Outcome, attach, compare, ensure, kernel};
use crate::{Test, interpreter};

pub(crate) const TESTS: &[Test] = &[
    ("pid", || in_namespaces("3.11", &["--pid", "--fork", "--kill-child", "--mount-proc"])),
    ("pid_of_old_version", || in_namespaces("3.8", &["--pid", "--fork", "--kill-child", "--mount-proc"])),
    ("user", || {
        in_namespaces("3.12", &["--user", "--map-root-user", "--pid", "--fork", "--kill-child", "--mount-proc"])
    }),
    ("root", || in_namespaces("debian-3.14", &["--mount", "--pid", "--fork", "--kill-child"])),
    ("everything", everything),
    ("from_inside", from_inside),
];

/// The command that runs the interpreter inside what the wrapper makes.
fn wrapped(wrapper: &str, arguments: &[String], interpreter: &Interpreter, stage: &Stage, program: &[&str]) -> Command {
    let python = target::python(interpreter);
    let mut command = Command::new(wrapper);
    command.args(arguments).arg(&interpreter.python).arg(stage.inside(program[0])).args(&program[1..]).env_clear();
    command.envs(python.get_envs().filter_map(|(key, value)| Some((key, value?))));
    command
}

/// The process that calls itself 1, the last in the line of descent from the wrapper.
fn innermost_child(target: &Target) -> Result<i32, Failed> {
    let mut pid = target.spawned();
    while let [child] = *kernel::children(pid)? {
        pid = child;
    }
    Ok(pid)
}

/// Compares ids as the target knows them with those said to be its own, and the rest as ever.
fn ensure_seen_from_outside(interpreter: &Interpreter, target: &mut Target) -> Outcome {
    let inside = target.pid;
    let pid = innermost_child(target)?;
    ensure!(pid != inside, "the process is in no PID namespace of its own");
    let mut seen = attach::snapshot(pid, &[])?;
    ensure!(seen["process"]["ns_pids"] == serde_json::json!([pid, inside]), "ids: {}", seen["process"]["ns_pids"]);
    let mut outside = Vec::new();
    for thread in seen["threads"].as_array_mut().ok_or("no threads")? {
        outside.push(i32::try_from(thread["tid"].as_i64().ok_or("no tid")?)?);
        thread["tid"] = thread["ns_tid"].take();
    }
    outside.sort_unstable();
    ensure!(outside == kernel::threads(pid)?, "the host's ids: {outside:?}, not {:?}", kernel::threads(pid)?);
    target.pid = pid;
    compare::ensure_same(interpreter, target, &seen)?;

    let answer = attach::stack(pid, &["--color", "never"])?;
    answer.ensure_code(&[0])?;
    ensure!(answer.text().contains(&pid.to_string()), "the host's id is not shown: {answer}");
    kernel::ensure_left_alone(pid)
}

fn in_namespaces(name: &str, arguments: &[&str]) -> Outcome {
    let interpreter = registry::find(name)?;
    let stage = Stage::new(&interpreter.root)?;
    let mut arguments: Vec<String> = arguments.iter().map(ToString::to_string).collect();
    if interpreter.is_in_chroot() {
        arguments.push(format!("--root={}", interpreter.root.display()));
    }
    let command = wrapped("unshare", &arguments, &interpreter, &stage, &["many_threads.py", "3"]);
    ensure_seen_from_outside(&interpreter, &mut Target::spawn(command)?)
}

/// As containers do it: all namespaces, another root that only the target's mounts know, no privileges.
fn everything() -> Outcome {
    let interpreter = registry::find("debian-3.14")?;
    let stage = Stage::new(&interpreter.root)?;
    let root = interpreter.root.display().to_string();
    let options =
        ["--bind", &root, "/", "--proc", "/proc", "--dev", "/dev", "--unshare-all", "--die-with-parent", "--as-pid-1"];
    let command = wrapped("bwrap", &options.map(str::to_owned), &interpreter, &stage, &["many_threads.py", "3"]);
    let mut target = Target::spawn(command)?;
    ensure_seen_from_outside(&interpreter, &mut target)?;
    // Source lines come from the target's files, which are at another place here.
    let shown = attach::stack(target.pid, &["--color", "never"])?.text();
    ensure!(shown.contains("truth.park()"), "no source lines in:\n{shown}");
    Ok(())
}

/// pyattach and the target in one namespace, neither of them with the host's ids.
fn from_inside() -> Outcome {
    let mut command = Command::new("unshare");
    command.args(["--pid", "--fork", "--kill-child", "--mount-proc", &interpreter()?.python]);
    command.arg(Stage::new("/".as_ref())?.inside("looked_at_by_child.py")).arg(attach::BINARY);
    let answer = attach::run(command)?;
    answer.ensure_code(&[0])?;
    let seen = answer.json()?;
    attach::validate(&seen)?;
    ensure!(seen["process"]["pid"] == 1, "pid: {}", seen["process"]);
    let thread = &seen["threads"][0];
    ensure!(thread["tid"] == 1 && thread["name"] == "MainThread", "thread: {thread}");
    let names: Vec<_> = thread["frames"].as_array().into_iter().flatten().map(|frame| &frame["name"]).collect();
    ensure!(names.ends_with(&[&"look".into(), &"<module>".into()]), "frames: {names:?}");
    Ok(())
}
