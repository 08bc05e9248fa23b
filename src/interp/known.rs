//! What memory a reading takes, learnt from those before it.

use super::curtain::Absent;
use crate::base::Addr;
use crate::target::Extent;

/// Memory is allocated and given back in places that lie near each other: in blocks of this many bytes.
const BLOCK: u64 = 64 << 10;
/// Most blocks that are read whole: 64 MiB, for which a thread is stopped some 20 ms.
const BLOCKS: usize = 1024;

/// Memory that readings took.
#[derive(Default)]
pub(super) struct Known {
    pub(super) extents: Vec<Extent>,
    /// What they found not to be there.
    pub(super) absent: Absent,
}

impl Known {
    pub(super) fn new(extents: Vec<Extent>, absent: Absent) -> Known {
        Known { extents, absent }
    }

    /// Takes what lies near it, too, unless that is too much: a program that goes on making and dropping objects has others
    /// the next time, but it has them there.
    pub(super) fn widen(&mut self) {
        let blocks = |extent: &Extent| {
            let last = extent.addr.0.saturating_add((extent.len as u64).saturating_sub(1));
            extent.addr.0 / BLOCK..=last / BLOCK
        };
        let mut numbers: Vec<u64> = Vec::new();
        for extent in &self.extents {
            let last = numbers.last().copied();
            numbers.extend(blocks(extent).filter(|number| Some(*number) != last));
            if numbers.len() > BLOCKS * 16 {
                return;
            }
        }
        numbers.sort_unstable();
        numbers.dedup();
        if numbers.len() <= BLOCKS {
            let block = |number: &u64| Extent { addr: Addr(number * BLOCK), len: BLOCK as usize };
            self.extents = numbers.iter().map(block).collect();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn widened(extents: &[(u64, usize)]) -> Vec<(u64, usize)> {
        let extents = extents.iter().map(|(addr, len)| Extent { addr: Addr(*addr), len: *len }).collect();
        let mut known = Known::new(extents, Absent::default());
        known.widen();
        known.extents.iter().map(|extent| (extent.addr.0, extent.len)).collect()
    }

    #[test]
    fn what_is_known_is_widened_to_blocks_each_once() {
        let blocks = [(0x10000, 0x10000), (0x30000, 0x10000), (0x40000, 0x10000)];
        assert_eq!(widened(&[(0x3fff8, 16), (0x10010, 8), (0x10100, 8), (0x3fff0, 4)]), blocks);
    }

    #[test]
    fn what_lies_far_apart_stays_as_it_is() {
        let extents: Vec<(u64, usize)> = (0..=BLOCKS as u64).map(|number| (number << 20, 8)).collect();
        assert_eq!(widened(&extents), extents);
    }
}
