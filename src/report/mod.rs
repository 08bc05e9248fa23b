//! What is said of a process: the model, how it is put together, and its formats.

mod build;
pub mod format;
mod model;
mod samples;
mod shared;
mod source;
mod stack;

pub use model::{
    Frame, FrameKind, Gil, Interpreter, NativeThread, ProcessReport, PythonReport, SnapshotMode, SnapshotReport,
    StackReport, Thread,
};
pub use samples::{EndedThread, Motion, MotionState, SampleOptions, Samples, stack_samples};
pub use source::{SourceFiles, SourceLine};
pub use stack::{StackError, StackOptions, stack};
