//! asyncio: event loops, tasks, what each task's coroutines are doing and what they wait for.
//!
//! Everything is read from memory, together with the stacks and under the same proof. What could not be read is an error of
//! the task it concerns.

mod awaiting;
mod chain;
mod created;
mod discover;
mod edges;
mod facts;
mod functions;
mod loops;
mod read;
mod running;
mod tasks;
mod threads;
mod types;

pub use facts::*;
use read::find_tasks;
pub use read::read_asyncio;
pub use threads::{ReadThreadLoops, ThreadLoop};

use self::tasks::UNKNOWN_SHAPE;
use crate::base::ProblemKind;
use crate::cpython::{AsyncioDebug, Runtime};
use crate::interp::{Along, World};
use crate::objects::Objects;
use crate::target::{PageSize, ReadError};
use std::time::Instant;

/// Reads asyncio along with the stacks: to be given to [`snapshot`](crate::interp::snapshot).
#[derive(Clone, Copy, Debug, Default)]
pub struct ReadAsyncio {
    /// How asyncio's C code describes itself, where it does.
    pub debug: Option<AsyncioDebug>,
}

impl Along for ReadAsyncio {
    type Facts = Asyncio;

    const PAGES: PageSize = PageSize::Large;

    fn read(&self, objects: &Objects<'_>, runtime: &Runtime, world: &World, until: Instant) -> Asyncio {
        read_asyncio(objects, runtime, world, self.debug, until)
    }

    fn find(&self, objects: &Objects<'_>, world: &World) -> usize {
        find_tasks(objects, world, self.debug)
    }

    fn is_torn(facts: &Asyncio) -> bool {
        let is_torn = |error| matches!(error, ReadError::Invalid(_) | ReadError::Unmapped) && error != UNKNOWN_SHAPE;
        facts.problems.iter().any(|problem| problem.kind == ProblemKind::Invalid)
            || facts.tasks.iter().any(|task| task.error.is_some_and(is_torn))
    }
}
