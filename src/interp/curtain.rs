//! Memory that is looked at up to a moment, after which only what was read before counts.

use crate::base::{Addr, AddrHashing};
use crate::target::{Batch, Extent, Memory, ReadError};
use std::cell::{Cell, RefCell};
use std::collections::HashSet;

type Extents = HashSet<(Addr, usize), AddrHashing>;

/// Memory behind a curtain, which is drawn once.
pub(super) struct Curtain<'m> {
    memory: &'m dyn Memory,
    /// Pieces that are not there.
    absent: RefCell<Extents>,
    is_closed: Cell<bool>,
    /// Something was wanted that is behind it.
    was_missed: Cell<bool>,
}

impl<'m> Curtain<'m> {
    pub(super) fn new(memory: &'m dyn Memory) -> Curtain<'m> {
        Curtain { memory, absent: RefCell::default(), is_closed: Cell::new(false), was_missed: Cell::new(false) }
    }

    /// What was not there for another one is not missed here.
    pub(super) fn like(memory: &'m dyn Memory, other: &Curtain<'_>) -> Curtain<'m> {
        let new = Curtain::new(memory);
        new.absent.replace(other.absent.borrow().clone());
        new
    }

    /// From now on nothing is read any more.
    pub(super) fn close(&self) {
        self.is_closed.set(true);
    }

    /// Whether something else was wanted since.
    pub(super) fn was_missed(&self) -> bool {
        self.was_missed.get()
    }

    fn is_absent(&self, addr: Addr, len: usize) -> ReadError {
        if !self.absent.borrow().contains(&(addr, len)) {
            self.was_missed.set(true);
        }
        ReadError::Unmapped
    }

    fn note<T>(&self, addr: Addr, len: usize, read: &Result<T, ReadError>) {
        if let Err(ReadError::Unmapped) = read {
            self.absent.borrow_mut().insert((addr, len));
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
        let second = Curtain::like(&Zeros, &first);
        assert_eq!(second.read(Addr(0x2000), &mut [0; 8]), Ok(()));
        second.close();
        assert_eq!(second.read(Addr(8), &mut [0; 8]), Err(ReadError::Unmapped));
        assert!(!second.was_missed());
        let batch = second.read_many(&[Extent { addr: Addr(0x2000), len: 8 }]);
        assert_eq!(batch.iter().collect::<Vec<_>>(), [Err(ReadError::Unmapped)]);
        assert!(second.was_missed());
    }
}
