//! What tasks wait for: each reason with a task that says what must be seen of its wait, on every interpreter.

use pyattach::asyncio::{Asyncio, Awaiting, RawLoop, RawTask, ReadAsyncio};
use pyattach::base::{Addr, AddrMap, Problem};
use pyattach::cpython::{LayoutChoice, find, find_asyncio};
use pyattach::interp::{Pause, SnapshotOptions, snapshot};
use pyattach::os::{Process, with_deadline};
use serde_json::{Value, json};

use crate::support::registry::Interpreter;
use crate::support::stage::Stage;
use crate::support::target::{DEADLINE, Target};
use crate::support::{Failed, Outcome, attach, ensure, kernel};
use crate::{Scenario, everywhere};

pub(crate) const SCENARIOS: &[Scenario] = &[Scenario { name: "tasks_why", exists: everywhere, run: reasons }];

/// Tasks that each wait for something else, and the loop that one of them blocks.
fn reasons(interpreter: &Interpreter, stage: &Stage) -> Outcome {
    let target = Target::start(interpreter, stage, &["tasks_why.py"])?;
    kernel::wait_for_read(target.pid, target.pid)?;
    let seen = read(target.pid)?;
    ensure!(seen.problems.is_empty(), "{:?}", seen.problems);
    let functions: AddrMap<String> = seen.tasks.iter().map(|task| (task.address, task.function.clone())).collect();
    let mut differences = Vec::new();
    for (name, said) in target.expect["tasks"].as_object().ok_or("no tasks")? {
        let mut found = seen.tasks.iter().filter(|task| task.function == *name);
        let task = found.next().ok_or_else(|| format!("no task {name}"))?;
        ensure!(found.next().is_none(), "several tasks {name}");
        differences.extend(differences_of(name, said, task.awaiting.as_ref(), &functions));
    }
    let event_loop = seen.loops.first().ok_or("no loop")?;
    let counts = json!({"ready": event_loop.ready, "scheduled": event_loop.scheduled, "ident": event_loop.ident});
    if counts != target.expect["loop"] {
        differences.push(format!("loop: {} / {counts}", target.expect["loop"]));
    }
    ensure!(event_loop.closed == Some(false), "a closed loop: {event_loop:?}");
    ensure!(event_loop.debug == Some(false), "debug mode: {event_loop:?}");
    ensure!(differences.is_empty(), "{}", differences.join("\n"));
    marks(&target)?;
    peers(&target)
}

/// The command adds the other end of a connection.
fn peers(target: &Target) -> Outcome {
    let seen = attach::tasks_json(target.pid, &[])?;
    let said = target.expect["tasks"].as_object().into_iter().flat_map(|tasks| tasks.values());
    for said in said.filter(|said| said["peer"].is_string()) {
        let words =
            format!("{} -> {}", said["text"].as_str().unwrap_or_default(), said["peer"].as_str().unwrap_or_default());
        let mut texts = seen["tasks"].as_array().into_iter().flatten().map(|task| &task["awaiting"]["text"]);
        ensure!(texts.any(|text| text.as_str().is_some_and(|text| text.starts_with(&words))), "no {words:?}: {seen}");
    }
    Ok(())
}

/// A plain stack says which loop a thread runs and which task holds it up; threads of a pool have none.
fn marks(target: &Target) -> Outcome {
    let seen = attach::snapshot(target.pid, &[])?;
    let threads = seen["threads"].as_array().ok_or("no threads")?;
    for thread in threads {
        let said = if thread["main"] == true { &target.expect["thread"] } else { &Value::Null };
        ensure!(thread["event_loop"] == *said, "{} / {said}", thread["event_loop"]);
    }
    let task = &target.expect["thread"]["running_task"];
    let task = match task["name"].as_str() {
        Some(name) => format!("\"{name}\""),
        None => task["id"].as_str().unwrap_or_default().to_owned(),
    };
    let line = format!("  event loop: is blocked by task {task}, {} ready, ", target.expect["thread"]["ready"]);
    let text = attach::stack(target.pid, &[])?.text();
    ensure!(text.lines().filter(|shown| shown.starts_with(&line)).count() == 1, "no line {line:?}: {text}");
    Ok(())
}

