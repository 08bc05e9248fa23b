//! Single local variables of frames, by name, and the operands of frames that are suspended: for those who know what they
//! look for.

use super::locals::{LocalKind, Names, contents, names_of};
use crate::base::{Addr, AddrMap, FieldValue};
use crate::objects::Objects;
use crate::target::ReadError;
use std::cell::RefCell;
use std::rc::Rc;

/// Operands of one frame that are looked at. A level of `with`, `for` or `try` takes one to three.
const OPERANDS: u64 = 256;

/// Reads variables; what code objects call theirs is read once.
#[derive(Default)]
pub struct Variables {
    names: RefCell<AddrMap<Result<Rc<Names>, ReadError>>>,
}

impl Variables {
    fn names(&self, objects: &Objects<'_>, code: Addr) -> Result<Rc<Names>, ReadError> {
        if let Some(names) = self.names.borrow().get(&code) {
            return names.clone();
        }
        let names = match names_of(objects, code) {
            Err(ReadError::Deferred) => return Err(ReadError::Deferred),
            names => names.map(Rc::new),
        };
        self.names.borrow_mut().insert(code, names.clone());
        names
    }

    /// The objects that variables of a function's frame refer to; `None` for those that have no value.
    pub fn values<const N: usize>(
        &self,
        objects: &Objects<'_>,
        frame: Addr,
        code: Addr,
        wanted: [&str; N],
    ) -> Result<[Option<Addr>; N], ReadError> {
        let names = self.names(objects, code)?;
        let bytes = objects.cache.bytes(first_slot(objects, frame)?, names.len() * 8)?;
        let mut found = [None; N];
        for (value, wanted) in found.iter_mut().zip(wanted) {
            // Up to 3.10 a parameter that inner functions use has two slots, and the first is empty.
            for (slot, (_, kind)) in names.iter().enumerate().filter(|(_, (name, _))| **name == *wanted) {
                let word = bytes.get(slot * 8..).and_then(Addr::from_bytes).unwrap_or_default();
                let Some(object) = object(word) else { continue };
                *value = match kind {
                    LocalKind::Cell | LocalKind::Free => contents(objects, object)?,
                    LocalKind::Argument | LocalKind::Local => Some(object),
                };
            }
        }
        Ok(found)
    }

    /// What lies on the value stack of a frame that is suspended, the innermost last. Empty slots are NULL.
    pub fn operands(&self, objects: &Objects<'_>, frame: Addr, code: Addr) -> Result<Vec<Addr>, ReadError> {
        let (first, end) = match objects.quirks.interpreter_frames {
            true => self.operands_of_interpreter_frame(objects, frame, code)?,
            false => operands_of_frame_object(objects, frame)?,
        };
        // A frame that is executed has its stack pointer elsewhere.
        let len = end.0.saturating_sub(first.0);
        if len > OPERANDS * 8 || len % 8 != 0 {
            return Err(ReadError::Invalid("value stack"));
        }
        let bytes = objects.cache.bytes(first, len as usize)?;
        Ok(bytes.chunks_exact(8).filter_map(Addr::from_bytes).map(|word| object(word).unwrap_or_default()).collect())
    }

    fn operands_of_interpreter_frame(
        &self,
        objects: &Objects<'_>,
        frame: Addr,
        code: Addr,
    ) -> Result<(Addr, Addr), ReadError> {
        let slots = first_slot(objects, frame)?;
        let first = slots.offset(self.names(objects, code)?.len() as u64 * 8);
        let layout = &objects.layout.frame;
        let end = match (layout.stackpointer, layout.stacktop) {
            (Some(pointer), _) => objects.field(frame, pointer)?,
            (None, Some(top)) => slots.offset(u64::try_from(objects.field(frame, top)?).unwrap_or(0).saturating_mul(8)),
            _ => return Err(ReadError::Invalid("layout")),
        };
        Ok((first, end))
    }
}

fn operands_of_frame_object(objects: &Objects<'_>, frame: Addr) -> Result<(Addr, Addr), ReadError> {
    let layout = &objects.layout.frame_object;
    let first = objects.field(frame, layout.valuestack.ok_or(ReadError::Invalid("layout"))?)?;
    let end = match (layout.stacktop, layout.stackdepth) {
        (Some(top), _) => objects.field(frame, top)?,
        (None, Some(depth)) => first.offset(u64::try_from(objects.field(frame, depth)?).unwrap_or(0) * 8),
        _ => return Err(ReadError::Invalid("layout")),
    };
    Ok((first, end))
}

fn first_slot(objects: &Objects<'_>, frame: Addr) -> Result<Addr, ReadError> {
    let field = match objects.quirks.interpreter_frames {
        true => objects.layout.frame.localsplus,
        false => objects.layout.frame_object.localsplus,
    };
    field.map(|field| field.of(frame)).ok_or(ReadError::Invalid("layout: it has no local variables"))
}

/// What a slot refers to. From 3.14 on an empty one is 1, and the lowest two bits mark an integer that is no object
/// (`pycore_stackref.h`).
fn object(word: Addr) -> Option<Addr> {
    if word.0 & 3 == 3 { None } else { word.untagged().non_null() }
}
