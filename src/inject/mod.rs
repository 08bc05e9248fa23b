//! Running a script inside a live process at a safe point, and getting its output and result back.
//!
//! The only part that changes anything in the target. A [`Decision`] is made from a [`Situation`] alone, by which route a
//! script may run now; everything else carries that out so that the target heals itself whenever we end.

mod calls;
mod doing;
mod hindrance;
mod known;
mod modules;
mod plan;
mod situation;
mod symbols;
mod tables;
mod unwind;

pub use calls::Calls;
pub use hindrance::{Hindrance, Obstacle, hindrance};
pub use modules::{CodeMap, Owner};
pub use plan::*;
pub use situation::{LookError, Scene};
pub use symbols::{Functions, Restorer, SymbolError, Symbols, is_initialized};
pub use unwind::{End, NativeFrame, Unwinder};
