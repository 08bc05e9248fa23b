//! What the caller chose, in the terms of the target: which thread, and which routes are left.

use super::ThreadChoice;
use super::api::{InjectError, Subject};
use super::situation::Scene;
use crate::interp::collect;
use crate::target::Cache;

/// Descriptors that CPython's own protocol needs in the target: the channel, the program's text, and the file that CPython
/// opens to read that; and some for whatever else goes on there.
const DESCRIPTORS: u64 = 8;

/// True when CPython's own protocol must not be used for want of descriptors: CPython would report on the target's own stderr
/// that it cannot open the script.
pub(super) fn has_few_descriptors(subject: &Subject<'_>) -> bool {
    free_descriptors(subject.process.pid).is_some_and(|free| free < DESCRIPTORS)
}

/// How many more descriptors a process may open; `None` when that cannot be read.
fn free_descriptors(pid: i32) -> Option<u64> {
    let limits = std::fs::read_to_string(format!("/proc/{pid}/limits")).ok()?;
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    let limit: u64 = line.split_whitespace().next()?.parse().ok()?;
    let open = std::fs::read_dir(format!("/proc/{pid}/fd")).ok()?.count() as u64;
    Some(limit.saturating_sub(open))
}

/// The kernel's id, as we see it, of the thread that is to be borrowed.
pub(super) fn chosen_thread(
    subject: &Subject<'_>,
    scene: &Scene<'_>,
    choice: &ThreadChoice,
) -> Result<i32, InjectError> {
    match choice {
        ThreadChoice::Auto | ThreadChoice::Main | ThreadChoice::Any => {
            // While it starts there is none yet, and what is there is looked at with it.
            Ok(scene.main_tid().unwrap_or(subject.process.pid))
        }
        ThreadChoice::Tid(tid) => {
            let tasks = subject.process.tasks().map_err(|_| InjectError::Gone)?;
            match tasks.ids().is_ok_and(|ids| ids.contains(tid)) {
                true => Ok(*tid),
                false => Err(InjectError::Refused(format!("it has no thread {tid}"))),
            }
        }
        ThreadChoice::Name(name) => named_thread(subject, name),
    }
}

fn named_thread(subject: &Subject<'_>, name: &str) -> Result<i32, InjectError> {
    let refused = |why: String| InjectError::Refused(why);
    let cache = Cache::new(subject.memory);
    let world = collect(&cache, subject.runtime)
        .map_err(|error| refused(format!("the names of its threads cannot be read: {error}")))?;
    let mut ids =
        world.threads().filter(|thread| thread.name.name.as_deref() == Some(name)).map(|thread| thread.native_id);
    let (first, another) = (ids.next(), ids.next());
    if another.is_some() {
        return Err(refused(format!("several of its threads are called {name:?}; choose by the id")));
    }
    let none = || refused(format!("it has no thread called {name:?}"));
    let native = i32::try_from(first.ok_or_else(none)?.unwrap_or_default()).unwrap_or_default();
    let tasks = subject.process.tasks().map_err(|_| InjectError::Gone)?;
    let tids = tasks.ids().unwrap_or_default();
    let innermost = |tid: i32| tasks.ns_ids(tid).and_then(|ids| ids.last().copied());
    tids.into_iter().find(|tid| innermost(*tid) == Some(native)).ok_or_else(none)
}
