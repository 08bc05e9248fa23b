//! Reads what a running CPython process is doing, from outside: no code runs in it, nothing is written to it, and it is
//! stopped only where there is no other way to be right, usually for less than a millisecond. The one exception is
//! [`inject`], which runs a script inside at a safe point, and only where that is asked for.
//!
//! ```no_run
//! use pyattach::report::{StackOptions, stack};
//!
//! let report = stack(12345, &StackOptions::default())?;
//! for thread in &report.threads {
//!     println!("{:?}", thread.name);
//!     for frame in &thread.frames {
//!         println!("  {} at {}:{:?}", frame.function, frame.file, frame.line);
//!     }
//! }
//! # Ok::<(), pyattach::report::StackError>(())
//! ```
//!
//! [`report::stack`] does everything; the layers below can be used by themselves. Data flows one way:
//!
//! ```text
//! PID ─► os (reach it) ─► elf (what is mapped) ─► cpython (where things lie) ─► interp, asyncio (what is going on) ─► report (say it)
//!                               target (memory, read once) ─► objects (str, dict, …) ──┘
//! ```
//!
//! All that comes from the target is untrusted: reads are bounded, arithmetic on it is checked or wraps on purpose, circles
//! are found. What could not be read or proved is in the report, beside what could.

pub mod asyncio;
pub mod base;
#[cfg(feature = "cli")]
pub mod cli;
pub mod cpython;
pub mod elf;
pub mod inject;
pub mod interp;
pub mod objects;
pub mod os;
pub mod report;
pub mod target;
