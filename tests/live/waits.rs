//! What threads wait for: each reason with a thread that says what must be seen of its wait, on every interpreter.

use std::process::Command;

use serde_json::Value;

use crate::support::registry::Interpreter;
use crate::support::stage::Stage;
use crate::support::target::Target;
use crate::support::{Failed, Outcome, attach, ensure, kernel};
use crate::{Scenario, everywhere};

pub(crate) const SCENARIOS: &[Scenario] = &[
    Scenario { name: "waits_for_sockets", exists: everywhere, run: |i, s| family(i, s, "sockets") },
    Scenario { name: "waits_for_files", exists: everywhere, run: |i, s| family(i, s, "files") },
    Scenario { name: "waits_with_time", exists: everywhere, run: |i, s| family(i, s, "times") },
    Scenario { name: "waits_for_locks", exists: everywhere, run: |i, s| family(i, s, "locks") },
    Scenario { name: "waits_for_gil", exists: |i| i.has_gil() && !i.is("musl"), run: gil },
    Scenario { name: "waits_are_cheap", exists: |i| ["3.8", "3.12", "3.14", "3.14t"].contains(&&*i.name), run: cost },
];

/// Fields that are compared as they are.
const FIELDS: &[&str] =
    &["syscall", "fd", "local", "peer", "socket_state", "pid", "lock", "object", "waiters", "owner_tid"];

/// Threads that wait, each for a reason of its own.
fn family(interpreter: &Interpreter, stage: &Stage, name: &str) -> Outcome {
    let target = Target::start(interpreter, stage, &["waiting.py", name])?;
    ensure_waits(target.pid, &target.expect)?;
    let seen = attach::snapshot(target.pid, &[])?;
    let plain = attach::snapshot(target.pid, &["--no-waits"])?;
    let told = plain["threads"].as_array().into_iter().flatten().any(|thread| thread.get("wait").is_some());
    ensure!(!told, "--no-waits shows waits");
    let text = attach::stack(target.pid, &["--no-fold", "--no-source"])?.text();
    let lines = text.lines().filter(|line| line.starts_with("  waits: ")).count();
    ensure!(lines == seen["threads"].as_array().map_or(0, Vec::len), "{lines} lines of waits:\n{text}");
    Ok(())
}

/// Looks at an idle process, whose threads wait as they have said.
pub(crate) fn ensure_waits(pid: i32, expect: &Value) -> Outcome {
    kernel::wait_for_rest(pid)?;
    let seen = attach::snapshot(pid, &[])?;
    ensure!(seen["snapshot"]["mode"] == "none", "stopped an idle process: {}", seen["snapshot"]);
    let differences = differences(expect, &seen)?;
    ensure!(differences.is_empty(), "{}", differences.join("\n"));
    Ok(())
}

/// What of the waits, by the threads' names, is not as it was said.
pub(crate) fn differences(expect: &Value, seen: &Value) -> Result<Vec<String>, Failed> {
    let mut differences = Vec::new();
    for (name, said) in expect.as_object().ok_or("no waits")? {
        let thread = seen["threads"].as_array().into_iter().flatten().find(|thread| thread["name"] == name.as_str());
        let thread = thread.ok_or_else(|| format!("no thread {name}"))?;
        differences.extend(differences_of(said, &thread["wait"]).into_iter().map(|what| format!("{name}: {what}")));
        ensure!(thread["cpu_ms"].is_u64(), "{name}: no CPU time");
    }
    Ok(differences)
}

