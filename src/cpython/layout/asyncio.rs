//! Where the C code of asyncio keeps things in its futures and tasks (`FutureObj`, `TaskObj` in `Modules/_asynciomodule.c`).
//!
//! No header has them, and they moved between versions and in one patch release. So a row is chosen by what the target's
//! type `_asyncio.Task` says of itself: the size of its instances and where those have their `__dict__`, both counted from
//! the end of the object header, which is larger in free-threaded builds and with `Py_TRACE_REFS`. The live tests compare
//! every field with what a program says, on every interpreter. From 3.14 on `_Py_AsyncioDebug` has the last word where it
//! has one.

use crate::base::{Field, FieldValue, Record};

/// A flag in a byte. Before 3.13 flags are `int`s, of which this is the lowest byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flag {
    offset: u32,
    mask: u8,
}

impl Flag {
    /// Whether it is set in these bytes of the object.
    pub fn is_set(self, record: Record<'_>) -> bool {
        record.get(Field::<u8>::new(self.offset)).is_some_and(|byte| byte & self.mask != 0)
    }
}

/// Offsets of a future's fields in bytes, from the start of the object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FutureOffsets {
    /// Its event loop.
    pub event_loop: u32,
    /// Its first callback.
    pub callback0: u32,
    /// The others: a list of pairs of callback and context, or NULL.
    pub callbacks: u32,
    /// Its exception.
    pub exception: u32,
    /// Its result.
    pub result: u32,
    /// Where it was created, in debug mode.
    pub source_traceback: u32,
    /// `fut_state`, an `enum`: 0 pending, 1 cancelled, 2 finished.
    pub state: u32,
    /// Its exception was not asked for.
    pub log_traceback: Flag,
    /// Who awaits it, and whether that is a set; from 3.14 on.
    pub awaited_by: Option<(u32, u32)>,
}

/// Offsets of a task's fields in bytes, from the start of the object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TaskOffsets {
    /// What it has of a future.
    pub future: FutureOffsets,
    /// It will be cancelled.
    pub must_cancel: Flag,
    /// How often that was asked for; from 3.11 on.
    pub cancel_requests: Option<u32>,
    /// What it waits for.
    pub waiter: u32,
    /// Its coroutine.
    pub coro: u32,
    /// Its name; from 3.8 on.
    pub name: Option<u32>,
    /// By what it is linked into a list; from 3.14 on.
    pub node: Option<u32>,
    /// Bytes of a task.
    pub size: u32,
}

/// One shape of the two structures; offsets count from the end of the object header.
struct Row {
    /// `tp_basicsize` of the task.
    size: u32,
    /// `tp_basicsize` of the future.
    future_size: u32,
    /// `tp_dictoffset`; `None` where the `__dict__` is before the object (-1).
    dict: Option<u32>,
    source_traceback: u32,
    state: u32,
    log_traceback: (u32, u8),
    awaited_by: Option<(u32, u32)>,
    must_cancel: (u32, u8),
    cancel_requests: Option<u32>,
    waiter: u32,
    coro: u32,
    name: Option<u32>,
    node: Option<u32>,
}

/// Any bit of the lowest byte of an `int`.
const INT: u8 = 0xff;

/// 3.7: no names.
const V3_7: Row = Row {
    size: 120,
    future_size: 88,
    dict: Some(72),
    source_traceback: 48,
    state: 56,
    log_traceback: (60, INT),
    awaited_by: None,
    must_cancel: (112, INT),
    cancel_requests: None,
    waiter: 88,
    coro: 96,
    name: None,
    node: None,
};

/// 3.8: `task_name` before `task_context`.
const V3_8: Row = Row { size: 128, must_cancel: (120, INT), name: Some(104), ..V3_7 };

/// 3.9 to 3.10.5: `fut_cancel_msg` and `fut_cancelled_exc_state`.
const V3_9: Row = Row {
    size: 168,
    future_size: 128,
    dict: Some(80),
    state: 64,
    log_traceback: (68, INT),
    must_cancel: (160, INT),
    waiter: 128,
    coro: 136,
    name: Some(144),
    ..V3_8
};

/// From 3.10.6 on: `fut_exception_tb`.
const V3_10: Row = Row {
    size: 176,
    future_size: 136,
    dict: Some(88),
    source_traceback: 56,
    state: 72,
    log_traceback: (76, INT),
    must_cancel: (168, INT),
    waiter: 136,
    coro: 144,
    name: Some(152),
    ..V3_9
};

/// 3.11 and 3.12: `fut_cancelled_exc` is a pointer; `task_num_cancels_requested`.
const V3_11: Row = Row {
    size: 160,
    future_size: 112,
    must_cancel: (144, INT),
    cancel_requests: Some(152),
    waiter: 112,
    coro: 120,
    name: Some(128),
    ..V3_10
};

