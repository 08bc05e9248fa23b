//! The event loops that threads run, and the task that each executes: what a plain stack is marked with. Of the tasks only
//! that one is read, and nothing at all where no thread has a frame of a loop.

use super::awaiting::read_loop_fields;
use super::discover::{Places, namespaces, running_loop};
use super::tasks::read_task;
use super::types::Types;
use super::{RawLoop, RawTask};
use crate::base::Addr;
use crate::cpython::{AsyncioDebug, Runtime};
use crate::interp::{Along, RawInterpreter, World};
use crate::objects::Objects;
use crate::target::ReadError;
use std::collections::HashSet;
use std::time::Instant;

/// Reads them along with the stacks.
#[derive(Clone, Copy, Debug, Default)]
pub struct ReadThreadLoops {
    /// Where the target says its asyncio keeps things, from 3.14 on.
    pub debug: Option<AsyncioDebug>,
}

/// An event loop that a thread runs.
#[derive(Clone, Debug)]
pub struct ThreadLoop {
    /// The thread state.
    pub thread: Addr,
    /// The loop.
    pub event_loop: RawLoop,
    /// The task that it executes.
    pub task: Option<RawTask>,
}

impl Along for ReadThreadLoops {
    type Facts = Vec<ThreadLoop>;

    fn read(&self, objects: &Objects<'_>, _: &Runtime, world: &World, _: Instant) -> Vec<ThreadLoop> {
        let of_loops = modules_of_loops(world);
        if of_loops.is_empty() {
            return Vec::new();
        }
        let types = Types::new(objects, self.debug);
        let places = Places::new(objects, self.debug);
        let mut found = Vec::new();
        for interpreter in &world.interpreters {
            let has_loop = |thread: &&crate::interp::RawThread| {
                thread.frames.iter().rev().any(|frame| of_loops.contains(&frame.globals))
            };
            let threads: Vec<Addr> = interpreter.threads.iter().filter(has_loop).map(|thread| thread.address).collect();
            let read = objects.cache.batched(&threads, |thread| running_loop(objects, &places, *thread));
            for (thread, read) in threads.into_iter().zip(read) {
                // What cannot be read is no loop that could be spoken of.
                let Ok(Some((address, task))) = read else { continue };
                found.extend(one(&types, interpreter, thread, address, task).ok());
            }
        }
        found
    }
}

/// Globals of modules that run event loops: a thread that runs one has a frame in such.
fn modules_of_loops(world: &World) -> HashSet<Addr> {
    let is_of_loops = |name: &str| name.starts_with("asyncio.") || name == "uvloop" || name.starts_with("uvloop.");
    world.modules.iter().filter(|(_, name)| is_of_loops(name)).map(|(globals, _)| *globals).collect()
}

fn one(
    types: &Types<'_, '_>,
    interpreter: &RawInterpreter,
    thread: Addr,
    address: Addr,
    task: Option<Addr>,
) -> Result<ThreadLoop, ReadError> {
    let class = types.of(address)?.class.clone();
    if &*class == "NoneType" {
        return Err(ReadError::Invalid("event loop"));
    }
    let task = match task {
        Some(task) => Some(task),
        None => current_task(types, interpreter, address)?,
    };
    let task = task.map(|task| read_task(types, task)).transpose()?.flatten().map(|facts| facts.task);
    let running_task = task.as_ref().map(|task| task.address);
    let mut event_loop = RawLoop {
        address,
        class,
        interpreter: interpreter.id,
        thread: Some(thread),
        running_task,
        ..RawLoop::default()
    };
    read_loop_fields(types.objects, std::slice::from_mut(&mut event_loop));
    Ok(ThreadLoop { thread, event_loop, task })
}

/// The task that a loop executes, up to 3.13: in `_current_tasks`, by loop.
fn current_task(
    types: &Types<'_, '_>,
    interpreter: &RawInterpreter,
    event_loop: Addr,
) -> Result<Option<Addr>, ReadError> {
    let objects = types.objects;
    for namespace in namespaces(objects, interpreter)? {
        let Some(current) = objects.dict_get(namespace, "_current_tasks")? else { continue };
        if &*objects.type_name(current)? != "dict" {
            continue;
        }
        let found = objects.dict(current)?.entries().find(|entry| entry.key == event_loop);
        if let Some(entry) = found {
            return Ok(Some(entry.value));
        }
    }
    Ok(None)
}
