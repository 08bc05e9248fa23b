//! `pyattach stack PID --subprocesses`: one report after the other.

use super::stack::{is_selection, print, select};
use crate::base::display_safe;
use crate::cli::args::{FormatArg, StackArgs};
use crate::cli::failure::{Exit, Failure, stack_failure};
use crate::report::format::{write_json, write_refused};
use crate::report::{ProcessStack, Reading, StackOptions, StacksReport, subprocesses};
use std::io::{self, Write};
use std::sync::Arc;

/// Reads and prints.
pub(super) fn run(args: &StackArgs, options: &StackOptions, out: &mut dyn Write) -> Result<Exit, Failure> {
    let mut report = subprocesses(args.pid, options)?;
    let exit = exit_code(&report.processes);
    if is_selection(args) {
        choose(&mut report, args)?;
    }
    if args.format() == FormatArg::Json { write_json(out, &report) } else { write(out, report, args) }
        .map_err(Failure::output)?;
    Ok(exit)
}

/// Leaves the threads that were asked for, and the processes that have any.
fn choose(report: &mut StacksReport, args: &StackArgs) -> Result<(), Failure> {
    report.processes.retain_mut(|process| match &mut process.stack {
        Some(Reading::Stack(stack)) => select(stack, args).is_ok(),
        _ => false,
    });
    match report.processes.is_empty() {
        true => Err(Failure::nothing_matches(format!("no process from {} on has such a Python thread", args.pid))),
        false => Ok(()),
    }
}

/// Complete when all are. Partial when some are not. When none has a result, the code of the process that was asked for. That
/// this one is no Python (a shell, a supervisor) does not count when a process below it is.
fn exit_code(processes: &[ProcessStack]) -> Exit {
    let has_stacks = |process: &ProcessStack| matches!(process.stack, Some(Reading::Stack(_)));
    let is_fine = |process: &ProcessStack| match (&process.stack, &process.error) {
        (Some(Reading::Stack(stack)), None) => stack.is_complete(),
        (_, Some(error)) => error.kind == "not_python",
        _ => false,
    };
    let first = processes.first().and_then(|process| process.error.as_ref());
    match first {
        _ if processes.iter().any(has_stacks) => {
            if processes.iter().all(is_fine) {
                Exit::Complete
            } else {
                Exit::Partial
            }
        }
        _ if processes.iter().any(|process| process.stack.is_some()) => Exit::Partial,
        Some(error) => stack_failure(&error.error).0,
        None => Exit::Failure,
    }
}

fn write(out: &mut dyn Write, report: StacksReport, args: &StackArgs) -> io::Result<()> {
    for (number, process) in report.processes.into_iter().enumerate() {
        if number > 0 {
            writeln!(out, "\n")?;
        }
        match process.stack {
            Some(Reading::Stack(stack)) => print(out, Arc::new(*stack), args)?,
            Some(Reading::Refused(stack)) => write_refused(out, &stack)?,
            None => writeln!(out, "Process {}", process.pid)?,
        }
        if let Some(error) = process.error {
            writeln!(out, "Not read: {}", display_safe(&error.message))?;
            error.advice.iter().try_for_each(|line| writeln!(out, "hint: {}", display_safe(line)))?;
        }
    }
    match report.unseen_count {
        0 => Ok(()),
        n => writeln!(out, "\n{n} other processes below it could not be looked at: access is refused"),
    }
}
