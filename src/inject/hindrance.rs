//! What keeps a thread from being stopped at all, or from running anything afterwards: looked at before it is touched.

use crate::os::{Activity, Process, ThreadStatus, is_frozen, waits_for_vfork};

/// What kind of hindrance it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Obstacle {
    /// The thread has ended.
    Ended,
    /// The process is stopped, by `SIGSTOP` or from its terminal.
    Stopped,
    /// Somebody else traces the thread.
    Traced,
    /// Its control group is frozen.
    Frozen,
    /// It waits for a child that was made with `vfork`.
    Vfork,
    /// It is in uninterruptible sleep.
    Uninterruptible,
}

/// Why a thread cannot be used now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hindrance {
    /// What it is.
    pub obstacle: Obstacle,
    /// What it is and what to do about it, in words.
    pub text: String,
}

impl Hindrance {
    /// True when it may go away by itself soon.
    pub fn may_pass(&self) -> bool {
        matches!(self.obstacle, Obstacle::Vfork | Obstacle::Uninterruptible | Obstacle::Traced)
    }
}

/// Looks for a hindrance; `None` when there is none. To be called while we do not trace the thread ourselves. Never blocks.
pub fn hindrance(process: &Process, tid: i32) -> Option<Hindrance> {
    let Some(status) = ThreadStatus::read(process.pid, tid) else {
        return Some(Hindrance { obstacle: Obstacle::Ended, text: format!("thread {tid} has ended") });
    };
    let call = || match process.tasks().ok()?.activity(tid).ok()? {
        Activity::Call(call) => Some(call),
        _ => None,
    };
    let waits = status.state == 'D' && call().is_some_and(|call| waits_for_vfork(&call));
    judge(tid, status, waits, || is_frozen(process.pid))
}

fn judge(tid: i32, status: ThreadStatus, vfork: bool, frozen: impl Fn() -> bool) -> Option<Hindrance> {
    let (obstacle, text) = match status.state {
        'Z' | 'X' => (Obstacle::Ended, format!("thread {tid} has ended")),
        _ if status.tracer != 0 => {
            let tracer = status.tracer;
            (Obstacle::Traced, format!("thread {tid} is traced by process {tracer}: a thread can have one tracer only"))
        }
        _ if frozen() => {
            (Obstacle::Frozen, "its control group is frozen: nothing in it runs until it is thawed".to_owned())
        }
        'T' => {
            let text = "the process is stopped (SIGSTOP, or Ctrl-Z): nothing runs in it until it gets SIGCONT";
            (Obstacle::Stopped, text.to_owned())
        }
        'D' if vfork => {
            let text =
                format!("thread {tid} waits for a child made by vfork, which uses its memory, to run its program");
            (Obstacle::Vfork, text)
        }
        'D' => {
            let text = format!("thread {tid} is in uninterruptible sleep, as for a disk or a network file system");
            (Obstacle::Uninterruptible, text)
        }
        _ => return None,
    };
    Some(Hindrance { obstacle, text })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_in_the_way_is_named() {
        let status = |state, tracer| ThreadStatus { state, tracer, seccomp: 0, shadow_stack: false };
        let found = |status, vfork, frozen: bool| judge(7, status, vfork, || frozen).map(|found| found.obstacle);
        assert_eq!(found(status('S', 0), false, false), None);
        assert_eq!(found(status('R', 0), false, false), None);
        assert_eq!(found(status('T', 0), false, false), Some(Obstacle::Stopped));
        assert_eq!(found(status('t', 9), false, false), Some(Obstacle::Traced));
        assert_eq!(found(status('Z', 0), false, false), Some(Obstacle::Ended));
        assert_eq!(found(status('D', 0), true, false), Some(Obstacle::Vfork));
        assert_eq!(found(status('D', 0), false, false), Some(Obstacle::Uninterruptible));
        assert_eq!(found(status('D', 0), false, true), Some(Obstacle::Frozen));
        assert!(judge(7, status('t', 9), false, || false).unwrap().text.contains("traced by process 9"));
    }
}
