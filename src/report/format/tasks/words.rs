//! Tasks and event loops in words: all that the views have in common.

use crate::base::display_safe;
use crate::report::model::{Frame, Thread};
use crate::report::tasks::{AwaitKind, Awaiting, EventLoop, Task, TaskState};
use std::borrow::Cow;
use std::sync::Arc;

/// Names listed of tasks that are shown as one.
const NAMES_SHOWN: usize = 3;

/// Longest text of a target that is shown in a line, and longest name, in characters.
const CHARS: usize = 200;
const NAME_CHARS: usize = 60;

/// Text of the target, safe and not too long.
pub(super) fn safe(text: &str) -> String {
    at_most(text, CHARS)
}

fn at_most(text: &str, chars: usize) -> String {
    match text.char_indices().nth(chars) {
        Some((end, _)) => format!("{}…", display_safe(text.get(..end).unwrap_or_default())),
        None => display_safe(text).into_owned(),
    }
}

/// A task's name in quotes; its address where it has none.
pub(super) fn name(task: &Task) -> String {
    match &task.name {
        Some(name) => format!("\"{}\"", at_most(name, NAME_CHARS)),
        None => format!("task {}", task.id),
    }
}

/// Some names, and how many more there are.
pub(super) fn names<'t>(mut tasks: impl ExactSizeIterator<Item = &'t Task>) -> String {
    let count = tasks.len();
    let shown = if count == NAMES_SHOWN + 1 { count } else { NAMES_SHOWN };
    let names: Vec<String> = tasks.by_ref().take(shown).map(name).collect();
    match count.saturating_sub(shown) {
        0 => names.join(", "),
        more => format!("{} and {more} more", names.join(", ")),
    }
}

/// What a task was made of.
pub(super) fn coroutine(task: &Task) -> String {
    task.coroutine_stack.last().map_or_else(|| "?".to_owned(), |frame| safe(&frame.function))
}

/// The frame that tells where a task is: its innermost; while it waits, the innermost that is not asyncio's own, as what
/// that waits for is said beside it.
pub(super) fn telling_frame(task: &Task) -> Option<&Arc<Frame>> {
    let is_foreign = |frame: &&Arc<Frame>| !is_asyncio(frame.module.as_deref().unwrap_or_default());
    let innermost = task.coroutine_stack.first();
    match task.state {
        TaskState::Running => innermost,
        _ => task.coroutine_stack.iter().find(is_foreign).or(innermost),
    }
}

/// The innermost frame of the program itself, where that is not the telling one: the telling one is in a library then.
pub(super) fn own_frame(task: &Task) -> Option<&Arc<Frame>> {
    let telling = telling_frame(task)?;
    let is_own = |frame: &&Arc<Frame>| !is_library(&frame.file);
    task.coroutine_stack.iter().find(is_own).filter(|own| !Arc::ptr_eq(own, telling) && is_library(&telling.file))
}

/// True for what was installed, and for the standard library.
fn is_library(file: &str) -> bool {
    short(file) != file || file.starts_with("<frozen ")
}

