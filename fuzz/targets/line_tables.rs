//! Line tables in the three formats.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pyattach::cpython::LineTable;
use pyattach::interp::position;

fuzz_target!(|input: (i32, i64, &[u8])| {
    let (first_line, offset, table) = input;
    for format in [LineTable::Lnotab, LineTable::Deltas, LineTable::Locations] {
        position(format, table, first_line, Some(offset));
        position(format, table, first_line, Some(offset & 0x3ff));
    }
});
