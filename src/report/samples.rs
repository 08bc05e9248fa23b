//! Several readings of a process, and what each thread did between them: which is stuck, which moves.
//!
//! A thread is said to be stuck only where that is proved: every reading shows the same frames at the same instructions; it
//! was off the CPU before the first reading, and when the last was over it had not been put on one since. What is claimed
//! holds for the time between these two looks at it, and for no longer.

use super::model::{StackReport, Thread};
use super::stack::{StackError, StackOptions, stack};
use crate::base::{Problem, ProblemKind};
use crate::interp::RawFrame;
use crate::os::{Activity, Process, Tasks, with_deadline};
use serde::{Serialize, Serializer};
use std::collections::hash_map::DefaultHasher;
use std::collections::{HashMap, HashSet};
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::time::{Duration, Instant};

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
    /// Time between the looks at the threads before the first reading and after the last: that for which something is claimed.
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
    /// Time between the looks at it before the first reading it was in and after the last.
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
    let tasks = Arc::new(process.tasks()?);
    let mut history = History::default();
    history.look(&tasks, options.timeout);
    let mut report = stack(pid, options)?;
    history.note(&report);
    for number in 2..=samples.count {
        if !wait(samples.interval) {
            break;
        }
        history.look(&tasks, options.timeout);
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
    let to = Instant::now();
    let lasts = activities(&tasks, options.timeout, HashSet::new());
    history.finish(&mut report, to, &lasts, samples.interval);
    Ok(report)
}

/// What tells a thread from every other: interpreter, ident, id.
type Key = (i64, String, Option<i32>);

fn key(thread: &Thread) -> Key {
    (thread.interpreter, thread.ident.clone(), thread.tid)
}

/// What is known of one thread from the readings so far.
struct Track {
    name: Option<String>,
    samples: u32,
    /// When its first reading was about to begin, and what it had done by then.
    from: Instant,
    first: Option<Activity>,
    /// Where its frames were in the reading before, and hashes of all its stacks.
    places: Arc<[RawFrame]>,
    stacks: HashSet<u64>,
    /// All readings showed the same frames; all were complete and proved.
    same: bool,
    proved: bool,
}

impl Track {
    fn add(&mut self, thread: &Thread) {
        self.samples += 1;
        self.same &= self.places == thread.places;
        self.proved &= is_proved(thread);
        self.places = thread.places.clone();
        self.stacks.insert(hash(&thread.places));
    }

    /// What it did up to `to`, when it had done what `last` says.
    fn motion(&self, to: Instant, last: Option<Activity>) -> Motion {
        let both = self.first.zip(last);
        let switches = both.map(|(then, now)| now.runs.saturating_sub(then.runs));
        // A thread that is on a CPU all the time is not put on one again; one that was off it and was not, did not run.
        let still = switches == Some(0) && self.first.is_some_and(|first| first.off_cpu);
        Motion {
            state: match self.same {
                _ if self.samples < 2 => MotionState::New,
                true if still && self.proved => MotionState::Stuck,
                true => MotionState::SameStack,
                false => MotionState::Moves,
            },
            samples: self.samples,
            window: to.saturating_duration_since(self.from),
            distinct_stacks: self.stacks.len(),
            switches,
            cpu: both.map(|(then, now)| now.cpu.saturating_sub(then.cpu)),
        }
    }
}

/// The threads of the process, with what each has done, but for those that are known. Nothing if that takes too long.
fn activities(tasks: &Arc<Tasks>, limit: Duration, known: HashSet<i32>) -> HashMap<i32, Option<Activity>> {
    let tasks = Arc::clone(tasks);
    let all = with_deadline(limit, move || {
        let ask = |tid: i32| (tid, if known.contains(&tid) { None } else { tasks.activity(tid) });
        tasks.ids().unwrap_or_default().into_iter().map(ask).collect()
    });
    all.unwrap_or_default()
}

fn is_proved(thread: &Thread) -> bool {
    thread.consistent && thread.problems.iter().all(|problem| problem.kind == ProblemKind::Note)
}

fn hash(places: &[RawFrame]) -> u64 {
    let mut hasher = DefaultHasher::new();
    places.hash(&mut hasher);
    hasher.finish()
}

/// All threads over all readings.
#[derive(Default)]
struct History {
    /// What each thread of the process had done, and when that had been asked, before the first reading that can have it.
    firsts: HashMap<i32, (Option<Activity>, Instant)>,
    tracks: HashMap<Key, Track>,
    count: u32,
}

impl History {
    /// Looks at the threads that are new, before a reading.
    fn look(&mut self, tasks: &Arc<Tasks>, limit: Duration) {
        let found = activities(tasks, limit, self.firsts.keys().copied().collect());
        // The time is taken when all have been asked: nothing is claimed for the time before.
        let now = Instant::now();
        self.firsts.retain(|tid, _| found.contains_key(tid));
        for (tid, activity) in found {
            self.firsts.entry(tid).or_insert((activity, now));
        }
    }

    /// Takes a reading in.
    fn note(&mut self, report: &StackReport) {
        self.count += 1;
        let now = Instant::now();
        for thread in &report.threads {
            let first = thread.tid.and_then(|tid| self.firsts.get(&tid).copied());
            let (first, from) = first.unwrap_or((None, now));
            let new = || Track {
                name: thread.name.clone(),
                samples: 0,
                from,
                first,
                places: thread.places.clone(),
                stacks: HashSet::new(),
                same: true,
                proved: true,
            };
            self.tracks.entry(key(thread)).or_insert_with(new).add(thread);
        }
    }

    /// Says in the report what each thread did up to `to`, when it had done what `lasts` says or less.
    fn finish(
        mut self,
        report: &mut StackReport,
        to: Instant,
        lasts: &HashMap<i32, Option<Activity>>,
        interval: Duration,
    ) {
        let from = self.tracks.values().map(|track| track.from).min();
        for thread in &mut report.threads {
            let track = self.tracks.remove(&key(thread)).filter(|_| self.count > 1);
            thread.motion = track.map(|track| track.motion(to, thread.tid.and_then(|tid| *lasts.get(&tid)?)));
        }
        let ended = |((_, ident, tid), track): (Key, Track)| EndedThread { tid, ident, name: track.name };
        let mut ended: Vec<EndedThread> = self.tracks.into_iter().map(ended).collect();
        ended.sort_by_key(|thread| thread.tid);
        let window = from.map_or(Duration::ZERO, |from| to.saturating_duration_since(from));
        report.samples = Some(Samples { count: self.count, interval, window, ended });
    }
}
