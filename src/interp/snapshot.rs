//! A consistent reading of a running process, stopping as little of it as possible.
//!
//! Only some threads can change Python state: with a GIL its holder, or, when it is free, whoever takes it next. The last
//! holder may take it again without the switch count moving; any other thread moves it. In a free-threaded build every
//! thread can. These *movers* must stand still while we read:
//!
//! 1. a mover that is off the CPU is watched: if it has not been put on one by the end, it never ran;
//! 2. a mover that runs is stopped with `ptrace`, if that is allowed, and we look again whether it still is the mover;
//! 3. everything is read; a first reading without a stop tells what memory that takes, so that the second, with the thread
//!    stopped, is a few batched system calls;
//! 4. GIL, lists and watches are compared with what they were. If anything moved, the reading is thrown away and we begin
//!    again, a bounded number of times; then all threads are stopped.
//!
//! Threads that were not stopped and did sleep throughout are proved one by one even where the whole is not: a thread's
//! stack changes only when that thread runs.

use super::along::Along;
use super::collect::{RawThread, World, collect, collect_with};
use super::curtain::Curtain;
use super::gil::{GilState, is_unmoved, read_movers};
use super::hold::Held;
use super::ids::{Identity, ThreadIds};
use super::known::Known;
use super::locals::Wanted;
use super::options::{Mode, Pause, SnapshotOptions};
use super::taken::{Snapshot, SnapshotError};
use crate::base::{Addr, Problem, ProblemKind};
use crate::cpython::Runtime;
use crate::objects::Objects;
use crate::os::{Activity, StopError, TaskStat, Tasks};
use crate::target::{Cache, Memory, ReadError, Until};
use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

/// Readings with single threads stopped, before all are.
const ATTEMPTS: u32 = 16;
/// Readings without a stop, when stopping is not allowed.
const ATTEMPTS_WITHOUT_STOP: u32 = 60;

/// A reading that takes longer is made sense of when the threads run again.
const LONG: Duration = Duration::from_millis(10);
/// So many things to be made sense of take less.
const FEW: usize = 500;
/// How often that may fail.
const MISSES: u32 = 2;

/// Longest time for a reading with nothing stopped.
const UNSTOPPED: Duration = Duration::from_secs(10);

/// The GILs as they were, and the movers that run and have to be stopped.
struct Movers {
    gils: Vec<GilState>,
    running: Vec<i32>,
}

/// One snapshot in the making.
struct Session<'s, A> {
    memory: &'s dyn Memory,
    runtime: &'s Runtime,
    along: &'s A,
    tasks: &'s Tasks,
    options: SnapshotOptions,
    ids: ThreadIds<'s>,
    pause: Duration,
    attempts: u32,
    /// Reading takes so long that threads are not kept stopped for it.
    is_long: bool,
    /// Readings for which the memory that was fetched did not suffice.
    missed: u32,
    /// What such a reading takes, as far as is known.
    known: Known,
}

/// Takes a snapshot, with what `along` reads; `&()` reads nothing more. `ns_pids` are the process's ids from our PID
/// namespace inwards. To be called from a thread that ends afterwards: that is what withdraws a stop that never came about.
pub fn snapshot<A: Along>(
    memory: &dyn Memory,
    runtime: &Runtime,
    tasks: &Tasks,
    ns_pids: &[i32],
    options: SnapshotOptions,
    along: &A,
) -> Result<Snapshot<A::Facts>, SnapshotError> {
    let ids = ThreadIds::new(memory, tasks, ns_pids);
    Session {
        memory,
        runtime,
        along,
        tasks,
        options,
        ids,
        pause: Duration::ZERO,
        attempts: 0,
        is_long: false,
        missed: 0,
        known: Known::default(),
    }
    .run()
}

/// A reading for which threads were stopped.
struct Stopped<A: Along> {
    read: Read<A>,
    stats: HashMap<i32, TaskStat>,
    /// How many.
    threads: usize,
}

/// What one reading gives: the world, and what was read along.
type Read<A> = (World, <A as Along>::Facts);

