//! `--samples`: threads that move, that are stuck, that begin and end between two samples.

use std::cell::Cell;
use std::time::Duration;

use pyattach::base::ProblemKind;
use pyattach::report::{MotionState, SampleOptions, StackOptions, StackReport, Thread, stack_samples};
use serde_json::Value;

use crate::support::registry::Interpreter;
use crate::support::stage::Stage;
use crate::support::target::Target;
use crate::support::{Failed, Outcome, attach, ensure, kernel};
use crate::{Scenario, everywhere};

pub(crate) const SCENARIOS: &[Scenario] = &[
    Scenario { name: "samples", exists: everywhere, run: samples },
    Scenario { name: "samples_of_hung_process", exists: everywhere, run: hung },
    Scenario { name: "samples_with_events", exists: everywhere, run: events },
    Scenario { name: "samples_up_to_the_end", exists: everywhere, run: ending },
];

/// Starts motion.py with these threads, and waits until all that are to wait are blocked.
fn start(interpreter: &Interpreter, stage: &Stage, threads: &[&str]) -> Result<Target, Failed> {
    let target = Target::start(interpreter, stage, &[&["motion.py"], threads].concat())?;
    kernel::wait_for_read(target.pid, target.pid)?;
    for (tid, name) in kernel::threads(target.pid)?.into_iter().skip(1).zip(threads) {
        if !["spins", "wakes"].contains(name) {
            kernel::wait_for_futex(target.pid, tid)?;
        }
    }
    Ok(target)
}

fn is_positive(number: &Value) -> bool {
    number.as_f64().is_some_and(|number| number > 0.0)
}

/// The motion of a thread in JSON.
fn motion<'s>(seen: &'s Value, name: &str) -> Result<&'s Value, Failed> {
    let thread = seen["threads"].as_array().into_iter().flatten().find(|thread| thread["name"] == name);
    Ok(&thread.ok_or_else(|| format!("no thread {name}: {}", seen["threads"]))?["motion"])
}

/// All sorts at once, by the command.
fn samples(interpreter: &Interpreter, stage: &Stage) -> Outcome {
    let target = start(interpreter, stage, &["stuck", "wakes", "spins"])?;
    let arguments = ["--samples", "3", "--interval", "0.1"];
    let seen = attach::snapshot(target.pid, &arguments)?;
    ensure!(seen["samples"]["count"] == 3 && seen["samples"]["interval_ms"] == 100.0, "samples: {}", seen["samples"]);
    let window = seen["samples"]["window_ms"].as_f64().unwrap_or_default();
    ensure!((200.0..60_000.0).contains(&window), "samples: {}", seen["samples"]);
    for name in ["stuck", "MainThread"] {
        let stuck = motion(&seen, name)?;
        let still = stuck["switches"] == 0 && stuck["cpu_ms"] == 0.0 && stuck["distinct_stacks"] == 1;
        ensure!(stuck["state"] == "stuck" && still && stuck["samples"] == 3, "{name}: {stuck}");
        let watched = stuck["window_ms"].as_f64().unwrap_or_default();
        ensure!((200.0..=window).contains(&watched), "{name}: {stuck}");
    }
    let wakes = motion(&seen, "wakes")?;
    ensure!(wakes["state"] == "same_stack" && wakes["switches"].as_u64() > Some(0), "wakes: {wakes}");
    let spins = motion(&seen, "spins")?;
    ensure!(spins["state"] != "stuck" && is_positive(&spins["cpu_ms"]), "spins: {spins}");
    ensure!((spins["state"] == "moves") == (spins["distinct_stacks"] != 1), "spins: {spins}");
    let answer = attach::stack(target.pid, &arguments)?;
    answer.ensure_code(&[0])?;
    let text = answer.text();
    for part in ["3 samples in ", ", asleep, stuck for at least ", "the same stack in 3 samples, ran for "] {
        ensure!(text.contains(part), "no {part:?} in:\n{text}");
    }
    kernel::ensure_left_alone(target.pid)
}

/// A process in which nothing moves is not disturbed by any number of samples, and without them nothing is said of motion.
fn hung(interpreter: &Interpreter, stage: &Stage) -> Outcome {
    let target = start(interpreter, stage, &["stuck", "stuck"])?;
    let seen = attach::snapshot(target.pid, &["-n", "5", "--interval", "0.01"])?;
    let stuck = |thread: &Value| thread["motion"]["state"] == "stuck";
    ensure!(seen["threads"].as_array().is_some_and(|all| all.len() == 3 && all.iter().all(stuck)), "threads: {seen}");
    ensure!(seen["snapshot"]["mode"] == "none", "stopped an idle process: {}", seen["snapshot"]);
    let text = attach::stack(target.pid, &["-n", "2", "--interval", "0.01"])?.text();
    ensure!(text.contains("2 threads with the same stack: \"stuck\""), "not folded:\n{text}");
    let seen = attach::snapshot(target.pid, &[])?;
    ensure!(seen.get("samples").is_none() && seen["threads"][0].get("motion").is_none(), "one reading: {seen}");
    Ok(())
}

