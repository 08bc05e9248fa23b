//! What threads wait for, as lines under their title.

use crate::base::display_safe;
use crate::report::model::Thread;
use std::collections::HashMap;

/// Different waits listed of threads that are shown as one.
const SHOWN: usize = 4;

/// The lines of a group of threads with the same stack: each wait once, those of most threads first.
pub(super) fn lines(group: &[&Thread]) -> Vec<String> {
    let mut counts: Vec<(&str, usize)> = Vec::new();
    let mut places: HashMap<&str, usize> = HashMap::new();
    for wait in group.iter().filter_map(|thread| thread.wait.as_ref()) {
        let place = *places.entry(&wait.text).or_insert_with(|| {
            counts.push((&wait.text, 0));
            counts.len() - 1
        });
        if let Some((_, count)) = counts.get_mut(place) {
            *count += 1;
        }
    }
    counts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    let one = |(text, count): &(&str, usize)| match *count {
        1 => format!("waits: {}", display_safe(text)),
        count if counts.len() == 1 && count == group.len() => format!("waits: {}", display_safe(text)),
        count => format!("waits: {} [{count} threads]", display_safe(text)),
    };
    let mut lines: Vec<String> = counts.iter().take(SHOWN).map(one).collect();
    match counts.len().saturating_sub(SHOWN) {
        0 => {}
        1 => lines.push("waits: one more like these".to_owned()),
        more => lines.push(format!("waits: {more} more like these")),
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::model::Wait;

    fn thread(text: &str) -> Thread {
        Thread { wait: Some(Wait::of_text(text)), ..Thread::default() }
    }

    fn shown(threads: &[Thread]) -> Vec<String> {
        lines(&threads.iter().collect::<Vec<_>>())
    }

    #[test]
    fn equal_waits_are_one_line() {
        assert_eq!(shown(&[thread("a"), thread("a")]), ["waits: a"]);
        assert_eq!(shown(&[thread("b"), thread("a"), thread("a")]), ["waits: a [2 threads]", "waits: b"]);
        assert_eq!(shown(&[Thread::default()]), [""; 0]);
    }

    #[test]
    fn only_some_of_many_are_listed_and_nothing_drives_the_terminal() {
        let threads: Vec<Thread> = (0..100).map(|n| thread(&format!("lock {n}\x1b[31m"))).collect();
        let lines = shown(&threads);
        assert_eq!((lines.len(), lines[0].as_str()), (5, "waits: lock 0\\x1b[31m"));
        assert_eq!(lines[4], "waits: 96 more like these");
    }
}
