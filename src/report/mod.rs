//! What is said of a process: the model, how it is put together, and its formats.

mod attach;
mod build;
mod doctor;
mod event_loops;
mod exec;
pub mod format;
mod model;
mod ps;
mod refused;
mod samples;
mod shared;
mod source;
mod stack;
mod subprocesses;
mod tasks;
mod tree;
mod values;
mod wait;

pub use doctor::{Diagnosis, DoctorReport, doctor};
pub use exec::{
    ExecException, ExecExit, ExecOptions, ExecReport, ExecResult, ExecStatus, ExecThread, News, Watcher, exec,
};
pub use model::{
    Frame, FrameKind, Gil, Interpreter, NativeThread, ProcessReport, PythonReport, SnapshotMode, SnapshotReport,
    StackReport, Thread, Wait,
};
pub use ps::{PsOptions, PsProcess, PsPython, PsReport, ps};
pub use refused::{OsThread, RefusedReport, refused};
pub use samples::{EndedThread, Motion, MotionState, SampleOptions, Samples, stack_samples};
pub use source::{SourceFiles, SourceLine};
pub use stack::{StackError, StackOptions, stack};
pub use subprocesses::{ProcessError, ProcessStack, Reading, StacksReport, pythons_below, subprocesses};
pub use tasks::{
    AwaitKind, Awaiting, CreatedAt, EventLoop, ObjectId, Task, TaskException, TaskState, TasksReport, tasks,
};
