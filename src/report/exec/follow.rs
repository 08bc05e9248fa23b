//! Reading on while a script runs.

use crate::inject::channel::{Channel, ChannelError, Event};
use std::time::{Duration, Instant};

/// Shortest and longest time between two looks at the channel: a script that prints a lot is followed closely, one that
/// computes costs next to nothing.
const SHORTEST: Duration = Duration::from_micros(200);
const LONGEST: Duration = Duration::from_millis(20);

/// Why reading ended.
#[derive(Debug)]
pub(super) enum Followed {
    /// The script is over.
    Done,
    /// The process is.
    Gone,
    /// Python could not run the code around the script.
    Failed,
    /// Time is up.
    Late,
    /// Whoever waits has had enough.
    Cancelled,
    /// The channel says nonsense.
    Broken(ChannelError),
}

/// What is asked of others between two looks.
pub(super) struct Outside<'a> {
    /// The process is there.
    pub(super) is_alive: &'a dyn Fn() -> bool,
    /// The code around the script could not be run.
    pub(super) has_failed: &'a dyn Fn() -> bool,
    /// Waiting is to end.
    pub(super) is_cancelled: &'a dyn Fn() -> bool,
}

/// Hands on what is said until the script is over, or `limit` is.
pub(super) fn follow(
    channel: &mut Channel,
    limit: Option<Duration>,
    outside: &Outside<'_>,
    sink: &mut dyn FnMut(Event),
) -> Followed {
    let (begin, mut pause) = (Instant::now(), SHORTEST);
    loop {
        // Asked before the last look, so that nothing said before that is missed.
        let ended = match () {
            () if (outside.has_failed)() => Some(Followed::Failed),
            () if !(outside.is_alive)() => Some(Followed::Gone),
            () if limit.is_some_and(|limit| begin.elapsed() >= limit) => Some(Followed::Late),
            () if (outside.is_cancelled)() => Some(Followed::Cancelled),
            () => None,
        };
        let any = match channel.poll(sink) {
            Ok(any) => any,
            Err(error) => return Followed::Broken(error),
        };
        if channel.is_done() {
            return Followed::Done;
        }
        if let Some(ended) = ended {
            return ended;
        }
        pause = if any { SHORTEST } else { (pause * 2).min(LONGEST) };
        std::thread::sleep(pause);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a panic fails the test")]

    use super::*;
    use std::cell::Cell;
    use std::io::Write;

    const DONE: &[u8] = b"d0000000900000001\x37";

    fn followed(outside: &Outside<'_>, limit: Option<Duration>, bytes: &[u8]) -> (String, usize) {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        let (mut channel, mut count) = (Channel::new(file, 0), 0);
        let end = follow(&mut channel, limit, outside, &mut |_| count += 1);
        (format!("{end:?}"), count)
    }

    #[test]
    fn every_end_is_told_apart_and_nothing_said_before_is_lost() {
        let (yes, no) = (|| true, || false);
        let fine = Outside { is_alive: &yes, has_failed: &no, is_cancelled: &no };
        let said = [b"o00000001a", DONE].concat();
        assert_eq!(followed(&fine, None, &said), ("Done".into(), 2));
        assert_eq!(followed(&fine, Some(Duration::ZERO), &said), ("Done".into(), 2));
        assert_eq!(followed(&fine, Some(Duration::ZERO), b"o00000001a"), ("Late".into(), 1));
        assert_eq!(followed(&Outside { is_alive: &no, ..fine }, None, b"o00000001a"), ("Gone".into(), 1));
        assert_eq!(followed(&Outside { is_alive: &no, ..fine }, None, &said), ("Done".into(), 2));
        assert_eq!(followed(&Outside { has_failed: &yes, ..fine }, None, b""), ("Failed".into(), 0));
        assert_eq!(followed(&Outside { is_cancelled: &yes, ..fine }, None, b""), ("Cancelled".into(), 0));
        assert!(followed(&fine, None, b"?").0.starts_with("Broken"));
    }

    #[test]
    fn it_goes_on_until_something_happens() {
        let looks = Cell::new(0);
        let is_alive = || {
            looks.set(looks.get() + 1);
            looks.get() < 5
        };
        let no = || false;
        let outside = Outside { is_alive: &is_alive, has_failed: &no, is_cancelled: &no };
        assert_eq!(followed(&outside, None, b"").0, "Gone");
        assert_eq!(looks.get(), 5);
    }
}
