//! Chains of awaits: from a task's coroutine down to what the innermost one waits for.
//!
//! A suspended coroutine has what it awaits on its stack. One that is executed has not: its frames are on its thread's.

use super::LinkKind;
use super::types::{Kind, Types};
use crate::base::Addr;
use crate::interp::{CircleGuard, FrameRef, GeneratorState, generator_extent, read_generator};
use crate::target::ReadError;
use std::cell::{Cell, RefCell};
use std::sync::Arc;

const CIRCLE: &str = "chain of awaits: it goes round in a circle";

/// A link before its code is known.
pub(super) struct Link {
    pub(super) object: Addr,
    pub(super) kind: LinkKind,
    pub(super) class: Arc<str>,
    pub(super) frame: Option<FrameRef>,
}

/// A chain while it is walked, to be taken up again when memory was missing.
pub(super) struct Chain {
    next: Addr,
    pub(super) links: Vec<Link>,
    guard: CircleGuard,
    /// The first of its links that is executed.
    pub(super) running: Option<usize>,
}

impl Chain {
    pub(super) fn from(coroutine: Option<Addr>) -> Chain {
        Chain { next: coroutine.unwrap_or_default(), links: Vec::new(), guard: CircleGuard::default(), running: None }
    }
}

/// Goes on with a chain to its end. `left` is how many links there is room for in all chains together.
pub(super) fn walk(types: &Types<'_, '_>, chain: &RefCell<Chain>, left: &Cell<usize>) -> Result<(), ReadError> {
    let objects = types.objects;
    let chain = &mut *chain.borrow_mut();
    while let Some(object) = chain.next.non_null() {
        objects.cache.prefetch([generator_extent(objects, object)]);
        let ty = types.of(object)?;
        let kind = match ty.kind {
            Kind::Coroutine => LinkKind::Coroutine,
            Kind::Generator => LinkKind::Generator,
            Kind::AsyncGenerator => LinkKind::AsyncGenerator,
            Kind::Wrapper | Kind::FutureIter => {
                let next = objects.first_word(object)?;
                chain.guard.step(object, CIRCLE)?;
                chain.next = next;
                continue;
            }
            kind if kind.is_future() => LinkKind::Future,
            _ => LinkKind::Other,
        };
        let has_frame = !matches!(kind, LinkKind::Future | LinkKind::Other);
        let generator = if has_frame { Some(read_generator(objects, object)?) } else { None };
        chain.guard.step(object, CIRCLE)?;
        left.set(left.get().checked_sub(1).ok_or(ReadError::TooLarge)?);
        let frame = generator.and_then(|generator| generator.frame);
        chain.next = match generator.map(|generator| generator.state) {
            Some(GeneratorState::Awaits(next)) => next,
            Some(GeneratorState::Running) => {
                chain.running = Some(chain.links.len());
                Addr::NULL
            }
            _ => Addr::NULL,
        };
        chain.links.push(Link { object, kind, class: ty.class.clone(), frame });
    }
    Ok(())
}
