//! Grouping: threads with the same stack into one, repeated frames of a recursion into a line.

use super::motion;
use crate::report::model::{Frame, Thread};
use std::sync::Arc;

/// Threads that are shown together: the same stack, the same standing.
pub(super) fn fold(threads: &[Thread], enabled: bool) -> Vec<Vec<&Thread>> {
    let mut groups: Vec<Vec<&Thread>> = Vec::new();
    for thread in threads {
        let group =
            groups.iter_mut().find(|group| enabled && group.first().is_some_and(|first| are_alike(first, thread)));
        match group {
            Some(group) => group.push(thread),
            None => groups.push(vec![thread]),
        }
    }
    groups
}

fn are_alike(a: &Thread, b: &Thread) -> bool {
    // Values are each thread's own, even where they are equal.
    let has_values = |t: &Thread| t.frames.iter().any(|frame| frame.locals.is_some());
    let plain = |t: &Thread| t.main != Some(true) && t.problems.is_empty() && !t.frames.is_empty() && !has_values(t);
    plain(a)
        && plain(b)
        && a.frames.len() == b.frames.len()
        && (a.interpreter, a.holds_gil, a.waits_for_gil) == (b.interpreter, b.holds_gil, b.waits_for_gil)
        && a.os_state == b.os_state
        && motion::is_alike(a, b)
        && match (&a.wait, &b.wait) {
            (Some(a), Some(b)) => a.is_like(b),
            (a, b) => a.is_none() && b.is_none(),
        }
        && a.frames == b.frames
}

/// A frame, or a stretch of frames that is not shown.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Item<'f> {
    /// A frame.
    Frame(&'f Frame),
    /// The frame before it, this many times more.
    Repeated(usize),
    /// This many frames in the middle.
    Elided(usize),
}

/// Equal frames in a row that are shown before the rest is summed up, as in Python's tracebacks.
const SHOWN_OF_RECURSION: usize = 3;

/// The frames to show of a stack, in its order: recursion summed up, and of what remains no more than `limit` (0: all), most
/// of them from the innermost end.
pub(super) fn items(frames: &[Arc<Frame>], limit: usize) -> Vec<Item<'_>> {
    let mut items = Vec::new();
    for run in frames.chunk_by(|a, b| a == b) {
        items.extend(run.iter().take(SHOWN_OF_RECURSION).map(|frame| Item::Frame(frame)));
        if run.len() > SHOWN_OF_RECURSION {
            items.push(Item::Repeated(run.len() - SHOWN_OF_RECURSION));
        }
    }
    if limit == 0 || items.len() <= limit {
        return items;
    }
    let outer = limit / 4;
    let inner = limit - outer;
    let count = |item: &Item<'_>| match item {
        Item::Frame(_) => 1,
        Item::Repeated(n) | Item::Elided(n) => *n,
    };
    let elided = items.splice(inner..items.len() - outer, [Item::Elided(0)]).map(|item| count(&item)).sum();
    if let Some(slot) = items.get_mut(inner) {
        *slot = Item::Elided(elided);
    }
    items
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::model::{FrameKind, Wait};

    fn frame(line: i32) -> Arc<Frame> {
        Arc::new(Frame {
            kind: FrameKind::Function,
            function: "f".into(),
            name: "f".into(),
            module: None,
            file: "f.py".into(),
            line: Some(line),
            end_line: None,
            column: None,
            end_column: None,
            locals: None,
        })
    }

    #[test]
    fn recursion_is_summed_up() {
        let frames: Vec<Arc<Frame>> = (0..10).map(|_| frame(1)).chain([frame(2)]).collect();
        let shown = items(&frames, 0);
        assert_eq!(shown.len(), 5);
        assert_eq!(shown.get(3), Some(&Item::Repeated(7)));
    }

    #[test]
    fn no_frame_is_lost_by_eliding() {
        let frames: Vec<Arc<Frame>> = (0..6000).map(frame).collect();
        let shown = items(&frames, 100);
        assert_eq!(shown.len(), 101);
        assert_eq!(shown.get(75), Some(&Item::Elided(5900)));
        assert_eq!(shown.last(), Some(&Item::Frame(&frames[5999])));
    }

    #[test]
    fn threads_with_equal_stacks_become_one_group() {
        let thread = |line| Thread { frames: vec![frame(line)], ..Thread::default() };
        let threads = [thread(1), thread(2), thread(1)];
        assert_eq!(fold(&threads, true).iter().map(Vec::len).collect::<Vec<_>>(), [2, 1]);
        assert_eq!(fold(&threads, false).len(), 3);
    }

    #[test]
    fn waits_of_one_kind_do_not_keep_threads_apart() {
        let thread = |syscall: &str, object: &str| {
            let wait = Wait { syscall: Some(syscall.into()), object: Some(object.into()), ..Wait::of_text(object) };
            Thread { frames: vec![frame(1)], wait: Some(wait), ..Thread::default() }
        };
        let threads = [thread("futex", "0x1"), thread("futex", "0x2"), thread("read", "0x1")];
        assert_eq!(fold(&threads, true).iter().map(Vec::len).collect::<Vec<_>>(), [2, 1]);
    }
}
