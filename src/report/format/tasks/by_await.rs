//! Tasks that wait at the same line for the same thing, together: those of most tasks first.

use super::{Printer, words};
use crate::report::tasks::{AwaitKind, ObjectId, Task, TaskState};
use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::io::{self, Write};

/// Different things listed of tasks that wait at one line.
const SHOWN: usize = 4;

/// The lines, by their frames, and the kind of what is awaited there.
type Key = ([Option<usize>; 2], Option<AwaitKind>, bool);

/// Writes the loops, then the groups.
pub(super) fn write(out: &mut dyn Write, printer: &Printer<'_>) -> io::Result<()> {
    for section in printer.sections().iter().filter(|section| section.event_loop.is_some()) {
        writeln!(out)?;
        printer.write_loop(out, section)?;
    }
    for tasks in groups(printer.tasks()) {
        writeln!(out)?;
        write_group(out, printer, &tasks)?;
    }
    write_ended(out, printer.tasks())
}

fn groups(tasks: &[Task]) -> Vec<Vec<&Task>> {
    let mut groups: Vec<Vec<&Task>> = Vec::new();
    let mut places: HashMap<Key, usize> = HashMap::new();
    for task in tasks.iter().filter(|task| task.is_alive()) {
        let place = *places.entry(key(task)).or_insert_with(|| {
            groups.push(Vec::new());
            groups.len() - 1
        });
        if let Some(group) = groups.get_mut(place) {
            group.push(task);
        }
    }
    groups.sort_by_key(|group| std::cmp::Reverse(group.len()));
    groups
}

fn key(task: &Task) -> Key {
    let lines = [words::own_frame(task), words::telling_frame(task)];
    let lines = lines.map(|frame| frame.map(|frame| std::sync::Arc::as_ptr(frame).addr()));
    (lines, task.awaiting.as_ref().map(|awaiting| awaiting.kind), task.state == TaskState::Running)
}

fn write_group(out: &mut dyn Write, printer: &Printer<'_>, tasks: &[&Task]) -> io::Result<()> {
    let Some(first) = tasks.first() else { return Ok(()) };
    let (bold, plain) = printer.bold();
    let texts = texts(tasks);
    let (many, count) = (tasks.len() > 1, words::count(tasks.len() as u64, "task"));
    let verb = if many { "wait" } else { "waits" };
    let title = match (&first.awaiting, texts.as_slice()) {
        _ if first.state == TaskState::Running => format!("{count} {}", if many { "run" } else { "runs" }),
        (Some(awaiting), _) if !many => format!("{count} {verb} for {}", words::safe(&awaiting.text)),
        (Some(_), [(text, _)]) => format!("{count} {verb} for {}{}", words::safe(text), different(tasks)),
        (Some(awaiting), _) => format!("{count} {verb} for {}", words::kind(awaiting.kind, many)),
        (None, _) => format!("{count} {verb}"),
    };
    writeln!(out, "{bold}{title}{plain}")?;
    let (own, telling) = (words::own_frame(first), words::telling_frame(first));
    let behind = if own.is_some() { "→" } else { "at" };
    for (word, frame) in [("at", own), (behind, telling)] {
        if let Some(frame) = frame {
            writeln!(out, "    {word} {} in {}", words::place(frame), words::safe(&frame.function))?;
        }
    }
    if texts.len() > 1 {
        // When each is another, one is enough to see.
        let shown = if texts.len() > SHOWN && texts.len() == tasks.len() { 1 } else { SHOWN };
        for (text, count) in texts.iter().take(shown) {
            writeln!(out, "    {count} × {}", words::safe(text))?;
        }
        match texts.len().saturating_sub(shown) {
            0 => {}
            more => writeln!(out, "    … and {more} more like {}", if shown == 1 { "it" } else { "these" })?,
        }
    }
    writeln!(out, "    {}", words::names(tasks.iter().copied()))?;
    let ignoring = tasks.iter().filter(|task| task.ignores_cancellation()).count();
    if ignoring > 0 {
        writeln!(out, "    CANCELLATION ASKED FOR of {ignoring} of them, and still not ended")?;
    }
    Ok(())
}

/// That not all wait for one and the same, where tasks can share what they wait for.
fn different(tasks: &[&Task]) -> String {
    use AwaitKind::{Barrier, Condition, Event, Lock, Queue, Semaphore};
    let shared = |kind| matches!(kind, Queue | Lock | Semaphore | Event | Condition | Barrier);
    let awaited = tasks.iter().filter_map(|task| task.awaiting.as_ref()).filter(|awaiting| shared(awaiting.kind));
    let objects: HashSet<ObjectId> = awaited.filter_map(|awaiting| awaiting.id).collect();
    match objects.len() {
        0 | 1 => String::new(),
        count => format!(", {count} different ones"),
    }
}

/// What is awaited, in words, with how many tasks do: those of most first.
fn texts<'t>(tasks: &[&'t Task]) -> Vec<(Cow<'t, str>, usize)> {
    let mut texts: HashMap<Cow<'_, str>, (usize, usize)> = HashMap::new();
    for awaiting in tasks.iter().filter_map(|task| task.awaiting.as_ref()) {
        let next = texts.len();
        texts.entry(words::in_general(awaiting)).or_insert((next, 0)).1 += 1;
    }
    let mut texts: Vec<(Cow<'_, str>, (usize, usize))> = texts.into_iter().collect();
    texts.sort_by_key(|(_, (place, count))| (std::cmp::Reverse(*count), *place));
    texts.into_iter().map(|(text, (_, count))| (text, count)).collect()
}

fn write_ended(out: &mut dyn Write, tasks: &[Task]) -> io::Result<()> {
    let of = |state: TaskState| tasks.iter().filter(|task| task.state == state).count();
    let states =
        [(TaskState::Finished, "finished"), (TaskState::Failed, "failed"), (TaskState::Cancelled, "cancelled")];
    let counts: Vec<String> = states
        .into_iter()
        .map(|(state, word)| (of(state), word))
        .filter(|(count, _)| *count > 0)
        .map(|(count, word)| format!("{count} {word}"))
        .collect();
    match counts.is_empty() {
        true => Ok(()),
        false => writeln!(out, "\nEnded, and still referred to: {}", counts.join(", ")),
    }
}
