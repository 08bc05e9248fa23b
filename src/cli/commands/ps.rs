//! `pyattach ps`.

use crate::cli::args::PsArgs;
use crate::cli::failure::{Exit, Failure};
use crate::report::format::{write_json, write_ps};
use crate::report::{PsOptions, ps as list};
use std::io::Write;

/// Lists and prints.
pub(in crate::cli) fn ps(args: &PsArgs, out: &mut dyn Write) -> Result<Exit, Failure> {
    let report = list(&PsOptions { each: args.timeout, ..PsOptions::default() })?;
    if args.json { write_json(out, &report) } else { write_ps(out, &report) }.map_err(Failure::output)?;
    Ok(if report.is_complete() { Exit::Complete } else { Exit::Partial })
}
