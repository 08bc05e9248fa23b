//! For people, what became of a script. What it printed was shown as it came.

use super::text::{TextOptions, write_text};
use crate::base::display_safe;
use crate::report::exec::{ExecReport, ExecStatus};
use std::io::{self, Write};

/// Writes all but the script's own output and the value.
pub fn write_exec(out: &mut dyn Write, report: &ExecReport, verbose: bool) -> io::Result<()> {
    if let Some(exception) = &report.exception {
        write_lines(out, &exception.traceback)?;
    }
    if let Some(message) =
        report.exit.as_ref().filter(|exit| exit.code.is_none()).and_then(|exit| exit.message.as_ref())
    {
        write_lines(out, message)?;
    }
    for signal in &report.signals {
        writeln!(
            out,
            "pyattach: signal {signal} came while the script ran, and its handler threw: it was sent to the process again"
        )?;
    }
    match report.status {
        ExecStatus::Planned => write_plan(out, report)?,
        _ => {
            if let Some(reason) = &report.reason {
                writeln!(out, "pyattach: {}", display_safe(reason))?;
            }
        }
    }
    for problem in &report.problems {
        writeln!(out, "problem: {}", display_safe(&problem.message))?;
    }
    if verbose && report.status != ExecStatus::Planned {
        write_numbers(out, report)?;
    }
    if let Some(stack) = &report.stack {
        writeln!(out, "\nWhere its threads are now:\n")?;
        let mut options =
            TextOptions { reverse: false, fold: true, max_frames: 30, color: false, verbose: false, sources: None };
        write_text(out, stack, &mut options)?;
    }
    Ok(())
}

/// Lines of the target's, each made safe for a terminal.
fn write_lines(out: &mut dyn Write, text: &str) -> io::Result<()> {
    text.split('\n').try_for_each(|line| writeln!(out, "{}", display_safe(line)))
}

fn write_plan(out: &mut dyn Write, report: &ExecReport) -> io::Result<()> {
    match (report.route, &report.why, &report.reason) {
        (Some(route), why, _) => {
            let why = why.as_deref().unwrap_or_default();
            writeln!(out, "Route: {route}: {}", display_safe(why))?;
            writeln!(out, "It would:")?;
            report.would.iter().try_for_each(|step| writeln!(out, "  - {step}"))?;
        }
        (None, _, Some(reason)) => writeln!(out, "Now {}", display_safe(reason))?,
        (None, _, None) => {}
    }
    writeln!(out, "Nothing was changed.")
}

fn write_numbers(out: &mut dyn Write, report: &ExecReport) -> io::Result<()> {
    let mut words = Vec::new();
    if let Some(route) = report.route {
        words.push(format!("route {route}"));
    }
    if let Some(thread) = &report.thread {
        let tid = thread.tid.map_or_else(String::new, |tid| format!(" {tid}"));
        let name = thread.name.as_deref().map_or_else(String::new, |name| format!(" \"{}\"", display_safe(name)));
        words.push(format!("thread{tid}{name}"));
    }
    if let Some(time) = report.waited_ms {
        words.push(format!("waited {time:.1} ms"));
    }
    if let Some(time) = report.ran_ms {
        words.push(format!("ran {time:.1} ms"));
    }
    if let Some(time) = report.paused_us {
        words.push(format!("main thread borrowed for {time} µs"));
    }
    if words.is_empty() { Ok(()) } else { writeln!(out, "pyattach: {}", words.join(", ")) }
}
