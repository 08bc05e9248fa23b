//! Stacks up to 3.10: a chain of `PyFrameObject`s on the heap, linked by `f_back`.

use super::walk::{Entry, FrameRef, InstructionRef, Walk};
use crate::objects::Objects;
use crate::target::ReadError;

/// Goes on with the walk to its end, or until `room` frames more.
pub(super) fn walk(objects: &Objects<'_>, walk: &mut Walk, room: usize) -> Result<(), ReadError> {
    let layout = &objects.layout.frame_object;
    let (Some(back), Some(code), Some(globals), Some(lasti)) = (layout.back, layout.code, layout.globals, layout.lasti)
    else {
        return Err(ReadError::Invalid("layout: it has no frame objects"));
    };
    let end = back.end().max(code.end()).max(globals.end()).max(lasti.end());
    let limit = walk.frames.len() + room;
    while !walk.next.is_null() {
        if walk.frames.len() >= limit {
            return Err(ReadError::TooLarge);
        }
        let bytes = objects.bytes(walk.next, end)?;
        if &*objects.type_name(walk.next)? != "frame" {
            return Err(ReadError::Invalid("frame"));
        }
        walk.step(walk.next)?;
        let record = bytes.record();
        walk.frames.push(FrameRef {
            address: walk.next,
            code: record.get(code).unwrap_or_default(),
            globals: record.get(globals).unwrap_or_default(),
            instruction: InstructionRef::Lasti(record.get(lasti).unwrap_or(-1)),
            entry: Entry::Loop,
            in_generator: false,
        });
        walk.next = record.get(back).unwrap_or_default();
    }
    Ok(())
}
