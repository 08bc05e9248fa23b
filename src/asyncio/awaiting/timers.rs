//! Timers of loops: what of the things that tasks wait for ends by itself, and when. Those of uvloop lie in C, unseen.

use crate::asyncio::RawLoop;
use crate::base::{Addr, AddrMap, limits};
use crate::objects::{Callable, Objects};
use crate::target::{Extent, ReadError};
use std::cell::RefCell;
use std::collections::HashSet;

/// Arguments of a callback that are looked at.
const ARGUMENTS: usize = 4;

/// Enough for the slots of a handle.
const HANDLE_BYTES: usize = 96;

/// Timers that are read together.
const PORTION: usize = 4096;

/// When timers end, by what they are for; in the loops' time, which is `CLOCK_MONOTONIC` in seconds.
#[derive(Default)]
pub(super) struct Timers {
    /// By an argument of the callback, or what it is bound to: a future, an object of the library.
    pub(super) by_object: AddrMap<f64>,
    /// When a task is cancelled: `asyncio.timeout`, or a timer for its `cancel`.
    pub(super) of_task: AddrMap<f64>,
}

/// What one timer is about.
struct Timer {
    when: f64,
    objects: Vec<Addr>,
    task: Option<Addr>,
}

impl Timers {
    /// The timers of these loops.
    pub(super) fn read(objects: &Objects<'_>, loops: &[RawLoop]) -> Timers {
        let handles = objects.cache.batched(loops, |event_loop| {
            let [scheduled] = objects.instance_attributes(event_loop.address, ["_scheduled"])?;
            match scheduled {
                Some(scheduled) => objects.items(scheduled, limits::DICT_ENTRIES),
                None => Ok(Vec::new()),
            }
        });
        let handles: Vec<Addr> = handles.into_iter().flatten().flatten().collect();
        let mut timers = Timers::default();
        let known = Known::default();
        // Some of them alone: what they show of their types need not be found out for all.
        for handle in [handles.first(), handles.last()].into_iter().flatten() {
            let _ = timer(objects, &known, *handle);
        }
        for portion in handles.chunks(PORTION) {
            objects.cache.prefetch(portion.iter().map(|handle| Extent { addr: *handle, len: HANDLE_BYTES }));
            for timer in objects.cache.batched(portion, |handle| timer(objects, &known, *handle)) {
                // One that cannot be read is not known, and nothing is said of it.
                let Ok(Some(timer)) = timer else { continue };
                for object in timer.objects {
                    earliest(&mut timers.by_object, object, timer.when);
                }
                if let Some(task) = timer.task {
                    earliest(&mut timers.of_task, task, timer.when);
                }
            }
            if portion.len() == PORTION {
                objects.cache.forget();
            }
        }
        timers
    }
}

/// What many timers share: `False`, and the function that ends a sleep.
#[derive(Default)]
struct Known {
    flags: RefCell<AddrMap<bool>>,
    functions: RefCell<HashSet<Addr>>,
}

impl Known {
    fn flag(&self, objects: &Objects<'_>, flag: Addr) -> Result<bool, ReadError> {
        if let Some(known) = self.flags.borrow().get(&flag) {
            return Ok(*known);
        }
        let value = objects.int(flag)? != 0;
        self.flags.borrow_mut().insert(flag, value);
        Ok(value)
    }

    fn callable(&self, objects: &Objects<'_>, callback: Addr) -> Result<Callable, ReadError> {
        if self.functions.borrow().contains(&callback) {
            return Ok(Callable::Function);
        }
        let callable = objects.callable(callback)?;
        if callable == Callable::Function {
            self.functions.borrow_mut().insert(callback);
        }
        Ok(callable)
    }
}

fn earliest(times: &mut AddrMap<f64>, object: Addr, when: f64) {
    times.entry(object).and_modify(|known| *known = known.min(when)).or_insert(when);
}

/// A `TimerHandle` (`Lib/asyncio/events.py`); `None` when it was cancelled.
fn timer(objects: &Objects<'_>, known: &Known, handle: Addr) -> Result<Option<Timer>, ReadError> {
    let names = ["_when", "_args", "_callback", "_cancelled"];
    let [when, args, callback, cancelled] = objects.slots(handle, names)?;
    let (Some(when), Some(callback), Some(cancelled)) = (when, callback, cancelled) else { return Ok(None) };
    if known.flag(objects, cancelled)? {
        return Ok(None);
    }
    let when = number(objects, when)?;
    let mut found = match args {
        Some(args) if &*objects.type_name(args)? == "tuple" => objects.tuple_items(args, ARGUMENTS)?.0,
        _ => Vec::new(),
    };
    let mut task = None;
    match known.callable(objects, callback)? {
        Callable::Method(function, bound_to) => {
            found.push(bound_to);
            if objects.function_name(function)?.ends_with("_on_timeout") {
                // `Timeout._on_timeout` (`Lib/asyncio/timeouts.py`), and that of the package async-timeout.
                let [of_timeout] = objects.instance_attributes(bound_to, ["_task"])?;
                task = match of_timeout {
                    Some(of_timeout) => Some(of_timeout),
                    None => objects.slots(bound_to, ["_task"])?[0],
                };
            }
        }
        Callable::Builtin(name, bound_to) if name == "cancel" => task = bound_to,
        _ => {}
    }
    Ok(Some(Timer { when, objects: found, task }))
}

/// A `float`, or the `int` that stands for one.
pub(super) fn number(objects: &Objects<'_>, object: Addr) -> Result<f64, ReadError> {
    match &*objects.type_name(object)? {
        "float" => objects.float(object),
        "int" | "bool" => Ok(objects.int(object)? as f64),
        _ => Err(ReadError::Invalid("number")),
    }
}
