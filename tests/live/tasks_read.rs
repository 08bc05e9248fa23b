//! What is read of asyncio, without a report: each task of a program against what the program says of it.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use pyattach::asyncio::{Asyncio, LinkKind, RawTask, ReadAsyncio, TaskState};
use pyattach::base::Addr;
use pyattach::cpython::{LayoutChoice, find, find_asyncio};
use pyattach::interp::{Mode, Snapshot, SnapshotOptions, snapshot};
use pyattach::os::{Process, with_deadline};
use serde_json::Value;

use crate::support::registry::Interpreter;
use crate::support::stage::Stage;
use crate::support::target::{DEADLINE, Target};
use crate::support::{Failed, Outcome, ensure, kernel};
use crate::{Scenario, everywhere};

pub(crate) const SCENARIOS: &[Scenario] = &[
    Scenario { name: "tasks_read", exists: everywhere, run: |i, stage| same(i, stage, &["tasks_read.py"]) },
    Scenario { name: "tasks_read_debug", exists: everywhere, run: |i, s| same(i, s, &["tasks_read.py", "debug"]) },
    Scenario { name: "tasks_read_churn", exists: has_churn, run: churn },
];

/// Interpreters that differ in how they keep tasks, or in who may change them.
fn has_churn(interpreter: &Interpreter) -> bool {
    ["3.8", "3.12", "3.14", "3.15", "3.14t", "3.15t"].contains(&&*interpreter.name)
}

/// Snapshots of a program that changes all the time, on each interpreter; PYATTACH_CHURN_DUMPS asks for more.
const SNAPSHOTS: usize = 20;

/// Reads asyncio as `pyattach tasks` does, and looks at what was read.
fn read<T: Send + 'static>(
    pid: i32,
    look: impl FnOnce(&Snapshot<Asyncio>) -> Result<T, Failed> + Send + 'static,
) -> Result<T, Failed> {
    let looked = with_deadline(DEADLINE, move || {
        let process = Process::open(pid)?;
        let modules = process.modules()?;
        let memory = process.memory();
        let runtime = find(&process, &modules, &memory, LayoutChoice::Auto)?;
        let tasks = process.tasks()?;
        let ids = process.facts().ns_pids;
        let along = ReadAsyncio { debug: find_asyncio(&modules, &memory, &runtime) };
        // Longer than is good for a service: what is asked here is whether it is right, not whether it is quick.
        let options = SnapshotOptions { max_pause: DEADLINE / 4, ..SnapshotOptions::default() };
        look(&snapshot(&memory, &runtime, &tasks, &ids, options, &along)?)
    });
    looked.ok_or("no snapshot in time")?
}

fn same(interpreter: &Interpreter, stage: &Stage, program: &[&str]) -> Outcome {
    let target = Target::start(interpreter, stage, program)?;
    kernel::wait_for_read(target.pid, target.pid)?;
    let expect = target.expect.clone();
    read(target.pid, move |taken| same_as(&expect, taken))?;
    kernel::ensure_left_alone(target.pid)
}

fn same_as(expect: &Value, taken: &Snapshot<Asyncio>) -> Outcome {
    ensure!(taken.mode == Mode::None, "it was stopped: {:?}", taken.mode);
    let asyncio = &taken.along;
    ensure!(asyncio.problems.is_empty(), "{:?}", asyncio.problems);
    let expected = expect["tasks"].as_array().ok_or("no tasks expected")?;
    let by_id: HashMap<String, &RawTask> = asyncio.tasks.iter().map(|task| (task.address.to_string(), task)).collect();
    ensure!(by_id.len() == asyncio.tasks.len(), "a task is there twice");
    let idents: HashMap<Addr, u64> = taken.world.threads().map(|thread| (thread.address, thread.ident)).collect();
    for expected in expected.iter() {
        let task = by_id.get(expected["id"].as_str().unwrap_or_default()).ok_or(format!("missing: {expected}"))?;
        let seen = describe(task, asyncio, &idents);
        ensure!(seen == *expected, "seen\n{seen}\ninstead of\n{expected}\n{task:?}");
        let created = task.created_at.iter().any(|(file, line, _)| file.ends_with("tasks_read.py") && *line > 0);
        // The other thread's loop is not in debug mode.
        let is_recorded = expect["debug"] == true && expected["chain"][0] != "of_other_thread";
        ensure!(created == is_recorded, "{:?}: {expected}", task.created_at);
    }
    let known: Vec<_> = expected.iter().filter_map(|task| task["id"].as_str()).collect();
    let others: Vec<_> = by_id.iter().filter(|(id, _)| !known.contains(&id.as_str())).map(|(_, task)| task).collect();
    ensure!(others.is_empty(), "nobody made these: {others:?}");
    ensure_loops(taken)
}

