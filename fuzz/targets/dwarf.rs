//! Offsets out of debug sections, with and without a supplementary file.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pyattach::elf::dwarf::{Sections, member_offsets};

const NAMES: &[&str] =
    &["PyThreadState.next", "sizeof PyThreadState", "struct gil.locked", "_ts.ceval.gil|_ts.gil", "a.b.c"];

fuzz_target!(|parts: (&[u8], &[u8], &[u8], &[u8], &[u8])| {
    let (info, abbrev, types, text, rest) = parts;
    let strings = [&b"PyThreadState\0_ts\0gil\0a\0"[..], text].concat();
    let sections = Sections { info, types, abbrev, str: &strings, line_str: &strings, str_offsets: rest };
    member_offsets(sections, None, NAMES);
    let swapped = Sections { info: types, types: info, ..sections };
    member_offsets(sections, Some(swapped), NAMES);
});
