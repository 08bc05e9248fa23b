//! Memory that can be read up to a deadline: what keeps a pause bounded however much there is to read.

use super::{Batch, Extent, Memory, ReadError};
use crate::base::Addr;
use std::time::Instant;

/// Memory that fails to be read after a moment.
pub struct Until<'m> {
    memory: &'m dyn Memory,
    deadline: Instant,
}

impl<'m> Until<'m> {
    /// `memory` until `deadline`.
    pub fn new(memory: &'m dyn Memory, deadline: Instant) -> Until<'m> {
        Until { memory, deadline }
    }

    fn is_over(&self) -> bool {
        Instant::now() >= self.deadline
    }
}

impl Memory for Until<'_> {
    fn read(&self, addr: Addr, buf: &mut [u8]) -> Result<(), ReadError> {
        if self.is_over() { Err(ReadError::Deadline) } else { self.memory.read(addr, buf) }
    }

    fn read_many(&self, extents: &[Extent]) -> Batch {
        if !self.is_over() {
            return self.memory.read_many(extents);
        }
        let mut batch = Batch::default();
        extents.iter().for_each(|_| batch.push(Err(ReadError::Deadline)));
        batch
    }
}
