//! What every report of one process begins with: the process opened, its interpreter found, a snapshot taken.

use super::stack::{StackError, find_error};
use crate::asyncio::{Asyncio, ReadAsyncio};
use crate::cpython::{LayoutChoice, Runtime, find, find_asyncio};
use crate::interp::{Along, Snapshot, SnapshotOptions, snapshot};
use crate::os::{Modules, OsError, Process, ProcessFacts, ProcessMemory, Progress, Tasks};
use crate::target::ReadError;

/// How often to begin anew with a process that does not hold still long enough to be understood.
const RETRIES: usize = 4;

/// A process whose interpreter was found.
pub(super) struct Attached<'p> {
    pub(super) process: &'p Process,
    pub(super) modules: Modules,
    pub(super) memory: ProcessMemory,
    pub(super) runtime: Runtime,
    pub(super) tasks: Tasks,
    pub(super) facts: ProcessFacts,
}

/// Opens the process and does `work` with it; again when it did not hold still long enough to be understood. To be called
/// inside `with_deadline`.
pub(super) fn attach<T>(
    process: &Process,
    layout: LayoutChoice,
    progress: &Progress,
    work: impl Fn(&Attached<'_>) -> Result<T, StackError>,
) -> Result<T, StackError> {
    let once = || work(&open(process, layout, progress)?);
    let mut result = once();
    for _ in 0..RETRIES {
        match result {
            // It may have become another program by exec(2) under our hands.
            Err(StackError::Snapshot { .. } | StackError::Find { .. }) => result = once(),
            result => return result,
        }
    }
    result
}

fn open<'p>(process: &'p Process, layout: LayoutChoice, progress: &Progress) -> Result<Attached<'p>, StackError> {
    let pid = process.pid;
    progress.at("reading /proc/PID/maps");
    let modules = process.modules()?;
    let memory = process.memory();
    progress.at("looking for the interpreter");
    let found = find(process, &modules, &memory, layout);
    let runtime = found.map_err(|source| match process.is_alive() {
        true => find_error(pid, source),
        false => OsError::Gone(pid).into(),
    })?;
    let tasks = process.tasks()?;
    let facts = process.facts();
    Ok(Attached { process, modules, memory, runtime, tasks, facts })
}

impl Attached<'_> {
    /// A snapshot, with what `along` reads at the same moment.
    pub(super) fn snapshot<A: Along>(
        &self,
        options: SnapshotOptions,
        along: &A,
    ) -> Result<Snapshot<A::Facts>, StackError> {
        let pid = self.process.pid;
        let taken = snapshot(&self.memory, &self.runtime, &self.tasks, &self.facts.ns_pids, options, along);
        taken.map_err(|source| match source.0 {
            ReadError::Denied => self.process.denied().into(),
            ReadError::Gone => OsError::Gone(pid).into(),
            _ if !self.process.is_alive() => OsError::Gone(pid).into(),
            _ => StackError::Snapshot { pid, source },
        })
    }

    /// A snapshot with everything of asyncio.
    pub(super) fn snapshot_with_asyncio(&self, options: SnapshotOptions) -> Result<Snapshot<Asyncio>, StackError> {
        let debug = find_asyncio(&self.modules, &self.memory, &self.runtime);
        self.snapshot(options, &ReadAsyncio { debug })
    }
}
