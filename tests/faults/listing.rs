//! `ps` and `stack --subprocesses` among processes that are no Python, none that is read, or closed.

use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::refused::{NOBODY, binary_for_all};
use crate::support::registry;
use crate::support::target::{self, Target};
use crate::support::{Failed, Outcome, attach, compare, ensure, kernel};
use crate::{Test, interpreter, start};

pub(crate) const TESTS: &[Test] = &[
    ("others_are_not_lied_about", others_are_not_lied_about),
    ("workers", workers),
    ("workers_are_read", workers_are_read),
    ("below_a_shell", below_a_shell),
    ("no_result_at_all", no_result_at_all),
    ("closed", closed),
    ("one_that_hangs", one_that_hangs),
];

fn row(list: &Value, pid: i32) -> Option<&Value> {
    list["processes"].as_array()?.iter().find(|process| process["pid"] == pid)
}

/// A shell and a C program are not listed; Pythons that are not read are, without a version that they do not have.
fn others_are_not_lied_about() -> Outcome {
    let mut targets = Vec::new();
    for (name, runtime) in
        [("2.7", "CPython 2.7"), ("3.6", "CPython 3.6 or older"), ("pypy3", "PyPy"), ("i386-3.13", "32-bit")]
    {
        let mut command = target::python(&registry::find(name)?);
        command.args(["-c", "import os; os.write(1, b'ready\\n'); os.read(0, 1)"]);
        let target = Target::spawn_unready(command)?;
        target.line()?;
        targets.push((target, runtime));
    }
    let python = registry::find("3.13")?;
    let directory = target::output(&python, "import sysconfig; print(sysconfig.get_config_var('LIBDIR'))")?;
    let mut idle = Command::new("cat");
    idle.env("LD_PRELOAD", format!("{directory}/libpython3.13.so.1.0"));
    let idle = Target::spawn_unready(idle)?;
    kernel::wait_for_read(idle.pid, idle.pid)?;
    let mut shell = Command::new("sh");
    shell.args(["-c", "echo ready; read line"]);
    let shell = Target::spawn_unready(shell)?;
    shell.line()?;
    let list = attach::ps()?;
    for (target, runtime) in &targets {
        let row = row(&list, target.pid).ok_or_else(|| format!("{runtime} is not listed"))?;
        ensure!(row["runtime"] == *runtime && row["python"].is_null(), "{runtime}: {row}");
        ensure!(row["problems"][0]["kind"] == "note", "{runtime}: {row}");
    }
    let mapped = row(&list, idle.pid).ok_or("a process with an idle libpython is not listed")?;
    ensure!(mapped["runtime"].is_null() && mapped["python"].is_null(), "{mapped}");
    ensure!(mapped["problems"][0]["kind"] == "note", "{mapped}");
    ensure!(row(&list, shell.pid).is_none(), "a shell is taken for Python");
    ensure!(row(&list, std::process::id() as i32).is_none(), "a test is taken for Python");
    Ok(())
}

/// Pids of the children that workers.py has said it has.
fn children(target: &Target) -> Result<Vec<i32>, Failed> {
    let child = |name: &str| Ok(i32::try_from(target.expect["children"][name].as_i64().ok_or("no child")?)?);
    ["forked", "spawned", "below_shell"].iter().map(|name| child(name)).collect()
}

fn workers() -> Outcome {
    let target = start(&["workers.py"])?;
    let list = attach::ps()?;
    let parent = row(&list, target.pid).ok_or("the parent is not listed")?;
    let depth = parent["depth"].as_i64().ok_or("no depth")?;
    for pid in children(&target)? {
        let worker = row(&list, pid).ok_or_else(|| format!("worker {pid} is not listed"))?;
        ensure!(worker["python_parent_pid"] == target.pid, "not below its parent: {worker}");
        ensure!(worker["depth"] == depth + 1 && worker["runtime"] == parent["runtime"], "{worker}");
    }
    let mut command = Command::new(attach::BINARY);
    command.args(["ps", "--timeout", "30"]);
    let text = attach::run(command)?.text();
    let line = |pid: i32| text.lines().find(|line| line.trim_start().starts_with(&format!("{pid} ")));
    let at = |pid: i32| line(pid)?.find("/python3.11");
    ensure!(at(target.pid).is_some() && at(children(&target)?[0]) > at(target.pid), "no tree:\n{text}");
    Ok(())
}

fn subprocesses(pid: i32, arguments: &[&str]) -> Result<attach::Answer, Failed> {
    attach::stack(pid, &[&["--subprocesses"], arguments].concat())
}

