//! Items of `list`, `set` and `collections.deque`, for those who want the objects rather than their text.

use super::Objects;
use crate::base::{Addr, FieldValue};
use crate::target::ReadError;

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
        let behind = self.field(ty, self.layout.type_object.tp_basicsize)? - i64::from(self.layout.object.size);
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
        if count > capacity || first >= capacity.max(1) {
            return Err(ReadError::Invalid("queue"));
        }
        let before_end = count.min(capacity - first);
        let mut items: Vec<Addr> =
            addresses(&self.cache.bytes(start.offset(first as u64 * 8), before_end * 8)?).collect();
        items.extend(addresses(&self.cache.bytes(start, (count - before_end) * 8)?));
        Ok(items)
    }
}