fn differences_of(name: &str, said: &Value, seen: Option<&Awaiting>, functions: &AddrMap<String>) -> Vec<String> {
    let Some(seen) = seen else { return vec![format!("{name}: nothing / {said}")] };
    let mut differences = Vec::new();
    let mut expect = |holds: bool, what: &str| {
        if !holds {
            differences.push(format!("{name}: {what}: {seen:?} / {said}"));
        }
    };
    expect(said["kind"] == kind(seen), "kind");
    expect(said["text"].as_str().is_some_and(|text| seen.text.starts_with(text)), "text");
    // All of it has to be said, but for seconds, which are another's.
    let whole = said["seconds"].is_array() || said["text"].as_str().is_some_and(|text| text.ends_with("held by "));
    expect(whole || said["text"] == seen.text.as_str(), "the end of the text");
    expect(said["fd"] == json!(seen.fd), "descriptor");
    let within = match (&said["seconds"], seen.seconds_left) {
        (Value::Null, left) => left.is_none(),
        (range, Some(left)) => range[0].as_f64() <= Some(left) && Some(left) <= range[1].as_f64(),
        (_, None) => false,
    };
    expect(within, "seconds");
    let tasks = seen.tasks.iter().map(|task| functions.get(task).cloned().unwrap_or_default());
    let mut tasks: Vec<String> = tasks.collect();
    tasks.sort();
    let none = json!([]);
    let said_tasks = if said["tasks"].is_null() { &none } else { &said["tasks"] };
    expect(json!(tasks) == *said_tasks, "tasks");
    differences
}

/// `TaskGroup` as `task_group`.
fn kind(seen: &Awaiting) -> String {
    let mut words = String::new();
    for letter in format!("{:?}", seen.kind).chars() {
        if letter.is_uppercase() && !words.is_empty() {
            words.push('_');
        }
        words.extend(letter.to_lowercase());
    }
    words
}

/// The function that a task's coroutine is of.
fn function_of(asyncio: &Asyncio, task: &RawTask) -> String {
    let code = task.chain.first().and_then(|link| link.frame).map(|frame| frame.code);
    let code = code.and_then(|code: Addr| asyncio.codes.get(&code)?.as_ref().ok());
    code.map(|code| code.name.to_string()).unwrap_or_default()
}

/// What is compared.
struct Seen {
    tasks: Vec<SeenTask>,
    loops: Vec<RawLoop>,
    problems: Vec<Problem>,
}

struct SeenTask {
    address: Addr,
    function: String,
    awaiting: Option<Awaiting>,
}

impl Seen {
    fn of(asyncio: Asyncio) -> Seen {
        let seen = |task: &RawTask| SeenTask {
            address: task.address,
            function: function_of(&asyncio, task),
            awaiting: task.awaiting.clone(),
        };
        Seen { tasks: asyncio.tasks.iter().map(seen).collect(), loops: asyncio.loops, problems: asyncio.problems }
    }
}

/// Everything of asyncio in a process.
fn read(pid: i32) -> Result<Seen, Failed> {
    let work = move || -> Result<Seen, String> {
        let text = |error: &dyn std::fmt::Display| error.to_string();
        let process = Process::open(pid).map_err(|error| text(&error))?;
        let modules = process.modules().map_err(|error| text(&error))?;
        let memory = process.memory();
        let runtime = find(&process, &modules, &memory, LayoutChoice::Auto).map_err(|error| text(&error))?;
        let along = ReadAsyncio { debug: find_asyncio(&modules, &memory, &runtime) };
        let tasks = process.tasks().map_err(|error| text(&error))?;
        let options = SnapshotOptions { pause: Pause::Never, ..SnapshotOptions::default() };
        let taken = snapshot(&memory, &runtime, &tasks, &process.facts().ns_pids, options, &along);
        Ok(Seen::of(taken.map_err(|error| text(&error))?.along))
    };
    Ok(with_deadline(DEADLINE, work).ok_or("reading takes too long")??)
}
