//! How a snapshot is to be taken.

use crate::objects::ValueLimits;
use crate::os::Reading;
use std::time::Duration;

/// Whether threads may be stopped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Pause {
    /// Where it is needed.
    #[default]
    Auto,
    /// Never: what cannot be proved consistent is marked.
    Never,
    /// All threads, always.
    Always,
}

/// What was stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Nothing.
    None,
    /// The threads that could have changed something.
    Holder,
    /// All threads.
    All,
}

/// How to take a snapshot.
#[derive(Clone, Copy, Debug)]
pub struct SnapshotOptions {
    /// Whether threads may be stopped.
    pub pause: Pause,
    /// Longest time a thread is kept stopped.
    pub max_pause: Duration,
    /// What to read of the kernel's threads on the way.
    pub tasks: Reading,
    /// How much to show of the values of local variables; `None`: nothing is read of them.
    pub values: Option<ValueLimits>,
}

impl Default for SnapshotOptions {
    fn default() -> SnapshotOptions {
        SnapshotOptions {
            pause: Pause::Auto,
            max_pause: Duration::from_millis(1000),
            tasks: Reading::StatAndActivity,
            values: None,
        }
    }
}
