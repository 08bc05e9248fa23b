//! Views of made-up tasks.

use super::*;
use crate::base::{Addr, Problem, ProblemKind};
use crate::report::model::{Frame, FrameKind, ProcessReport, PythonReport, SnapshotMode, SnapshotReport};
use crate::report::tasks::{AwaitKind, Awaiting, EventLoop, ObjectId, TaskState};
use std::sync::Arc;

fn frame(function: &str, module: &str, line: i32) -> Arc<Frame> {
    Arc::new(Frame {
        kind: FrameKind::Coroutine,
        function: function.into(),
        name: function.into(),
        module: Some(module.into()),
        file: format!("/srv/{module}.py").into(),
        line: Some(line),
        end_line: None,
        column: None,
        end_column: None,
        locals: None,
    })
}

fn id(number: u64) -> ObjectId {
    ObjectId(Addr(0x1000 + number * 16))
}

/// A task that waits for others.
fn task(number: u64, frame: &Arc<Frame>, awaits: &[u64]) -> Task {
    let kind = if awaits.is_empty() { AwaitKind::Queue } else { AwaitKind::Task };
    let awaiting = Awaiting {
        kind,
        id: None,
        text: if awaits.is_empty() { "Queue.get (0 items)".into() } else { format!("{} tasks", awaits.len()) },
        tasks: awaits.iter().map(|number| id(*number)).collect(),
        fd: None,
        peer: None,
        seconds_left: None,
    };
    Task {
        id: id(number),
        name: Some(format!("t{number}").into()),
        event_loop: Some(id(9_000_000)),
        coroutine_stack: vec![frame.clone()],
        awaiting: Some(awaiting),
        ..Task::default()
    }
}

fn report(tasks: Vec<Task>) -> TasksReport {
    let event_loop = EventLoop {
        id: id(9_000_000),
        class: "asyncio.unix_events._UnixSelectorEventLoop".into(),
        tasks: tasks.len(),
        ready: Some(0),
        scheduled: Some(1),
        ..EventLoop::default()
    };
    TasksReport {
        schema: "",
        process: ProcessReport { pid: 1, ns_pids: vec![1], exe: None, cmdline: vec!["python".into()] },
        python: PythonReport {
            version: "3.14.7".into(),
            free_threaded: false,
            debug_build: false,
            layout_source: String::new(),
            found_by: String::new(),
            runtime_address: String::new(),
            module: "/usr/bin/python3".into(),
        },
        snapshot: SnapshotReport {
            mode: SnapshotMode::None,
            stopped_threads: 0,
            pause_us: 0,
            attempts: 1,
            consistent: true,
        },
        loops: vec![event_loop],
        tasks,
        cycles: Vec::new(),
        problems: Vec::new(),
    }
}

fn shown(report: &TasksReport, view: TasksView) -> String {
    let mut text = Vec::new();
    let selected: Vec<ObjectId> = report.tasks.iter().map(|task| task.id).collect();
    write_tasks(&mut text, report, TasksText { view, selected: &selected, ..TasksText::default() }).unwrap();
    String::from_utf8(text).unwrap()
}

/// The lines of the tree below the two of the loop.
fn tree(tasks: Vec<Task>) -> Vec<String> {
    let text = shown(&report(tasks), TasksView::Tree);
    let (_, tree) = text.split_once("no thread runs it\n").unwrap();
    tree.lines().map(str::to_owned).collect()
}

#[test]
fn a_tree_has_what_is_awaited_below_what_awaits() {
    let (main, work) = (frame("main", "app", 1), frame("work", "app", 2));
    let tasks = vec![task(0, &main, &[1, 2]), task(1, &work, &[]), task(2, &main, &[3]), task(3, &work, &[])];
    assert_eq!(
        tree(tasks),
        [
            "  \"t0\" main (/srv/app.py:1), waits for 2 tasks",
            "  ├─ \"t1\" work (/srv/app.py:2), waits for Queue.get (0 items)",
            "  └─ \"t2\" main (/srv/app.py:1), waits for 1 tasks",
            "     └─ \"t3\" work (/srv/app.py:2), waits for Queue.get (0 items)",
        ]
    );
}

#[test]
fn like_subtrees_are_one_with_their_number() {
    let (main, serve, work) = (frame("main", "app", 1), frame("serve", "app", 2), frame("work", "app", 3));
    let mut tasks = vec![task(0, &main, &(1..=1000).collect::<Vec<_>>())];
    tasks.extend((1..=1000).map(|n| task(n, &serve, &[1000 + 2 * n, 1001 + 2 * n])));
    tasks.extend((1002..=3001).map(|n| task(n, &work, &[])));
    assert_eq!(
        tree(tasks),
        [
            "  \"t0\" main (/srv/app.py:1), waits for 1000 tasks",
            "  └─ 1000 × serve (/srv/app.py:2), waits for 2 tasks: \"t1\", \"t2\", \"t3\" and 997 more",
            "     └─ 2000 × work (/srv/app.py:3), waits for Queue.get (0 items): \"t1002\", \"t1003\", \"t1004\" and 1997 more",
        ]
    );
}

#[test]
fn what_several_wait_for_is_shown_once() {
    let (main, other, work) = (frame("main", "app", 1), frame("other", "app", 2), frame("work", "app", 3));
    let tasks = vec![task(0, &main, &[2]), task(1, &other, &[2]), task(2, &work, &[])];
    let lines = tree(tasks);
    assert_eq!(lines[1], "  └─ \"t2\" work (/srv/app.py:3), waits for Queue.get (0 items) [2 tasks wait for it]");
    assert_eq!(lines[3], "  └─ \"t2\", see above");
}

