//! `pyattach stack PID`.

use crate::cli::args::{LayoutArg, PauseChoice, StackArgs};
use crate::cli::failure::{Exit, Failure};
use crate::cli::use_color;
use crate::cpython::LayoutChoice;
use crate::interp::Pause;
use crate::objects::ValueLimits;
use crate::os::{Process, with_deadline};
use crate::report::format::{TextOptions, write_json, write_text};
use crate::report::{SourceFiles, StackOptions, StackReport, Thread};
use std::io::{self, Write};
use std::sync::Arc;
use std::time::Duration;

/// Longest time for reading source files: they may lie on a file system that hangs.
const SOURCE_TIME: Duration = Duration::from_secs(3);

/// Reads and prints.
pub(in crate::cli) fn stack(args: &StackArgs, out: &mut dyn Write) -> Result<Exit, Failure> {
    let options = StackOptions {
        pause: match args.pause {
            PauseChoice::Auto => Pause::Auto,
            PauseChoice::Never => Pause::Never,
            PauseChoice::Always => Pause::Always,
        },
        max_pause: Duration::from_millis(args.max_pause),
        timeout: args.timeout,
        layout: match args.layout {
            LayoutArg::Auto => LayoutChoice::Auto,
            LayoutArg::DebugOffsets => LayoutChoice::DebugOffsets,
            LayoutArg::Table => LayoutChoice::Table,
            LayoutArg::Dwarf => LayoutChoice::Dwarf,
        },
        native_threads: args.native_threads,
        locals: args.locals.then(|| value_limits(args)),
    };
    let mut report = crate::report::stack(args.pid, &options)?;
    select(&mut report, args)?;
    let exit = if report.is_complete() { Exit::Complete } else { Exit::Partial };
    if args.json { write_json(out, &report) } else { print(out, Arc::new(report), args) }.map_err(Failure::output)?;
    Ok(exit)
}

fn value_limits(args: &StackArgs) -> ValueLimits {
    ValueLimits {
        depth: args.locals_depth.into(),
        items: args.locals_items.into(),
        chars: args.locals_chars as usize,
        show_secrets: args.show_secrets,
    }
}

/// Leaves the threads that were asked for.
fn select(report: &mut StackReport, args: &StackArgs) -> Result<(), Failure> {
    if args.thread.is_empty() && !args.main {
        return Ok(());
    }
    let wanted = |thread: &Thread| {
        (args.main && thread.main == Some(true)) || args.thread.iter().any(|wanted| is_called(thread, wanted))
    };
    report.threads.retain(wanted);
    match report.threads.is_empty() {
        true => Err(Failure::nothing_matches(format!("process {} has no such Python thread", args.pid))),
        false => Ok(()),
    }
}

fn is_called(thread: &Thread, wanted: &str) -> bool {
    let ident = u64::from_str_radix(thread.ident.trim_start_matches("0x"), 16).ok();
    let id = |id: Option<i32>| id.is_some_and(|id| id.to_string() == wanted);
    thread.name.as_deref() == Some(wanted)
        || id(thread.tid)
        || id(thread.ns_tid)
        || thread.ident == wanted
        || ident.is_some_and(|ident| ident.to_string() == wanted)
}

/// Prints text. Source files are read on the way, so it is made in a thread that may hang, and without them if it does.
fn print(out: &mut dyn Write, report: Arc<StackReport>, args: &StackArgs) -> io::Result<()> {
    let format = Format {
        reverse: args.reverse,
        fold: !args.no_fold,
        max_frames: args.max_frames,
        color: use_color(args.color),
        verbose: args.verbose,
    };
    if args.no_source {
        return format.write(out, &report, None);
    }
    let pid = args.pid;
    let with_sources = {
        let report = Arc::clone(&report);
        with_deadline(SOURCE_TIME, move || {
            let started = Process::open(pid).ok().and_then(|process| process.started());
            let mut text = Vec::new();
            format.write(&mut text, &report, Some(&mut SourceFiles::of_process(pid, started))).map(|()| text)
        })
    };
    match with_sources {
        Some(text) => out.write_all(&text?),
        None => {
            format.write(out, &report, None)?;
            writeln!(out, "\nNote: source lines are left out: reading the files took longer than {SOURCE_TIME:?}")
        }
    }
}

/// The options of the text format that do not borrow.
#[derive(Clone, Copy)]
struct Format {
    reverse: bool,
    fold: bool,
    max_frames: usize,
    color: bool,
    verbose: bool,
}

impl Format {
    fn write(self, out: &mut dyn Write, report: &StackReport, sources: Option<&mut SourceFiles>) -> io::Result<()> {
        let mut options = TextOptions {
            reverse: self.reverse,
            fold: self.fold,
            max_frames: self.max_frames,
            color: self.color,
            verbose: self.verbose,
            sources,
        };
        write_text(out, report, &mut options)
    }
}
