//! The cache over memory that counts how often it is read.

use super::*;
use std::cell::Cell;

struct Counting {
    reads: Cell<usize>,
}

impl Memory for Counting {
    fn read(&self, addr: Addr, buf: &mut [u8]) -> Result<(), ReadError> {
        self.reads.set(self.reads.get() + 1);
        if addr.0 < 100 {
            return Err(ReadError::Unmapped);
        }
        for (i, byte) in buf.iter_mut().enumerate() {
            *byte = (addr.0 as usize + i) as u8;
        }
        Ok(())
    }
}

/// Memory of which no page can be read as a whole.
struct Ragged(Counting);

impl Memory for Ragged {
    fn read(&self, addr: Addr, buf: &mut [u8]) -> Result<(), ReadError> {
        if buf.len() >= 4096 { Err(ReadError::Unmapped) } else { self.0.read(addr, buf) }
    }
}

#[test]
fn what_was_read_once_is_not_read_again() {
    let memory = Counting { reads: Cell::new(0) };
    let cache = Cache::of_pages(&memory, PageSize::Large);
    assert_eq!(&*cache.bytes(Addr(0x1080), 8).unwrap(), [128, 129, 130, 131, 132, 133, 134, 135]);
    assert_eq!(&*cache.bytes(Addr(0x1082), 2).unwrap(), [130, 131]);
    assert_eq!(memory.reads.get(), 1);
    // What lay on the same page came along.
    assert_eq!(&*cache.bytes(Addr(0x1ffe), 2).unwrap(), [254, 255]);
    assert_eq!(memory.reads.get(), 1);
    // Of a piece on two pages, only the other is read, and it is put together.
    for _ in 0..2 {
        assert_eq!(&*cache.bytes(Addr(0x1ffe), 4).unwrap(), [254, 255, 0, 1]);
    }
    assert_eq!(memory.reads.get(), 2);
    let (start, run) = cache.around(Addr(0x2010), 8).unwrap();
    assert_eq!((start, run.len()), (Addr(0x2000), 4096));
}

#[test]
fn pages_beside_each_other_are_one_piece() {
    let memory = Counting { reads: Cell::new(0) };
    let cache = Cache::of_pages(&memory, PageSize::Large);
    let far = 0x1000 + 40 * 4096;
    cache.prefetch((1..41).map(|page| Extent { addr: Addr(page * 4096 + 9), len: 16 }));
    cache.prefetch([Extent { addr: Addr(far), len: 8 }]);
    assert_eq!(memory.reads.get(), 4, "three pieces of 16 pages at most, and one");
    let (start, run) = cache.around(Addr(0x9000), 8).unwrap();
    assert_eq!((start, run.len()), (Addr(0x1000), 40 * 4096));
    // A large piece is read by itself, unless it is there.
    let whole = cache.bytes(Addr(0x1001), 41 * 4096 - 2).unwrap();
    assert!(whole.iter().enumerate().all(|(at, byte)| *byte == (at + 1) as u8));
    assert_eq!(memory.reads.get(), 4);
}

#[test]
fn a_page_that_cannot_be_read_does_not_hide_its_neighbours() {
    struct Hole;
    impl Memory for Hole {
        fn read(&self, addr: Addr, buf: &mut [u8]) -> Result<(), ReadError> {
            let hole = 0x3000..0x4000;
            if addr.0 < hole.end && addr.0 + buf.len() as u64 > hole.start { Err(ReadError::Unmapped) } else { Ok(()) }
        }
    }
    let cache = Cache::of_pages(&Hole, PageSize::Large);
    let items = [0x1010, 0x2ff0, 0x2ff8, 0x3010, 0x3ff8, 0x4000];
    let results = cache.batched(&items, |start| cache.bytes(Addr(*start), 16).map(|bytes| bytes.len()));
    let missing = Err(ReadError::Unmapped);
    assert_eq!(results, [Ok(16), Ok(16), missing, missing, missing, Ok(16)]);
}

#[test]
fn a_single_read_stays_on_its_page_unless_it_has_to_leave_it() {
    struct OnePage;
    impl Memory for OnePage {
        fn read(&self, addr: Addr, buf: &mut [u8]) -> Result<(), ReadError> {
            if addr.0 + buf.len() as u64 > 0x2000 { Err(ReadError::Unmapped) } else { Ok(()) }
        }
    }
    let cache = Cache::new(&OnePage);
    assert_eq!(cache.bytes(Addr(0x1ff0), 16).map(|bytes| bytes.len()), Ok(16));
    assert_eq!(cache.bytes(Addr(0x1ff8), 16).err(), Some(ReadError::Unmapped));
}

