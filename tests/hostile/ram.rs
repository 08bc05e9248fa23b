//! Memory made by a test, which counts what is asked of it: a reader that never ends, or that wants everything, fails.

use std::cell::Cell;
use std::collections::BTreeMap;

use pyattach::base::Addr;
use pyattach::target::{Batch, Extent, Memory, ReadError};

/// Largest allocation for one round of reads. A real reader allocates this before it knows whether anything is there.
const ROUND_BYTES: usize = 1 << 30;

/// Mapped pieces of memory by address.
#[derive(Clone, Default)]
pub(crate) struct Ram {
    regions: BTreeMap<u64, Vec<u8>>,
    reads: Cell<usize>,
    bytes: Cell<usize>,
    limit: usize,
}

impl Ram {
    /// Nothing mapped; more reads than `limit` fail the test.
    pub(crate) fn new(limit: usize) -> Ram {
        Ram { limit, ..Ram::default() }
    }

    /// Maps `len` zero bytes.
    pub(crate) fn map(&mut self, start: u64, len: usize) {
        self.regions.insert(start, vec![0; len]);
    }

    /// Allows this many reads from now on.
    pub(crate) fn set_limit(&mut self, limit: usize) {
        self.limit = limit;
        self.reads.set(0);
    }

    /// Reads so far.
    pub(crate) fn reads(&self) -> usize {
        self.reads.get()
    }

    /// Bytes handed out so far.
    pub(crate) fn bytes_read(&self) -> usize {
        self.bytes.get()
    }

    /// Overwrites what is there; what is not mapped is passed over.
    pub(crate) fn poke(&mut self, at: u64, bytes: &[u8]) {
        let Some((start, region)) = self.regions.range_mut(..=at).next_back() else { return };
        let from = (at - start) as usize;
        if let Some(place) = region.get_mut(from..from + bytes.len()) {
            place.copy_from_slice(bytes);
        }
    }

    /// The bytes there.
    pub(crate) fn peek(&self, at: u64, len: usize) -> Option<&[u8]> {
        let (start, region) = self.regions.range(..=at).next_back()?;
        let from = usize::try_from(at - start).ok()?;
        region.get(from..from.checked_add(len)?)
    }

    fn count(&self) {
        self.reads.set(self.reads.get() + 1);
        assert!(self.reads.get() <= self.limit, "more than {} reads", self.limit);
    }
}

impl Memory for Ram {
    fn read(&self, addr: Addr, buf: &mut [u8]) -> Result<(), ReadError> {
        self.count();
        assert!(buf.len() <= ROUND_BYTES, "{} bytes wanted at once", buf.len());
        buf.copy_from_slice(self.peek(addr.0, buf.len()).ok_or(ReadError::Unmapped)?);
        self.bytes.set(self.bytes.get() + buf.len());
        Ok(())
    }

    fn read_many(&self, extents: &[Extent]) -> Batch {
        let sum = extents.iter().fold(0usize, |sum, extent| sum.saturating_add(extent.len));
        assert!(sum <= ROUND_BYTES, "{sum} bytes wanted at once");
        let mut batch = Batch::default();
        for extent in extents {
            self.count();
            let bytes = self.peek(extent.addr.0, extent.len).ok_or(ReadError::Unmapped);
            self.bytes.set(self.bytes.get() + bytes.map_or(0, <[u8]>::len));
            batch.push(bytes);
        }
        batch
    }
}
