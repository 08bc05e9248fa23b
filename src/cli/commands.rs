//! The commands, one file each.

mod doctor;
mod exec;
mod ps;
mod stack;
mod subprocesses;
mod tasks;

pub(super) use doctor::doctor;
pub(super) use exec::{eval, exec};
pub(super) use ps::ps;
pub(super) use stack::stack;
pub(super) use tasks::tasks;
