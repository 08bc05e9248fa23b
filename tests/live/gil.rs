//! Who holds the GIL, who waits for it, and stacks of threads that run.

use serde_json::Value;

use crate::support::registry::Interpreter;
use crate::support::stage::Stage;
use crate::support::target::Target;
use crate::support::{Failed, Outcome, attach, compare, ensure, kernel};
use crate::{Scenario, everywhere};

pub(crate) const SCENARIOS: &[Scenario] = &[
    Scenario { name: "gil_held_by_c", exists: Interpreter::has_gil, run: held_by_c },
    Scenario { name: "gil_free", exists: Interpreter::has_gil, run: free },
    Scenario { name: "spinning", exists: everywhere, run: spinning },
    Scenario { name: "contended", exists: everywhere, run: contended },
    Scenario { name: "gil_switched_on", exists: |i| !i.has_gil(), run: switched_on },
    Scenario { name: "own_gils_held", exists: |i| i.since(12) && i.has_gil(), run: own_gils_held },
    Scenario { name: "blocked_threads_undisturbed", exists: Interpreter::has_gil, run: undisturbed },
    Scenario { name: "pause_always", exists: everywhere, run: pause_always },
    Scenario { name: "pause_never", exists: everywhere, run: pause_never },
];

/// Where there is no such call, a number that no call has.
#[cfg(target_arch = "x86_64")]
const EPOLL_WAIT: u64 = nix::libc::SYS_epoll_wait as u64;
#[cfg(not(target_arch = "x86_64"))]
const EPOLL_WAIT: u64 = u64::MAX;

fn gil(seen: &Value) -> &Value {
    &seen["interpreters"][0]["gil"]
}

/// C code that never gives the GIL back, a thread that wants it, one that does not.
fn held_by_c(interpreter: &Interpreter, stage: &Stage) -> Outcome {
    let mut target = Target::start(interpreter, stage, &["gil_held.py"])?;
    let spinner = let_hold(&mut target)?;
    let seen = attach::snapshot(target.pid, &[])?;
    compare::ensure_same(interpreter, &target, &seen)?;
    ensure!(seen["threads"][0]["holds_gil"] == true, "the main thread does not hold the GIL: {}", seen["threads"]);
    ensure!(*gil(&seen) == serde_json::json!({"locked": true, "holder_tid": target.pid}), "GIL: {}", gil(&seen));
    ensure_wanted(&seen, spinner)?;
    kernel::ensure_left_alone(target.pid)
}

/// When all others are in their place, lets the main thread keep the GIL; gives the thread that wants it.
pub(crate) fn let_hold(target: &mut Target) -> Result<i32, Failed> {
    let threads = target.expect["threads"].as_array().ok_or("no threads")?;
    let tid = |thread: &Value| Ok::<_, Failed>(i32::try_from(thread["tid"].as_i64().ok_or("no tid")?)?);
    let (pid, parked, spinner) = (target.pid, tid(&threads[1])?, tid(&threads[2])?);
    let held = target.expect["held_in_read_of"].as_u64().ok_or("no file descriptor")?;
    let reads = |tid, of: Option<u64>| -> Result<bool, Failed> {
        let call = kernel::system_call(pid, tid)?;
        Ok(call.is_some_and(|(number, fd)| number == nix::libc::SYS_read as u64 && of.is_none_or(|of| of == fd)))
    };
    kernel::wait_until("a blocked thread", || reads(parked, None))?;
    target.tell("\n")?;
    kernel::wait_until("the GIL's being kept", || reads(pid, Some(held)))?;
    kernel::wait_for_turns(pid, spinner)?;
    Ok(spinner)
}

/// A thread that wants the GIL wakes every few milliseconds to ask for it, so it may be unknown whether it waits.
fn ensure_wanted(seen: &Value, spinner: i32) -> Outcome {
    let thread = seen["threads"].as_array().into_iter().flatten().find(|thread| thread["tid"] == spinner);
    let waits = thread.ok_or("no such thread")?["waits_for_gil"].clone();
    ensure!(waits != false, "the thread that wants the GIL does not wait for it: {waits}");
    Ok(())
}