#[test]
fn a_long_chain_is_a_few_lines() {
    const LONG: u64 = 100_000;
    let link = frame("link", "app", 1);
    let mut tasks: Vec<Task> = (0..LONG).map(|n| task(n, &link, &[n + 1])).collect();
    tasks.push(task(LONG, &frame("end", "app", 2), &[]));
    let lines = tree(tasks);
    assert_eq!(
        lines,
        [
            "  \"t0\" link (/srv/app.py:1), waits for 1 tasks",
            "  … 99998 more tasks like it, each waiting for the next, then",
            "  └─ \"t99999\" link (/srv/app.py:1), waits for 1 tasks",
            "     └─ \"t100000\" end (/srv/app.py:2), waits for Queue.get (0 items)",
        ]
    );
}

#[test]
fn a_chain_of_different_tasks_does_not_run_off_the_screen() {
    let tasks: Vec<Task> = (0..2000).map(|n| task(n, &frame("link", "app", n as i32), &[n + 1])).collect();
    let lines = tree(tasks);
    assert_eq!(lines.len(), 2000);
    assert!(lines.iter().all(|line| line.chars().count() < 120), "{:?}", lines.last());
    assert!(lines[1999].contains("[1999 deep] \"t1999\""), "{}", lines[1999]);
}

#[test]
fn a_circle_is_the_headline_of_every_view_and_ends() {
    let link = frame("link", "app", 1);
    let tasks = || vec![task(0, &link, &[1]), task(1, &link, &[2]), task(2, &link, &[0]), task(3, &link, &[0])];
    for view in [TasksView::Tree, TasksView::Table, TasksView::ByAwait, TasksView::Full] {
        let text = shown(&report(tasks()), view);
        let headline = text.lines().nth(3).unwrap();
        assert!(headline.starts_with("DEADLOCK: 3 tasks wait for each other in a circle"), "{view:?}: {text}");
    }
    let lines = tree(tasks());
    assert!(lines.iter().any(|line| line.ends_with("\"t0\", which closes the circle")), "{lines:#?}");
    let lone = tree(tasks().into_iter().take(3).collect());
    assert_eq!(lone.len(), 4, "{lone:#?}");
}

#[test]
fn nothing_drives_the_terminal() {
    let evil = frame("f\x1b[2J", "app\u{202e}", 1);
    let mut bad = task(0, &evil, &[]);
    bad.name = Some("n\x1b[31m\n".into());
    bad.class = "c\x07".into();
    bad.awaiting.as_mut().unwrap().text = "t\u{9b}".into();
    bad.problems.push(Problem::new(ProblemKind::Invalid, "p\x1b"));
    bad.created_at.push(crate::report::tasks::CreatedAt { file: "\x1b".into(), line: 1, function: "\x1b".into() });
    let mut failed = task(1, &evil, &[]);
    failed.state = TaskState::Failed;
    let exception =
        crate::report::tasks::TaskException { type_name: "E".into(), repr: "E('\x1b')".into(), retrieved: false };
    failed.exception = Some(exception);
    let mut report = report(vec![bad, failed]);
    report.loops[0].class = "loop\x1b".into();
    for view in [TasksView::Tree, TasksView::Table, TasksView::ByAwait, TasksView::Full] {
        let text = shown(&report, view);
        let bad = text.find(|c: char| (c.is_control() && c != '\n') || c == '\u{202e}');
        assert_eq!(bad, None, "{view:?}: {text:?}");
    }
}

#[test]
fn tasks_that_wait_at_one_line_are_counted() {
    let (work, read) = (frame("work", "app", 1), frame("read", "app", 2));
    let mut tasks: Vec<Task> = (0..3).map(|n| task(n, &work, &[])).collect();
    tasks.extend((3..303).map(|n| task(n, &read, &[])));
    for (number, task) in tasks.iter_mut().skip(3).enumerate() {
        task.awaiting.as_mut().unwrap().text = format!("Queue.get (queue {})", number % 10);
    }
    let text = shown(&report(tasks), TasksView::ByAwait);
    let (_, groups) = text.split_once("no thread runs it\n\n").unwrap();
    assert!(
        groups.starts_with("300 tasks wait for queues\n    at /srv/app.py:2 in read\n    30 × Queue.get (queue 0)\n"),
        "{groups}"
    );
    assert!(groups.contains("    … and 6 more like these\n    \"t3\", \"t4\", \"t5\" and 297 more\n"), "{groups}");
    assert!(groups.contains("\n3 tasks wait for Queue.get (0 items)\n    at /srv/app.py:1 in work\n"), "{groups}");
}

#[test]
fn asyncio_itself_is_not_where_a_task_is() {
    let mut waiting = task(0, &frame("get", "asyncio.queues", 158), &[]);
    waiting.coroutine_stack.push(frame("fetch", "app", 7));
    waiting.coroutine_stack.push(frame("work", "app", 1));
    let lines = tree(vec![waiting.clone()]);
    assert_eq!(lines, ["  \"t0\" work (/srv/app.py:7 in fetch), waits for Queue.get (0 items)"]);
    waiting.cancel_requests = Some(2);
    let lines = tree(vec![waiting]);
    assert!(lines[0].ends_with(", CANCELLATION ASKED FOR 2 times, and still not ended"), "{}", lines[0]);
}
