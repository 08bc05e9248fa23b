//! Memory that was read, by pages of one size: objects lie close together, so what one read brings along is mostly wanted next,
//! and one look into one map tells where a piece is.

use super::{Bytes, Extent};
use crate::base::{Addr, AddrMap};
use std::ops::Range;
use std::rc::Rc;

/// Longest piece that is read at a time, in bytes: one page that cannot be read costs no more than this.
pub(super) const LONGEST: usize = 64 << 10;

/// How much of memory is read at least, in bytes: a power of two. The kernel maps whole pages of 4096, so such a piece of one
/// can be read wholly or not at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PageSize {
    /// 512: for stacks, of which little is wanted in many places.
    Small = 512,
    /// 4096: for many objects of the same kinds, which lie beside each other.
    Large = 4096,
}

/// Pages by their number.
pub(super) struct Pages {
    size: u64,
    by_number: AddrMap<Place>,
}

/// Where a page is kept.
struct Place {
    buffer: Rc<Vec<u8>>,
    at: usize,
    /// Of `buffer`, the part that follows on in the target as it does here.
    run: Range<usize>,
}

impl Pages {
    pub(super) fn new(size: PageSize) -> Pages {
        Pages { size: size as u64, by_number: AddrMap::default() }
    }

    /// Forgets all of them.
    pub(super) fn clear(&mut self) {
        self.by_number = AddrMap::default();
    }

    /// The number of the page that has an address.
    fn number(&self, addr: Addr) -> u64 {
        addr.0 / self.size
    }

    /// The numbers of the pages that have a piece of memory.
    pub(super) fn numbers(&self, addr: Addr, len: usize) -> Range<u64> {
        let last = addr.0.saturating_add((len as u64).saturating_sub(1));
        self.number(addr)..self.number(Addr(last)) + 1
    }

    /// How many pages take so many bytes at the most.
    pub(super) fn in_bytes(&self, bytes: usize) -> usize {
        bytes / self.size as usize
    }

    pub(super) fn is_single(&self, piece: &Extent) -> bool {
        piece.len as u64 == self.size
    }

    pub(super) fn has(&self, number: u64) -> bool {
        self.by_number.contains_key(&Addr(number))
    }

    /// All of what is kept in one piece around an address, with its start.
    pub(super) fn around(&self, addr: Addr, len: usize) -> Option<(Addr, Bytes)> {
        let place = self.by_number.get(&Addr(self.number(addr)))?;
        let from = place.at + (addr.0 % self.size) as usize;
        if from.checked_add(len)? > place.run.end {
            return None;
        }
        let start = addr.back((from - place.run.start) as u64);
        Some((start, Bytes { buffer: place.buffer.clone(), start: place.run.start, len: place.run.len() }))
    }

    /// A copy of a piece that is not in one here; `None` unless all of it is.
    pub(super) fn joined(&self, addr: Addr, len: usize) -> Option<Vec<u8>> {
        addr.0.checked_add(len as u64)?;
        if !self.numbers(addr, len).all(|number| self.has(number)) {
            return None;
        }
        let mut joined = Vec::with_capacity(len);
        while joined.len() < len {
            let addr = addr.offset(joined.len() as u64);
            let place = self.by_number.get(&Addr(self.number(addr)))?;
            let run = place.buffer.get(place.at + (addr.0 % self.size) as usize..place.run.end)?;
            joined.extend(run.iter().take(len - joined.len()));
        }
        Some(joined)
    }

    /// Keeps what was read of each of these pieces, which are whole pages, in the order of their addresses.
    pub(super) fn keep(&mut self, read: &[(Extent, Range<usize>)], buffer: &Rc<Vec<u8>>) {
        let mut rest = read;
        while let Some((first, range)) = rest.first() {
            let mut end = (first.addr.offset(first.len as u64), range.end);
            let more = rest.iter().skip(1).take_while(|(next, range)| {
                let follows = (next.addr, range.start) == end;
                if follows {
                    end = (next.addr.offset(next.len as u64), range.end);
                }
                follows
            });
            let count = 1 + more.count();
            let run = range.start..end.1;
            for (number, at) in (self.number(first.addr)..).zip(run.clone().step_by(self.size as usize)) {
                let place = Place { buffer: buffer.clone(), at, run: run.clone() };
                self.by_number.insert(Addr(number), place);
            }
            rest = rest.get(count..).unwrap_or_default();
        }
    }

    /// What is kept, in the order of addresses.
    pub(super) fn extents(&self) -> Vec<Extent> {
        let mut numbers: Vec<u64> = self.by_number.keys().map(|number| number.0).collect();
        numbers.sort_unstable();
        self.runs(&numbers)
    }

    /// Pages, sorted by their numbers, each once, as pieces to be read.
    pub(super) fn runs(&self, numbers: &[u64]) -> Vec<Extent> {
        let mut runs: Vec<Extent> = Vec::new();
        let mut next = None;
        for number in numbers {
            match runs.last_mut().filter(|run| next == Some(*number) && run.len < LONGEST) {
                Some(run) => run.len += self.size as usize,
                None => runs.push(Extent { addr: Addr(number * self.size), len: self.size as usize }),
            }
            next = number.checked_add(1);
        }
        runs
    }
}