/// Everybody blocked outside Python: nobody holds the GIL, and nobody needs to be stopped.
fn free(interpreter: &Interpreter, stage: &Stage) -> Outcome {
    let target = Target::start(interpreter, stage, &["many_threads.py", "5"])?;
    kernel::wait_for_read(target.pid, target.pid)?;
    let seen = attach::snapshot(target.pid, &[])?;
    compare::ensure_same(interpreter, &target, &seen)?;
    ensure!(gil(&seen)["locked"] == false && gil(&seen)["holder_tid"].is_null(), "GIL: {}", gil(&seen));
    ensure!(seen["snapshot"]["mode"] == "none", "stopped an idle process: {}", seen["snapshot"]);
    ensure!(seen["snapshot"]["stopped_threads"] == 0, "stopped an idle process: {}", seen["snapshot"]);
    let flags = |thread: &Value| thread["holds_gil"] == false && thread["waits_for_gil"] == false;
    ensure!(seen["threads"].as_array().is_some_and(|all| all.iter().all(flags)), "flags: {}", seen["threads"]);
    Ok(())
}

/// One thread runs Python code all the time.
fn spinning(interpreter: &Interpreter, stage: &Stage) -> Outcome {
    let target = Target::start(interpreter, stage, &["spinning.py", "1"])?;
    kernel::wait_for_read(target.pid, target.pid)?;
    kernel::wait_for_work(target.pid, *kernel::threads(target.pid)?.last().ok_or("no threads")?)?;
    for _ in 0..10 {
        let seen = attach::snapshot(target.pid, &[])?;
        compare::ensure_same(interpreter, &target, &seen)?;
        if interpreter.has_gil() {
            ensure!(seen["threads"][1]["holds_gil"] == true, "the GIL is not held: {}", seen["threads"][1]);
            ensure!(gil(&seen)["holder_tid"] == target.expect["threads"][1]["tid"], "GIL: {}", gil(&seen));
        }
        kernel::ensure_left_alone(target.pid)?;
    }
    Ok(())
}

/// More threads than processors, all running.
fn contended(interpreter: &Interpreter, stage: &Stage) -> Outcome {
    let target = Target::start(interpreter, stage, &["spinning.py", "4"])?;
    kernel::wait_for_read(target.pid, target.pid)?;
    for _ in 0..10 {
        let seen = attach::snapshot(target.pid, &[])?;
        compare::ensure_same(interpreter, &target, &seen)?;
        let holders = seen["threads"].as_array().into_iter().flatten().filter(|t| t["holds_gil"] == true).count();
        ensure!(!interpreter.has_gil() || holders <= 1, "{holders} threads hold the GIL: {}", seen["threads"]);
        kernel::ensure_left_alone(target.pid)?;
    }
    Ok(())
}

/// A free-threaded build that was told to use the GIL.
fn switched_on(interpreter: &Interpreter, stage: &Stage) -> Outcome {
    let mut with_gil = interpreter.clone();
    with_gil.env.push(("PYTHON_GIL".into(), "1".into()));
    let mut target = Target::start(&with_gil, stage, &["gil_held.py"])?;
    let spinner = let_hold(&mut target)?;
    let seen = attach::snapshot(target.pid, &[])?;
    compare::ensure_same(interpreter, &target, &seen)?;
    ensure_wanted(&seen, spinner)?;
    ensure!(gil(&seen)["locked"] == true, "GIL: {}", gil(&seen));
    Ok(())
}

