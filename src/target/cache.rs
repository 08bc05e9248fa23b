//! A read-through cache: each piece of memory is read once per snapshot, in batches where the reader can say ahead what it
//! will want. What was read can be listed, so that a second pass reads it all again at once while a thread is stopped.

use super::{Batch as Pieces, Extent, Memory, ReadError};
use crate::base::{Addr, AddrMap, Record, limits};
use std::cell::{Cell, RefCell};
use std::collections::{BTreeSet, HashMap};
use std::ops::Deref;
use std::rc::Rc;

/// Bytes of the target, shared with the cache.
#[derive(Clone)]
pub struct Bytes {
    buffer: Rc<Vec<u8>>,
    start: usize,
    len: usize,
}

impl Deref for Bytes {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        self.buffer.get(self.start..self.start + self.len).unwrap_or(&[])
    }
}

impl Bytes {
    /// The bytes as a structure.
    pub fn record(&self) -> Record<'_> {
        Record(self)
    }
}

/// The cache over some memory.
pub struct Cache<'m> {
    memory: &'m dyn Memory,
    extents: RefCell<Extents>,
    batch: RefCell<Batch>,
    /// Bytes that may still be kept.
    room: Cell<usize>,
    /// Work that may still be done.
    work: Cell<usize>,
}

/// What was read, by where it starts. Most look-ups are for just that; the order is for those within a larger extent.
#[derive(Default)]
struct Extents {
    by_start: AddrMap<Bytes>,
    starts: BTreeSet<Addr>,
}

impl Extents {
    fn insert(&mut self, addr: Addr, bytes: Bytes) {
        // Of several extents at one address the longest serves all.
        if self.by_start.get(&addr).is_none_or(|old| old.len < bytes.len) {
            self.by_start.insert(addr, bytes);
            self.starts.insert(addr);
        }
    }

    fn get(&self, addr: Addr, len: usize) -> Option<Bytes> {
        if let Some(bytes) = self.by_start.get(&addr).filter(|bytes| len <= bytes.len) {
            return Some(Bytes { buffer: bytes.buffer.clone(), start: bytes.start, len });
        }
        let base = self.starts.range(..=addr).next_back()?;
        let bytes = self.by_start.get(base)?;
        let within = usize::try_from(addr.0 - base.0).ok()?;
        let fits = within.checked_add(len)? <= bytes.len;
        fits.then(|| Bytes { buffer: bytes.buffer.clone(), start: bytes.start + within, len })
    }
}

/// What a batch is missing.
#[derive(Default)]
struct Batch {
    deferring: bool,
    wanted: Vec<Extent>,
    /// Extents that could not be read, so that their readers are told instead of being deferred again.
    failed: HashMap<(Addr, usize), ReadError>,
}

