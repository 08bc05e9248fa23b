//! What can be read of a target, whatever it is: a live process, or an image made by a test.
//!
//! Reading only. Stopping and writing are another trait's business, so a reader cannot do them by mistake.

mod cache;
mod deadline;

pub use cache::{Bytes, Cache, PageSize};
pub use deadline::Until;

use crate::base::Addr;
use std::ops::Range;

/// Why memory could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// Nothing is mapped there, or it may not be read.
    #[error("address not mapped")]
    Unmapped,
    /// The process is gone, or has given up its memory because it is about to.
    #[error("the process has ended")]
    Gone,
    /// The kernel refused access to the process's memory.
    #[error("access to the process's memory was refused")]
    Denied,
    /// Some other error number.
    #[error("reading memory failed: {0}")]
    Os(nix::errno::Errno),
    /// A limit that protects pyattach.
    #[error("larger than the limit for such a thing")]
    TooLarge,
    /// The time for reading is up.
    #[error("not read within the time allowed")]
    Deadline,
    /// Not read yet: a batch collects what its items miss and reads it at once, see [`Cache::batched`].
    #[error("not read yet")]
    Deferred,
    /// The bytes are there but cannot be what they should be.
    #[error("not a valid {0}")]
    Invalid(&'static str),
}

/// One piece of memory to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// First byte.
    pub addr: Addr,
    /// Length in bytes.
    pub len: usize,
}

/// Memory that can be read.
pub trait Memory {
    /// Fills `buf` from `addr` on, wholly or not at all.
    fn read(&self, addr: Addr, buf: &mut [u8]) -> Result<(), ReadError>;

    /// Reads many pieces with as few system calls as possible.
    fn read_many(&self, extents: &[Extent]) -> Batch {
        let mut batch = Batch::default();
        for extent in extents {
            let mut bytes = vec![0; extent.len];
            batch.push(self.read(extent.addr, &mut bytes).map(|()| bytes.as_slice()));
        }
        batch
    }
}

/// Pieces of memory read together, in the order in which they were asked for.
#[derive(Debug, Default)]
pub struct Batch {
    bytes: Vec<u8>,
    pieces: Vec<Result<Range<usize>, ReadError>>,
}

impl Batch {
    /// Of pieces that are ranges of `bytes`.
    pub fn new(bytes: Vec<u8>, pieces: Vec<Result<Range<usize>, ReadError>>) -> Batch {
        Batch { bytes, pieces }
    }

    /// Adds the next piece, or why it could not be read.
    pub fn push(&mut self, piece: Result<&[u8], ReadError>) {
        let start = self.bytes.len();
        self.pieces.push(piece.map(|bytes| {
            self.bytes.extend_from_slice(bytes);
            start..start + bytes.len()
        }));
    }

    /// The pieces.
    pub fn iter(&self) -> impl Iterator<Item = Result<&[u8], ReadError>> {
        self.pieces.iter().map(|piece| piece.clone().map(|range| self.bytes.get(range).unwrap_or_default()))
    }
}
