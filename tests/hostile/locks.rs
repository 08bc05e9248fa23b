//! Locks that threads wait for, in made memory: found where they are, and nothing is taken for one that is not.

use proptest::prelude::*;
use pyattach::base::Addr;
use pyattach::cpython::layout::{TABLES, Table};
use pyattach::interp::{FutexWait, Lock, LockKind, find_locks};

use crate::damage::WILD;
use crate::healthy::read;
use crate::python::Python;

/// A thread's C stack, where parked threads sleep.
const STACK: u64 = 0x7f30_0000_0000;
/// Far more than the search of one thread takes.
const READS: usize = 20_000;

/// A made process, a lock in it, and a thread that waits for it.
struct Waiting {
    python: Python,
    object: u64,
    wait: FutexWait,
}

impl Waiting {
    /// The thread sleeps on the lock's own semaphore, up to 3.13, and refers to it by a local variable.
    fn on_semaphore(table: &'static Table, ty: &'static str) -> Waiting {
        let mut python = Python::new(table);
        let (object, header) = lock(&mut python, ty);
        let semaphore = python.w.alloc(32);
        python.w.put64(semaphore, 3 << 32);
        python.w.put64(object + header, semaphore);
        refer(&mut python, object);
        python.w.make_types();
        let thread = Addr(python.threads[Python::WORKER].address);
        Waiting { python, object, wait: FutexWait { thread, word: Addr(semaphore), sp: STACK } }
    }

    /// The thread sleeps on its own stack, from 3.13 on, behind the address of the mutex in the lock.
    fn parked(table: &'static Table, ty: &'static str) -> Waiting {
        let mut python = Python::new(table);
        let (object, header) = lock(&mut python, ty);
        python.w.ram.map(STACK, 4096);
        python.w.put64(STACK + 0x100, object + header);
        python.w.make_types();
        let thread = Addr(python.threads[Python::WORKER].address);
        Waiting { python, object, wait: FutexWait { thread, word: Addr(STACK + 0x108), sp: STACK } }
    }

    fn find(&mut self) -> Option<Lock> {
        let world = read(&self.python).ok()?;
        self.python.w.ram.set_limit(READS);
        let found = find_locks(&self.python.w.ram, &self.python.runtime, &world, &[self.wait]);
        assert_eq!(found.len(), 1);
        found[0]
    }

    /// What is named as the lock has to be it, by the words that are there.
    fn assert_proved(&self, lock: &Lock) {
        let w = &self.python.w;
        let mutex = lock.object.0 + w.at(0, "sizeof PyObject");
        let holds = |at: u64, word: u64| w.ram.peek(at, 8).is_some_and(|bytes| bytes == word.to_le_bytes());
        let by_word = holds(mutex, self.wait.word.0);
        let parked = holds(self.wait.word.0 - 8, mutex);
        assert!(by_word || parked || lock.kind == LockKind::ThreadEnd, "{lock:?} is not what {:?} is about", self.wait);
    }
}

/// An object with room for what locks hold, and the size of its header.
fn lock(python: &mut Python, ty: &'static str) -> (u64, u64) {
    let object = python.w.object(ty, 64);
    python.w.put64(object, 1);
    (object, python.w.at(0, "sizeof PyObject"))
}

/// Makes a slot of the worker's innermost frame refer to it.
fn refer(python: &mut Python, object: u64) {
    let frame = python.threads[Python::WORKER].frames[0].address;
    let first = if python.w.minor < 11 { 160 } else { python.w.at(0, "_PyInterpreterFrame.localsplus") };
    python.w.put64(frame + first, object);
}

const TYPES: &[(&str, LockKind)] = &[
    ("_thread.lock", LockKind::Lock),
    ("_thread.RLock", LockKind::RLock),
    ("_queue.SimpleQueue", LockKind::SimpleQueue),
    ("_multiprocessing.SemLock", LockKind::SemLock),
];

#[test]
fn a_lock_is_found_by_its_semaphore_and_by_where_a_thread_is_parked() {
    for table in TABLES {
        for (ty, kind) in TYPES {
            let mut waiting = Waiting::on_semaphore(table, ty);
            // Without a GIL a header holds no count that would tell a live object, but all the rest is the same.
            let lock = waiting.find().unwrap_or_else(|| panic!("{ty} of {:?}", table.version));
            assert_eq!((lock.kind, lock.object, lock.waiters), (*kind, Addr(waiting.object), Some(3)));
            let mut waiting = Waiting::parked(table, ty);
            let lock = waiting.find().unwrap_or_else(|| panic!("parked at {ty} of {:?}", table.version));
            assert_eq!((lock.kind, lock.object), (*kind, Addr(waiting.object)));
        }
    }
}

#[test]
fn what_is_no_lock_or_another_one_is_not_taken_for_it() {
    for table in TABLES {
        assert_eq!(Waiting::on_semaphore(table, "app.Guard").find(), None);
        assert_eq!(Waiting::parked(table, "app.Guard").find(), None);
        let mut another = Waiting::on_semaphore(table, "_thread.lock");
        another.wait.word = another.wait.word.offset(8);
        assert_eq!(another.find(), None);
        let mut freed = Waiting::on_semaphore(table, "_thread.lock");
        freed.python.w.put64(freed.object, freed.object);
        assert!(freed.find().is_none() || freed.python.runtime.free_threaded);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(300) })]

    #[test]
    fn any_damage_is_survived_and_nothing_is_guessed(
        table in any::<prop::sample::Index>(),
        ty in prop::sample::select(TYPES),
        is_parked in any::<bool>(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u64>(), any::<prop::sample::Index>()), 1..10),
        word in prop_oneof![Just(None), any::<u64>().prop_map(Some), prop::sample::select(&WILD).prop_map(Some)],
    ) {
        let table = TABLES[table.index(TABLES.len())];
        let mut waiting = if is_parked { Waiting::parked(table, ty.0) } else { Waiting::on_semaphore(table, ty.0) };
        let w = &mut waiting.python.w;
        let (start, len) = w.used();
        let words: Vec<u64> = (start..start + len as u64).step_by(8).filter(|at| w.get64(*at) != 0).collect();
        for (at, word, to) in &damage {
            let new = match word % 3 {
                0 => *word,
                1 => WILD[(word / 3) as usize % WILD.len()],
                _ => words[to.index(words.len())] & !7,
            };
            w.put64(words[at.index(words.len())], new);
        }
        if let Some(word) = word {
            waiting.wait.word = Addr(word.max(8));
        }
        if let Some(lock) = waiting.find() {
            waiting.assert_proved(&lock);
        }
    }
}
