//! How waits are said.

/// Longest name of a task, class or function that is shown, in characters.
const NAME_CHARS: usize = 100;

/// A name from the target, cut where it is too long for a line.
pub(super) fn short(name: &str) -> String {
    match name.char_indices().nth(NAME_CHARS) {
        Some((end, _)) => format!("{}...", name.get(..end).unwrap_or_default()),
        None => name.to_owned(),
    }
}

/// `1 waiter`, `2 waiters`.
pub(super) fn counted(count: usize, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}

/// A time to come, in seconds.
pub(super) fn seconds(left: f64) -> String {
    match left {
        ..=0.0 => "0 s".to_owned(),
        0.0..0.1 => format!("{left:.3} s"),
        // Never more than is left.
        0.1..1000.0 => format!("{:.1} s", (left * 10.0).floor() / 10.0),
        _ => format!("{left:.0} s"),
    }
}

/// The last part of a dotted name: what a class is called.
pub(super) fn last(name: &str) -> &str {
    name.rsplit('.').next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_times_read_well() {
        assert_eq!(counted(1, "waiter"), "1 waiter");
        assert_eq!(counted(0, "item"), "0 items");
        for (left, text) in [(12.34, "12.3 s"), (0.0123, "0.012 s"), (-1.0, "0 s"), (86400.4, "86400 s")] {
            assert_eq!(seconds(left), text);
        }
        assert_eq!(seconds(f64::INFINITY), "inf s");
    }

    #[test]
    fn long_names_are_cut_between_characters() {
        assert_eq!(short("reload"), "reload");
        assert_eq!(short(&"é".repeat(101)), format!("{}...", "é".repeat(100)));
    }
}
