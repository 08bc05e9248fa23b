//! Values of local variables, from what was read to the report.

use super::model::{HandledException, Local, LocalKind};
use crate::interp::{self, RawLocal, RawThread};

/// The variables of one frame.
pub(super) fn locals(raw: &[RawLocal]) -> Vec<Local> {
    let local = |raw: &RawLocal| Local {
        name: raw.name.clone(),
        kind: match raw.kind {
            interp::LocalKind::Argument => LocalKind::Argument,
            interp::LocalKind::Local => LocalKind::Local,
            interp::LocalKind::Cell => LocalKind::Cell,
            interp::LocalKind::Free => LocalKind::Free,
        },
        type_name: raw.type_name.clone(),
        repr: raw.text.clone(),
        address: raw.address.to_string(),
    };
    raw.iter().map(local).collect()
}

/// The exception that a thread is handling.
pub(super) fn exception(thread: &RawThread) -> Option<HandledException> {
    let raw = thread.exception.as_ref()?;
    Some(HandledException {
        type_name: raw.value.type_name.clone(),
        repr: raw.value.text.clone(),
        address: raw.address.to_string(),
    })
}
