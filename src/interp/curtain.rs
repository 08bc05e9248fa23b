//! Memory that is looked at up to a moment, after which only what was read before counts.

use crate::base::{Addr, AddrHashing};
use crate::target::{Batch, Extent, Memory, ReadError};
use std::cell::{Cell, RefCell};
use std::collections::HashSet;
use std::ops::RangeInclusive;

/// Bytes of a page: what is mapped is mapped a page at a time.
const PAGE: u64 = 4096;

/// Numbers of pages that are not there.
pub(super) type Absent = HashSet<u64, AddrHashing>;

/// Memory behind a curtain, which is drawn once.
pub(super) struct Curtain<'m> {
    memory: &'m dyn Memory,
    absent: RefCell<Absent>,
    is_closed: Cell<bool>,
    /// What was wanted that is behind it.
    missed: RefCell<Vec<Extent>>,
}

/// The numbers of the pages of a piece.
fn pages(addr: Addr, len: usize) -> RangeInclusive<u64> {
    addr.0 / PAGE..=addr.0.saturating_add((len as u64).saturating_sub(1)) / PAGE
}

impl<'m> Curtain<'m> {
    pub(super) fn new(memory: &'m dyn Memory) -> Curtain<'m> {
        Curtain { memory, absent: RefCell::default(), is_closed: Cell::new(false), missed: RefCell::default() }
    }

    /// Of these pages it is known that they are not there: they are not missed.
    pub(super) fn with_absent(memory: &'m dyn Memory, absent: Absent) -> Curtain<'m> {
        Curtain { absent: RefCell::new(absent), ..Curtain::new(memory) }
    }

    /// The pages that were not there.
    pub(super) fn absent(&self) -> Absent {
        self.absent.borrow().clone()
    }

    /// From now on nothing is read any more.
    pub(super) fn close(&self) {
        self.is_closed.set(true);
    }

    /// What else was wanted since.
    pub(super) fn missed(&self) -> Vec<Extent> {
        self.missed.take()
    }

    fn is_absent(&self, addr: Addr, len: usize) -> ReadError {
        let absent = self.absent.borrow();
        if !pages(addr, len).any(|page| absent.contains(&page)) {
            self.missed.borrow_mut().push(Extent { addr, len });
        }
        ReadError::Unmapped
    }

    /// Of a piece that lies on several pages it is not known which is not there.
    fn note<T>(&self, addr: Addr, len: usize, read: &Result<T, ReadError>) {
        let pages = pages(addr, len);
        if let (Err(ReadError::Unmapped), true) = (read, pages.start() == pages.end()) {
            self.absent.borrow_mut().insert(*pages.start());
        }
    }
}

impl Memory for Curtain<'_> {
    fn read(&self, addr: Addr, buf: &mut [u8]) -> Result<(), ReadError> {
        if self.is_closed.get() {
            return Err(self.is_absent(addr, buf.len()));
        }
        let read = self.memory.read(addr, buf);
        self.note(addr, buf.len(), &read);
        read
    }

    fn read_many(&self, extents: &[Extent]) -> Batch {
        if self.is_closed.get() {
            let mut batch = Batch::default();
            extents.iter().for_each(|extent| batch.push(Err(self.is_absent(extent.addr, extent.len))));
            return batch;
        }
        let batch = self.memory.read_many(extents);
        extents.iter().zip(batch.iter()).for_each(|(extent, read)| self.note(extent.addr, extent.len, &read));
        batch
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Zeros;
    impl Memory for Zeros {
        fn read(&self, addr: Addr, buf: &mut [u8]) -> Result<(), ReadError> {
            buf.fill(0);
            if addr.0 < 0x1000 { Err(ReadError::Unmapped) } else { Ok(()) }
        }
    }

    #[test]
    fn what_is_behind_it_is_missed_unless_it_never_was_there() {
        let first = Curtain::new(&Zeros);
        assert_eq!(first.read(Addr(8), &mut [0; 8]), Err(ReadError::Unmapped));
        let second = Curtain::with_absent(&Zeros, first.absent());
        assert_eq!(second.read(Addr(0x2000), &mut [0; 8]), Ok(()));
        second.close();
        assert_eq!(second.read(Addr(8), &mut [0; 8]), Err(ReadError::Unmapped));
        assert_eq!(second.missed(), []);
        let batch = second.read_many(&[Extent { addr: Addr(0x2000), len: 8 }]);
        assert_eq!(batch.iter().collect::<Vec<_>>(), [Err(ReadError::Unmapped)]);
        assert_eq!(second.missed(), [Extent { addr: Addr(0x2000), len: 8 }]);
    }
}
