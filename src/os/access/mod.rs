//! Which layer refuses access to a process: found by looking at what the kernel checks, in the order in which it checks it.
//!
//! [`Evidence`](evidence::Evidence) is what can be seen, `judge` makes [`Check`]s of it without looking at anything else.

mod absent;
mod advice;
mod check;
mod evidence;
mod judge;
mod status;

pub use check::{Check, Layer, Refusal, Verdict};
pub(super) use evidence::process_name;
pub(super) use status::{Status, read_proc};

use evidence::Evidence;

/// Looks at every layer between pyattach and the process, whether it refuses or not. Can block on a process in
/// uninterruptible sleep.
pub fn checks(pid: i32) -> Vec<Check> {
    judge::judge(&Evidence::look(pid))
}

/// Looks why `/proc` has no process of this number.
pub fn absent(pid: i32) -> Refusal {
    Refusal { checks: absent::absent(pid) }
}

impl Refusal {
    /// Looks for the layer that refuses access to `pid`.
    pub(super) fn find(pid: i32) -> Refusal {
        let mut checks = checks(pid);
        // The result of all the others; it does not say why.
        checks.retain(|check| check.layer != Layer::Memory);
        if checks.iter().all(|check| check.verdict != Verdict::Refuses) {
            let seen = "the kernel refused, and by now it would not: the process was changing";
            checks.push(Check::new(Layer::Memory, Verdict::Refuses, seen).with(vec!["try again".to_owned()]));
        }
        Refusal { checks }
    }
}
