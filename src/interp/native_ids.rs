//! The kernel's id of a Python thread where the interpreter does not record it (up to 3.10).
//!
//! A thread's ident is the address of the C library's thread descriptor, and the descriptor holds the kernel's id. Where in
//! it depends on the library (glibc: 0x2d0 on x86-64; musl: 0x30), so the place is inferred: the one at which the main
//! thread's descriptor holds the process's id, and most others the id of a thread that exists, each another one. Those that
//! do not are threads that have ended.

use crate::base::{Addr, FieldValue};
use crate::target::{Extent, Memory};
use std::collections::{HashMap, HashSet};

/// Bytes of a descriptor that are looked at.
const DESCRIPTOR_BYTES: usize = 0x400;

/// The kernel's ids of threads by ident, as far as they can be told for certain. `live` are the ids (in the target's own PID
/// namespace) of the process's threads, `process` its id there, which the main thread `main` has.
pub(super) fn infer(
    memory: &dyn Memory,
    idents: &[u64],
    main: Option<u64>,
    live: &HashSet<u64>,
    process: u64,
) -> HashMap<u64, u64> {
    // Several thread states can have one ident: a thread that runs in several interpreters.
    let mut idents = idents.to_vec();
    idents.sort_unstable();
    idents.dedup();
    let extents: Vec<Extent> = idents.iter().map(|i| Extent { addr: Addr(*i), len: DESCRIPTOR_BYTES }).collect();
    let read = memory.read_many(&extents);
    let descriptors: Vec<(u64, &[u8])> =
        idents.iter().copied().zip(read.iter()).filter_map(|(ident, bytes)| Some((ident, bytes.ok()?))).collect();
    let ids_at = |offset: usize| -> Option<HashMap<u64, u64>> {
        let mut ids = HashMap::new();
        let mut seen = HashSet::new();
        for (ident, descriptor) in &descriptors {
            let id = u64::from(u32::from_bytes(descriptor.get(offset..)?)?);
            if Some(*ident) == main && id != process {
                return None;
            }
            if live.contains(&id) {
                if !seen.insert(id) {
                    return None;
                }
                ids.insert(*ident, id);
            }
        }
        Some(ids)
    };
    let places: Vec<HashMap<u64, u64>> = (0..DESCRIPTOR_BYTES).step_by(4).filter_map(ids_at).collect();
    let most = places.iter().map(HashMap::len).max().unwrap_or_default();
    let mut best = places.into_iter().filter(|ids| ids.len() == most);
    match best.next() {
        Some(ids) if best.all(|other| other == ids) => ids,
        _ => HashMap::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::target::ReadError;

    struct Descriptors;

    impl Memory for Descriptors {
        fn read(&self, addr: Addr, buf: &mut [u8]) -> Result<(), ReadError> {
            buf.fill(0);
            let id = 100 + (addr.0 / 0x1000) as u32;
            buf[0x2d0..0x2d4].copy_from_slice(&id.to_le_bytes());
            buf[0x2d4..0x2d8].copy_from_slice(&101u32.to_le_bytes());
            Ok(())
        }
    }

    #[test]
    fn the_place_is_the_one_where_all_descriptors_hold_an_id() {
        let live = HashSet::from([101, 102, 103]);
        let ids = infer(&Descriptors, &[0x1000, 0x3000], Some(0x1000), &live, 101);
        assert_eq!(ids, HashMap::from([(0x1000, 101), (0x3000, 103)]));
        // The second has ended, the third is there twice.
        let ids = infer(&Descriptors, &[0x1000, 0x5000, 0x3000, 0x3000], Some(0x1000), &live, 101);
        assert_eq!(ids, HashMap::from([(0x1000, 101), (0x3000, 103)]));
        assert!(infer(&Descriptors, &[0x1000], Some(0x1000), &live, 102).is_empty());
    }
}
