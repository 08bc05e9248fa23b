//! What a task waits for, where its chain of awaits ends.
//!
//! The innermost coroutine of the chain tells by its function: the standard library's are known ([`rules`]), and their local
//! variables lead to the queue, lock, socket or other tasks. A bare future tells by its class and by its own callbacks. What
//! belongs to all tasks is read once: timers, executors' work, who holds which lock. What neither tells is a future that
//! nothing more is known of; nothing is guessed.

mod combined;
mod fields;
mod futures;
mod holders;
mod network;
mod pools;
mod primitives;
mod reason;
mod rules;
mod timers;
mod words;

pub(super) use self::fields::read_loops as read_loop_fields;
use self::pools::Pools;
use self::reason::{Reason, WantedLock};
use self::rules::Rule;
use self::timers::Timers;
use super::types::Types;
use super::{Asyncio, AwaitKind, Awaiting, RawLink, RawTask, TaskState};
use crate::base::{Addr, AddrMap, Problem, ProblemKind};
use crate::interp::{Variables, World};
use crate::objects::Objects;
use crate::target::ReadError;
use nix::time::{ClockId, clock_gettime};
use std::collections::HashSet;
use std::time::Instant;

/// Innermost coroutines that are looked at. `Barrier.wait` is five deep, a stream's `readline` three.
const STEPS: usize = 8;
/// Kinds of tasks of which one is looked at alone.
const KINDS: usize = 200;
/// Tasks that are looked at together: what is read of them is kept until all of them are done.
const PORTION: usize = 4096;

/// Fills in [`RawTask::awaiting`], once chains and edges are there, and what is known of the loops. What is left when `until`
/// has come is said to be missing.
pub(super) fn explain(types: &Types<'_, '_>, world: &World, asyncio: &mut Asyncio, until: Instant) {
    let objects = types.objects;
    fields::read_loops(objects, &mut asyncio.loops);
    if asyncio.tasks.is_empty() {
        return;
    }
    let found = explained(types, world, asyncio, until);
    let mut failed = None;
    for (index, reason) in found {
        let Some(task) = asyncio.tasks.get_mut(index) else { continue };
        match reason {
            Ok(awaiting) => task.awaiting = awaiting,
            Err(error) => failed = failed.or(Some(error)),
        }
    }
    if let Some(error) = failed {
        let message = format!("what some tasks wait for: {error}");
        asyncio.problems.push(Problem::new(ProblemKind::Unreadable, message));
    }
}

/// What tasks wait for, by their index.
type Explained = Vec<(usize, Result<Option<Awaiting>, ReadError>)>;

fn explained(types: &Types<'_, '_>, world: &World, asyncio: &Asyncio, until: Instant) -> Explained {
    let objects = types.objects;
    let variables = Variables::default();
    let mut explainer = Explainer {
        timers: Timers::read(objects, &asyncio.loops),
        pools: pools::read(objects, &variables, world),
        watched: network::read_watched(objects, &asyncio.loops),
        rules: rules_of(asyncio),
        tasks: asyncio.tasks.iter().enumerate().map(|(index, task)| (task.address, index)).collect(),
        completions: AddrMap::default(),
        now: now(),
        objects,
        types,
        variables,
        asyncio,
    };
    let alive: Vec<usize> = (0..asyncio.tasks.len()).filter(|index| explainer.is_alive(*index)).collect();
    if explainer.rules.values().any(|rule| *rule == Some(Rule::AsCompleted)) {
        explainer.completions = explainer.read_completions(&alive);
    }
    explainer.get_to_know(&alive);
    let mut found = Vec::with_capacity(alive.len());
    let mut held: Vec<(Addr, Vec<Addr>)> = Vec::new();
    for portion in alive.chunks(PORTION) {
        for (index, looked) in portion.iter().zip(explainer.look(portion, until)) {
            let (reason, holds) =
                looked.map_or_else(|error| (Err(error), Vec::new()), |(reason, holds)| (Ok(reason), holds));
            if let (Some(task), false) = (asyncio.tasks.get(*index), holds.is_empty()) {
                held.push((task.address, holds));
            }
            found.push((*index, reason));
        }
        if portion.len() == PORTION {
            objects.cache.forget();
        }
    }
    let locks = found.iter().filter_map(|(_, reason)| reason.as_ref().ok()?.as_ref()?.lock.as_ref());
    let holders = holders::of(locks.map(|lock| lock.object), held);
    let said = |reason: Option<Reason>| reason.map(|reason| explainer.say(reason, &holders));
    found.into_iter().map(|(index, reason)| (index, reason.map(said))).collect()
}