fn find<'r>(report: &'r StackReport, name: &str) -> Result<&'r Thread, Failed> {
    let found = report.threads.iter().find(|thread| thread.name.as_deref() == Some(name));
    found.ok_or_else(|| format!("no thread {name}").into())
}

/// Samples by the library, where what happens between two of them is up to the test.
fn sampled(target: &mut Target, count: u32, between: impl Fn(&mut Target) -> Outcome) -> Result<StackReport, Failed> {
    let options = SampleOptions { count, interval: Duration::ZERO };
    let mut failed = Ok(());
    let pid = target.pid;
    let report = stack_samples(pid, &StackOptions::default(), options, |_| {
        failed = between(target);
        failed.is_ok()
    });
    failed?;
    Ok(report.map_err(|error| error.to_string())?)
}

/// Tells the program what to do, and waits until it is done and all is at rest.
fn tell(target: &mut Target, line: &str) -> Outcome {
    target.tell(line)?;
    ensure!(target.line()? == "done", "{line}");
    let pid = target.pid;
    kernel::wait_until("rest", || {
        // One that has ended by now is no longer in the next list.
        let blocked = |tid: i32| kernel::system_call(pid, tid).is_ok_and(|call| call.is_some());
        Ok(kernel::threads(pid)?.into_iter().all(blocked))
    })
}

/// A thread that begins, one that ends, one that goes on, and one that stays where it is.
fn events(interpreter: &Interpreter, stage: &Stage) -> Outcome {
    let states = |report: &StackReport, name: &str| -> Result<_, Failed> {
        let motion = find(report, name)?.motion.clone().ok_or("no motion")?;
        Ok((motion.state, motion.samples, motion.distinct_stacks))
    };
    let mut target = start(interpreter, stage, &["stuck", "ends"])?;
    let report = sampled(&mut target, 2, |target| {
        tell(target, "end ends\n")?;
        tell(target, "begin goes_on\n")
    })?;
    ensure!(states(&report, "goes_on")? == (MotionState::New, 1, 1), "goes_on: {:?}", states(&report, "goes_on")?);
    ensure!(states(&report, "stuck")? == (MotionState::Stuck, 2, 1), "stuck: {:?}", states(&report, "stuck")?);
    // It obeyed in between, and reads again.
    let main = states(&report, "MainThread")?;
    ensure!(main == (MotionState::SameStack, 2, 1), "the main thread: {main:?}");
    let ended: Vec<_> = report.samples.iter().flat_map(|samples| &samples.ended).map(|t| t.name.as_deref()).collect();
    ensure!(ended == [Some("ends")], "ended: {ended:?}");

    let report = sampled(&mut target, 2, |target| tell(target, "go on\n"))?;
    ensure!(states(&report, "goes_on")? == (MotionState::Moves, 2, 2), "goes_on: {:?}", states(&report, "goes_on")?);
    let switches = find(&report, "goes_on")?.motion.as_ref().and_then(|motion| motion.switches);
    ensure!(switches > Some(0), "it went on without being put on a CPU: {switches:?}");
    Ok(())
}

/// Waits until nothing but a zombie is left of a process.
fn wait_for_end(pid: i32) -> Outcome {
    kernel::wait_until("the end", || {
        let is_zombie = kernel::status(pid, pid, "State")?.starts_with('Z');
        Ok(is_zombie && kernel::threads(pid)?.len() == 1)
    })
}

/// What there is when the process ends after the first sample, or when waiting ends.
fn ending(interpreter: &Interpreter, stage: &Stage) -> Outcome {
    let mut target = start(interpreter, stage, &["stuck"])?;
    let options = SampleOptions { count: 3, interval: Duration::ZERO };
    let report = stack_samples(target.pid, &StackOptions::default(), options, |_| false).map_err(|e| e.to_string())?;
    ensure!(report.samples.as_ref().is_some_and(|samples| samples.count == 1), "samples: {:?}", report.samples);
    ensure!(report.is_complete() && report.threads.iter().all(|t| t.motion.is_none()), "one reading has no motion");

    let report = sampled(&mut target, 3, |target| {
        target.kill();
        wait_for_end(target.pid)
    })?;
    ensure!(report.samples.as_ref().is_some_and(|samples| samples.count == 1), "samples: {:?}", report.samples);
    let gone = report.problems.iter().any(|problem| problem.kind == ProblemKind::Gone);
    ensure!(gone && report.threads.len() == 2 && !report.is_complete(), "problems: {:?}", report.problems);

    // What two samples showed is still said after the end.
    let mut target = start(interpreter, stage, &["stuck"])?;
    let first = Cell::new(true);
    let report = sampled(&mut target, 4, |target| match first.replace(false) {
        true => Ok(()),
        false => {
            target.kill();
            wait_for_end(target.pid)
        }
    })?;
    let motion = find(&report, "stuck")?.motion.clone().ok_or("no motion")?;
    ensure!((motion.state, motion.samples) == (MotionState::Stuck, 2), "after the end: {motion:?}");
    Ok(())
}