impl<'s, A: Along> Session<'s, A> {
    fn run(&mut self) -> Result<Snapshot<A::Facts>, SnapshotError> {
        let attempts = match self.options.pause {
            Pause::Auto => ATTEMPTS,
            Pause::Never => ATTEMPTS_WITHOUT_STOP,
            Pause::Always => 0,
        };
        let mut may_stop = self.options.pause != Pause::Never;
        for _ in 0..attempts {
            match self.attempt() {
                Ok(Some(snapshot)) => return Ok(snapshot),
                // It moved, or was torn by moving: again.
                Ok(None) | Err(ReadError::Invalid(_) | ReadError::Unmapped | ReadError::TooLarge) => {}
                Err(ReadError::Deadline) => {
                    may_stop = false;
                    break;
                }
                Err(error) => return Err(error.into()),
            }
        }
        let last = if may_stop { self.read_all_stopped() } else { self.read_unproved() };
        match last {
            Err(ReadError::Deadline) => Ok(self.read_unproved()?),
            result => Ok(result?),
        }
    }

    /// One reading; `None` when it cannot be proved.
    fn attempt(&mut self) -> Result<Option<Snapshot<A::Facts>>, ReadError> {
        self.attempts += 1;
        self.ids.forget();
        // A torn reading can lead into a maze; then we begin again.
        let until = Until::new(self.memory, Instant::now() + UNSTOPPED);
        let memory = Curtain::new(&until);
        let first = Cache::of_pages(&memory, A::PAGES);
        let mut held = Held::new(self.tasks);
        let Some(Movers { gils, running: to_stop }) = self.watch_movers(&first, &mut held)? else { return Ok(None) };
        if to_stop.is_empty() {
            let list = self.ids.list().to_vec();
            let read = || self.collect(&Cache::of_pages(&memory, A::PAGES), UNSTOPPED);
            let (read, stats) = self.tasks.look_during(&list, self.options.tasks, read);
            let read = match read {
                Err(ReadError::Deadline) => return Ok(None),
                read => read?,
            };
            let proved = is_unmoved(self.memory, self.runtime, &read.0, &gils)? && held.all_slept();
            return Ok(proved.then(|| Snapshot { stats, ..self.finish(read, gils, Mode::None, 0, HashSet::new()) }));
        }
        if self.options.pause == Pause::Never {
            return Ok(None);
        }
        self.get_to_know(&first, &memory);
        let stopped = held.stop(&to_stop, self.options.max_pause);
        let read = match held.refused.first() {
            // Waiting for it again and again would take as long each time.
            Some((_, StopError::Deadline)) => Err(ReadError::Deadline),
            _ if stopped => self.read_stopped(&gils, &mut held),
            _ => Ok(None),
        };
        self.pause = self.pause.max(held.pause());
        held.release();
        let Some(Stopped { read, stats, threads }) = read? else { return Ok(None) };
        Ok(Some(Snapshot { stats, ..self.finish(read, gils, Mode::Holder, threads, HashSet::new()) }))
    }

    /// Reads only to learn what memory that takes: such a reading may be torn, and is never shown. What a long one took, and
    /// what it was found to lack, is what the next takes, too: heaps are used again and again.
    fn get_to_know(&mut self, cache: &Cache<'_>, memory: &Curtain<'_>) {
        if self.is_long {
            return;
        }
        let begin = Instant::now();
        let _ = self.collect(cache, UNSTOPPED);
        self.is_long = begin.elapsed() > LONG;
        self.known = Known::new(cache.extents(), memory.absent());
        if self.is_long {
            self.known.widen();
        }
    }

    /// What the threads do now that some have been let go. Those ran when they were stopped, whatever they do now.
    fn look_after(&mut self, stopped: &HashSet<i32>) -> HashMap<i32, TaskStat> {
        let mut stats = self.tasks.look_during(self.ids.list(), self.options.tasks, || ()).1;
        for (_, stat) in stats.iter_mut().filter(|(tid, _)| stopped.contains(tid)) {
            stat.activity = stat.activity.map(|_| Ok(Activity::Running));
        }
        stats
    }

