//! Linux: reaching a process. Nothing above this folder knows `ptrace`, `/proc` or a file descriptor of the target.

mod access;
mod cgroup;
mod error;
mod files;
mod many;
mod maps;
mod memory;
mod process;
pub mod processes;
mod stop;
#[allow(unsafe_code)]
mod sys;
mod tasks;
mod watchdog;

pub use access::{Check, Layer, Refusal, Verdict, absent, checks};
pub use cgroup::{Cgroup, parse_cgroup};
pub use error::OsError;
pub use files::open_as_seen_by;
pub use many::each_with_deadline;
pub use maps::{Module, Modules};
pub use memory::ProcessMemory;
pub use process::{Process, ProcessFacts};
pub use stop::{StopError, StopFailure, StopRequest, StoppedThread};
pub use sys::{share_heap, wait_for_interrupt};
pub use tasks::{Activity, Stillness, TaskStat, Tasks};
pub use watchdog::{Progress, with_deadline};
