//! Everything on each task: its coroutines like a traceback, what it waits for, who waits for it.

use super::{Printer, words};
use crate::base::display_safe;
use crate::report::format::frames::{FrameStyle, push_frame};
use crate::report::source::SourceFiles;
use crate::report::tasks::{ObjectId, Task, TaskState};
use std::io::{self, Write};

/// Tasks listed of those that wait for one, and frames of one stack.
const SHOWN: usize = 50;
const FRAMES_SHOWN: usize = 200;

/// Writes them one after the other.
pub(super) fn write(
    out: &mut dyn Write,
    printer: &Printer<'_>,
    selected: &[ObjectId],
    mut sources: Option<&mut SourceFiles>,
) -> io::Result<()> {
    let tasks = selected.iter().filter_map(|id| printer.task(*printer.places.get(&id.0)?));
    for task in tasks {
        writeln!(out)?;
        write_task(out, printer, task, sources.as_deref_mut())?;
    }
    Ok(())
}

fn write_task(
    out: &mut dyn Write,
    printer: &Printer<'_>,
    task: &Task,
    mut sources: Option<&mut SourceFiles>,
) -> io::Result<()> {
    let (bold, plain) = printer.bold();
    let name = task.name.as_ref().map(|name| format!(" \"{}\"", display_safe(name))).unwrap_or_default();
    let state = match task.state {
        TaskState::Pending => "pending",
        TaskState::Running => "running",
        TaskState::Finished => "finished",
        TaskState::Failed => "failed",
        TaskState::Cancelled => "cancelled",
    };
    writeln!(out, "{bold}Task{name}{plain} at {} ({}), {state}", task.id, words::safe(&task.class))?;
    write_loop(out, printer, task)?;
    match task.coroutine_stack.len() {
        0 => writeln!(out, "  no coroutine that could be read")?,
        _ => writeln!(out, "  Stack (innermost await last):")?,
    }
    let hidden = task.coroutine_stack.len().saturating_sub(FRAMES_SHOWN);
    if hidden > 0 {
        writeln!(out, "  [{hidden} outer frames not shown; --json has all]")?;
    }
    let style = FrameStyle { indent: "  ", color: false };
    let mut stack = String::new();
    for frame in task.coroutine_stack.iter().take(FRAMES_SHOWN).rev() {
        let line = frame.line.and_then(|line| sources.as_mut()?.line(&frame.file, line));
        push_frame(&mut stack, frame, line, style);
    }
    out.write_all(stack.as_bytes())?;
    write_standing(out, printer, task)?;
    if !task.created_at.is_empty() {
        writeln!(out, "  Created (most recent call last):")?;
    }
    for at in task.created_at.iter().rev() {
        let (file, function) = (display_safe(&at.file), display_safe(&at.function));
        writeln!(out, "    File \"{file}\", line {}, in {function}", at.line)?;
    }
    for problem in &task.problems {
        writeln!(out, "  Problem: {}", display_safe(&problem.message))?;
    }
    Ok(())
}

fn write_loop(out: &mut dyn Write, printer: &Printer<'_>, task: &Task) -> io::Result<()> {
    let Some(id) = task.event_loop else { return Ok(()) };
    let event_loop = printer.report.loops.iter().find(|each| each.id == id);
    match event_loop.and_then(|each| each.thread.as_ref()) {
        Some(thread) => writeln!(out, "  Loop: {id} in {}", words::thread(thread)),
        None => writeln!(out, "  Loop: {id}"),
    }
}

fn write_standing(out: &mut dyn Write, printer: &Printer<'_>, task: &Task) -> io::Result<()> {
    if let Some(awaiting) = &task.awaiting {
        let id = awaiting.id.map(|id| format!(" [{id}]")).unwrap_or_default();
        writeln!(out, "  Waits for: {}{id}", display_safe(&awaiting.text))?;
    }
    if let Some(exception) = &task.exception {
        let asked = if exception.retrieved { "" } else { "; nobody has asked for it" };
        writeln!(out, "  Exception: {}{asked}", display_safe(&exception.repr))?;
    }
    if task.ignores_cancellation() {
        let requests = words::count(task.cancel_requests.unwrap_or(0), "request");
        writeln!(out, "  Cancellation: {requests}, and still not ended")?;
    } else if task.must_cancel && task.is_alive() {
        writeln!(out, "  Cancellation: at its next turn")?;
    }
    let number = printer.places.get(&task.id.0).copied();
    let awaited: Vec<ObjectId> = match number {
        Some(number) => printer.graph.awaits(number).iter().filter_map(|n| Some(printer.task(*n)?.id)).collect(),
        None => Vec::new(),
    };
    let of_awaiting = task.awaiting.iter().flat_map(|awaiting| awaiting.tasks.iter().copied());
    let unlisted = of_awaiting.filter(|id| !awaited.contains(id)).collect::<Vec<_>>();
    write_tasks(out, printer, "Waits for the tasks", &[awaited, unlisted].concat())?;
    write_tasks(out, printer, "Awaited by", &task.awaited_by)
}

fn write_tasks(out: &mut dyn Write, printer: &Printer<'_>, title: &str, ids: &[ObjectId]) -> io::Result<()> {
    if ids.is_empty() {
        return Ok(());
    }
    writeln!(out, "  {title}:")?;
    for id in ids.iter().take(SHOWN) {
        match printer.places.get(&id.0).and_then(|place| printer.task(*place)) {
            Some(task) => {
                let (name, at) = (words::name(task), words::coroutine_at(task));
                writeln!(out, "    {name} {at}{} [{id}]", words::standing(&[task]))?;
            }
            None => writeln!(out, "    task {id}")?,
        }
    }
    match ids.len().saturating_sub(SHOWN) {
        0 => Ok(()),
        more => writeln!(out, "    … and {more} more"),
    }
}
