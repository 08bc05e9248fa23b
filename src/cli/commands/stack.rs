//! `pyattach stack PID`.

use super::subprocesses;
use crate::base::{Problem, ProblemKind, display_safe};
use crate::cli::args::{FormatArg, LayoutArg, PauseChoice, StackArgs};
use crate::cli::failure::{Exit, Failure};
use crate::cli::use_color;
use crate::cpython::LayoutChoice;
use crate::interp::Pause;
use crate::objects::ValueLimits;
use crate::os::{OsError, Process, wait_for_interrupt, with_deadline};
use crate::report::format::{ShortNames, TextOptions, write_json, write_pyspy, write_refused, write_text};
use crate::report::{
    SampleOptions, SourceFiles, StackError, StackOptions, StackReport, Thread, refused, stack_samples,
};
use std::io::{self, Write};
use std::sync::Arc;
use std::time::Duration;

/// Names of threads that are offered instead of one that is not there.
const NAMES: usize = 20;
/// Longest time for reading source files: they may lie on a file system that hangs.
pub(super) const SOURCE_TIME: Duration = Duration::from_secs(3);

/// Reads and prints.
pub(in crate::cli) fn stack(args: &StackArgs, out: &mut dyn Write) -> Result<Exit, Failure> {
    let options = StackOptions {
        pause: pause_choice(args.reading.pause),
        max_pause: Duration::from_millis(args.reading.max_pause),
        timeout: args.timeout,
        layout: layout_choice(args.reading.layout),
        native_threads: args.native_threads,
        waits: !args.no_waits,
        locals: args.locals.then(|| value_limits(args)),
    };
    let format = args.format();
    if format == FormatArg::PySpy && (args.samples.is_some() || args.subprocesses || args.locals) {
        return Err(Failure::usage(
            "py-spy's format has no place for --samples, --subprocesses or --locals".to_owned(),
        ));
    }
    if args.subprocesses {
        return subprocesses::run(args, &options, out);
    }
    let read = match args.samples {
        None => crate::report::stack(args.pid, &options),
        // SIGINT ends the waiting here and the process everywhere else.
        Some(count) => {
            let samples = SampleOptions { count, interval: args.interval };
            stack_samples(args.pid, &options, samples, |time| !wait_for_interrupt(time))
        }
    };
    let mut report = match read {
        Err(StackError::Process(error @ OsError::Denied { .. })) => return Err(without_memory(error, args, out)),
        report => report?,
    };
    each_is_there(&report, args)?;
    select(&mut report, args)?;
    let exit = if report.is_complete() { Exit::Complete } else { Exit::Partial };
    let report = Arc::new(report);
    // Taking a large report apart takes longer than letting the kernel have its memory when we end.
    std::mem::forget(Arc::clone(&report));
    match format {
        FormatArg::Text => print(out, report, args),
        FormatArg::Json => write_json(out, &*report),
        FormatArg::PySpy => print_pyspy(out, report),
    }
    .map_err(Failure::output)?;
    Ok(exit)
}

pub(super) fn pause_choice(choice: PauseChoice) -> Pause {
    match choice {
        PauseChoice::Auto => Pause::Auto,
        PauseChoice::Never => Pause::Never,
        PauseChoice::Always => Pause::Always,
    }
}

pub(super) fn layout_choice(choice: LayoutArg) -> LayoutChoice {
    match choice {
        LayoutArg::Auto => LayoutChoice::Auto,
        LayoutArg::DebugOffsets => LayoutChoice::DebugOffsets,
        LayoutArg::Table => LayoutChoice::Table,
        LayoutArg::Dwarf => LayoutChoice::Dwarf,
    }
}

