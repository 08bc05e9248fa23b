//! A read-through cache: each page of memory is read once per snapshot, in batches where the reader can say ahead what it
//! will want. What was read can be listed, so that a second pass reads it all again at once while a thread is stopped.

mod extents;
mod pages;

pub use self::pages::PageSize;

use self::extents::Extents;
use self::pages::Pages;
use super::{Batch as Pieces, Extent, Memory, ReadError};
use crate::base::{Addr, AddrHashing, Record, limits};
use std::cell::{Cell, RefCell};
use std::collections::{HashMap, HashSet};
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
    pages: RefCell<Pages>,
    /// Large pieces, those of pages that cannot be read as a whole, and those put together of pages that lie apart here.
    extents: RefCell<Extents>,
    /// The run of pages, or large piece, looked at last: look-ups come in runs, as for the frames of one stack.
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

/// A piece of this length is likely to be looked at again at once.
const RUN_BYTES: usize = 512;

/// What a batch is missing.
#[derive(Default)]
struct Batch {
    deferring: bool,
    wanted: Vec<Extent>,
    /// Extents that could not be read, so that their readers are told instead of being deferred again.
    failed: HashMap<(Addr, usize), ReadError, AddrHashing>,
    /// Numbers of pages that could not be read as a whole.
    absent: HashSet<u64, AddrHashing>,
}

