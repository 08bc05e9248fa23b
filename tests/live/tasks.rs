//! asyncio's tasks: one program for each interpreter has all shapes of them, and says of each task what must be seen.
//!
//! A process is started once for each interpreter, and read once; each shape is a test of its own, which compares the tasks of
//! that shape.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, LazyLock, Mutex, OnceLock};

use serde_json::Value;

use crate::support::registry::Interpreter;
use crate::support::stage::Stage;
use crate::support::target::Target;
use crate::support::{Failed, Outcome, attach, compare, ensure, kernel};
use crate::{Scenario, everywhere};

/// A shape of tasks that exists from a minor version on.
macro_rules! shape {
    ($name:literal, $shape:literal, $exists:expr) => {
        Scenario { name: concat!("tasks_", $name), exists: $exists, run: |i, s| of_shape(i, s, $shape) }
    };
    ($name:literal) => {
        shape!($name, $name, everywhere)
    };
}

pub(crate) const SCENARIOS: &[Scenario] = &[
    shape!("nested"),
    shape!("async_generators"),
    shape!("gather"),
    shape!("wait"),
    shape!("task_group", "task_group", |i| i.since(11)),
    shape!("shield"),
    shape!("wait_for"),
    shape!("timeout", "timeout", |i| i.since(11)),
    shape!("awaited_tasks", "task", everywhere),
    shape!("queues", "queue", everywhere),
    shape!("locks"),
    shape!("executors", "executor", everywhere),
    shape!("sleep"),
    shape!("sockets", "socket", everywhere),
    shape!("subprocess"),
    shape!("eager", "eager", |i| i.since(12)),
    shape!("in_python", "python_tasks", everywhere),
    shape!("subclassed"),
    shape!("in_a_circle", "cycle", everywhere),
    shape!("in_a_chain", "chain", everywhere),
    shape!("finished", "finished", everywhere),
    shape!("being_cancelled", "cancelled", everywhere),
    shape!("of_main", "main", everywhere),
    Scenario { name: "tasks_and_no_others", exists: everywhere, run: no_others },
    Scenario { name: "tasks_of_loops", exists: everywhere, run: loops },
    Scenario { name: "tasks_in_circles", exists: everywhere, run: circles },
];

/// What a program said, and what was seen of it.
pub(crate) struct Dump {
    pub(crate) expect: Value,
    pub(crate) seen: Value,
    /// Tasks that were seen, by id.
    pub(crate) tasks: HashMap<String, usize>,
}

type Dumps = Mutex<HashMap<String, Arc<OnceLock<Result<Dump, String>>>>>;

/// The dump of an interpreter's process, which the first test that needs it makes.
fn with_dump(interpreter: &Interpreter, stage: &Stage, check: impl FnOnce(&Dump) -> Outcome) -> Outcome {
    static DUMPS: LazyLock<Dumps> = LazyLock::new(Dumps::default);
    let slot = {
        let mut dumps = DUMPS.lock().map_err(|_| "a test panicked")?;
        Arc::clone(dumps.entry(interpreter.name.clone()).or_default())
    };
    let dump = slot.get_or_init(|| {
        let text = |failed: Failed| failed.message().unwrap_or_default().to_owned();
        let target = Target::start(interpreter, stage, &["tasks_shapes.py"]).map_err(text)?;
        Dump::of(&target).map_err(text)
    });
    check(dump.as_ref().map_err(Clone::clone)?)
}

impl Dump {
    pub(crate) fn of(target: &Target) -> Result<Dump, Failed> {
        kernel::wait_for_rest(target.pid)?;
        // The machine may be busy with other tests; a part of this time is for values.
        let seen = attach::tasks_json(target.pid, &["--max-pause", "30000"])?;
        let ids = compare::list(&seen["tasks"]).iter().enumerate();
        let tasks = ids.map(|(place, task)| (task["id"].as_str().unwrap_or_default().to_owned(), place)).collect();
        Ok(Dump { expect: target.expect.clone(), seen, tasks })
    }

    pub(crate) fn seen(&self, id: &Value) -> Option<&Value> {
        self.seen["tasks"].get(*self.tasks.get(id.as_str()?)?)
    }

    /// Compares the tasks of one shape.
    pub(crate) fn ensure_shape(&self, shape: &str) -> Outcome {
        let said = compare::list(&self.expect["tasks"]).iter().filter(|task| task["shape"] == shape);
        let mut differences = Vec::new();
        let mut count = 0;
        for said in said {
            count += 1;
            let name = format!("{} {}", said["id"], said["name"]);
            match self.seen(&said["id"]) {
                Some(seen) => compare_task(&name, said, seen, &mut differences),
                None if said["optional"] == true => {}
                None => differences.push(format!("{name} is missing")),
            }
        }
        ensure!(count > 0, "no task of the shape {shape}");
        compare::report(differences)
    }
}

fn of_shape(interpreter: &Interpreter, stage: &Stage, shape: &str) -> Outcome {
    with_dump(interpreter, stage, |dump| dump.ensure_shape(shape))
}

const KEYS: &[&str] = &["class", "loop", "tid", "state"];

