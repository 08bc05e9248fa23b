//! Tasks by who waits for whom: those that nobody waits for, below each what it waits for, and so on.
//!
//! Nothing recurses, and each task is written once: chains of 100,000 tasks are as easy as many short ones.

use super::Printer;
use super::fold::{Group, Shapes};
use super::words;
use crate::report::tasks::{ObjectId, Task};
use std::io::{self, Write};

/// Levels of indentation; what is deeper says how deep it is.
const LEVELS: usize = 12;
/// Tasks that look alike, each waiting for the next, that are shown before the rest is summed up.
const SHOWN_OF_CHAIN: usize = 3;

/// A line still to be written.
struct Line {
    group: Group,
    depth: usize,
    /// No other follows at its depth, below the same line.
    last: bool,
    /// It stands for the end of a chain of so many more tasks.
    skipped: usize,
    /// The circle of the task above.
    circle: Option<u32>,
}

struct Tree<'p, 't> {
    printer: &'p Printer<'t>,
    shapes: Shapes<'p>,
    shown: Vec<bool>,
    /// For each level above: whether the line goes on downwards.
    rails: Vec<bool>,
}

/// Writes the tasks of one loop, or those of no loop that is listed.
pub(super) fn write(out: &mut dyn Write, printer: &Printer<'_>) -> io::Result<()> {
    let shapes = Shapes::of(printer.tasks(), &printer.graph);
    let mut tree = Tree { printer, shapes, shown: vec![false; printer.tasks().len()], rails: Vec::new() };
    let mut sections = printer.sections();
    // Those in circles come last, unless somebody outside waits for them: then they stand below that one.
    for section in &mut sections {
        let (roots, others) = section.tasks.iter().partition(|task| printer.graph.awaited_by(**task).is_empty());
        (section.roots, section.tasks) = (roots, others);
    }
    for section in &sections {
        writeln!(out)?;
        printer.write_loop(out, section)?;
        tree.write_roots(out, section.roots.iter().copied())?;
        let left: Vec<u32> =
            section.tasks.iter().copied().filter(|task| printer.graph.circle(*task).is_some()).collect();
        for task in left {
            if !tree.is_shown(task) {
                tree.write_roots(out, std::iter::once(task))?;
            }
        }
    }
    Ok(())
}

impl Tree<'_, '_> {
    fn is_shown(&self, task: u32) -> bool {
        self.shown.get(task as usize).copied().unwrap_or(true)
    }

    fn write_roots(&mut self, out: &mut dyn Write, roots: impl Iterator<Item = u32>) -> io::Result<()> {
        let mut stack = lines(self.shapes.group_roots(roots), 0, None);
        while let Some(line) = stack.pop() {
            self.write_line(out, line, &mut stack)?;
        }
        Ok(())
    }

    fn write_line(&mut self, out: &mut dyn Write, line: Line, stack: &mut Vec<Line>) -> io::Result<()> {
        let Some(first) = line.group.tasks.first().copied() else { return Ok(()) };
        self.rails.truncate(line.depth);
        let indent = self.indent(&line);
        self.rails.push(!line.last);
        if line.skipped > 0 {
            let more = words::count(line.skipped as u64, "more task");
            writeln!(out, "{}… {more} like it, each waiting for the next, then", self.gap(line.depth))?;
        }
        if line.group.shared && self.is_shown(first) {
            return self.write_reference(out, &indent, first, line.circle);
        }
        for task in &line.group.tasks {
            if let Some(shown) = self.shown.get_mut(*task as usize) {
                *shown = true;
            }
        }
        writeln!(out, "{indent}{}", self.words(&line.group.tasks))?;
        let (chain, end) = self.chain(&line.group);
        let circle = self.printer.graph.circle(first);
        match end {
            Some(group) if chain >= SHOWN_OF_CHAIN => {
                self.mark_chain(&line.group, chain);
                stack.push(Line { group, depth: line.depth + 1, last: true, skipped: chain - 1, circle });
            }
            _ => stack.extend(lines(self.shapes.below_group(&line.group.tasks), line.depth + 1, circle)),
        }
        Ok(())
    }

