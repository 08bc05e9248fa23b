//! What a task waits for, before it is known who holds locks.

use crate::asyncio::{AwaitKind, Awaiting};
use crate::base::Addr;

/// A lock that a task waits for; who holds it is found for all of them together.
pub(super) struct WantedLock {
    pub(super) object: Addr,
    /// Somebody has it, as it says itself.
    pub(super) is_held: bool,
    /// Several may hold it.
    pub(super) is_shared: bool,
    /// What follows its holder in words.
    pub(super) after: String,
}

/// What a task waits for; of a lock the holder is still to be found.
pub(super) struct Reason {
    pub(super) awaiting: Awaiting,
    pub(super) lock: Option<WantedLock>,
    /// When it ends by itself, in the loop's time.
    pub(super) ends: Option<f64>,
}

impl Reason {
    pub(super) fn new(kind: AwaitKind, object: impl Into<Option<Addr>>, text: impl Into<String>) -> Reason {
        let awaiting = Awaiting {
            kind,
            object: object.into(),
            tasks: Vec::new(),
            text: text.into(),
            fd: None,
            seconds_left: None,
        };
        Reason { awaiting, lock: None, ends: None }
    }

    pub(super) fn with_tasks(mut self, tasks: Vec<Addr>) -> Reason {
        self.awaiting.tasks = tasks;
        self
    }

    pub(super) fn with_fd(mut self, fd: Option<i32>) -> Reason {
        self.awaiting.fd = fd;
        self
    }
}
