//! Writes Python objects into made memory. Only the offsets come from pyattach's tables; what the bytes mean was written
//! down here a second time, from CPython's headers.

use std::collections::HashMap;

use pyattach::cpython::layout::{Build, Offsets, Table};

use crate::ram::Ram;

const HEAP: u64 = 0x7f10_0000_0000;
const HEAP_BYTES: usize = 1 << 20;
/// Bits of `tp_flags`.
const INLINE_VALUES: u64 = 1 << 2;
const MANAGED_DICT: u64 = 1 << 4;

/// Where an instance keeps its attributes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Attributes {
    /// In a dict of its own.
    Dict,
    /// In an array of values, with the keys in the type (3.11 on).
    Values,
}

/// Memory in the making.
#[derive(Clone)]
pub(crate) struct Writer {
    pub(crate) ram: Ram,
    offsets: Offsets,
    pub(crate) minor: u8,
    pub(crate) free_threaded: bool,
    types: HashMap<&'static str, u64>,
    next: u64,
}

impl Writer {
    pub(crate) fn new(table: &Table, limit: usize) -> Writer {
        let mut ram = Ram::new(limit);
        ram.map(HEAP, HEAP_BYTES);
        Writer {
            ram,
            offsets: table.offsets(),
            minor: table.version.1,
            free_threaded: table.build == Build::FreeThreaded,
            types: HashMap::new(),
            next: HEAP + 0x100,
        }
    }

    /// Where objects have been put so far.
    pub(crate) fn used(&self) -> (u64, usize) {
        (HEAP, (self.next - HEAP) as usize)
    }

    pub(crate) fn offset(&self, names: &str) -> Option<u64> {
        self.offsets.get(names).map(u64::from)
    }

    pub(crate) fn at(&self, base: u64, names: &str) -> u64 {
        base + self.offset(names).unwrap_or_else(|| panic!("no offset for {names}"))
    }

    /// Room for a structure whose members begin with one of these prefixes, and `more` bytes behind it.
    pub(crate) fn structure(&mut self, prefix: &str, more: usize) -> u64 {
        let of = |(name, offset): (&str, u32)| name.starts_with(prefix).then_some(offset as usize + 16);
        let size = self.offsets.iter().filter_map(of).max().unwrap_or(16);
        self.alloc(size + more)
    }

    /// Zeroed room, with some more around it.
    pub(crate) fn alloc(&mut self, len: usize) -> u64 {
        let at = self.next + 48;
        self.next = (at + len as u64 + 15) & !15;
        assert!(self.next < HEAP + HEAP_BYTES as u64, "the made heap is full");
        at
    }

    /// Sets a member that the version has; returns whether it has it.
    pub(crate) fn set<const N: usize>(&mut self, base: u64, names: &str, value: [u8; N]) -> bool {
        let offset = self.offset(names);
        if let Some(offset) = offset {
            self.ram.poke(base + offset, &value);
        }
        offset.is_some()
    }

    pub(crate) fn set64(&mut self, base: u64, names: &str, value: u64) -> bool {
        self.set(base, names, value.to_le_bytes())
    }

    pub(crate) fn put64(&mut self, at: u64, value: u64) {
        self.ram.poke(at, &value.to_le_bytes());
    }

    pub(crate) fn get64(&self, at: u64) -> u64 {
        let bytes = self.ram.peek(at, 8).expect("made memory");
        u64::from_le_bytes(bytes.try_into().expect("eight bytes"))
    }

    pub(crate) fn type_object(&mut self, name: &'static str) -> u64 {
        if let Some(known) = self.types.get(name) {
            return *known;
        }
        let text = self.alloc(name.len() + 1);
        self.ram.poke(text, name.as_bytes());
        let ty = self.structure("Py", 0x400);
        self.set64(ty, "PyTypeObject.tp_name", text);
        self.types.insert(name, ty);
        ty
    }

    /// Makes all types so far instances of `type`, which readers of values ask for.
    pub(crate) fn make_types(&mut self) {
        let metaclass = self.type_object("type");
        self.set64(metaclass, "PyTypeObject.tp_flags", 1 << 31);
        for ty in self.types.values().copied().collect::<Vec<_>>() {
            self.set64(ty, "PyObject.ob_type", metaclass);
        }
    }

    /// An object of this type with `len` bytes in all.
    pub(crate) fn object(&mut self, ty: &'static str, len: usize) -> u64 {
        let ty = self.type_object(ty);
        let object = self.alloc(len + 32);
        self.set64(object, "PyObject.ob_type", ty);
        object
    }

    pub(crate) fn str(&mut self, text: &str) -> u64 {
        let widest = text.chars().map(u32::from).max().unwrap_or(0);
        let (kind, ascii) = match widest {
            ..0x80 => (1, true),
            0x80..0x100 => (1, false),
            0x100..0x1_0000 => (2, false),
            _ => (4, false),
        };
        let units: Vec<u8> = text.chars().flat_map(|c| u32::from(c).to_le_bytes().into_iter().take(kind)).collect();
        let object = self.object("str", 80 + units.len());
        self.set64(object, "PyASCIIObject.length", text.chars().count() as u64);
        let shift = if self.free_threaded && self.minor >= 14 { 8 } else { 2 };
        let state = (kind as u32 | 8 | u32::from(ascii) << 4) << shift;
        self.set(object, "PyASCIIObject.state", state.to_le_bytes());
        let header = if ascii { "sizeof PyASCIIObject" } else { "sizeof PyCompactUnicodeObject" };
        let data = self.at(object, header);
        self.ram.poke(data, &units);
        object
    }

