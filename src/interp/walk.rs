//! What the two frame walkers share: where a walk stands, how it ends, and the guard against stacks that never end.

use crate::base::{Addr, limits};
use crate::target::ReadError;

/// A frame as found in the target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FrameRef {
    /// The frame itself.
    pub(crate) address: Addr,
    /// Its code object.
    pub(crate) code: Addr,
    /// Its globals.
    pub(crate) globals: Addr,
    /// Where it is in the bytecode, in the version's own terms.
    pub(crate) instruction: InstructionRef,
    /// How it was entered.
    pub(crate) entry: Entry,
    /// It lies inside a generator, which exists since its first instructions were run.
    pub(crate) in_generator: bool,
}

/// How the evaluation loop came to a frame.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Entry {
    /// From Python code, within the same evaluation loop.
    #[default]
    Python,
    /// From C: the frame began an evaluation loop (`is_entry` of 3.11; every frame before that).
    Loop,
    /// From C: behind it lies the frame without code with which an evaluation loop begins (3.12 on).
    LoopFrame,
}

/// Where a frame is in its bytecode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum InstructionRef {
    /// `f_lasti` as it is.
    Lasti(i32),
    /// Address of an instruction, with the index of the copy of the bytecode it belongs to.
    Pointer(Addr, i32),
}

/// A walk from the innermost frame outwards, which can be taken up again when memory was missing.
#[derive(Debug)]
pub(super) struct Walk {
    /// Frames found so far, innermost first.
    pub(super) frames: Vec<FrameRef>,
    /// Where the walk goes on.
    pub(super) next: Addr,
    /// The frame looked at last lies between C and Python, or was entered from C: the stack may end behind it.
    pub(super) at_boundary: bool,
    /// Evaluation loop whose frames are being walked, where those are chained (3.11, 3.12).
    pub(super) cframe: Addr,
    guard: CircleGuard,
}

/// Finds circles by Brent's method: the guard stays behind and is met again only on a circle.
#[derive(Debug, Default)]
pub(crate) struct CircleGuard {
    steps: usize,
    guard: Addr,
    moves_at: usize,
}

impl CircleGuard {
    /// Counts a step to `address`. A circle is an error with the words of `circle`.
    pub(crate) fn step(&mut self, address: Addr, circle: &'static str) -> Result<(), ReadError> {
        if self.steps > 0 && address == self.guard {
            return Err(ReadError::Invalid(circle));
        }
        self.steps += 1;
        if self.steps > limits::FRAMES {
            return Err(ReadError::TooLarge);
        }
        if self.steps >= self.moves_at {
            self.guard = address;
            self.moves_at = self.steps * 2;
        }
        Ok(())
    }
}

impl Walk {
    pub(super) fn from(next: Addr) -> Walk {
        Walk {
            frames: Vec::with_capacity(if next.is_null() { 0 } else { 16 }),
            next,
            at_boundary: true,
            cframe: Addr::NULL,
            guard: CircleGuard::default(),
        }
    }

    /// Counts a step to `address`.
    pub(super) fn step(&mut self, address: Addr) -> Result<(), ReadError> {
        self.guard.step(address, "stack: it goes round in a circle")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn circles_are_found_and_long_stacks_are_not_circles() {
        let mut walk = Walk::from(Addr(1));
        assert!((1..20_000u64).all(|i| walk.step(Addr(i * 8)).is_ok()));
        for period in [1u64, 2, 3, 7, 1000] {
            let mut walk = Walk::from(Addr(1));
            assert!((0..).take(5 * period as usize + 5).any(|i| walk.step(Addr(8 + i % period)).is_err()));
        }
    }
}
