//! `pyattach tasks PID`.

use super::stack::{SOURCE_TIME, layout_choice, pause_choice};
use crate::cli::failure::{Exit, Failure};
use crate::cli::tasks_args::TasksArgs;
use crate::cli::use_color;
use crate::os::{Process, with_deadline};
use crate::report::format::{TasksText, TasksView, write_json, write_tasks};
use crate::report::{ObjectId, SourceFiles, StackOptions, Task, TasksReport, tasks as read};
use std::io::{self, Write};
use std::sync::Arc;
use std::time::Duration;

/// Reads and prints.
pub(in crate::cli) fn tasks(args: &TasksArgs, out: &mut dyn Write) -> Result<Exit, Failure> {
    let options = StackOptions {
        pause: pause_choice(args.reading.pause),
        max_pause: Duration::from_millis(args.reading.max_pause),
        timeout: args.timeout,
        layout: layout_choice(args.reading.layout),
        ..StackOptions::default()
    };
    let mut report = read(args.pid, &options)?;
    let exit = if report.is_complete() { Exit::Complete } else { Exit::Partial };
    let selected = select(&report, args)?;
    match args.json {
        true => {
            if !args.task.is_empty() {
                report.tasks.retain(|task| selected.contains(&task.id));
            }
            write_json(out, &report)
        }
        false => print(out, report, selected, args),
    }
    .map_err(Failure::output)?;
    Ok(exit)
}

/// The tasks that were asked for by name or id.
fn select(report: &TasksReport, args: &TasksArgs) -> Result<Vec<ObjectId>, Failure> {
    let wanted = |task: &&Task| args.task.iter().any(|wanted| is_called(task, wanted));
    let selected: Vec<ObjectId> = report.tasks.iter().filter(wanted).map(|task| task.id).collect();
    match selected.is_empty() && !args.task.is_empty() {
        true => Err(Failure::nothing_matches(format!("process {} has no such task", args.pid))),
        false => Ok(selected),
    }
}

/// By its name, or by its id, hexadecimal as shown here or decimal as `id()` gives it.
fn is_called(task: &Task, wanted: &str) -> bool {
    task.name.as_deref() == Some(wanted) || task.id.to_string() == wanted || task.id.0.0.to_string() == wanted
}

fn print(out: &mut dyn Write, report: TasksReport, selected: Vec<ObjectId>, args: &TasksArgs) -> io::Result<()> {
    let view = match (args.table, args.by_await, args.task.is_empty()) {
        (_, _, false) => TasksView::Full,
        (true, _, _) => TasksView::Table,
        (_, true, _) => TasksView::ByAwait,
        _ => TasksView::Tree,
    };
    let (color, verbose) = (use_color(args.color), args.verbose);
    let text = |selected, sources| TasksText { view, selected, color, verbose, sources };
    if view != TasksView::Full || args.no_source {
        return write_tasks(out, &report, text(&selected, None));
    }
    // Reading source files may hang.
    let (pid, report) = (report.process.pid, Arc::new((report, selected)));
    let with_sources = {
        let report = Arc::clone(&report);
        with_deadline(SOURCE_TIME, move || {
            let started = Process::open(pid).ok().and_then(|process| process.started());
            let mut sources = SourceFiles::of_process(pid, started);
            let options = TasksText { view, selected: &report.1, color, verbose, sources: Some(&mut sources) };
            let mut made = Vec::new();
            write_tasks(&mut made, &report.0, options).map(|()| made)
        })
    };
    match with_sources {
        Some(made) => out.write_all(&made?),
        None => {
            write_tasks(out, &report.0, text(&report.1, None))?;
            writeln!(out, "\nNote: source lines are left out: reading the files took longer than {SOURCE_TIME:?}")
        }
    }
}
