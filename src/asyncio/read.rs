//! One pass over everything of asyncio: tasks portion by portion, so that what is needed at a time stays small, then what
//! takes all of them.

use super::chain::{Chain, Link, walk};
use super::created::{Created, read_created};
use super::discover::{Found, FoundTask, discover};
use super::edges::Edges;
use super::loops::read_loops;
use super::running::Running;
use super::tasks::{TaskFacts, read_task};
use super::types::Types;
use super::{Asyncio, LinkKind, RawLink, RawTask, TaskState, awaiting};
use crate::base::{Addr, AddrMap, Problem, ProblemKind, limits};
use crate::cpython::{AsyncioDebug, Runtime};
use crate::interp::{World, finish_frame, read_codes, read_modules};
use crate::objects::{Repr, Value, ValueLimits};
use crate::target::{Extent, ReadError};
use std::cell::{Cell, RefCell};
use std::collections::HashSet;
use std::time::Instant;

/// Tasks of one portion: enough to read memory in large batches, few enough for a processor's cache.
const PORTION: usize = 4096;

/// Enough for a task written in C.
const TASK_BYTES: usize = 256;

/// Reads loops and tasks; what is left when `until` has come is said to be missing.
pub fn read_asyncio(
    objects: &crate::objects::Objects<'_>,
    _runtime: &Runtime,
    world: &World,
    debug: Option<AsyncioDebug>,
    until: Instant,
) -> Asyncio {
    let types = Types::new(objects, debug);
    let mut found = discover(&types, world, debug);
    let mut reading = Reading {
        types: &types,
        until,
        edges: Edges::new(&types),
        repr: Repr::new(objects, ValueLimits::default(), until),
        left: Cell::new(limits::TASK_LINKS),
        asyncio: Asyncio { problems: std::mem::take(&mut found.problems), ..Asyncio::default() },
        executed: Vec::new(),
        unread: None,
    };
    reading.asyncio.tasks.reserve(found.tasks.len());
    let mut from = 0;
    while from < found.tasks.len() {
        let portion: Vec<FoundTask> = found.tasks.iter().skip(from).take(PORTION).copied().collect();
        from += portion.len();
        reading.portion(&portion, &mut found);
        if portion.len() == PORTION {
            objects.cache.forget();
        }
    }
    reading.join_running(world);
    let mut asyncio = reading.finish();
    add_waiters(&mut asyncio.tasks);
    asyncio.loops = read_loops(&types, world, &found, &asyncio.tasks);
    finish_tasks(&found, &mut asyncio);
    awaiting::explain(&types, world, &mut asyncio, until);
    asyncio
}

/// Has the memory read that says which tasks there are; returns how many.
pub(super) fn find_tasks(objects: &crate::objects::Objects<'_>, world: &World, debug: Option<AsyncioDebug>) -> usize {
    let tasks = discover(&Types::new(objects, debug), world, debug).tasks;
    objects.cache.prefetch(tasks.iter().map(|task| Extent { addr: task.address, len: TASK_BYTES }));
    tasks.len()
}

/// A pass in the making.
struct Reading<'t, 'o, 'c> {
    types: &'t Types<'o, 'c>,
    /// After this nothing more is read.
    until: Instant,
    edges: Edges<'t, 'o, 'c>,
    repr: Repr<'o, 'c>,
    /// Links of chains that there is room for.
    left: Cell<usize>,
    asyncio: Asyncio,
    /// Tasks whose coroutines are executed, with where those have their frames.
    executed: Vec<(usize, Addr)>,
    /// What of some tasks could not be read, and why.
    unread: Option<(&'static str, ReadError)>,
}

/// A task, and what else it leads to that may be one.
type ReadTask = (TaskFacts, Vec<Addr>);