/// `CLOCK_MONOTONIC`, which is the time of asyncio's loops (`time.monotonic`), in seconds.
fn now() -> Option<f64> {
    let now = clock_gettime(ClockId::CLOCK_MONOTONIC).ok()?;
    Some(now.tv_sec() as f64 + now.tv_nsec() as f64 / 1e9)
}

/// The rules for the code objects of all chains.
fn rules_of(asyncio: &Asyncio) -> AddrMap<Option<Rule>> {
    let mut rules = AddrMap::default();
    let frames = asyncio.tasks.iter().flat_map(|task| &task.chain).filter_map(|link| link.frame);
    for frame in frames {
        rules.entry(frame.code).or_insert_with(|| {
            let module = asyncio.modules.get(&frame.globals)?;
            let code = asyncio.codes.get(&frame.code)?.as_ref().ok()?;
            rules::rule(module, &code.name)
        });
    }
    rules
}

/// What one look at a task gives: what it waits for, and which locks it holds.
type Looked = (Option<Reason>, Vec<Addr>);

/// A suspended coroutine, or generator, of a chain.
#[derive(Clone, Copy)]
struct Step {
    rule: Option<Rule>,
    frame: Addr,
    code: Addr,
}

struct Explainer<'e, 'c> {
    objects: &'e Objects<'c>,
    types: &'e Types<'e, 'c>,
    asyncio: &'e Asyncio,
    variables: Variables,
    timers: Timers,
    pools: Pools,
    /// Descriptors that selectors watch, by what the callbacks carry.
    watched: AddrMap<i32>,
    rules: AddrMap<Option<Rule>>,
    /// What is left of each `as_completed`, by its queue, up to 3.12.
    completions: AddrMap<Addr>,
    /// Tasks by address.
    tasks: AddrMap<usize>,
    now: Option<f64>,
}

impl Explainer<'_, '_> {
    fn is_alive(&self, index: usize) -> bool {
        let state = self.asyncio.tasks.get(index).map(|task| task.state);
        matches!(state, Some(TaskState::Pending | TaskState::Running))
    }

    /// What these tasks wait for, and which locks they hold, if any task waits for one.
    fn look(&self, portion: &[usize], until: Instant) -> Vec<Result<Looked, ReadError>> {
        // Readers of objects take what cannot be read for what is not there: what was read late says nothing.
        let in_time = || if Instant::now() < until { Ok(()) } else { Err(ReadError::Deadline) };
        let with_locks = self.rules.values().any(|rule| *rule == Some(Rule::Acquire));
        self.objects.cache.batched(portion, |index| {
            in_time()?;
            let Some(task) = self.asyncio.tasks.get(*index) else { return Ok((None, Vec::new())) };
            // Both ask for what they miss before any of it is read.
            let reason = if task.state == TaskState::Pending { self.reason(task) } else { Ok(None) };
            let held = if with_locks { self.held_by(task) } else { Ok(Vec::new()) };
            let looked = (reason?, held?);
            in_time().map(|()| looked)
        })
    }

    /// Looks at one task of each kind alone: what it shows of types, and of where classes keep their attributes, need not be
    /// found out for all of them at once.
    fn get_to_know(&self, alive: &[usize]) {
        let mut seen = HashSet::new();
        for task in alive.iter().filter_map(|index| self.asyncio.tasks.get(*index)) {
            let code = task.chain.iter().rev().find_map(|link| link.frame).map(|frame| frame.code);
            if seen.len() < KINDS && seen.insert(code) {
                // What goes wrong shows again.
                let _ = self.reason(task);
                let _ = self.held_by(task);
            }
        }
    }

