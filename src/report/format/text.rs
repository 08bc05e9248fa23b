//! The report for people: like Python's tracebacks, one a thread.

use super::fold::{Item, fold, items};
use super::frames::{FrameStyle, push_frame};
use super::{event_loops, motion, waits};
use crate::base::{Problem, ProblemKind, display_safe};
use crate::report::model::{ProcessReport, PythonReport, SnapshotMode, SnapshotReport, StackReport, Thread};
use crate::report::source::SourceFiles;
use std::io::{self, Write};

/// How to write it.
pub struct TextOptions<'s> {
    /// Innermost frame first.
    pub reverse: bool,
    /// Threads with the same stack become one.
    pub fold: bool,
    /// Frames shown of one stack; 0 for all.
    pub max_frames: usize,
    /// Colours and bold type.
    pub color: bool,
    /// Say how the interpreter was found and read.
    pub verbose: bool,
    /// Where source lines come from; `None` shows none.
    pub sources: Option<&'s mut SourceFiles>,
}

/// Names listed of threads that are shown as one.
const NAMES_SHOWN: usize = 8;
/// Bytes of frames that are collected before they are written.
const WRITTEN_AT_ONCE: usize = 16 << 10;

/// Writes the report.
pub fn write_text(out: &mut dyn Write, report: &StackReport, options: &mut TextOptions<'_>) -> io::Result<()> {
    write_head(out, report, options)?;
    for group in fold(&report.threads, options.fold) {
        writeln!(out)?;
        write_group(out, report, &group, options)?;
    }
    if let Some(ended) = report.samples.as_ref().and_then(|samples| motion::ended(samples, NAMES_SHOWN)) {
        writeln!(out, "\n{ended}")?;
    }
    write_native(out, report)?;
    if !report.problems.is_empty() {
        writeln!(out)?;
        write_problems(out, &report.problems, "", options.color)?;
    }
    Ok(())
}

fn write_head(out: &mut dyn Write, report: &StackReport, options: &TextOptions<'_>) -> io::Result<()> {
    write_process(out, &report.process)?;
    write_python(out, &report.python, &report.snapshot, options.verbose)?;
    if let Some(samples) = &report.samples {
        writeln!(out, "{}", motion::head(samples))?;
    }
    for interpreter in report.interpreters.iter().filter(|i| i.gc_collecting) {
        writeln!(out, "The garbage collector of interpreter {} is running", interpreter.id)?;
    }
    Ok(())
}

/// The lines on its interpreter, and on how it was read.
pub(super) fn write_python(
    out: &mut dyn Write,
    python: &PythonReport,
    snapshot: &SnapshotReport,
    verbose: bool,
) -> io::Result<()> {
    let mut traits = Vec::new();
    if python.free_threaded {
        traits.push("free-threaded");
    }
    if python.debug_build {
        traits.push("debug build");
    }
    let traits = if traits.is_empty() { String::new() } else { format!(" {}", traits.join(", ")) };
    writeln!(out, "CPython {}{traits} ({}), {}", python.version, display_safe(&python.module), how(snapshot))?;
    if verbose {
        writeln!(
            out,
            "Runtime at {} by {}; layout: {}",
            python.runtime_address,
            python.found_by,
            display_safe(&python.layout_source)
        )?;
    }
    Ok(())
}

/// The first line: which process.
pub(super) fn write_process(out: &mut dyn Write, process: &ProcessReport) -> io::Result<()> {
    let command = match process.cmdline.is_empty() {
        true => process.exe.clone().unwrap_or_default(),
        false => process.cmdline.join(" "),
    };
    let inside: Vec<String> = process.ns_pids.iter().skip(1).map(i32::to_string).collect();
    let inside = if inside.is_empty() { String::new() } else { format!(" (inside: {})", inside.join(", ")) };
    writeln!(out, "Process {}{inside}: {}", process.pid, display_safe(&command))
}

/// How it was read, in a few words.
fn how(snapshot: &SnapshotReport) -> String {
    let stopped = match snapshot.stopped_threads {
        1 => "1 thread".to_owned(),
        n => format!("{n} threads"),
    };
    let how = match snapshot.mode {
        SnapshotMode::None if snapshot.pause_us == 0 => "read without stopping it".to_owned(),
        SnapshotMode::None => format!("read without stopping it (stopped before for {} µs)", snapshot.pause_us),
        SnapshotMode::Holder | SnapshotMode::All => format!("{stopped} stopped for {} µs", snapshot.pause_us),
    };
    if snapshot.consistent { how } else { format!("{how}; NOT CONSISTENT") }
}

fn write_group(
    out: &mut dyn Write,
    report: &StackReport,
    group: &[&Thread],
    options: &mut TextOptions<'_>,
) -> io::Result<()> {
    let Some(thread) = group.first() else { return Ok(()) };
    let order = if options.reverse { "innermost frame first" } else { "most recent call last" };
    let (bold, plain) = if options.color { ("\x1b[1m", "\x1b[0m") } else { ("", "") };
    let title = match group.len() {
        1 => title(thread),
        n => format!("{n} threads with the same stack: {}", names(group)),
    };
    let state = state(report, thread) + &motion::of_group(group);
    writeln!(out, "{bold}{title}{plain}{state} ({order}):")?;
    for line in waits::lines(group) {
        writeln!(out, "  {line}")?;
    }
    for line in event_loops::lines(group) {
        writeln!(out, "  {line}")?;
    }
    if thread.frames.is_empty() {
        writeln!(out, "  no Python frame: it is not running Python code")?;
    }
    write_frames(out, thread, options)?;
    if let Some(exception) = &thread.exception {
        writeln!(out, "  Handling: {}", display_safe(&exception.repr))?;
    }
    write_problems(out, &thread.problems, "  ", options.color)
}

