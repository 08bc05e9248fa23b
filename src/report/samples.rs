//! Several readings of a process, and what each thread did between them: which is stuck, which moves.
//!
//! A thread is said to be stuck only where every reading shows the same frames at the same instructions, and it did not run
//! between the first and the last: it was off the CPU, and has not been put on one since. What is claimed holds for the time
//! in which it was watched like this, and for no longer.
//!
//! Stopping a thread and letting it go puts it on a CPU. So where a reading took a stop of all threads, they are watched up to
//! that reading, and again when they have come to rest after it; the time between is no part of what is claimed.

use super::model::{SnapshotMode, StackReport, Thread};
use super::stack::{StackError, StackOptions, stack};
use crate::base::{Problem, ProblemKind};
use crate::interp::RawFrame;
use crate::os::{CpuUse, Process, Tasks, with_deadline};
use serde::{Serialize, Serializer};
use std::collections::hash_map::{DefaultHasher, Entry};
use std::collections::{HashMap, HashSet};
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How often, and after what time each, to look whether threads that were stopped have come to rest.
const LOOKS: u32 = 100;
const REST: Duration = Duration::from_millis(2);

/// How to take several readings.
#[derive(Clone, Copy, Debug)]
pub struct SampleOptions {
    /// How many.
    pub count: u32,
    /// Time from the end of one to the beginning of the next.
    pub interval: Duration,
}

/// The readings that were taken.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Samples {
    /// How many there were: fewer than asked for when that was interrupted or the process ended.
    pub count: u32,
    /// Time asked for between them.
    #[serde(rename = "interval_ms", serialize_with = "milliseconds")]
    pub interval: Duration,
    /// The longest time for which a thread was watched.
    #[serde(rename = "window_ms", serialize_with = "milliseconds")]
    pub window: Duration,
    /// Threads that an earlier reading showed and the last does not.
    pub ended: Vec<EndedThread>,
}

/// A thread that ended between two readings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct EndedThread {
    /// The kernel's id of it.
    pub tid: Option<i32>,
    /// `threading.get_ident()`.
    pub ident: String,
    /// `threading.Thread.name`.
    pub name: Option<String>,
}

/// What a thread did between the readings.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Motion {
    /// The sum of it.
    pub state: MotionState,
    /// In how many readings it was.
    pub samples: u32,
    /// How long it was watched: that for which something is claimed.
    #[serde(rename = "window_ms", serialize_with = "milliseconds")]
    pub window: Duration,
    /// How many different stacks the readings show.
    pub distinct_stacks: usize,
    /// How often it was put on a CPU in that time. A thread that pyattach stops and lets go is put on one by that.
    pub switches: Option<u64>,
    /// CPU time it used in that time.
    #[serde(rename = "cpu_ms", serialize_with = "opt_milliseconds")]
    pub cpu: Option<Duration>,
}

/// What can be said of a thread after several readings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum MotionState {
    /// The same frames at the same instructions, and proved not to have run.
    Stuck,
    /// The same frames at the same instructions, but it ran in between, or that is not known.
    SameStack,
    /// Different stacks.
    Moves,
    /// Only the last reading has it, so there is nothing to compare.
    New,
}

fn milliseconds<S: Serializer>(time: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(time.as_micros() as f64 / 1000.0)
}

fn opt_milliseconds<S: Serializer>(time: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
    match time {
        Some(time) => milliseconds(time, serializer),
        None => serializer.serialize_none(),
    }
}