fn is_asyncio(module: &str) -> bool {
    module.strip_prefix("asyncio").is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

/// `file:line`, the file without what all of its kind have in common.
pub(super) fn place(frame: &Frame) -> String {
    let file = safe(short(&frame.file));
    frame.line.map_or_else(|| file.clone(), |line| format!("{file}:{line}"))
}

/// The path below the directory of packages or of the standard library.
fn short(file: &str) -> &str {
    for directory in ["/site-packages/", "/dist-packages/"] {
        if let Some((_, rest)) = file.rsplit_once(directory) {
            return rest;
        }
    }
    // …/lib/python3.12/asyncio/queues.py
    let library = file.split_once("/lib/python").and_then(|(_, rest)| rest.split_once('/'));
    library.map_or(file, |(_, rest)| rest)
}

/// `worker (jobs.py:12 in fetch → aiohttp/streams.py:716 in read)`: the coroutine, where it is in the program, and where in a
/// library that calls.
pub(super) fn coroutine_at(task: &Task) -> String {
    let coroutine = coroutine(task);
    let at = |frame: &Arc<Frame>| match safe(&frame.function) {
        function if function == coroutine => place(frame),
        function => format!("{} in {function}", place(frame)),
    };
    match (own_frame(task), telling_frame(task)) {
        (Some(own), Some(frame)) => format!("{coroutine} ({} → {})", at(own), at(frame)),
        (None, Some(frame)) => format!("{coroutine} ({})", at(frame)),
        (_, None) => coroutine,
    }
}

/// What there is to say of tasks that are alike, behind their coroutine: `, waits for …`.
pub(super) fn standing(tasks: &[&Task]) -> String {
    let Some(first) = tasks.first() else { return String::new() };
    let mut words = String::new();
    match first.state {
        TaskState::Pending => {}
        TaskState::Running => words.push_str(", RUNNING"),
        TaskState::Finished => words.push_str(", finished"),
        TaskState::Failed => words.push_str(&failed(first)),
        TaskState::Cancelled => words.push_str(", cancelled"),
    }
    if let Some(waits) = waits_for(tasks) {
        words.push_str(", waits for ");
        words.push_str(&waits);
    }
    if first.ignores_cancellation() {
        let requests = tasks.iter().filter_map(|task| task.cancel_requests).max().unwrap_or(1);
        let times = if requests == 1 { "once".to_owned() } else { format!("{requests} times") };
        words.push_str(&format!(", CANCELLATION ASKED FOR {times}, and still not ended"));
    } else if first.must_cancel && first.is_alive() {
        words.push_str(", will be cancelled at its next turn");
    }
    if !first.problems.is_empty() {
        words.push_str(", INCOMPLETE");
    }
    words
}

fn failed(task: &Task) -> String {
    match &task.exception {
        Some(exception) if exception.retrieved => format!(", failed: {}", safe(&exception.repr)),
        Some(exception) => format!(", failed, and nobody has asked why: {}", safe(&exception.repr)),
        None => ", failed".to_owned(),
    }
}

/// What these tasks wait for, which is of one kind.
pub(super) fn waits_for(tasks: &[&Task]) -> Option<String> {
    let awaiting = || tasks.iter().filter_map(|task| task.awaiting.as_ref());
    let first = awaiting().next()?;
    if awaiting().all(|other| other.text == first.text) {
        return Some(safe(&first.text));
    }
    let general = in_general(first);
    if first.kind != AwaitKind::Sleep && awaiting().all(|other| in_general(other) == general) {
        return Some(safe(&general));
    }
    let seconds: Vec<f64> = awaiting().filter_map(|awaiting| awaiting.seconds_left).collect();
    if first.kind == AwaitKind::Sleep && seconds.len() == tasks.len() {
        let (least, most) = seconds.iter().fold((f64::MAX, f64::MIN), |(a, b), s| (a.min(*s), b.max(*s)));
        return Some(format!("sleep ({least:.1} to {most:.1} s left)"));
    }
    Some(format!("{}, one of them for {}", kind(first.kind, true), safe(&first.text)))
}

/// What is awaited, without what differs from task to task: names, descriptors, threads and times.
pub(super) fn in_general(awaiting: &Awaiting) -> Cow<'_, str> {
    let (text, timeout) = match awaiting.text.split_once(", timeout in ") {
        Some((text, _)) => (text, ", with a timeout"),
        None => (awaiting.text.as_str(), ""),
    };
    let general: Cow<'_, str> = match (awaiting.kind, awaiting.fd) {
        (AwaitKind::Sleep, _) if awaiting.seconds_left.is_some() => "sleep".into(),
        (_, Some(fd)) => text.replacen(&format!("fd {fd}"), "an fd", 1).into(),
        (AwaitKind::Task | AwaitKind::WaitFor | AwaitKind::Shield, _) => match text.split_once("task ") {
            Some((before, _)) => format!("{before}another task").into(),
            None => text.into(),
        },
        (AwaitKind::Executor, _) => text.split_once(" in thread ").map_or(text, |(what, _)| what).into(),
        _ => text.into(),
    };
    if timeout.is_empty() { general } else { format!("{general}{timeout}").into() }
}

