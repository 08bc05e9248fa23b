//! Deadlines for things that can block in the kernel for ever: reading `maps`, `cmdline` or memory of a process in
//! uninterruptible sleep.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

/// What the worker is doing, to be named when it does not come back.
#[derive(Clone, Default)]
pub struct Progress(Arc<Mutex<String>>);

impl Progress {
    /// Says what is being done from here on.
    pub fn at(&self, what: impl Into<String>) {
        if let Ok(mut current) = self.0.lock() {
            *current = what.into();
        }
    }

    /// What was being done last.
    pub fn current(&self) -> String {
        self.0.lock().map(|current| current.clone()).unwrap_or_default()
    }
}

/// Runs `work` in a thread of its own and waits for it up to `limit`. `None`: it did not come back (or panicked); the
/// thread is left behind, blocked in the kernel, and dies with the process. Threads it holds stopped by `ptrace` are
/// released by the kernel when it ends.
pub fn with_deadline<T: Send + 'static>(limit: Duration, work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    let (sender, receiver) = channel();
    let worker = std::thread::Builder::new().name("pyattach-reader".into()).spawn(move || {
        let _ = sender.send(work());
    });
    let Ok(worker) = worker else { return None };
    match receiver.recv_timeout(limit) {
        Ok(value) => {
            let _ = worker.join();
            Some(value)
        }
        Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_that_does_not_return_is_given_up() {
        let (hold, held) = channel::<()>();
        assert_eq!(with_deadline(Duration::from_millis(20), move || held.recv().is_ok()), None);
        drop(hold);
        assert_eq!(with_deadline(Duration::from_secs(60), || 7), Some(7));
    }
}