/// Reads the stacks of a process several times; gives the last reading, with what each thread did meanwhile. `wait` lets the
/// time between two readings pass, and returns false to end with what there is.
///
/// # Errors
/// When the first reading fails. A later one that does ends the readings, and the report says so.
pub fn stack_samples(
    pid: i32,
    options: &StackOptions,
    samples: SampleOptions,
    mut wait: impl FnMut(Duration) -> bool,
) -> Result<StackReport, StackError> {
    let process = Process::open(pid)?;
    let mut history = History::new(process.tasks()?, options.timeout);
    history.look();
    let mut report = stack(pid, options)?;
    history.note(&report);
    for number in 2..=samples.count {
        if !wait(samples.interval) {
            break;
        }
        if process.is_alive() {
            history.look();
        }
        let failed = match stack(pid, options) {
            Ok(next) if process.is_alive() => {
                report = next;
                history.note(&report);
                continue;
            }
            Ok(_) => format!("process {pid} has ended"),
            Err(error) => error.to_string(),
        };
        let kind = if process.is_alive() { ProblemKind::Unreadable } else { ProblemKind::Gone };
        let message = format!("reading {number} of {} failed, so this is the one before: {failed}", samples.count);
        report.problems.push(Problem::new(kind, message));
        break;
    }
    if history.count > 1 && process.is_alive() {
        history.look();
    }
    history.finish(&mut report, samples.interval);
    Ok(report)
}

/// One thread of the process, watched.
struct Watch {
    /// What it had done when it was last looked at.
    last: CpuUse,
    /// Since when it has been watched without a break, and for how long before.
    since: Instant,
    before: Duration,
    /// When the last look at it began.
    to: Instant,
    switches: u64,
    cpu: Duration,
    /// It never ran: off the CPU at each look, and not put on one in between.
    still: bool,
}

impl Watch {
    fn new(activity: CpuUse, now: Instant) -> Watch {
        let (before, cpu) = (Duration::ZERO, Duration::ZERO);
        Watch { last: activity, since: now, before, to: now, switches: 0, cpu, still: true }
    }

    /// Looks at it again; the look began at `now`.
    fn go_on(&mut self, activity: CpuUse, now: Instant) {
        let switches = activity.runs.saturating_sub(self.last.runs);
        // A thread that is on a CPU all the time is not put on one again.
        self.still &= self.last.off_cpu && switches == 0;
        self.switches = self.switches.saturating_add(switches);
        self.cpu = self.cpu.saturating_add(activity.cpu.saturating_sub(self.last.cpu));
        self.last = activity;
        self.to = now;
    }

    /// Begins anew after a break; the look had ended by `now`.
    fn begin_anew(&mut self, activity: CpuUse, now: Instant) {
        self.before = self.window();
        (self.last, self.since, self.to) = (activity, now, now);
    }

    fn window(&self) -> Duration {
        self.before.saturating_add(self.to.saturating_duration_since(self.since))
    }
}

/// What tells a thread from every other: interpreter, ident, id.
type Key = (i64, String, Option<i32>);

fn key(thread: &Thread) -> Key {
    (thread.interpreter, thread.ident.clone(), thread.tid)
}

/// The stacks of one thread in the readings so far.
struct Track {
    name: Option<String>,
    samples: u32,
    /// Where its frames were in the reading before, and hashes of all its stacks.
    places: Arc<[RawFrame]>,
    stacks: HashSet<u64>,
    /// All readings showed the same frames; all were complete and proved.
    same: bool,
    proved: bool,
}

impl Track {
    fn new(thread: &Thread) -> Track {
        let (name, places) = (thread.name.clone(), thread.places.clone());
        Track { name, samples: 0, places, stacks: HashSet::new(), same: true, proved: true }
    }

    fn add(&mut self, thread: &Thread) {
        self.samples += 1;
        self.same &= self.places == thread.places;
        self.proved &= thread.consistent && thread.problems.iter().all(|problem| problem.kind == ProblemKind::Note);
        self.places = thread.places.clone();
        let mut hasher = DefaultHasher::new();
        self.places.hash(&mut hasher);
        self.stacks.insert(hasher.finish());
    }

    fn motion(&self, watch: Option<&Watch>) -> Motion {
        Motion {
            state: match self.same {
                _ if self.samples < 2 => MotionState::New,
                true if self.proved && watch.is_some_and(|watch| watch.still) => MotionState::Stuck,
                true => MotionState::SameStack,
                false => MotionState::Moves,
            },
            samples: self.samples,
            window: watch.map_or(Duration::ZERO, Watch::window),
            distinct_stacks: self.stacks.len(),
            switches: watch.map(|watch| watch.switches),
            cpu: watch.map(|watch| watch.cpu),
        }
    }
}

