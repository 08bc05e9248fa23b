//! Linux: reaching a process. Nothing above this folder knows `ptrace`, `/proc` or a file descriptor of the target.

mod access;
mod cgroup;
mod control;
mod descriptors;
mod detour;
mod error;
mod files;
mod many;
mod maps;
mod memory;
mod others;
mod process;
pub mod processes;
mod registers;
mod sockets;
mod steps;
mod stop;
#[allow(unsafe_code)]
mod sys;
mod syscall_tables;
mod syscalls;
mod tasks;
mod thread_status;
mod timers;
mod watchdog;
mod write;

pub use access::{Check, Layer, Refusal, Verdict, absent, checks};
pub use cgroup::{Cgroup, parse_cgroup};
pub use control::{Control, Held, Stopping};
pub use descriptors::{FileInfo, FileKind, file_info, file_of};
pub use detour::{NR_SIGRETURN, SUPPORTED};
pub use error::OsError;
pub use files::open_as_seen_by;
pub use many::each_with_deadline;
pub use maps::{CodeFrom, CodeRange, MainStack, Module, Modules};
pub use memory::ProcessMemory;
pub use others::{PipeEnd, children, command, file_lock_holder, id_at_level, innermost_id, parent, pipe_holders};
pub use process::{Process, ProcessFacts};
pub use registers::Registers;
pub use sockets::{Socket, find_sockets};
pub use stop::{StopError, StopFailure, StopRequest, StoppedThread};
pub use sys::{share_heap, wait_for_interrupt};
pub use syscalls::{Activity, Call};
pub use tasks::{CpuUse, Reading, Stillness, TaskStat, Tasks};
pub use thread_status::{
    ThreadStatus, descriptor_limits, is_frozen, may_suspend_seccomp, stack_limit, waits_for_vfork,
};
pub use timers::SharpTimers;
pub use watchdog::{Progress, with_deadline};
pub use write::MemoryWriter;
