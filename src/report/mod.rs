//! What is said of a process: the model, how it is put together, and its formats.

mod build;
pub mod format;
mod model;
mod shared;
mod source;
mod stack;
mod values;

pub use model::{
    Frame, FrameKind, Gil, Interpreter, NativeThread, ProcessReport, PythonReport, SnapshotMode, SnapshotReport,
    StackReport, Thread,
};
pub use source::{SourceFiles, SourceLine};
pub use stack::{StackError, StackOptions, stack};
