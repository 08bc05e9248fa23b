//! asyncio: event loops, tasks, what each task's coroutines are doing and what they wait for.
//!
//! Everything is read from memory, together with the stacks and under the same proof. What could not be read is an error of
//! the task it concerns.

mod facts;

pub use facts::*;
