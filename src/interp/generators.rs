//! Generators, coroutines and asynchronous generators: what they are doing, where they stand, and what they await.
//!
//! All three are laid out alike. Up to 3.10 they have a frame object, from 3.11 on a frame inside of them.

use super::walk::{Entry, FrameRef, InstructionRef};
use crate::base::{Addr, Field, FieldValue, Record};
use crate::cpython::Awaits;
use crate::objects::Objects;
use crate::target::{Bytes, Extent, ReadError};

/// Enough for a generator with its frame, or for a frame object, and some twenty values.
const BYTES: usize = 512;
/// The same where the frame inside it begins early: most coroutines have few variables.
const GENERATOR_BYTES: usize = 256;
/// `YIELD_FROM` (`Include/opcode.h`, 3.7 to 3.10).
const YIELD_FROM: u8 = 72;
/// `FRAME_EXECUTING` of `f_state` (`Include/internal/pycore_frame.h`, 3.10).
const FRAME_EXECUTING: i8 = 0;

/// A generator, coroutine or asynchronous generator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Generator {
    /// What it is doing.
    pub(crate) state: GeneratorState,
    /// Its frame, unless it has ended.
    pub(crate) frame: Option<FrameRef>,
}

/// What a generator is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum GeneratorState {
    /// It has not begun.
    Created,
    /// It waits at a `yield`.
    Yields,
    /// It waits at an `await` or `yield from`, for this object.
    Awaits(Addr),
    /// It is executed.
    Running,
    /// It has ended.
    Ended,
}

/// What to prefetch before many are read.
pub(crate) fn generator_extent(objects: &Objects<'_>, generator: Addr) -> Extent {
    let len = match objects.quirks.interpreter_frames {
        true => within_page(generator, GENERATOR_BYTES),
        false => objects.layout.generator.running.map_or(0, Field::end).max(objects.layout.object.size as usize + 8),
    };
    Extent { addr: generator, len }
}

/// Reads one; the caller has made sure of its type.
pub(crate) fn read_generator(objects: &Objects<'_>, generator: Addr) -> Result<Generator, ReadError> {
    match objects.layout.generator.iframe {
        Some(iframe) => with_frame_inside(objects, generator, iframe),
        None => with_frame_object(objects, generator),
    }
}

fn missing() -> ReadError {
    ReadError::Invalid("layout: it has no generators")
}

/// Up to the end of the page: what lies behind may not be mapped.
fn within_page(addr: Addr, len: usize) -> usize {
    len.min(0x1000 - (addr.0 & 0xfff) as usize)
}

fn at_least(objects: &Objects<'_>, addr: Addr, wanted: usize, needed: usize) -> Result<Bytes, ReadError> {
    objects.bytes(addr, within_page(addr, wanted).max(needed))
}

fn with_frame_inside(objects: &Objects<'_>, generator: Addr, iframe: Field<Addr>) -> Result<Generator, ReadError> {
    let (layout, frame) = (&objects.layout.generator, &objects.layout.frame);
    let states = objects.quirks.generator_states;
    let (Some(state), Some(localsplus), Some(executable), Some(globals), Some(instr)) =
        (layout.frame_state, frame.localsplus, frame.executable, frame.globals, frame.instr)
    else {
        return Err(missing());
    };
    let fixed = iframe.offset as usize + localsplus.offset as usize;
    let bytes = at_least(objects, generator, GENERATOR_BYTES, fixed)?;
    let state = bytes.record().get(state).ok_or(ReadError::Unmapped)?;
    if state < states.created || state > states.last {
        return Err(ReadError::Invalid("generator"));
    }
    if state >= states.ended && state != states.executing {
        return Ok(Generator { state: GeneratorState::Ended, frame: None });
    }
    let address = iframe.of(generator);
    let inside = Record(bytes.get(iframe.offset as usize..).unwrap_or_default());
    let tlbc = inside.get_opt(frame.tlbc_index).unwrap_or(0);
    let instruction = inside.get(instr).unwrap_or_default();
    let found = FrameRef {
        address,
        code: inside.get(executable).unwrap_or_default().untagged(),
        globals: inside.get(globals).unwrap_or_default(),
        instruction: InstructionRef::Pointer(instruction, tlbc),
        entry: Entry::Python,
        in_generator: true,
    };
    let from_top = match objects.quirks.awaits {
        _ if state == states.created || state == states.executing => None,
        Awaits::State { suspended, from_top } => suspended.contains(&state).then_some(from_top),
        _ => (resume_argument(objects, instruction)? & 3 >= 2).then_some(1),
    };
    let state = match from_top {
        _ if state == states.created => GeneratorState::Created,
        _ if state == states.executing => GeneratorState::Running,
        None => GeneratorState::Yields,
        Some(from_top) => {
            let end = match (inside.get_opt(frame.stackpointer), inside.get_opt(frame.stacktop)) {
                (Some(end), _) => end,
                (None, Some(slots)) => {
                    let slots = u64::try_from(slots).map_err(|_| ReadError::Invalid("generator"))?;
                    localsplus.of(address).offset(slots * 8)
                }
                (None, None) => return Err(missing()),
            };
            let slot = end.back(from_top * 8);
            GeneratorState::Awaits(slot_at(objects, generator, &bytes, slot)?.untagged())
        }
    };
    Ok(Generator { state, frame: Some(found) })
}

