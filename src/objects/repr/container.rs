//! `list`, `tuple`, `dict`, the sets, `range`, `slice`, and the containers of `collections`.

use super::Writer;
use crate::base::{Addr, FieldValue};
use crate::objects::Objects;
use crate::target::ReadError;
use std::collections::HashMap;

/// Slots of a dict or set that are looked at beyond the items that are shown, as some are empty.
const EMPTY_SLOTS: usize = 64;
/// Items of a block of a deque (`BLOCKLEN`, `Modules/_collectionsmodule.c`).
const DEQUE_BLOCK: usize = 64;

/// Addresses in bytes.
fn addresses(bytes: &[u8]) -> Vec<Addr> {
    bytes.chunks_exact(8).filter_map(Addr::from_bytes).collect()
}

impl Objects<'_> {
    /// The first items of a tuple, no more than `limit`, and how many there are.
    pub fn tuple_items(&self, object: Addr, limit: usize) -> Result<(Vec<Addr>, usize), ReadError> {
        let total = self.field(object, self.layout.object.ob_size)?;
        let total = usize::try_from(total).map_err(|_| ReadError::Invalid("tuple"))?;
        let field = self.layout.value.tuple_items.ok_or(ReadError::Invalid("layout"))?;
        let bytes = self.cache.bytes(field.of(object), total.min(limit) * 8)?;
        Ok((addresses(&bytes), total))
    }
}

impl Writer<'_, '_> {
    /// Items of a sequence, separated by commas; `total` is how many it has. What follows the name of a secret is one.
    pub(super) fn items(&mut self, items: &[Addr], total: usize) {
        let mut is_secret = false;
        for (index, item) in items.iter().enumerate() {
            if index > 0 {
                self.push(", ");
            }
            if index >= self.limits().items || self.room() == 0 {
                self.push(&format!("<{} more>", total.saturating_sub(index)));
                return;
            }
            match is_secret {
                true => self.hidden(*item),
                false => self.object(*item),
            }
            let names_secret = self.names_secret(*item);
            is_secret = !is_secret && self.later(names_secret).ok().flatten().unwrap_or(false);
        }
        if total > items.len() {
            self.push(&format!(", <{} more>", total - items.len()));
        }
    }

    /// How many items are read of a container.
    fn read_items(&self, total: usize) -> usize {
        total.min(self.limits().items)
    }

    fn size(&self, object: Addr, what: &'static str) -> Result<usize, ReadError> {
        let size = self.objects().field(object, self.layout().object.ob_size)?;
        usize::try_from(size).map_err(|_| ReadError::Invalid(what))
    }

    pub(super) fn list(&mut self, object: Addr) -> Result<(), ReadError> {
        let total = self.size(object, "list")?;
        if total == 0 {
            self.push("[]");
            return Ok(());
        }
        let field = self.layout().value.list_items.ok_or(ReadError::Invalid("layout"))?;
        self.nested(object, "[...]", |writer| {
            let start = writer.objects().field(object, field)?;
            let bytes = writer.objects().cache.bytes(start, writer.read_items(total) * 8)?;
            writer.push("[");
            writer.items(&addresses(&bytes), total);
            writer.push("]");
            Ok(())
        })
    }

    /// The first items of a tuple, and how many there are.
    pub(super) fn tuple_items(&self, object: Addr, limit: usize) -> Result<(Vec<Addr>, usize), ReadError> {
        self.objects().tuple_items(object, limit)
    }

    pub(super) fn tuple(&mut self, object: Addr) -> Result<(), ReadError> {
        if self.size(object, "tuple")? == 0 {
            self.push("()");
            return Ok(());
        }
        self.nested(object, "(...)", |writer| {
            let (items, total) = writer.tuple_items(object, writer.limits().items)?;
            writer.push("(");
            writer.items(&items, total);
            writer.push(if total == 1 { ",)" } else { ")" });
            Ok(())
        })
    }

