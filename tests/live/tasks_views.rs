//! Tasks as text, tasks of loops that are held up or foreign, and what CPython's own tool says of the same process.

use std::process::{Command, Stdio};

use serde_json::Value;

use crate::support::registry::{self, Interpreter};
use crate::support::stage::Stage;
use crate::support::target::{self, Target};
use crate::support::{Failed, Outcome, attach, compare, ensure, kernel};
use crate::tasks::{Dump, ensure_loops};
use crate::{Scenario, everywhere};

pub(crate) const SCENARIOS: &[Scenario] = &[
    Scenario { name: "tasks_as_text", exists: |i| ["3.7", "3.12", "3.15t"].contains(&&*i.name), run: text },
    Scenario { name: "tasks_running", exists: everywhere, run: running },
    Scenario { name: "tasks_without_asyncio", exists: everywhere, run: without_asyncio },
    Scenario { name: "tasks_in_uvloop", exists: has_uvloop, run: in_uvloop },
    Scenario { name: "tasks_as_asyncio_ps_has_them", exists: |i| i.since(14) && !i.is("debug"), run: as_ps_has_them },
];

fn shown(target: &Target, arguments: &[&str]) -> Result<String, Failed> {
    let answer = attach::tasks(target.pid, arguments)?;
    answer.ensure_code(&[0])?;
    let text = answer.text();
    let bad = |c: char| c.is_control() && c != '\n';
    ensure!(!text.contains(bad), "controls in the output of {arguments:?}");
    let longest = text.lines().map(|line| line.chars().count()).max().unwrap_or_default();
    ensure!(longest < 700, "a line of {longest} characters with {arguments:?}");
    Ok(text)
}

/// All views of one process, and how single tasks are chosen.
fn text(interpreter: &Interpreter, stage: &Stage) -> Outcome {
    let target = Target::start(interpreter, stage, &["tasks_shapes.py"])?;
    kernel::wait_for_rest(target.pid)?;
    let headline = "DEADLOCK: 3 tasks wait for each other in a circle";
    let tree = shown(&target, &[])?;
    for part in
        [headline, "more tasks like it, each waiting for the next, then", ", which closes the circle", "idle, in "]
    {
        ensure!(tree.contains(part), "no {part:?} in:\n{tree}");
    }
    ensure!(tree.lines().count() < 150, "{} lines for some kinds of tasks:\n{tree}", tree.lines().count());
    let same = shown(&target, &["--tree"])?;
    ensure!(tree.lines().count() == same.lines().count(), "--tree is another tree:\n{tree}\n{same}");
    let table = shown(&target, &["--table"])?;
    let rows = table.lines().filter(|line| line.starts_with("0x")).count();
    let tasks = target.expect["tasks"].as_array().map_or(0, Vec::len);
    ensure!(rows + 1 >= tasks && table.contains(headline), "{rows} rows for {tasks} tasks");
    let grouped = shown(&target, &["--by-await"])?;
    ensure!(
        grouped.contains(" tasks wait for another task\n") && grouped.contains(headline),
        "no group of the chain:\n{grouped}"
    );
    let chosen =
        compare::list(&target.expect["tasks"]).iter().find(|task| task["shape"] == "sleep").ok_or("no task")?;
    let id = chosen["id"].as_str().ok_or("no id")?;
    let by_name: &[&str] = if interpreter.since(8) { &["--task", "sleep"] } else { &["--task", id] };
    for arguments in [&["--task", id][..], by_name] {
        let one = shown(&target, arguments)?;
        for part in [id, "Waits for: ", "in do_sleep\n", "await asyncio.sleep(100000)\n"] {
            ensure!(one.contains(part), "no {part:?} with {arguments:?}:\n{one}");
        }
        ensure!(!one.contains("in do_gather\n"), "more than the one with {arguments:?}:\n{one}");
        let json = attach::tasks_json(target.pid, arguments)?;
        let ids = compare::list(&json["tasks"]).iter().map(|task| &task["id"]);
        ensure!(ids.clone().any(|seen| seen == id) && ids.count() <= 2, "{arguments:?} chooses {}", json["tasks"]);
    }
    let none = attach::tasks(target.pid, &["--task", "nobody"])?;
    none.ensure_code(&[1])?;
    none.ensure_said("no such task")?;
    closed_pipe(target.pid)
}