    pub(crate) fn bytes(&mut self, contents: &[u8]) -> u64 {
        let object = self.object("bytes", 48 + contents.len());
        self.set64(object, "PyVarObject.ob_size", contents.len() as u64);
        let data = self.at(object, "PyBytesObject.ob_sval");
        self.ram.poke(data, contents);
        object
    }

    pub(crate) fn int(&mut self, ty: &'static str, value: u64) -> u64 {
        let digits: Vec<u32> = (0..3).map(|i| (value >> (30 * i)) as u32 & 0x3fff_ffff).collect();
        let count = digits.iter().rposition(|digit| *digit != 0).map_or(0, |last| last as u64 + 1);
        let object = self.object(ty, 48);
        // Sign 0 is positive, 1 is zero.
        if !self.set64(object, "PyLongObject.long_value.lv_tag", count << 3 | u64::from(count == 0)) {
            self.set64(object, "PyVarObject.ob_size", count);
        }
        let first = self.at(object, "PyLongObject.long_value.ob_digit|PyLongObject.ob_digit");
        for (i, digit) in digits.iter().enumerate().take(count as usize) {
            self.ram.poke(first + 4 * i as u64, &digit.to_le_bytes());
        }
        object
    }

    pub(crate) fn text_dict(&mut self, entries: &[(&str, u64)]) -> u64 {
        let entries: Vec<(u64, u64)> = entries.iter().map(|(key, value)| (self.str(key), *value)).collect();
        self.dict(&entries, true)
    }

    /// A dict; `unicode` when all its keys are `str`, which 3.11 and later store without hashes.
    pub(crate) fn dict(&mut self, entries: &[(u64, u64)], unicode: bool) -> u64 {
        let dict = self.object("dict", 64);
        let keys = self.dict_keys(entries, if unicode { 1 } else { 0 });
        self.set64(dict, "PyDictObject.ma_keys", keys);
        dict
    }

    fn dict_keys(&mut self, entries: &[(u64, u64)], kind: u8) -> u64 {
        let keys = self.structure("PyDictKeysObject", 64 + entries.len() * 24);
        self.set64(keys, "PyDictKeysObject.dk_nentries", entries.len() as u64);
        let slots = entries.len().next_power_of_two().clamp(8, 128) as u64;
        let has_kind = self.set(keys, "PyDictKeysObject.dk_kind", [kind]);
        self.set(keys, "PyDictKeysObject.dk_log2_index_bytes", [slots.trailing_zeros() as u8]);
        self.set64(keys, "PyDictKeysObject.dk_size", slots);
        let first = self.at(keys, "PyDictKeysObject.dk_indices") + slots;
        let short = has_kind && kind > 0;
        for (i, (key, value)) in entries.iter().enumerate() {
            let (entry, key_at) = if short { (first + 16 * i as u64, 0) } else { (first + 24 * i as u64, 8) };
            self.put64(entry + key_at, *key);
            self.put64(entry + key_at + 8, *value);
        }
        keys
    }

    /// An instance of an ordinary class with these attributes.
    pub(crate) fn instance(&mut self, attributes: &[(&str, u64)], how: Attributes) -> u64 {
        // Both ways have a type of their own, as the keys are the type's.
        let name = if how == Attributes::Values { "Thread" } else { "WorkerThread" };
        let object = self.object(name, 256);
        let ty = self.type_object(name);
        let basic = 48;
        self.set64(ty, "PyTypeObject.tp_basicsize", basic);
        let dict_before = if self.free_threaded { 8 } else { 24 };
        match (self.minor, how) {
            (..=10, _) => {
                let dict = self.text_dict(attributes);
                self.set64(ty, "PyTypeObject.tp_dictoffset", 32);
                self.put64(object + 32, dict);
            }
            (minor, Attributes::Dict) => {
                let dict = self.text_dict(attributes);
                self.set64(ty, "PyTypeObject.tp_flags", MANAGED_DICT);
                self.put64(object - if minor < 13 { 24 } else { dict_before }, dict);
            }
            (minor, Attributes::Values) => {
                self.set64(ty, "PyTypeObject.tp_flags", MANAGED_DICT | INLINE_VALUES);
                let entries: Vec<(u64, u64)> = attributes.iter().map(|(key, _)| (self.str(key), 0)).collect();
                let keys = self.dict_keys(&entries, 2);
                self.set64(ty, "PyHeapTypeObject.ht_cached_keys", keys);
                let header = self.at(0, "sizeof PyObject");
                let values = match minor {
                    11 | 12 => self.alloc(128),
                    13 => object + header,
                    _ => object + basic,
                };
                match minor {
                    11 => self.put64(object - 32, values),
                    12 => self.put64(object - 24, values - 1),
                    _ => {
                        self.set(values, "PyDictValues.valid", [1]);
                    }
                }
                let first = self.at(values, "PyDictValues.values");
                for (i, (_, value)) in attributes.iter().enumerate() {
                    self.put64(first + 8 * i as u64, *value);
                }
            }
        }
        object
    }
}
