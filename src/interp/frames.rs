//! Stacks from 3.11 on: `_PyInterpreterFrame`s on the thread's data stack, inside generators, and, between C and Python,
//! on the C stack (`Include/internal/pycore_frame.h`, `pycore_interpframe_structs.h` from 3.14 on).
//!
//! The chain is not trusted: frames between C and Python tell where it may end, so a chain cut short, as one sees in the few
//! instructions in which an interpreter links or unlinks a frame, is recognised.

use super::threads::{ThreadFacts, chunk_extent};
use super::walk::{Entry, FrameRef, InstructionRef, Walk};
use crate::base::{Addr, Field, Record, limits};
use crate::objects::Objects;
use crate::target::{Bytes, Extent, ReadError};
use std::cell::Cell;

/// `FRAME_OWNED_BY_CSTACK` (3.12, 3.13) or `FRAME_OWNED_BY_INTERPRETER` (3.14 on): such frames have no Python code, and
/// nothing else in them may be looked at.
const FIRST_OWNER_WITHOUT_CODE: u8 = 3;
/// `FRAME_OWNED_BY_GENERATOR`.
const OWNED_BY_GENERATOR: u8 = 1;
/// Distance of evaluation loops that call each other by way of one C function is 368 bytes in builds of 3.11.
const CFRAMES_BYTES: usize = 512;
/// Largest `owner` any version has.
const LAST_OWNER: u8 = 4;

/// The fields of a frame, all of which every version with such frames has.
struct Fields {
    executable: Field<Addr>,
    globals: Field<Addr>,
    previous: Field<Addr>,
    instr: Field<Addr>,
    owner: Field<u8>,
    end: usize,
}

impl Fields {
    fn of(objects: &Objects<'_>) -> Result<Fields, ReadError> {
        let layout = &objects.layout.frame;
        match (layout.executable, layout.globals, layout.previous, layout.instr, layout.owner, layout.localsplus) {
            (Some(executable), Some(globals), Some(previous), Some(instr), Some(owner), Some(localsplus)) => {
                Ok(Fields { executable, globals, previous, instr, owner, end: localsplus.offset as usize })
            }
            _ => Err(ReadError::Invalid("layout: it has no interpreter frames")),
        }
    }
}

/// Where the walk of a thread begins.
pub(super) fn start(objects: &Objects<'_>, thread: &ThreadFacts) -> Result<Walk, ReadError> {
    if !objects.quirks.cframes {
        return Ok(Walk::from(thread.top));
    }
    let mut walk = Walk::from(current_frame(objects, thread.top)?);
    walk.cframe = thread.top;
    Ok(walk)
}

/// What to prefetch of a thread's evaluation loops: the innermost `_PyCFrame`, and as much of the C stack as mostly holds the
/// next, further out.
pub(super) fn cframes_extent(thread: &ThreadFacts) -> Extent {
    Extent { addr: thread.top, len: CFRAMES_BYTES }
}

/// `_PyCFrame.current_frame` of the evaluation loop at `cframe`.
fn current_frame(objects: &Objects<'_>, cframe: Addr) -> Result<Addr, ReadError> {
    let layout = &objects.layout.cframe;
    let field = layout.current_frame.ok_or(ReadError::Invalid("layout: it has no _PyCFrame"))?;
    let end = field.end().max(layout.previous.map_or(0, Field::end));
    objects.bytes(cframe, end)?.record().get(field).ok_or(ReadError::Unmapped)
}

/// Reads the thread's older chunks of data stack, so that walking it costs no read a frame. Its newest is prefetched.
/// `chunk` is where it stands, to be taken up again when memory was missing; NULL to begin with.
pub(super) fn prefetch_older_chunks(
    objects: &Objects<'_>,
    thread: &ThreadFacts,
    chunk: &Cell<Addr>,
) -> Result<(), ReadError> {
    let layout = &objects.layout.chunk;
    let (Some(previous), Some(size), Some(top), Some(data)) = (layout.previous, layout.size, layout.top, layout.data)
    else {
        return Ok(());
    };
    if chunk_extent(thread).is_none() {
        return Ok(());
    }
    let header = |chunk: Addr| objects.bytes(chunk, data.offset as usize);
    if chunk.get().is_null() {
        chunk.set(header(thread.chunk)?.record().get(previous).unwrap_or_default());
    }
    for _ in 0..limits::STACK_CHUNKS {
        if chunk.get().is_null() {
            break;
        }
        let bytes = header(chunk.get())?;
        let used = bytes.record().get(top).unwrap_or_default().saturating_mul(8).saturating_add(u64::from(data.offset));
        let len = used.min(bytes.record().get(size).unwrap_or_default()).min(limits::STACK_CHUNK_BYTES as u64);
        objects.cache.prefetch([Extent { addr: chunk.get(), len: len as usize }]);
        chunk.set(bytes.record().get(previous).unwrap_or_default());
    }
    Ok(())
}

