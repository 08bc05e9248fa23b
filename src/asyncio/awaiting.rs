//! What a task waits for, where its chain of awaits ends.

use super::Asyncio;
use crate::interp::World;
use crate::objects::Objects;

/// Fills in [`RawTask::awaiting`](super::RawTask::awaiting), once chains and edges are there.
pub(super) fn explain(_objects: &Objects<'_>, _world: &World, _asyncio: &mut Asyncio) {}
