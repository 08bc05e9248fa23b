//! Scripts that do not get to run, several at once, and processes that make it hard: what becomes of the request, and of the
//! target.

use std::fs;
use std::io::Read;
use std::process::Child;
use std::time::Instant;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::Test;
use crate::exec_driver::{Done, Order};
use crate::exec_killed::Being;
use crate::support::registry;
use crate::support::stage::Stage;
use crate::support::target::Target;
use crate::support::{Failed, Outcome, ensure, kernel};

pub(crate) const TESTS: &[Test] = &[
    ("what_does_not_start_in_time_is_withdrawn", withdrawn),
    ("what_is_late_does_not_run_after_our_death", late),
    ("several_at_once_take_turns", turns),
    ("no_free_descriptor", no_free_descriptor),
    ("closed_standard_streams_stay_closed", closed_streams),
    ("a_stopped_process_is_left_alone", stopped),
];

/// On versions whose pending calls are kept in different ways, and one where CPython's own protocol is used.
const VERSIONS: [&str; 4] = ["3.7", "3.11", "3.13", "3.14"];

fn start(interpreter: &str, state: &str) -> Result<Target, Failed> {
    let interpreter = registry::find(interpreter)?;
    Target::start(&interpreter, &Stage::new(&interpreter.root)?, &["exec_beating.py", state])
}

/// A script that answers which numbers have run before it.
fn listing(pid: i32, number: u32) -> Order {
    Order::new(pid, &format!("import __main__\nchannel(repr(__main__.ran))\n__main__.ran.append({number})"))
}

/// Starts a run and waits until its request is in the target.
fn requested(order: &Order) -> Result<Child, Failed> {
    let mut child = order.start()?;
    let mut line = String::new();
    // Byte by byte: what comes after the line is for whoever waits for the end.
    let stdout = child.stdout.as_mut().ok_or("no stdout")?;
    while !line.ends_with('\n') {
        let mut byte = [0];
        ensure!(stdout.read(&mut byte)? == 1, "it ended without a request: {:?}", child.wait_with_output()?);
        line.push(char::from(byte[0]));
    }
    ensure!(line.starts_with("requested="), "{line:?}");
    Ok(child)
}

/// Runs a script in a process that keeps the GIL until it is told to go on, once.
fn run_after_call(target: &mut Target, order: &Order) -> Result<Done, Failed> {
    kernel::wait_for_read(target.pid, target.pid)?;
    let child = requested(order)?;
    target.tell("x")?;
    Done::of(child)
}

fn withdrawn() -> Outcome {
    for version in VERSIONS {
        let mut target = start(version, "c_call")?;
        kernel::wait_for_read(target.pid, target.pid)?;
        let before = Being::of(target.pid)?;
        let done = listing(target.pid, 1).within(1.0).run()?;
        ensure!(!done.ok && done.get("error").contains("did not start within"), "{version}: {done}");
        ensure!(Being::of(target.pid)?.descriptors == before.descriptors, "{version}: a descriptor was left behind");
        // The first to run once the call is over finds that the other never did.
        for (number, ran) in [(2, "[]"), (3, "[2]")] {
            let order = listing(target.pid, number);
            let done = run_after_call(&mut target, &order)?;
            ensure!(done.answer() == ran, "{version}: {done}");
        }
        before.ensure_nothing_left(target.pid)?;
    }
    Ok(())
}

fn late() -> Outcome {
    const LIMIT: f64 = 1.5;
    for version in VERSIONS {
        let mut target = start(version, "c_call")?;
        kernel::wait_for_read(target.pid, target.pid)?;
        let before = Being::of(target.pid)?;
        let mut child = requested(&listing(target.pid, 1).within(LIMIT))?;
        let began = Instant::now();
        child.kill()?;
        let done = Done::of(child)?;
        ensure!(done.killed, "{version}: {done}");
        // Time is what this is about.
        while began.elapsed().as_secs_f64() < LIMIT + 0.1 {
            std::thread::yield_now();
        }
        target.tell("x")?;
        target.line()?;
        for (number, ran) in [(2, "[]"), (3, "[2]")] {
            let order = listing(target.pid, number);
            let done = run_after_call(&mut target, &order)?;
            ensure!(done.answer() == ran, "{version}: a script ran after its time, or not: {done}");
        }
        before.ensure_nothing_left(target.pid)?;
    }
    Ok(())
}

fn turns() -> Outcome {
    for (version, state) in [("3.11", "busy"), ("3.8", "sleep"), ("3.14", "recv")] {
        let target = start(version, state)?;
        let before = Being::of(target.pid)?;
        let order =
            |number| Order::new(target.pid, &format!("import __main__\n__main__.ran.append({number})\nchannel('ran')"));
        let children = (0..5).map(|number| order(number).start()).collect::<Result<Vec<_>, _>>()?;
        for child in children {
            let done = Done::of(child)?;
            ensure!(done.ok && done.answer() == "ran", "{version}: {done}");
        }
        let script = "import __main__\nchannel(repr(sorted(__main__.ran)))";
        let done = Order::new(target.pid, script).run()?;
        ensure!(done.answer() == "[0, 1, 2, 3, 4]", "{version}: {done}");
        before.ensure_nothing_left(target.pid)?;
    }
    Ok(())
}

fn no_free_descriptor() -> Outcome {
    for version in VERSIONS {
        let target = start(version, "no_descriptors")?;
        let limits = || fs::read_to_string(format!("/proc/{}/limits", target.pid));
        let before = limits()?;
        let done = Order::new(target.pid, "channel('ran')").run()?;
        ensure!(done.ok && done.answer() == "ran", "{version}: {done}");
        ensure!(limits()? == before, "{version}: its limits are not what they were");
    }
    Ok(())
}

fn closed_streams() -> Outcome {
    let script = "\
def state(fd):
    try:
        posix.fstat(fd)
        return 'open'
    except OSError:
        return 'closed'
channel(state(0) + ' ' + state(2))";
    for version in VERSIONS {
        let target = start(version, "closed_streams")?;
        let done = Order::new(target.pid, script).run()?;
        ensure!(done.answer() == "closed closed", "{version}: {done}");
    }
    Ok(())
}

fn stopped() -> Outcome {
    let target = start("3.11", "sleep")?;
    let pid = Pid::from_raw(target.pid);
    kill(pid, Signal::SIGSTOP)?;
    while !fs::read_to_string(format!("/proc/{pid}/stat"))?.contains(") T ") {
        std::thread::yield_now();
    }
    let done = Order::new(target.pid, "channel('ran')").run()?;
    ensure!(!done.ok && done.get("error").contains("SIGCONT"), "{done}");
    kill(pid, Signal::SIGCONT)?;
    let done = Order::new(target.pid, "channel('ran')").run()?;
    ensure!(done.answer() == "ran", "{done}");
    Ok(())
}
