//! Pieces of memory of any length, by where they start.

use super::{Bytes, Extent};
use crate::base::{Addr, AddrMap};
use std::collections::BTreeSet;

/// What was read, by where it starts. Most look-ups are for just that; the order is for those within a larger extent.
#[derive(Default)]
pub(super) struct Extents {
    by_start: AddrMap<Bytes>,
    /// Starts of extents of which none lies within another, so that the nearest start tells whether a piece is there.
    starts: BTreeSet<Addr>,
}

impl Extents {
    pub(super) fn insert(&mut self, addr: Addr, bytes: Bytes) {
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
    pub(super) fn get(&self, addr: Addr, len: usize) -> Option<(Addr, &Bytes)> {
        if let Some(bytes) = self.by_start.get(&addr).filter(|bytes| len <= bytes.len) {
            return Some((addr, bytes));
        }
        let base = self.starts.range(..=addr).next_back()?;
        let bytes = self.by_start.get(base)?;
        let within = usize::try_from(addr.0 - base.0).ok()?;
        (within.checked_add(len)? <= bytes.len).then_some((*base, bytes))
    }

    /// Those of which none lies within another, in the order of their addresses.
    pub(super) fn list(&self) -> impl Iterator<Item = Extent> {
        let len = |addr: &Addr| self.by_start.get(addr).map_or(0, |bytes| bytes.len);
        self.starts.iter().map(move |addr| Extent { addr: *addr, len: len(addr) })
    }
}
