//! `list`, `tuple`, `dict`, the sets, `range`, `slice`, and the containers of `collections`.

use super::Writer;
use crate::base::{Addr, FieldValue};
use crate::objects::{Entry, Objects};
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
        self.nested(object, "[...]", |writer| {
            let (items, total) = writer.list_items(object)?;
            writer.push("[");
            writer.items(&items, total);
            writer.push("]");
            Ok(())
        })
    }

    /// The first items of a list, and how many there are.
    pub(super) fn list_items(&self, object: Addr) -> Result<(Vec<Addr>, usize), ReadError> {
        let total = self.size(object, "list")?;
        let field = self.layout().value.list_items.ok_or(ReadError::Invalid("layout"))?;
        let start = self.objects().field(object, field)?;
        let bytes = self.objects().cache.bytes(start, self.read_items(total) * 8)?;
        Ok((addresses(&bytes), total))
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
        if self.dict_size(object)? == 0 {
            self.push("{}");
            return Ok(());
        }
        self.nested(object, "{...}", |writer| {
            writer.push("{");
            writer.entries(object, first, |writer, entry, is_secret| {
                writer.object(entry.key);
                writer.push(": ");
                if is_secret { writer.hidden(entry.value) } else { writer.object(entry.value) }
            })?;
            writer.push("}");
            Ok(())
        })
    }

    fn dict_size(&self, object: Addr) -> Result<usize, ReadError> {
        let field = self.layout().dict.ma_used.ok_or(ReadError::Invalid("layout"))?;
        usize::try_from(self.objects().field(object, field)?).map_err(|_| ReadError::Invalid("dict"))
    }

    /// Writes the entries of a dict, separated by commas; `one` is told whether a value is secret by its key.
    fn entries(
        &mut self,
        object: Addr,
        first: &[Addr],
        mut one: impl FnMut(&mut Self, Entry, bool),
    ) -> Result<(), ReadError> {
        let (total, limit) = (self.dict_size(object)?, self.limits().items);
        let dict = self.objects().first_of_dict(object, limit * 2 + EMPTY_SLOTS)?;
        let mut entries = self.objects().in_order(&dict)?;
        if !first.is_empty() {
            let order: HashMap<Addr, usize> = first.iter().enumerate().map(|(at, key)| (*key, at)).collect();
            entries.sort_by_key(|entry| order.get(&entry.key).copied().unwrap_or(usize::MAX));
        }
        for (index, entry) in entries.iter().take(limit).enumerate() {
            self.push(if index > 0 { ", " } else { "" });
            if self.room() == 0 {
                self.push(&format!("<{} more>", total.saturating_sub(index)));
                break;
            }
            let names_secret = self.names_secret(entry.key);
            let is_secret = self.later(names_secret).ok().flatten().unwrap_or(false);
            one(self, *entry, is_secret);
        }
        let shown = entries.len().min(limit);
        if total > shown && self.room() > 0 {
            self.push(&format!(", <{} more>", total - shown));
        }
        Ok(())
    }

    /// `dict_keys(['a'])`, `dict_values([1])`, `dict_items([('a', 1)])`, and those of an `OrderedDict`, whose names begin with
    /// an `o`: `_PyDictViewObject { dv_dict }` (`Include/cpython/dictobject.h`).
    pub(super) fn view(&mut self, object: Addr, name: &str) -> Result<(), ReadError> {
        let dict: Addr = self.word(object, 0)?;
        let first = if name.starts_with('o') { self.ordered_keys(dict)? } else { Vec::new() };
        let what = name.rsplit('_').next().unwrap_or_default();
        self.nested(object, &format!("{name}([...])"), |writer| {
            writer.push(&format!("{name}(["));
            writer.entries(dict, &first, |writer, entry, is_secret| {
                writer.push(if what == "items" { "(" } else { "" });
                if what != "values" {
                    writer.object(entry.key);
                }
                writer.push(if what == "items" { ", " } else { "" });
                match what {
                    "keys" => {}
                    _ if is_secret => writer.hidden(entry.value),
                    _ => writer.object(entry.value),
                }
                writer.push(if what == "items" { ")" } else { "" });
            })?;
            writer.push("])");
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
        self.nested(object, "deque([...])", |writer| {
            let maxlen: i64 = writer.word(object, 48)?;
            let (items, total) = writer.deque_items(object)?;
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

    /// The first items of a deque, and how many there are.
    pub(super) fn deque_items(&self, object: Addr) -> Result<(Vec<Addr>, usize), ReadError> {
        let total = self.size(object, "deque")?;
        let mut block: Addr = self.word(object, 8)?;
        let mut index = self.word::<u64>(object, 24)? as usize;
        let mut items = Vec::new();
        while items.len() < self.read_items(total) {
            if index >= DEQUE_BLOCK {
                let right = self.objects().cache.bytes(block.offset(8 + DEQUE_BLOCK as u64 * 8), 8)?;
                block = Addr::from_bytes(&right).unwrap_or_default();
                index = 0;
            }
            let count = (DEQUE_BLOCK - index).min(self.read_items(total) - items.len());
            let bytes = self.objects().cache.bytes(block.offset(8 + index as u64 * 8), count * 8)?;
            items.extend(addresses(&bytes));
            index += count;
        }
        Ok((items, total))
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

    /// `OrderedDict({'a': 1})`.
    pub(super) fn ordered_dict(&mut self, object: Addr) -> Result<(), ReadError> {
        let keys = self.ordered_keys(object)?;
        self.push("OrderedDict(");
        if !keys.is_empty() {
            self.mapping(object, &keys)?;
        }
        self.push(")");
        Ok(())
    }

    /// The first keys in order. `PyODictObject`: the dict, then the first of the nodes `{ key, hash, next, previous }`
    /// (`Objects/odictobject.c`).
    fn ordered_keys(&self, object: Addr) -> Result<Vec<Addr>, ReadError> {
        let mut node = self.behind_dict(object, 0)?;
        let mut keys = Vec::new();
        while !node.is_null() && keys.len() < self.limits().items {
            let bytes = self.objects().bytes(node, 24)?;
            keys.push(Addr::from_bytes(&bytes).unwrap_or_default());
            node = bytes.get(16..).and_then(Addr::from_bytes).unwrap_or_default();
        }
        Ok(keys)
    }
}
