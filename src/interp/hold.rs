//! Holding threads still: those asleep by watching that they stay so, the others by stopping them.

use crate::os::{Stillness, StopError, StopFailure, StopRequest, StoppedThread, Tasks};
use std::collections::HashSet;
use std::time::{Duration, Instant};

/// Rounds of stopping threads that have begun since the last round.
const ROUNDS: usize = 20;
/// How long a thread in uninterruptible sleep is waited for.
const UNINTERRUPTIBLE: Duration = Duration::from_millis(20);

/// Threads that are held still. Dropping it lets them run.
pub(super) struct Held<'t> {
    tasks: &'t Tasks,
    pub(super) stopped: Vec<StoppedThread>,
    late: Vec<StopRequest>,
    watched: Vec<Stillness>,
    /// Threads that could neither be stopped nor are asleep, with the reason.
    pub(super) refused: Vec<(i32, StopError)>,
    /// The process's threads could not be listed, so there may be others.
    pub(super) unlisted: bool,
    /// How long those that run again were stopped.
    paused: Duration,
}

impl<'t> Held<'t> {
    pub(super) fn new(tasks: &'t Tasks) -> Held<'t> {
        Held {
            tasks,
            stopped: Vec::new(),
            late: Vec::new(),
            watched: Vec::new(),
            refused: Vec::new(),
            unlisted: false,
            paused: Duration::ZERO,
        }
    }

    /// Watches those of the threads that are asleep; returns the others.
    pub(super) fn watch(&mut self, tids: impl IntoIterator<Item = i32>) -> Vec<i32> {
        let mut running = Vec::new();
        for tid in tids {
            match self.tasks.stillness(tid) {
                Some(watch) if watch.was_asleep() => self.watched.push(watch),
                Some(_) => running.push(tid),
                None => {}
            }
        }
        running
    }

    /// Stops these threads, side by side, within `limit`. False when one could not be.
    pub(super) fn stop(&mut self, tids: &[i32], limit: Duration) -> bool {
        let deadline = Instant::now() + limit;
        let refused_before = self.refused.len();
        let mut requests = Vec::new();
        for tid in tids {
            match StopRequest::new(*tid) {
                Ok(request) => requests.push(request),
                Err(StopError::Gone) => {}
                Err(error) => self.refused.push((*tid, error)),
            }
        }
        for request in requests {
            let tid = request.tid();
            let left = deadline.saturating_duration_since(Instant::now());
            // A thread in uninterruptible sleep stops when it wakes up, not before.
            let sleeps = self.tasks.stat(tid).is_some_and(|stat| stat.state == 'D');
            match request.wait(if sleeps { left.min(UNINTERRUPTIBLE) } else { left }) {
                Ok(thread) => self.stopped.push(thread),
                Err(StopFailure { error: StopError::Gone, .. }) => {}
                Err(StopFailure { error, late }) => {
                    let error = if sleeps { StopError::Uninterruptible } else { error };
                    self.refused.push((tid, error));
                    self.late.extend(late);
                }
            }
        }
        self.refused.len() == refused_before
    }

    /// Stops every thread of the process, until no new one appears. Those that cannot be stopped are watched.
    pub(super) fn stop_all(&mut self, limit: Duration) {
        let deadline = Instant::now() + limit;
        let mut seen = HashSet::new();
        for _ in 0..ROUNDS {
            let listed = self.tasks.ids();
            self.unlisted |= listed.is_err();
            let new: Vec<i32> = listed.unwrap_or_default().into_iter().filter(|tid| seen.insert(*tid)).collect();
            if new.is_empty() {
                break;
            }
            let refused_before = self.refused.len();
            if !self.stop(&new, deadline.saturating_duration_since(Instant::now())) {
                let refused: Vec<i32> = self.refused.iter().skip(refused_before).map(|(tid, _)| *tid).collect();
                self.watch(refused);
            }
        }
    }

    /// How long the first of the stopped threads has been stopped, or was.
    pub(super) fn pause(&self) -> Duration {
        self.stopped.iter().map(|t| t.since().elapsed()).max().unwrap_or_default().max(self.paused)
    }

    /// Lets stopped threads run; watched ones stay watched. Returns the stopped ones' ids.
    pub(super) fn release(&mut self) -> HashSet<i32> {
        self.paused = self.pause();
        self.late.clear();
        self.stopped.drain(..).map(|thread| thread.tid()).collect()
    }

    /// True when every watched thread has slept all along.
    pub(super) fn all_slept(&self) -> bool {
        self.watched.iter().all(|watch| watch.holds(self.tasks))
    }

    /// The watched threads that have slept all along.
    pub(super) fn slept(&self) -> HashSet<i32> {
        self.watched.iter().filter(|watch| watch.holds(self.tasks)).map(Stillness::tid).collect()
    }
}
