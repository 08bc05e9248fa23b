//! Symbols by name in the tables of a file, which is read piece by piece: the tables of a large program take many megabytes,
//! and most programs do not have the symbols that are looked for.

use super::image::{ReadAt, Symbol};
use crate::base::{FieldValue, limits};
use goblin::container::{Container, Ctx, Endian};
use goblin::elf::sym::Symtab;
use goblin::elf64::sym::SIZEOF_SYM;

const CTX: Ctx = Ctx { container: Container::Big, le: Endian::Little };
/// Bytes read at once: whole symbols.
const PIECE: u64 = 2048 * SIZEOF_SYM as u64;
/// Longest name that can be looked for, in bytes.
const NAME_BYTES: u64 = 64;
/// Linkers write each name once; a file that repeats them is not worth more.
const PLACES: usize = 100;

/// Part of a file.
#[derive(Clone, Copy)]
pub(super) struct Part {
    /// Offset in the file.
    pub(super) at: u64,
    /// In bytes.
    pub(super) len: u64,
}

/// Looks for symbols that are defined in the file. `None` when it cannot be read.
pub(super) fn find(
    reader: &dyn ReadAt,
    symbols: Part,
    strings: Part,
    names: &[&str],
    found: &mut [Option<Symbol>],
) -> Option<()> {
    let places = places(reader, strings, names)?;
    if places.is_empty() {
        return Some(());
    }
    let len = symbols.len.min((limits::ELF_SYMBOLS * SIZEOF_SYM) as u64);
    for start in (0..len).step_by(PIECE as usize) {
        let piece = reader.read_at(symbols.at.checked_add(start)?, PIECE.min(len - start) as usize)?;
        for entry in piece.chunks_exact(SIZEOF_SYM) {
            // The name comes first (`Elf64_Sym` in `elf.h`).
            let Some(name) = i32::from_bytes(entry).map(|name| name as u32) else { continue };
            let Ok(place) = places.binary_search_by_key(&name, |(place, _)| *place) else { continue };
            let Some((_, which)) = places.get(place) else { continue };
            let symbol = Symtab::parse(entry, 0, 1, CTX).ok().and_then(|table| table.get(0));
            if let (Some(slot @ None), Some(symbol)) = (found.get_mut(*which), symbol)
                && symbol.st_shndx != 0
                && symbol.st_value != 0
            {
                *slot = Some(Symbol { value: symbol.st_value, size: symbol.st_size });
            }
        }
    }
    Some(())
}

/// Where names are in a table of strings, in its order, with their places among `names`. A name may be the end of a longer one.
fn places(reader: &dyn ReadAt, strings: Part, names: &[&str]) -> Option<Vec<(u32, usize)>> {
    let mut places = Vec::new();
    let is_end =
        |before: &[u8], name: &str| before.last() == name.as_bytes().last() && before.ends_with(name.as_bytes());
    for start in (0..strings.len).step_by(PIECE as usize) {
        if places.len() >= PLACES {
            break;
        }
        // What ends in this piece may have begun before it.
        let from = start.saturating_sub(NAME_BYTES);
        let end = start.saturating_add(PIECE).min(strings.len);
        let piece = reader.read_at(strings.at.checked_add(from)?, (end - from) as usize)?;
        let ends = piece.iter().enumerate().filter(|(_, byte)| **byte == 0).map(|(end, _)| end);
        for end in ends.filter(|end| from + *end as u64 >= start) {
            let before = piece.get(..end).unwrap_or_default();
            for (which, name) in names.iter().enumerate().filter(|(_, name)| is_end(before, name)) {
                let place = from + (end - name.len()) as u64;
                places.extend(u32::try_from(place).map(|place| (place, which)));
            }
        }
    }
    // Those that end at one place begin in the order of their lengths.
    places.sort_unstable();
    Some(places)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Bytes(Vec<u8>);

    impl ReadAt for Bytes {
        fn read_at(&self, position: u64, len: usize) -> Option<Vec<u8>> {
            self.0.get(position as usize..(position as usize).checked_add(len)?).map(<[u8]>::to_vec)
        }
    }

    fn symbol(name: u32, section: u16, value: u64, size: u64) -> Vec<u8> {
        [&name.to_le_bytes()[..], &[0x11, 0], &section.to_le_bytes(), &value.to_le_bytes(), &size.to_le_bytes()]
            .concat()
    }

    /// A table of `count` symbols and one of names; the last symbols have these names, places and sections.
    fn look(padding: usize, count: usize, last: &[(&str, u16, u64)], names: &[&str]) -> Vec<Option<u64>> {
        let mut strings = vec![0];
        strings.resize(1 + padding, b'x');
        strings.push(0);
        let mut symbols: Vec<u8> = (0..count).flat_map(|_| symbol(1, 1, 7, 8)).collect();
        for (name, section, value) in last {
            symbols.extend(symbol(strings.len() as u32, *section, *value, 1));
            strings.extend([name.as_bytes(), &[0]].concat());
        }
        let parts = [symbols.len() as u64, strings.len() as u64];
        let reader = Bytes([symbols, strings].concat());
        let mut found = vec![None; names.len()];
        let [len, strings_len] = parts;
        find(&reader, Part { at: 0, len }, Part { at: len, len: strings_len }, names, &mut found).unwrap();
        found.into_iter().map(|symbol| symbol.map(|symbol| symbol.value)).collect()
    }

    #[test]
    fn names_across_the_end_of_a_piece_are_found() {
        for padding in PIECE as usize - 20..PIECE as usize + 5 {
            let last = [("_PyRuntime", 3, 0x1000), ("Py_Version", 3, 0x2000)];
            let found = look(padding, 2050, &last, &["Py_Version", "_PyRuntime", "other"]);
            assert_eq!(found, [Some(0x2000), Some(0x1000), None], "{padding}");
        }
    }

    #[test]
    fn symbols_of_other_files_and_other_names_are_none() {
        let last = [("_PyRuntime", 0, 0x1000), ("_PyRuntimeState", 1, 0x2000), ("x_PyRuntime", 1, 0x3000)];
        assert_eq!(look(0, 3, &last, &["_PyRuntime"]), [None]);
        assert_eq!(look(0, 3, &[("_PyRuntime", 1, 0x10), ("_PyRuntime", 1, 0x20)], &["_PyRuntime"]), [Some(0x10)]);
    }

    #[test]
    fn a_file_that_ends_early_is_an_error() {
        let mut found = [None];
        let part = |len| Part { at: 0, len };
        assert!(find(&Bytes(vec![0; 10]), part(24), part(30), &["a"], &mut found).is_none());
        assert!(find(&Bytes(vec![0; 10]), part(24), Part { at: u64::MAX - 2, len: 30 }, &["a"], &mut found).is_none());
    }
}
