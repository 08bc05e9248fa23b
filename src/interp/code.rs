//! Code objects: what a frame is called and where it is.

use super::walk::InstructionRef;
use crate::base::{Addr, FieldValue, limits};
use crate::cpython::Instruction;
use crate::objects::Objects;
use crate::target::{Bytes, Extent, ReadError};
use std::sync::Arc;

/// `CO_OPTIMIZED`, `CO_GENERATOR`, `CO_COROUTINE`, `CO_ASYNC_GENERATOR` (`Include/cpython/code.h`).
const CO_OPTIMIZED: i32 = 0x1;
const CO_GENERATOR: i32 = 0x20;
const CO_COROUTINE: i32 = 0x80;
const CO_ASYNC_GENERATOR: i32 = 0x200;
/// Line tables mostly are shorter, and come with their header in one read.
const LINE_TABLE_FIRST_READ: usize = 256;

/// What kind of code it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CodeKind {
    /// A function, method, lambda or comprehension.
    Function,
    /// A generator.
    Generator,
    /// A coroutine.
    Coroutine,
    /// An asynchronous generator.
    AsyncGenerator,
    /// A module, or code given to `exec`.
    Module,
    /// The body of a class statement.
    Class,
}

/// A code object.
#[derive(Clone)]
pub struct Code {
    /// `co_name`.
    pub name: Arc<str>,
    /// `co_qualname`, from 3.11 on.
    pub qualname: Option<Arc<str>>,
    /// `co_filename`.
    pub filename: Arc<str>,
    /// `co_firstlineno`.
    pub first_line: i32,
    /// What it is.
    pub kind: CodeKind,
    /// The line table, in the version's format.
    pub line_table: Bytes,
    /// First instruction, and how many bytes of them there are; from 3.11 on.
    bytecode: Option<(Addr, u64)>,
    /// Instructions before this byte are run while the frame is still in the making.
    first_traceable: i64,
    /// Copies of the bytecode, in free-threaded builds.
    copies: Option<Bytes>,
}

impl Code {
    /// Offset in bytes of the frame's instruction, `Ok(None)` before the first.
    pub(super) fn instruction_offset(
        &self,
        instruction: InstructionRef,
        meaning: Instruction,
    ) -> Result<Option<i64>, ReadError> {
        let offset = match (instruction, meaning) {
            (InstructionRef::Lasti(lasti), Instruction::CodeUnits) => i64::from(lasti) * 2,
            (InstructionRef::Lasti(lasti), _) => i64::from(lasti),
            (InstructionRef::Pointer(pointer, copy), _) => {
                let (start, length) = self.bytecode.ok_or(ReadError::Invalid("code"))?;
                let start = match usize::try_from(copy) {
                    Ok(0) => start,
                    copy => copy.ok().and_then(|i| self.copy(i)).ok_or(ReadError::Invalid("bytecode copy"))?,
                };
                let offset = pointer.0.wrapping_sub(start.0) as i64;
                // One before the first is where `prev_instr` starts.
                if offset < -2 || offset >= length as i64 {
                    return Err(ReadError::Invalid("instruction pointer"));
                }
                offset
            }
        };
        Ok((offset >= 0).then_some(offset))
    }

    fn copy(&self, index: usize) -> Option<Addr> {
        Addr::from_bytes(self.copies.as_ref()?.get(index.checked_mul(8)?..)?)
    }

    /// True when a coroutine or generator that stands at this byte has run any of its own code.
    pub fn has_begun(&self, offset: Option<i64>) -> bool {
        offset.is_some_and(|offset| offset >= self.first_traceable)
    }

    /// True while the frame is in the making, and not to be shown (`_PyFrame_IsIncomplete`, `pycore_frame.h`). Those
    /// inside a generator are complete; the call that makes the generator begins outside of one.
    pub(super) fn is_incomplete(&self, offset: Option<i64>, in_generator: bool) -> bool {
        !in_generator && self.bytecode.is_some() && offset.unwrap_or(-2) < self.first_traceable
    }
}

/// Reads the code objects of frames, all at once.
pub(super) fn read_codes(objects: &Objects<'_>, codes: &[Addr]) -> Vec<Result<Code, ReadError>> {
    objects.cache.batched(codes, |code| read_code(objects, *code))
}

fn read_code(objects: &Objects<'_>, address: Addr) -> Result<Code, ReadError> {
    let layout = &objects.layout.code;
    let bytes = objects.bytes(address, layout.end())?;
    if &*objects.type_name(address)? != "code" {
        return Err(ReadError::Invalid("code object"));
    }
    let record = bytes.record();
    let string = |field| record.get(field).unwrap_or_default();
    let (name, filename, table) = (string(layout.name), string(layout.filename), string(layout.linetable));
    let qualname = layout.qualname.map(string);
    let strings = [Some(name), Some(filename), qualname, Some(table)];
    objects.cache.prefetch(
        strings.into_iter().flatten().map(|s| Extent { len: LINE_TABLE_FIRST_READ.min(to_page_end(s)), addr: s }),
    );
    let name = objects.checked_str(name)?;
    let flags = record.get(layout.flags).unwrap_or_default();
    Ok(Code {
        kind: kind(flags, &name),
        name: name.into(),
        qualname: qualname.map(|q| objects.checked_str(q)).transpose()?.map(Arc::from),
        filename: objects.checked_str(filename)?.into(),
        first_line: record.get(layout.firstlineno).unwrap_or_default(),
        line_table: objects.bytes_object(table, limits::LINE_TABLE_BYTES)?,
        bytecode: bytecode(objects, address, &bytes),
        first_traceable: i64::from(record.get_opt(layout.firsttraceable).unwrap_or(0)) * 2,
        copies: bytecode_copies(objects, &bytes)?,
    })
}

fn to_page_end(addr: Addr) -> usize {
    0x1000 - (addr.0 & 0xfff) as usize
}

fn bytecode(objects: &Objects<'_>, address: Addr, bytes: &Bytes) -> Option<(Addr, u64)> {
    let start = objects.layout.code.code_adaptive?.of(address);
    let units = bytes.record().get(objects.layout.object.ob_size)?;
    Some((start, u64::try_from(units).ok()?.checked_mul(2)?))
}

/// `co_tlbc`: `_PyCodeArray { Py_ssize_t size; char *entries[] }` (`pycore_code.h`, 3.14 on).
fn bytecode_copies(objects: &Objects<'_>, bytes: &Bytes) -> Result<Option<Bytes>, ReadError> {
    let Some(array) = bytes.record().get_opt(objects.layout.code.tlbc).and_then(Addr::non_null) else {
        return Ok(None);
    };
    let size = i64::from_bytes(&objects.bytes(array, 8)?).unwrap_or_default();
    let size = usize::try_from(size).ok().filter(|n| *n <= limits::THREADS);
    let size = size.ok_or(ReadError::Invalid("bytecode copies"))?;
    objects.cache.bytes(array.offset(8), size * 8).map(Some)
}

fn kind(flags: i32, name: &str) -> CodeKind {
    match flags {
        _ if flags & CO_ASYNC_GENERATOR != 0 => CodeKind::AsyncGenerator,
        _ if flags & CO_COROUTINE != 0 => CodeKind::Coroutine,
        _ if flags & CO_GENERATOR != 0 => CodeKind::Generator,
        _ if flags & CO_OPTIMIZED != 0 => CodeKind::Function,
        _ if name == "<module>" => CodeKind::Module,
        _ => CodeKind::Class,
    }
}
