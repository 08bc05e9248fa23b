//! Running a script inside a live process at a safe point, and getting its output and result back.
//!
//! The only part that changes anything in the target. A [`Decision`] is made from a [`Situation`] alone, by which route a
//! script may run now; everything else carries that out so that the target heals itself whenever we end.

mod api;
mod assembler;
pub mod bootstrap;
mod borrow;
mod calls;
pub mod channel;
mod channel_setup;
mod choice;
mod context;
mod doing;
mod entrances;
mod frame;
mod hindrance;
mod known;
mod leftovers;
mod modules;
mod pages;
mod plan;
mod recipes;
mod remote;
mod routes;
mod script;
mod session;
mod situation;
mod symbols;
mod tables;
mod trampoline;
mod turn;
mod unwind;

pub use api::{ChannelFacts, InjectError, InjectOptions, Injected, Progress, Subject};
pub use calls::Calls;
pub use channel_setup::channel_state;
pub use context::ChannelState;
pub use hindrance::{Hindrance, Obstacle, hindrance};
pub use modules::{CodeMap, Owner};
pub use plan::*;
pub use recipes::{RECIPES, Recipe, recipe};
pub use script::{Kind, Script};
pub use session::{inject, look};
pub use situation::{LookError, Scene};
pub use symbols::{Functions, Restorer, SymbolError, Symbols, is_initialized};
pub use unwind::{End, NativeFrame, Unwinder};
