//! Named offsets, and how the fields of a layout are made of them.

use crate::base::{Field, FieldValue};
use std::borrow::Cow;
use std::collections::BTreeMap;

/// Offsets by CPython name (`"PyThreadState.next"`) and sizes (`"sizeof PyThreadState"`), in bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Offsets(BTreeMap<Cow<'static, str>, u32>);

impl Offsets {
    /// An empty set.
    pub fn new() -> Offsets {
        Offsets::default()
    }

    /// These, which are found more quickly when they are sorted.
    pub fn of(fields: &[(&'static str, u32)]) -> Offsets {
        Offsets(fields.iter().map(|(name, offset)| (Cow::Borrowed(*name), *offset)).collect())
    }

    /// Sets those of another set, replacing what was there.
    pub fn overlay(&mut self, other: Offsets) {
        self.0.extend(other.0);
    }

    /// Sets `name`, replacing what was there.
    pub fn set(&mut self, name: impl Into<Cow<'static, str>>, offset: u32) {
        self.0.insert(name.into(), offset);
    }

    /// Forgets `name`.
    pub fn remove(&mut self, name: &str) {
        self.0.remove(name);
    }

    /// The offset of `names`, where `|` separates the names to try in order.
    pub fn get(&self, names: &str) -> Option<u32> {
        names.split('|').find_map(|name| self.0.get(name).copied())
    }

    /// All names and offsets, sorted by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, u32)> {
        self.0.iter().map(|(name, offset)| (&**name, *offset))
    }
}

/// An offset or size that no source gave although every version has it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no offset for {0}")]
pub struct MissingField(pub &'static str);

/// What a member of a layout structure is made from.
pub(super) trait FromOffset: Sized {
    fn from_offset(name: &'static str, offset: Option<u32>) -> Result<Self, MissingField>;
}

impl<T: FieldValue> FromOffset for Field<T> {
    fn from_offset(name: &'static str, offset: Option<u32>) -> Result<Self, MissingField> {
        offset.map(Field::new).ok_or(MissingField(name))
    }
}

impl<T: FieldValue> FromOffset for Option<Field<T>> {
    fn from_offset(_: &'static str, offset: Option<u32>) -> Result<Self, MissingField> {
        Ok(offset.map(Field::new))
    }
}

impl FromOffset for u32 {
    fn from_offset(name: &'static str, offset: Option<u32>) -> Result<Self, MissingField> {
        offset.ok_or(MissingField(name))
    }
}

impl FromOffset for Option<u32> {
    fn from_offset(_: &'static str, offset: Option<u32>) -> Result<Self, MissingField> {
        Ok(offset)
    }
}

/// Where a member of a layout structure ends; sizes do not count.
pub(super) trait End {
    fn end(&self) -> usize;
}

impl<T: FieldValue> End for Field<T> {
    fn end(&self) -> usize {
        Field::end(*self)
    }
}

impl<T: FieldValue> End for Option<Field<T>> {
    fn end(&self) -> usize {
        self.map_or(0, Field::end)
    }
}

impl End for u32 {
    fn end(&self) -> usize {
        0
    }
}
