//! An ELF image, in a file or as mapped in a process: its segments, sections and symbols.
//!
//! Everything is read piecewise through [`ReadAt`]: a Python executable is some 30 MiB, of which a few KiB matter.

use super::dynamic::DynamicTables;
use crate::base::{Addr, limits};
use goblin::container::{Container, Ctx, Endian};
use goblin::elf::program_header::{PT_DYNAMIC, PT_LOAD};
use goblin::elf::section_header::{SHF_COMPRESSED, SHT_NOBITS};
use goblin::elf::sym::{STT_FUNC, STT_GNU_IFUNC, Sym, Symtab};
use goblin::elf::{Header, ProgramHeader, ProgramHeaders, SectionHeader};
use goblin::elf64::program_header::SIZEOF_PHDR;
use goblin::elf64::section_header::SIZEOF_SHDR;

const CTX: Ctx = Ctx { container: Container::Big, le: Endian::Little };
const HEADER_BYTES: usize = 64;
/// Longest name of a section that is kept whole.
const SECTION_NAME_BYTES: usize = 256;

/// Bytes at a position: a file by offset, or a process by address relative to where the image is mapped.
pub trait ReadAt {
    /// Exactly `len` bytes at `position`, or `None`.
    fn read_at(&self, position: u64, len: usize) -> Option<Vec<u8>>;

    /// The address position 0 is mapped at, for an image in a process.
    fn mapped_at(&self) -> Option<u64> {
        None
    }
}

impl ReadAt for std::fs::File {
    fn read_at(&self, position: u64, len: usize) -> Option<Vec<u8>> {
        let mut bytes = vec![0; len];
        std::os::unix::fs::FileExt::read_exact_at(self, &mut bytes, position).ok()?;
        Some(bytes)
    }
}

impl ReadAt for &[u8] {
    fn read_at(&self, position: u64, len: usize) -> Option<Vec<u8>> {
        let start = usize::try_from(position).ok()?;
        Some(self.get(start..start.checked_add(len)?)?.to_vec())
    }
}

/// Why an image is of no use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ElfError {
    /// No ELF magic, or cut off.
    #[error("not an ELF file")]
    NotElf,
    /// A 32-bit program.
    #[error("a 32-bit program")]
    ThirtyTwoBit,
    /// Headers that contradict themselves.
    #[error("a damaged ELF file")]
    Damaged,
    /// Made for another machine.
    #[error("a program for another machine")]
    OtherMachine,
}

/// A symbol: where it is before relocation, and its size in bytes (0 when not recorded).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Symbol {
    /// Virtual address in the image.
    pub value: u64,
    /// Size in bytes.
    pub size: u64,
}

/// A function that others can call, by its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Function {
    /// Its name, without version.
    pub name: String,
    /// Virtual address in the image.
    pub value: u64,
    /// Size in bytes, 0 when not recorded.
    pub size: u64,
    /// `STT_GNU_IFUNC`: what is there chooses the function, it is not the function.
    pub indirect: bool,
}

/// A section of the file.
#[derive(Clone, Debug)]
pub struct Section {
    /// Name.
    pub name: String,
    /// Virtual address in the image, 0 when not loaded.
    pub addr: u64,
    /// Size in bytes.
    pub size: u64,
    header: SectionHeader,
}

impl Section {
    /// Whether the bytes in the file are compressed.
    pub fn is_compressed(&self) -> bool {
        self.header.sh_flags & u64::from(SHF_COMPRESSED) != 0
    }
}

/// The headers of an ELF image.
pub struct Image<'r> {
    reader: &'r dyn ReadAt,
    segments: Vec<ProgramHeader>,
    sections: Vec<Section>,
}

