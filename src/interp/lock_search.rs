//! Which lock a thread waits for: the object behind a futex word.
//!
//! Up to 3.13 a lock is a semaphore of its own (`PyThread_type_lock`, `Python/thread_pthread.h`), so its address is the word
//! the thread sleeps on. The thread's own innermost frames refer to the lock: as a local variable, as an operand of the call
//! or `with` that waits, or as an attribute of `self`. From 3.13 on threads park instead (`Python/parking_lot.c`): they sleep
//! on a semaphore in a `struct wait_entry` on their own C stack, just behind the address they wait for, and from 3.14 on that
//! is the mutex inside the lock object. What is found is proved by comparing addresses; nothing is guessed.

use super::collect::{RawThread, World};
use crate::base::{Addr, AddrMap, FieldValue};
use crate::cpython::Runtime;
use crate::objects::Objects;
use crate::target::{Bytes, Cache, Extent, Memory, ReadError};
use std::collections::HashSet;

/// Innermost frames of a thread that are looked through. `Thread.join` and `Condition.wait` wait in the first.
const FRAMES: usize = 4;
/// Words of a frame that are looked through; the standard library's frames that wait have fewer than 30.
const WORDS: usize = 48;
/// Where the slots of a `PyFrameObject` can begin, up to 3.10: behind its `PyVarObject` header and its five first pointers.
const OLD_FRAME_FIRST: u64 = 64;
/// Words of such a frame that lie before its slots, the block stack among them (240 bytes).
const OLD_FRAME_EXTRA: usize = 44;
/// How far above a parked thread's stack pointer its `struct wait_entry` can lie.
const C_STACK_BYTES: u64 = 16 << 10;
/// A `ThreadHandle` (`Modules/_threadmodule.c`, 3.13 on) is smaller than this.
const HANDLE_BYTES: u64 = 128;
/// `Py_TPFLAGS_HEAPTYPE` and `Py_TPFLAGS_TYPE_SUBCLASS` (`Include/object.h`).
const HEAP_TYPE: u64 = 1 << 9;
const TYPE_SUBCLASS: u64 = 1 << 31;
/// Attributes under which the standard library and others keep the lock that they wait for.
const ATTRIBUTES: [&str; 10] =
    ["_lock", "lock", "_cond", "_mutex", "mutex", "_block", "_semlock", "_handle", "_tstate_lock", "_shutdown_lock"];

/// A thread that waits in `futex`.
#[derive(Clone, Copy, Debug)]
pub struct FutexWait {
    /// Its `PyThreadState`.
    pub thread: Addr,
    /// Address of the word.
    pub word: Addr,
    /// Its stack pointer.
    pub sp: u64,
}

/// What kind of thing is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LockKind {
    /// `threading.Lock`.
    Lock,
    /// `threading.RLock`.
    RLock,
    /// `queue.SimpleQueue`: something put into it.
    SimpleQueue,
    /// `multiprocessing`'s locks and semaphores.
    SemLock,
    /// The end of a thread.
    ThreadEnd,
}

/// What a thread waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lock {
    /// What it is.
    pub kind: LockKind,
    /// The object.
    pub object: Addr,
    /// Ident of the thread that holds the lock, or whose end is waited for, where memory tells.
    pub owner: Option<u64>,
    /// How many threads wait, where memory tells.
    pub waiters: Option<u32>,
}

/// What each of these threads waits for; `None` where that was not found.
pub fn find_locks(memory: &dyn Memory, runtime: &Runtime, world: &World, waits: &[FutexWait]) -> Vec<Option<Lock>> {
    let cache = Cache::new(memory);
    let objects = Objects::new(&cache, &runtime.layout, runtime.quirks);
    let threads: AddrMap<&RawThread> = world.threads().map(|thread| (thread.address, thread)).collect();
    let idents = world.threads().map(|thread| thread.ident).filter(|ident| *ident != 0).collect();
    let search = Search { objects: &objects, idents };
    // Hundreds of threads can wait for one lock: one of them is enough to find it.
    let mut firsts: Vec<&FutexWait> = Vec::new();
    let mut places: AddrMap<usize> = AddrMap::default();
    for wait in waits {
        places.entry(wait.word).or_insert_with(|| {
            firsts.push(wait);
            firsts.len() - 1
        });
    }
    let found = cache.batched(&firsts, |wait| {
        let frames = threads.get(&wait.thread).map(|thread| thread.frame_addresses.as_slice()).unwrap_or_default();
        let frames = frames.get(..FRAMES).unwrap_or(frames);
        search.find(wait, frames)
    });
    let of = |wait: &FutexWait| found.get(*places.get(&wait.word)?)?.ok().flatten();
    waits.iter().map(of).collect()
}

