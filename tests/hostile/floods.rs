//! Targets that claim, or have, very much: time and memory stay within bounds.

use pyattach::base::{Addr, limits};
use pyattach::cpython::layout::{TABLES, Table};
use pyattach::interp::collect;
use pyattach::target::{Cache, Extent, Memory, ReadError};

use crate::bounded;
use crate::healthy::{assert_whole, read};
use crate::python::Python;
use crate::ram::Ram;
use crate::writer::Writer;

/// Where more than the heap holds is mapped.
const MORE: u64 = 0x7e00_0000_0000;

fn table(minor: u8) -> &'static Table {
    TABLES.iter().rfind(|table| table.version.1 == minor).expect("a table of each version")
}

/// A `str` of ASCII anywhere in made memory, with the type of one that is there already.
fn put_str(w: &mut Writer, at: u64, like: u64, text: &str) {
    let header = w.ram.peek(like, 40).unwrap().to_vec();
    w.ram.poke(at, &header);
    w.set64(at, "PyASCIIObject.length", text.len() as u64);
    let data = w.at(at, "sizeof PyASCIIObject");
    w.ram.poke(data, text.as_bytes());
}

/// Bytes between the keys of a large dict: some lie across two pages, as they do in a heap.
const KEY_BYTES: u64 = 72;

/// A dict of this many keys that are not looked for, with keys and entries outside the heap.
fn large_dict(w: &mut Writer, count: u64) -> u64 {
    let like = w.str("like");
    let dict = w.dict(&[], true);
    // 16 bits a slot.
    let slots = (2 * count).next_power_of_two();
    let (keys, objects) = (MORE, MORE + 2 * slots + 24 * count + 0x1000);
    w.ram.map(MORE, (objects - MORE + KEY_BYTES * count) as usize);
    w.set64(dict, "PyDictObject.ma_keys", keys);
    w.set64(keys, "PyDictKeysObject.dk_nentries", count);
    w.set(keys, "PyDictKeysObject.dk_kind", [1]);
    w.set(keys, "PyDictKeysObject.dk_log2_index_bytes", [(2 * slots).trailing_zeros() as u8]);
    w.set64(keys, "PyDictKeysObject.dk_size", slots);
    let first = w.at(keys, "PyDictKeysObject.dk_indices") + 2 * slots;
    for i in 0..count {
        let object = objects + KEY_BYTES * i;
        put_str(w, object, like, &format!("key{i:07}"));
        let entry = if w.minor >= 11 { first + 16 * i } else { first + 24 * i + 8 };
        w.put64(entry, object);
        w.put64(entry + 8, object);
    }
    dict
}

#[test]
fn a_namespace_of_very_many_names() {
    bounded(|| {
        for minor in [8, 12, 14] {
            let mut python = Python::new(table(minor));
            let count = 20_000;
            let dict = large_dict(&mut python.w, count);
            let frame = python.threads[Python::WORKER].frames[1].clone();
            python.w.set64(frame.address, "_PyInterpreterFrame.f_globals", dict);
            python.w.set64(frame.address, "PyFrameObject.f_globals", dict);
            // Once over all keys, in ever larger pieces; not once over all of them for each piece.
            python.w.ram.set_limit(3 * count as usize);
            let world = read(&python).unwrap();
            assert!(!world.modules.contains_key(&Addr(dict)));
            python.threads.remove(Python::WORKER);
            assert_whole(&python, &world, &python.threads);
        }
    });
}

#[test]
fn very_many_threads_that_claim_large_stacks() {
    bounded(|| {
        let mut python = Python::new(table(14));
        let count = 2000;
        let first = python.threads[Python::WORKER].address;
        let state = python.w.ram.peek(first, 1024).unwrap().to_vec();
        python.w.ram.map(MORE, count * 1024);
        python.w.ram.set_limit(100_000);
        let mut older = python.threads[2].address;
        for i in 0..count as u64 {
            let thread = MORE + 1024 * i;
            python.w.ram.poke(thread, &state);
            python.w.set64(thread, "PyThreadState.next", older);
            python.w.set64(thread, "PyThreadState.thread_id", 0x1000 + i);
            // All different, none there.
            python.w.set64(thread, "PyThreadState.datastack_chunk", 0x1000_0000 * (i + 1));
            python.w.set64(
                thread,
                "PyThreadState.datastack_top",
                0x1000_0000 * (i + 1) + limits::STACK_CHUNK_BYTES as u64,
            );
            older = thread;
        }
        let main = python.interpreters[0];
        python.w.set64(main, "PyInterpreterState.threads.head", older);
        let world = read(&python).unwrap();
        assert_eq!(world.threads().count(), python.threads.len() + count);
        assert_whole(&python, &world, &python.threads);
    });
}