/// A kind of thing that one task waits for, or many.
pub(super) fn kind(kind: AwaitKind, many: bool) -> &'static str {
    let (one, all) = match kind {
        AwaitKind::Task => ("another task", "other tasks"),
        AwaitKind::Gather => ("a gather", "gathers"),
        AwaitKind::Wait => ("asyncio.wait", "asyncio.wait"),
        AwaitKind::TaskGroup => ("a TaskGroup", "TaskGroups"),
        AwaitKind::Shield => ("shield", "shield"),
        AwaitKind::WaitFor => ("wait_for", "wait_for"),
        AwaitKind::Executor => ("an executor", "executors"),
        AwaitKind::Queue => ("a queue", "queues"),
        AwaitKind::Lock => ("a lock", "locks"),
        AwaitKind::Semaphore => ("a semaphore", "semaphores"),
        AwaitKind::Event => ("an event", "events"),
        AwaitKind::Condition => ("a condition", "conditions"),
        AwaitKind::Barrier => ("a barrier", "barriers"),
        AwaitKind::Sleep => ("sleep", "sleep"),
        AwaitKind::Socket => ("a socket", "sockets"),
        AwaitKind::Subprocess => ("a child process", "child processes"),
        AwaitKind::Turn => ("its next turn", "their next turn"),
        AwaitKind::Future => ("a future", "futures"),
        AwaitKind::Other => ("something unknown", "something unknown"),
    };
    if many { all } else { one }
}

/// `1 task`, `12 tasks`.
pub(super) fn count(number: impl Into<u64>, one: &str) -> String {
    match number.into() {
        1 => format!("1 {one}"),
        number => format!("{number} {one}s"),
    }
}

/// `thread 4242 "MainThread"`.
pub(super) fn thread(thread: &Thread) -> String {
    let id = match (thread.tid, thread.ns_tid) {
        (Some(tid), Some(own)) => format!("thread {tid} (inside: {own})"),
        (Some(tid), None) => format!("thread {tid}"),
        (None, _) => format!("thread with ident {}", thread.ident),
    };
    match &thread.name {
        Some(name) => format!("{id} \"{}\"", safe(name)),
        None => id,
    }
}

/// What a loop's thread is doing.
pub(super) fn doing(event_loop: &EventLoop) -> String {
    let Some(thread) = &event_loop.thread else {
        return match event_loop.closed {
            Some(true) => "closed".to_owned(),
            _ => "no thread runs it".to_owned(),
        };
    };
    let at = match thread.frames.first() {
        Some(frame) => format!(" at {} in {}", place(frame), safe(&frame.function)),
        None => String::new(),
    };
    match (&event_loop.blocked_in, event_loop.idle) {
        (Some(wait), Some(true)) => {
            format!("idle, in {}", safe(wait.syscall.as_deref().unwrap_or("a wait for events")))
        }
        (Some(wait), _) => format!("BLOCKED{at}: its thread waits in {}", safe(&wait.text)),
        (None, _) if thread.waits_for_gil == Some(true) => format!("held up{at}: its thread waits for the GIL"),
        (None, _) => format!("busy{at}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_shown_below_what_they_share() {
        for (file, expected) in [
            ("/srv/app/jobs.py", "/srv/app/jobs.py"),
            ("/usr/lib/python3.11/asyncio/queues.py", "asyncio/queues.py"),
            ("/usr/lib/python3/dist-packages/aiohttp/web.py", "aiohttp/web.py"),
            ("/venv/lib/python3.12/site-packages/uvicorn/server.py", "uvicorn/server.py"),
            ("<string>", "<string>"),
        ] {
            assert_eq!(short(file), expected);
        }
    }

    #[test]
    fn texts_are_cut_and_made_safe() {
        assert_eq!(safe("a\x1b[2J"), "a\\x1b[2J");
        assert_eq!(safe(&"é".repeat(1000)).chars().count(), CHARS + 1);
    }

    #[test]
    fn names_are_counted() {
        let tasks: Vec<Task> = (0..6).map(|n| Task { name: Some(format!("t{n}").into()), ..Task::default() }).collect();
        assert_eq!(names(tasks.iter()), "\"t0\", \"t1\", \"t2\" and 3 more");
        assert_eq!(names(tasks.iter().take(4)), "\"t0\", \"t1\", \"t2\", \"t3\"");
    }
}
