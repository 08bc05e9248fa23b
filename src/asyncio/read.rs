//! One pass over everything of asyncio.

use super::chain::{Chain, Link, walk};
use super::created::read_created;
use super::discover::{Found, FoundTask, discover};
use super::edges::Edges;
use super::loops::read_loops;
use super::running::Running;
use super::tasks::{TaskFacts, read_task};
use super::types::Types;
use super::{Asyncio, LinkKind, RawLink, RawTask, TaskState, awaiting};
use crate::base::{Addr, AddrMap, Problem, ProblemKind, limits};
use crate::cpython::{AsyncioDebug, Runtime};
use crate::interp::{Code, World, finish_frame, read_codes, read_modules};
use crate::objects::{Objects, Repr, ValueLimits};
use crate::target::ReadError;
use std::cell::{Cell, RefCell};
use std::collections::HashSet;
use std::time::Instant;

/// Reads loops and tasks; what is left when `until` has come is said to be missing.
pub fn read_asyncio(
    objects: &Objects<'_>,
    _runtime: &Runtime,
    world: &World,
    debug: Option<AsyncioDebug>,
    until: Instant,
) -> Asyncio {
    let types = Types::new(objects, debug);
    let mut found = discover(&types, world, debug);
    let mut facts = read_tasks(&types, &mut found, until);
    let chains = read_chains(&types, &mut facts, until);
    let mut asyncio = Asyncio { problems: std::mem::take(&mut found.problems), ..Asyncio::default() };
    finish_chains(&types, world, &mut facts, chains, &mut asyncio);
    asyncio.problems.extend(read_edges(&types, &mut facts, until));
    read_exceptions(objects, &mut facts, until);
    asyncio.problems.extend(read_creation(objects, &mut facts, until));
    asyncio.tasks = facts.into_iter().map(|facts| facts.task).collect();
    asyncio.loops = read_loops(&types, world, &found, &asyncio.tasks);
    finish_tasks(&found, &mut asyncio);
    awaiting::explain(&types, world, &mut asyncio, until);
    asyncio
}

fn in_time<T>(until: Instant, work: impl FnOnce() -> Result<T, ReadError>) -> Result<T, ReadError> {
    if Instant::now() >= until { Err(ReadError::Deadline) } else { work() }
}

