//! What an interpreter is doing: its interpreters, threads, GIL, frames, code objects and line tables.
//!
//! [`collect`] reads all of it in one pass over a [`Cache`](crate::target::Cache) and returns plain values. It knows nothing
//! of stopping or proving; [`snapshot`] calls it at a moment of which it can show that nothing moved.

mod along;
mod code;
mod collect;
mod curtain;
mod frame_objects;
mod frames;
mod generators;
mod gil;
mod hold;
mod ids;
mod known;
mod lines;
mod locals;
mod lock_search;
mod names;
mod native_ids;
mod one_thread;
mod options;
mod snapshot;
mod taken;
mod threads;
mod variables;
mod walk;

pub use along::Along;
pub use code::{Code, CodeKind};
pub use collect::{RawFrame, RawInterpreter, RawThread, World, collect};
pub(crate) use collect::{finish_frame, read_codes, read_modules};
pub(crate) use generators::{GeneratorState, generator_extent, read_generator};
pub use gil::GilState;
pub use lines::{Position, position};
pub use locals::{LocalKind, RawException, RawLocal};
pub use lock_search::{FutexWait, Lock, LockKind, find_locks};
pub use names::ThreadName;
pub use one_thread::{ThreadView, main_thread_id, view_thread};
pub use options::{Mode, Pause, SnapshotOptions};
pub use snapshot::snapshot;
pub use taken::{Snapshot, SnapshotError};
pub use variables::Variables;
pub use walk::Entry;
pub(crate) use walk::{CircleGuard, FrameRef};
