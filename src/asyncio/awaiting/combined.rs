//! Futures that stand for others: `gather`, `wait`, `as_completed`, `TaskGroup`, `shield`, `wait_for`
//! (`Lib/asyncio/tasks.py`, `taskgroups.py`).

use super::{Explainer, Reason, Step, tolerate};
use crate::asyncio::functions::free_variables;
use crate::asyncio::{AwaitKind, TaskState};
use crate::base::{Addr, AddrMap, limits};
use crate::objects::Callable;
use crate::target::ReadError;

/// Things that one task waits for together.
const MEMBERS: usize = limits::DICT_ENTRIES;
/// Shields within shields.
const DEPTH: usize = 8;

impl Explainer<'_, '_> {
    /// Those of some futures that are not done.
    fn not_done(&self, futures: Vec<Addr>) -> Result<Vec<Addr>, ReadError> {
        let mut left = Vec::new();
        let mut missing = None;
        for future in futures {
            let done = match self.task(future) {
                Some(task) => Ok(!matches!(task.state, TaskState::Pending | TaskState::Running)),
                None => self.is_done(future),
            };
            match done {
                Ok(true) => {}
                Ok(false) => left.push(future),
                // All of those that are missing are asked for at once.
                Err(error) => missing = Some(error),
            }
        }
        missing.map_or(Ok(left), Err)
    }

    /// Those that are tasks.
    fn only_tasks(&self, futures: &[Addr]) -> Vec<Addr> {
        futures.iter().copied().filter(|future| self.tasks.contains_key(future)).collect()
    }

    /// A task, or what `gather` returns: these speak for themselves.
    pub(super) fn of_kind(&self, future: Addr) -> Result<Option<Reason>, ReadError> {
        if self.tasks.contains_key(&future) {
            let reason = Reason::new(AwaitKind::Task, future, self.task_words(future));
            return Ok(Some(reason.with_tasks(vec![future])));
        }
        match super::words::last(&self.objects.type_name(future)?) {
            "_GatheringFuture" => {}
            "Task" => return Ok(Some(Reason::new(AwaitKind::Task, future, self.task_words(future)))),
            _ => return Ok(None),
        }
        let [children] = self.objects.instance_attributes(future, ["_children"])?;
        let Some(children) = children else { return Ok(None) };
        let children = self.objects.items(children, MEMBERS)?;
        let total = children.len();
        // `gather(a, a)` has one twice.
        let mut left = self.not_done(children)?;
        let text = format!("gather ({} of {total} not done)", left.len());
        left.sort_unstable();
        left.dedup();
        Ok(Some(Reason::new(AwaitKind::Gather, future, text).with_tasks(self.only_tasks(&left))))
    }

    /// `asyncio.wait`.
    pub(super) fn wait(&self, step: Step) -> Result<Option<Reason>, ReadError> {
        let [futures, when] = self.variables.values(self.objects, step.frame, step.code, ["fs", "return_when"])?;
        let Some(futures) = futures else { return Ok(None) };
        let members = self.objects.items(futures, MEMBERS)?;
        let total = members.len();
        let left = self.not_done(members)?;
        let when = match when {
            Some(when) => tolerate(self.objects.checked_str(when))?,
            None => None,
        };
        let until = match when.as_deref() {
            Some("FIRST_COMPLETED") => ", for the first",
            Some("FIRST_EXCEPTION") => ", for the first exception",
            _ => "",
        };
        let text = format!("wait ({} of {total} not done{until})", left.len());
        Ok(Some(Reason::new(AwaitKind::Wait, futures, text).with_tasks(self.only_tasks(&left))))
    }

    /// The next of `as_completed`. From 3.13 on it has an iterator that knows what is left; before, only the callbacks of
    /// what is waited for do.
    pub(super) fn as_completed(&self, step: Step) -> Result<Option<Reason>, ReadError> {
        let [this, done] = self.variables.values(self.objects, step.frame, step.code, ["self", "done"])?;
        let todo = match this {
            Some(this) => self.objects.instance_attributes(this, ["_todo"])?[0],
            None => done.and_then(|done| self.completions.get(&done).copied()),
        };
        let Some(todo) = todo else {
            return Ok(Some(Reason::new(AwaitKind::Wait, this.or(done), "as_completed")));
        };
        let left = self.objects.items(todo, MEMBERS)?;
        let text = format!("as_completed ({} not done)", left.len());
        let reason = Reason::new(AwaitKind::Wait, this.or(done), text).with_tasks(self.only_tasks(&left));
        Ok(Some(Reason { ends: this.and_then(|this| self.timers.by_object.get(&this).copied()), ..reason }))
    }

    /// The set of what is left of each `as_completed` up to 3.12, by its queue: both are in the closure of the callback that
    /// it has with all of those.
    pub(super) fn read_completions(&self, alive: &[usize]) -> AddrMap<Addr> {
        let found = self.objects.cache.batched(alive, |index| match self.asyncio.tasks.get(*index) {
            Some(task) => self.completions_of(task.address),
            None => Ok(Vec::new()),
        });
        found.into_iter().flatten().flatten().collect()
    }

