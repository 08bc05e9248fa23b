//! What several readings tell of a thread, in words.

use crate::base::display_safe;
use crate::report::model::Thread;
use crate::report::samples::{Motion, MotionState, Samples};
use std::time::Duration;

/// The line about the readings as a whole.
pub(super) fn head(samples: &Samples) -> String {
    match samples.count {
        1 => "1 sample: nothing to compare it with".to_owned(),
        count => format!("{count} samples in {}; this is the last", at_least(samples.window)),
    }
}

/// True for threads that can be shown as one: the same is said of them, but for how much they ran.
pub(super) fn is_alike(a: &Thread, b: &Thread) -> bool {
    let said = |thread: &Thread| {
        thread.motion.as_ref().map(|motion| {
            let ran = (motion.switches.is_some(), motion.cpu.is_some());
            (motion.state, motion.samples, motion.distinct_stacks, motion.window, ran)
        })
    };
    said(a) == said(b)
}

/// What is said of threads that are alike, as ", stuck for at least 2.0 s (3 samples)".
pub(super) fn of_group(group: &[&Thread]) -> String {
    let motions = || group.iter().filter_map(|thread| thread.motion.as_ref());
    let Some(first) = motions().next() else { return String::new() };
    let samples = first.samples;
    match first.state {
        MotionState::Stuck => format!(", stuck for at least {} ({samples} samples)", at_least(first.window)),
        MotionState::SameStack => format!(", the same stack in {samples} samples{}", ran(motions(), group.len())),
        MotionState::Moves => {
            format!(", moves ({} stacks in {samples} samples){}", first.distinct_stacks, ran(motions(), group.len()))
        }
        MotionState::New => ", began meanwhile".to_owned(),
    }
}

/// How much they ran, as ", ran for 3 ms (put on a CPU 12 times)".
fn ran<'m>(mut motions: impl Iterator<Item = &'m Motion>, threads: usize) -> String {
    let sums = motions.try_fold((0u64, Duration::ZERO), |(switches, cpu), motion| {
        Some((switches.saturating_add(motion.switches?), cpu.saturating_add(motion.cpu?)))
    });
    let together = if threads > 1 { " together" } else { "" };
    match sums {
        Some((1, cpu)) => format!(", ran for {}{together} (put on a CPU once)", at_least(cpu)),
        Some((switches, cpu)) => format!(", ran for {}{together} (put on a CPU {switches} times)", at_least(cpu)),
        None => ", not known whether it ran".to_owned(),
    }
}

/// The threads that ended, if any did; names of no more than `shown`.
pub(super) fn ended(samples: &Samples, shown: usize) -> Option<String> {
    if samples.ended.is_empty() {
        return None;
    }
    let mut names: Vec<String> = Vec::new();
    for thread in samples.ended.iter().take(shown) {
        let id = thread.tid.map_or_else(|| format!("with ident {}", thread.ident), |tid| tid.to_string());
        names.push(match &thread.name {
            Some(name) => format!("{id} \"{}\"", display_safe(name)),
            None => id,
        });
    }
    if samples.ended.len() > shown {
        names.push(format!("and {} more", samples.ended.len() - shown));
    }
    let thread = if samples.ended.len() == 1 { "thread" } else { "threads" };
    Some(format!("Ended meanwhile: {thread} {}", names.join(", ")))
}

/// A time, cut off and not rounded: no more than it was.
fn at_least(time: Duration) -> String {
    match time.as_micros() {
        us if us >= 1_000_000 => format!("{}.{} s", us / 1_000_000, us / 100_000 % 10),
        us if us >= 1000 => format!("{} ms", us / 1000),
        us => format!("{us} µs"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::samples::EndedThread;

    fn thread(state: MotionState, switches: Option<u64>) -> Thread {
        let motion = Motion {
            state,
            samples: 3,
            window: Duration::from_micros(2_099_999),
            distinct_stacks: 2,
            switches,
            cpu: switches.map(|n| Duration::from_millis(n * 10)),
        };
        Thread { motion: Some(motion), ..Thread::default() }
    }

    #[test]
    fn no_more_is_claimed_than_was_seen() {
        assert_eq!(of_group(&[&thread(MotionState::Stuck, Some(0))]), ", stuck for at least 2.0 s (3 samples)");
        assert_eq!(at_least(Duration::from_micros(999_999)), "999 ms");
        assert_eq!(at_least(Duration::from_nanos(999_999)), "999 µs");
    }

    #[test]
    fn what_threads_ran_is_summed_up_where_it_is_known() {
        let two = [&thread(MotionState::Moves, Some(2)), &thread(MotionState::Moves, Some(3))];
        let said = ", moves (2 stacks in 3 samples), ran for 50 ms together (put on a CPU 5 times)";
        assert_eq!(of_group(&two), said);
        let unknown = ", the same stack in 3 samples, not known whether it ran";
        assert_eq!(of_group(&[&thread(MotionState::SameStack, None)]), unknown);
        assert!(is_alike(two[0], two[1]) && !is_alike(two[0], &thread(MotionState::Moves, None)));
        assert!(!is_alike(two[0], &Thread::default()) && of_group(&[&Thread::default()]).is_empty());
    }

    #[test]
    fn names_of_threads_that_ended_are_shown_up_to_a_number() {
        let one = |tid| EndedThread { tid: Some(tid), ident: "0x1".into(), name: Some("a\u{1b}".into()) };
        let (interval, window) = (Duration::ZERO, Duration::ZERO);
        let samples = Samples { count: 2, interval, window, ended: (1..=3).map(one).collect() };
        assert_eq!(ended(&samples, 2).unwrap(), "Ended meanwhile: threads 1 \"a\\x1b\", 2 \"a\\x1b\", and 1 more");
        assert_eq!(ended(&Samples { ended: Vec::new(), ..samples }, 2), None);
    }
}
