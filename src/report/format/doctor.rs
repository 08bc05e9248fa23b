//! Findings for people: a line a layer, and below them what helps.

use crate::base::display_safe;
use crate::os::{Check, Verdict};
use crate::report::doctor::{Diagnosis, DoctorReport};
use std::io::{self, Write};

/// Writes the findings.
pub fn write_doctor(out: &mut dyn Write, report: &DoctorReport, color: bool) -> io::Result<()> {
    match &report.process {
        Some(process) => super::text::write_process(out, process)?,
        None => writeln!(out, "Process {}", report.pid)?,
    }
    for check in &report.checks {
        write_check(out, check, color)?;
    }
    writeln!(out, "\n{}", conclusion(report))?;
    let mut advice: Vec<&String> = Vec::new();
    for line in report.checks.iter().filter(|check| check.verdict != Verdict::Fine).flat_map(|check| &check.advice) {
        if !advice.contains(&line) {
            advice.push(line);
        }
    }
    if !advice.is_empty() {
        writeln!(out, "\nWhat helps:")?;
    }
    advice.into_iter().try_for_each(|line| writeln!(out, "  - {}", display_safe(line)))
}

fn write_check(out: &mut dyn Write, check: &Check, color: bool) -> io::Result<()> {
    let (word, paint) = match check.verdict {
        Verdict::Fine => ("fine", "\x1b[32m"),
        Verdict::Limits => ("limits", "\x1b[33m"),
        Verdict::Refuses => ("REFUSES", "\x1b[31m"),
        Verdict::Unknown => ("unknown", "\x1b[33m"),
    };
    let (paint, plain) = if color { (paint, "\x1b[0m") } else { ("", "") };
    writeln!(out, "  {paint}{word:<8}{plain} {:<15} {}", check.layer.to_string(), display_safe(&check.seen))
}

fn conclusion(report: &DoctorReport) -> &'static str {
    match report.diagnosis {
        Diagnosis::Fine => "All is fine: pyattach can read this process.",
        Diagnosis::Limits => "pyattach can read this process, with the limits above.",
        Diagnosis::Refused => "pyattach may not read this process.",
        Diagnosis::NoProcess => "There is no such process to be read from here.",
        Diagnosis::NotPython => "There is no Python to be read in this process.",
        Diagnosis::Unsupported => "pyattach does not read the Python of this process.",
        Diagnosis::Unknown => "What stands in the way could not be found out.",
    }
}
