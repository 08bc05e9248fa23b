//! The state of a GIL (`struct _gil_runtime_state`, `Python/ceval_gil.c`).

use super::collect::World;
use super::ids::Identity;
use super::threads::{read_interpreters, read_runtime};
use crate::base::{Addr, Record};
use crate::cpython::Runtime;
use crate::objects::Objects;
use crate::target::{Cache, Memory, ReadError};

/// One reading of a GIL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GilState {
    /// Where it is.
    pub address: Addr,
    /// It is in use; a free-threaded build can run with or without.
    pub enabled: bool,
    /// A thread holds it.
    pub locked: bool,
    /// The thread state that took it last; it holds the GIL if that is locked.
    pub last_holder: Addr,
    /// Counts takeovers by another thread. A thread that takes the GIL again does not count.
    pub switch_number: u64,
}

impl GilState {
    /// Reads the GIL at `address`.
    pub(super) fn read(memory: &dyn Memory, runtime: &Runtime, address: Addr) -> Result<GilState, ReadError> {
        let layout = &runtime.layout.gil;
        let mut bytes = vec![0; layout.switch_number.end().max(layout.locked.end()).max(layout.last_holder.end())];
        memory.read(address, &mut bytes)?;
        let record = Record(&bytes);
        Ok(GilState {
            address,
            enabled: layout.enabled.is_none_or(|field| record.get(field) != Some(0)),
            locked: record.get(layout.locked) == Some(1),
            last_holder: record.get(layout.last_holder).unwrap_or_default(),
            switch_number: record.get(layout.switch_number).unwrap_or_default(),
        })
    }

    /// True when a futex word at `word` is part of the GIL's condition variables or mutexes: a thread asleep there waits for
    /// the GIL.
    pub fn is_waited_on_at(&self, runtime: &Runtime, word: u64) -> bool {
        let layout = &runtime.layout.gil;
        let range = layout.cond.of(self.address).0..self.address.offset(u64::from(layout.size)).0;
        range.contains(&word)
    }
}

/// A GIL, with the thread that can change Python state without moving the GIL's switch count.
pub(super) struct Mover {
    pub(super) gil: GilState,
    /// Its holder, or last holder; `None` when there is none, or when it has ended.
    pub(super) thread: Option<Identity>,
}

/// Reads all GILs, each once.
pub(super) fn read_movers(cache: &Cache<'_>, memory: &dyn Memory, runtime: &Runtime) -> Result<Vec<Mover>, ReadError> {
    let objects = Objects::new(cache, &runtime.layout, runtime.quirks);
    let head = read_runtime(&objects, runtime)?.interpreters_head;
    let interpreters = read_interpreters(&objects, runtime, head, &mut Vec::new())?;
    let mut addresses: Vec<Addr> = interpreters.iter().filter_map(|i| i.gil).collect();
    addresses.sort_unstable();
    addresses.dedup();
    let belongs = |interp: Addr| interpreters.iter().any(|i| i.address == interp);
    let mut movers = Vec::new();
    for address in addresses {
        let gil = GilState::read(memory, runtime, address)?;
        let thread = gil.last_holder.non_null().and_then(|state| identity(memory, runtime, state, belongs));
        movers.push(Mover { gil, thread });
    }
    Ok(movers)
}

/// Reads who a thread state is, past any cache: thread states come and go.
fn identity(memory: &dyn Memory, runtime: &Runtime, state: Addr, belongs: impl Fn(Addr) -> bool) -> Option<Identity> {
    let layout = &runtime.layout.thread;
    let mut bytes = vec![0; layout.end()];
    memory.read(state, &mut bytes).ok()?;
    let record = Record(&bytes);
    if !belongs(record.get(layout.interp)?) {
        return None;
    }
    let recorded = record.get_opt(layout.native_thread_id).filter(|id| *id != 0);
    Some(Identity { thread: state, ident: record.get(layout.thread_id)?, recorded })
}

/// True when GILs and lists are what they were.
pub(super) fn is_unmoved(
    memory: &dyn Memory,
    runtime: &Runtime,
    world: &World,
    gils: &[GilState],
) -> Result<bool, ReadError> {
    for before in gils {
        if GilState::read(memory, runtime, before.address)? != *before {
            return Ok(false);
        }
    }
    let word = |addr: Addr| {
        let mut bytes = [0; 8];
        memory.read(addr, &mut bytes).map(|()| Addr(u64::from_le_bytes(bytes)))
    };
    let layout = &runtime.layout;
    for interpreter in &world.interpreters {
        let known = interpreter.gil.is_none_or(|gil| gils.iter().any(|g| g.address == gil));
        if !known || word(layout.interp.threads_head.of(interpreter.address))? != interpreter.threads_head {
            return Ok(false);
        }
    }
    let head = word(layout.runtime.interpreters_head.of(runtime.address))?;
    Ok(world.interpreters.last().is_some_and(|newest| newest.address == head))
}
