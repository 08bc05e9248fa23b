//! Ending at a chosen step, so that tests see what becomes of a target whose pyattach was killed there.
//!
//! Each system call that changes something in a target is a step. In builds without debug assertions this does nothing and
//! looks at nothing.

/// Counts a step; kills this process before the step that `PYATTACH_DIE_AT_STEP` names.
#[cfg(debug_assertions)]
pub(super) fn step() {
    use std::sync::LazyLock;
    use std::sync::atomic::{AtomicU32, Ordering};
    static LAST: LazyLock<Option<u32>> =
        LazyLock::new(|| std::env::var("PYATTACH_DIE_AT_STEP").ok().and_then(|step| step.parse().ok()));
    static TAKEN: AtomicU32 = AtomicU32::new(0);
    let Some(last) = *LAST else { return };
    if TAKEN.fetch_add(1, Ordering::Relaxed) + 1 == last {
        let _ = nix::sys::signal::kill(nix::unistd::getpid(), nix::sys::signal::Signal::SIGKILL);
    }
}

#[cfg(not(debug_assertions))]
pub(super) fn step() {}