#[test]
fn a_stack_of_very_many_chunks() {
    bounded(|| {
        for minor in [12, 14] {
            let mut python = Python::new(table(minor));
            let count = 20_000;
            python.w.ram.map(MORE, 4096 * count as usize);
            python.w.ram.set_limit(5 * count as usize);
            for i in 0..count {
                let chunk = MORE + 4096 * i;
                python.w.set64(chunk, "_PyStackChunk.size", 4096);
                python.w.set64(chunk, "_PyStackChunk.top", i % 500);
                python.w.set64(chunk, "_PyStackChunk.previous", if i == 0 { 0 } else { chunk - 4096 });
            }
            let oldest = python.threads[Python::WORKER].chunks[1];
            python.w.set64(oldest, "_PyStackChunk.previous", MORE + 4096 * (count - 1));
            // One read a chunk, not one round over all of them for each.
            assert_whole(&python, &read(&python).unwrap(), &python.threads);
        }
    });
}

/// Memory in which everything can be read, and every word points to the next.
struct Endless {
    reads: std::cell::Cell<usize>,
}

impl Memory for Endless {
    fn read(&self, addr: Addr, buf: &mut [u8]) -> Result<(), ReadError> {
        self.reads.set(self.reads.get() + 1);
        for (i, word) in buf.chunks_mut(8).enumerate() {
            let next = addr.offset(8 * i as u64 + 0x1000).0.to_le_bytes();
            word.copy_from_slice(&next[..word.len()]);
        }
        Ok(())
    }
}

#[test]
fn lists_without_an_end() {
    bounded(|| {
        for minor in [8, 12, 15] {
            let memory = Endless { reads: std::cell::Cell::new(0) };
            let python = Python::new(table(minor));
            let _ = collect(&Cache::new(&memory), &python.runtime);
            assert!(memory.reads.get() < 4 * limits::INTERPRETERS);
        }
    });
}

/// Memory in which everything can be read, and is zero.
struct Zeros;

impl Memory for Zeros {
    fn read(&self, _: Addr, buf: &mut [u8]) -> Result<(), ReadError> {
        buf.fill(0);
        Ok(())
    }
}

#[test]
fn a_cache_is_never_larger_than_its_limit() {
    bounded(|| {
        let cache = Cache::new(&Zeros);
        let piece = limits::CACHE_BYTES / 4 + 1;
        let extents = (0..5).map(|i| Extent { addr: Addr(0x1_0000_0000 * (i + 1)), len: piece });
        cache.prefetch(extents);
        let kept: usize = cache.extents().iter().map(|extent| extent.len).sum();
        assert_eq!(kept, 3 * piece);
        assert_eq!(cache.bytes(Addr(0x9_0000_0000), piece).err(), Some(ReadError::TooLarge));
        assert_eq!(cache.bytes(Addr(0x1_0000_0000), piece).unwrap().len(), piece);
        assert_eq!(cache.bytes(Addr(0x9_0000_0000), 8).unwrap().len(), 8);
    });
}

#[test]
fn extents_that_are_not_there_take_no_room() {
    let mut ram = Ram::new(100);
    ram.map(0x1000, 64);
    let cache = Cache::new(&ram);
    let missing = (1..9).map(|i| Extent { addr: Addr(0x1_0000_0000 * i), len: limits::STACK_CHUNK_BYTES });
    cache.prefetch(missing.chain([Extent { addr: Addr(0x1000), len: 64 }]));
    assert_eq!(cache.extents(), [Extent { addr: Addr(0x1000), len: 64 }]);
}

#[test]
fn work_is_bounded() {
    let ram = Ram::new(0);
    let cache = Cache::new(&ram);
    assert_eq!(cache.work(limits::WORK), Ok(()));
    assert_eq!(cache.work(1), Err(ReadError::TooLarge));
    assert_eq!(cache.bytes(Addr(0x1000), 8).err(), Some(ReadError::TooLarge));
    let results = cache.batched(&[1u64, 2], |at| cache.bytes(Addr(*at), 8).map(|bytes| bytes.len()));
    assert_eq!(results, [Err(ReadError::TooLarge); 2]);
}

#[test]
fn nothing_at_all_is_always_there() {
    let ram = Ram::new(0);
    let cache = Cache::new(&ram);
    let results = cache.batched(&[8u64, u64::MAX], |at| cache.bytes(Addr(*at), 0).map(|bytes| bytes.len()));
    assert_eq!(results, [Ok(0); 2]);
}
