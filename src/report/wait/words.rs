//! Words for waits.

use std::time::Duration;

/// Of a thread that sleeps in the kernel though it made no system call.
pub(super) const OUTSIDE_CALL: &str =
    "the kernel, outside a system call: for memory that is being read in, or the like";
/// Added for a thread in state D.
pub(super) const UNINTERRUPTIBLE: &str = "; in uninterruptible sleep (state D): usually a disk or network file system";

/// A time in words.
pub(super) fn time(time: Duration) -> String {
    match time.as_secs_f64() {
        seconds if seconds < 1.0 => format!("{} ms", time.as_millis()),
        seconds if seconds < 60.0 => format!("{} s", (seconds * 10.0).floor() / 10.0),
        _ => format!("{} s", time.as_secs()),
    }
}

/// `a, b and c`: those shown, and how many more there are.
pub(super) fn list(shown: &[String], all: usize) -> String {
    match all.saturating_sub(shown.len()) {
        0 => shown.join(", "),
        more => format!("{}, and {more} more", shown.join(", ")),
    }
}

/// Words in parentheses, if there are any.
pub(super) fn aside(words: &[String]) -> String {
    if words.is_empty() { String::new() } else { format!(" ({})", words.join(", ")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_as_exact_as_people_want_them() {
        let words = |ms| time(Duration::from_millis(ms));
        assert_eq!([words(5), words(1500), words(59_990), words(900_000)], ["5 ms", "1.5 s", "59.9 s", "900 s"]);
        assert_eq!(words(2000), "2 s");
    }

    #[test]
    fn what_is_not_shown_is_counted() {
        assert_eq!(list(&["a".into(), "b".into()], 2), "a, b");
        assert_eq!(list(&["a".into()], 12), "a, and 11 more");
        assert_eq!((aside(&[]), aside(&["x".into(), "y".into()])), (String::new(), " (x, y)".into()));
    }
}