    /// The task at an address, if it is one of those that were found.
    fn task(&self, address: Addr) -> Option<&RawTask> {
        self.asyncio.tasks.get(*self.tasks.get(&address)?)
    }

    /// `task "reload"`.
    fn task_words(&self, address: Addr) -> String {
        match self.task(address).and_then(|task| task.name.as_deref()) {
            Some(name) => format!("task \"{}\"", words::short(name)),
            None => format!("task {address}"),
        }
    }

    fn step(&self, link: &RawLink) -> Option<Step> {
        let (frame, address) = (link.frame?, link.frame_address?);
        let rule = self.rules.get(&frame.code).copied().flatten();
        Some(Step { rule, frame: address, code: frame.code })
    }

    /// What a task waits for; `None` when that cannot be known.
    fn reason(&self, task: &RawTask) -> Result<Option<Reason>, ReadError> {
        let steps: Vec<Step> = task.chain.iter().rev().filter_map(|link| self.step(link)).take(STEPS).collect();
        let reason = match task.waiter {
            Some(waiter) => Some(self.of_waiter(waiter, &steps)?),
            None => self.without_waiter(task, &steps),
        };
        Ok(reason.map(|mut reason| {
            reason.ends = match (reason.ends, task.waiter.and_then(|waiter| self.timers.by_object.get(&waiter))) {
                (None, ends) => ends.copied(),
                (ends, _) => ends,
            };
            let limit = self.timers.of_task.get(&task.address).copied();
            self.add_times(&mut reason, limit);
            reason
        }))
    }

    /// A task that no future will wake is about to run; one with an end that is no future waits for that.
    fn without_waiter(&self, task: &RawTask, steps: &[Step]) -> Option<Reason> {
        if task.error.is_some() {
            return None;
        }
        let begun = task.chain.first().and_then(|link| link.frame).is_none_or(|frame| {
            let code = self.asyncio.codes.get(&frame.code).and_then(|code| code.as_ref().ok());
            code.is_none_or(|code| code.has_begun(frame.offset))
        });
        let text = match steps.first().and_then(|step| step.rule) {
            _ if !begun => "its first turn",
            Some(Rule::Turn) => "its turn, after sleep(0)",
            _ => "its turn",
        };
        Some(Reason::new(AwaitKind::Turn, None, text))
    }

    fn of_waiter(&self, waiter: Addr, steps: &[Step]) -> Result<Reason, ReadError> {
        if tolerate(self.is_done(waiter))? == Some(true) {
            return Ok(Reason::new(AwaitKind::Turn, waiter, "its turn: what it waited for is done"));
        }
        // A rule says more of a plain future than the future itself; a task or `gather` speaks for itself.
        if let Some(reason) = tolerate(self.of_kind(waiter))?.flatten() {
            return Ok(reason);
        }
        if let Some(reason) = tolerate(self.by_rule(waiter, steps))?.flatten() {
            return Ok(reason);
        }
        if let Some(reason) = tolerate(self.by_callbacks(waiter))?.flatten() {
            return Ok(reason);
        }
        if let Some(reason) = tolerate(self.by_connection(waiter, steps))?.flatten() {
            return Ok(reason);
        }
        self.bare(waiter)
    }

    fn by_rule(&self, waiter: Addr, steps: &[Step]) -> Result<Option<Reason>, ReadError> {
        let Some((step, outer)) = steps.split_first() else { return Ok(None) };
        match step.rule {
            Some(Rule::Sleep) => self.sleep(waiter, *step).map(Some),
            Some(Rule::WaitFor | Rule::CancelAndWait) => self.wait_for(waiter, *step),
            Some(Rule::Wait) => self.wait(*step),
            Some(Rule::TaskGroup) => self.task_group(*step),
            Some(Rule::Acquire) => self.acquire(*step),
            Some(Rule::Notified) => self.notified(*step, outer),
            Some(Rule::Queue(method)) => self.queue(*step, method, outer),
            Some(Rule::StreamData | Rule::StreamDrain | Rule::Stream(_)) => self.stream(steps),
            Some(Rule::Socket(method)) => self.socket(*step, method),
            Some(Rule::Server(method)) => self.server(*step, method),
            Some(Rule::Process) => self.child(*step),
            Some(Rule::AnyioThread) => self.anyio_thread(waiter, *step),
            Some(Rule::Turn | Rule::Enter | Rule::Barrier | Rule::AsCompleted) | None => Ok(None),
        }
    }

