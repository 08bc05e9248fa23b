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

/// The routes that are not to be taken when only one is wanted, with or without waking.
pub(super) fn excluded_by(only: Option<Route>) -> Vec<Route> {
    let Some(only) = only else { return Vec::new() };
    ROUTES.into_iter().filter(|route| kind(*route) != kind(only)).collect()
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