/// A reader that has seen enough is no failure.
fn closed_pipe(pid: i32) -> Outcome {
    let mut command = Command::new(attach::BINARY);
    let child = command.args(["tasks", &pid.to_string(), "--table"]).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = child.spawn()?;
    drop(child.stdout.take());
    let output = child.wait_with_output()?;
    ensure!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    Ok(())
}

/// A task blocks its loop, and three others wait for their first turn.
fn running(interpreter: &Interpreter, stage: &Stage) -> Outcome {
    let target = Target::start(interpreter, stage, &["tasks_running.py"])?;
    kernel::wait_for_read(target.pid, target.pid)?;
    let seen = attach::tasks_json(target.pid, &[])?;
    let (said, loops) = (&target.expect, compare::list(&seen["loops"]));
    let [event_loop] = loops else { return Err(format!("{} loops", loops.len()).into()) };
    ensure!(event_loop["id"] == said["loop"] && event_loop["running_task"] == said["running"], "{event_loop}");
    ensure!(event_loop["idle"] == false && event_loop["blocked_in"]["syscall"] == "read", "{event_loop}");
    ensure!(event_loop["ready"] == 3, "{} ready", event_loop["ready"]);
    let task = |id: &Value| compare::list(&seen["tasks"]).iter().find(|task| task["id"] == *id);
    let busy = task(&said["running"]).ok_or("the running task is missing")?;
    ensure!(busy["state"] == "running", "{busy}");
    // Its stack is what its thread executes, down to the coroutine.
    let stack = compare::list(&said["threads"][0]["frames"]);
    let own = stack.iter().position(|frame| frame["name"] == "busy").ok_or("no coroutine")?;
    let mut differences = Vec::new();
    let frames = compare::list(&busy["coroutine_stack"]);
    compare::compare_frames("busy", stack.get(..=own).unwrap_or_default(), frames, &mut differences);
    compare::report(differences)?;
    for id in compare::list(&said["later"]) {
        let later = task(id).ok_or("a task that has not begun is missing")?;
        ensure!(later["state"] == "pending" && later["coroutine_stack"][0]["name"] == "idle", "{later}");
    }
    let text = shown(&target, &[])?;
    ensure!(text.contains("BLOCKED at ") && text.contains("3 ready to run") && text.contains("  runs "), "{text}");
    Ok(())
}

/// That is an answer, not a failure.
fn without_asyncio(interpreter: &Interpreter, stage: &Stage) -> Outcome {
    let target = Target::start(interpreter, stage, &["plain.py"])?;
    let seen = attach::tasks_json(target.pid, &[])?;
    ensure!(seen["loops"] == Value::Array(Vec::new()) && seen["tasks"] == Value::Array(Vec::new()), "{seen}");
    let text = shown(&target, &[])?;
    ensure!(text.contains("asyncio is not in use"), "{text}");
    Ok(())
}

/// Some versions it has no wheels for.
fn has_uvloop(interpreter: &Interpreter) -> bool {
    !interpreter.is_in_chroot() && uvloop(interpreter).is_some_and(|directory| directory.exists())
}

fn uvloop(interpreter: &Interpreter) -> Option<std::path::PathBuf> {
    // The same build, or one that takes the same wheels.
    let name = interpreter.name.strip_suffix("-shared").unwrap_or(&interpreter.name);
    Some(registry::tool("uvloop").ok()?.join(name))
}

/// The same tasks on a foreign loop.
fn in_uvloop(interpreter: &Interpreter, stage: &Stage) -> Outcome {
    let directory = uvloop(interpreter).ok_or("no uvloop")?;
    let mut command = target::python(interpreter);
    command.arg(stage.inside("tasks_shapes.py")).arg("uvloop").env("PYTHONPATH", directory);
    let target = Target::spawn(command)?;
    let dump = Dump::of(&target)?;
    ensure!(dump.expect["loops"][0]["class"] == "uvloop.Loop", "not on uvloop: {}", dump.expect["loops"]);
    for shape in ["nested", "async_generators", "gather", "wait", "shield", "task", "queue", "locks", "executor"] {
        dump.ensure_shape(shape)?;
    }
    for shape in ["python_tasks", "subclassed", "cycle", "chain", "finished", "cancelled", "main"] {
        dump.ensure_shape(shape)?;
    }
    ensure_loops(&dump)
}

