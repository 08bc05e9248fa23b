//! Line tables: from an instruction to line and columns. Pure functions over untrusted bytes; the three formats are
//! described in CPython's `Objects/lnotab_notes.txt` (up to 3.10) and `Objects/locations.md` (from 3.11 on).

use crate::cpython::LineTable;

/// Where an instruction comes from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Position {
    /// First line, counted from 1.
    pub line: Option<i32>,
    /// Last line.
    pub end_line: Option<i32>,
    /// First column, in bytes of UTF-8 from 0.
    pub column: Option<i32>,
    /// Column behind the last, likewise.
    pub end_column: Option<i32>,
}

impl Position {
    fn line_only(line: i32) -> Position {
        Position { line: Some(line), ..Position::default() }
    }
}

/// The position of the instruction at byte `offset` (`None`: not started yet, which is the first line).
pub fn position(format: LineTable, table: &[u8], first_line: i32, offset: Option<i64>) -> Position {
    let Some(offset) = offset.and_then(|offset| u64::try_from(offset).ok()) else {
        return Position::line_only(first_line);
    };
    match format {
        LineTable::Lnotab => Position::line_only(lnotab(table, first_line, offset)),
        LineTable::Deltas => deltas(table, first_line, offset).map(Position::line_only).unwrap_or_default(),
        LineTable::Locations => locations(table, first_line, offset / 2).unwrap_or_default(),
    }
}

fn lnotab(table: &[u8], first_line: i32, offset: u64) -> i32 {
    let mut line = first_line;
    let mut address = 0;
    for pair in table.chunks_exact(2) {
        let [bytes, lines] = *pair else { break };
        address += u64::from(bytes);
        if address > offset {
            break;
        }
        line = line.wrapping_add(i32::from(lines as i8));
    }
    line
}

fn deltas(table: &[u8], first_line: i32, offset: u64) -> Option<i32> {
    const NO_LINE: i8 = -128;
    let mut line = first_line;
    let mut end = 0;
    for pair in table.chunks_exact(2) {
        let [bytes, delta] = *pair else { break };
        let delta = delta as i8;
        end += u64::from(bytes);
        if delta != NO_LINE {
            line = line.wrapping_add(i32::from(delta));
        }
        if offset < end {
            return (delta != NO_LINE).then_some(line);
        }
    }
    None
}

fn locations(table: &[u8], first_line: i32, unit: u64) -> Option<Position> {
    let mut entries = Entries { rest: table };
    let mut line = first_line;
    let mut end = 0;
    while let Some(head) = entries.byte() {
        if head & 0x80 == 0 {
            return None;
        }
        let units = u64::from(head & 7) + 1;
        let entry = entries.entry((head >> 3) & 15)?;
        line = line.wrapping_add(entry.line_delta);
        end += units;
        if unit < end {
            return entry.has_line.then(|| entry.position(line));
        }
    }
    None
}

/// One entry of a location table, lines relative.
struct Entry {
    has_line: bool,
    line_delta: i32,
    end_line_delta: Option<i32>,
    columns: Option<(i32, i32)>,
}

impl Entry {
    fn position(&self, line: i32) -> Position {
        Position {
            line: Some(line),
            end_line: Some(line.wrapping_add(self.end_line_delta.unwrap_or(0))),
            column: self.columns.map(|(start, _)| start).filter(|c| *c >= 0),
            end_column: self.columns.map(|(_, end)| end).filter(|c| *c >= 0),
        }
    }
}

struct Entries<'t> {
    rest: &'t [u8],
}

impl Entries<'_> {
    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(*first)
    }

    /// The rest of the entry with this code.
    fn entry(&mut self, code: u8) -> Option<Entry> {
        let some = |line_delta, end_line_delta, columns| Entry { has_line: true, line_delta, end_line_delta, columns };
        Some(match code {
            0..=9 => {
                let second = i32::from(self.byte()?);
                let start = i32::from(code) * 8 + (second >> 4 & 7);
                some(0, None, Some((start, start + (second & 15))))
            }
            10..=12 => {
                let columns = (i32::from(self.byte()?), i32::from(self.byte()?));
                some(i32::from(code) - 10, None, Some(columns))
            }
            13 => some(self.signed()?, None, None),
            14 => {
                let line_delta = self.signed()?;
                let end_line_delta = self.unsigned()? as i32;
                let columns = ((self.unsigned()? as i32).wrapping_sub(1), (self.unsigned()? as i32).wrapping_sub(1));
                some(line_delta, Some(end_line_delta), Some(columns))
            }
            _ => Entry { has_line: false, line_delta: 0, end_line_delta: None, columns: None },
        })
    }

    /// Six bits a byte, least first; bit 6 says that more follow.
    fn unsigned(&mut self) -> Option<u32> {
        let mut value = 0u32;
        for shift in (0..32).step_by(6) {
            let byte = self.byte()?;
            value |= u32::from(byte & 63).checked_shl(shift)?;
            if byte & 64 == 0 {
                return Some(value);
            }
        }
        None
    }

    /// The sign is in bit 0.
    fn signed(&mut self) -> Option<i32> {
        let value = self.unsigned()?;
        let magnitude = (value >> 1) as i32;
        Some(if value & 1 == 1 { -magnitude } else { magnitude })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn lnotab_increments_are_signed() {
        let table = [6, 1, 4, 2, 2, 0xff];
        let line = |offset| position(LineTable::Lnotab, &table, 10, Some(offset)).line;
        assert_eq!([line(0), line(5), line(6), line(10), line(12)], [10, 10, 11, 13, 12].map(Some));
    }

    #[test]
    fn deltas_can_say_no_line() {
        let table = [4, 1, 2, 0x80, 0, 100, 4, 1];
        let line = |offset| position(LineTable::Deltas, &table, 10, Some(offset)).line;
        assert_eq!([line(0), line(4), line(6), line(20)], [Some(11), None, Some(112), None]);
    }

    #[test]
    fn locations_have_columns_in_all_forms() {
        // Short form: code 1, two units; one-line form: code 11, one unit; long form; no location.
        let table = [0x80 | 1 << 3 | 1, 0x23, 0x80 | 11 << 3, 4, 9, 0x80 | 14 << 3, 2, 3, 5, 8, 0x80 | 15 << 3];
        let at = |unit: i64| position(LineTable::Locations, &table, 10, Some(unit * 2));
        let full = |line, end_line, column, end_column| Position {
            line: Some(line),
            end_line: Some(end_line),
            column: Some(column),
            end_column: Some(end_column),
        };
        assert_eq!(at(1), full(10, 10, 10, 13));
        assert_eq!(at(2), full(11, 11, 4, 9));
        assert_eq!(at(3), full(12, 15, 4, 7));
        assert_eq!(at(4), Position::default());
        assert_eq!(at(5), Position::default());
        assert_eq!(position(LineTable::Locations, &table, 10, None), Position::line_only(10));
    }

    proptest! {
        #[test]
        fn no_table_makes_it_fail(table: Vec<u8>, first: i32, offset: Option<i64>) {
            for format in [LineTable::Lnotab, LineTable::Deltas, LineTable::Locations] {
                position(format, &table, first, offset);
            }
        }
    }
}