    fn completions_of(&self, future: Addr) -> Result<Vec<(Addr, Addr)>, ReadError> {
        let mut found = Vec::new();
        for callback in self.callbacks(future)? {
            if self.objects.callable(callback)? != Callable::Function
                || self.objects.function_name(callback)? != "as_completed.<locals>._on_completion"
            {
                continue;
            }
            let (queue, todo) = (self.free_variable(callback, "done")?, self.free_variable(callback, "todo")?);
            found.extend(queue.zip(todo));
        }
        Ok(found)
    }

    /// The end of a `TaskGroup`: those of its tasks that are not done.
    pub(super) fn task_group(&self, step: Step) -> Result<Option<Reason>, ReadError> {
        let this = self.local(step, "self")?;
        let [tasks, aborting] = self.objects.instance_attributes(this, ["_tasks", "_aborting"])?;
        let Some(tasks) = tasks else { return Ok(None) };
        let left = self.objects.items(tasks, MEMBERS)?;
        let aborting = match aborting {
            Some(aborting) => tolerate(self.objects.int(aborting))?.unwrap_or(0) != 0,
            None => false,
        };
        let cancelled = if aborting { ", being cancelled" } else { "" };
        let text = format!("TaskGroup ({} not done{cancelled})", super::words::counted(left.len(), "task"));
        Ok(Some(Reason::new(AwaitKind::TaskGroup, this, text).with_tasks(self.only_tasks(&left))))
    }

    /// `wait_for` where it waits by itself: up to 3.11, and while what it has cancelled ends.
    pub(super) fn wait_for(&self, waiter: Addr, step: Step) -> Result<Option<Reason>, ReadError> {
        let inner = self.local(step, "fut")?;
        if inner == waiter {
            // It speaks for itself.
            return Ok(None);
        }
        let of = match self.of_future(inner, DEPTH)? {
            Some(reason) => reason,
            None => return Ok(Some(Reason::new(AwaitKind::WaitFor, inner, "wait_for a future"))),
        };
        let text = format!("wait_for {}", of.awaiting.text);
        let kind = match of.awaiting.kind {
            AwaitKind::Task | AwaitKind::Future => AwaitKind::WaitFor,
            kind => kind,
        };
        let awaiting = crate::asyncio::Awaiting { kind, text, ..of.awaiting };
        Ok(Some(Reason { awaiting, ..of }))
    }

    /// What a future says of itself, by its class and its callbacks.
    fn of_future(&self, future: Addr, depth: usize) -> Result<Option<Reason>, ReadError> {
        match self.of_kind(future)? {
            Some(reason) => Ok(Some(reason)),
            None => self.callbacks_tell(future, depth),
        }
    }

    /// What a future's own callbacks tell: `shield` and executors leave some there.
    pub(super) fn by_callbacks(&self, future: Addr) -> Result<Option<Reason>, ReadError> {
        self.callbacks_tell(future, DEPTH)
    }

    fn callbacks_tell(&self, future: Addr, depth: usize) -> Result<Option<Reason>, ReadError> {
        let Some(depth) = depth.checked_sub(1) else { return Ok(None) };
        for callback in self.callbacks(future)? {
            if self.objects.callable(callback)? != Callable::Function {
                continue;
            }
            let name = self.objects.function_name(callback)?;
            let reason = match &*name {
                // `_outer_done_callback` has the inner future in its closure.
                "shield.<locals>._outer_done_callback" => self.shield(callback, depth)?,
                // It has the `concurrent.futures.Future`, as `source`.
                "_chain_future.<locals>._call_check_cancel" => self.chained(future, callback)?,
                _ => None,
            };
            if reason.is_some() {
                return Ok(reason);
            }
        }
        Ok(None)
    }

    fn shield(&self, callback: Addr, depth: usize) -> Result<Option<Reason>, ReadError> {
        let Some(inner) = self.free_variable(callback, "inner")? else { return Ok(None) };
        let text = match self.of_future(inner, depth)? {
            Some(reason) => reason.awaiting.text,
            None => "a future".to_owned(),
        };
        let tasks = self.only_tasks(&[inner]);
        Ok(Some(Reason::new(AwaitKind::Shield, inner, format!("shield of {text}")).with_tasks(tasks)))
    }

    /// What a function's closure has under a name.
    fn free_variable(&self, function: Addr, name: &str) -> Result<Option<Addr>, ReadError> {
        let variables = free_variables(self.objects, function)?;
        Ok(variables.into_iter().find(|(own, _)| **own == *name).map(|(_, value)| value))
    }

    /// A call in an executor.
    fn chained(&self, future: Addr, callback: Addr) -> Result<Option<Reason>, ReadError> {
        let Some(source) = self.free_variable(callback, "source")? else { return Ok(None) };
        let Some(work) = self.pools.get(&source) else {
            // `wrap_future` chains those of executors that were not found, of `run_coroutine_threadsafe`, of other loops.
            let text = match tolerate(self.is_done(source))? {
                Some(_) => "a future of another loop",
                None => "a concurrent.futures.Future",
            };
            return Ok(Some(Reason::new(AwaitKind::Future, source, text)));
        };
        Ok(Some(Reason::new(AwaitKind::Executor, future, work.words())))
    }
}
