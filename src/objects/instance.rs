//! Attributes of instances of ordinary Python classes, wherever the version keeps them: a dict, or an array of values
//! whose keys the type holds.

use super::{Dict, Objects};
use crate::base::{Addr, FieldValue, limits};
use crate::cpython::InstanceDict;
use crate::target::{Bytes, Extent, ReadError};

/// `Py_TPFLAGS_INLINE_VALUES` (`Include/object.h`, 3.13 on).
const INLINE_VALUES: u64 = 1 << 2;
/// `Py_TPFLAGS_MANAGED_DICT` (`Include/object.h`, 3.11 on).
const MANAGED_DICT: u64 = 1 << 4;

/// Enough for the words before an instance, its header and some twenty inline values.
const INSTANCE_BYTES: usize = 288;
/// Of those, the words before the instance.
const BEFORE: u64 = 32;

/// Where the instances of a type keep their values, from the instance on, while none of them has a dict.
#[derive(Clone, Copy)]
pub(super) struct InlineValues {
    keys: Addr,
    /// How far before the instance the pointer to its dict is.
    dict_before: u64,
    /// The flag that says that they are in use.
    valid: Option<u64>,
    first: u64,
}

impl Objects<'_> {
    /// The values of attributes in the instance's own namespace.
    pub fn instance_attributes<const N: usize>(
        &self,
        object: Addr,
        names: [&'static str; N],
    ) -> Result<[Option<Addr>; N], ReadError> {
        let around = Self::instance_extent(object);
        match self.cache.bytes(around.addr, around.len) {
            Err(ReadError::Deferred) => return Err(ReadError::Deferred),
            Ok(bytes) => {
                if let Some(values) = self.inline_attributes(object, &bytes, &names) {
                    return Ok(values);
                }
            }
            // Not all of it is there, which says nothing of the instance.
            Err(_) => {}
        }
        let mut values = [None; N];
        if let Some(dict) = self.attributes(object)? {
            for (value, name) in values.iter_mut().zip(names) {
                *value = self.find(&dict, name)?;
            }
        }
        Ok(values)
    }

    /// An instance with the words before it and the inline values behind it: what to prefetch before many are read.
    pub fn instance_extent(object: Addr) -> Extent {
        Extent { addr: object.back(BEFORE), len: INSTANCE_BYTES }
    }

    /// The same in one look, for instances of a type and names that were seen before.
    fn inline_attributes<const N: usize>(
        &self,
        object: Addr,
        bytes: &Bytes,
        names: &[&'static str; N],
    ) -> Option<[Option<Addr>; N]> {
        let word = |from_object: u64| Addr::from_bytes(bytes.get((BEFORE + from_object) as usize..)?);
        let shapes = self.inline_values.borrow();
        let shape = shapes.get(&word(u64::from(self.layout.object.ob_type.offset))?)?;
        let dict = Addr::from_bytes(bytes.get(BEFORE.checked_sub(shape.dict_before)? as usize..)?)?;
        let valid = shape.valid.is_none_or(|at| bytes.get((BEFORE + at) as usize).is_some_and(|flag| *flag != 0));
        if !dict.is_null() || !valid || !object.is_plausible() {
            return None;
        }
        let mut values = [None; N];
        for (value, name) in values.iter_mut().zip(names) {
            if let Some(slot) = self.shared_slot(shape.keys, name)? {
                *value = word(shape.first + slot as u64 * 8)?.non_null();
            }
        }
        Some(values)
    }

    /// The instance's own namespace; `None` when it has none, or an empty one that was never made.
    pub fn attributes(&self, object: Addr) -> Result<Option<Dict>, ReadError> {
        let ty = self.type_of(object)?;
        let flags = self.field(ty, self.layout.type_object.tp_flags)?;
        let managed = flags & MANAGED_DICT != 0 && self.quirks.instance_dict != InstanceDict::Offset;
        if !managed {
            return self.dict_by_offset(object, ty);
        }
        let word = |addr: Addr| Addr::from_bytes(&self.cache.bytes(addr, 8)?).ok_or(ReadError::Unmapped);
        match self.quirks.instance_dict {
            InstanceDict::Offset => Ok(None),
            InstanceDict::ValuesAndDict => match word(object.back(24))?.non_null() {
                Some(dict) => self.dict(dict).map(Some),
                None => self.split_values(ty, word(object.back(32))?),
            },
            InstanceDict::Tagged => match word(object.back(24))? {
                // An odd word points one byte before the values.
                tagged if tagged.0 & 1 != 0 => self.split_values(ty, tagged.offset(1)),
                Addr::NULL => Ok(None),
                dict => self.dict(dict).map(Some),
            },
            InstanceDict::Inline { dict_before, values_after_header } => {
                match word(object.back(dict_before))?.non_null() {
                    Some(dict) => self.dict(dict).map(Some),
                    None if flags & INLINE_VALUES != 0 => {
                        self.inline_values(object, ty, dict_before, values_after_header)
                    }
                    None => Ok(None),
                }
            }
        }
    }

    fn dict_by_offset(&self, object: Addr, ty: Addr) -> Result<Option<Dict>, ReadError> {
        let offset = self.field(ty, self.layout.type_object.tp_dictoffset)?;
        // Negative offsets count from the end of variable-sized objects, which no class of interest here is.
        let Some(offset) = u64::try_from(offset).ok().filter(|offset| *offset > 0) else { return Ok(None) };
        let dict = self.cache.bytes(object.offset(offset), 8)?;
        match Addr::from_bytes(&dict).and_then(Addr::non_null) {
            Some(dict) => self.dict(dict).map(Some),
            None => Ok(None),
        }
    }

    fn inline_values(
        &self,
        object: Addr,
        ty: Addr,
        dict_before: u64,
        after_header: bool,
    ) -> Result<Option<Dict>, ReadError> {
        let offset = match after_header {
            true => u64::from(self.layout.object.size),
            false => u64::try_from(self.field(ty, self.layout.type_object.tp_basicsize)?)
                .map_err(|_| ReadError::Invalid("type"))?,
        };
        let values = object.offset(offset);
        let valid = self.layout.dict.values_valid.map(|valid| self.field(values, valid)).transpose()?;
        if valid == Some(0) {
            return Ok(None);
        }
        let dict = self.split_values(ty, values)?;
        let shape = InlineValues {
            keys: self.field(ty, self.layout.type_object.ht_cached_keys)?,
            dict_before,
            valid: self.layout.dict.values_valid.map(|valid| offset + u64::from(valid.offset)),
            first: offset + self.layout.dict.values.map_or(0, |values| u64::from(values.offset)),
        };
        if offset < INSTANCE_BYTES as u64 {
            self.inline_values.borrow_mut().insert(ty, shape);
        }
        Ok(dict)
    }

    fn split_values(&self, ty: Addr, values: Addr) -> Result<Option<Dict>, ReadError> {
        let keys = self.field(ty, self.layout.type_object.ht_cached_keys)?;
        if keys.is_null() || values.is_null() {
            return Ok(None);
        }
        let first = match self.layout.dict.values {
            Some(field) => field.of(values),
            None => values,
        };
        self.dict_keys(keys, Some(first), limits::ATTRIBUTES).map(Some)
    }
}
