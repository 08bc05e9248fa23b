//! `__slots__`: attributes that lie at fixed places in an instance.

use super::Objects;
use crate::base::{Addr, AddrMap, FieldValue};
use crate::target::ReadError;
use std::cell::RefCell;
use std::rc::Rc;

/// `Py_T_OBJECT_EX` (`Include/descrobject.h`, before 3.12 `structmember.h`): what `__slots__` are.
const OBJECT_EX: i32 = 16;
/// Entries of a class's namespace that are looked through for slots.
const CLASS_ENTRIES: usize = 2000;
/// `Py_TPFLAGS_HEAPTYPE` (`Include/object.h`).
const HEAP_TYPE: u64 = 1 << 9;
/// Classes among whose slots an instance's are.
const BASES: usize = 16;

/// A name with the place of its value, in bytes from the start of an instance.
type Slot = (Rc<str>, u64);

/// The slots of types, each type looked through once.
#[derive(Default)]
pub struct Slots {
    by_type: RefCell<AddrMap<Rc<[Slot]>>>,
}

impl Slots {
    /// The values of slots of an instance of a Python class; `None` for those that are empty or that it does not have.
    pub fn values<const N: usize>(
        &self,
        objects: &Objects<'_>,
        object: Addr,
        names: [&str; N],
    ) -> Result<[Option<Addr>; N], ReadError> {
        let ty = objects.type_of(object)?;
        let known = self.by_type.borrow().get(&ty).cloned();
        let slots = match known {
            Some(slots) => slots,
            None => {
                let slots: Rc<[Slot]> = objects.slots_of(ty)?.into();
                self.by_type.borrow_mut().insert(ty, slots.clone());
                slots
            }
        };
        let end = slots.iter().map(|(_, at)| at.saturating_add(8)).max().unwrap_or(0);
        let bytes = objects.bytes(object, usize::try_from(end).map_err(|_| ReadError::TooLarge)?)?;
        Ok(names.map(|name| {
            let (_, at) = slots.iter().find(|(own, _)| **own == *name)?;
            bytes.get(usize::try_from(*at).ok()?..).and_then(Addr::from_bytes)?.non_null()
        }))
    }
}

impl Objects<'_> {
    /// The types that an instance of a type is an instance of, the type itself first.
    pub fn bases(&self, ty: Addr) -> Result<Vec<Addr>, ReadError> {
        let Some(field) = self.layout.type_object.tp_mro else { return Ok(vec![ty]) };
        match self.field(ty, field)?.non_null() {
            Some(mro) => Ok(self.tuple_items(mro, BASES)?.0),
            None => Ok(vec![ty]),
        }
    }

    /// The slots of a type and its bases.
    fn slots_of(&self, ty: Addr) -> Result<Vec<Slot>, ReadError> {
        let layout = &self.layout.type_object;
        let basicsize = u64::try_from(self.field(ty, layout.tp_basicsize)?).map_err(|_| ReadError::Invalid("type"))?;
        let mut slots = Vec::new();
        let mut missing = false;
        for base in self.bases(ty)? {
            let dict = match layout.tp_dict {
                Some(field) if self.field(base, layout.tp_flags)? & HEAP_TYPE != 0 => self.field(base, field)?.non_null(),
                _ => None,
            };
            let Some(dict) = dict else { continue };
            for entry in self.first_of_dict(dict, CLASS_ENTRIES)?.entries() {
                match self.slot(entry.key, entry.value) {
                    Ok(slot) => slots.extend(slot.filter(|(_, at)| at.saturating_add(8) <= basicsize)),
                    Err(ReadError::Deferred) => missing = true,
                    Err(_) => {}
                }
            }
        }
        if missing { Err(ReadError::Deferred) } else { Ok(slots) }
    }

    /// A `PyMemberDescrObject`: `PyDescr_COMMON { d_type, d_name, d_qualname }` and a pointer to a `PyMemberDef { name, type,
    /// offset, … }` (`Include/descrobject.h`).
    fn slot(&self, name: Addr, descriptor: Addr) -> Result<Option<Slot>, ReadError> {
        if &*self.type_name(descriptor)? != "member_descriptor" {
            return Ok(None);
        }
        let member: Addr = self.word(descriptor, 24)?;
        let bytes = self.bytes(member, 24)?;
        let kind = bytes.get(8..).and_then(i32::from_bytes);
        let offset = bytes.get(16..).and_then(u64::from_bytes).filter(|offset| *offset % 8 == 0);
        let (Some(OBJECT_EX), Some(offset)) = (kind, offset) else { return Ok(None) };
        Ok(Some((self.checked_str(name)?.into(), offset)))
    }
}
