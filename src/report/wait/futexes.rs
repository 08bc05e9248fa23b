//! Waits in `futex`: for a lock, the end of a thread, or the GIL.

use super::Sleeper;
use super::calls::{limit_words, set_limit};
use super::memory::{self, Limit};
use super::words::aside;
use crate::base::{Addr, AddrMap};
use crate::cpython::Runtime;
use crate::interp::{FutexWait, Lock, LockKind, RawThread, Snapshot, find_locks};
use crate::os::{Activity, Modules};
use crate::report::model::Wait;
use crate::target::{Cache, Memory};
use std::collections::HashMap;

/// A thread asleep in `futex`.
struct Futex<'s> {
    sleeper: &'s Sleeper,
    wait: FutexWait,
    gil: bool,
}

/// What is known of all of them.
struct Facts<'f> {
    modules: &'f Modules,
    snapshot: &'f Snapshot,
    /// Threads by ident.
    threads: HashMap<u64, &'f RawThread>,
    /// How many of the threads wait for an object.
    waiters: AddrMap<u32>,
}

/// The waits of those that sleep in `futex`, by thread id.
pub(super) fn explain(
    memory: &dyn Memory,
    cache: &Cache<'_>,
    modules: &Modules,
    runtime: &Runtime,
    snapshot: &Snapshot,
    sleepers: &[Sleeper],
) -> HashMap<i32, Wait> {
    let futexes = asleep(runtime, snapshot, sleepers);
    let waits: Vec<FutexWait> = futexes.iter().filter(|futex| !futex.gil).map(|futex| futex.wait).collect();
    let mut locks = find_locks(memory, runtime, &snapshot.world, &waits).into_iter();
    let found: Vec<(Futex<'_>, Option<Lock>)> = futexes
        .into_iter()
        .map(|futex| {
            let lock = if futex.gil { None } else { locks.next().flatten() };
            (futex, lock)
        })
        .collect();
    let mut facts = Facts {
        modules,
        snapshot,
        threads: snapshot.world.threads().map(|thread| (thread.ident, thread)).collect(),
        waiters: AddrMap::default(),
    };
    for lock in found.iter().filter_map(|(_, lock)| lock.as_ref()) {
        *facts.waiters.entry(lock.object).or_default() += 1;
    }
    let one = |(futex, lock): &(Futex<'_>, Option<Lock>)| {
        let limit = memory::limit(cache, &futex.sleeper.call);
        let mut wait = match (futex.gil, lock) {
            (true, _) => return (futex.sleeper.tid, facts.of_gil(runtime, futex.wait.word)),
            (false, Some(lock)) => facts.of_lock(lock, limit),
            (false, None) => facts.of_word(futex.wait.word, limit),
        };
        set_limit(&mut wait, limit);
        (futex.sleeper.tid, wait)
    };
    found.iter().map(one).collect()
}

fn asleep<'s>(runtime: &Runtime, snapshot: &Snapshot, sleepers: &'s [Sleeper]) -> Vec<Futex<'s>> {
    let states: HashMap<i32, Addr> = snapshot.native_ids.iter().map(|(state, (_, tid))| (*tid, *state)).collect();
    let mut futexes = Vec::new();
    for sleeper in sleepers {
        let (Some(word), Some(thread)) = (Activity::Call(sleeper.call).futex_word(), states.get(&sleeper.tid)) else {
            continue;
        };
        let gil = snapshot.gils.values().any(|gil| gil.enabled && gil.is_waited_on_at(runtime, word));
        let wait = FutexWait { thread: *thread, word: Addr(word), sp: sleeper.call.sp };
        futexes.push(Futex { sleeper, wait, gil });
    }
    futexes
}

impl Facts<'_> {
    fn of_gil(&self, runtime: &Runtime, word: Addr) -> Wait {
        let gil = self.snapshot.gils.values().find(|gil| gil.is_waited_on_at(runtime, word.0) && gil.locked);
        let owner = gil.and_then(|gil| Some(self.snapshot.native_ids.get(&gil.last_holder)?.1));
        let holder = owner.map_or_else(String::new, |tid| format!(", held by {tid}"));
        let text = format!("the GIL{holder}");
        Wait { text, lock: Some("GIL".to_owned()), owner_tid: owner, ..Wait::default() }
    }

    fn of_lock(&self, lock: &Lock, limit: Limit) -> Wait {
        let owner = lock.owner.and_then(|ident| self.threads.get(&ident));
        let owner_tid = owner.and_then(|thread| Some(self.snapshot.native_ids.get(&thread.address)?.1));
        let waiters =
            lock.waiters.or(self.waiters.get(&lock.object).copied()).filter(|_| lock.kind != LockKind::ThreadEnd);
        let kind = match lock.kind {
            LockKind::Lock => "threading.Lock",
            LockKind::RLock => "threading.RLock",
            LockKind::SimpleQueue => "queue.SimpleQueue",
            LockKind::SemLock => "multiprocessing.SemLock",
            LockKind::ThreadEnd => "threading.Thread",
        };
        let mut details = Vec::new();
        details
            .extend(waiters.map(|count| if count == 1 { "1 waiter".to_owned() } else { format!("{count} waiters") }));
        let called = owner.and_then(|thread| thread.name.name.as_deref()).map(|name| format!(" \"{name}\""));
        let called = called.unwrap_or_default();
        let held = match (lock.kind, lock.owner, owner_tid) {
            (LockKind::ThreadEnd, _, Some(tid)) => format!("the end of thread {tid}{called}"),
            (LockKind::ThreadEnd, _, None) => format!("the end of a thread (handle at {})", lock.object),
            (_, Some(_), Some(tid)) => format!("{kind} at {}, held by {tid}{called}", lock.object),
            (_, Some(ident), None) => {
                format!("{kind} at {}, held by ident {ident:#x}, which is no thread of this process", lock.object)
            }
            (_, None, _) => format!("{kind} at {}", lock.object),
        };
        details.push(limit_words(limit));
        Wait {
            text: format!("futex: {held}{}", aside(&details)),
            lock: Some(kind.to_owned()),
            object: Some(lock.object.to_string()),
            waiters,
            owner_tid,
            ..Wait::default()
        }
    }

    fn of_word(&self, word: Addr, limit: Limit) -> Wait {
        let file = self.modules.file_at(word).map(|module| format!(", in {}", module.path)).unwrap_or_default();
        let text = format!("futex at {word}{file}{}", aside(&[limit_words(limit)]));
        Wait { text, object: Some(word.to_string()), ..Wait::default() }
    }
}
