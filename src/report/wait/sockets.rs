//! The other ends of sockets that something else than a thread waits for: asyncio's tasks.

use super::TABLES;
use super::files::Files;
use crate::os::FileKind;
use crate::report::model::Wait;
use std::collections::HashMap;
use std::time::Instant;

/// Descriptors that are looked up.
const MOST: usize = 20_000;

/// What follows `fd 7` in words, as ` -> 10.0.0.5:5432`, and what is known of it, for those of the process's descriptors that
/// are sockets. `tid` is a thread of it that lives.
pub(in crate::report) fn sockets(pid: i32, tid: i32, fds: impl Iterator<Item = i32>) -> HashMap<i32, (String, Wait)> {
    let mut fds: Vec<i32> = fds.collect();
    fds.sort_unstable();
    fds.dedup();
    fds.truncate(MOST);
    let mut files = Files::new(pid);
    files.learn_all(tid, &fds, Instant::now() + TABLES);
    let mut found = HashMap::new();
    for fd in fds {
        if let Some(FileKind::Socket(_)) = files.kind(fd) {
            let mut wait = Wait::default();
            let words = files.describe(tid, fd, &mut wait).target;
            found.insert(fd, (words, wait));
        }
    }
    found
}
