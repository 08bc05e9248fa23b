//! The items of sets and lists, and what weak references refer to.

use super::Objects;
use crate::base::{Addr, Field, FieldValue};
use crate::target::ReadError;

/// Bytes of a slot of a set: item and hash.
const SLOT: usize = 16;
/// The least part of a set's slots that is in use, when items were taken out of it, is small; but the whole is bounded.
const SLOTS_PER_ITEM: usize = 64;

impl Objects<'_> {
    /// The items of a `set` or `frozenset`, in no order.
    ///
    /// # Errors
    /// [`ReadError::TooLarge`] for more than `limit` items; [`ReadError::Invalid`] when the items are not as many as the set
    /// says, as while it grows.
    pub fn set_items(&self, object: Addr, limit: usize) -> Result<Vec<Addr>, ReadError> {
        let layout = &self.layout.value;
        let invalid = ReadError::Invalid("set");
        let (Some(used), Some(mask), Some(table)) = (layout.set_used, layout.set_mask, layout.set_table) else {
            return Err(ReadError::Invalid("layout: it has no sets"));
        };
        let header = self.bytes(object, used.end().max(mask.end()).max(table.end()))?;
        let number = |field: Field<i64>| usize::try_from(header.record().get(field)?).ok();
        let used = number(used).ok_or(invalid)?;
        let slots = number(mask).and_then(|mask| mask.checked_add(1)).ok_or(invalid)?;
        if used > limit || slots > limit.saturating_mul(SLOTS_PER_ITEM) {
            return Err(ReadError::TooLarge);
        }
        if used > slots {
            return Err(invalid);
        }
        if used == 0 {
            return Ok(Vec::new());
        }
        let table = header.record().get(table).unwrap_or_default();
        let bytes = self.cache.bytes(table, slots.checked_mul(SLOT).ok_or(ReadError::TooLarge)?)?;
        self.cache.work(slots)?;
        let mut items = Vec::with_capacity(used);
        for slot in bytes.chunks_exact(SLOT) {
            let (key, hash) = slot.split_at(SLOT / 2);
            let item = Addr::from_bytes(key).unwrap_or_default();
            // A slot that was emptied has a dummy, of the hash -1 that no object has.
            if !item.is_null() && i64::from_bytes(hash) != Some(-1) {
                items.push(item);
            }
        }
        if items.len() == used { Ok(items) } else { Err(invalid) }
    }

    /// The items of a `list`, or of a subclass of it.
    ///
    /// # Errors
    /// [`ReadError::TooLarge`] for more than `limit` items.
    pub fn list_items(&self, object: Addr, limit: usize) -> Result<Vec<Addr>, ReadError> {
        let items = self.layout.value.list_items.ok_or(ReadError::Invalid("layout: it has no lists"))?;
        let size = self.layout.object.ob_size;
        let header = self.bytes(object, items.end().max(size.end()))?;
        let count = header.record().get(size).and_then(|size| usize::try_from(size).ok());
        let count = count.ok_or(ReadError::Invalid("list"))?;
        if count > limit {
            return Err(ReadError::TooLarge);
        }
        let bytes = self.cache.bytes(header.record().get(items).unwrap_or_default(), count * 8)?;
        Ok(bytes.chunks_exact(8).filter_map(Addr::from_bytes).collect())
    }

    /// The first word behind the header of an object: what a weak reference refers to, the generator of a wrapper, the
    /// contents of a cell.
    pub fn first_word(&self, object: Addr) -> Result<Addr, ReadError> {
        let field = Field::<Addr>::new(self.layout.object.size);
        self.bytes(object, field.end())?.record().get(field).ok_or(ReadError::Unmapped)
    }

    /// `module.__dict__`.
    pub fn module_dict(&self, module: Addr) -> Result<Addr, ReadError> {
        match &*self.type_name(module)? {
            "module" => self.field(module, self.layout.module.md_dict),
            _ => Err(ReadError::Invalid("module")),
        }
    }
}