/// Prints what is known without the right to read memory.
fn without_memory(error: OsError, args: &StackArgs, out: &mut dyn Write) -> Failure {
    let report = match &error {
        OsError::Denied { pid, refusal } if args.format() != FormatArg::PySpy => refused(*pid, refusal, args.timeout),
        _ => None,
    };
    let Some(report) = report else { return error.into() };
    let printed = match args.format() {
        FormatArg::Json => write_json(out, &report),
        _ => write_refused(out, &report),
    };
    match printed.and_then(|()| out.flush()) {
        Ok(()) => Failure::from(error).after_a_part(),
        Err(error) => Failure::output(error),
    }
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
pub(super) fn select(report: &mut StackReport, args: &StackArgs) -> Result<(), Failure> {
    if !is_selection(args) {
        return Ok(());
    }
    let wanted = |thread: &Thread| {
        (args.main && thread.main == Some(true)) || args.thread.iter().any(|wanted| is_called(thread, wanted))
    };
    report.threads.retain(wanted);
    if let Some(samples) = &mut report.samples {
        samples.ended.retain(|ended| {
            args.thread.iter().any(|wanted| is_id(wanted, &ended.ident, [ended.tid, None], ended.name.as_deref()))
        });
    }
    let ended = report.samples.as_ref().is_some_and(|samples| !samples.ended.is_empty());
    match report.threads.is_empty() && !ended {
        true => Err(Failure::nothing_matches(format!("process {} has no such Python thread", args.pid))),
        false => Ok(()),
    }
}

/// One of several names that is mistyped must not go unnoticed.
fn each_is_there(report: &StackReport, args: &StackArgs) -> Result<(), Failure> {
    let is_there = |wanted: &&String| {
        let mut ended = report.samples.iter().flat_map(|samples| &samples.ended);
        report.threads.iter().any(|thread| is_called(thread, wanted))
            || ended.any(|ended| is_id(wanted, &ended.ident, [ended.tid, None], ended.name.as_deref()))
    };
    match args.thread.iter().find(|wanted| !is_there(wanted)) {
        Some(missing) => {
            let names = report.threads.iter().filter_map(|thread| thread.name.clone()).collect();
            Err(Failure::nothing_matches(no_such_thread(args.pid, missing, names)))
        }
        None => Ok(()),
    }
}

/// What threads there are instead of the one asked for.
fn no_such_thread(pid: i32, wanted: &str, mut names: Vec<String>) -> String {
    names.sort();
    names.dedup();
    let others = names.len().saturating_sub(NAMES);
    let mut names: Vec<String> = names.iter().take(NAMES).map(|name| format!("\"{}\"", display_safe(name))).collect();
    names.extend((others > 0).then(|| format!("{others} more")));
    let there = if names.is_empty() { String::new() } else { format!("; there are {}", names.join(", ")) };
    format!("process {pid} has no Python thread \"{}\"{there}", display_safe(wanted))
}

/// Not all threads are asked for.
pub(super) fn is_selection(args: &StackArgs) -> bool {
    !args.thread.is_empty() || args.main
}

/// By name also as the report shows it, without what a terminal would take for commands.
fn is_called(thread: &Thread, wanted: &str) -> bool {
    thread.name.as_deref().is_some_and(|name| *display_safe(name) == *wanted)
        || is_id(wanted, &thread.ident, [thread.tid, thread.ns_tid], thread.name.as_deref())
}

fn is_id(wanted: &str, ident: &str, tids: [Option<i32>; 2], name: Option<&str>) -> bool {
    let number = u64::from_str_radix(ident.trim_start_matches("0x"), 16).ok();
    name == Some(wanted)
        || tids.iter().flatten().any(|id| id.to_string() == wanted)
        || ident == wanted
        || number.is_some_and(|number| number.to_string() == wanted)
}

/// Prints py-spy's format, which has no place for problems: they go to standard error. Which directories are packages is looked
/// up on the way, so it is made in a thread that may hang, and without that if it does.
fn print_pyspy(out: &mut dyn Write, report: Arc<StackReport>) -> io::Result<()> {
    let problems = report.threads.iter().flat_map(|thread| &thread.problems).chain(&report.problems);
    for Problem { message, .. } in problems.filter(|problem| problem.kind != ProblemKind::Note) {
        eprintln!("problem: {}", display_safe(message));
    }
    let made = {
        let report = Arc::clone(&report);
        with_deadline(SOURCE_TIME, move || {
            let mut text = Vec::new();
            let mut names = ShortNames::of_process(report.process.pid);
            write_pyspy(&mut text, &report, Some(&mut names)).map(|()| text)
        })
    };
    match made {
        Some(text) => out.write_all(&text?),
        None => {
            eprintln!("problem: short_filename is null: looking for packages took longer than {SOURCE_TIME:?}");
            write_pyspy(out, &report, None)
        }
    }
}

/// Prints text. Source files are read on the way, so it is made in a thread that may hang, and without them if it does.
pub(super) fn print(out: &mut dyn Write, report: Arc<StackReport>, args: &StackArgs) -> io::Result<()> {
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
    let pid = report.process.pid;
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