    pub(super) fn dict(&mut self, object: Addr) -> Result<(), ReadError> {
        self.mapping(object, &[])
    }

    /// A dict, with these keys first, in their order.
    fn mapping(&mut self, object: Addr, first: &[Addr]) -> Result<(), ReadError> {
        let field = self.layout().dict.ma_used.ok_or(ReadError::Invalid("layout"))?;
        let total = usize::try_from(self.objects().field(object, field)?).map_err(|_| ReadError::Invalid("dict"))?;
        if total == 0 {
            self.push("{}");
            return Ok(());
        }
        self.nested(object, "{...}", |writer| {
            let limit = writer.limits().items;
            let dict = writer.objects().first_of_dict(object, limit * 2 + EMPTY_SLOTS)?;
            let mut entries = writer.objects().in_order(&dict)?;
            if !first.is_empty() {
                let order: HashMap<Addr, usize> = first.iter().enumerate().map(|(at, key)| (*key, at)).collect();
                entries.sort_by_key(|entry| order.get(&entry.key).copied().unwrap_or(usize::MAX));
            }
            writer.push("{");
            for (index, entry) in entries.iter().take(limit).enumerate() {
                writer.push(if index > 0 { ", " } else { "" });
                if writer.room() == 0 {
                    writer.push(&format!("<{} more>", total.saturating_sub(index)));
                    break;
                }
                let names_secret = writer.names_secret(entry.key);
                let is_secret = writer.later(names_secret).ok().flatten().unwrap_or(false);
                writer.object(entry.key);
                writer.push(": ");
                if is_secret { writer.hidden(entry.value) } else { writer.object(entry.value) }
            }
            let shown = entries.len().min(limit);
            if total > shown && writer.room() > 0 {
                writer.push(&format!(", <{} more>", total - shown));
            }
            writer.push("}");
            Ok(())
        })
    }

    pub(super) fn set(&mut self, object: Addr, name: &str) -> Result<(), ReadError> {
        let layout = &self.layout().value;
        let (Some(used), Some(mask), Some(table)) = (layout.set_used, layout.set_mask, layout.set_table) else {
            return Err(ReadError::Invalid("layout"));
        };
        let (used, mask) = (self.objects().field(object, used)?, self.objects().field(object, mask)?);
        let invalid = ReadError::Invalid("set");
        let total = usize::try_from(used).map_err(|_| invalid)?;
        let slots = usize::try_from(mask).ok().and_then(|mask| mask.checked_add(1)).ok_or(invalid)?;
        if total == 0 {
            self.push(&format!("{name}()"));
            return Ok(());
        }
        let cut = if name == "set" { "{...}" } else { "frozenset({...})" };
        self.nested(object, cut, |writer| {
            let start = writer.objects().field(object, table)?;
            // Small ones are up to a sixth empty slots, large ones more than half.
            let slots = slots.min(writer.limits().items * 16 + EMPTY_SLOTS);
            let bytes = writer.objects().cache.bytes(start, slots * 16)?;
            let word = |slot: &[u8], at: usize| slot.get(at..).and_then(u64::from_bytes).unwrap_or_default();
            // A slot that was emptied has a dummy, of the hash -1 that no object has.
            let is_used = |slot: &&[u8]| word(slot, 0) != 0 && word(slot, 8) != u64::MAX;
            let items: Vec<Addr> = bytes.chunks_exact(16).filter(is_used).map(|slot| Addr(word(slot, 0))).collect();
            writer.push(if name == "set" { "{" } else { "frozenset({" });
            writer.items(&items, total.max(items.len()));
            writer.push(if name == "set" { "}" } else { "})" });
            Ok(())
        })
    }