    fn sleep(&self, waiter: Addr, step: Step) -> Result<Reason, ReadError> {
        if self.timers.by_object.contains_key(&waiter) {
            return Ok(Reason::new(AwaitKind::Sleep, waiter, "sleep"));
        }
        let [delay] = self.variables.values(self.objects, step.frame, step.code, ["delay"])?;
        let delay = delay.map(|delay| timers::number(self.objects, delay)).transpose();
        let text = match tolerate(delay)?.flatten() {
            Some(delay) => format!("sleep of {}", words::seconds(delay)),
            None => "sleep".to_owned(),
        };
        Ok(Reason::new(AwaitKind::Sleep, waiter, text))
    }

    /// A future that nothing more is known of, or whatever else a task can wait for.
    fn bare(&self, waiter: Addr) -> Result<Reason, ReadError> {
        let class = self.class(waiter)?;
        Ok(match tolerate(self.is_done(waiter))? {
            Some(_) if class == "Future" => Reason::new(AwaitKind::Future, waiter, "a future"),
            Some(_) => Reason::new(AwaitKind::Future, waiter, format!("a {class}")),
            None => Reason::new(AwaitKind::Other, waiter, class),
        })
    }

    /// Adds when it ends: by its own timer, or because the task's time is up.
    fn add_times(&self, reason: &mut Reason, limit: Option<f64>) {
        let Some(now) = self.now else { return };
        let left = |ends: f64| (ends - now).max(0.0);
        let own = reason.ends.map(left);
        let limit = limit.map(left);
        let awaiting = &mut reason.awaiting;
        let said = match &mut reason.lock {
            Some(lock) => &mut lock.after,
            None => &mut awaiting.text,
        };
        if let Some(own) = own {
            let how = if awaiting.kind == AwaitKind::Sleep { ", {} left" } else { ", timeout in {}" };
            said.push_str(&how.replace("{}", &words::seconds(own)));
        }
        if let Some(limit) = limit {
            said.push_str(&format!(", timeout in {}", words::seconds(limit)));
        }
        awaiting.seconds_left = match (own, limit) {
            (Some(own), Some(limit)) => Some(own.min(limit)),
            (own, limit) => own.or(limit),
        };
    }

    /// The name of an object's class.
    fn class(&self, object: Addr) -> Result<String, ReadError> {
        Ok(words::short(words::last(&self.objects.type_name(object)?)))
    }

    /// A local variable of a step; an error where it has no value.
    fn local(&self, step: Step, name: &'static str) -> Result<Addr, ReadError> {
        let [value] = self.variables.values(self.objects, step.frame, step.code, [name])?;
        value.ok_or(ReadError::Invalid("local variable"))
    }

    /// The finished words.
    fn say(&self, reason: Reason, holders: &AddrMap<Vec<Addr>>) -> Awaiting {
        let Reason { mut awaiting, lock, .. } = reason;
        if let Some(lock) = lock {
            let holders = holders.get(&lock.object).map(Vec::as_slice).unwrap_or_default();
            awaiting.text.push_str(&self.held_words(&lock, holders));
            awaiting.text.push_str(&lock.after);
            awaiting.tasks = if lock.is_held { holders::proved(&lock, holders).to_vec() } else { Vec::new() };
        }
        awaiting
    }
}

/// What cannot be read says nothing; what is only not read yet is waited for, and when the time is up that has to be said.
fn tolerate<T>(result: Result<T, ReadError>) -> Result<Option<T>, ReadError> {
    match result {
        Err(error @ (ReadError::Deferred | ReadError::Deadline | ReadError::Gone)) => Err(error),
        result => Ok(result.ok()),
    }
}
