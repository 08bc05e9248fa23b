//! What descriptors refer to that no thread sleeps on, but a task waits for.

use super::TABLES;
use super::files::Files;
use crate::report::model::Wait;
use std::collections::{HashMap, HashSet};
use std::time::Instant;

/// A descriptor in words, to be put behind `fd 7`, with the addresses of a socket.
#[derive(Clone)]
pub(in crate::report) struct Descriptor {
    pub(in crate::report) words: String,
    pub(in crate::report) wait: Wait,
}

/// What these descriptors of a process refer to, through one of its threads that lives.
pub(in crate::report) fn descriptors(pid: i32, tid: i32, fds: &HashSet<i32>) -> HashMap<i32, Descriptor> {
    let mut files = Files::new(pid);
    files.look_up(tid, fds.iter().copied(), Instant::now() + TABLES);
    let describe = |fd: &i32| {
        files.kind(*fd)?;
        let mut wait = Wait::default();
        let described = files.describe(tid, *fd, &mut wait);
        let details = match described.details.is_empty() {
            true => String::new(),
            false => format!(" ({})", described.details.join(", ")),
        };
        Some((*fd, Descriptor { words: described.target + &details, wait }))
    };
    fds.iter().filter_map(describe).collect()
}
