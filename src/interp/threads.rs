//! The lists of interpreters and of their thread states.

use crate::base::{Addr, Problem, ProblemKind, limits};
use crate::cpython::Runtime;
use crate::objects::Objects;
use crate::target::{Bytes, Extent, ReadError};
use std::collections::HashSet;

/// Distance from one thread state to the next at which others are expected below, and how many bytes are read ahead for them.
const NEAR: u64 = 4 << 10;
const AHEAD: u64 = 16 << 10;

/// One `PyInterpreterState`.
#[derive(Clone, Debug)]
pub(super) struct InterpreterFacts {
    pub(super) address: Addr,
    pub(super) id: i64,
    pub(super) threads_head: Addr,
    pub(super) modules: Addr,
    pub(super) gil: Option<Addr>,
    pub(super) gc_collecting: bool,
}

/// One `PyThreadState`.
#[derive(Clone, Copy, Debug)]
pub(super) struct ThreadFacts {
    pub(super) address: Addr,
    pub(super) ident: u64,
    pub(super) native_id: Option<u64>,
    /// `state` of 3.13 and later: 0 is detached.
    pub(super) attach_state: Option<i32>,
    /// Innermost frame, or `_PyCFrame` where those exist.
    pub(super) top: Addr,
    pub(super) chunk: Addr,
    pub(super) chunk_top: Addr,
    pub(super) base_frame: Addr,
}

/// The runtime's own words.
pub(super) struct RuntimeFacts {
    pub(super) interpreters_head: Addr,
    pub(super) main_thread: Option<u64>,
    pub(super) finalizing: bool,
}

/// Reads the words of `_PyRuntime`.
pub(super) fn read_runtime(objects: &Objects<'_>, runtime: &Runtime) -> Result<RuntimeFacts, ReadError> {
    let layout = &objects.layout.runtime;
    let main_thread = layout.main_thread.map(|field| objects.field(runtime.address, field)).transpose()?;
    let finalizing = layout.finalizing.map(|field| objects.field(runtime.address, field)).transpose()?;
    Ok(RuntimeFacts {
        interpreters_head: objects.field(runtime.address, layout.interpreters_head)?,
        main_thread: main_thread.filter(|ident| *ident != 0),
        finalizing: finalizing.is_some_and(|thread| !thread.is_null()),
    })
}

/// Reads all interpreters, oldest (the main one) first.
pub(super) fn read_interpreters(
    objects: &Objects<'_>,
    runtime: &Runtime,
    head: Addr,
    problems: &mut Vec<Problem>,
) -> Result<Vec<InterpreterFacts>, ReadError> {
    let layout = objects.layout;
    let collecting = layout.runtime.gc_collecting.map(|field| objects.field(runtime.address, field)).transpose()?;
    let end = layout.interp.end();
    let mut interpreters: Vec<InterpreterFacts> = Vec::new();
    let mut seen = HashSet::new();
    let mut address = head;
    while !address.is_null() {
        if interpreters.len() >= limits::INTERPRETERS || !seen.insert(address) {
            problems.push(Problem::new(ProblemKind::Invalid, "the list of interpreters does not end"));
            break;
        }
        let bytes = match objects.bytes(address, end) {
            Ok(bytes) => bytes,
            Err(error) if interpreters.is_empty() || is_final(error) => return Err(error),
            Err(error) => {
                let message = format!("the list of interpreters breaks off: {error}");
                problems.push(Problem::new(ProblemKind::Invalid, message));
                break;
            }
        };
        let record = bytes.record();
        let gil = match (layout.interp.gil, layout.runtime.gil) {
            (Some(field), _) => record.get(field).and_then(Addr::non_null),
            (None, inside) => inside.map(|field| field.of(runtime.address)),
        };
        interpreters.push(InterpreterFacts {
            address,
            id: record.get(layout.interp.id).unwrap_or_default(),
            threads_head: record.get(layout.interp.threads_head).unwrap_or_default(),
            modules: record.get(layout.interp.modules).unwrap_or_default(),
            gil,
            gc_collecting: record.get_opt(layout.interp.gc_collecting).or(collecting).is_some_and(|flag| flag != 0),
        });
        address = record.get(layout.interp.next).unwrap_or_default();
    }
    interpreters.reverse();
    Ok(interpreters)
}

/// True for errors that no other read will do better than.
fn is_final(error: ReadError) -> bool {
    matches!(error, ReadError::Gone | ReadError::Denied | ReadError::Deadline | ReadError::Deferred)
}

/// Reads the thread states of an interpreter, oldest first. A list that breaks off is reported, with what came before.
pub(super) fn read_threads(
    objects: &Objects<'_>,
    interpreter: &InterpreterFacts,
    problems: &mut Vec<Problem>,
) -> Result<Vec<ThreadFacts>, ReadError> {
    let layout = &objects.layout.thread;
    let end = layout.end();
    let mut threads = Vec::new();
    let mut seen = HashSet::new();
    let mut address = interpreter.threads_head;
    while !address.is_null() {
        if threads.len() >= limits::THREADS || !seen.insert(address) {
            problems.push(Problem::new(ProblemKind::Invalid, "the list of threads does not end"));
            break;
        }
        let bytes = match objects.bytes(address, end) {
            Ok(bytes) if bytes.record().get(layout.interp) == Some(interpreter.address) => bytes,
            result => {
                let error = result.err().unwrap_or(ReadError::Invalid("thread state"));
                if is_final(error) {
                    return Err(error);
                }
                problems.push(Problem::new(ProblemKind::Invalid, format!("the list of threads breaks off: {error}")));
                break;
            }
        };
        threads.push(thread_facts(objects, address, &bytes));
        let next = bytes.record().get(layout.next).unwrap_or_default();
        let distance = address.0.wrapping_sub(next.0);
        if distance <= NEAR && !objects.cache.has(next, end) {
            // Thread states made one after the other often lie near each other, the older below. It only saves reads.
            objects.cache.prefetch([Extent { addr: next.back(AHEAD), len: AHEAD as usize + end }]);
        }
        address = next;
    }
    threads.reverse();
    Ok(threads)
}

fn thread_facts(objects: &Objects<'_>, address: Addr, bytes: &Bytes) -> ThreadFacts {
    let layout = &objects.layout.thread;
    let record = bytes.record();
    // 3.10 has a `cframe` too, with tracing flags only.
    let top = record.get_opt(layout.current_frame).or(record.get_opt(layout.frame)).or(record.get_opt(layout.cframe));
    ThreadFacts {
        address,
        ident: record.get(layout.thread_id).unwrap_or_default(),
        native_id: record.get_opt(layout.native_thread_id).filter(|id| *id != 0),
        attach_state: record.get_opt(layout.state),
        top: top.unwrap_or_default(),
        chunk: record.get_opt(layout.datastack_chunk).unwrap_or_default(),
        chunk_top: record.get_opt(layout.datastack_top).unwrap_or_default(),
        base_frame: record.get_opt(layout.base_frame).unwrap_or_default(),
    }
}

/// The used part of a thread's newest stack chunk, when its bounds make sense.
pub(super) fn chunk_extent(thread: &ThreadFacts) -> Option<Extent> {
    let len = usize::try_from(thread.chunk_top.0.checked_sub(thread.chunk.0)?).ok()?;
    (thread.chunk.is_plausible() && len <= limits::STACK_CHUNK_BYTES).then_some(Extent { addr: thread.chunk, len })
}
