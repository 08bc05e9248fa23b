//! Units and entries of the debug sections, with every step paid for.

use gimli::{
    Abbreviations, AttributeValue, DebugAbbrev, DebugAbbrevOffset, DebugInfo, DebugLineStr, DebugStr, DebugStrOffsets,
    DebugStrOffsetsBase, DebugTypeSignature, DebugTypes, DwAt, EndianSlice, LittleEndian, UnitHeader, UnitOffset,
    UnitType, constants as dw,
};
use std::cell::{Cell, OnceCell};
use std::collections::HashMap;

type Bytes<'a> = EndianSlice<'a, LittleEndian>;
pub(super) type Entry<'a> = gimli::DebuggingInformationEntry<Bytes<'a>>;
type Value<'a> = AttributeValue<Bytes<'a>>;

/// Abbreviations of one unit that are read at most; CPython's whole section has some 300 KiB.
const ABBREVIATION_BYTES: usize = 1 << 20;
/// Units of one file. The largest programs have some 100,000.
const UNITS: usize = 1 << 17;

/// The contents of one file's debug sections, uncompressed; absent ones are empty.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sections<'a> {
    /// `.debug_info`
    pub info: &'a [u8],
    /// `.debug_types`, DWARF 4 only
    pub types: &'a [u8],
    /// `.debug_abbrev`
    pub abbrev: &'a [u8],
    /// `.debug_str`
    pub str: &'a [u8],
    /// `.debug_line_str`
    pub line_str: &'a [u8],
    /// `.debug_str_offsets`
    pub str_offsets: &'a [u8],
}

/// Where an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Die {
    /// 0 the file itself, 1 its supplementary file.
    file: usize,
    unit: usize,
    offset: UnitOffset,
}

struct Unit<'a> {
    header: UnitHeader<Bytes<'a>>,
    abbreviations: OnceCell<Option<Abbreviations>>,
}

struct File<'a> {
    sections: Sections<'a>,
    /// Those of `.debug_info` by offset, then those of `.debug_types`.
    units: Vec<Unit<'a>>,
    info_units: usize,
    signatures: HashMap<u64, (usize, UnitOffset)>,
}

/// A file with debug information, and the one it shares entries with.
pub(super) struct Files<'a> {
    files: Vec<File<'a>>,
    /// Bytes of entries that may still be read: a few times what there is, whatever the entries refer to.
    fuel: Cell<usize>,
}

impl<'a> Files<'a> {
    pub(super) fn new(all: &[Sections<'a>]) -> Files<'a> {
        let bytes: usize = all.iter().map(|s| s.info.len() + s.types.len() + s.abbrev.len()).sum();
        let fuel = Cell::new(bytes.saturating_mul(8).saturating_add(1 << 20));
        Files { files: all.iter().map(|sections| File::new(*sections)).collect(), fuel }
    }

    /// False when too much was read already.
    fn burn(&self, bytes: usize) -> bool {
        let left = self.fuel.get().checked_sub(bytes.saturating_add(1));
        self.fuel.set(left.unwrap_or(0));
        left.is_some()
    }

    /// The units, as their outermost entries.
    pub(super) fn roots(&self) -> impl Iterator<Item = Die> + '_ {
        self.files.iter().enumerate().flat_map(|(file, contents)| {
            let roots = contents.units.iter().enumerate();
            roots.map(move |(unit, u)| Die { file, unit, offset: u.header.root_offset() })
        })
    }

    fn unit(&self, die: Die) -> Option<(&UnitHeader<Bytes<'a>>, &Abbreviations)> {
        let file = self.files.get(die.file)?;
        let unit = file.units.get(die.unit)?;
        let abbreviations = unit.abbreviations.get_or_init(|| {
            let bytes = file.sections.abbrev.get(unit.header.debug_abbrev_offset().0..)?;
            let bytes = bytes.get(..ABBREVIATION_BYTES).unwrap_or(bytes);
            // most units have a small part of it: reading stops at that part's end
            self.burn(bytes.len() / 64).then_some(())?;
            DebugAbbrev::new(bytes, LittleEndian).abbreviations(DebugAbbrevOffset(0)).ok()
        });
        Some((&unit.header, abbreviations.as_ref()?))
    }

    /// The entry itself.
    pub(super) fn entry(&self, die: Die) -> Option<Entry<'a>> {
        let (header, abbreviations) = self.unit(die)?;
        self.burn(16).then_some(())?;
        header.entry(abbreviations, die.offset).ok()
    }