/// The addresses by which the thing waited for can be known.
#[derive(Clone, Copy)]
struct Wanted {
    word: Addr,
    /// What a parked thread waits for.
    parked_at: Option<Addr>,
}

struct Search<'s> {
    objects: &'s Objects<'s>,
    idents: HashSet<u64>,
}

impl Search<'_> {
    fn find(&self, wait: &FutexWait, frames: &[Addr]) -> Result<Option<Lock>, ReadError> {
        let wanted = Wanted { word: wait.word, parked_at: self.parked_at(wait)? };
        if let Some(lock) = wanted.parked_at.map(|at| self.holding(at)).transpose()?.flatten() {
            return Ok(Some(lock));
        }
        for index in 0..frames.len() {
            let words = self.words(frames, index)?;
            if let Some(lock) = self.find_among(&words, wanted)? {
                return Ok(Some(lock));
            }
        }
        for index in 0..frames.len() {
            let inner = self.all_referred(&self.words(frames, index)?)?;
            if let Some(lock) = self.find_among(&inner, wanted)? {
                return Ok(Some(lock));
            }
        }
        Ok(None)
    }

    /// What a parked thread waits for: the word before its semaphore, which is on its C stack.
    fn parked_at(&self, wait: &FutexWait) -> Result<Option<Addr>, ReadError> {
        let on_stack = wait.word.0.checked_sub(wait.sp).is_some_and(|above| above < C_STACK_BYTES);
        if !on_stack {
            return Ok(None);
        }
        let bytes = tolerate(self.objects.cache.bytes(wait.word.back(8), 8))?;
        Ok(bytes.and_then(|bytes| Addr::from_bytes(&bytes)).and_then(Addr::non_null))
    }

    /// The lock object whose mutex is at this address: the first word behind its header.
    fn holding(&self, mutex: Addr) -> Result<Option<Lock>, ReadError> {
        let object = mutex.back(u64::from(self.objects.layout.object.size));
        let Some(kind) = self.kind(object)?.filter(|kind| *kind != LockKind::ThreadEnd) else { return Ok(None) };
        let owner = match kind {
            LockKind::RLock => self.rlock_owner(object)?,
            _ => None,
        };
        Ok(Some(Lock { kind, object, owner, waiters: None }))
    }

    /// `rlock_owner` of 3.13 and before, `thread` of `_PyRecursiveMutex`: the second word behind the header.
    fn rlock_owner(&self, object: Addr) -> Result<Option<u64>, ReadError> {
        let at = object.offset(u64::from(self.objects.layout.object.size) + 8);
        let bytes = tolerate(self.objects.cache.bytes(at, 8))?;
        Ok(bytes.and_then(|bytes| u64::from_bytes(&bytes)).filter(|ident| *ident != 0))
    }

    fn kind(&self, object: Addr) -> Result<Option<LockKind>, ReadError> {
        Ok(match tolerate(self.objects.type_name(object))?.as_deref() {
            Some("_thread.lock") => Some(LockKind::Lock),
            Some("_thread.RLock") => Some(LockKind::RLock),
            Some("_queue.SimpleQueue") => Some(LockKind::SimpleQueue),
            Some("_multiprocessing.SemLock") => Some(LockKind::SemLock),
            Some("_thread._ThreadHandle") => Some(LockKind::ThreadEnd),
            _ => None,
        })
    }

    /// The thing waited for among objects.
    fn find_among(&self, objects: &[Addr], wanted: Wanted) -> Result<Option<Lock>, ReadError> {
        let header = self.objects.layout.object.size as usize;
        self.objects.cache.prefetch(objects.iter().map(|object| Extent { addr: *object, len: header + 8 }));
        for object in objects {
            let Some(bytes) = tolerate(self.objects.bytes(*object, header + 8))? else { continue };
            let first = bytes.get(header..).and_then(Addr::from_bytes).unwrap_or_default();
            if first == wanted.word && self.is_live(&bytes) {
                let Some(kind) = self.kind(*object)? else { continue };
                let owner = if kind == LockKind::RLock { self.rlock_owner(*object)? } else { None };
                return Ok(Some(Lock { kind, object: *object, owner, waiters: self.waiters(wanted.word)? }));
            }
            let distance = wanted.parked_at.map_or(u64::MAX, |at| at.0.wrapping_sub(first.0));
            if distance < HANDLE_BYTES && self.kind(*object)? == Some(LockKind::ThreadEnd) {
                let owner = self.thread_of(first)?;
                return Ok(Some(Lock { kind: LockKind::ThreadEnd, object: *object, owner, waiters: None }));
            }
        }
        Ok(None)
    }

    /// True unless the first word shows that the object was freed: memory pools keep a pointer there, or nothing.
    fn is_live(&self, object: &Bytes) -> bool {
        self.objects.quirks.free_threaded || u64::from_bytes(object).is_some_and(|count| (1..1 << 32).contains(&count))
    }

    /// How many threads sleep on a semaphore: the upper half of glibc's, the second word of musl's.
    fn waiters(&self, semaphore: Addr) -> Result<Option<u32>, ReadError> {
        let bytes = tolerate(self.objects.cache.bytes(semaphore.offset(4), 4))?;
        Ok(bytes.and_then(|bytes| u32::from_bytes(&bytes)).filter(|count| (1..1 << 22).contains(count)))
    }

    /// The thread that a `ThreadHandle` is for: one of its words is the thread's ident.
    fn thread_of(&self, handle: Addr) -> Result<Option<u64>, ReadError> {
        let bytes = tolerate(self.objects.cache.bytes(handle, HANDLE_BYTES as usize / 2))?;
        let words = bytes.as_deref().unwrap_or_default().chunks_exact(8).filter_map(u64::from_bytes);
        Ok(words.into_iter().find(|word| self.idents.contains(word)))
    }

    /// What the slots of a frame may refer to: local variables, operands, and whatever else is there.
    fn words(&self, frames: &[Addr], index: usize) -> Result<Vec<Addr>, ReadError> {
        let Some(frame) = frames.get(index) else { return Ok(Vec::new()) };
        let (first, most) = match self.objects.layout.frame.localsplus {
            Some(field) if self.objects.quirks.interpreter_frames => (u64::from(field.offset), WORDS * 8),
            _ => (OLD_FRAME_FIRST, (WORDS + OLD_FRAME_EXTRA) * 8),
        };
        let start = frame.offset(first);
        // The frames of one chunk of the data stack follow each other.
        let inner = index.checked_sub(1).and_then(|inner| frames.get(inner)).map_or(0, |inner| inner.0);
        let len = usize::try_from(inner.wrapping_sub(start.0)).map_or(most, |distance| distance.min(most));
        let bytes = match self.objects.cache.bytes(start, len) {
            Err(ReadError::Unmapped) => {
                let to_page_end = 0x1000 - (start.0 & 0xfff) as usize;
                tolerate(self.objects.cache.bytes(start, to_page_end.min(len)))?
            }
            bytes => tolerate(bytes)?,
        };
        let words = bytes.as_deref().unwrap_or_default().chunks_exact(8).filter_map(Addr::from_bytes);
        let mut words: Vec<Addr> = words.map(Addr::untagged).filter(|word| word.is_plausible()).collect();
        words.sort_unstable();
        words.dedup();
        Ok(words)
    }

    /// What objects lead to in one step. All of them ask for the memory that they miss before any of it is read.
    fn all_referred(&self, objects: &[Addr]) -> Result<Vec<Addr>, ReadError> {
        let (mut found, mut deferred) = (Vec::new(), false);
        for object in objects {
            match self.referred(*object) {
                Err(ReadError::Deferred) => deferred = true,
                referred => found.extend(referred.unwrap_or_default()),
            }
        }
        if deferred { Err(ReadError::Deferred) } else { Ok(found) }
    }

    /// What an object leads to in one step: a bound method to its `self`, an instance to its attributes.
    fn referred(&self, object: Addr) -> Result<Vec<Addr>, ReadError> {
        let ty = self.objects.type_of(object)?;
        let name = self.objects.type_name(object)?;
        if matches!(&*name, "builtin_function_or_method" | "builtin_method" | "method") {
            let at = object.offset(u64::from(self.objects.layout.object.size) + 8);
            return Ok(Addr::from_bytes(&self.objects.cache.bytes(at, 8)?).into_iter().collect());
        }
        let flags = self.objects.field(ty, self.objects.layout.type_object.tp_flags)?;
        if flags & HEAP_TYPE == 0 || flags & TYPE_SUBCLASS != 0 || &*name == "module" {
            return Ok(Vec::new());
        }
        let values = self.objects.instance_attributes(object, ATTRIBUTES)?;
        Ok(values.into_iter().flatten().filter(|value| value.is_plausible()).collect())
    }
}

/// What cannot be read is not what is looked for; what is only not read yet is waited for.
fn tolerate<T>(result: Result<T, ReadError>) -> Result<Option<T>, ReadError> {
    match result {
        Err(ReadError::Deferred) => Err(ReadError::Deferred),
        result => Ok(result.ok()),
    }
}