impl Reading<'_, '_, '_> {
    /// Does `work` for each of the items, in batches, up to the end of the time.
    fn batched<I, T>(&self, items: &[I], work: impl Fn(&I) -> Result<T, ReadError>) -> Vec<Result<T, ReadError>> {
        if Instant::now() >= self.until {
            return items.iter().map(|_| Err(ReadError::Deadline)).collect();
        }
        self.types.objects.cache.batched(items, work)
    }

    /// Reads some tasks, and adds to `found` those that turn up on the way.
    fn portion(&mut self, portion: &[FoundTask], found: &mut Found) {
        let mut facts = self.tasks(portion, found);
        let chains = self.chains(&mut facts);
        self.finish_chains(&mut facts, chains);
        self.read_edges(&mut facts);
        self.read_ends(&mut facts);
        self.read_creation(&mut facts);
        self.asyncio.tasks.extend(facts.into_iter().map(|facts| facts.task));
    }

    fn tasks(&self, portion: &[FoundTask], found: &mut Found) -> Vec<TaskFacts> {
        let mut facts: Vec<TaskFacts> = Vec::with_capacity(portion.len());
        let read = self.batched(portion, |task| read_with_others(self.types, task.address));
        for (task, read) in portion.iter().zip(read) {
            match read {
                Ok(Some((read, others))) => {
                    for address in others {
                        found.add(FoundTask { address, interpreter: task.interpreter, thread: None });
                    }
                    facts.push(TaskFacts { task: RawTask { thread: task.thread, ..read.task }, ..read });
                }
                Ok(None) => {}
                Err(error) => {
                    let task = RawTask { address: task.address, error: Some(error), ..RawTask::default() };
                    facts.push(TaskFacts { task, ..TaskFacts::default() });
                }
            }
        }
        facts
    }

    fn chains(&self, facts: &mut [TaskFacts]) -> Vec<Chain> {
        let of_task = |facts: &TaskFacts| match facts.task.state {
            TaskState::Pending | TaskState::Running => Chain::from(facts.task.coroutine),
            _ => Chain::from(None),
        };
        let chains: Vec<RefCell<Chain>> = facts.iter().map(|facts| RefCell::new(of_task(facts))).collect();
        let ends = self.batched(&chains, |chain| walk(self.types, chain, &self.left));
        for (facts, end) in facts.iter_mut().zip(ends) {
            facts.task.error = facts.task.error.or(end.err());
        }
        chains.into_iter().map(RefCell::into_inner).collect()
    }

    /// Gives links their places.
    fn finish_chains(&mut self, facts: &mut [TaskFacts], chains: Vec<Chain>) {
        let objects = self.types.objects;
        let frames = || chains.iter().flat_map(|chain| &chain.links).filter_map(|link| link.frame.as_ref());
        let codes = unknown(frames().map(|frame| frame.code), &self.asyncio.codes);
        self.asyncio.codes.extend(read_codes(objects, codes));
        let modules = unknown(frames().map(|frame| frame.globals), &self.asyncio.modules);
        self.asyncio.modules.extend(read_modules(objects, modules));
        for (index, (facts, chain)) in facts.iter_mut().zip(chains).enumerate() {
            let task = &mut facts.task;
            let suspended = chain.running.unwrap_or(chain.links.len());
            if let Some(frame) = chain.links.get(suspended).and_then(|link| link.frame) {
                self.executed.push((self.asyncio.tasks.len() + index, frame.address));
            }
            task.chain = Vec::with_capacity(suspended);
            for link in chain.links.into_iter().take(suspended) {
                match self.finish_link(link) {
                    Ok(link) => task.chain.push(link),
                    Err(error) => {
                        task.error = task.error.or(Some(error));
                        break;
                    }
                }
            }
            if chain.running.is_none() {
                self.add_waiter(task);
            }
        }
    }

    fn finish_link(&self, link: Link) -> Result<RawLink, ReadError> {
        let frame = match &link.frame {
            Some(frame) => finish_frame(self.types.objects, &self.asyncio.codes, frame)?,
            None => None,
        };
        let frame_address = link.frame.map(|frame| frame.address);
        Ok(RawLink { object: link.object, kind: link.kind, class: link.class, frame, frame_address })
    }

    /// A future written in Python is awaited by a generator that yields it: then only the task knows.
    fn add_waiter(&self, task: &mut RawTask) {
        let ends_in_future = task.chain.last().is_some_and(|link| link.kind == LinkKind::Future);
        let Some(object) = task.waiter.filter(|_| !ends_in_future && task.error.is_none()) else { return };
        if let Ok(ty) = self.types.of(object) {
            let class = ty.class.clone();
            task.chain.push(RawLink { object, kind: LinkKind::Future, class, frame: None, frame_address: None });
        }
    }

    /// Who awaits each task.
    fn read_edges(&mut self, facts: &mut [TaskFacts]) {
        let waiting = self.batched(facts, |facts| self.edges.waiting(&facts.awaited_by, &facts.callbacks));
        for (facts, waiting) in facts.iter_mut().zip(waiting) {
            match waiting {
                Ok(waiting) => facts.task.awaited_by = waiting,
                Err(error) => self.unread = Some(("who awaits some of the asyncio tasks", error)),
            }
        }
    }

    /// The exceptions of tasks that have failed.
    fn read_ends(&self, facts: &mut [TaskFacts]) {
        let failed: Vec<(usize, Addr)> = facts
            .iter()
            .enumerate()
            .filter(|(_, facts)| facts.task.state == TaskState::Failed)
            .filter_map(|(index, facts)| Some((index, facts.exception?)))
            .collect();
        let values: Vec<Result<Value, ReadError>> = self.batched(&failed, |(_, exception)| self.repr.value(*exception));
        for ((index, _), value) in failed.iter().zip(values) {
            if let Some(facts) = facts.get_mut(*index) {
                facts.task.exception = value.ok();
            }
        }
    }

    /// Where tasks were created, where that is known.
    fn read_creation(&mut self, facts: &mut [TaskFacts]) {
        let known = facts.iter().enumerate().filter_map(|(index, facts)| Some((index, facts.source_traceback?)));
        let known: Vec<(usize, Addr)> = known.collect();
        let created: Vec<Result<Created, ReadError>> =
            self.batched(&known, |(_, summary)| read_created(self.types.objects, *summary));
        for ((index, _), created) in known.iter().zip(created) {
            match (facts.get_mut(*index), created) {
                (Some(facts), Ok(created)) => facts.task.created_at = created,
                (_, Err(error)) => self.unread = Some(("where some of the asyncio tasks were created", error)),
                (None, Ok(_)) => {}
            }
        }
    }

    /// Joins tasks that are executed with their threads' stacks.
    fn join_running(&mut self, world: &World) {
        let wanted: HashSet<Addr> = self.executed.iter().map(|(_, frame)| *frame).collect();
        let running = Running::new(world, &wanted);
        for (index, frame) in std::mem::take(&mut self.executed) {
            let Some(task) = self.asyncio.tasks.get_mut(index) else { continue };
            let join = match running.join(world, self.types.objects.layout, frame) {
                Ok(join) => join,
                Err(error) => {
                    task.error = task.error.or(Some(error));
                    continue;
                }
            };
            task.state = TaskState::Running;
            task.thread = Some(join.thread);
            for frame in join.links.iter().filter_map(|link| link.frame) {
                if let Some(code) = world.codes.get(&frame.code) {
                    self.asyncio.codes.entry(frame.code).or_insert_with(|| code.clone());
                }
                if let Some(module) = world.modules.get(&frame.globals) {
                    self.asyncio.modules.entry(frame.globals).or_insert_with(|| module.clone());
                }
            }
            task.chain.extend(join.links);
        }
    }

    fn finish(mut self) -> Asyncio {
        if let Some((what, error)) = self.unread {
            let kind = if error == ReadError::TooLarge { ProblemKind::Limit } else { ProblemKind::Unreadable };
            self.asyncio.problems.push(Problem::new(kind, format!("{what}: {error}")));
        }
        self.asyncio
    }
}

