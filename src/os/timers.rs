//! Short naps that are short.

use nix::sys::prctl::{get_timerslack, set_timerslack};
use std::marker::PhantomData;

/// Nanoseconds by which the kernel may let a thread sleep longer, in order to wake up several at once.
const SHARP: u64 = 1000;

/// While this exists, the thread that made it sleeps hardly longer than it asks for: by default the kernel adds 50 µs to each
/// nap (`PR_SET_TIMERSLACK` in prctl(2)). Threads that begin meanwhile inherit that.
pub struct SharpTimers {
    before: Option<u64>,
    not_send: PhantomData<*const ()>,
}

impl SharpTimers {
    /// From now on, until dropped.
    pub fn begin() -> SharpTimers {
        let before = get_timerslack().ok().and_then(|slack| u64::try_from(slack).ok());
        let is_set = set_timerslack(SHARP).is_ok();
        SharpTimers { before: before.filter(|_| is_set), not_send: PhantomData }
    }
}

impl Drop for SharpTimers {
    fn drop(&mut self) {
        if let Some(before) = self.before {
            let _ = set_timerslack(before);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_put_back() {
        let before = get_timerslack().unwrap();
        let sharp = SharpTimers::begin();
        assert_eq!(get_timerslack(), Ok(SHARP as i32));
        drop(sharp);
        assert_eq!(get_timerslack(), Ok(before));
    }
}
