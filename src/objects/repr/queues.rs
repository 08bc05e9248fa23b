//! Queues and futures: what is handed from thread to thread, or from task to task.

use super::Writer;
use super::classes::must;
use super::types::Type;
use crate::base::{Addr, FieldValue};
use crate::cpython::layout::{at, future_offsets, task_offsets};
use crate::target::ReadError;
use std::rc::Rc;

impl Writer<'_, '_> {
    /// `<queue.Queue at 0x… length=1, maxsize=2, unfinished=1, getters=1, putters=1, joiners=1, queue=deque([7])>`, numbers
    /// that are 0 left out behind the first two. Who waits does so for a condition (`Lib/queue.py`).
    pub(super) fn queue(&mut self, object: Addr, ty: &Rc<Type>) -> Result<(), ReadError> {
        let [items, maxsize, unfinished] = self.own(object, ["queue", "maxsize", "unfinished_tasks"])?;
        let conditions = self.own(object, ["not_empty", "not_full", "all_tasks_done"])?;
        let [shut_down] = self.own(object, ["is_shutdown"])?;
        let (length, maxsize) = (self.length(Some(must(items)?))?, self.number(must(maxsize)?)?);
        let mut text = format!("<{} at {object} length={length}, maxsize={maxsize}", ty.full_name());
        let unfinished = self.number(must(unfinished)?)?;
        text += &if unfinished == 0 { String::new() } else { format!(", unfinished={unfinished}") };
        for (condition, name) in conditions.into_iter().zip(["getters", "putters", "joiners"]) {
            match self.length(Some(self.must_own(must(condition)?, "_waiters")?))? {
                0 => {}
                count => text += &format!(", {name}={count}"),
            }
        }
        if let Some(shut_down) = shut_down
            && self.truth(shut_down)?
        {
            text += ", shut down";
        }
        self.with_items(object, &text, items.filter(|_| length > 0))
    }

    /// A text, then the items of what is described by it, unless that is too deep.
    fn with_items(&mut self, object: Addr, text: &str, items: Option<Addr>) -> Result<(), ReadError> {
        self.push(text);
        if let Some(items) = items {
            self.nested(object, "", |writer| {
                writer.push(", queue=");
                writer.object(items);
                Ok(())
            })?;
        }
        self.push(">");
        Ok(())
    }

    /// `<Queue at 0x… maxsize=3 _queue=[1] _getters[1] _putters[1] tasks=1>`, as `asyncio.Queue.__repr__`.
    pub(super) fn async_queue(&mut self, object: Addr, ty: &Rc<Type>) -> Result<(), ReadError> {
        let [maxsize, items, getters] = self.own(object, ["_maxsize", "_queue", "_getters"])?;
        let [putters, unfinished, shut_down] = self.own(object, ["_putters", "_unfinished_tasks", "_is_shutdown"])?;
        let maxsize = self.number(must(maxsize)?)?;
        let (getters, putters) = (self.length(getters)?, self.length(putters)?);
        let unfinished = self.number(must(unfinished)?)?;
        let shut_down = shut_down.map(|value| self.truth(value)).transpose()?.unwrap_or(false);
        let length = self.length(items)?;
        self.push("<");
        self.push_name(ty.name());
        self.push(&format!(" at {object} maxsize={maxsize}"));
        if let Some(items) = items.filter(|_| length > 0) {
            self.nested(object, " _queue=[...]", |writer| {
                let (items, total) = match &*writer.objects().type_name(items)? {
                    "list" => writer.list_items(items)?,
                    _ => writer.deque_items(items)?,
                };
                writer.push(" _queue=[");
                writer.items(&items, total);
                writer.push("]");
                Ok(())
            })?;
        }
        for (name, count) in [("_getters", getters), ("_putters", putters)].iter().filter(|(_, count)| *count > 0) {
            self.push(&format!(" {name}[{count}]"));
        }
        self.push(&if unfinished == 0 { String::new() } else { format!(" tasks={unfinished}") });
        self.push(if shut_down { " shutdown>" } else { ">" });
        Ok(())
    }

