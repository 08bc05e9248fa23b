//! The same work for many processes, some of which may block for ever: each has a deadline of its own.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

/// Threads that work side by side: most of the time goes into the kernel, and locks of one process do not concern others.
const WORKERS: usize = 4;
/// Threads that may be left behind, blocked in the kernel; with more than this it is not single processes that hang.
const LEFT_BEHIND: usize = 32;

/// What a worker says.
enum Event<T> {
    Begun(usize),
    Done(usize, T),
}

/// Does `work` for each item, for `limit` each and `total` for all. In the order of the items: what came of it, or `None`
/// where it did not come back (or panicked) in time. Threads that are blocked in the kernel are left behind and die with the
/// process.
pub fn each_with_deadline<I, T>(
    items: Vec<I>,
    limit: Duration,
    total: Duration,
    work: impl Fn(&I) -> T + Send + Sync + 'static,
) -> Vec<Option<T>>
where
    I: Send + Sync + 'static,
    T: Send + 'static,
{
    let mut results: Vec<Option<T>> = items.iter().map(|_| None).collect();
    let (sender, events) = channel();
    let crew = Crew { items, work, next: AtomicUsize::new(0) };
    let crew = Arc::new(crew);
    let mut watch = Watch { running: Vec::new(), ended: vec![false; results.len()], end: Instant::now() + total };
    for _ in 0..WORKERS.min(results.len()) {
        crew.start(&sender);
    }
    let mut left_behind = 0;
    while watch.ended.iter().any(|ended| !ended) && Instant::now() < watch.end {
        match watch.wait(&events, limit) {
            Some(Event::Begun(at)) => watch.running.push((at, Instant::now())),
            Some(Event::Done(at, result)) => {
                watch.forget(at);
                if let Some(slot) = results.get_mut(at) {
                    *slot = Some(result);
                }
            }
            None => {
                let late = watch.give_up(limit);
                left_behind += late;
                for _ in 0..late.min(LEFT_BEHIND.saturating_sub(left_behind)) {
                    crew.start(&sender);
                }
                // Nobody is left who would do the rest.
                if watch.running.is_empty() && left_behind >= LEFT_BEHIND {
                    break;
                }
            }
        }
    }
    results
}

struct Crew<I, F> {
    items: Vec<I>,
    work: F,
    next: AtomicUsize,
}

impl<I: Send + Sync + 'static, F> Crew<I, F> {
    fn start<T: Send + 'static>(self: &Arc<Self>, sender: &Sender<Event<T>>)
    where
        F: Fn(&I) -> T + Send + Sync + 'static,
    {
        let (crew, sender) = (Arc::clone(self), sender.clone());
        let body = move || {
            loop {
                let at = crew.next.fetch_add(1, Ordering::Relaxed);
                let Some(item) = crew.items.get(at) else { return };
                if sender.send(Event::Begun(at)).is_err() || sender.send(Event::Done(at, (crew.work)(item))).is_err() {
                    return;
                }
            }
        };
        // Without another thread there is less done side by side, or less in time.
        let _ = std::thread::Builder::new().name("pyattach-reader".into()).spawn(body);
    }
}

struct Watch {
    running: Vec<(usize, Instant)>,
    ended: Vec<bool>,
    end: Instant,
}

impl Watch {
    /// The next event, unless something is late before that.
    fn wait<T>(&self, events: &Receiver<Event<T>>, limit: Duration) -> Option<Event<T>> {
        let first = self.running.iter().map(|(_, since)| *since + limit).min().unwrap_or(self.end).min(self.end);
        events.recv_timeout(first.saturating_duration_since(Instant::now())).ok()
    }

    fn forget(&mut self, at: usize) {
        self.running.retain(|(running, _)| *running != at);
        if let Some(ended) = self.ended.get_mut(at) {
            *ended = true;
        }
    }

    /// Stops waiting for what has run for too long; how many these are.
    fn give_up(&mut self, limit: Duration) -> usize {
        let late: Vec<usize> =
            self.running.iter().filter(|(_, since)| since.elapsed() >= limit).map(|(at, _)| *at).collect();
        late.iter().for_each(|at| self.forget(*at));
        late.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    #[test]
    fn what_hangs_costs_only_itself() {
        let (hold, held) = channel::<()>();
        let held = Mutex::new(held);
        let items: Vec<usize> = (0..100).collect();
        let work = move |item: &usize| {
            if item.is_multiple_of(10) {
                let _ = held.lock().unwrap().recv();
            }
            item * 2
        };
        let results = each_with_deadline(items, Duration::from_millis(50), Duration::from_secs(60), work);
        for (item, result) in results.into_iter().enumerate() {
            assert_eq!(result, (!item.is_multiple_of(10)).then_some(item * 2), "{item}");
        }
        drop(hold);
    }

    #[test]
    fn the_whole_has_an_end_too() {
        let (hold, held) = channel::<()>();
        let held = Mutex::new(held);
        let work = move |_: &u32| drop(held.lock().map(|held| held.recv()));
        let started = Instant::now();
        let results = each_with_deadline(vec![1, 2, 3], Duration::from_secs(60), Duration::from_millis(30), work);
        assert_eq!(results, [None, None, None]);
        assert!(started.elapsed() < Duration::from_secs(30));
        drop(hold);
    }

    #[test]
    fn nothing_to_do() {
        assert!(each_with_deadline(Vec::<u8>::new(), Duration::ZERO, Duration::from_secs(60), |_| ()).is_empty());
    }
}