    /// Shows the entries right below one, until `visit` returns false.
    pub(super) fn children(&self, parent: Die, mut visit: impl FnMut(Die, &Entry<'a>) -> bool) {
        let Some((header, abbreviations)) = self.unit(parent) else { return };
        let Ok(mut cursor) = header.entries_at_offset(abbreviations, parent.offset) else { return };
        if !matches!(cursor.next_entry(), Ok(true)) || !cursor.current().is_some_and(Entry::has_children) {
            return;
        }
        let mut more = cursor.next_entry();
        while let (Ok(true), Some(entry)) = (more, cursor.current()) {
            let (start, has_sibling) = (entry.offset().0, entry.has_attr(dw::DW_AT_sibling));
            if !visit(Die { offset: entry.offset(), ..parent }, entry) {
                return;
            }
            more = cursor.next_sibling().map(|entry| entry.is_some());
            // what is jumped over costs nothing
            let read = if has_sibling { 16 } else { cursor.next_offset().0.saturating_sub(start) };
            if !self.burn(read) {
                return;
            }
        }
    }

    /// The entry that an attribute refers to.
    pub(super) fn reference(&self, from: Die, value: Value<'a>) -> Option<Die> {
        match value {
            AttributeValue::UnitRef(offset) => Some(Die { offset, ..from }),
            AttributeValue::DebugInfoRef(offset) => self.at(from.file, offset.0),
            AttributeValue::DebugInfoRefSup(offset) => self.at(1, offset.0),
            AttributeValue::DebugTypesRef(DebugTypeSignature(signature)) => {
                let (unit, offset) = *self.files.get(from.file)?.signatures.get(&signature)?;
                Some(Die { file: from.file, unit, offset })
            }
            _ => None,
        }
    }

    /// The entry at an offset of a file's `.debug_info`.
    fn at(&self, file: usize, offset: usize) -> Option<Die> {
        let contents = self.files.get(file)?;
        let units = contents.units.get(..contents.info_units)?;
        let unit = units.partition_point(|unit| section_offset(&unit.header) <= offset).checked_sub(1)?;
        let offset = UnitOffset(offset.checked_sub(section_offset(&units.get(unit)?.header))?);
        Some(Die { file, unit, offset })
    }

    /// The text of a string attribute.
    pub(super) fn text(&self, die: Die, entry: &Entry<'a>, attribute: DwAt) -> Option<&'a [u8]> {
        let sections = self.files.get(die.file)?.sections;
        let in_str = |section, offset| DebugStr::new(section, LittleEndian).get_str(offset).ok();
        let text = match entry.attr_value(attribute)? {
            AttributeValue::String(text) => Some(text),
            AttributeValue::DebugStrRef(offset) => in_str(sections.str, offset),
            AttributeValue::DebugStrRefSup(offset) => in_str(self.files.get(1)?.sections.str, offset),
            AttributeValue::DebugLineStrRef(offset) => {
                DebugLineStr::new(sections.line_str, LittleEndian).get_str(offset).ok()
            }
            AttributeValue::DebugStrOffsetsIndex(index) => {
                let offsets: DebugStrOffsets<_> = Bytes::new(sections.str_offsets, LittleEndian).into();
                let (header, _) = self.unit(die)?;
                let offset = offsets.get_str_offset(header.format(), self.str_offsets_base(die)?, index).ok()?;
                in_str(sections.str, offset)
            }
            _ => None,
        };
        Some(text?.slice())
    }

    fn str_offsets_base(&self, die: Die) -> Option<DebugStrOffsetsBase> {
        let (header, _) = self.unit(die)?;
        match self.entry(Die { offset: header.root_offset(), ..die })?.attr_value(dw::DW_AT_str_offsets_base)? {
            AttributeValue::DebugStrOffsetsBase(base) => Some(base),
            _ => None,
        }
    }
}

impl<'a> File<'a> {
    fn new(sections: Sections<'a>) -> File<'a> {
        let (mut units, mut signatures) = (Vec::new(), HashMap::new());
        let mut add = |header: UnitHeader<Bytes<'a>>| {
            if let UnitType::Type { type_signature, type_offset } = header.type_() {
                signatures.insert(type_signature.0, (units.len(), type_offset));
            }
            units.push(Unit { header, abbreviations: OnceCell::new() });
            units.len()
        };
        let info = DebugInfo::new(sections.info, LittleEndian);
        let mut headers = info.units();
        let mut info_units = 0;
        while let (true, Ok(Some(header))) = (info_units < UNITS, headers.next()) {
            info_units = add(header);
        }
        let types = DebugTypes::new(sections.types, LittleEndian);
        let (mut headers, mut all) = (types.units(), info_units);
        while let (true, Ok(Some(header))) = (all < UNITS, headers.next()) {
            all = add(header);
        }
        File { sections, units, info_units, signatures }
    }
}

fn section_offset(header: &UnitHeader<Bytes<'_>>) -> usize {
    header.debug_info_offset().map_or(0, |offset| offset.0)
}
