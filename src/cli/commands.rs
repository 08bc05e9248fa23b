//! The commands, one file each.

mod stack;

pub(super) use stack::stack;