fn title(thread: &Thread) -> String {
    let id = match (thread.tid, thread.ns_tid) {
        (Some(tid), Some(own)) => format!("{tid} (inside: {own})"),
        (Some(tid), None) => tid.to_string(),
        (None, _) => format!("with ident {}", thread.ident),
    };
    match (&thread.name, &thread.os_name) {
        (Some(name), _) => format!("Thread {id} \"{}\"", display_safe(name)),
        (None, Some(os_name)) => format!("Thread {id} [{}]", display_safe(os_name)),
        (None, None) => format!("Thread {id}"),
    }
}

fn names(group: &[&Thread]) -> String {
    let name = |t: &&Thread| match (&t.name, t.tid) {
        (Some(name), Some(tid)) => format!("\"{}\" {tid}", display_safe(name)),
        (Some(name), None) => format!("\"{}\"", display_safe(name)),
        (None, Some(tid)) => tid.to_string(),
        (None, None) => t.ident.clone(),
    };
    let mut names: Vec<String> = group.iter().take(NAMES_SHOWN).map(name).collect();
    if group.len() > NAMES_SHOWN {
        names.push(format!("and {} more", group.len() - NAMES_SHOWN));
    }
    names.join(", ")
}

/// What is known of the thread's standing, as ", main thread, holds the GIL, asleep".
fn state(report: &StackReport, thread: &Thread) -> String {
    let mut words = Vec::new();
    if report.interpreters.len() > 1 {
        words.push(format!("interpreter {}", thread.interpreter));
    }
    if thread.main == Some(true) {
        words.push("main thread".to_owned());
    }
    if thread.daemon == Some(true) {
        words.push("daemon".to_owned());
    }
    match (thread.holds_gil, thread.waits_for_gil) {
        (Some(true), _) => words.push("holds the GIL".to_owned()),
        (_, Some(true)) => words.push("waits for the GIL".to_owned()),
        _ => {}
    }
    if thread.attached == Some(true) {
        words.push("attached".to_owned());
    }
    words.extend(thread.os_state.as_deref().map(state_word));
    if !thread.consistent {
        words.push("NOT PROVED".to_owned());
    }
    words.into_iter().map(|word| format!(", {word}")).collect()
}

/// A state letter of `/proc` in words (`proc_pid_stat(5)`).
pub(super) fn state_word(letter: &str) -> String {
    match letter {
        "R" => "running",
        "S" | "I" => "asleep",
        "D" => "in uninterruptible sleep",
        "T" => "stopped",
        "t" => "stopped by a tracer",
        "Z" | "X" => "ended",
        other => return format!("state {other}"),
    }
    .to_owned()
}

fn write_frames(out: &mut dyn Write, thread: &Thread, options: &mut TextOptions<'_>) -> io::Result<()> {
    let mut shown = items(&thread.frames, options.max_frames);
    if !options.reverse {
        shown.reverse();
        // A sum belongs behind the frames it sums up, in either order.
        let sums: Vec<usize> = (0..shown.len()).filter(|i| matches!(shown.get(*i), Some(Item::Repeated(_)))).collect();
        for at in sums {
            let behind = shown.get(at + 1..).unwrap_or_default();
            let run = behind.iter().take_while(|item| matches!(item, Item::Frame(_))).take(3).count();
            if let Some(part) = shown.get_mut(at..=at + run) {
                part.rotate_left(1);
            }
        }
    }
    let style = FrameStyle { indent: "", color: options.color };
    let mut text = String::new();
    for item in shown {
        if text.len() > WRITTEN_AT_ONCE {
            out.write_all(text.as_bytes())?;
            text.clear();
        }
        match item {
            Item::Frame(frame) => {
                let line = frame.line.and_then(|line| options.sources.as_mut()?.line(&frame.file, line));
                push_frame(&mut text, frame, line, style);
            }
            Item::Repeated(1) => text.push_str("  [the same frame once more]\n"),
            Item::Repeated(times) => text.push_str(&format!("  [the same frame {times} more times]\n")),
            Item::Elided(frames) => {
                text.push_str(&format!("  [{frames} frames not shown; --max-frames 0 shows all]\n"));
            }
        }
    }
    out.write_all(text.as_bytes())
}

fn write_native(out: &mut dyn Write, report: &StackReport) -> io::Result<()> {
    match &report.native_threads {
        Some(threads) if !threads.is_empty() => {
            writeln!(out, "\nThreads that Python knows nothing of:")?;
            for thread in threads {
                let name = display_safe(thread.os_name.as_deref().unwrap_or("?")).into_owned();
                let state = thread.os_state.as_deref().map(state_word).unwrap_or_default();
                writeln!(out, "  {} [{name}] {state}", thread.tid)?;
            }
            Ok(())
        }
        None if report.native_thread_count > 0 => writeln!(
            out,
            "\n{} more {} that Python knows nothing of; --native-threads lists them",
            report.native_thread_count,
            if report.native_thread_count == 1 { "thread" } else { "threads" }
        ),
        _ => Ok(()),
    }
}

pub(super) fn write_problems(out: &mut dyn Write, problems: &[Problem], indent: &str, color: bool) -> io::Result<()> {
    let (loud, plain) = if color { ("\x1b[33m", "\x1b[0m") } else { ("", "") };
    for problem in problems {
        let word = if problem.kind == ProblemKind::Note { "Note" } else { "Problem" };
        writeln!(out, "{indent}{loud}{word}: {}{plain}", display_safe(&problem.message))?;
    }
    Ok(())
}
