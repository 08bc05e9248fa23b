//! What the kernel says about the threads of a target.

use std::fs;
use std::time::{Duration, Instant};

use super::target::DEADLINE;
use super::{Failed, Outcome, ensure};

/// The thread ids of a process.
pub(crate) fn threads(pid: i32) -> Result<Vec<i32>, Failed> {
    let mut tids = Vec::new();
    for entry in fs::read_dir(format!("/proc/{pid}/task"))? {
        tids.push(entry?.file_name().to_string_lossy().parse()?);
    }
    tids.sort_unstable();
    Ok(tids)
}

/// The children of a process's main thread.
pub(crate) fn children(pid: i32) -> Result<Vec<i32>, Failed> {
    let text = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"))?;
    Ok(text.split_whitespace().map(str::parse).collect::<Result<_, _>>()?)
}

/// One field of a thread's status file.
pub(crate) fn status(pid: i32, tid: i32, field: &str) -> Result<String, Failed> {
    let text = fs::read_to_string(format!("/proc/{pid}/task/{tid}/status"))?;
    let found = text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    Ok(found.ok_or_else(|| format!("no {field} in the status of {tid}"))?.trim().to_owned())
}

/// The system call a thread is blocked in: its number and first argument.
pub(crate) fn system_call(pid: i32, tid: i32) -> Result<Option<(u64, u64)>, Failed> {
    let text = fs::read_to_string(format!("/proc/{pid}/task/{tid}/syscall"))?;
    let mut words = text.split_whitespace();
    let (Some(number), Some(argument)) = (words.next(), words.next()) else { return Ok(None) };
    Ok(number.parse().ok().zip(u64::from_str_radix(argument.trim_start_matches("0x"), 16).ok()))
}

/// Waits until what is asked for is so; a test that waits for ever has failed.
pub(crate) fn wait_until(what: &str, mut holds: impl FnMut() -> Result<bool, Failed>) -> Outcome {
    let start = Instant::now();
    while !holds()? {
        ensure!(start.elapsed() < DEADLINE, "waited in vain: {what}");
        std::thread::yield_now();
    }
    Ok(())
}

/// Waits until all threads of a process are asleep and stay so for longer than one that wants the GIL would.
pub(crate) fn wait_for_rest(pid: i32) -> Outcome {
    const REST: Duration = Duration::from_millis(30);
    let counts = || -> Result<Option<Vec<String>>, Failed> {
        let mut counts = Vec::new();
        for tid in threads(pid)? {
            if fs::read_to_string(format!("/proc/{pid}/task/{tid}/syscall"))?.starts_with("running") {
                return Ok(None);
            }
            counts.push(fs::read_to_string(format!("/proc/{pid}/task/{tid}/schedstat"))?);
        }
        Ok(Some(counts))
    };
    let (mut last, mut since) = (None, Instant::now());
    wait_until("rest", || {
        let now = counts()?;
        if now.is_none() || now != last {
            (last, since) = (now, Instant::now());
        }
        Ok(last.is_some() && since.elapsed() >= REST)
    })
}

/// Waits until a thread is blocked in a read of its standard input.
pub(crate) fn wait_for_read(pid: i32, tid: i32) -> Outcome {
    wait_until("a read of standard input", || Ok(system_call(pid, tid)? == Some((nix::libc::SYS_read as u64, 0))))
}

/// Waits until a thread is blocked on a lock.
pub(crate) fn wait_for_futex(pid: i32, tid: i32) -> Outcome {
    let is_futex = |call: Option<(u64, u64)>| call.is_some_and(|(number, _)| number == nix::libc::SYS_futex as u64);
    wait_until("a wait for a lock", || Ok(is_futex(system_call(pid, tid)?)))
}

/// Waits until a thread has been scheduled a few times from now on: whatever it was about to do is done.
pub(crate) fn wait_for_turns(pid: i32, tid: i32) -> Outcome {
    let turns = || -> Result<u64, Failed> {
        let number = |field| -> Result<u64, Failed> { Ok(status(pid, tid, field)?.parse()?) };
        Ok(number("voluntary_ctxt_switches")? + number("nonvoluntary_ctxt_switches")?)
    };
    let start = turns()?;
    wait_until("a thread's turns", || Ok(turns()? >= start + 3))
}

/// Waits until a thread has run for a while from now on.
pub(crate) fn wait_for_work(pid: i32, tid: i32) -> Outcome {
    let nanoseconds = || -> Result<u64, Failed> {
        let text = fs::read_to_string(format!("/proc/{pid}/task/{tid}/schedstat"))?;
        Ok(text.split_whitespace().next().unwrap_or_default().parse()?)
    };
    let start = nanoseconds()?;
    wait_until("a thread's work", || Ok(nanoseconds()? >= start + 2_000_000))
}

/// Fails if a thread of the process is traced, or stopped although it should not be.
pub(crate) fn ensure_left_alone(pid: i32) -> Outcome {
    for tid in threads(pid)? {
        let (tracer, state) = (status(pid, tid, "TracerPid")?, status(pid, tid, "State")?);
        ensure!(tracer == "0", "thread {tid} is still traced by {tracer}");
        ensure!(!state.starts_with(['T', 't']), "thread {tid} is left in state {state}");
    }
    Ok(())
}