    /// Begins to watch the movers, and returns the GILs as they are, with the movers that run and have to be stopped. `None`
    /// when a mover cannot be told, as in the moment in which the GIL changes hands.
    fn watch_movers(&mut self, cache: &Cache<'_>, held: &mut Held<'s>) -> Result<Option<Movers>, ReadError> {
        let movers = read_movers(cache, self.memory, self.runtime)?;
        let gils = movers.iter().map(|mover| mover.gil).collect();
        if self.runtime.free_threaded {
            let Ok(all) = self.tasks.ids() else { return Ok(None) };
            let running = held.watch(all);
            return Ok(Some(Movers { gils, running }));
        }
        let mut tids = Vec::new();
        for mover in movers {
            let tid = mover.thread.and_then(|thread| self.host_id(&thread));
            if self.ids.problem().is_some() {
                return Ok(None);
            }
            match tid {
                Some(tid) => tids.push(tid),
                None if mover.gil.locked => return Ok(None),
                // Nobody has held it yet, or the last holder has ended and cannot take it again.
                None => {}
            }
        }
        Ok(Some(Movers { gils, running: held.watch(tids) }))
    }

    /// The kernel's id of a thread. Where only inference tells, that takes all threads, and is done once.
    fn host_id(&mut self, thread: &Identity) -> Option<i32> {
        self.ids.list();
        self.ids.host(thread).or_else(|| {
            if thread.recorded.is_some() {
                // It has ended.
                return None;
            }
            let memory = Until::new(self.memory, Instant::now() + UNSTOPPED);
            let world = collect(&Cache::new(&memory), self.runtime).ok()?;
            self.ids.learn(&identities(&world), world.main_thread);
            self.ids.host(thread)
        })
    }

    /// Reads with the movers stopped, in few system calls: what the first reading took is fetched at once. What is read along
    /// with the stacks may take long to make sense of, so that is done when the movers run again, out of what was fetched. If
    /// that is not enough, as the first reading took other memory, it is done before they are let go the next time but one.
    fn read_stopped(&mut self, gils: &[GilState], held: &mut Held<'s>) -> Result<Option<Stopped<A>>, ReadError> {
        let until = Until::new(self.memory, Instant::now() + self.options.max_pause);
        let memory = Curtain::with_absent(&until, self.known.absent.clone());
        let cache = Cache::of_pages(&memory, A::PAGES);
        cache.prefetch_again(self.known.extents.iter().copied());
        let world = collect_with(&cache, self.runtime, self.wanted(self.options.max_pause))?;
        let found = self.along.find(&Objects::new(&cache, &self.runtime.layout, self.runtime.quirks), &world);
        let at_once = !self.is_long && found <= FEW || self.missed > MISSES;
        let along = at_once.then(|| self.read_along(&cache, &world, self.options.max_pause));
        // In the few instructions that link a frame a stack makes no sense; the next stop hits others.
        if world.is_torn() || !is_unmoved(self.memory, self.runtime, &world, gils)? {
            return Ok(None);
        }
        self.pause = self.pause.max(held.pause());
        let stopped = held.release();
        if !held.all_slept() {
            return Ok(None);
        }
        let stats = self.look_after(&stopped);
        memory.close();
        let along = along.unwrap_or_else(|| self.read_along(&cache, &world, UNSTOPPED));
        let missed = memory.missed();
        if !at_once && !missed.is_empty() {
            self.missed += 1;
            // Even where the first reading was cut short by being torn.
            self.is_long = true;
            self.known = Known::new(cache.extents().into_iter().chain(missed).collect(), memory.absent());
            self.known.widen();
            return Ok(None);
        }
        let threads = stopped.len();
        Ok((!A::is_torn(&along)).then_some(Stopped { read: (world, along), stats, threads }))
    }

    fn collect(&self, cache: &Cache<'_>, time: Duration) -> Result<Read<A>, ReadError> {
        let world = collect_with(cache, self.runtime, self.wanted(time))?;
        let along = self.read_along(cache, &world, time);
        Ok((world, along))
    }

    fn read_along(&self, cache: &Cache<'_>, world: &World, time: Duration) -> A::Facts {
        let until = Instant::now() + time / 4 * 3;
        let objects = Objects::new(cache, &self.runtime.layout, self.runtime.quirks);
        self.along.read(&objects, self.runtime, world, until)
    }

    /// What is wanted of values in a reading that begins now: no more than half of its time, so that stacks never wait.
    fn wanted(&self, time: Duration) -> Option<Wanted> {
        let until = Instant::now() + time / 2;
        self.options.values.map(|limits| Wanted { limits, until })
    }