impl<'m> Cache<'m> {
    /// An empty cache.
    pub fn new(memory: &'m dyn Memory) -> Cache<'m> {
        Cache {
            memory,
            extents: RefCell::default(),
            batch: RefCell::default(),
            room: Cell::new(limits::CACHE_BYTES),
            work: Cell::new(limits::WORK),
        }
    }

    /// `len` bytes at `addr`, from the cache or else from memory.
    pub fn bytes(&self, addr: Addr, len: usize) -> Result<Bytes, ReadError> {
        self.work(1)?;
        if let Some(bytes) = self.cached(addr, len) {
            return Ok(bytes);
        }
        if len > self.room.get() {
            return Err(ReadError::TooLarge);
        }
        let mut batch = self.batch.borrow_mut();
        if let Some(error) = batch.failed.get(&(addr, len)) {
            return Err(*error);
        }
        if batch.deferring {
            batch.wanted.push(Extent { addr, len });
            return Err(ReadError::Deferred);
        }
        let mut buffer = vec![0; len];
        self.memory.read(addr, &mut buffer)?;
        self.room.set(self.room.get().saturating_sub(len));
        let bytes = Bytes { buffer: Rc::new(buffer), start: 0, len };
        self.extents.borrow_mut().insert(addr, bytes.clone());
        Ok(bytes)
    }

    /// Pays for work in proportion to what the target says there is; an error once it has cost too much.
    pub fn work(&self, units: usize) -> Result<(), ReadError> {
        let left = self.work.get().checked_sub(units).ok_or(ReadError::TooLarge)?;
        self.work.set(left);
        Ok(())
    }

    /// Does `work` for every item, reading what all of them miss at once: `work` runs again for an item whenever the
    /// memory that it missed is there, so chains of pointers cost one round of reads a link, however many items there are.
    pub fn batched<I, T>(&self, items: &[I], work: impl Fn(&I) -> Result<T, ReadError>) -> Vec<Result<T, ReadError>> {
        let mut results: Vec<Option<Result<T, ReadError>>> = items.iter().map(|_| None).collect();
        loop {
            self.batch.borrow_mut().deferring = true;
            let mut unfinished = false;
            for (item, slot) in items.iter().zip(&mut results).filter(|(_, slot)| slot.is_none()) {
                match work(item) {
                    Err(ReadError::Deferred) => unfinished = true,
                    result => *slot = Some(result),
                }
            }
            let wanted = {
                let mut batch = self.batch.borrow_mut();
                batch.deferring = false;
                std::mem::take(&mut batch.wanted)
            };
            if !unfinished {
                break;
            }
            self.prefetch(wanted);
        }
        results.into_iter().map(|slot| slot.unwrap_or(Err(ReadError::Deferred))).collect()
    }

    /// Reads the extents that are not cached yet, in batches; within [`Cache::batched`], with the next round. What cannot be
    /// read stays uncached: its reader will see why.
    pub fn prefetch(&self, wanted: impl IntoIterator<Item = Extent>) {
        let mut missing: Vec<Extent> =
            wanted.into_iter().filter(|w| w.len > 0 && self.cached(w.addr, w.len).is_none()).collect();
        let mut batch = self.batch.borrow_mut();
        missing.retain(|w| !batch.failed.contains_key(&(w.addr, w.len)));
        if batch.deferring {
            batch.wanted.append(&mut missing);
            return;
        }
        missing.sort_by_key(|w| (w.addr, std::cmp::Reverse(w.len)));
        missing.dedup();
        let mut rest = missing.as_slice();
        while let Some((first, others)) = rest.split_first() {
            let fitting = self.fitting(rest);
            if fitting == 0 {
                batch.failed.insert((first.addr, first.len), ReadError::TooLarge);
                rest = others;
                continue;
            }
            let (now, later) = rest.split_at(fitting);
            self.read_now(now, &mut batch);
            rest = later;
        }
    }

    /// How many of the extents there is room for, counted from the first.
    fn fitting(&self, extents: &[Extent]) -> usize {
        let mut room = self.room.get();
        let fits = |extent: &&Extent| match room.checked_sub(extent.len) {
            Some(left) => {
                room = left;
                true
            }
            None => false,
        };
        extents.iter().take_while(fits).count()
    }

    fn read_now(&self, missing: &[Extent], batch: &mut Batch) {
        let Pieces { bytes: buffer, pieces } = self.memory.read_many(missing);
        self.room.set(self.room.get().saturating_sub(buffer.len()));
        let buffer = Rc::new(buffer);
        let mut extents = self.extents.borrow_mut();
        for (extent, piece) in missing.iter().zip(pieces) {
            match piece {
                Ok(range) => {
                    let bytes = Bytes { buffer: buffer.clone(), start: range.start, len: range.len() };
                    extents.insert(extent.addr, bytes);
                }
                Err(error) => {
                    batch.failed.insert((extent.addr, extent.len), error);
                }
            }
        }
    }

    /// Everything that was read.
    pub fn extents(&self) -> Vec<Extent> {
        let extents = self.extents.borrow();
        let len = |addr: &Addr| extents.by_start.get(addr).map_or(0, |bytes| bytes.len);
        extents.starts.iter().map(|addr| Extent { addr: *addr, len: len(addr) }).collect()
    }

    fn cached(&self, addr: Addr, len: usize) -> Option<Bytes> {
        if len == 0 {
            // Never missing: nothing would ever be read for it.
            return Some(Bytes { buffer: Rc::default(), start: 0, len });
        }
        self.extents.borrow().get(addr, len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    struct Counting {
        reads: Cell<usize>,
    }

    impl Memory for Counting {
        fn read(&self, addr: Addr, buf: &mut [u8]) -> Result<(), ReadError> {
            self.reads.set(self.reads.get() + 1);
            if addr.0 < 100 {
                return Err(ReadError::Unmapped);
            }
            for (i, byte) in buf.iter_mut().enumerate() {
                *byte = (addr.0 as usize + i) as u8;
            }
            Ok(())
        }
    }

    #[test]
    fn what_was_read_once_is_not_read_again() {
        let memory = Counting { reads: Cell::new(0) };
        let cache = Cache::new(&memory);
        assert_eq!(&*cache.bytes(Addr(128), 8).unwrap(), [128, 129, 130, 131, 132, 133, 134, 135]);
        assert_eq!(&*cache.bytes(Addr(130), 2).unwrap(), [130, 131]);
        assert_eq!(memory.reads.get(), 1);
        assert_eq!(cache.bytes(Addr(130), 8).unwrap().len(), 8);
        assert_eq!(memory.reads.get(), 2);
    }

    #[test]
    fn chains_of_pointers_are_followed_in_rounds() {
        let memory = Counting { reads: Cell::new(0) };
        let cache = Cache::new(&memory);
        let follow = |start: &u64| {
            let first = cache.bytes(Addr(*start), 1)?;
            let second = cache.bytes(Addr(1000 + u64::from(first[0])), 1)?;
            Ok(second[0])
        };
        let results = cache.batched(&[200, 201, 5], follow);
        assert_eq!(results, [Ok((1200 % 256) as u8), Ok((1201 % 256) as u8), Err(ReadError::Unmapped)]);
    }

    #[test]
    fn a_prefetch_that_fails_leaves_the_error_to_the_reader() {
        let memory = Counting { reads: Cell::new(0) };
        let cache = Cache::new(&memory);
        cache.prefetch([Extent { addr: Addr(1), len: 8 }, Extent { addr: Addr(200), len: 8 }]);
        assert_eq!(cache.extents(), [Extent { addr: Addr(200), len: 8 }]);
        assert_eq!(cache.bytes(Addr(1), 8).err(), Some(ReadError::Unmapped));
    }
}