    /// `<_queue.SimpleQueue at 0x… length=2, queue=[1, 2]>`. Up to 3.12 `{ lock, locked, lst, lst_pos, … }`, then
    /// `{ has_threads_waiting, { put_idx, get_idx, items, items_cap, num_items }, … }` (`Modules/_queuemodule.c`).
    pub(super) fn simple_queue(&mut self, object: Addr, ty: &Rc<Type>) -> Result<(), ReadError> {
        let limit = self.limits().items;
        let words = |start: Addr, at: u64, count: usize| {
            let bytes = self.objects().cache.bytes(start.offset(at.wrapping_mul(8)), count.saturating_mul(8))?;
            Ok(bytes.chunks_exact(8).filter_map(Addr::from_bytes).collect::<Vec<Addr>>())
        };
        let (items, total) = match self.size_behind_header(ty) {
            40 => {
                let list: Addr = self.word(object, 16)?;
                let position: u64 = self.word(object, 24)?;
                let length = self.length(Some(list))?;
                let total = length.checked_sub(position).ok_or(ReadError::Invalid("queue"))? as usize;
                let field = self.layout().value.list_items.ok_or(ReadError::Invalid("layout"))?;
                let start = self.objects().field(list, field)?;
                (words(start, position, total.min(limit))?, total)
            }
            56 => {
                let (first, start): (u64, Addr) = (self.word(object, 16)?, self.word(object, 24)?);
                let (capacity, total): (u64, u64) = (self.word(object, 32)?, self.word(object, 40)?);
                let behind = capacity.checked_sub(first).filter(|_| total <= capacity);
                let behind = behind.ok_or(ReadError::Invalid("queue"))?;
                let count = total.min(limit as u64);
                let mut items = words(start, first, count.min(behind) as usize)?;
                items.extend(words(start, 0, count.saturating_sub(behind) as usize)?);
                (items, total as usize)
            }
            _ => return self.plain(object, ty),
        };
        let text = format!("<{} at {object} length={total}", ty.full_name());
        self.push(&text);
        if total > 0 {
            self.nested(object, "", |writer| {
                writer.push(", queue=[");
                writer.items(&items, total);
                writer.push("]");
                Ok(())
            })?;
        }
        self.push(">");
        Ok(())
    }

    /// `<Future at 0x… state=finished returned int>`, as `concurrent.futures.Future.__repr__`.
    pub(super) fn future(&mut self, object: Addr, ty: &Rc<Type>) -> Result<(), ReadError> {
        let [state, result, exception] = self.own(object, ["_state", "_result", "_exception"])?;
        let state = self.word_of(must(state)?)?;
        let (state, ended) = match &*state {
            "PENDING" => ("pending", false),
            "RUNNING" => ("running", false),
            "CANCELLED" | "CANCELLED_AND_NOTIFIED" => ("cancelled", false),
            "FINISHED" => ("finished", true),
            _ => return Err(ReadError::Invalid("future")),
        };
        let what = match (ended, exception) {
            (false, _) => None,
            (true, Some(exception)) if !self.is_none(exception)? => Some((" raised ", exception)),
            (true, _) => Some((" returned ", must(result)?)),
        };
        let of = what.map(|(how, value)| Ok((how, self.type_of(value)?))).transpose()?;
        self.push("<");
        self.push_name(ty.name());
        self.push(&format!(" at {object} state={state}"));
        if let Some((how, ty)) = of {
            self.push(how);
            self.push_name(ty.name());
        }
        self.push(">");
        Ok(())
    }

