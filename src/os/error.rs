//! What goes wrong between pyattach and a process.

use super::access::Refusal;

/// Why a process cannot be reached.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OsError {
    /// There is no such process.
    #[error("no process has the PID {0}")]
    NoSuchProcess(i32),
    /// The number names a thread.
    #[error("{tid} is a thread of process {pid}")]
    IsThread {
        /// The number that was given.
        tid: i32,
        /// The process it belongs to.
        pid: i32,
    },
    /// It has ended, its parent has not collected it.
    #[error("process {pid} ({name}) is a zombie: it has ended and waits for its parent {parent} to collect it")]
    Zombie {
        /// The process.
        pid: i32,
        /// Its name.
        name: String,
        /// Its parent.
        parent: i32,
    },
    /// A thread of the kernel.
    #[error("{pid} ({name}) is a thread of the kernel, it has no memory of its own")]
    KernelThread {
        /// The process.
        pid: i32,
        /// Its name.
        name: String,
    },
    /// It ended meanwhile.
    #[error("process {0} ended while it was being read")]
    Gone(i32),
    /// The kernel refused.
    #[error("the kernel refuses access to process {pid}: {refusal}")]
    Denied {
        /// The process.
        pid: i32,
        /// Which layer refused, as far as can be seen.
        refusal: Box<Refusal>,
    },
    /// A file of `/proc` could not be read or understood.
    #[error("{what}: {source}")]
    Proc {
        /// Which file.
        what: String,
        /// Why.
        source: std::io::Error,
    },
}
