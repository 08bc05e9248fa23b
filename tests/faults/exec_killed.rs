//! `SIGKILL` between any two of the system calls by which a script is run in a process, and at random moments: the process runs
//! on as if nothing had been, and the next script runs.
//!
//! Each cell kills at each step in turn until one run needs no more of them, and then the command itself at a few random moments.
//! `PYATTACH_KILLS=500` makes it so many in each cell, and prints what came of them.

use std::collections::BTreeSet;
use std::fs;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use libtest_mimic::Trial;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use crate::exec_driver::Order;
use crate::support::registry;
use crate::support::stage::Stage;
use crate::support::target::{DEADLINE, Target};
use crate::support::{Failed, Outcome, attach, ensure};

/// The grid: each version with each state of exec_beating.py.
const VERSIONS: [&str; 5] = ["3.7", "3.9", "3.11", "3.13", "3.14"];
const STATES: [&str; 6] = ["busy", "malloc", "sleep", "lock", "select", "recv"];

/// Beside it: other builds, and routes that are not taken by themselves there.
const MORE: &[(&str, &str, &str)] = &[
    ("3.14", "busy", "remote-debugger"),
    ("3.13", "sleep", "signal-frame"),
    ("3.14t", "select", ""),
    ("3.11", "recv", "new-thread"),
    ("3.11", "recv", "signal-frame"),
];

pub(crate) fn trials() -> Vec<Trial> {
    let grid = STATES.iter().flat_map(|state| VERSIONS.map(|version| (version, *state, "")));
    let one = |(version, state, route): (&'static str, &'static str, &'static str)| {
        let by = if route.is_empty() { String::new() } else { format!("_by_{route}") };
        Trial::test(format!("faults::exec_killed::{state}{by}::{version}"), move || cell(version, state, route))
    };
    grid.chain(MORE.iter().copied()).map(one).collect()
}

/// More steps than any route has.
const STEPS: u32 = 150;

fn cell(version: &str, state: &str, route: &'static str) -> Outcome {
    let interpreter = registry::find(version)?;
    let target = Target::start(&interpreter, &Stage::new(&interpreter.root)?, &["exec_beating.py", state])?;
    let before = Being::of(target.pid)?;
    let last_step = at_each_step(&target, &before, route)?;
    let random = at_random_moments(&target, &before, route)?;
    // Whatever is still on its way has had its turn when the next has run.
    let last = Order::new(target.pid, "import __main__\nchannel(repr(__main__.ran))").by(route).run()?;
    ensure!(last.ok, "after all: {last}");
    let ran: Vec<u32> = serde_json::from_str(last.answer())?;
    ensure!(ran.iter().collect::<BTreeSet<_>>().len() == ran.len(), "some ran twice: {ran:?}");
    let lost: Vec<_> = random.went_through.iter().filter(|number| !ran.contains(number)).collect();
    ensure!(lost.is_empty(), "said to have run, and did not: {lost:?}");
    beats_on(&target)?;
    before.ensure_nothing_left(target.pid)?;
    if kills() > FEW {
        eprintln!(
            "{version} {state} {route}: killed before each of {} steps and at {} random moments; {} between them ran",
            last_step - 1,
            random.killed,
            random.went_through.len()
        );
    }
    Ok(())
}

/// Kills at the first step, the second and so on; gives the number of the run that needed no more.
fn at_each_step(target: &Target, before: &Being, route: &'static str) -> Result<u32, Failed> {
    for step in 1..STEPS {
        let script = format!("import __main__\n__main__.ran.append({step})\nchannel('ran')");
        let done = Order::new(target.pid, &script).by(route).dying_at(step).run()?;
        if !done.killed {
            ensure!(done.ok && done.answer() == "ran", "{done}");
            ensure!(step > 15, "only {step} steps were counted: is this a build with debug assertions?");
            return Ok(step);
        }
        beats_on(target).map_err(|error| format!("killed at step {step}: {}", error.message().unwrap_or("")))?;
        before.ensure_same(target.pid, step)?;
    }
    Err(format!("{STEPS} steps were not enough").into())
}

/// So many kills at random moments without `PYATTACH_KILLS`.
const FEW: u32 = 4;

