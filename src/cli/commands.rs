//! The commands, one file each.

mod doctor;
mod ps;
mod stack;
mod subprocesses;

pub(super) use doctor::doctor;
pub(super) use ps::ps;
pub(super) use stack::stack;
