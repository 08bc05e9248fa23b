//! Reading tasks and futures: the fields that are the same whether they were written in C or in Python.

use super::types::{Kind, Types};
use super::{RawTask, TaskState};
use crate::base::{Addr, limits};
use crate::cpython::layout::{FutureOffsets, TaskOffsets, at};
use crate::objects::Objects;
use crate::target::ReadError;
use std::sync::Arc;

/// Tasks of this class cannot be read, whenever one tries.
pub(super) const UNKNOWN_SHAPE: ReadError = ReadError::Invalid("task: its type has a shape that is not known");

/// `fut_state` (`Modules/_asynciomodule.c`).
const PENDING: i32 = 0;
const CANCELLED: i32 = 1;
const FINISHED: i32 = 2;

/// What is read of a task beside what it shows.
#[derive(Debug, Default)]
pub(super) struct TaskFacts {
    pub(super) task: RawTask,
    /// Objects to be called when it is done.
    pub(super) callbacks: Vec<Addr>,
    /// Who awaits it, as CPython has recorded it.
    pub(super) awaited_by: Vec<Addr>,
    pub(super) exception: Option<Addr>,
    /// A `StackSummary`.
    pub(super) source_traceback: Option<Addr>,
}

/// What a future is up to.
#[derive(Debug, Default)]
pub(super) struct FutureFacts {
    pub(super) event_loop: Option<Addr>,
    pub(super) state: TaskState,
    pub(super) callbacks: Vec<Addr>,
    pub(super) exception: Option<Addr>,
    pub(super) source_traceback: Option<Addr>,
    pub(super) log_traceback: bool,
    pub(super) awaited_by: Vec<Addr>,
}

/// Reads a task; `None` when the object is no task.
pub(super) fn read_task(types: &Types<'_, '_>, address: Addr) -> Result<Option<TaskFacts>, ReadError> {
    let ty = types.of(address)?;
    let facts = match ty.kind {
        Kind::Task(offsets) => c_task(types, address, offsets)?,
        Kind::PythonTask => python_task(types, address)?,
        Kind::UnknownTask => {
            let error = Some(UNKNOWN_SHAPE);
            TaskFacts { task: RawTask { error, ..RawTask::default() }, ..TaskFacts::default() }
        }
        // What registered itself as a task without being of its class.
        Kind::Other if types.objects.instance_attributes(address, ["_coro"]).is_ok_and(|[coro]| coro.is_some()) => {
            python_task(types, address)?
        }
        _ => return Ok(None),
    };
    Ok(Some(TaskFacts { task: RawTask { address, class: ty.class.clone(), ..facts.task }, ..facts }))
}

/// Reads a future, which may be a task; `None` when the object is neither.
pub(super) fn read_future(types: &Types<'_, '_>, address: Addr) -> Result<Option<FutureFacts>, ReadError> {
    match types.of(address)?.kind {
        Kind::Task(offsets) => c_future(types, address, &offsets.future).map(Some),
        Kind::Future(offsets) => c_future(types, address, &offsets).map(Some),
        Kind::PythonTask | Kind::PythonFuture => python_future(types, address).map(Some),
        _ => Ok(None),
    }
}

fn c_task(types: &Types<'_, '_>, address: Addr, offsets: TaskOffsets) -> Result<TaskFacts, ReadError> {
    let objects = types.objects;
    let bytes = objects.bytes(address, offsets.size as usize)?;
    let record = bytes.record();
    let pointer = |offset: u32| at::<Addr>(record, offset).non_null();
    let name = offsets.name.and_then(pointer);
    objects.cache.prefetch(name.map(Objects::str_extent));
    let future = c_future(types, address, &offsets.future)?;
    let requests = offsets.cancel_requests.map(|offset| at::<i32>(record, offset));
    let task = RawTask {
        name: name.map(|name| task_name(objects, name)).transpose()?,
        coroutine: pointer(offsets.coro),
        waiter: pointer(offsets.waiter),
        cancel_requests: requests.map(|count| u64::try_from(count).unwrap_or(0)),
        must_cancel: offsets.must_cancel.is_set(record),
        ..RawTask::default()
    };
    Ok(with_future(task, future))
}

fn with_future(task: RawTask, future: FutureFacts) -> TaskFacts {
    TaskFacts {
        task: RawTask {
            state: future.state,
            event_loop: future.event_loop,
            exception_not_retrieved: future.state == TaskState::Failed && future.log_traceback,
            ..task
        },
        callbacks: future.callbacks,
        awaited_by: future.awaited_by,
        exception: future.exception,
        source_traceback: future.source_traceback,
    }
}

/// A `str`, or the number of `Task-7` before somebody asked for the name (3.12 on).
fn task_name(objects: &Objects<'_>, name: Addr) -> Result<Arc<str>, ReadError> {
    match &*objects.type_name(name)? {
        "int" => Ok(format!("Task-{}", objects.int(name)?).into()),
        _ => objects.checked_str(name).map(Arc::from),
    }
}