fn differences_of(said: &Value, seen: &Value) -> Vec<String> {
    let mut differences: Vec<String> = Vec::new();
    let mut expect = |holds: bool, what: String| {
        if !holds {
            differences.push(format!("{what} / {seen}"));
        }
    };
    expect(seen.is_object(), "no wait".to_owned());
    for field in FIELDS.iter().filter(|field| said.get(field).is_some()) {
        expect(said[*field] == seen[*field], format!("{field} {}", said[*field]));
    }
    // From outside a chroot a path is longer.
    if let Some(path) = said["path"].as_str() {
        expect(seen["path"].as_str().is_some_and(|seen| seen.ends_with(path)), format!("path {path}"));
    }
    let within = |range: &Value, number: &Value| {
        let bounds = (range[0].as_u64(), range[1].as_u64(), number.as_u64());
        matches!(bounds, (Some(low), Some(high), Some(number)) if low <= number && number <= high)
    };
    if let Some(range) = said.get("timeout_ms") {
        expect(within(range, &seen["timeout_ms"]), format!("timeout {range}"));
    }
    if let Some(range) = said.get("any_timeout_ms") {
        let either = within(range, &seen["timeout_ms"]) || within(range, &seen["remaining_ms"]);
        expect(either, format!("timeout or what remains of it {range}"));
    }
    for word in said["words"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        expect(seen["text"].as_str().is_some_and(|text| text.contains(word)), format!("the words {word:?}"));
    }
    differences
}

/// C code keeps the GIL; the thread that wants it is said to wait for it whenever it is seen asleep.
fn gil(interpreter: &Interpreter, stage: &Stage) -> Outcome {
    let mut target = Target::start(interpreter, stage, &["gil_held.py"])?;
    let spinner = super::gil::let_hold(&mut target)?;
    let mut seen_waiting = 0;
    kernel::wait_until("a wait for the GIL", || {
        let seen = attach::snapshot(target.pid, &[])?;
        let thread = seen["threads"].as_array().into_iter().flatten().find(|thread| thread["tid"] == spinner);
        let wait = thread.ok_or("no such thread")?["wait"].clone();
        if wait.is_object() {
            let right = wait["lock"] == "GIL" && wait["owner_tid"] == target.pid;
            ensure!(right, "it waits for the GIL, not for {wait}");
            let words = format!("the GIL, held by {}", target.pid);
            ensure!(wait["text"] == words.as_str(), "{wait}");
            seen_waiting += 1;
        }
        Ok(seen_waiting > 0)
    })
}

/// Many threads, all blocked: what they wait for takes no more than eight system calls a thread, and no stop.
fn cost(interpreter: &Interpreter, stage: &Stage) -> Outcome {
    const THREADS: usize = 1000;
    let target = Target::start(interpreter, stage, &["many_threads.py", &THREADS.to_string()])?;
    kernel::wait_for_read(target.pid, target.pid)?;
    let (with, without) = (calls(target.pid, &[])?, calls(target.pid, &["--no-waits"])?);
    let counts = format!("{with} system calls with waits, {without} without, for {THREADS} threads");
    ensure!(with < without + 4 * THREADS, "{counts}");
    // Threads without a GIL have to be watched one by one.
    ensure!(with > without, "{counts}");
    ensure!(with < 8 * THREADS || !interpreter.has_gil(), "{counts}");
    // And they are there: one line for all, as all read from one pipe.
    let text = attach::stack(target.pid, &["--no-source"])?.text();
    let lines: Vec<&str> = text.lines().filter(|line| line.starts_with("  waits: ")).collect();
    ensure!(lines.iter().any(|line| line.contains("empty pipe")), "{lines:?}");
    ensure!(lines.len() < 20, "{} lines of waits", lines.len());
    Ok(())
}

/// How many system calls pyattach makes.
fn calls(pid: i32, arguments: &[&str]) -> Result<usize, Failed> {
    let counts = tempfile::NamedTempFile::new()?;
    let mut command = Command::new("strace");
    command.args(["-f", "-c", "-U", "calls,name", "-o"]).arg(counts.path()).arg(attach::BINARY);
    command.args(["stack", &pid.to_string(), "--json"]).args(arguments);
    attach::run(command)?.ensure_code(&[0])?;
    let text = std::fs::read_to_string(counts.path())?;
    // Builds with debug assertions look at each descriptor by fcntl before they close it.
    let count = |line: &str| {
        let (count, name) = line.trim().split_once(char::is_whitespace)?;
        let counts = !matches!(name.trim(), "total" | "fcntl");
        count.parse::<usize>().ok().filter(|_| counts)
    };
    let total: usize = text.lines().filter_map(count).sum();
    ensure!(total > 0, "strace counts nothing: {text}");
    Ok(total)
}
