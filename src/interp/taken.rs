//! What a snapshot gives.

use super::collect::World;
use super::gil::GilState;
use super::options::Mode;
use crate::base::{Addr, AddrMap};
use crate::os::TaskStat;
use crate::target::ReadError;
use std::collections::{HashMap, HashSet};
use std::time::Duration;

/// Everything read, with how it was read and what is proved of it.
pub struct Snapshot<T = ()> {
    /// What was read.
    pub world: World,
    /// What was read along with it, at the same moment.
    pub along: T,
    /// GILs, by address.
    pub gils: AddrMap<GilState>,
    /// The kernel's ids of Python threads, by thread state: in the target's own PID namespace, and in ours.
    pub native_ids: AddrMap<(u64, i32)>,
    /// The kernel's ids of all threads of the process.
    pub tids: Vec<i32>,
    /// What the kernel's threads do, as far as it was read on the way: while nothing was stopped; right after single threads
    /// were let go, which count as running; before all were stopped.
    pub stats: HashMap<i32, TaskStat>,
    /// What was stopped.
    pub mode: Mode,
    /// How many threads were stopped for the reading that counts.
    pub stopped_threads: usize,
    /// Longest time a thread was stopped, over all readings.
    pub pause: Duration,
    /// Readings it took.
    pub attempts: u32,
    /// Thread states whose stack is not proved.
    pub unproved: HashSet<Addr>,
}

/// Why there is no snapshot at all: nothing of the interpreter could be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the interpreter cannot be read: {0}")]
pub struct SnapshotError(#[from] pub ReadError);

impl<T> Snapshot<T> {
    /// The snapshot, and what was read along with it.
    pub fn split(self) -> (Snapshot, T) {
        let Snapshot { world, along, gils, native_ids, tids, stats, mode, stopped_threads, pause, attempts, unproved } =
            self;
        let snapshot = Snapshot {
            world,
            along: (),
            gils,
            native_ids,
            tids,
            stats,
            mode,
            stopped_threads,
            pause,
            attempts,
            unproved,
        };
        (snapshot, along)
    }
}
