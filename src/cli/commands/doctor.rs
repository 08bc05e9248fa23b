//! `pyattach doctor PID`.

use crate::cli::args::DoctorArgs;
use crate::cli::failure::{Exit, Failure};
use crate::cli::use_color;
use crate::report::format::{write_doctor, write_json};
use crate::report::{Diagnosis, doctor as examine};
use std::io::Write;

/// Looks and prints. The exit code is the one that `stack` would end with if it had nothing to show.
pub(in crate::cli) fn doctor(args: &DoctorArgs, out: &mut dyn Write) -> Result<Exit, Failure> {
    let report = examine(args.pid, args.timeout);
    let printed = if args.json { write_json(out, &report) } else { write_doctor(out, &report, use_color(args.color)) };
    printed.map_err(Failure::output)?;
    Ok(match report.diagnosis {
        Diagnosis::Fine | Diagnosis::Limits => Exit::Complete,
        Diagnosis::Refused => Exit::Permission,
        Diagnosis::NoProcess | Diagnosis::NotPython => Exit::NoPython,
        Diagnosis::Unsupported => Exit::Unsupported,
        _ => Exit::Failure,
    })
}
