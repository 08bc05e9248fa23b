//! A read-through cache: each piece of memory is read once per snapshot, in batches where the reader can say ahead what it
//! will want. What was read can be listed, so that a second pass reads it all again at once while a thread is stopped.

use super::{Batch as Pieces, Extent, Memory, ReadError};
use crate::base::{Addr, AddrHashing, AddrMap, Record, limits};
use std::cell::{Cell, RefCell};
use std::collections::{BTreeSet, HashMap};
use std::ops::{Deref, Range};
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
    /// `len` bytes from `start` on, when there are so many.
    pub fn piece(&self, start: u64, len: usize) -> Option<Bytes> {
        let start = usize::try_from(start).ok()?;
        let fits = start.checked_add(len)? <= self.len;
        fits.then(|| Bytes { buffer: self.buffer.clone(), start: self.start + start, len })
    }

    /// The bytes as a structure.
    pub fn record(&self) -> Record<'_> {
        Record(self)
    }
}

/// The cache over some memory.
pub struct Cache<'m> {
    memory: &'m dyn Memory,
    extents: RefCell<Extents>,
    /// The large extent looked at last: look-ups come in runs, as for the frames of one stack.
    last: RefCell<Option<(Addr, Bytes)>>,
    batch: RefCell<Batch>,
    /// Bytes that may still be kept.
    room: Cell<usize>,
    /// Work that may still be done.
    work: Cell<usize>,
    /// How often memory was read.
    reads: Cell<u64>,
    /// What was read and is no longer kept.
    forgotten: RefCell<Vec<Extent>>,
    /// It holds what a second pass needs, all of it.
    is_second: Cell<bool>,
}

/// What was read, by where it starts. Most look-ups are for just that; the order is for those within a larger extent.
#[derive(Default)]
struct Extents {
    by_start: AddrMap<Bytes>,
    /// Starts of extents of which none lies within another, so that the nearest start tells whether a piece is there.
    starts: BTreeSet<Addr>,
}

impl Extents {
    fn insert(&mut self, addr: Addr, bytes: Bytes) {
        let len = bytes.len;
        if self.get(addr, len).is_some() {
            // Another holds it already; but one that starts there is found more quickly.
            self.by_start.entry(addr).or_insert(bytes);
            return;
        }
        // An extent within another would be found instead of it.
        while let Some(inner) =
            self.starts.range(addr..).next().copied().filter(|inner| self.is_within(*inner, addr, len))
        {
            self.starts.remove(&inner);
        }
        self.by_start.insert(addr, bytes);
        self.starts.insert(addr);
    }

    /// True when the extent that starts at `inner` lies within `len` bytes from `addr` on.
    fn is_within(&self, inner: Addr, addr: Addr, len: usize) -> bool {
        let end = self.by_start.get(&inner).map_or(u64::MAX, |bytes| inner.0.saturating_add(bytes.len as u64));
        end <= addr.0.saturating_add(len as u64)
    }

    /// The extent that holds this piece, with its start.
    fn get(&self, addr: Addr, len: usize) -> Option<(Addr, &Bytes)> {
        if let Some(bytes) = self.by_start.get(&addr).filter(|bytes| len <= bytes.len) {
            return Some((addr, bytes));
        }
        let base = self.starts.range(..=addr).next_back()?;
        let bytes = self.by_start.get(base)?;
        let within = usize::try_from(addr.0 - base.0).ok()?;
        (within.checked_add(len)? <= bytes.len).then_some((*base, bytes))
    }
}

/// Extents that are read as one, as they overlap or nearly touch: a piece costs more than a few bytes too many.
struct Run<'e> {
    whole: Extent,
    members: &'e [Extent],
}

/// Bytes that a single read takes at least: they cost next to nothing beside the system call.
const AROUND: usize = 512;
/// Bytes between two extents that are read along.
const GAP: u64 = 256;
/// An extent of this length is likely to be looked at again at once.
const RUN_BYTES: usize = 512;
/// Longest run, so that one page that cannot be read costs no more than this.
const LONGEST_RUN: u64 = 64 << 10;