fn workers_are_read() -> Outcome {
    let target = start(&["workers.py"])?;
    let answer = subprocesses(target.pid, &["--json"])?;
    answer.ensure_code(&[0])?;
    let seen = answer.json()?;
    attach::validate_by("stacks", &seen)?;
    for process in seen["processes"].as_array().into_iter().flatten() {
        attach::validate(&process["stack"])?;
        ensure!(process["pid"] == process["stack"]["process"]["pid"], "{process}");
    }
    let first = &seen["processes"][0];
    ensure!(first.get("parent_pid").is_none(), "the first is not the one asked for: {first}");
    compare::ensure_same(interpreter()?, &target, &first["stack"])?;
    for (pid, function) in children(&target)?.into_iter().zip(["forked", "spawned", "<module>"]) {
        let worker = row(&seen, pid).ok_or_else(|| format!("{pid} is missing: {seen}"))?;
        let frames = worker["stack"]["threads"][0]["frames"].as_array();
        let is_there = frames.is_some_and(|frames| frames.iter().any(|frame| frame["name"] == function));
        ensure!(is_there, "{pid} is not in {function}: {worker}");
    }
    let text = subprocesses(target.pid, &["--main"])?.text();
    let count = text.lines().filter(|line| line.starts_with("Process ")).count();
    ensure!(count >= 4 && text.contains("in forked") && text.contains("in spawned"), "{count} processes:\n{text}");
    let answer = subprocesses(target.pid, &["--thread", "no such thread"])?;
    answer.ensure_code(&[1])?;
    kernel::ensure_left_alone(target.pid)
}

/// That the process asked for is a shell is said, with the Python below it, and no failure where those below are wanted, too.
fn below_a_shell() -> Outcome {
    let python = &interpreter()?.python;
    let mut command = Command::new("sh");
    command.args(["-c", "\"$0\" -c \"import os; print(os.getpid(), flush=True); os.read(0, 1)\"; :", python]);
    let shell = Target::spawn_unready(command)?;
    let pid: i32 = shell.line()?.parse()?;
    let answer = attach::stack(shell.pid, &[])?;
    answer.ensure_code(&[4])?;
    let hint = format!("hint: a Python runs below it: {pid} (");
    ensure!(answer.stderr.contains(&hint), "{}", answer.stderr);
    let answer = subprocesses(shell.pid, &["--json"])?;
    answer.ensure_code(&[0])?;
    let seen = answer.json()?;
    attach::validate_by("stacks", &seen)?;
    ensure!(seen["processes"][0]["error"]["kind"] == "not_python", "{seen}");
    let below = row(&seen, pid).ok_or_else(|| format!("{pid} is missing: {seen}"))?;
    ensure!(below["parent_pid"] == shell.pid && below["stack"]["threads"][0]["tid"] == pid, "{below}");
    Ok(())
}

fn no_result_at_all() -> Outcome {
    let cat = Target::spawn_unready(Command::new("cat"))?;
    kernel::wait_for_read(cat.pid, cat.pid)?;
    subprocesses(cat.pid, &[])?.ensure_code(&[4])?;
    subprocesses(i32::MAX, &[])?.ensure_code(&[4])
}

/// root's processes seen by nobody: named with the reason where they look like Python, counted where not.
fn closed() -> Outcome {
    let target = start(&["workers.py"])?;
    let (_directory, binary) = binary_for_all()?;
    let run = |arguments: &[&str]| {
        let mut command = Command::new("setpriv");
        command.args(NOBODY).arg(&binary).args(arguments);
        attach::run(command)
    };
    let answer = run(&["ps", "--json", "--timeout", "30"])?;
    answer.ensure_code(&[6])?;
    let list = answer.json()?;
    attach::validate_by("ps", &list)?;
    let closed = row(&list, target.pid).ok_or("not listed")?;
    ensure!(closed["runtime"].is_null() && closed["threads"] == 1 && closed["uid"] == 0, "{closed}");
    let message = closed["problems"][0]["message"].as_str().unwrap_or_default();
    ensure!(message.contains("refuses access") && message.contains("user 65534"), "{closed}");
    ensure!(list["unseen_count"].as_u64() > Some(0), "all of root's processes were seen by nobody");

    let answer = run(&["stack", &target.pid.to_string(), "--subprocesses", "--json"])?;
    answer.ensure_code(&[6])?;
    let seen = answer.json()?;
    attach::validate_by("stacks", &seen)?;
    for pid in children(&target)? {
        let worker = row(&seen, pid).ok_or_else(|| format!("{pid} is missing: {seen}"))?;
        ensure!(worker["error"]["kind"] == "refused" && worker["stack"]["os_threads"][0]["tid"] == pid, "{worker}");
    }
    Ok(())
}

/// Reading the mappings of one process does not return: the others are listed, and the one with the reason.
fn one_that_hangs() -> Outcome {
    let (stuck, other) = (start(&["plain.py"])?, start(&["plain.py"])?);
    let maps = format!("/proc/{}/maps", stuck.pid);
    let mut command = Command::new("strace");
    command.args(["-f", "-qq", "-o", "/dev/null", "-P", &maps, "-e", "trace=read", "-e"]);
    command.args(["inject=read:delay_enter=50s", attach::BINARY, "ps", "--json", "--timeout", "6"]);
    let start = Instant::now();
    // strace itself ends only with the delay.
    let delayed = Target::spawn_unready(command)?;
    let list: Value = serde_json::from_str(&delayed.line()?)?;
    ensure!(start.elapsed() < Duration::from_secs(25), "one process holds up the list: {:?}", start.elapsed());
    attach::validate_by("ps", &list)?;
    let late = row(&list, stuck.pid).ok_or("the one that hangs is not listed")?;
    let message = late["problems"][0]["message"].as_str().unwrap_or_default();
    ensure!(late["runtime"].is_null() && message.contains("not read in time (6 s)"), "{late}");
    ensure!(row(&list, other.pid).is_some_and(|row| row["python"]["version"].is_string()), "the other is missing");
    Ok(())
}
