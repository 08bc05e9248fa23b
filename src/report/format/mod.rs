//! Formats of a report, one file each.

mod fold;
mod frames;
mod text;

pub use text::{TextOptions, write_text};

use super::model::StackReport;
use std::io::{self, Write};

/// Writes the report as one JSON document.
pub fn write_json(out: &mut dyn Write, report: &StackReport) -> io::Result<()> {
    // In one piece: a writer would be called once a token.
    let mut document = serde_json::to_vec(report).map_err(io::Error::from)?;
    document.push(b'\n');
    out.write_all(&document)
}