/// A slot of the stack, in the bytes that were read or beyond them.
fn slot_at(objects: &Objects<'_>, start: Addr, bytes: &Bytes, slot: Addr) -> Result<Addr, ReadError> {
    let inside = slot.0.checked_sub(start.0).and_then(|at| bytes.piece(at, 8));
    let bytes = match inside {
        Some(bytes) => bytes,
        None => objects.bytes(slot, 8)?,
    };
    Addr::from_bytes(&bytes).ok_or(ReadError::Unmapped)
}

/// The argument of the instruction behind the one that was executed last. A suspended generator's is always `RESUME`.
fn resume_argument(objects: &Objects<'_>, instruction: Addr) -> Result<u8, ReadError> {
    let bytes = objects.cache.bytes(instruction, 4)?;
    bytes.get(3).copied().ok_or(ReadError::Unmapped)
}

fn with_frame_object(objects: &Objects<'_>, generator: Addr) -> Result<Generator, ReadError> {
    let (layout, frame) = (&objects.layout.generator, &objects.layout.frame_object);
    let (Some(gi_frame), Some(code), Some(globals), Some(lasti), Some(valuestack), Some(localsplus)) =
        (layout.frame, frame.code, frame.globals, frame.lasti, frame.valuestack, frame.localsplus)
    else {
        return Err(missing());
    };
    let bytes = objects.bytes(generator, generator_extent(objects, generator).len.max(gi_frame.end()))?;
    let Some(address) = bytes.record().get(gi_frame).and_then(Addr::non_null) else {
        return Ok(Generator { state: GeneratorState::Ended, frame: None });
    };
    let is_running = bytes.record().get_opt(layout.running).is_some_and(|running| running != 0);
    let bytes = at_least(objects, address, BYTES, localsplus.offset as usize)?;
    if &*objects.type_name(address)? != "frame" {
        return Err(ReadError::Invalid("frame of a generator"));
    }
    let record = bytes.record();
    let lasti = record.get(lasti).unwrap_or(-1);
    let found = FrameRef {
        address,
        code: record.get(code).unwrap_or_default(),
        globals: record.get(globals).unwrap_or_default(),
        instruction: InstructionRef::Lasti(lasti),
        entry: Entry::Python,
        in_generator: true,
    };
    let is_running = is_running || record.get_opt(frame.state) == Some(FRAME_EXECUTING);
    let stack = record.get(valuestack).unwrap_or_default();
    let end = match (frame.stacktop, record.get_opt(frame.stackdepth)) {
        (Some(stacktop), _) => record.get(stacktop).and_then(Addr::non_null),
        (None, depth) => depth.and_then(|depth| Some(stack.offset(u64::try_from(depth).ok()?.checked_mul(8)?))),
    };
    let state = match end {
        _ if is_running => GeneratorState::Running,
        _ if lasti < 0 => GeneratorState::Created,
        Some(end) if end > stack && next_opcode(objects, found.code, lasti)? == YIELD_FROM => {
            GeneratorState::Awaits(slot_at(objects, address, &bytes, end.back(8))?)
        }
        _ => GeneratorState::Yields,
    };
    Ok(Generator { state, frame: Some(found) })
}

/// The opcode behind the instruction that was executed last.
fn next_opcode(objects: &Objects<'_>, code: Addr, lasti: i32) -> Result<u8, ReadError> {
    use crate::cpython::Instruction;
    let field = objects.layout.code.code.ok_or_else(missing)?;
    let bytecode = objects.field(code, field)?;
    let lasti = u64::try_from(lasti).map_err(|_| ReadError::Invalid("frame"))?;
    let at = match objects.quirks.instruction {
        Instruction::CodeUnits => (lasti + 1) * 2,
        _ => lasti + 2,
    };
    let first = objects.layout.bytes.ob_sval.of(bytecode);
    objects.cache.bytes(first.offset(at), 1)?.first().copied().ok_or(ReadError::Unmapped)
}