fn c_future(types: &Types<'_, '_>, address: Addr, offsets: &FutureOffsets) -> Result<FutureFacts, ReadError> {
    let objects = types.objects;
    let (_, is_set_at) = offsets.awaited_by.unwrap_or_default();
    // All that matters lies before the state and the flags behind it.
    let end = offsets.state.max(is_set_at) as usize + 8;
    let bytes = objects.bytes(address, end)?;
    let record = bytes.record();
    let pointer = |offset: u32| at::<Addr>(record, offset).non_null();
    let exception = pointer(offsets.exception);
    let state = match at::<i32>(record, offsets.state) {
        PENDING => TaskState::Pending,
        CANCELLED => TaskState::Cancelled,
        FINISHED if exception.is_some() => TaskState::Failed,
        FINISHED => TaskState::Finished,
        _ => return Err(ReadError::Invalid("future")),
    };
    let mut callbacks = Vec::new();
    callbacks.extend(pointer(offsets.callback0));
    if let Some(list) = pointer(offsets.callbacks) {
        callback_list(objects, list, &mut callbacks)?;
    }
    let awaited_by = match offsets.awaited_by.map(|(by, is_set)| (pointer(by), at::<u8>(record, is_set) != 0)) {
        Some((Some(set), true)) => objects.set_items(set, limits::TASKS)?,
        Some((Some(task), false)) => vec![task],
        _ => Vec::new(),
    };
    Ok(FutureFacts {
        event_loop: pointer(offsets.event_loop),
        state,
        callbacks,
        exception,
        source_traceback: pointer(offsets.source_traceback),
        log_traceback: offsets.log_traceback.is_set(record),
        awaited_by,
    })
}

/// A list of pairs of callback and context.
fn callback_list(objects: &Objects<'_>, list: Addr, callbacks: &mut Vec<Addr>) -> Result<(), ReadError> {
    if &*objects.type_name(list)? != "list" {
        return Ok(());
    }
    let pairs = objects.list_items(list, limits::TASKS)?;
    let mut missing = Ok(());
    for pair in pairs {
        match objects.tuple_items(pair, 2) {
            Ok((pair, _)) => callbacks.extend(pair.first()),
            Err(error) => missing = Err(error),
        }
    }
    missing
}

/// `None` counts as nothing.
fn not_none(objects: &Objects<'_>, object: Option<Addr>) -> Result<Option<Addr>, ReadError> {
    match object {
        Some(object) if &*objects.type_name(object)? == "NoneType" => Ok(None),
        object => Ok(object),
    }
}

fn python_task(types: &Types<'_, '_>, address: Addr) -> Result<TaskFacts, ReadError> {
    let objects = types.objects;
    let names = ["_name", "_coro", "_fut_waiter", "_must_cancel", "_num_cancels_requested"];
    let [name, coro, waiter, must_cancel, requests] = objects.instance_attributes(address, names)?;
    let future = python_future(types, address)?;
    let number = |object: Option<Addr>| object.map(|object| objects.int(object)).transpose();
    let task = RawTask {
        name: name.map(|name| task_name(objects, name)).transpose()?,
        coroutine: not_none(objects, coro)?,
        waiter: not_none(objects, waiter)?,
        cancel_requests: number(requests)?.map(|count| u64::try_from(count).unwrap_or(0)),
        must_cancel: number(must_cancel)?.is_some_and(|flag| flag != 0),
        ..RawTask::default()
    };
    Ok(with_future(task, future))
}

/// Attributes of the class are those of an instance that has not got its own: pending, without callbacks.
fn python_future(types: &Types<'_, '_>, address: Addr) -> Result<FutureFacts, ReadError> {
    let objects = types.objects;
    let [event_loop, state, callbacks, exception, source_traceback, log_traceback, awaited_by] = objects
        .instance_attributes(
            address,
            [
                "_loop",
                "_state",
                "_callbacks",
                "_exception",
                "_source_traceback",
                "_Future__log_traceback",
                "_Future__asyncio_awaited_by",
            ],
        )?;
    let exception = not_none(objects, exception)?;
    let state = match state.map(|state| objects.checked_str(state)).transpose()?.as_deref() {
        None | Some("PENDING") => TaskState::Pending,
        Some("CANCELLED") => TaskState::Cancelled,
        Some("FINISHED") if exception.is_some() => TaskState::Failed,
        Some("FINISHED") => TaskState::Finished,
        Some(_) => return Err(ReadError::Invalid("future")),
    };
    let mut of_callbacks = Vec::new();
    if let Some(list) = callbacks {
        callback_list(objects, list, &mut of_callbacks)?;
    }
    let awaited_by = match not_none(objects, awaited_by)? {
        Some(set) => objects.set_items(set, limits::TASKS)?,
        None => Vec::new(),
    };
    Ok(FutureFacts {
        event_loop: not_none(objects, event_loop)?,
        state,
        callbacks: of_callbacks,
        exception,
        source_traceback: not_none(objects, source_traceback)?,
        log_traceback: log_traceback.map(|flag| objects.int(flag)).transpose()?.is_some_and(|flag| flag != 0),
        awaited_by,
    })
}