/// One loop for each of the two threads, one of which runs a task.
fn ensure_loops(taken: &Snapshot<Asyncio>) -> Outcome {
    let loops = &taken.along.loops;
    ensure!(loops.len() == 2, "{loops:?}");
    for event_loop in loops {
        ensure!(&*event_loop.class == "asyncio.unix_events._UnixSelectorEventLoop", "{event_loop:?}");
        let thread = taken.world.threads().find(|thread| Some(thread.address) == event_loop.thread);
        let thread = thread.ok_or(format!("no thread runs {event_loop:?}"))?;
        ensure!(event_loop.ident == Some(thread.ident), "{event_loop:?} in {thread:?}");
    }
    let running: Vec<_> = loops.iter().filter_map(|event_loop| event_loop.running_task).collect();
    let tasks = taken.along.tasks.iter().filter(|task| task.state == TaskState::Running).map(|task| task.address);
    ensure!(running.len() == 1 && running == tasks.collect::<Vec<_>>(), "{running:?} run");
    Ok(())
}

/// A task in the words of the program.
fn describe(task: &RawTask, asyncio: &Asyncio, idents: &HashMap<Addr, u64>) -> Value {
    let state = match task.state {
        TaskState::Pending => "pending",
        TaskState::Running => "running",
        TaskState::Finished => "finished",
        TaskState::Failed => "failed",
        TaskState::Cancelled => "cancelled",
    };
    let chain: Vec<&str> = task
        .chain
        .iter()
        .filter_map(|link| asyncio.codes.get(&link.frame?.code)?.as_ref().ok())
        .filter(|code| !code.filename.contains("/asyncio/"))
        .map(|code| &*code.name)
        .collect();
    let mut awaited_by: Vec<String> = task.awaited_by.iter().map(Addr::to_string).collect();
    awaited_by.sort_unstable();
    let ends_in_future = task.chain.last().is_some_and(|link| link.kind == LinkKind::Future);
    let mut seen = serde_json::json!({
        "id": task.address.to_string(),
        "name": task.name.as_deref(),
        "class": &*task.class,
        "state": state,
        "chain": chain,
        "awaited_by": awaited_by,
        "requests": task.cancel_requests,
        "exception": task.exception.as_ref().map(|value| value.type_name.rsplit('.').next().unwrap_or_default()),
        "ident": task.thread.and_then(|thread| idents.get(&thread)),
    });
    if task.error.is_some() || ends_in_future != (state == "pending") {
        seen["wrong"] =
            serde_json::json!({ "error": task.error.map(|error| error.to_string()), "future": ends_in_future });
    }
    seen
}

/// Tasks that are made and end all the time: each chain and each edge must be one that can be.
fn churn(interpreter: &Interpreter, stage: &Stage) -> Outcome {
    let snapshots = std::env::var("PYATTACH_CHURN_DUMPS").map_or(Ok(SNAPSHOTS), |text| text.parse())?;
    let count = std::env::var("PYATTACH_CHURN_TASKS").unwrap_or_else(|_| "200".to_owned());
    let target = Target::start(interpreter, stage, &["tasks_churn.py", &count])?;
    let (mut failures, mut seen) = (Vec::new(), 0);
    let mut measured = Vec::new();
    for number in 0..snapshots {
        let begin = Instant::now();
        let looked = read(target.pid, move |taken| {
            let (read, begin) = (begin.elapsed(), Instant::now());
            let tasks = impossible(&taken.along)?;
            Ok((tasks, Measured { read, look: begin.elapsed(), pause: taken.pause, attempts: taken.attempts }))
        });
        match looked {
            Ok((tasks, times)) => {
                seen += tasks;
                measured.push(times);
            }
            Err(why) => failures.push(format!("snapshot {number}: {}", why.message().unwrap_or_default())),
        }
    }
    if std::env::var_os("PYATTACH_CHURN_DUMPS").is_some() {
        eprintln!("{}: {} tasks a snapshot, {}", interpreter.name, seen / snapshots.max(1), Measured::words(&measured));
    }
    let shown = failures.iter().take(3).map(String::as_str).collect::<Vec<_>>().join("\n");
    ensure!(failures.is_empty(), "{} of {snapshots} snapshots are wrong:\n{shown}", failures.len());
    ensure!(seen > snapshots * 20, "{seen} tasks in {snapshots} snapshots");
    kernel::ensure_left_alone(target.pid)
}

