//! From a Python thread to the kernel's thread.

use super::native_ids;
use crate::base::{Addr, AddrHashing, Problem, ProblemKind};
use crate::os::Tasks;
use crate::target::Memory;
use std::collections::{HashMap, HashSet};
use std::io;

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
    /// Our ids, and those by the target's own; `None` before the threads were looked at.
    tids: Option<Vec<i32>>,
    host_ids: IdMap<i32>,
    /// The target's own ids by ident.
    known: IdMap<u64>,
    /// Why the threads could not be listed, if they could not.
    error: Option<String>,
}

/// By an id or ident, which are as much the target's choice as addresses are.
type IdMap<V> = HashMap<u64, V, AddrHashing>;

impl<'s> ThreadIds<'s> {
    pub(super) fn new(memory: &'s dyn Memory, tasks: &'s Tasks, ns_pids: &'s [i32]) -> ThreadIds<'s> {
        ThreadIds {
            memory,
            tasks,
            ns_pids,
            tids: None,
            host_ids: HashMap::default(),
            known: HashMap::default(),
            error: None,
        }
    }

    /// Forgets which threads there are.
    pub(super) fn forget(&mut self) {
        self.tids = None;
    }

    /// Our ids of the process's threads, as they are now or were since the last [`ThreadIds::forget`].
    pub(super) fn list(&mut self) -> &[i32] {
        if self.tids.is_none() {
            self.refresh();
        }
        self.tids.as_deref().unwrap_or_default()
    }

    /// Looks at the process's threads anew.
    pub(super) fn refresh(&mut self) {
        let listed = self.tasks.ids();
        self.error = listed.as_ref().err().map(io::Error::to_string);
        let tids = listed.unwrap_or_default();
        let foreign = self.ns_pids.len() > 1;
        let own = |tid: i32| match foreign {
            true => self.tasks.ns_ids(tid).and_then(|ids| ids.last().copied()),
            false => Some(tid),
        };
        self.host_ids = tids.iter().filter_map(|tid| Some((u64::try_from(own(*tid)?).ok()?, *tid))).collect();
        self.tids = Some(tids);
    }

    /// What is missing because the threads could not be listed.
    pub(super) fn problem(&self) -> Option<Problem> {
        let message =
            format!("the kernel's list of its threads (/proc/PID/task) cannot be read: {}", self.error.as_ref()?);
        Some(Problem::new(ProblemKind::Unreadable, message))
    }

    /// Learns the ids of all threads; works them out for those of which none is recorded, or a wrong one, as after a fork.
    pub(super) fn learn(&mut self, threads: &[Identity], main: Option<u64>) {
        let recorded = |thread: &Identity| Some((thread.ident, self.live(thread.recorded?)?));
        let mut known: IdMap<u64> = threads.iter().filter_map(recorded).collect();
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
