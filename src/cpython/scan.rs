//! The last resort: looking for a runtime in writable memory, where neither section nor symbol names it. What is found
//! here is only a candidate; validation decides.

use super::debug_offsets::COOKIE;
use super::layout::{Layout, TABLES};
use crate::base::{Addr, FieldValue, limits};
use crate::os::Modules;
use crate::target::{Extent, Memory};

/// Bytes read at a time.
const PIECE: usize = 1 << 20;
/// Candidates that are worth validating; more means that the pattern is no good.
const CANDIDATES: usize = 64;

/// Addresses at which a runtime may start.
pub(super) fn candidates(modules: &Modules, memory: &dyn Memory) -> Vec<Addr> {
    let layouts: Vec<Layout> = TABLES
        .iter()
        .filter(|t| t.version < (3, 13, 0))
        .filter_map(|t| Layout::from_source(&t.offsets()).ok())
        .collect();
    let mut left = limits::SCAN_BYTES;
    let mut found = Vec::new();
    for extent in &modules.writable {
        if extent.len as u64 > left || found.len() >= CANDIDATES {
            continue;
        }
        left -= extent.len as u64;
        for start in (0..extent.len).step_by(PIECE) {
            let mut bytes = vec![0; PIECE.min(extent.len - start)];
            let base = extent.addr.offset(start as u64);
            if memory.read(base, &mut bytes).is_ok() {
                scan_piece(base, &bytes, &layouts, memory, &mut found);
            }
        }
    }
    found.truncate(CANDIDATES);
    found
}

fn scan_piece(base: Addr, bytes: &[u8], layouts: &[Layout], memory: &dyn Memory, found: &mut Vec<Addr>) {
    let mut pointers = Vec::new();
    for (i, word) in bytes.chunks_exact(8).enumerate() {
        let at = base.offset(8 * i as u64);
        if word == COOKIE {
            found.push(at);
        }
        if let Some(pointer) = Addr::from_bytes(word).filter(|p| p.is_plausible()) {
            pointers.push((at, pointer));
        }
    }
    for layout in layouts {
        found.extend(interpreter_heads(&pointers, layout, memory));
    }
}

/// Runtimes whose `interpreters.head` is one of these words: `head->threads_head->interp == head`.
fn interpreter_heads(pointers: &[(Addr, Addr)], layout: &Layout, memory: &dyn Memory) -> Vec<Addr> {
    // In 3.7 and later the words `head` and `main` lie side by side, and are equal without sub-interpreters.
    let heads: Vec<(Addr, Addr)> = pointers
        .windows(2)
        .filter_map(|pair| match pair {
            [(at, head), (next_at, main)] if next_at.0 == at.0 + 8 && head == main => Some((*at, *head)),
            _ => None,
        })
        .collect();
    let words = |extents: Vec<Extent>| -> Vec<Option<Addr>> {
        memory.read_many(&extents).iter().map(|r| Addr::from_bytes(r.ok()?)).collect()
    };
    let threads = words(heads.iter().map(|(_, i)| word(layout.interp.threads_head.of(*i))).collect());
    let interps = words(threads.iter().map(|t| word(layout.thread.interp.of(t.unwrap_or_default()))).collect());
    heads
        .iter()
        .zip(interps)
        .filter(|((_, head), interp)| *interp == Some(*head))
        .map(|((at, _), _)| at.back(u64::from(layout.runtime.interpreters_head.offset)))
        .collect()
}

fn word(addr: Addr) -> Extent {
    Extent { addr, len: 8 }
}
