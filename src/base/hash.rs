//! Maps by address: looked up for every piece of memory that is read, so hashing has to be quick; and the addresses are the
//! target's choice, so it has to be one that the target cannot foresee.

use super::Addr;
use std::collections::HashMap;
use std::hash::{BuildHasher, Hasher, RandomState};

/// A map by address.
pub type AddrMap<V> = HashMap<Addr, V, AddrHashing>;

/// Hashes by multiplication with a secret number, other for every map. Twice: what an even distance between addresses makes
/// of the first product is a row again for some numbers.
#[derive(Clone)]
pub struct AddrHashing {
    offset: u64,
    factor: u64,
}

impl Default for AddrHashing {
    fn default() -> AddrHashing {
        let secret = RandomState::new();
        AddrHashing { offset: secret.hash_one(0), factor: secret.hash_one(1) | 1 }
    }
}

impl BuildHasher for AddrHashing {
    type Hasher = AddrHasher;
    fn build_hasher(&self) -> AddrHasher {
        AddrHasher { state: self.offset, factor: self.factor }
    }
}

/// See [`AddrHashing`].
pub struct AddrHasher {
    state: u64,
    factor: u64,
}

impl Hasher for AddrHasher {
    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u64(u64::from(*byte)));
    }

    fn write_usize(&mut self, word: usize) {
        self.write_u64(word as u64);
    }

    fn write_u64(&mut self, word: u64) {
        // The upper half of a product mixes all bits; the map uses the lowest and the highest bits.
        let mix = |word: u64| {
            let product = u128::from(word) * u128::from(self.factor);
            (product >> 64) as u64 ^ product as u64
        };
        self.state = mix(mix(self.state ^ word));
    }

    fn finish(&self) -> u64 {
        self.state
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn addresses_in_rows_spread_over_buckets() {
        for _ in 0..100 {
            let hashing = AddrHashing::default();
            for step in [8u64, 16, 4096, 1 << 21] {
                let buckets: HashSet<u64> =
                    (0..1024).map(|i| hashing.hash_one(Addr(0x7f00_0000_0000 + i * step)) % 4096).collect();
                assert!(buckets.len() > 700, "step {step}: {} buckets", buckets.len());
            }
        }
    }
}
