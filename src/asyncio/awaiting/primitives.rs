//! Locks, semaphores, events, conditions, barriers and queues (`Lib/asyncio/locks.py`, `queues.py`).

use super::rules::Rule;
use super::words::counted;
use super::{Explainer, Reason, Step, WantedLock, tolerate};
use crate::asyncio::AwaitKind;
use crate::base::Addr;
use crate::target::ReadError;

impl Explainer<'_, '_> {
    /// How many items a container has, where it is one of those that are known.
    fn count(&self, container: Option<Addr>) -> Result<Option<usize>, ReadError> {
        match container {
            Some(container) => Ok(tolerate(self.objects.count(container))?.flatten()),
            None => Ok(None),
        }
    }

    /// A whole number in an attribute.
    fn number(&self, object: Option<Addr>) -> Result<Option<i128>, ReadError> {
        match object {
            Some(object) => match &*self.objects.type_name(object)? {
                "int" | "bool" => tolerate(self.objects.int(object)),
                _ => Ok(None),
            },
            None => Ok(None),
        }
    }

    fn waiters(&self, waiters: Option<Addr>) -> Result<String, ReadError> {
        Ok(self.count(waiters)?.map(|count| counted(count, "waiter")).unwrap_or_default())
    }

    /// `Lock.acquire` or `Semaphore.acquire`.
    pub(super) fn acquire(&self, step: Step) -> Result<Option<Reason>, ReadError> {
        let this = self.local(step, "self")?;
        let [locked, value, waiters] = self.objects.instance_attributes(this, ["_locked", "_value", "_waiters"])?;
        let class = self.class(this)?;
        let waiters = self.waiters(waiters)?;
        if let Some(locked) = self.number(locked)? {
            let after = if waiters.is_empty() { String::new() } else { format!(" ({waiters})") };
            let lock = WantedLock { object: this, is_held: locked != 0, is_shared: false, after };
            let reason = Reason::new(AwaitKind::Lock, this, class);
            return Ok(Some(Reason { lock: Some(lock), ..reason }));
        }
        let Some(value) = self.number(value)? else { return Ok(None) };
        let reason = Reason::new(AwaitKind::Semaphore, this, format!("{class} ({value} free, {waiters})"));
        let lock = WantedLock { object: this, is_held: value <= 0, is_shared: true, after: String::new() };
        Ok(Some(Reason { lock: Some(lock), ..reason }))
    }

    /// `Event.wait` and `Condition.wait`, and what is made of them: `Queue.join` and `Barrier.wait`.
    pub(super) fn notified(&self, step: Step, outer: &[Step]) -> Result<Option<Reason>, ReadError> {
        if let Some(next) = outer.first().filter(|next| next.rule == Some(Rule::Queue("join"))) {
            return self.queue(*next, "join", &[]);
        }
        let inside = outer.iter().take_while(|step| matches!(step.rule, Some(Rule::Notified | Rule::Barrier)));
        if let Some(part) = inside.into_iter().find(|step| step.rule == Some(Rule::Barrier)) {
            return self.barrier(*part);
        }
        let this = self.local(step, "self")?;
        let [value, lock, waiters] = self.objects.instance_attributes(this, ["_value", "_lock", "_waiters"])?;
        let kind = match (value, lock) {
            (_, Some(_)) => AwaitKind::Condition,
            (Some(_), None) => AwaitKind::Event,
            (None, None) => return Ok(None),
        };
        let text = format!("{} ({})", self.class(this)?, self.waiters(waiters)?);
        Ok(Some(Reason::new(kind, this, text)))
    }

    fn barrier(&self, step: Step) -> Result<Option<Reason>, ReadError> {
        let this = self.local(step, "self")?;
        let [parties, count] = self.objects.instance_attributes(this, ["_parties", "_count"])?;
        let (Some(parties), Some(count)) = (self.number(parties)?, self.number(count)?) else { return Ok(None) };
        let text = format!("{} ({count} of {parties} there)", self.class(this)?);
        Ok(Some(Reason::new(AwaitKind::Barrier, this, text)))
    }

    /// `get`, `put` or `join` of a `Queue`; `as_completed` waits in a queue of its own.
    pub(super) fn queue(&self, step: Step, method: &'static str, outer: &[Step]) -> Result<Option<Reason>, ReadError> {
        if let Some(next) = outer.first().filter(|next| next.rule == Some(Rule::AsCompleted)) {
            return self.as_completed(*next);
        }
        let this = self.local(step, "self")?;
        let names = ["_queue", "_maxsize", "_getters", "_putters", "_unfinished_tasks"];
        let [items, maxsize, getters, putters, unfinished] = self.objects.instance_attributes(this, names)?;
        let class = self.class(this)?;
        if method == "join" {
            let Some(unfinished) = self.number(unfinished)? else { return Ok(None) };
            return Ok(Some(Reason::new(AwaitKind::Queue, this, format!("{class}.join ({unfinished} not done)"))));
        }
        let items = self.count(items)?;
        let items = match (items, self.number(maxsize)?.filter(|most| *most > 0)) {
            (Some(items), Some(most)) => format!("{items} of {most} items"),
            (Some(items), None) => counted(items, "item"),
            (None, Some(most)) => format!("at most {most} items"),
            (None, None) => "an unknown number of items".to_owned(),
        };
        let waiters = self.waiters(if method == "get" { getters } else { putters })?;
        let text = format!("{class}.{method} ({items}, {waiters})");
        Ok(Some(Reason::new(AwaitKind::Queue, this, text)))
    }
}
