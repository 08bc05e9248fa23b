//! What others read of the target at the same moment as the stacks, and under the same proof.

use super::collect::World;
use crate::cpython::Runtime;
use crate::objects::Objects;
use crate::target::PageSize;
use std::time::Instant;

/// A reader that a snapshot takes along. It may be called several times: readings that cannot be proved are thrown away.
pub trait Along {
    /// What it reads.
    type Facts;

    /// How much of memory is read at least.
    const PAGES: PageSize = PageSize::Small;

    /// Reads. After `until` it has to come to an end with what it has, and say so in its facts: a thread may be stopped.
    fn read(&self, objects: &Objects<'_>, runtime: &Runtime, world: &World, until: Instant) -> Self::Facts;

    /// Reads what leads to the rest step by step, as lists do, and returns how many things it leads to. It is called while
    /// threads are stopped; where there are many, [`Along::read`] is called when they run again, with what was read till then.
    fn find(&self, _objects: &Objects<'_>, _world: &World) -> usize {
        0
    }

    /// True when these facts make no sense, as in the few instructions in which the interpreter changes several words that
    /// belong together. With threads stopped, the next stop hits others.
    fn is_torn(_facts: &Self::Facts) -> bool {
        false
    }
}

/// Nothing more.
impl Along for () {
    type Facts = ();

    fn read(&self, _: &Objects<'_>, _: &Runtime, _: &World, _: Instant) {}
}
