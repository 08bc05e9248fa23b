//! Attributes of instances of ordinary Python classes, wherever the version keeps them: a dict, or an array of values
//! whose keys the type holds.

use super::{Dict, Objects};
use crate::base::{Addr, FieldValue, limits};
use crate::cpython::InstanceDict;
use crate::target::{Extent, ReadError};

/// `Py_TPFLAGS_INLINE_VALUES` (`Include/object.h`, 3.13 on).
const INLINE_VALUES: u64 = 1 << 2;
/// `Py_TPFLAGS_MANAGED_DICT` (`Include/object.h`, 3.11 on).
const MANAGED_DICT: u64 = 1 << 4;

/// Enough for the words before an instance, its header and some twenty inline values.
const INSTANCE_BYTES: usize = 288;

impl Objects<'_> {
    /// The values of attributes in the instance's own namespace.
    pub fn instance_attributes<const N: usize>(
        &self,
        object: Addr,
        names: [&'static str; N],
    ) -> Result<[Option<Addr>; N], ReadError> {
        // The words before the object and the inline values behind it, in one piece with it.
        self.cache.prefetch([Extent { addr: object.back(32), len: INSTANCE_BYTES }]);
        let mut values = [None; N];
        if let Some(dict) = self.attributes(object)? {
            for (value, name) in values.iter_mut().zip(names) {
                *value = self.find(&dict, name)?;
            }
        }
        Ok(values)
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
                    None if flags & INLINE_VALUES != 0 => self.inline_values(object, ty, values_after_header),
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

    fn inline_values(&self, object: Addr, ty: Addr, after_header: bool) -> Result<Option<Dict>, ReadError> {
        let offset = match after_header {
            true => u64::from(self.layout.object.size),
            false => u64::try_from(self.field(ty, self.layout.type_object.tp_basicsize)?)
                .map_err(|_| ReadError::Invalid("type"))?,
        };
        let values = object.offset(offset);
        let valid = self.layout.dict.values_valid.map(|valid| self.field(values, valid)).transpose()?;
        if valid == Some(0) { Ok(None) } else { self.split_values(ty, values) }
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