    /// `<Task finished name='x' coro=<coroutine object …> result=7>`, after `Lib/asyncio/base_futures.py`: futures and tasks
    /// that are written in Python. What calls them back, and where they were made, is left out.
    pub(super) fn async_future(&mut self, object: Addr, ty: &Rc<Type>) -> Result<(), ReadError> {
        let [state, result, exception] = self.own(object, ["_state", "_result", "_exception"])?;
        let [name, coroutine] = self.own(object, ["_name", "_coro"])?;
        // Until they change, its state, result and exception are its class's.
        let state = state.map(|state| self.word_of(state)).transpose()?;
        let state = match state.as_deref() {
            None | Some("PENDING") => "pending",
            Some("CANCELLED") => "cancelled",
            Some("FINISHED") => "finished",
            Some(_) => return Err(ReadError::Invalid("future")),
        };
        let exception = match exception {
            Some(exception) if !self.is_none(exception)? => Some(exception),
            _ => None,
        };
        let done = match exception {
            Some(exception) => Some(("exception", exception)),
            None => result.map(|result| ("result", result)),
        };
        let done = done.filter(|_| state == "finished");
        let name = name.map(FutureName::Object);
        self.write_future(object, ty, FutureParts { state, name, coroutine, done })
    }

    /// The same for those written in C (`FutureObj`, `TaskObj` in `Modules/_asynciomodule.c`).
    pub(super) fn c_future(&mut self, object: Addr, ty: &Rc<Type>) -> Result<(), ReadError> {
        let header = self.layout().object.size;
        let dict = self.objects().field(ty.address, self.layout().type_object.tp_dictoffset)?;
        let task = if ty.name() == "Task" { task_offsets(header, ty.basicsize, dict) } else { None };
        let future = task.map(|task| task.future).or_else(|| future_offsets(header, ty.basicsize, dict));
        let Some(future) = future else { return self.plain(object, ty) };
        let len = usize::try_from(ty.basicsize).map_err(|_| ReadError::Invalid("future"))?;
        let bytes = self.objects().bytes(object, len)?;
        let pointer = |offset: u32| at::<Addr>(bytes.record(), offset).non_null();
        let state = match at::<i32>(bytes.record(), future.state) {
            0 => "pending",
            1 => "cancelled",
            2 => "finished",
            _ => return Err(ReadError::Invalid("future")),
        };
        let exception = pointer(future.exception).map(|exception| ("exception", exception));
        let done = exception.or(pointer(future.result).map(|result| ("result", result)));
        let name = match task.and_then(|task| pointer(task.name?)) {
            // Until somebody asks for it, the name that a task was not given is a number (3.12 on).
            Some(name) if &*self.objects().type_name(name)? == "int" => {
                Some(FutureName::Number(self.objects().int(name)?))
            }
            name => name.map(FutureName::Object),
        };
        let coroutine = task.and_then(|task| pointer(task.coro));
        self.write_future(
            object,
            ty,
            FutureParts { state, name, coroutine, done: done.filter(|_| state == "finished") },
        )
    }

    fn write_future(&mut self, object: Addr, ty: &Rc<Type>, parts: FutureParts) -> Result<(), ReadError> {
        let FutureParts { state, name, coroutine, done } = parts;
        self.nested(object, &format!("<{} {state}>", ty.name()), |writer| {
            writer.push("<");
            writer.push_name(ty.name());
            writer.push(&format!(" {state}"));
            match name {
                Some(FutureName::Number(number)) => writer.push(&format!(" name='Task-{number}'")),
                Some(FutureName::Object(name)) => {
                    writer.push(" name=");
                    writer.object(name);
                }
                None => {}
            }
            for (name, value) in coroutine.map(|coroutine| ("coro", coroutine)).into_iter().chain(done) {
                writer.push(&format!(" {name}="));
                writer.object(value);
            }
            writer.push(">");
            Ok(())
        })
    }
}

/// What is shown of a future or task of asyncio.
struct FutureParts {
    state: &'static str,
    name: Option<FutureName>,
    coroutine: Option<Addr>,
    /// What became of it.
    done: Option<(&'static str, Addr)>,
}

/// A task's name: a `str`, or the number in `Task-7`.
enum FutureName {
    Object(Addr),
    Number(i128),
}
