//! Formats of a report, one file each.

mod doctor;
mod event_loops;
mod exec;
mod fold;
mod frames;
mod motion;
mod ps;
mod pyspy;
mod refused;
mod tasks;
mod text;
mod tokens;
mod waits;

pub use doctor::write_doctor;
pub use exec::write_exec;
pub use ps::write_ps;
pub use pyspy::{ShortNames, write_pyspy};
pub use refused::write_refused;
pub use tasks::{TasksText, TasksView, write_tasks};
pub use text::{TextOptions, write_text};

use super::shared::with_shared_frames;
use serde::Serialize;
use std::io::{self, Write};
use tokens::TokenBuffer;

/// Writes the report as one JSON document.
pub fn write_json(out: &mut dyn Write, report: &impl Serialize) -> io::Result<()> {
    // The buffer takes tokens without a call through `dyn`, and large reports need no memory of their size.
    let mut buffer = TokenBuffer::new(out);
    with_shared_frames(|| serde_json::to_writer(&mut buffer, report)).map_err(io::Error::from)?;
    buffer.write_all(b"\n")?;
    buffer.flush()
}
