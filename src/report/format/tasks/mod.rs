//! The report on tasks for people, in the view that was asked for.

mod by_await;
mod fold;
mod one;
mod table;
#[cfg(test)]
mod tests;
mod tree;
mod words;

use super::text::{write_problems, write_process, write_python};
use crate::base::AddrMap;
use crate::report::source::SourceFiles;
use crate::report::tasks::graph::Graph;
use crate::report::tasks::{AwaitKind, EventLoop, ObjectId, Task, TasksReport};
use std::io::{self, Write};

/// What to show of the tasks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TasksView {
    /// Who waits for whom.
    #[default]
    Tree,
    /// A line a task.
    Table,
    /// Together those that wait at the same line for the same thing.
    ByAwait,
    /// Everything on each of those selected.
    Full,
}

/// How to write it.
#[derive(Default)]
pub struct TasksText<'s> {
    /// What to show.
    pub view: TasksView,
    /// The tasks that the full view shows.
    pub selected: &'s [ObjectId],
    /// Colours and bold type.
    pub color: bool,
    /// Say how the interpreter was found and read.
    pub verbose: bool,
    /// Where source lines come from, which only the full view shows.
    pub sources: Option<&'s mut SourceFiles>,
}

/// Longest circle that is shown with all its tasks.
const CIRCLE_SHOWN: usize = 8;

/// Writes the report.
///
/// # Errors
/// Those of writing.
pub fn write_tasks(out: &mut dyn Write, report: &TasksReport, options: TasksText<'_>) -> io::Result<()> {
    write_process(out, &report.process)?;
    write_python(out, &report.python, &report.snapshot, options.verbose)?;
    let graph = Graph::of(&report.tasks);
    let places = report.tasks.iter().enumerate().map(|(place, task)| (task.id.0, place as u32)).collect();
    let printer = Printer { report, graph, places, color: options.color };
    printer.write_circles(out)?;
    match options.view {
        TasksView::Tree => tree::write(out, &printer)?,
        TasksView::Table => table::write(out, &printer)?,
        TasksView::ByAwait => by_await::write(out, &printer)?,
        TasksView::Full => one::write(out, &printer, options.selected, options.sources)?,
    }
    if !report.problems.is_empty() {
        writeln!(out)?;
        write_problems(out, &report.problems, "", options.color)?;
    }
    Ok(())
}

/// What all views need.
struct Printer<'t> {
    report: &'t TasksReport,
    graph: Graph,
    /// Places of tasks by their addresses.
    places: AddrMap<u32>,
    color: bool,
}

/// A loop with its tasks, or the tasks of no loop that is listed.
#[derive(Default)]
struct Section<'t> {
    event_loop: Option<&'t EventLoop>,
    tasks: Vec<u32>,
    /// For the tree: those of them that nobody waits for.
    roots: Vec<u32>,
}

impl<'t> Printer<'t> {
    fn tasks(&self) -> &'t [Task] {
        &self.report.tasks
    }

    fn task(&self, number: u32) -> Option<&'t Task> {
        self.report.tasks.get(number as usize)
    }

    fn bold(&self) -> (&'static str, &'static str) {
        if self.color { ("\x1b[1m", "\x1b[0m") } else { ("", "") }
    }

    /// Each loop with its tasks, in the order of the report.
    fn sections(&self) -> Vec<Section<'t>> {
        let loops = &self.report.loops;
        let places: AddrMap<usize> = loops.iter().enumerate().map(|(place, each)| (each.id.0, place)).collect();
        let section = |event_loop| Section { event_loop: Some(event_loop), ..Section::default() };
        let mut sections: Vec<Section<'_>> = loops.iter().map(section).collect();
        sections.push(Section::default());
        for (number, task) in self.tasks().iter().enumerate() {
            let place = task.event_loop.and_then(|id| places.get(&id.0).copied()).unwrap_or(loops.len());
            if let Some(section) = sections.get_mut(place) {
                section.tasks.push(number as u32);
            }
        }
        if sections.last().is_some_and(|last| last.tasks.is_empty()) {
            sections.pop();
        }
        sections
    }

    /// The lines that stand above a loop's tasks.
    fn write_loop(&self, out: &mut dyn Write, section: &Section<'_>) -> io::Result<()> {
        let (bold, plain) = self.bold();
        let Some(event_loop) = section.event_loop else {
            return writeln!(out, "{bold}Tasks of no event loop that was found{plain}");
        };
        let thread = match &event_loop.thread {
            Some(thread) => format!(" in {}", words::thread(thread)),
            None => String::new(),
        };
        let class = words::safe(&event_loop.class);
        writeln!(out, "{bold}Event loop {class} at {}{thread}{plain}", event_loop.id)?;
        let mut counts = vec![words::count(event_loop.tasks as u64, "task")];
        counts.extend(event_loop.ready.map(|ready| format!("{ready} ready to run")));
        counts.extend(event_loop.scheduled.map(|timers| words::count(timers, "timer")));
        if event_loop.debug == Some(true) {
            counts.push("debug mode".to_owned());
        }
        writeln!(out, "  {}; {}", counts.join(", "), words::doing(event_loop))?;
        let running =
            event_loop.running_task.map(|id| (id, self.places.get(&id.0).and_then(|place| self.task(*place))));
        match running {
            Some((_, Some(task))) => writeln!(out, "  runs {} {}", words::name(task), words::coroutine_at(task)),
            Some((id, None)) => writeln!(out, "  runs task {id}"),
            None => Ok(()),
        }
    }

    /// What no program gets out of by itself comes first.
    fn write_circles(&self, out: &mut dyn Write) -> io::Result<()> {
        let (loud, plain) = if self.color { ("\x1b[1;31m", "\x1b[0m") } else { ("", "") };
        for circle in self.graph.ways_round() {
            let tasks: Vec<&Task> = circle.iter().filter_map(|number| self.task(*number)).collect();
            // `asyncio.wait` may be content with another task.
            let sure = tasks.iter().all(|task| task.awaiting.as_ref().is_none_or(|a| a.kind != AwaitKind::Wait));
            let (word, end) = match sure {
                true => ("DEADLOCK", "; only a timeout or a cancellation ends that"),
                false => ("CIRCLE", ""),
            };
            match tasks.as_slice() {
                [task] => writeln!(out, "\n{loud}{word}: {} waits for itself{end}{plain}", words::name(task))?,
                tasks => {
                    let count = tasks.len();
                    writeln!(out, "\n{loud}{word}: {count} tasks wait for each other in a circle{end}{plain}")?;
                }
            }
            for task in tasks.iter().take(CIRCLE_SHOWN) {
                let standing = words::standing(&[*task]);
                writeln!(out, "  {} {}{standing}", words::name(task), words::coroutine_at(task))?;
            }
            if let (Some(more @ 1..), Some(last)) = (tasks.len().checked_sub(CIRCLE_SHOWN), tasks.last()) {
                writeln!(out, "  … and {more} more, up to {}", words::name(last))?;
            }
            let closes = tasks.first().map(|first| words::name(first)).filter(|_| tasks.len() > 1);
            let said =
                |name: &String| tasks.last().is_some_and(|last| words::standing(&[*last]).contains(name.as_str()));
            if let Some(name) = closes.filter(|name| !said(name)) {
                writeln!(out, "  which waits for {name}")?;
            }
        }
        Ok(())
    }
}