fn kills() -> u32 {
    std::env::var("PYATTACH_KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(FEW)
}

#[derive(Default)]
struct Random {
    killed: u32,
    /// The numbers of those that ended before they were killed.
    went_through: Vec<u32>,
}

/// Kills the command after a part of the time that it takes, another part each time. One in ten runs is left alone: it has to
/// work, and tells how long that takes now.
fn at_random_moments(target: &Target, before: &Being, route: &str) -> Result<Random, Failed> {
    let (wanted, mut random, mut takes) = (kills(), Random::default(), Duration::ZERO);
    for number in (STEPS..).take(2 * wanted as usize + 20) {
        if random.killed == wanted {
            return Ok(random);
        }
        let began = Instant::now();
        let child = command(target.pid, number, route).spawn()?;
        let alone = number % 10 == 0;
        if !alone {
            // Multiples of the golden ratio are spread evenly, and in no order.
            std::thread::sleep(takes.mul_f64((f64::from(number) * 0.618_033_988_75).fract()));
            let _ = kill(Pid::from_raw(child.id() as i32), Signal::SIGKILL);
        }
        let output = child.wait_with_output()?;
        match output.status.code() {
            Some(0) if output.stdout == b"ran\n" => {
                random.went_through.push(number);
                takes = began.elapsed();
            }
            None if !alone => random.killed += 1,
            _ => return Err(format!("run {number}: {output:?}").into()),
        }
        beats_on(target).map_err(|error| format!("after run {number}: {}", error.message().unwrap_or("")))?;
        before.ensure_same(target.pid, number)?;
    }
    ensure!(random.killed == wanted, "only {} of {wanted} kills were in time", random.killed);
    Ok(random)
}

fn command(pid: i32, number: u32, route: &str) -> Command {
    let script = format!("import __main__\n__main__.ran.append({number})\nprint('ran')");
    let mut command = Command::new(attach::BINARY);
    command.args(["exec", "--timeout", "40", &pid.to_string(), "-c", &script]);
    if !route.is_empty() {
        command.args(["--route", route]);
    }
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Fails unless it beats twice from now on and has noticed nothing.
fn beats_on(target: &Target) -> Outcome {
    for line in target.said() {
        ensure_beat(&line)?;
    }
    for _ in 0..2 {
        ensure_beat(&target.line()?)?;
    }
    Ok(())
}

fn ensure_beat(line: &str) -> Outcome {
    let said: Value = serde_json::from_str(line).map_err(|error| format!("{error}: {line}"))?;
    ensure!(said["bad"].is_null() && !said["beat"].is_null(), "the target noticed {line}");
    Ok(())
}

/// What a process is from outside.
pub(crate) struct Being {
    mask: String,
    pub(crate) descriptors: usize,
}

impl Being {
    pub(crate) fn of(pid: i32) -> Result<Being, Failed> {
        Ok(Being { mask: field(pid, "SigBlk:")?, descriptors: fs::read_dir(format!("/proc/{pid}/fd"))?.count() })
    }

    /// Fails unless nobody traces it and it blocks the same signals. What is on its way back by itself may take a moment.
    fn ensure_same(&self, pid: i32, step: u32) -> Outcome {
        ensure!(field(pid, "TracerPid:")? == "0", "killed at step {step}: still traced");
        let began = Instant::now();
        while field(pid, "SigBlk:")? != self.mask {
            ensure!(began.elapsed() < DEADLINE, "killed at step {step}: it blocks {}", field(pid, "SigBlk:")?);
            std::thread::yield_now();
        }
        Ok(())
    }

    /// Fails unless it has as many descriptors as before, and nothing of ours mapped. A script that was asked for by one that
    /// was killed may still be on its way.
    pub(crate) fn ensure_nothing_left(&self, pid: i32) -> Outcome {
        let began = Instant::now();
        loop {
            let descriptors = fs::read_dir(format!("/proc/{pid}/fd"))?.count();
            let maps = fs::read_to_string(format!("/proc/{pid}/maps"))?;
            let mapped: Vec<&str> = maps.lines().filter(|line| line.contains("memfd:pyattach")).collect();
            if descriptors == self.descriptors && mapped.is_empty() {
                return Ok(());
            }
            ensure!(
                began.elapsed() < Duration::from_secs(10),
                "{descriptors} descriptors instead of {}, and {mapped:?}",
                self.descriptors
            );
            std::thread::yield_now();
        }
    }
}

fn field(pid: i32, name: &str) -> Result<String, Failed> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix(name)).ok_or("no such field")?;
    Ok(line.trim().to_owned())
}
