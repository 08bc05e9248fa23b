//! Attributes of instances of ordinary Python classes, wherever the version keeps them: a dict, or an array of values
//! whose keys the type holds.

use super::{Dict, Objects};
use crate::base::{Addr, FieldValue, limits};
use crate::cpython::InstanceDict;
use crate::target::{Bytes, Extent, ReadError};
use std::rc::Rc;

/// `Py_TPFLAGS_INLINE_VALUES` (`Include/object.h`, 3.13 on).
const INLINE_VALUES: u64 = 1 << 2;
/// `Py_TPFLAGS_MANAGED_DICT` (`Include/object.h`, 3.11 on).
const MANAGED_DICT: u64 = 1 << 4;

/// `Py_TPFLAGS_LONG_SUBCLASS`, `_TUPLE_`, `_BYTES_`, with the bytes of an item.
const ITEM_BYTES: &[(u64, u64)] = &[(1 << 24, 4), (1 << 26, 8), (1 << 27, 1)];

/// Enough for the words before an instance, its header and some twenty inline values.
const INSTANCE_BYTES: usize = 288;
/// Of those, the words before the instance.
const BEFORE: u64 = 32;
/// How far before an instance of 3.11 or 3.12 the word for its dict is, which in 3.12 may be values instead.
const DICT_OR_VALUES: u64 = 24;
/// How far before an instance of 3.11 the pointer to its values is.
const VALUES: u64 = 32;

/// Where the instances of a type keep their values while they have no dict.
#[derive(Clone, Copy)]
pub(super) struct TypeValues {
    /// Their common keys, and how many slots those have.
    keys: Addr,
    slots: usize,
    place: Place,
}

