//! `SIGKILL` between any two of the system calls by which a script is run in a process: the process runs on as if nothing had
//! been, and the next script runs.
//!
//! Each test kills at each step in turn until one run needs no more of them. `PYATTACH_KILLS=500` adds so many kills at random
//! moments to each.

use std::fs;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use crate::Test;
use crate::exec_driver::{Done, Order};
use crate::support::registry;
use crate::support::stage::Stage;
use crate::support::target::{DEADLINE, Target};
use crate::support::{Failed, Outcome, ensure};

pub(crate) const TESTS: &[Test] = &[
    ("busy_by_a_pending_call", || at_each_step("3.7", "busy", "pending")),
    ("busy_by_the_official_way", || at_each_step("3.14", "busy", "remote")),
    ("allocating", || at_each_step("3.13", "malloc", "")),
    ("in_a_lock", || at_each_step("3.8", "lock", "")),
    ("asleep", || at_each_step("3.13", "sleep", "frame")),
    ("in_select_of_a_build_without_gil", || at_each_step("3.14t", "select", "")),
    ("receiving_by_a_new_thread", || at_each_step("3.11", "recv", "thread")),
    ("receiving_by_a_frame", || at_each_step("3.11", "recv", "frame")),
];

/// More steps than any route has.
const STEPS: u32 = 150;

fn at_each_step(interpreter: &str, state: &str, route: &'static str) -> Outcome {
    let interpreter = registry::find(interpreter)?;
    let target = Target::start(&interpreter, &Stage::new(&interpreter.root)?, &["exec_beating.py", state])?;
    let before = Being::of(target.pid)?;
    let order = |number: u32| {
        let script = format!("import __main__\n__main__.ran.append({number})\nchannel('ran')");
        Order::new(target.pid, &script).by(route)
    };
    let mut step = 0;
    loop {
        step += 1;
        ensure!(step < STEPS, "{STEPS} steps were not enough");
        let done = order(step).dying_at(step).run()?;
        if !done.killed {
            ensure!(done.ok && done.answer() == "ran", "{done}");
            break;
        }
        beats_on(&target).map_err(|error| format!("killed at step {step}: {}", error.message().unwrap_or("")))?;
        before.ensure_same(target.pid, step)?;
    }
    ensure!(step > 15, "only {step} steps were counted: is this a build with debug assertions?");
    let random: u32 = std::env::var("PYATTACH_KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(5);
    for number in 0..random {
        kill_some_time(&order(STEPS + number), number)?;
        beats_on(&target)?;
        before.ensure_same(target.pid, STEPS + number)?;
    }
    let last = order(10 * STEPS).run()?;
    ensure!(last.ok && last.answer() == "ran", "after {} kills: {last}", step - 1 + random);
    beats_on(&target)?;
    before.ensure_nothing_left(target.pid)
}

/// Kills a run after a while that is another one each time.
fn kill_some_time(order: &Order, number: u32) -> Outcome {
    let child = order.start()?;
    let pid = Pid::from_raw(child.id() as i32);
    // Over as long as a run takes, in no order.
    std::thread::sleep(Duration::from_micros(u64::from(number.wrapping_mul(7919) % 100) * 1000));
    let _ = kill(pid, Signal::SIGKILL);
    let done = Done::of(child)?;
    ensure!(done.killed || done.ok, "{done}");
    Ok(())
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
