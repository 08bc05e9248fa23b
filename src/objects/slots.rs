//! Attributes of instances whose class names them in `__slots__`.

use super::Objects;
use crate::base::{Addr, FieldValue};
use crate::target::ReadError;

/// `Py_T_OBJECT_EX` (`Include/descrobject.h`, before 3.12 `structmember.h`): what `__slots__` are.
const OBJECT_EX: i32 = 16;
/// Largest instance that slots are believed to be in, in bytes.
const INSTANCE_BYTES: u64 = 1 << 16;
/// `Py_TPFLAGS_HEAPTYPE` (`Include/object.h`).
const HEAP_TYPE: u64 = 1 << 9;
/// Classes that are looked through for a slot.
const BASES: usize = 16;

impl Objects<'_> {
    /// The values of slots; `None` for names that are none of the class's or its bases', or that have no value.
    pub fn slots<const N: usize>(
        &self,
        object: Addr,
        names: [&'static str; N],
    ) -> Result<[Option<Addr>; N], ReadError> {
        let ty = self.type_of(object)?;
        let mut offsets = [None; N];
        for (offset, name) in offsets.iter_mut().zip(names) {
            *offset = self.slot_offset(ty, name)?;
        }
        // All of them at once.
        let end = offsets.iter().flatten().max().map_or(0, |last| *last as usize + 8);
        let bytes = self.bytes(object, end)?;
        let value = |offset: u64| bytes.get(offset as usize..).and_then(Addr::from_bytes)?.non_null();
        Ok(offsets.map(|offset| offset.and_then(value)))
    }

    /// The types that an instance of a type is an instance of, the type itself first.
    pub fn bases(&self, ty: Addr) -> Result<Vec<Addr>, ReadError> {
        let Some(field) = self.layout.type_object.tp_mro else { return Ok(vec![ty]) };
        match self.field(ty, field)?.non_null() {
            Some(mro) => Ok(self.tuple_items(mro, BASES)?.0),
            None => Ok(vec![ty]),
        }
    }

    /// Where the instances of a type keep a slot.
    fn slot_offset(&self, ty: Addr, name: &'static str) -> Result<Option<u64>, ReadError> {
        if let Some(known) = self.slot_offsets.borrow().get(&(ty, name)) {
            return Ok(*known);
        }
        let offset = self.read_slot_offset(ty, name)?;
        self.slot_offsets.borrow_mut().insert((ty, name), offset);
        Ok(offset)
    }

    fn read_slot_offset(&self, ty: Addr, name: &'static str) -> Result<Option<u64>, ReadError> {
        let layout = &self.layout.type_object;
        let mut descriptor = None;
        for base in self.bases(ty)? {
            // Static types have no slots, and from 3.12 on no namespace here.
            let dict = match layout.tp_dict {
                Some(field) if self.field(base, layout.tp_flags)? & HEAP_TYPE != 0 => self.field(base, field)?,
                _ => continue,
            };
            descriptor = match dict.non_null() {
                Some(dict) => self.dict_get(dict, name)?,
                None => None,
            };
            if descriptor.is_some() {
                break;
            }
        }
        let Some(descriptor) = descriptor else { return Ok(None) };
        self.member_offset(descriptor)
    }

    /// Where instances keep a slot for which a `member_descriptor` stands; `None` for what is no such descriptor. It is a
    /// `PyMemberDescrObject` of `PyDescr_COMMON { d_type, d_name, d_qualname }` and a pointer to a
    /// `PyMemberDef { name, type, offset, … }` (`Include/descrobject.h`).
    pub(super) fn member_offset(&self, descriptor: Addr) -> Result<Option<u64>, ReadError> {
        if &*self.type_name(descriptor)? != "member_descriptor" {
            return Ok(None);
        }
        let member = self.bytes(descriptor, self.layout.object.size as usize + 32)?;
        let member = member.get(self.layout.object.size as usize + 24..).and_then(Addr::from_bytes);
        let bytes = self.bytes(member.unwrap_or_default(), 24)?;
        let kind = bytes.get(8..).and_then(i32::from_bytes);
        let offset = bytes.get(16..).and_then(u64::from_bytes);
        let is_sane = |offset: &u64| offset.is_multiple_of(8) && *offset < INSTANCE_BYTES;
        Ok(offset.filter(is_sane).filter(|_| kind == Some(OBJECT_EX)))
    }
}