#[derive(Clone, Copy)]
enum Place {
    /// Inside the instance, `first` bytes from its start.
    Inline {
        /// How far before the instance the pointer to its dict is.
        dict_before: u64,
        /// The flag that says that the values are in use.
        valid: Option<u64>,
        first: u64,
    },
    /// Where a word before the instance points.
    Pointed,
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
                if let Some(values) = self.values_at_once(object, &bytes, &names)? {
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

    /// The same in one look, for instances of a type and names that were seen before. `bytes` are those around it.
    fn values_at_once<const N: usize>(
        &self,
        object: Addr,
        bytes: &Bytes,
        names: &[&'static str; N],
    ) -> Result<Option<[Option<Addr>; N]>, ReadError> {
        let ty = bytes.get(BEFORE as usize + self.layout.object.ob_type.offset as usize..).and_then(Addr::from_bytes);
        let known = self.type_values.borrow().get(&ty.unwrap_or_default()).copied().filter(|_| object.is_plausible());
        let Some(known) = known else { return Ok(None) };
        let array = match known.place {
            Place::Inline { dict_before, valid, first } => Self::inline_array(bytes, dict_before, valid, first),
            Place::Pointed => {
                self.pointed_array(bytes).map(|first| self.cache.bytes(first, known.slots * 8)).transpose()?
            }
        };
        let Some(array) = array else { return Ok(None) };
        let mut values = [None; N];
        for (value, name) in values.iter_mut().zip(names) {
            let Some(slot) = self.shared_slot(known.keys, name) else { return Ok(None) };
            let Some(slot) = slot else { continue };
            let Some(word) = array.get(slot * 8..).and_then(Addr::from_bytes) else { return Ok(None) };
            *value = word.non_null();
        }
        Ok(Some(values))
    }

    /// The values inside an instance; `None` when they are not in use.
    fn inline_array(bytes: &Bytes, dict_before: u64, valid: Option<u64>, first: u64) -> Option<Bytes> {
        let dict = Addr::from_bytes(bytes.get(BEFORE.checked_sub(dict_before)? as usize..)?)?;
        let valid = valid.is_none_or(|at| bytes.get((BEFORE + at) as usize).is_some_and(|flag| *flag != 0));
        let first = (BEFORE + first) as usize;
        if dict.is_null() && valid { bytes.piece(first as u64, bytes.len().checked_sub(first)?) } else { None }
    }

    /// Where the values of an instance are that a word before it points to; `None` when there are none.
    fn pointed_array(&self, bytes: &Bytes) -> Option<Addr> {
        let before = |distance: u64| Addr::from_bytes(bytes.get((BEFORE - distance) as usize..)?);
        let values = match (self.quirks.instance_dict, before(DICT_OR_VALUES)?) {
            (InstanceDict::ValuesAndDict, Addr::NULL) => before(VALUES)?.non_null()?,
            (InstanceDict::Tagged, tagged) if tagged.0 & 1 != 0 => tagged.offset(1),
            _ => return None,
        };
        Some(self.first_value(values))
    }

    /// Names and values of the attributes in the instance's own namespace, in the order in which they were set, at most
    /// so many. Names that are no `str` are left out.
    pub fn named_attributes(&self, object: Addr, most: usize) -> Result<Vec<(Rc<str>, Addr)>, ReadError> {
        let Some(dict) = self.attributes(object)? else { return Ok(Vec::new()) };
        let entries = self.in_order(&dict)?;
        self.prefetch_keys(entries.iter().take(most).map(|entry| entry.key));
        let mut found = Vec::with_capacity(entries.len().min(most));
        let mut missing = false;
        for entry in entries.into_iter().take(most) {
            match self.key_name(entry.key) {
                Ok(name) => found.extend(name.map(|name| (name, entry.value))),
                Err(ReadError::Deferred) => missing = true,
                Err(error) => return Err(error),
            }
        }
        if missing { Err(ReadError::Deferred) } else { Ok(found) }
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
            InstanceDict::ValuesAndDict => match word(object.back(DICT_OR_VALUES))?.non_null() {
                Some(dict) => self.dict(dict).map(Some),
                None => self.split_values(ty, word(object.back(VALUES))?, Some(Place::Pointed)),
            },
            InstanceDict::Tagged => match word(object.back(DICT_OR_VALUES))? {
                // An odd word points one byte before the values.
                tagged if tagged.0 & 1 != 0 => self.split_values(ty, tagged.offset(1), Some(Place::Pointed)),
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
        let offset = match offset {
            0 => return Ok(None),
            1.. => offset.unsigned_abs(),
            // Negative offsets count from the end of variable-sized objects (`_PyObject_GetDictPtr`, `Objects/object.c`).
            _ => match self.variable_size(object, ty)?.and_then(|size| size.checked_sub(offset.unsigned_abs())) {
                Some(offset) => offset,
                None => return Ok(None),
            },
        };
        let dict = self.cache.bytes(object.offset(offset), 8)?;
        match Addr::from_bytes(&dict).and_then(Addr::non_null) {
            Some(dict) => self.dict(dict).map(Some),
            None => Ok(None),
        }
    }

    /// Bytes of an instance of a subclass of `int`, `tuple` or `bytes`, in whole words.
    fn variable_size(&self, object: Addr, ty: Addr) -> Result<Option<u64>, ReadError> {
        let layout = &self.layout.type_object;
        let flags = self.field(ty, layout.tp_flags)?;
        let Some((_, item)) = ITEM_BYTES.iter().find(|(flag, _)| flags & flag != 0) else { return Ok(None) };
        let basic = u64::try_from(self.field(ty, layout.tp_basicsize)?).map_err(|_| ReadError::Invalid("type"))?;
        let count = self.field(object, self.layout.object.ob_size)?.unsigned_abs();
        Ok(count.checked_mul(*item).and_then(|size| size.checked_add(basic)?.checked_next_multiple_of(8)))
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
        let place = (offset < INSTANCE_BYTES as u64).then(|| Place::Inline {
            dict_before,
            valid: self.layout.dict.values_valid.map(|valid| offset + u64::from(valid.offset)),
            first: self.first_value(Addr(offset)).0,
        });
        self.split_values(ty, values, place)
    }

    /// The first value of those at `values`.
    fn first_value(&self, values: Addr) -> Addr {
        self.layout.dict.values.map_or(values, |field| field.of(values))
    }

    fn split_values(&self, ty: Addr, values: Addr, place: Option<Place>) -> Result<Option<Dict>, ReadError> {
        let keys = self.field(ty, self.layout.type_object.ht_cached_keys)?;
        if keys.is_null() || values.is_null() {
            return Ok(None);
        }
        let dict = self.dict_keys(keys, Some(self.first_value(values)), limits::ATTRIBUTES)?;
        if let Some(place) = place {
            self.type_values.borrow_mut().insert(ty, TypeValues { keys, slots: dict.slots(), place });
        }
        Ok(Some(dict))
    }
}