#[test]
fn small_pages_bring_less_along() {
    let memory = Counting { reads: Cell::new(0) };
    let cache = Cache::new(&memory);
    cache.bytes(Addr(0x1080), 8).unwrap();
    assert!(cache.has(Addr(0x1000), 512) && !cache.has(Addr(0x1200), 1));
    assert_eq!(memory.reads.get(), 1);
}

#[test]
fn chains_of_pointers_are_followed_in_rounds() {
    let memory = Counting { reads: Cell::new(0) };
    let cache = Cache::new(&memory);
    let follow = |start: &u64| {
        let first = cache.bytes(Addr(*start), 1)?;
        let second = cache.bytes(Addr(1000 + u64::from(first[0])), 1)?;
        Ok(second[0])
    };
    let results = cache.batched(&[200, 201, 5], follow);
    assert_eq!(results, [Ok((1200 % 256) as u8), Ok((1201 % 256) as u8), Err(ReadError::Unmapped)]);
}

#[test]
fn a_short_extent_read_before_does_not_hide_a_longer_one() {
    let memory = Counting { reads: Cell::new(0) };
    let cache = Cache::new(&memory);
    cache.prefetch([Extent { addr: Addr(210), len: 2 }]);
    cache.prefetch([Extent { addr: Addr(200), len: 5 }, Extent { addr: Addr(210), len: 8 }]);
    assert!(cache.has(Addr(210), 8) && cache.has(Addr(200), 5));
    assert_eq!(memory.reads.get(), 4, "the page in vain, and each by itself");
}

#[test]
fn a_piece_of_any_extent_is_found() {
    let memory = Ragged(Counting { reads: Cell::new(0) });
    let cache = Cache::of_pages(&memory, PageSize::Large);
    // Within one another in either order, and overlapping.
    for (addr, len) in [(0x1010, 8), (0x1000, 512), (0x1020, 16), (0x1180, 256), (0x1000, 600), (0x1400, 8)] {
        cache.prefetch([Extent { addr: Addr(addr), len }]);
    }
    let reads = memory.0.reads.get();
    for (addr, len) in [(0x1000, 600), (0x1010, 100), (0x1024, 300), (0x1181, 255), (0x1230, 32), (0x1018, 4)] {
        assert!(cache.has(Addr(addr), len), "{len} bytes at {addr:#x}");
        cache.bytes(Addr(addr), len).unwrap();
    }
    assert_eq!(memory.0.reads.get(), reads);
    assert!(!cache.has(Addr(0x127f), 2));
}

#[test]
fn extents_beyond_the_last_address_fail_once() {
    struct Nothing;
    impl Memory for Nothing {
        fn read(&self, _: Addr, _: &mut [u8]) -> Result<(), ReadError> {
            Err(ReadError::Unmapped)
        }
    }
    let cache = Cache::new(&Nothing);
    for items in [&[u64::MAX - 3][..], &[u64::MAX - 3, u64::MAX - 9], &[0, u64::MAX]] {
        let results = cache.batched(items, |start| cache.bytes(Addr(*start), 288).map(drop));
        assert!(results.iter().all(|result| *result == Err(ReadError::Unmapped)));
    }
}

#[test]
fn a_piece_of_a_large_extent_is_found_beside_a_small_one_within() {
    let memory = Ragged(Counting { reads: Cell::new(0) });
    let cache = Cache::of_pages(&memory, PageSize::Large);
    let (large, other) = (Addr(0x1000), Addr(0x9000));
    for (addr, len) in [(other, 512), (Addr(0x1010), 8), (large, 512)] {
        cache.prefetch([Extent { addr, len }]);
    }
    let reads = memory.0.reads.get();
    let result = cache.batched(&[()], |()| {
        cache.bytes(other, 512)?;
        let piece = cache.bytes(Addr(0x1020), 64).map(|piece| piece.len());
        cache.bytes(large, 512)?;
        piece
    });
    assert_eq!((result, memory.0.reads.get()), (vec![Ok(64)], reads));
}

#[test]
fn a_prefetch_that_fails_leaves_the_error_to_the_reader() {
    let memory = Counting { reads: Cell::new(0) };
    let cache = Cache::new(&memory);
    cache.prefetch([Extent { addr: Addr(1), len: 8 }, Extent { addr: Addr(200), len: 8 }]);
    assert_eq!(cache.extents(), [Extent { addr: Addr(200), len: 8 }]);
    assert_eq!(cache.bytes(Addr(1), 8).err(), Some(ReadError::Unmapped));
}
