//! asyncio: event loops, tasks, what each task's coroutines are doing and what they wait for.
//!
//! Everything is read from memory, together with the stacks and under the same proof. What could not be read is an error of
//! the task it concerns.

mod awaiting;
mod facts;

pub use facts::*;

use crate::cpython::{AsyncioDebug, Runtime};
use crate::interp::{Along, World};
use crate::objects::Objects;
use std::time::Instant;

/// Reads asyncio along with the stacks: to be given to [`snapshot`](crate::interp::snapshot).
#[derive(Clone, Copy, Debug, Default)]
pub struct ReadAsyncio {
    /// How asyncio's C code describes itself, where it does.
    pub debug: Option<AsyncioDebug>,
}

impl Along for ReadAsyncio {
    type Facts = Asyncio;

    fn read(&self, objects: &Objects<'_>, runtime: &Runtime, world: &World, until: Instant) -> Asyncio {
        read_asyncio(objects, runtime, world, self.debug, until)
    }
}

/// Reads loops and tasks; what is left when `until` has come is said to be missing.
pub fn read_asyncio(
    objects: &Objects<'_>,
    _runtime: &Runtime,
    world: &World,
    _debug: Option<AsyncioDebug>,
    _until: Instant,
) -> Asyncio {
    let mut asyncio = Asyncio::default();
    awaiting::explain(objects, world, &mut asyncio);
    asyncio
}
