//! A line a task.

use super::{Printer, words};
use crate::report::tasks::{Task, TaskState};
use std::io::{self, Write};

const TITLES: [&str; 6] = ["ID", "TID", "STATE", "NAME", "COROUTINE", "AT"];
/// Widest cell of each column, in characters; what is longer is cut.
const WIDEST: [usize; 6] = [18, 10, 10, 32, 32, 48];

/// Writes the loops, then the table.
pub(super) fn write(out: &mut dyn Write, printer: &Printer<'_>) -> io::Result<()> {
    let sections = printer.sections();
    for section in sections.iter().filter(|section| section.event_loop.is_some()) {
        writeln!(out)?;
        printer.write_loop(out, section)?;
    }
    if printer.tasks().is_empty() {
        return Ok(());
    }
    writeln!(out)?;
    let mut widths = TITLES.map(|title| title.chars().count());
    for task in printer.tasks() {
        for (width, cell) in widths.iter_mut().zip(cells(task)) {
            *width = (*width).max(cell.chars().count());
        }
    }
    write_row(out, &TITLES.map(str::to_owned), &widths, "WAITS FOR")?;
    for task in sections.iter().flat_map(|section| &section.tasks).filter_map(|number| printer.task(*number)) {
        write_row(out, &cells(task), &widths, &last_cell(task))?;
    }
    Ok(())
}

fn write_row(out: &mut dyn Write, cells: &[String; 6], widths: &[usize; 6], last: &str) -> io::Result<()> {
    for (cell, width) in cells.iter().zip(widths) {
        write!(out, "{cell:<width$}  ")?;
    }
    writeln!(out, "{last}")
}

fn cells(task: &Task) -> [String; 6] {
    let unknown = || "?".to_owned();
    let state = match task.state {
        TaskState::Pending => "pending",
        TaskState::Running => "running",
        TaskState::Finished => "finished",
        TaskState::Failed => "failed",
        TaskState::Cancelled => "cancelled",
    };
    let cells = [
        task.id.to_string(),
        task.tid.map_or_else(|| "-".to_owned(), |tid| tid.to_string()),
        state.to_owned(),
        task.name.as_ref().map_or_else(|| "-".to_owned(), |name| words::safe(name)),
        words::coroutine(task),
        words::telling_frame(task).map_or_else(unknown, |frame| words::place(frame)),
    ];
    let mut widest = WIDEST.iter();
    cells.map(|cell| cut(cell, *widest.next().unwrap_or(&usize::MAX)))
}

/// The end of what is too long: it tells more of a path, and of a numbered name.
fn cut(cell: String, widest: usize) -> String {
    match cell.chars().count() {
        chars if chars > widest => std::iter::once('…').chain(cell.chars().skip(chars + 1 - widest)).collect(),
        _ => cell,
    }
}

fn last_cell(task: &Task) -> String {
    let standing = words::standing(&[task]);
    let words = standing.trim_start_matches(", ");
    words.strip_prefix("waits for ").unwrap_or(words).to_owned()
}