/// All threads over all readings.
struct History {
    tasks: Arc<Tasks>,
    limit: Duration,
    watches: HashMap<i32, Watch>,
    tracks: HashMap<Key, Track>,
    count: u32,
}

impl History {
    fn new(tasks: Tasks, limit: Duration) -> History {
        History { tasks: Arc::new(tasks), limit, watches: HashMap::new(), tracks: HashMap::new(), count: 0 }
    }

    /// Looks at all threads, while nothing of ours disturbs them.
    fn look(&mut self) {
        let began = Instant::now();
        let found = self.activities();
        let ended = Instant::now();
        // The process has ended: what is known of its threads is all that there is to know.
        if found.is_empty() {
            return;
        }
        self.watches.retain(|tid, _| found.contains_key(tid));
        for (tid, activity) in found {
            match self.watches.entry(tid) {
                Entry::Occupied(mut watch) => watch.get_mut().go_on(activity, began),
                Entry::Vacant(entry) => drop(entry.insert(Watch::new(activity, ended))),
            }
        }
    }

    /// Looks at all threads after they were stopped and let go, when those that were at rest are so again.
    fn look_after_stop(&mut self) {
        let rested = |(_, watch): &(&i32, &Watch)| watch.still && watch.last.off_cpu;
        let mut found = self.activities();
        for _ in 0..LOOKS {
            std::thread::sleep(REST);
            let before = std::mem::replace(&mut found, self.activities());
            // Twice the same: the count is asked before the state, and one that was let go may run in between.
            let rests = |tid| found.get(tid).is_none_or(|now| now.off_cpu && before.get(tid) == Some(now));
            if self.watches.iter().filter(rested).all(|(tid, _)| rests(tid)) {
                break;
            }
        }
        let ended = Instant::now();
        for (tid, watch) in &mut self.watches {
            if let Some(activity) = found.get(tid) {
                watch.begin_anew(*activity, ended);
            }
        }
    }

    /// What each thread of the process has done. Nothing if asking takes too long.
    fn activities(&self) -> HashMap<i32, CpuUse> {
        let tasks = Arc::clone(&self.tasks);
        let ask = move || {
            let tids = tasks.ids().unwrap_or_default();
            tids.into_iter().filter_map(|tid| Some((tid, tasks.cpu_use(tid)?))).collect()
        };
        with_deadline(self.limit, ask).unwrap_or_default()
    }

    /// Takes a reading in.
    fn note(&mut self, report: &StackReport) {
        self.count += 1;
        for thread in &report.threads {
            self.tracks.entry(key(thread)).or_insert_with(|| Track::new(thread)).add(thread);
        }
        // The last resort, a stop of all threads, can end without a reading too.
        let snapshot = &report.snapshot;
        if snapshot.mode == SnapshotMode::All || (snapshot.mode == SnapshotMode::None && snapshot.pause_us > 0) {
            self.look_after_stop();
        }
    }

    /// Says in the report what each thread did.
    fn finish(mut self, report: &mut StackReport, interval: Duration) {
        let mut window = Duration::ZERO;
        for thread in &mut report.threads {
            let watch = thread.tid.and_then(|tid| self.watches.get(&tid));
            window = window.max(watch.map_or(Duration::ZERO, Watch::window));
            let track = self.tracks.remove(&key(thread)).filter(|_| self.count > 1);
            thread.motion = track.map(|track| track.motion(watch));
        }
        let ended = |((_, ident, tid), track): (Key, Track)| EndedThread { tid, ident, name: track.name };
        let mut ended: Vec<EndedThread> = self.tracks.into_iter().map(ended).collect();
        ended.sort_by_key(|thread| thread.tid);
        report.samples = Some(Samples { count: self.count, interval, window, ended });
    }
}
