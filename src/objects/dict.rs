//! `dict`: the entry table of its keys object, and the separate values of a split dict.

use super::Objects;
use crate::base::{Addr, FieldValue, Record, limits};
use crate::target::{Bytes, ReadError};
use std::ops::Range;
use std::rc::Rc;

/// `DICT_KEYS_GENERAL` (`Include/internal/pycore_dict.h`, 3.11 on): entries carry a hash.
const KEYS_GENERAL: u8 = 0;

/// Keys read in the first go while a key is looked for.
const KEYS_AT_ONCE: usize = 64;
/// Keys of more code points than any that is looked for are not read.
const KEY_CHARS: i64 = 64;

/// One key with its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The key object.
    pub key: Addr,
    /// The value object.
    pub value: Addr,
}

/// A dict's entries, in insertion order of its keys.
pub struct Dict {
    /// The keys object, which split dicts of one class share.
    keys: Addr,
    entries: Bytes,
    entry_bytes: usize,
    key_at: usize,
    /// Values of a split dict; otherwise they are in the entries.
    values: Option<Bytes>,
    /// Where the first of those is.
    first_value: Option<Addr>,
}

impl Dict {
    /// The entries that hold a value.
    pub fn entries(&self) -> impl Iterator<Item = Entry> + '_ {
        (0..self.slots()).filter_map(|slot| self.entry(slot))
    }

    /// How many slots there are.
    pub(super) fn slots(&self) -> usize {
        self.entries.len() / self.entry_bytes
    }

    /// The entry in a slot; `None` when it is empty.
    fn entry(&self, slot: usize) -> Option<Entry> {
        let word = |bytes: &[u8], at: usize| bytes.get(at..).and_then(Addr::from_bytes).unwrap_or_default();
        let at = slot * self.entry_bytes + self.key_at;
        let value = match &self.values {
            Some(values) => word(values, slot * 8),
            None => word(&self.entries, at + 8),
        };
        let entry = Entry { key: word(&self.entries, at), value };
        (!entry.key.is_null() && !entry.value.is_null()).then_some(entry)
    }

    fn key(&self, slot: usize) -> Addr {
        self.entries.get(slot * self.entry_bytes + self.key_at..).and_then(Addr::from_bytes).unwrap_or_default()
    }
}