/// What a snapshot took.
struct Measured {
    read: Duration,
    look: Duration,
    pause: Duration,
    attempts: u32,
}

impl Measured {
    /// Medians and what was most.
    fn words(all: &[Measured]) -> String {
        let of = |what: &str, times: fn(&Measured) -> f64| {
            let mut times: Vec<f64> = all.iter().map(times).collect();
            times.sort_unstable_by(f64::total_cmp);
            let at = |place: usize| times.get(place).copied().unwrap_or(f64::NAN);
            format!("{what} {:.1}, at most {:.1}", at(times.len() / 2), at(times.len().saturating_sub(1)))
        };
        [
            of("ms to read", |m| m.read.as_secs_f64() * 1e3),
            of("ms to look through", |m| m.look.as_secs_f64() * 1e3),
            of("ms of pause", |m| m.pause.as_secs_f64() * 1e3),
            of("attempts", |m| f64::from(m.attempts)),
        ]
        .join("; ")
    }
}

/// Fails if a task cannot be as it is shown; else says how many there are.
fn impossible(asyncio: &Asyncio) -> Result<usize, Failed> {
    ensure!(asyncio.problems.is_empty(), "{:?}", asyncio.problems);
    let by_address: HashMap<Addr, &RawTask> = asyncio.tasks.iter().map(|task| (task.address, task)).collect();
    let is_running = |task: &RawTask| task.state == TaskState::Running;
    ensure!(asyncio.tasks.iter().filter(|task| is_running(task)).count() <= 1, "two tasks run at a time");
    for task in &asyncio.tasks {
        let names = names(task, asyncio);
        let outline = || format!("{task:?}\n{}", names.join(" > "));
        ensure!(task.error.is_none(), "{}", outline());
        for other in &task.awaited_by {
            let other = by_address.get(other).ok_or_else(|| format!("awaited by what is no task: {}", outline()))?;
            // One that is stopped while it begins to wait, or ceases to, runs.
            let waits = other.waiter == Some(task.address) || is_running(other);
            ensure!(waits, "said to be awaited by one that waits for {:?}: {}", other.waiter, outline());
        }
        let (Some((kind, rest)), Some(waiter)) = (task.name.as_deref().and_then(|n| n.split_once('-')), task.waiter)
        else {
            continue;
        };
        if task.state != TaskState::Pending || !["parent", "child"].contains(&kind) {
            continue;
        }
        let depth: usize = rest.rsplit('-').next().unwrap_or_default().parse()?;
        let expected: Vec<String> = (0..=depth).rev().map(|level| format!("{kind}{}", level % 3)).collect();
        ensure!(names == expected, "instead of {expected:?}: {}", outline());
        if kind == "parent" {
            let child = by_address.get(&waiter).ok_or_else(outline)?;
            let child_name = child.name.as_deref().unwrap_or_default();
            ensure!(child_name == format!("child-{rest}"), "awaits {child_name}: {}", outline());
        }
    }
    Ok(asyncio.tasks.len())
}

fn names(task: &RawTask, asyncio: &Asyncio) -> Vec<String> {
    let code = |link: &pyattach::asyncio::RawLink| asyncio.codes.get(&link.frame?.code)?.as_ref().ok();
    task.chain.iter().filter_map(code).map(|code| code.name.to_string()).collect()
}
