//! Running a script inside a live process at a safe point, and getting its output and result back.
//!
//! The only part that changes anything in the target. A [`Decision`] is made from a [`Situation`] alone, by which route a
//! script may run now; everything else carries that out so that the target heals itself whenever we end.

pub mod bootstrap;
pub mod channel;
mod plan;
mod script;

pub use plan::*;
pub use script::{Kind, Script};