    /// The last resort: all threads stopped, those begun meanwhile too.
    fn read_all_stopped(&mut self) -> Result<Snapshot<A::Facts>, ReadError> {
        self.attempts += 1;
        self.ids.forget();
        let unstopped = Until::new(self.memory, Instant::now() + UNSTOPPED);
        let first = Cache::of_pages(&unstopped, A::PAGES);
        let _ = self.collect(&first, UNSTOPPED);
        let ids = self.tasks.ids().unwrap_or_default();
        let stats = self.tasks.look_during(&ids, self.options.tasks, || ()).1;
        let mut held = Held::new(self.tasks);
        held.stop_all(self.options.max_pause);
        let memory = Until::new(self.memory, Instant::now() + self.options.max_pause);
        let cache = Cache::of_pages(&memory, A::PAGES);
        cache.prefetch_again(first.extents());
        let read = self.collect(&cache, self.options.max_pause);
        let gils = read_movers(&Cache::new(&memory), &memory, self.runtime);
        self.pause = self.pause.max(held.pause());
        let mut still = held.release();
        let stopped = still.len();
        still.extend(held.slept());
        let mut read = read?;
        let world = &mut read.0;
        if let Some((tid, error)) = held.refused.first() {
            let others = match held.refused.len() - 1 {
                0 => String::new(),
                n => format!(", and {n} more"),
            };
            let message = format!("could not stop thread {tid} ({error}){others}");
            world.problems.push(Problem::new(ProblemKind::Unproved, message));
        }
        let all_stand_still = held.refused.is_empty() && !held.unlisted;
        let unproved = if all_stand_still { HashSet::new() } else { self.not_among(&still, world) };
        let mode = if stopped > 0 { Mode::All } else { Mode::None };
        let gils = gils?.into_iter().map(|m| m.gil).collect();
        Ok(Snapshot { stats, ..self.finish(read, gils, mode, stopped, unproved) })
    }

    /// The best that can be had without stopping: every thread is watched by itself, and those that ran are marked.
    fn read_unproved(&mut self) -> Result<Snapshot<A::Facts>, ReadError> {
        self.attempts += 1;
        self.ids.forget();
        let mut held = Held::new(self.tasks);
        held.watch(self.tasks.ids().unwrap_or_default());
        let memory = Until::new(self.memory, Instant::now() + UNSTOPPED);
        let read = self.collect(&Cache::of_pages(&memory, A::PAGES), UNSTOPPED)?;
        let gils = read_movers(&Cache::new(self.memory), self.memory, self.runtime)?;
        let unproved = self.not_among(&held.slept(), &read.0);
        Ok(self.finish(read, gils.into_iter().map(|m| m.gil).collect(), Mode::None, 0, unproved))
    }

    fn not_among(&mut self, still: &HashSet<i32>, world: &World) -> HashSet<Addr> {
        self.ids.list();
        self.ids.learn(&identities(world), world.main_thread);
        let moved = |thread: &Identity| self.ids.host(thread).is_none_or(|tid| !still.contains(&tid));
        identities(world).into_iter().filter(moved).map(|thread| thread.thread).collect()
    }

    fn finish(
        &mut self,
        (mut world, along): Read<A>,
        gils: Vec<GilState>,
        mode: Mode,
        stopped_threads: usize,
        unproved: HashSet<Addr>,
    ) -> Snapshot<A::Facts> {
        if !unproved.is_empty() {
            let message = match unproved.len() {
                1 => "1 thread ran while it was read: its stack is not proved".to_owned(),
                n => format!("{n} threads ran while they were read: their stacks are not proved"),
            };
            world.problems.push(Problem::new(ProblemKind::Unproved, message));
        }
        let threads = identities(&world);
        let tids = self.ids.list().to_vec();
        world.problems.extend(self.ids.problem());
        self.ids.learn(&threads, world.main_thread);
        let id = |thread: &Identity| Some((thread.thread, (self.ids.own(thread)?, self.ids.host(thread)?)));
        Snapshot {
            gils: gils.into_iter().map(|gil| (gil.address, gil)).collect(),
            native_ids: threads.iter().filter_map(id).collect(),
            tids,
            stats: HashMap::new(),
            world,
            along,
            mode,
            stopped_threads,
            pause: self.pause,
            attempts: self.attempts,
            unproved,
        }
    }
}

fn identities(world: &World) -> Vec<Identity> {
    world.threads().map(RawThread::identity).collect()
}