impl Objects<'_> {
    /// The entries of a `dict` or a subclass of it.
    pub fn dict(&self, object: Addr) -> Result<Dict, ReadError> {
        let (keys, values) = self.keys_and_values(object)?;
        self.dict_keys(keys, values, limits::DICT_ENTRIES)
    }

    /// The first entries of a `dict` or a subclass of it: those in its first `slots` slots.
    pub fn first_of_dict(&self, object: Addr, slots: usize) -> Result<Dict, ReadError> {
        let (keys, values) = self.keys_and_values(object)?;
        self.read_slots(keys, values, |count| Ok(count.min(slots)))
    }

    /// The keys object, and the first of the separate values when there are any.
    fn keys_and_values(&self, object: Addr) -> Result<(Addr, Option<Addr>), ReadError> {
        let layout = &self.layout.dict;
        let header = self.bytes(object, layout.ma_keys.end().max(layout.ma_values.end()))?;
        let keys = header.record().get(layout.ma_keys).unwrap_or_default();
        let values = header.record().get(layout.ma_values).and_then(Addr::non_null);
        let first_value = match (values, layout.values) {
            (Some(values), Some(field)) => Some(field.of(values)),
            (values, _) => values,
        };
        Ok((keys, first_value))
    }

    /// The entries of a keys object, with the separate values when there are any; more than `limit` is an error.
    pub(super) fn dict_keys(&self, keys: Addr, values: Option<Addr>, limit: usize) -> Result<Dict, ReadError> {
        self.read_slots(keys, values, |count| if count > limit { Err(ReadError::TooLarge) } else { Ok(count) })
    }

    /// As many slots as `wanted` makes of their number.
    fn read_slots(
        &self,
        keys: Addr,
        values: Option<Addr>,
        wanted: impl Fn(usize) -> Result<usize, ReadError>,
    ) -> Result<Dict, ReadError> {
        let layout = &self.layout.dict;
        let header = self.bytes(keys, layout.dk_indices.offset as usize)?;
        let header = header.record();
        let invalid = ReadError::Invalid("dict");
        let count = header.get(layout.dk_nentries).and_then(|n| usize::try_from(n).ok()).ok_or(invalid)?;
        let wanted = wanted(count)?;
        let (index_bytes, general) = self.dict_index(header).ok_or(invalid)?;
        // Each entry has a slot in the index, of a byte at least.
        if count as u64 > index_bytes {
            return Err(invalid);
        }
        let (entry_bytes, key_at) = if general { (24, 8) } else { (16, 0) };
        let first = layout.dk_indices.of(keys).offset(index_bytes);
        let entries = self.cache.bytes(first, wanted * entry_bytes)?;
        let first_value = values;
        let values = values.map(|values| self.cache.bytes(values, wanted * 8)).transpose()?;
        Ok(Dict { keys, entries, entry_bytes, key_at, values, first_value })
    }

    /// The entries in the order in which they were inserted. That of a split dict's keys may be another's; from 3.11 on its
    /// values say which slots were filled one after the other (`Include/internal/pycore_dict.h`).
    pub fn in_order(&self, dict: &Dict) -> Result<Vec<Entry>, ReadError> {
        let mut entries: Vec<Entry> = dict.entries().collect();
        if let Some(order) = dict.first_value.map(|first| self.order(first)).transpose()?.flatten() {
            let ordered: Vec<Entry> = order.iter().filter_map(|slot| dict.entry(usize::from(*slot))).collect();
            if ordered.len() == entries.len() {
                entries = ordered;
            }
        }
        Ok(entries)
    }

    fn order(&self, first: Addr) -> Result<Option<Vec<u8>>, ReadError> {
        let layout = &self.layout.dict;
        match (layout.values, layout.values_valid) {
            (None, _) => Ok(None),
            // `{ capacity, size, embedded, valid, values[capacity] }`, then the order.
            (Some(values), Some(_)) => {
                let header = self.cache.bytes(first.back(u64::from(values.offset)), 2)?;
                let [capacity, size] = *header else { return Ok(None) };
                let order = self.cache.bytes(first.offset(u64::from(capacity) * 8), usize::from(size))?;
                Ok(Some(order.to_vec()))
            }
            // 3.11 and 3.12 have it in front of the values, backwards: `…, second, first, size, bytes of all this`.
            (Some(_), None) => {
                let size = self.cache.bytes(first.back(2), 1)?.first().copied().unwrap_or_default();
                let order = self.cache.bytes(first.back(2 + u64::from(size)), usize::from(size))?;
                Ok(Some(order.iter().rev().copied().collect()))
            }
        }
    }

    /// Bytes of the index, and whether entries carry a hash.
    fn dict_index(&self, header: Record<'_>) -> Option<(u64, bool)> {
        let layout = &self.layout.dict;
        if let Some(log2) = header.get_opt(layout.dk_log2_index_bytes) {
            let kind = header.get_opt(layout.dk_kind)?;
            return (log2 < 40 && kind <= 2).then(|| (1 << log2, kind == KEYS_GENERAL));
        }
        let slots =
            u64::try_from(header.get_opt(layout.dk_size)?).ok().filter(|n| n.is_power_of_two() && *n < 1 << 40)?;
        let width = match slots {
            ..=0xff => 1,
            0x100..=0xffff => 2,
            0x1_0000..=0xffff_ffff => 4,
            _ => 8,
        };
        Some((slots * width, true))
    }

    /// The value of a `str` key.
    pub fn dict_get(&self, object: Addr, key: &'static str) -> Result<Option<Addr>, ReadError> {
        self.find(&self.dict(object)?, key)
    }

    /// The value of a `str` key among entries; keys that are no strings are passed over.
    pub(super) fn find(&self, dict: &Dict, key: &'static str) -> Result<Option<Addr>, ReadError> {
        let known = if dict.values.is_some() { self.shared_slot(dict.keys, key) } else { None };
        let slot = match known {
            Some(slot) => slot,
            None => self.find_slot(dict, key)?,
        };
        if dict.values.is_some() && known.is_none() {
            self.shared_slots.borrow_mut().entry(dict.keys).or_default().push((key, slot));
        }
        Ok(slot.and_then(|slot| dict.entry(slot)).map(|entry| entry.value))
    }

    /// The slot of a name in a shared keys object, if it was looked for before: `Some(None)` when there is none.
    pub(super) fn shared_slot(&self, keys: Addr, key: &'static str) -> Option<Option<usize>> {
        let slots = self.shared_slots.borrow();
        slots.get(&keys)?.iter().find(|(name, _)| *name == key).map(|(_, slot)| *slot)
    }

    fn find_slot(&self, dict: &Dict, key: &'static str) -> Result<Option<usize>, ReadError> {
        let count = dict.slots();
        // A batch calls again whenever keys were missing: it goes on where it was, with ever more keys at once.
        let mut from = self.passed_slots.borrow().get(&(dict.keys, key)).copied().unwrap_or(0);
        while from < count {
            let slots = from..count.min(from + from.max(KEYS_AT_ONCE));
            self.cache.work(slots.len())?;
            self.prefetch_keys(slots.clone().map(|slot| dict.key(slot)));
            if let Some(slot) = self.find_among(dict, slots.clone(), key)? {
                return Ok(Some(slot));
            }
            from = slots.end;
            self.passed_slots.borrow_mut().insert((dict.keys, key), from);
        }
        Ok(None)
    }

    fn find_among(&self, dict: &Dict, slots: Range<usize>, key: &str) -> Result<Option<usize>, ReadError> {
        let mut missing = Ok(None);
        for slot in slots.clone().filter(|slot| !dict.key(*slot).is_null()) {
            match self.is_key(dict.key(slot), key) {
                Ok(true) => return Ok(Some(slot)),
                Ok(false) => {}
                // None of them is there yet.
                Err(error) if slot == slots.start => return Err(error),
                // A key that lies across two pages: all of those are asked for together.
                Err(error) => missing = Err(error),
            }
        }
        missing
    }

    /// Reads what is to be read of these keys, at once.
    pub(super) fn prefetch_keys(&self, keys: impl Iterator<Item = Addr>) {
        let known = self.key_texts.borrow();
        let unknown = keys.filter(|key| !key.is_null() && !known.contains_key(key));
        self.cache.prefetch(unknown.map(Self::str_extent));
    }

    /// The text of a key, `None` when it is no string.
    pub(super) fn key_name(&self, object: Addr) -> Result<Option<Rc<str>>, ReadError> {
        match self.key_text(object)? {
            Some(text) => Ok(Some(text)),
            None if &*self.type_name(object)? == "str" => Ok(Some(self.str(object)?.into())),
            None => Ok(None),
        }
    }

    /// True when the object is a `str` of this text.
    fn is_key(&self, object: Addr, text: &str) -> Result<bool, ReadError> {
        match self.key_text(object) {
            Ok(key) => Ok(key.as_deref() == Some(text)),
            Err(ReadError::Deferred) => Err(ReadError::Deferred),
            // A key that cannot be read is not the one looked for.
            Err(_) => Ok(false),
        }
    }

    /// The text of a key, `None` when it is no string, or a long one. Keys are looked at many times over, so their text is kept.
    fn key_text(&self, object: Addr) -> Result<Option<Rc<str>>, ReadError> {
        if let Some(text) = self.key_texts.borrow().get(&object) {
            return Ok(text.clone());
        }
        let text = self.short_str(object, KEY_CHARS)?.map(Rc::from);
        self.key_texts.borrow_mut().insert(object, text.clone());
        Ok(text)
    }
}
