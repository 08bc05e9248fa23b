//! Tasks that run: their frames are those of a thread, from their coroutine's own inwards.

use super::{LinkKind, RawLink};
use crate::base::{Addr, AddrMap};
use crate::cpython::layout::Layout;
use crate::interp::{Code, CodeKind, RawThread, World};
use crate::target::ReadError;
use std::collections::HashSet;
use std::sync::Arc;

/// Frames of threads, by where they lie.
pub(super) struct Running<'w> {
    threads: Vec<&'w RawThread>,
    /// Thread, and which of its frames.
    frames: AddrMap<(usize, usize)>,
}

/// The frames of a task that runs.
pub(super) struct Join {
    /// The thread that executes it.
    pub(super) thread: Addr,
    /// Its coroutine first.
    pub(super) links: Vec<RawLink>,
}

impl<'w> Running<'w> {
    /// `wanted` are the frames to be looked for.
    pub(super) fn new(world: &'w World, wanted: &HashSet<Addr>) -> Running<'w> {
        let threads: Vec<&RawThread> = world.threads().collect();
        let mut frames = AddrMap::default();
        for (index, thread) in threads.iter().enumerate().filter(|_| !wanted.is_empty()) {
            let addresses = thread.frame_addresses.iter().enumerate();
            frames.extend(addresses.filter(|(_, at)| wanted.contains(at)).map(|(frame, at)| (*at, (index, frame))));
        }
        Running { threads, frames }
    }

    /// The frames from the one at `coroutine` inwards, up to where another of the wanted begins.
    pub(super) fn join(&self, world: &World, layout: &Layout, coroutine: Addr) -> Result<Join, ReadError> {
        let not_there = ReadError::Invalid("task: it is executed, and on no stack");
        let Some((thread, frame)) = self.frames.get(&coroutine).copied() else {
            // The stack that it is on may be one that was not read to its end.
            let cut = self.threads.iter().find_map(|thread| thread.error);
            return Err(cut.unwrap_or(not_there));
        };
        let thread = *self.threads.get(thread).ok_or(not_there)?;
        let inwards = thread.frames.iter().zip(&thread.frame_addresses).take(frame + 1).rev();
        let own = inwards.enumerate().take_while(|(index, (_, at))| *index == 0 || !self.frames.contains_key(at));
        let links = own.map(|(_, (raw, at))| {
            let code = world.codes.get(&raw.code).and_then(|code| code.as_ref().ok());
            let (kind, class) = kind_of(code);
            let object = match layout.generator.iframe.filter(|_| kind != LinkKind::Function) {
                Some(iframe) => at.back(u64::from(iframe.offset)),
                None => *at,
            };
            RawLink { object, kind, class: Arc::from(class), frame: Some(*raw), frame_address: Some(*at) }
        });
        Ok(Join { thread: thread.address, links: links.collect() })
    }
}

fn kind_of(code: Option<&Code>) -> (LinkKind, &'static str) {
    match code.map(|code| code.kind) {
        Some(CodeKind::Coroutine) => (LinkKind::Coroutine, "coroutine"),
        Some(CodeKind::Generator) => (LinkKind::Generator, "generator"),
        Some(CodeKind::AsyncGenerator) => (LinkKind::AsyncGenerator, "async_generator"),
        _ => (LinkKind::Function, "function"),
    }
}
