//! Event loops: those that threads run, and those of the tasks that were found.

use super::discover::Found;
use super::types::Types;
use super::{RawLoop, RawTask};
use crate::base::{Addr, AddrMap};
use crate::interp::World;
use crate::target::ReadError;

/// All loops; those of the main interpreter first, then in the order of their addresses.
pub(super) fn read_loops(types: &Types<'_, '_>, world: &World, found: &Found, tasks: &[RawTask]) -> Vec<RawLoop> {
    let mut loops: AddrMap<RawLoop> = AddrMap::default();
    for of_thread in &found.loops {
        let known = loops.entry(of_thread.address).or_default();
        known.thread = known.thread.or(of_thread.thread);
        known.running_task = known.running_task.or(of_thread.current);
        known.interpreter = of_thread.interpreter;
    }
    let interpreters: AddrMap<i64> = found.tasks.iter().map(|task| (task.address, task.interpreter)).collect();
    for task in tasks {
        if let Some(event_loop) = task.event_loop {
            let interpreter = interpreters.get(&task.address).copied().unwrap_or_default();
            loops.entry(event_loop).or_insert_with(|| RawLoop { interpreter, ..RawLoop::default() });
        }
    }
    let mut loops: Vec<RawLoop> = loops.into_iter().map(|(address, facts)| RawLoop { address, ..facts }).collect();
    loops.sort_unstable_by_key(|facts| (facts.interpreter, facts.address));
    let read = types.objects.cache.batched(&loops, |facts| read_loop(types, facts.address));
    for (facts, read) in loops.iter_mut().zip(read) {
        let Ok((class, ident)) = read else { continue };
        facts.class = class;
        facts.ident = ident;
        let of_ident = |ident: &u64| {
            let interpreter = world.interpreters.iter().find(|interpreter| interpreter.id == facts.interpreter)?;
            interpreter.threads.iter().find(|thread| thread.ident == *ident).map(|thread| thread.address)
        };
        facts.thread = facts.thread.or_else(|| ident.as_ref().and_then(of_ident));
    }
    loops
}

/// Class, and the ident of the thread that runs it.
fn read_loop(types: &Types<'_, '_>, address: Addr) -> Result<(std::sync::Arc<str>, Option<u64>), ReadError> {
    let objects = types.objects;
    let class = types.of(address)?.class.clone();
    let ident = match objects.instance_attributes(address, ["_thread_id"]) {
        Err(ReadError::Deferred) => return Err(ReadError::Deferred),
        Ok([Some(ident)]) if &*objects.type_name(ident)? == "int" => u64::try_from(objects.int(ident)?).ok(),
        // Loops written in C keep it to themselves.
        _ => None,
    };
    Ok((class, ident))
}