    /// `rangeobject { start, stop, step, length }` (`Objects/rangeobject.c`).
    pub(super) fn range(&mut self, object: Addr) -> Result<(), ReadError> {
        let (start, stop, step) = (self.word(object, 0)?, self.word(object, 8)?, self.word(object, 16)?);
        let is_one = self.objects().int(step);
        let is_one = self.later(is_one)?.unwrap_or(1) == 1;
        self.push("range(");
        self.object(start);
        self.push(", ");
        self.object(stop);
        if !is_one {
            self.push(", ");
            self.object(step);
        }
        self.push(")");
        Ok(())
    }

    /// `PySliceObject { start, stop, step }` (`Include/sliceobject.h`).
    pub(super) fn slice(&mut self, object: Addr) -> Result<(), ReadError> {
        self.nested(object, "slice(...)", |writer| {
            let parts = [writer.word(object, 0)?, writer.word(object, 8)?, writer.word(object, 16)?];
            writer.push("slice(");
            writer.items(&parts, 3);
            writer.push(")");
            Ok(())
        })
    }

    /// `dequeobject { leftblock, rightblock, leftindex, rightindex, state, maxlen }` behind a variable-sized header, of
    /// blocks `{ leftlink, data[64], rightlink }` (`Modules/_collectionsmodule.c`).
    pub(super) fn deque(&mut self, object: Addr) -> Result<(), ReadError> {
        let total = self.size(object, "deque")?;
        self.nested(object, "deque([...])", |writer| {
            let mut block: Addr = writer.word(object, 8)?;
            let mut index = writer.word::<u64>(object, 24)? as usize;
            let maxlen: i64 = writer.word(object, 48)?;
            let mut items = Vec::new();
            while items.len() < writer.read_items(total) {
                if index >= DEQUE_BLOCK {
                    let right = writer.objects().cache.bytes(block.offset(8 + DEQUE_BLOCK as u64 * 8), 8)?;
                    block = Addr::from_bytes(&right).unwrap_or_default();
                    index = 0;
                }
                let count = (DEQUE_BLOCK - index).min(writer.read_items(total) - items.len());
                let bytes = writer.objects().cache.bytes(block.offset(8 + index as u64 * 8), count * 8)?;
                items.extend(addresses(&bytes));
                index += count;
            }
            writer.push("deque([");
            writer.items(&items, total);
            writer.push("]");
            if maxlen >= 0 {
                writer.push(&format!(", maxlen={maxlen}"));
            }
            writer.push(")");
            Ok(())
        })
    }

    /// A word of an instance of a subtype of `dict`, so many words behind what a dict has.
    fn behind_dict(&self, object: Addr, at: u64) -> Result<Addr, ReadError> {
        let address = object.offset(self.layout().dict.ma_values.end() as u64 + at);
        Addr::from_bytes(&self.objects().cache.bytes(address, 8)?).ok_or(ReadError::Unmapped)
    }

    /// `defdictobject { PyDictObject dict; PyObject *default_factory }` (`Modules/_collectionsmodule.c`).
    pub(super) fn default_dict(&mut self, object: Addr) -> Result<(), ReadError> {
        let factory = self.behind_dict(object, 0)?;
        self.push("defaultdict(");
        match factory.is_null() {
            true => self.push("None"),
            false => self.object(factory),
        }
        self.push(", ");
        self.dict(object)?;
        self.push(")");
        Ok(())
    }

    /// `PyODictObject`: the dict, then the first of the nodes `{ key, hash, next, previous }` that have the order
    /// (`Objects/odictobject.c`).
    pub(super) fn ordered_dict(&mut self, object: Addr) -> Result<(), ReadError> {
        let mut node = self.behind_dict(object, 0)?;
        let mut keys = Vec::new();
        while !node.is_null() && keys.len() < self.limits().items {
            let bytes = self.objects().bytes(node, 24)?;
            keys.push(Addr::from_bytes(&bytes).unwrap_or_default());
            node = bytes.get(16..).and_then(Addr::from_bytes).unwrap_or_default();
        }
        self.push("OrderedDict(");
        if !keys.is_empty() {
            self.mapping(object, &keys)?;
        }
        self.push(")");
        Ok(())
    }
}