fn compare_task(name: &str, said: &Value, seen: &Value, differences: &mut Vec<String>) {
    compare::compare_keys(name, KEYS, said, seen, differences);
    let mut same = |what: &str, said: &Value, seen: &Value| {
        if said != seen {
            differences.push(format!("{name}: {what}: {said} / {seen}"));
        }
    };
    match (&said["name"], said["nameless"] == true) {
        // One that asyncio made up, which the program must not ask for: that would change how it is kept.
        (Value::Null, false) => {
            same("made-up name", &true.into(), &seen["name"].as_str().is_some_and(|n| n.starts_with("Task-")).into());
        }
        (name, _) => same("name", name, &seen["name"]),
    }
    same("awaiting", &said["kind"], &seen["awaiting"]["kind"]);
    let mut by: Vec<Value> = compare::list(&seen["awaited_by"]).to_vec();
    by.sort_by_key(ToString::to_string);
    same("awaited by", &said["awaited_by"], &Value::Array(by));
    for key in ["cancel_requests", "fd"].into_iter().filter(|key| said.get(key).is_some()) {
        let seen = if key == "fd" { &seen["awaiting"][key] } else { &seen[key] };
        same(key, &said[key], seen);
    }
    if let Some(exception) = said.get("exception") {
        same("exception", exception, &seen["exception"]["repr"]);
        same("retrieved", &false.into(), &seen["exception"]["retrieved"]);
    }
    if said["kind"] == "sleep" {
        let left = seen["awaiting"]["seconds_left"].as_f64().unwrap_or_default();
        same("the time left", &true.into(), &(99_000.0..=100_000.0).contains(&left).into());
    }
    compare::compare_frames(name, compare::list(&said["frames"]), compare::list(&seen["coroutine_stack"]), differences);
}

/// Nothing is seen that is not there.
fn no_others(interpreter: &Interpreter, stage: &Stage) -> Outcome {
    with_dump(interpreter, stage, |dump| {
        let said = compare::list(&dump.expect["tasks"]).iter().filter_map(|task| task["id"].as_str());
        let said: BTreeSet<&str> = said.collect();
        let others: Vec<&Value> = compare::list(&dump.seen["tasks"])
            .iter()
            // Done ones that are not collected yet may be found on the way.
            .filter(|task| !said.contains(task["id"].as_str().unwrap_or_default()) && task["state"] == "pending")
            .collect();
        ensure!(others.is_empty(), "{} tasks that are not there: {:?}", others.len(), others.first());
        ensure!(said.len() > 5000, "only {} tasks", said.len());
        let mode = &dump.seen["snapshot"]["mode"];
        ensure!(mode == "none", "stopped an idle process: {mode}");
        Ok(())
    })
}

/// Both loops, each with its thread and its tasks, and both idle.
fn loops(interpreter: &Interpreter, stage: &Stage) -> Outcome {
    with_dump(interpreter, stage, ensure_loops)
}

pub(crate) fn ensure_loops(dump: &Dump) -> Outcome {
    let (said, seen) = (compare::list(&dump.expect["loops"]), compare::list(&dump.seen["loops"]));
    ensure!(said.len() == seen.len(), "{} loops, not {}: {seen:?}", seen.len(), said.len());
    for said in said {
        let seen = seen.iter().find(|seen| seen["id"] == said["id"]);
        let seen = seen.ok_or_else(|| format!("no loop {}", said["id"]))?;
        ensure!(seen["class"] == said["class"], "class {} / {}", said["class"], seen["class"]);
        ensure!(seen["thread"]["tid"] == said["tid"], "thread {} / {}", said["tid"], seen["thread"]["tid"]);
        ensure!(seen["idle"] == true && seen["running_task"].is_null(), "not idle: {seen}");
        ensure!(seen["blocked_in"]["syscall"].as_str().is_some_and(|call| call.contains("poll")), "{seen}");
        // Of foreign loops what is ready cannot be read.
        let is_own = said["class"].as_str().is_some_and(|class| class.starts_with("asyncio."));
        ensure!(!is_own || (seen["ready"] == 0 && seen["scheduled"].as_u64() >= Some(1)), "{seen}");
        let (least, most) = (said["tasks"].as_u64().unwrap_or_default(), seen["tasks"].as_u64().unwrap_or_default());
        // One that is done need not be found.
        ensure!(most + 1 >= least, "{most} of {least} tasks");
    }
    Ok(())
}

/// The one circle, each task of which waits for the next.
fn circles(interpreter: &Interpreter, stage: &Stage) -> Outcome {
    with_dump(interpreter, stage, |dump| {
        let circles = compare::list(&dump.seen["cycles"]);
        ensure!(circles.len() == 1, "{} circles", circles.len());
        let circle = compare::list(&circles[0]);
        let said = compare::list(&dump.expect["tasks"]).iter().filter(|task| task["shape"] == "cycle");
        let said: BTreeSet<String> = said.map(|task| task["id"].to_string()).collect();
        let members: BTreeSet<String> = circle.iter().map(Value::to_string).collect();
        ensure!(said == members && circle.len() == said.len(), "the circle {circle:?}, not {said:?}");
        for (task, next) in circle.iter().zip(circle.iter().cycle().skip(1)) {
            let by = dump.seen(next).map(|next| &next["awaited_by"]);
            ensure!(by.is_some_and(|by| compare::list(by).contains(task)), "{task} does not wait for {next}");
        }
        Ok(())
    })
}
