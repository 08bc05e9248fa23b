//! From a Python thread to the kernel's thread.

use super::native_ids;
use crate::base::Addr;
use crate::os::Tasks;
use crate::target::Memory;
use std::collections::{HashMap, HashSet};

/// What is known of a thread's identity: its ident, and the kernel's id where the interpreter recorded it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) thread: Addr,
    pub(super) ident: u64,
    pub(super) recorded: Option<u64>,
}

/// The kernel's ids of the process's threads.
pub(super) struct ThreadIds<'s> {
    memory: &'s dyn Memory,
    tasks: &'s Tasks,
    /// PIDs of the process from our PID namespace inwards.
    ns_pids: &'s [i32],
    /// Our ids by the target's own.
    host_ids: HashMap<u64, i32>,
    /// The target's own ids by ident.
    known: HashMap<u64, u64>,
}

impl<'s> ThreadIds<'s> {
    pub(super) fn new(memory: &'s dyn Memory, tasks: &'s Tasks, ns_pids: &'s [i32]) -> ThreadIds<'s> {
        let mut ids = ThreadIds { memory, tasks, ns_pids, host_ids: HashMap::new(), known: HashMap::new() };
        ids.refresh();
        ids
    }

    /// Looks at the process's threads anew.
    pub(super) fn refresh(&mut self) {
        let tids = self.tasks.ids().unwrap_or_default();
        let foreign = self.ns_pids.len() > 1;
        let own = |tid: i32| match foreign {
            true => self.tasks.ns_ids(tid).and_then(|ids| ids.last().copied()),
            false => Some(tid),
        };
        self.host_ids = tids.into_iter().filter_map(|tid| Some((u64::try_from(own(tid)?).ok()?, tid))).collect();
    }

    /// Learns the ids of all threads; works them out for those of which none is recorded, or a wrong one, as after a fork.
    pub(super) fn learn(&mut self, threads: &[Identity], main: Option<u64>) {
        let recorded = |thread: &Identity| Some((thread.ident, self.live(thread.recorded?)?));
        let mut known: HashMap<u64, u64> = threads.iter().filter_map(recorded).collect();
        if threads.iter().any(|thread| !known.contains_key(&thread.ident)) {
            let live: HashSet<u64> = self.host_ids.keys().copied().collect();
            let process = self.ns_pids.last().and_then(|pid| u64::try_from(*pid).ok()).unwrap_or_default();
            let idents: Vec<u64> = threads.iter().map(|t| t.ident).filter(|ident| *ident != 0).collect();
            known.extend(native_ids::infer(self.memory, &idents, main, &live, process));
        }
        self.known = known;
    }

    fn live(&self, id: u64) -> Option<u64> {
        self.host_ids.contains_key(&id).then_some(id)
    }

    /// The id in the target's own PID namespace.
    pub(super) fn own(&self, thread: &Identity) -> Option<u64> {
        thread.recorded.and_then(|id| self.live(id)).or_else(|| self.known.get(&thread.ident).copied())
    }

    /// The id in our PID namespace.
    pub(super) fn host(&self, thread: &Identity) -> Option<i32> {
        self.host_ids.get(&self.own(thread)?).copied()
    }
}
