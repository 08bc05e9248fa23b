//! Attributes of instances whose class names them in `__slots__`.

use super::Objects;
use crate::base::{Addr, FieldValue};
use crate::target::ReadError;

/// `T_OBJECT_EX`, `_Py_T_OBJECT_EX` (`Include/structmember.h`, `Include/descrobject.h`).
const OBJECT_EX: i32 = 16;
/// Largest instance that slots are believed to be in, in bytes.
const INSTANCE_BYTES: u64 = 1 << 16;

impl Objects<'_> {
    /// The values of slots; `None` for names that are none of the class's own, or that have no value.
    pub fn slots<const N: usize>(
        &self,
        object: Addr,
        names: [&'static str; N],
    ) -> Result<[Option<Addr>; N], ReadError> {
        let ty = self.type_of(object)?;
        let mut values = [None; N];
        for (value, name) in values.iter_mut().zip(names) {
            if let Some(offset) = self.slot_offset(ty, name)? {
                let word = self.cache.bytes(object.offset(offset), 8)?;
                *value = Addr::from_bytes(&word).and_then(Addr::non_null);
            }
        }
        Ok(values)
    }

    /// Where the instances of a type keep a slot: its namespace has a `PyMemberDescrObject` of
    /// `PyDescr_COMMON { d_type, d_name, d_qualname }` and a pointer to a `PyMemberDef { name, type, offset, … }`
    /// (`Include/descrobject.h`).
    fn slot_offset(&self, ty: Addr, name: &'static str) -> Result<Option<u64>, ReadError> {
        if let Some(known) = self.slot_offsets.borrow().get(&(ty, name)) {
            return Ok(*known);
        }
        let offset = self.read_slot_offset(ty, name)?;
        self.slot_offsets.borrow_mut().insert((ty, name), offset);
        Ok(offset)
    }

    fn read_slot_offset(&self, ty: Addr, name: &'static str) -> Result<Option<u64>, ReadError> {
        let Some(field) = self.layout.type_object.tp_dict else { return Ok(None) };
        let Some(dict) = self.field(ty, field)?.non_null() else { return Ok(None) };
        let Some(descriptor) = self.dict_get(dict, name)? else { return Ok(None) };
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