    /// How many groups like this one follow, each the only thing that the one before waits for, and the last of them.
    fn chain(&self, group: &Group) -> (usize, Option<Group>) {
        let look = |group: &Group| group.tasks.first().map(|task| self.shapes.look(*task));
        let (mut length, mut end) = (0, None);
        loop {
            let current = end.as_ref().unwrap_or(group);
            let mut below = self.shapes.below_group(&current.tasks);
            match (below.pop(), below.is_empty()) {
                (Some(next), true) if self.is_next(current, &next) && look(&next) == look(group) => {
                    (length, end) = (length + 1, Some(next));
                }
                _ => return (length, end),
            }
        }
    }

    fn is_next(&self, group: &Group, next: &Group) -> bool {
        !next.shared && next.tasks.len() == group.tasks.len()
    }

    /// Notes as shown those that the sum of a chain stands for.
    fn mark_chain(&mut self, group: &Group, length: usize) {
        let mut tasks = group.tasks.clone();
        for _ in 0..length {
            let mut below = Vec::with_capacity(tasks.len());
            below.extend(tasks.iter().flat_map(|task| self.printer.graph.awaits(*task)).copied());
            for task in &below {
                if let Some(shown) = self.shown.get_mut(*task as usize) {
                    *shown = true;
                }
            }
            tasks = below;
        }
    }

    fn write_reference(&self, out: &mut dyn Write, indent: &str, task: u32, above: Option<u32>) -> io::Result<()> {
        let name = self.printer.task(task).map(words::name).unwrap_or_default();
        let closes = above.is_some() && above == self.printer.graph.circle(task);
        let why = if closes { "which closes the circle" } else { "see above" };
        writeln!(out, "{indent}{name}, {why}")
    }

    /// One line on tasks that look alike.
    fn words(&self, numbers: &[u32]) -> String {
        let tasks: Vec<&Task> = numbers.iter().filter_map(|task| self.printer.task(*task)).collect();
        let Some(first) = tasks.first() else { return String::new() };
        let (bold, plain) = self.printer.bold();
        let (at, standing) = (words::coroutine_at(first), words::standing(&tasks));
        match tasks.len() {
            1 => format!("{bold}{}{plain} {at}{standing}", words::name(first)) + &self.fan_in(first, numbers),
            count => {
                let names = words::names(tasks.iter().copied());
                format!("{bold}{count} ×{plain} {at}{standing}: {names}")
            }
        }
    }

    /// That others wait for it, too.
    fn fan_in(&self, task: &Task, numbers: &[u32]) -> String {
        let known = numbers.first().map_or(0, |number| self.printer.graph.awaited_by(*number).len());
        let by: &[ObjectId] = &task.awaited_by;
        match by.len().max(known) {
            0 | 1 => String::new(),
            more => format!(" [{more} tasks wait for it]"),
        }
    }

    /// What stands before a line.
    fn indent(&self, line: &Line) -> String {
        let branch = match (line.depth, line.last) {
            (0, _) => return "  ".to_owned(),
            (_, true) => "└─ ",
            (_, false) => "├─ ",
        };
        match line.depth > LEVELS {
            true => format!("{}{branch}[{} deep] ", self.gap(LEVELS), line.depth),
            false => format!("{}{branch}", self.gap(line.depth)),
        }
    }

    /// The rails of the levels above.
    fn gap(&self, depth: usize) -> String {
        let above = self.rails.iter().take(depth.min(LEVELS)).skip(1);
        let rails = above.map(|goes_on| if *goes_on { "│  " } else { "   " });
        std::iter::once("  ").chain(rails).collect()
    }
}

/// Lines for groups, the first to be taken first from the end.
fn lines(groups: Vec<Group>, depth: usize, circle: Option<u32>) -> Vec<Line> {
    let line = |(place, group)| Line { group, depth, last: place == 0, skipped: 0, circle };
    groups.into_iter().rev().enumerate().map(line).collect()
}