impl<'r> Image<'r> {
    /// Parses the headers of a file.
    pub fn parse(reader: &'r dyn ReadAt) -> Result<Image<'r>, ElfError> {
        let (header, segments) = read_headers(reader)?;
        let sections = read_sections(reader, &header).unwrap_or_default();
        Ok(Image { reader, segments, sections })
    }

    /// Parses what is mapped of an image in a process; there are no sections there.
    pub fn parse_mapped(reader: &'r dyn ReadAt) -> Result<Image<'r>, ElfError> {
        let (_, segments) = read_headers(reader)?;
        Ok(Image { reader, segments, sections: Vec::new() })
    }

    /// The difference between addresses in the process and in the image, when offset 0 is mapped at `base`.
    pub fn bias(&self, base: Addr) -> Option<u64> {
        let first = self.segments.iter().find(|s| s.p_type == PT_LOAD)?;
        let page = first.p_align.clamp(1, 0x1000);
        let vaddr_of_file_start = first.p_vaddr.wrapping_sub(first.p_offset) & !(page - 1);
        Some(base.0.wrapping_sub(vaddr_of_file_start))
    }

    /// Address ranges of loadable, writable segments in the image.
    pub fn writable(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        self.segments.iter().filter(|s| s.p_type == PT_LOAD && s.is_write()).map(|s| (s.p_vaddr, s.p_memsz))
    }

    /// The section of this name.
    pub fn section(&self, name: &str) -> Option<&Section> {
        self.sections.iter().find(|s| s.name == name)
    }

    /// All sections.
    pub fn sections(&self) -> &[Section] {
        &self.sections
    }

    /// The bytes of a section as they are in the file.
    pub fn section_bytes(&self, section: &Section) -> Option<Vec<u8>> {
        if section.header.sh_type == SHT_NOBITS || section.size > limits::ELF_SECTION_BYTES {
            return None;
        }
        self.reader.read_at(section.header.sh_offset, section.size as usize)
    }

    /// The dynamic symbols of these names: in `.dynsym`, which survives stripping. For a mapped image, in the tables that
    /// `PT_DYNAMIC` names.
    pub fn dynamic_symbols<const N: usize>(&self, names: [&str; N]) -> [Option<Symbol>; N] {
        let mut found = [None; N];
        if !self.sections.is_empty() {
            let _ = self.search_section(".dynsym", &names, &mut found);
        } else if let Some(tables) = self.dynamic_tables() {
            search(&tables.symbols, &tables.strings, &names, &mut found);
        }
        found
    }

    /// All functions among the dynamic symbols.
    pub fn dynamic_functions(&self) -> Vec<Function> {
        let tables = match self.section(".dynsym") {
            Some(section) => self.sections.get(section.header.sh_link as usize).and_then(|strings| {
                let symbols = self.section_bytes(section)?;
                Some((symbols, self.section_bytes(strings)?))
            }),
            None => self.dynamic_tables().map(|tables| (tables.symbols, tables.strings)),
        };
        let Some((symbols, strings)) = tables else { return Vec::new() };
        let count = (symbols.len() / goblin::elf64::sym::SIZEOF_SYM).min(limits::ELF_SYMBOLS);
        let Ok(table) = Symtab::parse(&symbols, 0, count, CTX) else { return Vec::new() };
        let is_function = |symbol: &Sym| {
            symbol.st_shndx != 0 && symbol.st_value != 0 && matches!(symbol.st_type(), STT_FUNC | STT_GNU_IFUNC)
        };
        let function = |symbol: Sym| Function {
            name: string_at(&strings, symbol.st_name),
            value: symbol.st_value,
            size: symbol.st_size,
            indirect: symbol.st_type() == STT_GNU_IFUNC,
        };
        table.iter().filter(is_function).map(function).collect()
    }

    /// Where the first segment of a kind is in the image: virtual address and size in memory.
    pub fn segment(&self, kind: u32) -> Option<(u64, u64)> {
        self.segments.iter().find(|s| s.p_type == kind).map(|s| (s.p_vaddr, s.p_memsz))
    }

    /// Where the loadable segment that has a virtual address ends.
    pub fn end_of_segment_at(&self, vaddr: u64) -> Option<u64> {
        let has = |s: &&ProgramHeader| s.p_type == PT_LOAD && vaddr.wrapping_sub(s.p_vaddr) < s.p_filesz;
        self.segments.iter().find(has).map(|s| s.p_vaddr.wrapping_add(s.p_filesz))
    }

    /// Bytes of a loadable segment, by virtual address in the image.
    pub fn loaded_bytes(&self, vaddr: u64, len: usize) -> Option<Vec<u8>> {
        if len as u64 > limits::ELF_SECTION_BYTES {
            return None;
        }
        if self.reader.mapped_at().is_some() {
            let first = self.segments.iter().find(|s| s.p_type == PT_LOAD)?;
            let start = first.p_vaddr.wrapping_sub(first.p_offset);
            return self.reader.read_at(vaddr.wrapping_sub(start), len);
        }
        let has = |s: &&ProgramHeader| s.p_type == PT_LOAD && vaddr.wrapping_sub(s.p_vaddr) < s.p_filesz;
        let segment = self.segments.iter().find(has)?;
        let within = vaddr.wrapping_sub(segment.p_vaddr);
        if len as u64 > segment.p_filesz - within {
            return None;
        }
        self.reader.read_at(segment.p_offset.checked_add(within)?, len)
    }

    /// The symbol of this name in `.symtab`, which stripping removes.
    pub fn static_symbol(&self, name: &str) -> Option<Symbol> {
        let mut found = [None];
        self.search_section(".symtab", &[name], &mut found)?;
        found[0]
    }

    fn search_section(&self, table: &str, names: &[&str], found: &mut [Option<Symbol>]) -> Option<()> {
        let section = self.section(table)?;
        let strings = self.sections.get(section.header.sh_link as usize)?;
        search(&self.section_bytes(section)?, &self.section_bytes(strings)?, names, found);
        Some(())
    }

    fn dynamic_tables(&self) -> Option<DynamicTables> {
        let dynamic = self.segments.iter().find(|s| s.p_type == PT_DYNAMIC)?;
        let load = self.segments.iter().find(|s| s.p_type == PT_LOAD)?;
        let vaddr_of_start = load.p_vaddr.wrapping_sub(load.p_offset);
        DynamicTables::read(self.reader, dynamic, vaddr_of_start)
    }
}

fn read_headers(reader: &dyn ReadAt) -> Result<(Header, Vec<ProgramHeader>), ElfError> {
    let bytes = reader.read_at(0, HEADER_BYTES).ok_or(ElfError::NotElf)?;
    if !bytes.starts_with(goblin::elf::header::ELFMAG) {
        return Err(ElfError::NotElf);
    }
    if bytes.get(goblin::elf::header::EI_CLASS) == Some(&goblin::elf::header::ELFCLASS32) {
        return Err(ElfError::ThirtyTwoBit);
    }
    let header = goblin::elf::Elf::parse_header(&bytes).map_err(|_| ElfError::Damaged)?;
    if !header.endianness().is_ok_and(|e| e == Endian::Little) {
        return Err(ElfError::OtherMachine);
    }
    let count = usize::from(header.e_phnum);
    if count > 0 && usize::from(header.e_phentsize) != SIZEOF_PHDR {
        return Err(ElfError::Damaged);
    }
    let table = reader.read_at(header.e_phoff, count * SIZEOF_PHDR).ok_or(ElfError::Damaged)?;
    let segments: ProgramHeaders = ProgramHeader::parse(&table, 0, count, CTX).map_err(|_| ElfError::Damaged)?;
    Ok((header, segments))
}

fn read_sections(reader: &dyn ReadAt, header: &Header) -> Option<Vec<Section>> {
    let count = usize::from(header.e_shnum);
    if count == 0 || usize::from(header.e_shentsize) != SIZEOF_SHDR {
        return None;
    }
    let table = reader.read_at(header.e_shoff, count * SIZEOF_SHDR)?;
    let headers = SectionHeader::parse_from(&table, 0, count, CTX).ok()?;
    let names = headers.get(usize::from(header.e_shstrndx))?;
    if names.sh_size > limits::ELF_SECTION_BYTES {
        return None;
    }
    let names = reader.read_at(names.sh_offset, names.sh_size as usize)?;
    let section = |header: SectionHeader| Section {
        name: string_at(&names, header.sh_name),
        addr: header.sh_addr,
        size: header.sh_size,
        header,
    };
    Some(headers.into_iter().map(section).collect())
}

fn string_at(strings: &[u8], at: usize) -> String {
    let rest = strings.get(at..).unwrap_or_default();
    // Every section may claim the whole table as its name.
    let rest = rest.get(..SECTION_NAME_BYTES).unwrap_or(rest);
    let text = rest.split(|byte| *byte == 0).next().unwrap_or_default();
    String::from_utf8_lossy(text).into_owned()
}

fn search(symbols: &[u8], strings: &[u8], names: &[&str], found: &mut [Option<Symbol>]) {
    let count = (symbols.len() / goblin::elf64::sym::SIZEOF_SYM).min(limits::ELF_SYMBOLS);
    let Ok(table) = Symtab::parse(symbols, 0, count, CTX) else { return };
    let is_name = |at: usize, name: &str| {
        strings
            .get(at..)
            .and_then(|rest| rest.strip_prefix(name.as_bytes()))
            .is_some_and(|rest| rest.first() == Some(&0))
    };
    for symbol in table.iter().filter(|symbol| symbol.st_shndx != 0 && symbol.st_value != 0) {
        for (name, slot) in names.iter().zip(found.iter_mut()) {
            if slot.is_none() && is_name(symbol.st_name, name) {
                *slot = Some(Symbol { value: symbol.st_value, size: symbol.st_size });
            }
        }
    }
}
