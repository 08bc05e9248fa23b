//! Executors: which thread runs which work item, and which items are queued, from the frames of the worker threads
//! (`Lib/concurrent/futures/thread.py`, `process.py`).

use crate::base::{Addr, AddrMap, limits};
use crate::interp::{RawThread, Variables, World};
use crate::objects::Objects;
use crate::target::ReadError;
use std::rc::Rc;

/// Outermost frames of a thread that are looked through: `_bootstrap`, `_bootstrap_inner`, `run` and wrappers of these lie
/// below a worker's.
const FRAMES: usize = 12;

/// Where the work for a `concurrent.futures.Future` is.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Work {
    /// What is called, or why that is not known.
    pub(super) function: String,
    pub(super) place: Place,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Place {
    /// In the thread with this name or description.
    Running(Rc<str>),
    /// In the queue of a pool of threads: the place, from 1, and how many wait; and how many threads the pool has.
    Queued(usize, usize, usize),
    /// In a pool of processes, with so many items that have not ended.
    InProcesses(usize),
}

/// Work by the `concurrent.futures.Future` of it.
pub(super) type Pools = AddrMap<Work>;

/// What a thread of an executor is seen to have.
struct Worker {
    thread: Rc<str>,
    item: Option<Addr>,
    queue: Option<Addr>,
    /// Items of a process pool.
    pending: Option<Addr>,
}

/// A frame that may be that of an executor's thread.
struct Candidate {
    thread: Rc<str>,
    frame: Addr,
    code: Addr,
    of_processes: bool,
}

/// Everything that executors have to do.
pub(super) fn read(objects: &Objects<'_>, variables: &Variables, world: &World) -> Pools {
    let candidates = candidates(world);
    let workers = objects.cache.batched(&candidates, |candidate| worker(objects, variables, candidate));
    let workers: Vec<Worker> = workers.into_iter().flatten().collect();
    // Items with where they are.
    let mut items: Vec<(Addr, Place)> =
        workers.iter().filter_map(|worker| Some((worker.item?, Place::Running(worker.thread.clone())))).collect();
    let mut queues: AddrMap<usize> = AddrMap::default();
    for queue in workers.iter().filter_map(|worker| worker.queue) {
        *queues.entry(queue).or_default() += 1;
    }
    let queues: Vec<(Addr, usize)> = queues.into_iter().collect();
    let queued =
        objects.cache.batched(&queues, |(queue, _)| objects.items_of_simple_queue(*queue, limits::DICT_ENTRIES));
    for ((_, threads), queued) in queues.iter().zip(queued) {
        let queued = queued.unwrap_or_default();
        let total = queued.len();
        let placed = queued.into_iter().enumerate();
        items.extend(placed.map(|(index, item)| (item, Place::Queued(index + 1, total, *threads))));
    }
    let mut pools: Vec<Addr> = workers.iter().filter_map(|worker| worker.pending).collect();
    pools.sort_unstable();
    pools.dedup();
    for pending in objects.cache.batched(&pools, |pool| objects.dict(*pool)).into_iter().flatten() {
        let total = pending.entries().count();
        items.extend(pending.entries().map(|entry| (entry.value, Place::InProcesses(total))));
    }
    // One of them alone: what it shows of types need not be found out for all.
    let _ = items.first().map(|(item, _)| work_item(objects, *item));
    let read = objects.cache.batched(&items, |(item, _)| work_item(objects, *item));
    let works = items.into_iter().zip(read).filter_map(|((_, place), read)| {
        let (future, function) = read.ok()??;
        Some((future, Work { function, place }))
    });
    works.collect()
}

fn candidates(world: &World) -> Vec<Candidate> {
    let mut found = Vec::new();
    for thread in world.threads() {
        let frames = thread.frames.iter().zip(&thread.frame_addresses).rev().take(FRAMES);
        for (frame, address) in frames {
            let module = world.modules.get(&frame.globals).map(|name| &**name).unwrap_or_default();
            let of_processes = match module {
                "concurrent.futures.thread" => false,
                "concurrent.futures.process" => true,
                _ => continue,
            };
            let Some(Ok(code)) = world.codes.get(&frame.code) else { continue };
            if matches!(&*code.name, "_worker" | "run" | "_queue_management_worker") {
                let thread = name(thread).into();
                found.push(Candidate { thread, frame: *address, code: frame.code, of_processes });
            }
        }
    }
    found
}

fn name(thread: &RawThread) -> String {
    match &thread.name.name {
        Some(name) => format!("thread \"{}\"", super::words::short(name)),
        None => format!("thread {:#x}", thread.ident),
    }
}

fn worker(objects: &Objects<'_>, variables: &Variables, candidate: &Candidate) -> Result<Worker, ReadError> {
    let names = ["work_item", "work_queue", "pending_work_items", "self"];
    let [item, queue, mut pending, this] = variables.values(objects, candidate.frame, candidate.code, names)?;
    if candidate.of_processes && pending.is_none() {
        // `_ExecutorManagerThread`, 3.9 on.
        let [of_manager] = match this {
            Some(this) => objects.instance_attributes(this, ["pending_work_items"])?,
            None => [None],
        };
        pending = of_manager;
    }
    // `_WorkItem.run` is named as the manager's method is, and has none of these.
    let is_none = |object: Option<Addr>| match object {
        Some(object) => Ok(&*objects.type_name(object)? == "NoneType"),
        None => Ok(true),
    };
    let item = if is_none(item)? { None } else { item };
    Ok(Worker { thread: candidate.thread.clone(), item, queue, pending: pending.filter(|_| candidate.of_processes) })
}

/// A `_WorkItem`'s future, and what is called: up to 3.13 its `fn`, then the first of the tuple `task`.
fn work_item(objects: &Objects<'_>, item: Addr) -> Result<Option<(Addr, String)>, ReadError> {
    let [future, function, task] = objects.instance_attributes(item, ["future", "fn", "task"])?;
    let Some(future) = future else { return Ok(None) };
    let function = match (function, task) {
        (Some(function), _) => Some(function),
        (None, Some(task)) if &*objects.type_name(task)? == "tuple" => objects.tuple_items(task, 1)?.0.first().copied(),
        _ => None,
    };
    let named = match function {
        Some(function) => objects.callable_name(function),
        None => return Ok(Some((future, "an unknown function".to_owned()))),
    };
    match named {
        Err(ReadError::Deferred) => Err(ReadError::Deferred),
        Err(_) => Ok(Some((future, "an unknown function".to_owned()))),
        Ok(name) => Ok(Some((future, super::words::short(&name)))),
    }
}

impl Work {
    /// `run_in_executor: load in thread "asyncio_0"`.
    pub(super) fn words(&self) -> String {
        let function = &self.function;
        match &self.place {
            Place::Running(thread) => format!("run_in_executor: {function} in {thread}"),
            Place::Queued(place, total, threads) => {
                let threads = super::words::counted(*threads, "thread");
                format!("run_in_executor: {function}, queued at place {place} of {total}, {threads}")
            }
            Place::InProcesses(total) => {
                format!("run_in_executor: {function} in a pool of processes ({total} not done)")
            }
        }
    }
}
