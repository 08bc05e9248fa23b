//! Stands in for looking at the main thread.

use super::api::Subject;
use super::{Decision, Doing, Route, Situation};
use crate::os::Registers;

pub(super) fn look(subject: &Subject<'_>, registers: &Registers) -> Situation {
    let doing = match registers.interrupted_call() {
        None => Doing::Running,
        Some(number) => Doing::ForeignCall { number, module: String::new() },
    };
    Situation {
        version: subject.runtime.version,
        doing,
        initialized: true,
        finalizing: false,
        remote_debugging: None,
        shadow_stack: false,
        alternate_stack: false,
        free_stack: 1 << 20,
        seccomp_kills: false,
        importing: false,
    }
}

pub(super) fn plan(situation: &Situation, only: Option<Route>) -> Decision {
    match (&situation.doing, only) {
        (_, Some(route)) => Decision::Go(route, "it was asked for".to_owned()),
        (Doing::Running, None) => Decision::Go(Route::PendingCall, "the main thread runs".to_owned()),
        _ => Decision::Wait("the main thread waits in a system call".to_owned()),
    }
}