/// Interpreters with a GIL each, two of which are held at the same time.
fn own_gils_held(interpreter: &Interpreter, stage: &Stage) -> Outcome {
    let target = Target::start(interpreter, stage, &["subinterpreters_spinning.py"])?;
    kernel::wait_for_read(target.pid, target.pid)?;
    for thread in target.expect["threads"].as_array().into_iter().flatten().filter(|t| t["holds_gil"] == true) {
        kernel::wait_for_work(target.pid, i32::try_from(thread["tid"].as_i64().ok_or("no tid")?)?)?;
    }
    for _ in 0..5 {
        let seen = attach::snapshot(target.pid, &[])?;
        compare::ensure_same(interpreter, &target, &seen)?;
        let sub = |number: usize| &seen["interpreters"][number]["gil"];
        for thread in target.expect["threads"].as_array().into_iter().flatten().filter(|t| t["holds_gil"] == true) {
            let of_thread =
                seen["interpreters"].as_array().into_iter().flatten().find(|i| i["id"] == thread["interpreter"]);
            let holder = of_thread.map(|interpreter| &interpreter["gil"]["holder_tid"]);
            ensure!(
                holder == Some(&thread["tid"]),
                "holder {holder:?}, not {}: {}",
                thread["tid"],
                seen["interpreters"]
            );
        }
        ensure!(sub(0)["locked"] == false && sub(1)["locked"] == true, "GILs: {}", seen["interpreters"]);
        kernel::ensure_left_alone(target.pid)?;
    }
    Ok(())
}

/// A stop makes epoll_wait return early. Threads blocked outside Python are not stopped, so theirs goes on.
fn undisturbed(interpreter: &Interpreter, stage: &Stage) -> Outcome {
    let mut target = Target::start(interpreter, stage, &["epolling.py"])?;
    let waiter = *kernel::threads(target.pid)?.get(1).ok_or("no second thread")?;
    let waits = [nix::libc::SYS_epoll_pwait as u64, EPOLL_WAIT];
    kernel::wait_until("epoll_wait", || {
        Ok(kernel::system_call(target.pid, waiter)?.is_some_and(|(number, _)| waits.contains(&number)))
    })?;
    for _ in 0..10 {
        attach::snapshot(target.pid, &[])?;
    }
    target.tell("\n")?;
    let line = target.line()?;
    ensure!(line == "1 0", "epoll_wait returned, with errno: {line}");
    Ok(())
}

/// Every thread is stopped, seen as it is, and let go.
fn pause_always(interpreter: &Interpreter, stage: &Stage) -> Outcome {
    for program in [["many_threads.py", "20"], ["spinning.py", "3"]] {
        let target = Target::start(interpreter, stage, &program)?;
        let seen = attach::snapshot(target.pid, &["--pause", "always"])?;
        compare::ensure_same(interpreter, &target, &seen)?;
        let threads = target.expect["threads"].as_array().map_or(0, Vec::len);
        ensure!(seen["snapshot"]["mode"] == "all", "snapshot: {}", seen["snapshot"]);
        ensure!(seen["snapshot"]["stopped_threads"] == threads, "{threads} threads: {}", seen["snapshot"]);
        ensure!(seen["snapshot"]["pause_us"].as_f64().is_some_and(|pause| pause > 0.0), "pause: {}", seen["snapshot"]);
        kernel::ensure_left_alone(target.pid)?;
    }
    Ok(())
}

/// Nothing is stopped. What is said to be consistent is true; what cannot be proved is marked and the exit code tells.
fn pause_never(interpreter: &Interpreter, stage: &Stage) -> Outcome {
    let idle = Target::start(interpreter, stage, &["many_threads.py", "20"])?;
    kernel::wait_for_read(idle.pid, idle.pid)?;
    let seen = attach::snapshot(idle.pid, &["--pause", "never"])?;
    compare::ensure_same(interpreter, &idle, &seen)?;
    ensure!(seen["snapshot"]["mode"] == "none", "snapshot: {}", seen["snapshot"]);

    let busy = Target::start(interpreter, stage, &["spinning.py", "2"])?;
    for _ in 0..5 {
        let answer = attach::stack(busy.pid, &["--json", "--pause", "never"])?;
        answer.ensure_code(&[0, 6])?;
        let seen = answer.json()?;
        attach::validate(&seen)?;
        ensure!(seen["snapshot"]["stopped_threads"] == 0, "snapshot: {}", seen["snapshot"]);
        ensure!((seen["snapshot"]["consistent"] == true) == answer.status.success(), "consistent: {answer}");
    }
    Ok(())
}
