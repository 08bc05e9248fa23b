//! ELF files and debug offsets, whole and damaged.

use std::fs;

use proptest::prelude::*;
use pyattach::base::Addr;
use pyattach::cpython::debug_offsets;
use pyattach::elf::dwarf::{self, Sections};
use pyattach::elf::{Image, ReadAt, debuglink};

use crate::bounded;

/// An image as the loader would map it: sections gone, segments at their addresses.
struct Mapped<'b>(&'b [u8]);

impl ReadAt for Mapped<'_> {
    fn read_at(&self, position: u64, len: usize) -> Option<Vec<u8>> {
        assert!(len <= 1 << 30, "{len} bytes wanted at once");
        self.0.read_at(position, len)
    }

    fn mapped_at(&self) -> Option<u64> {
        Some(0x5555_0000_0000)
    }
}

/// A small library as it is in its file.
fn library() -> Vec<u8> {
    let maps = fs::read_to_string("/proc/self/maps").unwrap();
    let mut paths: Vec<&str> = maps.lines().filter_map(|line| line.split_whitespace().nth(5)).collect();
    paths.retain(|path| path.contains("/libgcc_s") || path.contains("/ld-") || path.contains("/libc"));
    let smallest = paths.into_iter().min_by_key(|path| fs::metadata(path).map_or(u64::MAX, |m| m.len()));
    fs::read(smallest.expect("a library is mapped")).unwrap()
}

/// The file laid out as in memory: each segment at its address.
fn mapped(file: &[u8]) -> Vec<u8> {
    let word = |at: usize| u64::from_le_bytes(file[at..at + 8].try_into().unwrap()) as usize;
    let half = |at: usize| usize::from(u16::from_le_bytes(file[at..at + 2].try_into().unwrap()));
    let headers = (0..half(56)).map(|i| word(32) + 56 * i);
    let mut memory = Vec::new();
    for header in headers.filter(|at| file[*at..at + 4] == 1u32.to_le_bytes()) {
        let (offset, address, size) = (word(header + 8), word(header + 16), word(header + 32));
        memory.resize(memory.len().max(address + size), 0);
        memory[address..address + size].copy_from_slice(&file[offset..offset + size]);
    }
    memory
}

/// Everything that can be asked of an image.
fn ask(reader: &dyn ReadAt) {
    for image in [Image::parse(reader), Image::parse_mapped(reader)].into_iter().flatten() {
        let _ = image.bias(Addr(0x5555_0000_0000));
        let _ = image.dynamic_symbols(["_PyRuntime", "Py_Version", "abort"]);
        let _ = image.static_symbol("_PyRuntime");
        let _ = image.writable().count();
        let _ = debuglink::build_id(&image);
        for section in image.sections() {
            if section.size < 1 << 16 {
                let bytes = image.section_bytes(section).unwrap_or_default();
                let _ = dwarf::decompress(&bytes, 1 << 20);
            }
        }
    }
}

#[test]
fn a_real_library_is_read() {
    let file = library();
    let reader = file.as_slice();
    let image = Image::parse(&reader).unwrap();
    assert!(image.section(".dynsym").is_some());
    assert_eq!(image.bias(Addr(0x1000)), Some(0x1000));
    let memory = mapped(&file);
    let memory = Mapped(&memory);
    let in_memory = Image::parse_mapped(&memory).unwrap();
    let names = ["_Unwind_Resume", "_dl_find_object", "malloc", "_PyRuntime"];
    let found = image.dynamic_symbols(names);
    assert!(found.iter().any(Option::is_some), "none of {names:?}");
    assert_eq!(found, in_memory.dynamic_symbols(names), "by hash table as by section");
}

#[test]
fn headers_that_claim_too_much() {
    bounded(|| {
        // Sizes of entries, and counts of them, of both header tables; then where these are.
        for at in [54, 56, 58, 60, 62] {
            for value in [0u16, 1, 55, 57, 0x7fff, 0xffff] {
                let mut file = library();
                file[at..at + 2].copy_from_slice(&value.to_le_bytes());
                ask(&file.as_slice());
                ask(&Mapped(&file));
            }
        }
        for at in [32, 40] {
            for value in [1, 1 << 40, u64::MAX - 63, u64::MAX] {
                let mut file = library();
                file[at..at + 8].copy_from_slice(&value.to_le_bytes());
                ask(&file.as_slice());
            }
        }
    });
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(400) })]

    #[test]
    fn damaged_files(changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u64>(), 1usize..9), 1..40)) {
        let mut file = library();
        file.truncate(1 << 18);
        // Half of them where the headers are.
        for (i, (at, value, len)) in changes.iter().enumerate() {
            let at = at.index(if i % 2 == 0 { 0x400 } else { file.len() - 8 });
            file[at..at + len].copy_from_slice(&value.to_le_bytes()[..*len]);
        }
        file[..6].copy_from_slice(b"\x7fELF\x02\x01");
        ask(&file.as_slice());
    }

    #[test]
    fn damaged_images_in_memory(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u64>(), 1usize..9), 1..40),
    ) {
        let mut memory = mapped(&library());
        for (i, (at, value, len)) in changes.iter().enumerate() {
            let at = at.index(if i % 2 == 0 { 0x400 } else { memory.len() - 8 });
            memory[at..at + len].copy_from_slice(&value.to_le_bytes()[..*len]);
        }
        memory[..6].copy_from_slice(b"\x7fELF\x02\x01");
        ask(&Mapped(&memory));
    }

    #[test]
    fn any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..512)) {
        let with_magic = [&b"\x7fELF\x02\x01\x01"[..], &bytes].concat();
        ask(&with_magic.as_slice());
        let _ = debuglink::DebugLink::parse(&bytes);
        let _ = debuglink::AltLink::parse(&bytes);
        let _ = debuglink::build_id_in_notes(&bytes);
        let _ = dwarf::decompress(&bytes, 1 << 16);
        let sections = Sections { info: &bytes, abbrev: &bytes, str: b"_ts\0", ..Sections::default() };
        let _ = dwarf::member_offsets(sections, Some(sections), &["_ts.next", "sizeof _ts"]);
    }

    #[test]
    fn any_debug_offsets(
        version in prop_oneof![Just(0x030d_00f0u64), Just(0x030e_02f0), Just(0x030f_00c1), Just(0x03ff_00f0), any::<u64>()],
        words in prop::collection::vec(prop_oneof![0u64..1000, 0u64..(1 << 25), any::<u64>()], 0..120),
    ) {
        let words: Vec<u8> = [version].iter().chain(&words).flat_map(|word| word.to_le_bytes()).collect();
        let table = [debug_offsets::COOKIE, words.as_slice()].concat();
        if let Ok(parsed) = debug_offsets::parse(&table) {
            prop_assert!(parsed.offsets.iter().all(|(_, offset)| offset < 1 << 26));
        }
    }
}