/// Reads a task, with the tasks that it waits for, and those that are said to wait for it.
fn read_with_others(types: &Types<'_, '_>, address: Addr) -> Result<Option<ReadTask>, ReadError> {
    let Some(facts) = read_task(types, address)? else { return Ok(None) };
    let mut others = Vec::new();
    let mut missing = false;
    for other in facts.awaited_by.iter().chain(&facts.task.waiter) {
        match types.of(*other) {
            Ok(ty) if ty.kind.is_task() => others.push(*other),
            Err(ReadError::Deferred) => missing = true,
            // What cannot be read is said where it is shown.
            _ => {}
        }
    }
    if missing {
        return Err(ReadError::Deferred);
    }
    types.charge(facts.callbacks.len() + facts.awaited_by.len())?;
    Ok(Some((facts, others)))
}

/// Each of the addresses once, without those that are known.
fn unknown<T>(addresses: impl Iterator<Item = Addr>, known: &AddrMap<T>) -> Vec<Addr> {
    let mut addresses: Vec<Addr> = addresses.filter(|address| !known.contains_key(address)).collect();
    addresses.sort_unstable();
    addresses.dedup();
    addresses
}

/// A task that waits for another one is one of those that the other is awaited by.
fn add_waiters(tasks: &mut [RawTask]) {
    let places: AddrMap<usize> = tasks.iter().enumerate().map(|(index, task)| (task.address, index)).collect();
    let direct = tasks.iter().filter_map(|task| Some((*places.get(&task.waiter?)?, task.address)));
    let direct: Vec<(usize, Addr)> = direct.collect();
    let mut changed: HashSet<usize> = HashSet::new();
    for (index, waiting) in direct {
        if let Some(task) = tasks.get_mut(index) {
            task.awaited_by.push(waiting);
            changed.insert(index);
        }
    }
    for index in changed {
        if let Some(task) = tasks.get_mut(index) {
            task.awaited_by.sort_unstable();
            task.awaited_by.dedup();
        }
    }
}

/// What loops tell of tasks.
fn finish_tasks(found: &Found, asyncio: &mut Asyncio) {
    let current: HashSet<Addr> = found.loops.iter().filter_map(|of_thread| of_thread.current).collect();
    let threads: AddrMap<Addr> =
        asyncio.loops.iter().filter_map(|event_loop| Some((event_loop.address, event_loop.thread?))).collect();
    for task in &mut asyncio.tasks {
        if task.state == TaskState::Pending && current.contains(&task.address) {
            task.state = TaskState::Running;
        }
        let of_loop = task.event_loop.and_then(|event_loop| threads.get(&event_loop).copied());
        task.thread = task.thread.or(of_loop);
    }
}
