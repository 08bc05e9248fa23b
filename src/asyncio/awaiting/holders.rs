//! Who holds a lock: the task in one of whose coroutines an `async with` of that lock is open. Its `__aexit__` then lies on
//! the coroutine's value stack, bound to the lock, or, from 3.14 on, followed by it. A lock taken by `acquire` alone leaves no
//! such trace.

use super::rules::Rule;
use super::{Explainer, Step, WantedLock, tolerate};
use crate::asyncio::RawTask;
use crate::base::{Addr, AddrMap};
use crate::objects::Callable;
use crate::target::ReadError;

/// Holders that are named.
const NAMED: usize = 3;

/// Tasks with an open `async with`, by those of the locks that are waited for; `held` is what each task holds.
pub(super) fn of(locks: impl Iterator<Item = Addr>, held: Vec<(Addr, Vec<Addr>)>) -> AddrMap<Vec<Addr>> {
    let mut holders: AddrMap<Vec<Addr>> = locks.map(|lock| (lock, Vec::new())).collect();
    for (task, locks) in held {
        for lock in locks {
            if let Some(holders) = holders.get_mut(&lock)
                && holders.last() != Some(&task)
            {
                holders.push(task);
            }
        }
    }
    holders
}

/// The holders that are beyond doubt: one of a lock; all that were seen of a semaphore.
pub(super) fn proved<'h>(lock: &WantedLock, holders: &'h [Addr]) -> &'h [Addr] {
    if lock.is_shared || holders.len() == 1 { holders } else { &[] }
}

impl Explainer<'_, '_> {
    /// Locks of which a task's coroutines have an `async with` open.
    pub(super) fn held_by(&self, task: &RawTask) -> Result<Vec<Addr>, ReadError> {
        let steps: Vec<Step> = task.chain.iter().filter_map(|link| self.step(link)).collect();
        let mut held = Vec::new();
        for (index, step) in steps.iter().enumerate() {
            if step.rule.is_some() && step.rule != Some(Rule::Barrier) {
                continue;
            }
            let Some(exits) = tolerate(self.exits(*step))? else { continue };
            held.extend(self.without_waited_for(exits, steps.get(index + 1))?);
        }
        Ok(held)
    }

    /// The objects whose `__aexit__` lies on a frame's stack, the innermost `async with` last.
    fn exits(&self, step: Step) -> Result<Vec<Addr>, ReadError> {
        let mut operands = self.variables.operands(self.objects, step.frame, step.code)?;
        // The innermost is what is awaited; 3.15 has an empty slot above it.
        while operands.last().is_some_and(|operand| operand.is_null()) {
            operands.pop();
        }
        operands.pop();
        let mut exits = Vec::new();
        for (index, operand) in operands.iter().enumerate().filter(|(_, operand)| !operand.is_null()) {
            let Some(callable) = tolerate(self.objects.callable(*operand))? else { continue };
            let (function, bound_to) = match callable {
                Callable::Method(function, bound_to) => (function, Some(bound_to)),
                Callable::Function => (*operand, operands.get(index + 1).copied()),
                _ => continue,
            };
            let Some(object) = bound_to.and_then(Addr::non_null) else { continue };
            let name = tolerate(self.objects.function_name(function))?.unwrap_or_default();
            if name.ends_with("__aexit__") {
                exits.push(object);
            }
        }
        Ok(exits)
    }

    /// Those locks without the one that the frame is still to get: what it awaits is the lock's `__aenter__`, or the wait of
    /// a condition, which lets its lock go.
    fn without_waited_for(&self, mut exits: Vec<Addr>, inner: Option<&Step>) -> Result<Vec<Addr>, ReadError> {
        if exits.is_empty() {
            return Ok(exits);
        }
        let mut waited_for = None;
        if let Some(inner) = inner.filter(|inner| matches!(inner.rule, Some(Rule::Enter | Rule::Notified))) {
            let [this] = self.variables.values(self.objects, inner.frame, inner.code, ["self"])?;
            waited_for = this;
        }
        exits.retain(|object| Some(*object) != waited_for);
        // A condition's lock is held while the condition is.
        for object in &mut exits {
            if let Some([Some(lock)]) = tolerate(self.objects.instance_attributes(*object, ["_lock"]))? {
                *object = lock;
            }
        }
        Ok(exits)
    }

    /// What is said of the holders of a lock.
    pub(super) fn held_words(&self, lock: &WantedLock, holders: &[Addr]) -> String {
        let proved = proved(lock, holders);
        let mut names: Vec<String> = proved.iter().take(NAMED).map(|task| self.task_words(*task)).collect();
        if proved.len() > NAMED {
            names.push(format!("{} more", proved.len() - NAMED));
        }
        match (lock.is_held, lock.is_shared) {
            (_, true) if names.is_empty() => String::new(),
            (_, true) => format!(", held by {}", names.join(", ")),
            (true, false) if names.is_empty() => " held by an unknown task".to_owned(),
            (true, false) => format!(" held by {}", names.join(", ")),
            (false, false) => " that nobody holds".to_owned(),
        }
    }
}