/// Extents, sorted by address, as runs.
fn runs(extents: &[Extent]) -> Vec<Run<'_>> {
    let mut runs = Vec::new();
    let mut rest = extents;
    while let Some(first) = rest.first() {
        let start = first.addr.0;
        let mut end = start.saturating_add(first.len as u64);
        let more = rest.iter().skip(1).take_while(|next| {
            let next_end = next.addr.0.saturating_add(next.len as u64).max(end);
            let joins = next.addr.0 <= end.saturating_add(GAP) && (next_end == end || next_end - start <= LONGEST_RUN);
            if joins {
                end = next_end;
            }
            joins
        });
        let (members, others) = rest.split_at(1 + more.count());
        let whole = match members {
            // As it is, even where it goes beyond the last address.
            [only] => *only,
            _ => Extent { addr: first.addr, len: usize::try_from(end - start).unwrap_or(usize::MAX) },
        };
        runs.push(Run { whole, members });
        rest = others;
    }
    runs
}

/// What a batch is missing.
#[derive(Default)]
struct Batch {
    deferring: bool,
    wanted: Vec<Extent>,
    /// Extents that could not be read, so that their readers are told instead of being deferred again.
    failed: HashMap<(Addr, usize), ReadError, AddrHashing>,
}

impl<'m> Cache<'m> {
    /// An empty cache.
    pub fn new(memory: &'m dyn Memory) -> Cache<'m> {
        Cache {
            memory,
            extents: RefCell::default(),
            last: RefCell::default(),
            batch: RefCell::default(),
            room: Cell::new(limits::CACHE_BYTES),
            work: Cell::new(limits::WORK),
            reads: Cell::new(0),
            forgotten: RefCell::default(),
            is_second: Cell::new(false),
        }
    }

    /// Reads at once what another pass has read, to serve as a second one.
    pub fn prefetch_again(&self, first: &Cache<'_>) {
        self.is_second.set(true);
        self.prefetch(first.extents());
    }

    /// Gives the memory back in which pieces are kept. They are read anew when they are wanted again; a second pass, which
    /// has them all, keeps them.
    pub fn forget(&self) {
        if self.is_second.get() {
            return;
        }
        let extents = self.extents();
        self.forgotten.replace(extents);
        self.extents.replace(Extents::default());
        self.last.replace(None);
        self.room.set(limits::CACHE_BYTES);
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
        self.reads.set(self.reads.get() + 1);
        let buffer = self.read_around(addr, len)?;
        self.room.set(self.room.get().saturating_sub(buffer.len()));
        let whole = Bytes { start: 0, len: buffer.len(), buffer: Rc::new(buffer) };
        self.extents.borrow_mut().insert(addr, whole.clone());
        Ok(Bytes { len, ..whole })
    }

    /// These bytes, with some of those behind them where they are on the same page: what is looked at next is often there.
    fn read_around(&self, addr: Addr, len: usize) -> Result<Vec<u8>, ReadError> {
        let to_page_end = 0x1000 - (addr.0 & 0xfff) as usize;
        let more = AROUND.min(to_page_end).min(self.room.get());
        if more > len {
            let mut buffer = vec![0; more];
            if self.memory.read(addr, &mut buffer).is_ok() {
                return Ok(buffer);
            }
        }
        let mut buffer = vec![0; len];
        self.memory.read(addr, &mut buffer)?;
        Ok(buffer)
    }

    /// The whole of the cached extent that holds these bytes, with its start; as [`Cache::bytes`] when none does. For walks
    /// that stay within one extent for many steps.
    pub fn around(&self, addr: Addr, len: usize) -> Result<(Addr, Bytes), ReadError> {
        let bytes = self.bytes(addr, len)?;
        let extents = self.extents.borrow();
        Ok(extents.get(addr, len).map_or((addr, bytes), |(start, whole)| (start, whole.clone())))
    }

    /// A number that changes whenever memory is read: while it stays, what was missing is missing still.
    pub fn reads(&self) -> u64 {
        self.reads.get()
    }

    /// True when these bytes need not be read any more.
    pub fn has(&self, addr: Addr, len: usize) -> bool {
        self.cached(addr, len).is_some()
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
        let mut results: Vec<Result<T, ReadError>> = items.iter().map(|_| Err(ReadError::Deferred)).collect();
        let mut unfinished: Vec<usize> = (0..items.len()).collect();
        loop {
            self.batch.borrow_mut().deferring = true;
            unfinished.retain(|index| {
                let (Some(item), Some(slot)) = (items.get(*index), results.get_mut(*index)) else { return false };
                *slot = work(item);
                matches!(slot, Err(ReadError::Deferred))
            });
            let wanted = {
                let mut batch = self.batch.borrow_mut();
                batch.deferring = false;
                std::mem::take(&mut batch.wanted)
            };
            if unfinished.is_empty() {
                break;
            }
            self.prefetch(wanted);
        }
        results
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
        missing.sort_unstable_by_key(|w| (w.addr, std::cmp::Reverse(w.len)));
        missing.dedup();
        let runs = runs(&missing);
        let mut rest = runs.as_slice();
        while let Some((first, others)) = rest.split_first() {
            let fitting = self.fitting(rest);
            if fitting == 0 {
                batch.failed.extend(first.members.iter().map(|m| ((m.addr, m.len), ReadError::TooLarge)));
                rest = others;
                continue;
            }
            let (now, later) = rest.split_at(fitting);
            self.read_now(now, &mut batch);
            rest = later;
        }
    }

    /// How many of the runs there is room for, counted from the first.
    fn fitting(&self, runs: &[Run<'_>]) -> usize {
        let mut room = self.room.get();
        let fits = |run: &&Run<'_>| match room.checked_sub(run.whole.len) {
            Some(left) => {
                room = left;
                true
            }
            None => false,
        };
        runs.iter().take_while(fits).count()
    }

    fn read_now(&self, runs: &[Run<'_>], batch: &mut Batch) {
        let wholes: Vec<Extent> = runs.iter().map(|run| run.whole).collect();
        let mut again = Vec::new();
        for (run, read) in runs.iter().zip(self.read_and_keep(&wholes)) {
            match read {
                Err(error) if run.members.len() == 1 => {
                    batch.failed.insert((run.whole.addr, run.whole.len), error);
                }
                // What lies between may be what cannot be read.
                Err(_) => again.extend_from_slice(run.members),
                Ok(()) => {}
            }
        }
        if again.is_empty() {
            return;
        }
        for (extent, read) in again.iter().zip(self.read_and_keep(&again)) {
            if let Err(error) = read {
                batch.failed.insert((extent.addr, extent.len), error);
            }
        }
    }

    fn read_and_keep(&self, wanted: &[Extent]) -> Vec<Result<(), ReadError>> {
        self.reads.set(self.reads.get() + 1);
        let Pieces { bytes: buffer, pieces } = self.memory.read_many(wanted);
        self.room.set(self.room.get().saturating_sub(buffer.len()));
        let buffer = Rc::new(buffer);
        let mut extents = self.extents.borrow_mut();
        extents.by_start.reserve(wanted.len());
        let mut keep = |extent: &Extent, range: Range<usize>| {
            let bytes = Bytes { buffer: buffer.clone(), start: range.start, len: range.len() };
            extents.insert(extent.addr, bytes);
        };
        wanted.iter().zip(pieces).map(|(extent, piece)| piece.map(|range| keep(extent, range))).collect()
    }

    /// Everything that was read.
    pub fn extents(&self) -> Vec<Extent> {
        let extents = self.extents.borrow();
        let len = |addr: &Addr| extents.by_start.get(addr).map_or(0, |bytes| bytes.len);
        let kept = extents.starts.iter().map(|addr| Extent { addr: *addr, len: len(addr) });
        self.forgotten.borrow().iter().copied().chain(kept).collect()
    }

    fn cached(&self, addr: Addr, len: usize) -> Option<Bytes> {
        if len == 0 {
            // Never missing: nothing would ever be read for it.
            return Some(Bytes { buffer: Rc::default(), start: 0, len });
        }
        if let Some((base, bytes)) = &*self.last.borrow()
            && let Some(piece) = addr.0.checked_sub(base.0).and_then(|start| bytes.piece(start, len))
        {
            return Some(piece);
        }
        let extents = self.extents.borrow();
        let (base, bytes) = extents.get(addr, len)?;
        if bytes.len >= RUN_BYTES {
            *self.last.borrow_mut() = Some((base, bytes.clone()));
        }
        bytes.piece(addr.0 - base.0, len)
    }
}

#[cfg(test)]
mod tests;