impl<'m> Cache<'m> {
    /// An empty cache, which reads small pages.
    pub fn new(memory: &'m dyn Memory) -> Cache<'m> {
        Cache::of_pages(memory, PageSize::Small)
    }

    /// An empty cache, which reads pages of this size.
    pub fn of_pages(memory: &'m dyn Memory, size: PageSize) -> Cache<'m> {
        Cache {
            memory,
            pages: RefCell::new(Pages::new(size)),
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
    pub fn prefetch_again(&self, first: impl IntoIterator<Item = Extent>) {
        self.is_second.set(true);
        self.prefetch(first);
    }

    /// Gives the memory back in which pieces are kept. They are read anew when they are wanted again; a second pass, which
    /// has them all, keeps them.
    pub fn forget(&self) {
        if self.is_second.get() {
            return;
        }
        let extents = self.extents();
        self.forgotten.replace(extents);
        self.pages.borrow_mut().clear();
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
        self.fetch(vec![Extent { addr, len }], &mut batch);
        match self.cached(addr, len) {
            Some(bytes) => Ok(bytes),
            None => Err(batch.failed.get(&(addr, len)).copied().unwrap_or(ReadError::Unmapped)),
        }
    }

    /// The whole of the cached extent that holds these bytes, with its start; as [`Cache::bytes`] when none does. For walks
    /// that stay within one extent for many steps.
    pub fn around(&self, addr: Addr, len: usize) -> Result<(Addr, Bytes), ReadError> {
        let bytes = self.bytes(addr, len)?;
        if let Some(run) = self.pages.borrow().around(addr, len) {
            return Ok(run);
        }
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
        self.fetch(missing, &mut batch);
    }

    /// Reads the pages that these extents lie on; by themselves large ones, and those of which pages cannot be read.
    fn fetch(&self, mut missing: Vec<Extent>, batch: &mut Batch) {
        let runs = {
            let pages = self.pages.borrow();
            let is_missing = |number: &u64| !pages.has(*number) && !batch.absent.contains(number);
            let most = pages.in_bytes(self.room.get());
            let mut numbers: Vec<u64> = Vec::new();
            for extent in missing.iter().filter(|extent| extent.len <= pages::LONGEST) {
                if numbers.len() > most {
                    break;
                }
                numbers.extend(pages.numbers(extent.addr, extent.len).filter(is_missing));
            }
            numbers.sort_unstable();
            numbers.dedup();
            pages.runs(&numbers)
        };
        let failed = self.read_pages(&runs);
        if !failed.is_empty() {
            self.read_singly(failed, batch);
        }
        missing.retain(|extent| self.cached(extent.addr, extent.len).is_none());
        if !missing.is_empty() {
            self.read_by_themselves(missing, batch);
        }
    }

    /// Reads the pages of runs that could not be read, as one of several may be why, and notes those that cannot.
    fn read_singly(&self, failed: Vec<Extent>, batch: &mut Batch) {
        let (absent, single) = {
            let pages = self.pages.borrow();
            let (absent, several): (Vec<Extent>, _) = failed.into_iter().partition(|run| pages.is_single(run));
            let single = several.into_iter().flat_map(|run| pages.numbers(run.addr, run.len));
            (absent, single.flat_map(|number| pages.runs(&[number])).collect::<Vec<Extent>>())
        };
        let absent: Vec<Extent> = absent.into_iter().chain(self.read_pages(&single)).collect();
        let pages = self.pages.borrow();
        batch.absent.extend(absent.iter().flat_map(|page| pages.numbers(page.addr, page.len)));
    }

    /// Reads whole pages; returns those that could not be.
    fn read_pages(&self, runs: &[Extent]) -> Vec<Extent> {
        let fitting = runs.get(..self.fitting(runs)).unwrap_or_default();
        if fitting.is_empty() {
            return Vec::new();
        }
        self.reads.set(self.reads.get() + 1);
        let Pieces { bytes: buffer, pieces } = self.memory.read_many(fitting);
        self.room.set(self.room.get().saturating_sub(buffer.len()));
        let mut failed = Vec::new();
        let mut read = Vec::with_capacity(fitting.len());
        for (run, piece) in fitting.iter().zip(pieces) {
            match piece {
                Ok(range) => read.push((*run, range)),
                Err(_) => failed.push(*run),
            }
        }
        self.pages.borrow_mut().keep(&read, &Rc::new(buffer));
        failed
    }

    fn read_by_themselves(&self, mut wanted: Vec<Extent>, batch: &mut Batch) {
        wanted.sort_unstable_by_key(|w| (w.addr, std::cmp::Reverse(w.len)));
        wanted.dedup();
        let mut rest = wanted.as_slice();
        while let Some((first, others)) = rest.split_first() {
            let fitting = self.fitting(rest);
            if fitting == 0 {
                batch.failed.insert((first.addr, first.len), ReadError::TooLarge);
                rest = others;
                continue;
            }
            let (now, later) = rest.split_at(fitting);
            for (extent, read) in now.iter().zip(self.read_and_keep(now)) {
                if let Err(error) = read {
                    batch.failed.insert((extent.addr, extent.len), error);
                }
            }
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

    fn read_and_keep(&self, wanted: &[Extent]) -> Vec<Result<(), ReadError>> {
        self.reads.set(self.reads.get() + 1);
        let Pieces { bytes: buffer, pieces } = self.memory.read_many(wanted);
        self.room.set(self.room.get().saturating_sub(buffer.len()));
        let buffer = Rc::new(buffer);
        let mut extents = self.extents.borrow_mut();
        let mut keep = |extent: &Extent, range: Range<usize>| {
            let bytes = Bytes { buffer: buffer.clone(), start: range.start, len: range.len() };
            extents.insert(extent.addr, bytes);
        };
        wanted.iter().zip(pieces).map(|(extent, piece)| piece.map(|range| keep(extent, range))).collect()
    }

    /// Everything that was read.
    pub fn extents(&self) -> Vec<Extent> {
        let extents = self.extents.borrow();
        let kept = self.pages.borrow().extents().into_iter().chain(extents.list());
        self.forgotten.borrow().iter().copied().chain(kept).collect()
    }

    fn cached(&self, addr: Addr, len: usize) -> Option<Bytes> {
        if len == 0 {
            // Never missing: nothing would ever be read for it.
            return Some(Bytes { buffer: Rc::default(), start: 0, len });
        }
        if let Some((start, run)) = &*self.last.borrow()
            && let Some(piece) = addr.0.checked_sub(start.0).and_then(|at| run.piece(at, len))
        {
            return Some(piece);
        }
        if let Some((start, run)) = self.pages.borrow().around(addr, len) {
            let piece = run.piece(addr.0 - start.0, len);
            *self.last.borrow_mut() = Some((start, run));
            return piece;
        }
        if let Some((start, bytes)) = self.extents.borrow().get(addr, len) {
            if bytes.len >= RUN_BYTES {
                *self.last.borrow_mut() = Some((start, bytes.clone()));
            }
            return bytes.piece(addr.0 - start.0, len);
        }
        let joined = self.pages.borrow().joined(addr, len)?;
        self.room.set(self.room.get().saturating_sub(len));
        let bytes = Bytes { buffer: Rc::new(joined), start: 0, len };
        self.extents.borrow_mut().insert(addr, bytes.clone());
        Some(bytes)
    }
}

#[cfg(test)]
mod tests;
