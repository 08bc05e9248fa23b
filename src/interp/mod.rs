//! What an interpreter is doing: its interpreters, threads, GIL, frames, code objects and line tables.
//!
//! [`collect`] reads all of it in one pass over a [`Cache`](crate::target::Cache) and returns plain values. It knows nothing
//! of stopping or proving; [`snapshot`] calls it at a moment of which it can show that nothing moved.

mod code;
mod collect;
mod frame_objects;
mod frames;
mod gil;
mod hold;
mod ids;
mod lines;
mod locals;
mod lock_search;
mod names;
mod native_ids;
mod one_thread;
mod snapshot;
mod threads;
mod walk;

pub use code::{Code, CodeKind};
pub use collect::{RawFrame, RawInterpreter, RawThread, World, collect};
pub use gil::GilState;
pub use lines::{Position, position};
pub use locals::{LocalKind, RawException, RawLocal};
pub use lock_search::{FutexWait, Lock, LockKind, find_locks};
pub use names::ThreadName;
pub use one_thread::{ThreadView, main_thread_id, view_thread};
pub use snapshot::{Mode, Pause, Snapshot, SnapshotError, SnapshotOptions, snapshot};
pub use walk::Entry;