/// Reads the tasks that were found, and those that turn up on the way: what a task waits for, and who waits for it.
fn read_tasks(types: &Types<'_, '_>, found: &mut Found, until: Instant) -> Vec<TaskFacts> {
    let mut facts: Vec<TaskFacts> = Vec::new();
    let mut from = 0;
    while from < found.tasks.len() {
        let new: Vec<FoundTask> = found.tasks.iter().skip(from).copied().collect();
        from += new.len();
        let read = types.objects.cache.batched(&new, |task| {
            in_time(until, || {
                let Some(facts) = read_task(types, task.address)? else { return Ok(None) };
                let mut others = facts.awaited_by.clone();
                others.extend(facts.task.waiter);
                others.retain(|other| types.of(*other).is_ok_and(|ty| ty.kind.is_task()));
                if facts.task.waiter.is_some_and(|waiter| types.of(waiter).err() == Some(ReadError::Deferred)) {
                    return Err(ReadError::Deferred);
                }
                Ok(Some((facts, others)))
            })
        });
        for (task, read) in new.iter().zip(read) {
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
    }
    facts
}

fn read_chains(types: &Types<'_, '_>, facts: &mut [TaskFacts], until: Instant) -> Vec<Chain> {
    let of_task = |facts: &TaskFacts| match facts.task.state {
        TaskState::Pending | TaskState::Running => Chain::from(facts.task.coroutine),
        _ => Chain::from(None),
    };
    let chains: Vec<RefCell<Chain>> = facts.iter().map(|facts| RefCell::new(of_task(facts))).collect();
    let left = Cell::new(limits::TASK_LINKS);
    let ends = types.objects.cache.batched(&chains, |chain| in_time(until, || walk(types, chain, &left)));
    for (facts, end) in facts.iter_mut().zip(ends) {
        facts.task.error = facts.task.error.or(end.err());
    }
    chains.into_iter().map(RefCell::into_inner).collect()
}

/// Gives links their places, and joins tasks that run with their threads' stacks.
fn finish_chains(
    types: &Types<'_, '_>,
    world: &World,
    facts: &mut [TaskFacts],
    chains: Vec<Chain>,
    asyncio: &mut Asyncio,
) {
    let objects = types.objects;
    let distinct = |of: fn(&Link) -> Option<Addr>| {
        let mut addresses: Vec<Addr> = chains.iter().flat_map(|chain| &chain.links).filter_map(of).collect();
        addresses.sort_unstable();
        addresses.dedup();
        addresses
    };
    asyncio.codes = read_codes(objects, distinct(|link| link.frame.map(|frame| frame.code)));
    asyncio.modules = read_modules(objects, distinct(|link| link.frame.map(|frame| frame.globals)));
    let executed = |chain: &Chain| chain.links.get(chain.running?)?.frame.map(|frame| frame.address);
    let wanted: HashSet<Addr> = chains.iter().filter_map(executed).collect();
    let running = Running::new(world, &wanted);
    for (facts, chain) in facts.iter_mut().zip(chains) {
        let task = &mut facts.task;
        let executed = executed(&chain);
        let keep = chain.running.unwrap_or(chain.links.len());
        task.chain = Vec::with_capacity(keep);
        for link in chain.links.into_iter().take(keep) {
            match finish_link(objects, &asyncio.codes, link) {
                Ok(link) => task.chain.push(link),
                Err(error) => {
                    task.error = task.error.or(Some(error));
                    break;
                }
            }
        }
        if let Some(coroutine) = executed {
            match running.join(world, objects.layout, coroutine) {
                Ok(join) => {
                    task.state = TaskState::Running;
                    task.thread = Some(join.thread);
                    for frame in join.links.iter().filter_map(|link| link.frame) {
                        if let Some(code) = world.codes.get(&frame.code) {
                            asyncio.codes.entry(frame.code).or_insert_with(|| code.clone());
                        }
                        if let Some(module) = world.modules.get(&frame.globals) {
                            asyncio.modules.entry(frame.globals).or_insert_with(|| module.clone());
                        }
                    }
                    task.chain.extend(join.links);
                }
                Err(error) => task.error = task.error.or(Some(error)),
            }
        }
        add_waiter(types, task);
    }
}

fn finish_link(
    objects: &Objects<'_>,
    codes: &AddrMap<Result<Code, ReadError>>,
    link: Link,
) -> Result<RawLink, ReadError> {
    let frame = match &link.frame {
        Some(frame) => finish_frame(objects, codes, frame)?,
        None => None,
    };
    let frame_address = link.frame.map(|frame| frame.address);
    Ok(RawLink { object: link.object, kind: link.kind, class: link.class, frame, frame_address })
}

/// A future written in Python is awaited by a generator that yields it: then only the task knows.
fn add_waiter(types: &Types<'_, '_>, task: &mut RawTask) {
    let ends_in_future = task.chain.last().is_some_and(|link| link.kind == LinkKind::Future);
    let Some(object) = task.waiter.filter(|_| !ends_in_future && task.error.is_none()) else { return };
    if task.state != TaskState::Pending {
        return;
    }
    if let Ok(ty) = types.of(object) {
        let class = ty.class.clone();
        task.chain.push(RawLink { object, kind: LinkKind::Future, class, frame: None, frame_address: None });
    }
}

/// Who awaits each task.
fn read_edges(types: &Types<'_, '_>, facts: &mut [TaskFacts], until: Instant) -> Option<Problem> {
    let edges = Edges::new(types);
    let waiting = types
        .objects
        .cache
        .batched(&*facts, |facts| in_time(until, || edges.waiting(&facts.awaited_by, &facts.callbacks)));
    let mut failed = None;
    let mut waiters: AddrMap<Vec<Addr>> = AddrMap::default();
    for facts in &*facts {
        if let Some(waiter) = facts.task.waiter {
            waiters.entry(waiter).or_default().push(facts.task.address);
        }
    }
    for (facts, waiting) in facts.iter_mut().zip(waiting) {
        let task = &mut facts.task;
        match waiting {
            Ok(waiting) => task.awaited_by = waiting,
            Err(error) => failed = Some(error),
        }
        if let Some(direct) = waiters.remove(&task.address) {
            task.awaited_by.extend(direct);
            task.awaited_by.sort_unstable();
            task.awaited_by.dedup();
        }
    }
    let error = failed?;
    let kind = if error == ReadError::TooLarge { ProblemKind::Limit } else { ProblemKind::Unreadable };
    Some(Problem::new(kind, format!("who awaits some of the asyncio tasks: {error}")))
}

fn read_exceptions(objects: &Objects<'_>, facts: &mut [TaskFacts], until: Instant) {
    let repr = Repr::new(objects, ValueLimits::default(), until);
    let failed: Vec<(usize, Addr)> = facts
        .iter()
        .enumerate()
        .filter(|(_, facts)| facts.task.state == TaskState::Failed)
        .filter_map(|(index, facts)| Some((index, facts.exception?)))
        .collect();
    let values = objects.cache.batched(&failed, |(_, exception)| repr.value(*exception));
    for ((index, _), value) in failed.iter().zip(values) {
        if let Some(facts) = facts.get_mut(*index) {
            facts.task.exception = value.ok();
        }
    }
}

/// Where tasks were created, where that is known.
fn read_creation(objects: &Objects<'_>, facts: &mut [TaskFacts], until: Instant) -> Option<Problem> {
    let known = facts.iter().enumerate().filter_map(|(index, facts)| Some((index, facts.source_traceback?)));
    let known: Vec<(usize, Addr)> = known.collect();
    let created = objects.cache.batched(&known, |(_, summary)| in_time(until, || read_created(objects, *summary)));
    let mut failed = None;
    for ((index, _), created) in known.iter().zip(created) {
        match (facts.get_mut(*index), created) {
            (Some(facts), Ok(created)) => facts.task.created_at = created,
            (_, Err(error)) => failed = Some(error),
            (None, Ok(_)) => {}
        }
    }
    let message = format!("where some of the asyncio tasks were created: {}", failed?);
    Some(Problem::new(ProblemKind::Unreadable, message))
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
