//! What the caller chose, in the terms of the target: which thread, and which routes are left.

use super::api::{InjectError, Subject};
use super::situation::Scene;
use super::{Route, ThreadChoice};
use crate::interp::collect;
use crate::target::Cache;

/// All routes.
const ROUTES: [Route; 6] = [
    Route::PendingCall,
    Route::PendingCallWoken,
    Route::SignalFrame,
    Route::NewThread,
    Route::RemoteDebugger,
    Route::RemoteDebuggerWoken,
];

/// Descriptors that CPython's own protocol needs in the target: the channel, the program's text, and the file that CPython
/// opens to read that; and some for whatever else goes on there.
const DESCRIPTORS: u64 = 8;

/// The routes that are not to be taken when only one is wanted, with or without waking.
fn excluded_by(only: Option<Route>) -> Vec<Route> {
    let Some(only) = only else { return Vec::new() };
    ROUTES.into_iter().filter(|route| kind(*route) != kind(only)).collect()
}

/// The routes that are not to be taken in this process.
pub(super) fn excluded(subject: &Subject<'_>, only: Option<Route>) -> Vec<Route> {
    let mut excluded = excluded_by(only);
    // CPython would report on the target's own stderr that it cannot open the script.
    if free_descriptors(subject.process.pid).is_some_and(|free| free < DESCRIPTORS) {
        excluded.extend([Route::RemoteDebugger, Route::RemoteDebuggerWoken]);
    }
    excluded
}

/// How many more descriptors a process may open; `None` when that cannot be read.
fn free_descriptors(pid: i32) -> Option<u64> {
    let limits = std::fs::read_to_string(format!("/proc/{pid}/limits")).ok()?;
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    let limit: u64 = line.split_whitespace().next()?.parse().ok()?;
    let open = std::fs::read_dir(format!("/proc/{pid}/fd")).ok()?.count() as u64;
    Some(limit.saturating_sub(open))
}

fn kind(route: Route) -> Route {
    match route {
        Route::PendingCallWoken => Route::PendingCall,
        Route::RemoteDebuggerWoken => Route::RemoteDebugger,
        other => other,
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_route_leaves_itself_with_and_without_waking() {
        assert_eq!(excluded_by(None), []);
        let left = |only| {
            let excluded = excluded_by(Some(only));
            ROUTES.into_iter().filter(|route| !excluded.contains(route)).collect::<Vec<_>>()
        };
        assert_eq!(left(Route::SignalFrame), [Route::SignalFrame]);
        assert_eq!(left(Route::PendingCallWoken), [Route::PendingCall, Route::PendingCallWoken]);
        assert_eq!(left(Route::RemoteDebugger), [Route::RemoteDebugger, Route::RemoteDebuggerWoken]);
    }
}
