//! Threads that run an event loop of asyncio: which, and what it is doing.

use super::model::{RunningTask, Thread, ThreadLoop};
use crate::asyncio;
use crate::base::{Addr, AddrMap};

/// Adds to threads the loops that they run. `addresses` are those of their thread states, in their order.
pub(super) fn add(threads: &mut [Thread], addresses: &[Addr], loops: Vec<asyncio::ThreadLoop>) {
    if loops.is_empty() {
        return;
    }
    let mut by_thread: AddrMap<ThreadLoop> = loops.into_iter().map(|found| (found.thread, of(found))).collect();
    for (thread, address) in threads.iter_mut().zip(addresses) {
        thread.event_loop = by_thread.remove(address);
    }
}

fn of(found: asyncio::ThreadLoop) -> ThreadLoop {
    ThreadLoop {
        id: found.event_loop.address.to_string(),
        class: found.event_loop.class,
        running_task: found.task.map(|task| RunningTask { id: task.address.to_string(), name: task.name }),
        ready: found.event_loop.ready,
        scheduled: found.event_loop.scheduled,
    }
}
