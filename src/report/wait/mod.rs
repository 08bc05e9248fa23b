//! What each thread waits for: the system call it sleeps in, and the lock, file, socket or process behind its arguments.
//!
//! All of it comes from `/proc` and the target's memory, without stopping anything. What many threads share is read once:
//! descriptors, socket tables, locks.

mod calls;
mod descriptors;
mod files;
mod futexes;
mod memory;
mod words;

pub(super) use descriptors::descriptors;

use super::model::Wait;
use crate::base::{Problem, ProblemKind};
use crate::cpython::Runtime;
use crate::interp::Snapshot;
use crate::os::{Activity, Call, Modules, ProcessFacts};
use crate::target::{Cache, Memory, Until};
use files::Files;
use nix::errno::Errno;
use std::collections::HashMap;
use std::time::{Duration, Instant};

/// Longest time for socket tables and for other processes' descriptors. What was not found by then stays unknown.
const TABLES: Duration = Duration::from_millis(500);
/// Longest time for the memory that system calls point to, and for locks.
const MEMORY: Duration = Duration::from_secs(2);

/// A thread that sleeps in a system call.
struct Sleeper {
    tid: i32,
    call: Call,
    /// In uninterruptible sleep.
    uninterruptible: bool,
}

/// What is needed to explain waits.
struct Waiting<'w> {
    pid: i32,
    facts: &'w ProcessFacts,
    cache: &'w Cache<'w>,
    files: Files,
    deadline: Instant,
    others: Others,
}

/// Other processes that were looked for, each once, however many threads wait for them.
#[derive(Default)]
struct Others {
    /// Who has the other end of a pipe open, in words, and one of them; by the pipe's inode, and whether it is written to.
    pipes: HashMap<(u64, bool), (String, Option<i32>)>,
    /// Holders of file locks by the kind of lock and the inode.
    holders: HashMap<(&'static str, Option<u64>), Option<i32>>,
    /// What processes are called.
    names: HashMap<i32, String>,
}

/// What the threads wait for, by thread id, and why that is not known.
#[derive(Default)]
pub(super) struct Waits {
    pub(super) by_tid: HashMap<i32, Wait>,
    pub(super) problem: Option<Problem>,
}

/// Finds out what the threads of a snapshot wait for.
pub(super) fn explain(
    pid: i32,
    facts: &ProcessFacts,
    modules: &Modules,
    memory: &dyn Memory,
    runtime: &Runtime,
    snapshot: &Snapshot,
) -> Waits {
    let memory = Until::new(memory, Instant::now() + MEMORY);
    let mut waits = Waits::default();
    let mut sleepers = Vec::new();
    let mut unknown = None;
    for (_, tid) in snapshot.native_ids.values() {
        let Some(stat) = snapshot.stats.get(tid).filter(|stat| stat.state != 'R') else { continue };
        match stat.activity {
            Some(Ok(Activity::Call(call))) => {
                sleepers.push(Sleeper { tid: *tid, call, uninterruptible: stat.state == 'D' });
            }
            Some(Ok(Activity::OutsideCall)) => {
                waits.by_tid.insert(*tid, Wait::of_text(words::OUTSIDE_CALL));
            }
            // It has ended.
            Some(Err(Errno::ESRCH)) => {}
            Some(Err(error)) => unknown = Some((*tid, error)),
            Some(Ok(Activity::Running)) | None => {}
        }
    }
    waits.problem = unknown.map(|(tid, error)| {
        let message = format!("what threads wait for is not known: /proc/{pid}/task/{tid}/syscall: {}", error.desc());
        Problem::new(ProblemKind::Note, message)
    });
    sleepers.sort_unstable_by_key(|sleeper| sleeper.tid);
    let cache = Cache::new(&memory);
    cache.prefetch(sleepers.iter().flat_map(|sleeper| memory::extents(&sleeper.call)));
    let deadline = Instant::now() + TABLES;
    let mut waiting =
        Waiting { pid, facts, cache: &cache, files: Files::new(pid), deadline, others: Others::default() };
    let mut locks = futexes::explain(&memory, &cache, modules, runtime, snapshot, &sleepers);
    waiting.read_files(&sleepers);
    for sleeper in &sleepers {
        let mut wait = locks.remove(&sleeper.tid).unwrap_or_else(|| waiting.of_call(sleeper));
        wait.syscall = Some(sleeper.call.name().map_or_else(|| sleeper.call.number.to_string(), str::to_owned));
        if sleeper.uninterruptible {
            wait.text.push_str(words::UNINTERRUPTIBLE);
        }
        waits.by_tid.insert(sleeper.tid, wait);
    }
    waits
}