/// A row of CPython's own table.
struct Row<'r> {
    tid: &'r str,
    id: &'r str,
    name: &'r str,
    stack: Vec<&'r str>,
    /// The stack and the id of a task that waits for it.
    awaiter: Option<(Vec<&'r str>, &'r str)>,
}

/// `tid id name a -> b -> c`, and the same of an awaiter: a stack, a name, an id.
fn row(line: &str) -> Option<Row<'_>> {
    let mut words = line.split_whitespace().peekable();
    let (tid, id, name) = (words.next()?, words.next()?, words.next()?);
    let mut stack = || {
        let mut names = vec![words.next()?];
        while words.next_if_eq(&"->").is_some() {
            names.push(words.next()?);
        }
        Some(names)
    };
    let own = stack()?;
    let next = stack()?;
    let awaiter = (next != ["0x0"]).then_some(next);
    let awaiter = match awaiter {
        None => None,
        Some(stack) => Some((stack, words.nth(1)?)),
    };
    Some(Row { tid, id, name, stack: own, awaiter })
}

/// True when the frames have all these functions, in this order: a stack of CPython's tool may end at an async generator.
fn has_all(frames: &Value, functions: &[&str]) -> bool {
    let mut frames = compare::list(frames).iter().filter_map(|frame| frame["function"].as_str());
    functions.iter().all(|function| frames.any(|name| name == *function))
}

/// Whatever `python -m asyncio ps` shows is there, and there is more.
fn as_ps_has_them(interpreter: &Interpreter, stage: &Stage) -> Outcome {
    let target = start_for_ps(interpreter, stage)?;
    let dump = Dump::of(&target)?;
    let text = ps(interpreter, target.pid)?;
    let rows: Vec<&str> = text.lines().skip(2).collect();
    ensure!(rows.len() > 5000, "asyncio ps shows {} rows:\n{}", rows.len(), rows.join("\n"));
    let mut edges = 0;
    for line in &rows {
        let row = row(line).ok_or_else(|| format!("no row: {line}"))?;
        let task = dump.seen(&row.id.into()).ok_or_else(|| format!("missing: {line}"))?;
        ensure!(task["tid"].as_u64() == row.tid.parse().ok() && task["name"] == row.name, "{line}\n{task}");
        ensure!(has_all(&task["coroutine_stack"], &row.stack), "{line}\n{task}");
        if let Some((stack, awaiter)) = row.awaiter {
            edges += 1;
            ensure!(compare::list(&task["awaited_by"]).contains(&awaiter.into()), "{line}\n{task}");
            let awaiter = dump.seen(&awaiter.into()).ok_or_else(|| format!("missing awaiter: {line}"))?;
            ensure!(has_all(&awaiter["coroutine_stack"], &stack), "{line}\n{awaiter}");
        }
    }
    let own = compare::list(&dump.seen["tasks"]);
    let own_edges: usize = own.iter().map(|task| compare::list(&task["awaited_by"]).len()).sum();
    ensure!(edges > 5000 && own_edges > edges, "{edges} edges, {own_edges} of ours");
    Ok(())
}

/// The program, with `/proc` in its root if it has one: the interpreter's own tool needs that, in the same mount namespace.
fn start_for_ps(interpreter: &Interpreter, stage: &Stage) -> Result<Target, Failed> {
    if !interpreter.is_in_chroot() {
        return Target::start(interpreter, stage, &["tasks_shapes.py", "tame"]);
    }
    let python = target::python(interpreter);
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", "mount --rbind /proc \"$0\" && exec \"$@\""]);
    command.arg(interpreter.root.join("proc")).arg(python.get_program()).args(python.get_args());
    command.arg(stage.inside("tasks_shapes.py")).arg("tame").env_clear();
    command.envs(python.get_envs().filter_map(|(key, value)| Some((key, value?))));
    Target::spawn(command)
}

/// What the interpreter's own tool prints of the process.
fn ps(interpreter: &Interpreter, pid: i32) -> Result<String, Failed> {
    let python = target::python(interpreter);
    let mut command = Command::new("nsenter");
    command.args(["--mount", "--target", &pid.to_string()]).arg(python.get_program()).args(python.get_args());
    command.args(["-m", "asyncio", "ps", &pid.to_string()]).env_clear();
    command.envs(python.get_envs().filter_map(|(key, value)| Some((key, value?))));
    let output = command.output()?;
    ensure!(output.status.success(), "{command:?}: {output:?}");
    Ok(String::from_utf8(output.stdout)?)
}