/// Goes on with the walk to its end.
/// `room` is the number of frames after which it gives up.
pub(super) fn walk(objects: &Objects<'_>, thread: &ThreadFacts, walk: &mut Walk, room: usize) -> Result<(), ReadError> {
    let fields = Fields::of(objects)?;
    let limit = walk.frames.len() + room;
    let mut chunk = None;
    while !walk.next.is_null() {
        let (start, bytes) = match &chunk {
            Some((start, bytes)) if within(*start, bytes, walk.next, fields.end) => (*start, bytes),
            _ if !walk.next.is_plausible() => return Err(ReadError::Invalid("pointer to a frame")),
            _ => {
                let (start, bytes) = chunk.insert(objects.cache.around(walk.next, fields.end)?);
                (*start, &*bytes)
            }
        };
        objects.cache.work(1)?;
        let record = Record(bytes.get((walk.next.0 - start.0) as usize..).unwrap_or_default());
        let owner = record.get(fields.owner).unwrap_or(u8::MAX);
        if owner > LAST_OWNER {
            return Err(ReadError::Invalid("frame"));
        }
        let is_base = walk.next == thread.base_frame;
        let previous = if is_base { Addr::NULL } else { record.get(fields.previous).unwrap_or_default() };
        let without_code = owner >= FIRST_OWNER_WITHOUT_CODE;
        walk.at_boundary = without_code || record.get_opt(objects.layout.frame.is_entry).is_some_and(|flag| flag != 0);
        if walk.at_boundary && !walk.cframe.is_null() {
            walk.cframe = check_cframe(objects, walk.cframe, previous, owner == OWNED_BY_GENERATOR)?;
        }
        walk.step(walk.next)?;
        if walk.frames.len() >= limit {
            return Err(ReadError::TooLarge);
        }
        if !without_code {
            let tlbc = record.get_opt(objects.layout.frame.tlbc_index).unwrap_or(0);
            walk.frames.push(FrameRef {
                address: walk.next,
                code: record.get(fields.executable).unwrap_or_default().untagged(),
                globals: record.get(fields.globals).unwrap_or_default(),
                instruction: InstructionRef::Pointer(record.get(fields.instr).unwrap_or_default(), tlbc),
                entry: if walk.at_boundary { Entry::Loop } else { Entry::Python },
                in_generator: owner == OWNED_BY_GENERATOR,
            });
        } else if let Some(inner) = walk.frames.last_mut() {
            inner.entry = Entry::LoopFrame;
        }
        walk.next = previous;
    }
    let complete = walk.at_boundary && (walk.cframe.is_null() || is_outermost(objects, thread, walk.cframe)?);
    if complete { Ok(()) } else { Err(ReadError::Invalid("stack: it ends in the middle")) }
}

/// True when a frame at `frame` lies in the bytes from `start` on.
fn within(start: Addr, bytes: &Bytes, frame: Addr, len: usize) -> bool {
    let end = frame.0.checked_sub(start.0).and_then(|at| usize::try_from(at).ok()?.checked_add(len));
    frame.is_plausible() && end.is_some_and(|end| end <= bytes.len())
}

/// True for the `_PyCFrame` at the end of a thread's: it has none before it. That of a greenlet has only the one in the
/// thread state before it, and no frame (`set_new_cframe`, `src/greenlet/TPythonState.cpp` in greenlet 3).
fn is_outermost(objects: &Objects<'_>, thread: &ThreadFacts, cframe: Addr) -> Result<bool, ReadError> {
    let previous = previous_cframe(objects, cframe)?;
    let in_thread_state = |at: Addr| at.0.wrapping_sub(thread.address.0) < u64::from(objects.layout.thread.size);
    Ok(previous.is_null() || in_thread_state(previous) && current_frame(objects, cframe)?.is_null())
}

fn previous_cframe(objects: &Objects<'_>, cframe: Addr) -> Result<Addr, ReadError> {
    let field = objects.layout.cframe.previous.ok_or(ReadError::Invalid("layout: it has no _PyCFrame"))?;
    objects.bytes(cframe, field.end())?.record().get(field).ok_or(ReadError::Unmapped)
}

/// An evaluation loop's outermost frame leads to the frame that its caller is in; returns that evaluation loop. 3.11 and 3.12
/// publish a new `_PyCFrame` before they have filled it in, so the two are compared. A generator into which `throw` reaches
/// through `yield from` is linked into its caller's evaluation loop by hand (`_gen_throw`, `Objects/genobject.c`): it has none.
fn check_cframe(objects: &Objects<'_>, cframe: Addr, caller: Addr, is_generator: bool) -> Result<Addr, ReadError> {
    let previous = previous_cframe(objects, cframe)?;
    match !previous.is_null() && current_frame(objects, previous)? == caller {
        true => Ok(previous),
        false if is_generator => Ok(cframe),
        false => Err(ReadError::Invalid("stack: its evaluation loops do not fit its frames")),
    }
}
