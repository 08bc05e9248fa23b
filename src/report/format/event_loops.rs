//! What event loops are doing, as lines under the titles of the threads that run them.

use crate::base::display_safe;
use crate::report::model::{Thread, ThreadLoop};

/// Different loops listed of threads that are shown as one.
const SHOWN: usize = 4;
/// System calls in which loops wait for events.
const POLLS: &[&str] = &["epoll_wait", "epoll_pwait", "epoll_pwait2", "poll", "ppoll", "select", "pselect6"];

/// The lines of a group of threads with the same stack, each once.
pub(super) fn lines(group: &[&Thread]) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    let mut left_out = 0;
    for (thread, event_loop) in group.iter().filter_map(|thread| Some((thread, thread.event_loop.as_ref()?))) {
        let line = line(thread, event_loop);
        match lines.contains(&line) {
            true => {}
            false if lines.len() < SHOWN => lines.push(line),
            false => left_out += 1,
        }
    }
    if left_out > 0 {
        lines.push(format!("event loop: {left_out} more like these"));
    }
    lines
}

fn line(thread: &Thread, event_loop: &ThreadLoop) -> String {
    let mut words = match &event_loop.running_task {
        Some(task) => {
            let task = match &task.name {
                Some(name) => format!("task \"{}\"", display_safe(name)),
                None => format!("task {}", task.id),
            };
            // A task has no business to sleep: all others wait until it is done with that.
            let does = if thread.wait.is_some() { "is blocked by" } else { "runs" };
            format!("event loop: {does} {task}")
        }
        None if is_idle(thread) => "event loop: waits for events".to_owned(),
        None => "event loop: runs a callback".to_owned(),
    };
    for (count, what) in [(event_loop.ready, "ready"), (event_loop.scheduled, "scheduled")] {
        if let Some(count) = count {
            words.push_str(&format!(", {count} {what}"));
        }
    }
    words
}

/// True when the thread is in the loop's own wait for events: asyncio's call a selector in `_run_once`
/// (`asyncio/base_events.py`); of others only the system call is known.
fn is_idle(thread: &Thread) -> bool {
    let mut names = thread.frames.iter().map(|frame| &*frame.name);
    let innermost = names.next();
    let syscall = thread.wait.as_ref().and_then(|wait| wait.syscall.as_deref());
    match innermost {
        Some("select") if names.next() == Some("_run_once") => true,
        _ => syscall.is_some_and(|syscall| POLLS.contains(&syscall)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::model::{RunningTask, Wait};

    fn thread(task: Option<&str>, ready: Option<u64>, wait: Option<Wait>) -> Thread {
        let running_task = task.map(|name| RunningTask { id: "0x1".to_owned(), name: Some(name.into()) });
        let event_loop =
            Some(ThreadLoop { id: "0x2".to_owned(), class: "Loop".into(), running_task, ready, scheduled: Some(2) });
        Thread { event_loop, wait, ..Thread::default() }
    }

    fn shown(threads: &[Thread]) -> Vec<String> {
        lines(&threads.iter().collect::<Vec<_>>())
    }

    #[test]
    fn what_a_loop_does_is_said() {
        assert_eq!(shown(&[Thread::default()]), [""; 0]);
        let runs = thread(Some("load"), Some(12), None);
        assert_eq!(shown(&[runs]), ["event loop: runs task \"load\", 12 ready, 2 scheduled"]);
        let blocked = thread(Some("a\x1b"), Some(1), Some(Wait::of_text("read")));
        assert_eq!(shown(&[blocked]), ["event loop: is blocked by task \"a\\x1b\", 1 ready, 2 scheduled"]);
        let polls = Wait { syscall: Some("epoll_wait".to_owned()), ..Wait::default() };
        let uvloop = thread(None, None, Some(polls));
        assert_eq!(shown(&[uvloop]), ["event loop: waits for events, 2 scheduled"]);
        assert_eq!(shown(&[thread(None, None, None)]), ["event loop: runs a callback, 2 scheduled"]);
    }

    #[test]
    fn only_some_of_many_are_listed() {
        let threads: Vec<Thread> = (0..100).map(|n| thread(Some("a"), Some(n % 50), None)).collect();
        let lines = shown(&threads);
        assert_eq!(lines.len(), 5);
        assert_eq!(lines[4], "event loop: 92 more like these");
    }
}