/// 3.13: flags are bits, and the `__dict__` is before the object.
const V3_13: Row = Row {
    size: 128,
    future_size: 88,
    dict: None,
    state: 80,
    log_traceback: (84, 1),
    must_cancel: (84, 4),
    cancel_requests: Some(88),
    waiter: 96,
    coro: 104,
    name: Some(112),
    ..V3_11
};

/// 3.14 and 3.15: `fut_awaited_by`, `task_node`.
const V3_14: Row = Row {
    size: 152,
    future_size: 96,
    state: 88,
    log_traceback: (94, 1),
    awaited_by: Some((80, 93)),
    must_cancel: (94, 4),
    cancel_requests: Some(96),
    waiter: 104,
    coro: 112,
    name: Some(120),
    node: Some(136),
    ..V3_13
};

/// The same in free-threaded builds, which add the id of the task's thread at the end.
const V3_14_FREE_THREADED: Row = Row { size: 160, ..V3_14 };

const ROWS: &[Row] = &[V3_7, V3_8, V3_9, V3_10, V3_11, V3_13, V3_14, V3_14_FREE_THREADED];

/// What a type says of its instances: their size, and where their `__dict__` is, from the end of the object header.
fn shape(header: u32, size: i64, dict: i64) -> Option<(u32, Option<u32>)> {
    let behind = |offset: i64| u32::try_from(offset).ok()?.checked_sub(header);
    let dict = if dict == -1 { None } else { Some(behind(dict)?) };
    Some((behind(size)?, dict))
}

/// The offsets for a `_asyncio.Future` with these `tp_basicsize` and `tp_dictoffset`; `None` for an unknown one.
pub fn future_offsets(header: u32, size: i64, dict: i64) -> Option<FutureOffsets> {
    let (size, dict) = shape(header, size, dict)?;
    let row = ROWS.iter().find(|row| row.future_size == size && row.dict == dict)?;
    Some(row.future(header))
}

/// The offsets for a `_asyncio.Task` with these `tp_basicsize` and `tp_dictoffset`; `None` for an unknown one.
pub fn task_offsets(header: u32, size: i64, dict: i64) -> Option<TaskOffsets> {
    let (behind, dict) = shape(header, size, dict)?;
    let row = ROWS.iter().find(|row| row.size == behind && row.dict == dict)?;
    Some(row.task(header))
}

impl Row {
    fn future(&self, header: u32) -> FutureOffsets {
        FutureOffsets {
            event_loop: header,
            callback0: header + 8,
            callbacks: header + 24,
            exception: header + 32,
            // Right before it in every version.
            result: header + self.source_traceback - 8,
            source_traceback: header + self.source_traceback,
            state: header + self.state,
            log_traceback: flag(header, self.log_traceback),
            awaited_by: self.awaited_by.map(|(by, is_set)| (header + by, header + is_set)),
        }
    }

    fn task(&self, header: u32) -> TaskOffsets {
        TaskOffsets {
            future: self.future(header),
            must_cancel: flag(header, self.must_cancel),
            cancel_requests: self.cancel_requests.map(|at| header + at),
            waiter: header + self.waiter,
            coro: header + self.coro,
            name: self.name.map(|at| header + at),
            node: self.node.map(|at| header + at),
            size: header + self.size,
        }
    }
}

fn flag(header: u32, (offset, mask): (u32, u8)) -> Flag {
    Flag { offset: header + offset, mask }
}

/// A field at an offset.
pub fn at<T: FieldValue + Default>(record: Record<'_>, offset: u32) -> T {
    record.get(Field::new(offset)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_told_apart() {
        for (index, row) in ROWS.iter().enumerate() {
            let same = |other: &&Row| other.size == row.size && other.dict == row.dict;
            assert_eq!(ROWS.iter().filter(same).count(), 1, "row {index}");
        }
    }

    #[test]
    fn sizes_that_were_seen_choose_the_row_of_their_version() {
        let waiter = |header, size, dict| task_offsets(header, size, dict).map(|task| task.waiter);
        assert_eq!(waiter(16, 136, 88), Some(104), "3.7.16");
        assert_eq!(waiter(32, 152, 104), Some(120), "3.7 with Py_TRACE_REFS");
        assert_eq!(waiter(16, 144, 88), Some(104), "3.8.18");
        assert_eq!(waiter(16, 184, 96), Some(144), "3.9.18");
        assert_eq!(waiter(16, 192, 104), Some(152), "3.10.13");
        assert_eq!(waiter(16, 176, 104), Some(128), "3.12.1");
        assert_eq!(waiter(16, 144, -1), Some(112), "3.13.0");
        assert_eq!(waiter(32, 160, -1), Some(128), "3.13.15, free-threaded");
        assert_eq!(waiter(16, 168, -1), Some(120), "3.15.2");
        assert_eq!(waiter(32, 192, -1), Some(136), "3.15.0rc1, free-threaded");
        assert_eq!(waiter(16, 1 << 40, -1), None);
        assert_eq!(waiter(16, 8, 8), None);
    }
}
