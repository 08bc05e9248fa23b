//! Items of `list`, `set` and `collections.deque`, for those who want the objects rather than their text.

use super::Objects;
use crate::base::{Addr, FieldValue};
use crate::target::ReadError;

/// Slots of a queue, more than fit into memory.
const MOST_SLOTS: usize = 1 << 40;
/// Items of a block of a deque (`BLOCKLEN`, `Modules/_collectionsmodule.c`).
const DEQUE_BLOCK: usize = 64;

fn addresses(bytes: &[u8]) -> impl Iterator<Item = Addr> + '_ {
    bytes.chunks_exact(8).filter_map(Addr::from_bytes)
}

impl Objects<'_> {
    /// A word of an object, so many bytes behind its header.
    pub fn word<T: FieldValue>(&self, object: Addr, at: u64) -> Result<T, ReadError> {
        let at = u64::from(self.layout.object.size) + at;
        let bytes = self.bytes(object, usize::try_from(at).unwrap_or(usize::MAX).saturating_add(T::SIZE))?;
        bytes.get(at as usize..).and_then(T::from_bytes).ok_or(ReadError::Unmapped)
    }

    /// How many items a container of the builtins has, or a deque; none for `None`, nothing for what is none of these.
    pub fn count(&self, object: Addr) -> Result<Option<usize>, ReadError> {
        let count = match &*self.type_name(object)? {
            "NoneType" => Some(0),
            "collections.deque" | "list" | "tuple" => Some(self.field(object, self.layout.object.ob_size)?),
            "set" | "frozenset" => self.layout.value.set_used.map(|used| self.field(object, used)).transpose()?,
            "dict" => self.layout.dict.ma_used.map(|used| self.field(object, used)).transpose()?,
            _ => None,
        };
        count.map(|count| usize::try_from(count).map_err(|_| ReadError::Invalid("container"))).transpose()
    }

    /// The items of a list, set, tuple or deque; an error when there are more than `limit`, or it is something else.
    pub fn items(&self, object: Addr, limit: usize) -> Result<Vec<Addr>, ReadError> {
        let count = self.count(object)?.unwrap_or(0);
        if count > limit {
            return Err(ReadError::TooLarge);
        }
        self.cache.work(count / 8)?;
        match &*self.type_name(object)? {
            "NoneType" => Ok(Vec::new()),
            "list" => self.list_items(object, limit),
            "tuple" => Ok(self.tuple_items(object, limit)?.0),
            "set" | "frozenset" => self.set_items(object, limit),
            "collections.deque" => self.items_of_deque(object, count),
            _ => Err(ReadError::Invalid("container")),
        }
    }

    /// `dequeobject { leftblock, rightblock, leftindex, … }` behind a variable-sized header, of blocks `{ leftlink, data[64],
    /// rightlink }` (`Modules/_collectionsmodule.c`).
    fn items_of_deque(&self, object: Addr, count: usize) -> Result<Vec<Addr>, ReadError> {
        let mut block: Addr = self.word(object, 8)?;
        let mut index = usize::try_from(self.word::<u64>(object, 24)?).unwrap_or(usize::MAX);
        if index > DEQUE_BLOCK {
            return Err(ReadError::Invalid("deque"));
        }
        let mut items = Vec::with_capacity(count.min(DEQUE_BLOCK));
        while items.len() < count {
            if index >= DEQUE_BLOCK {
                let right = self.cache.bytes(block.offset(8 + DEQUE_BLOCK as u64 * 8), 8)?;
                block = Addr::from_bytes(&right).unwrap_or_default();
                index = 0;
            }
            let here = (DEQUE_BLOCK - index).min(count - items.len());
            let bytes = self.cache.bytes(block.offset(8 + index as u64 * 8), here * 8)?;
            items.extend(addresses(&bytes));
            index += here;
        }
        Ok(items)
    }

    /// The items of a `queue.SimpleQueue` written in C, the next one first. Up to 3.12 it is `{ lock, locked, list, first,
    /// weak references }` behind the header, then `{ flag, put, get, items, capacity, count, weak references }`
    /// (`Modules/_queuemodule.c`).
    pub fn items_of_simple_queue(&self, object: Addr, limit: usize) -> Result<Vec<Addr>, ReadError> {
        let ty = self.type_of(object)?;
        if &*self.type_name(object)? != "_queue.SimpleQueue" {
            return Err(ReadError::Invalid("queue"));
        }
        let behind = self.field(ty, self.layout.type_object.tp_basicsize)?;
        let behind = behind.saturating_sub(i64::from(self.layout.object.size));
        match behind {
            40 => {
                let first = usize::try_from(self.word::<i64>(object, 24)?).map_err(|_| ReadError::Invalid("queue"))?;
                let items = self.items(self.word(object, 16)?, limit)?;
                Ok(items.into_iter().skip(first).collect())
            }
            56 => self.ring(object, limit),
            _ => Err(ReadError::Invalid("queue")),
        }
    }

    fn ring(&self, object: Addr, limit: usize) -> Result<Vec<Addr>, ReadError> {
        let number = |at| -> Result<usize, ReadError> {
            usize::try_from(self.word::<i64>(object, at)?).map_err(|_| ReadError::Invalid("queue"))
        };
        let (first, start, capacity, count) = (number(16)?, self.word::<Addr>(object, 24)?, number(32)?, number(40)?);
        if count > limit {
            return Err(ReadError::TooLarge);
        }
        if count > capacity || first >= capacity.max(1) || capacity > MOST_SLOTS {
            return Err(ReadError::Invalid("queue"));
        }
        let before_end = count.min(capacity - first);
        let mut items: Vec<Addr> =
            addresses(&self.cache.bytes(start.offset(first as u64 * 8), before_end * 8)?).collect();
        items.extend(addresses(&self.cache.bytes(start, (count - before_end) * 8)?));
        Ok(items)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{ReleaseLevel, Version};
    use crate::cpython::Quirks;
    use crate::cpython::layout::{Build, Layout, TABLES};
    use crate::target::{Cache, Memory};
    use std::collections::HashMap;

    /// Words by address; everything else is not mapped.
    #[derive(Default)]
    struct Words(HashMap<u64, u64>);

    impl Words {
        fn put(&mut self, at: u64, words: &[u64]) -> u64 {
            self.0.extend(words.iter().enumerate().map(|(index, word)| (at + index as u64 * 8, *word)));
            at
        }
    }

    impl Memory for Words {
        fn read(&self, addr: Addr, buf: &mut [u8]) -> Result<(), ReadError> {
            for (index, byte) in buf.iter_mut().enumerate() {
                let at = addr.0 + index as u64;
                let word = self.0.get(&(at & !7)).ok_or(ReadError::Unmapped)?;
                *byte = word.to_le_bytes()[(at % 8) as usize];
            }
            Ok(())
        }
    }

    const OBJECT: u64 = 0x10000;
    const TYPE: u64 = 0x20000;
    const BLOCK: u64 = 0x30000;

    /// Does something with an object of a type with this name and size, of these words.
    fn with<T>(name: &str, basicsize: u64, words: &[u64], more: Words, work: impl Fn(&Objects<'_>) -> T) -> T {
        let table = TABLES.iter().find(|table| table.version.1 == 12 && table.build == Build::Default).unwrap();
        let layout = Layout::from_source(&table.offsets()).unwrap();
        let (major, minor, micro) = table.version;
        let version = Version { major, minor, micro, level: ReleaseLevel::Final, serial: 0 };
        let mut memory = more;
        memory.put(TYPE, &[0; 120]);
        memory.put(TYPE + u64::from(layout.type_object.tp_basicsize.offset), &[basicsize]);
        memory.put(TYPE + u64::from(layout.type_object.tp_name.offset), &[TYPE + 0x800]);
        let mut text = name.as_bytes().to_vec();
        text.resize(64, 0);
        let text: Vec<u64> = text.chunks_exact(8).filter_map(u64::from_bytes).collect();
        memory.put(TYPE + 0x800, &text);
        memory.put(OBJECT, &[1, TYPE]);
        memory.put(OBJECT + 16, words);
        let cache = Cache::new(&memory);
        work(&Objects::new(&cache, &layout, Quirks::of(version, Build::Default)))
    }

    fn items(name: &str, words: &[u64], more: Words) -> Result<Vec<Addr>, ReadError> {
        with(name, 0, words, more, |objects| objects.items(Addr(OBJECT), 1000))
    }

    fn queue(basicsize: u64, words: &[u64], more: Words) -> Result<Vec<Addr>, ReadError> {
        with("_queue.SimpleQueue", basicsize, words, more, |objects| objects.items_of_simple_queue(Addr(OBJECT), 1000))
    }

    /// Items of a deque: `ob_size`, left block, right block, left index.
    fn deque(count: u64, left: u64, more: Words) -> Result<Vec<Addr>, ReadError> {
        items("collections.deque", &[count, BLOCK, BLOCK, left, 0, 0], more)
    }

    /// Two blocks that follow each other, of numbers from 1 on.
    fn blocks() -> Words {
        let mut words = Words::default();
        for (block, other) in [(0, 1), (1, 0)] {
            let at = BLOCK + block * 0x1000;
            words.put(at, &[0]);
            words.put(at + 8, &(block * 64 + 1..=block * 64 + 64).collect::<Vec<u64>>());
            words.put(at + 8 + 64 * 8, &[BLOCK + other * 0x1000]);
        }
        words
    }

    #[test]
    fn deques_go_on_in_the_next_block() {
        let numbers = |range: std::ops::RangeInclusive<u64>| Ok(range.map(Addr).collect());
        assert_eq!(deque(0, 32, Words::default()), Ok(Vec::new()));
        assert_eq!(deque(2, 62, blocks()), numbers(63..=64));
        assert_eq!(deque(4, 62, blocks()), numbers(63..=66));
    }

    #[test]
    fn deques_that_cannot_be_are_errors_and_end() {
        assert_eq!(deque(1001, 0, blocks()), Err(ReadError::TooLarge));
        assert_eq!(deque(u64::MAX, 0, blocks()), Err(ReadError::Invalid("container")));
        assert_eq!(deque(1, 65, blocks()), Err(ReadError::Invalid("deque")));
        assert_eq!(deque(1, u64::MAX, blocks()), Err(ReadError::Invalid("deque")));
        // Blocks in a circle are as many items as it says it has.
        assert_eq!(deque(1000, 0, blocks()).map(|items| items.len()), Ok(1000));
        assert_eq!(deque(3, 0, Words::default()), Err(ReadError::Unmapped));
    }

    #[test]
    fn what_is_no_container_has_no_items() {
        assert_eq!(items("NoneType", &[], Words::default()), Ok(Vec::new()));
        assert_eq!(items("int", &[1, 2], Words::default()), Err(ReadError::Invalid("container")));
        assert_eq!(with("int", 0, &[3], Words::default(), |objects| objects.count(Addr(OBJECT))), Ok(None));
    }

    /// `{ flag, put, get, items, capacity, count }`.
    fn ring(get: u64, capacity: u64, count: u64) -> Result<Vec<Addr>, ReadError> {
        let mut words = Words::default();
        words.put(BLOCK, &[10, 11, 12, 13]);
        queue(72, &[0, 0, get, BLOCK, capacity, count, 0], words)
    }

    #[test]
    fn rings_begin_anew_at_their_end() {
        assert_eq!(ring(1, 4, 2), Ok(vec![Addr(11), Addr(12)]));
        assert_eq!(ring(3, 4, 3), Ok(vec![Addr(13), Addr(10), Addr(11)]));
        assert_eq!(ring(0, 4, 0), Ok(Vec::new()));
    }

    #[test]
    fn rings_that_cannot_be_are_errors() {
        for (get, capacity, count) in [(4, 4, 1), (0, 4, 5), (u64::MAX, 4, 1), (0, u64::MAX, 1), (0, 0, 1)] {
            assert_eq!(ring(get, capacity, count), Err(ReadError::Invalid("queue")), "{get} {capacity} {count}");
        }
        assert_eq!(ring(0, 2000, 1001), Err(ReadError::TooLarge));
        assert_eq!(queue(8, &[0; 8], Words::default()), Err(ReadError::Invalid("queue")));
        assert_eq!(queue(0, &[0; 8], Words::default()), Err(ReadError::Invalid("queue")));
    }
}
