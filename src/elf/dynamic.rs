//! Symbols of an image that exists only in memory: the file is gone, and section headers are never mapped, but `PT_DYNAMIC`
//! names the loaded symbol table, string table and hash table (gABI, "Dynamic Linking").

use super::image::ReadAt;
use crate::base::{FieldValue, limits};
use goblin::elf::ProgramHeader;
use goblin::elf::dynamic::{DT_GNU_HASH, DT_HASH, DT_NULL, DT_STRSZ, DT_STRTAB, DT_SYMTAB};

const SYMBOL_BYTES: u64 = goblin::elf64::sym::SIZEOF_SYM as u64;
/// More entries than any linker writes into `.dynamic`.
const DYNAMIC_ENTRIES: u64 = 4096;
/// Bytes of a hash chain read at a time; chains are mostly some words long.
const CHAIN_PIECE: usize = 512;
/// Largest string table that is read.
const STRING_BYTES: u64 = 64 << 20;

/// Raw symbol and string tables.
pub(super) struct DynamicTables {
    pub(super) symbols: Vec<u8>,
    pub(super) strings: Vec<u8>,
}

impl DynamicTables {
    /// Reads them; `start` is the virtual address, in the image, of position 0 of `reader`.
    pub(super) fn read(reader: &dyn ReadAt, dynamic: &ProgramHeader, start: u64) -> Option<DynamicTables> {
        let size = dynamic.p_memsz.min(DYNAMIC_ENTRIES * 16);
        let entries = reader.read_at(dynamic.p_vaddr.wrapping_sub(start), size as usize)?;
        let mut tags = Tags::default();
        for entry in entries.chunks_exact(16) {
            let (tag, value) = (u64::from_bytes(entry)?, u64::from_bytes(entry.get(8..)?)?);
            match tag {
                DT_NULL => break,
                DT_SYMTAB => tags.symbols = value,
                DT_STRTAB => tags.strings = value,
                DT_STRSZ => tags.string_bytes = value.min(STRING_BYTES),
                DT_GNU_HASH => tags.gnu_hash = value,
                DT_HASH => tags.hash = value,
                _ => {}
            }
        }
        let read = |address: u64, len: u64| reader.read_at(relative(address, start, reader), len as usize);
        let count = tags.symbol_count(reader, start)?.min(limits::ELF_SYMBOLS as u64);
        Some(DynamicTables {
            symbols: read(tags.symbols, count * SYMBOL_BYTES)?,
            strings: read(tags.strings, tags.string_bytes)?,
        })
    }
}

#[derive(Default)]
struct Tags {
    symbols: u64,
    strings: u64,
    string_bytes: u64,
    gnu_hash: u64,
    hash: u64,
}

impl Tags {
    fn symbol_count(&self, reader: &dyn ReadAt, start: u64) -> Option<u64> {
        let word = |address: u64| u32::from_bytes(&reader.read_at(relative(address, start, reader), 4)?);
        if self.hash != 0 {
            return word(self.hash.wrapping_add(4)).map(u64::from);
        }
        let table = self.gnu_hash;
        let (buckets, first) = (u64::from(word(table)?), u64::from(word(table.wrapping_add(4))?));
        let bloom_words = u64::from(word(table.wrapping_add(8))?);
        let bucket_array = table.wrapping_add(16 + bloom_words * 8);
        let len = buckets.min(limits::ELF_SYMBOLS as u64) * 4;
        let bytes = reader.read_at(relative(bucket_array, start, reader), len as usize)?;
        let last = bytes.chunks_exact(4).filter_map(u32::from_bytes).max().map(u64::from)?;
        if last < first {
            return Some(first);
        }
        let chains = bucket_array.wrapping_add(buckets * 4);
        let chain = |index: u64| relative(chains.wrapping_add((index - first) * 4), start, reader);
        let mut index = last;
        while index - first < limits::ELF_SYMBOLS as u64 {
            let Some(piece) = read_piece(reader, chain(index)) else { return Some(index + 1) };
            // A chain ends at the first hash value with bit 0 set.
            match piece.chunks_exact(4).position(|hash| hash.first().is_some_and(|low| low & 1 == 1)) {
                Some(at) => return Some(index + at as u64 + 1),
                None => index += piece.len() as u64 / 4,
            }
        }
        None
    }
}

/// Some words of a hash chain, or one where the memory ends soon.
fn read_piece(reader: &dyn ReadAt, position: u64) -> Option<Vec<u8>> {
    reader.read_at(position, CHAIN_PIECE).or_else(|| reader.read_at(position, 4))
}

/// The position of an address that the loader may or may not have relocated in place (glibc does, musl does not).
fn relative(address: u64, start: u64, reader: &dyn ReadAt) -> u64 {
    let unrelocated = address.wrapping_sub(start);
    match reader.read_at(unrelocated, 1) {
        Some(_) => unrelocated,
        None => reader.mapped_at().map_or(unrelocated, |base| address.wrapping_sub(base)),
    }
}
