//! `_Py_DebugOffsets`, and the layout that is made of what it says.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pyattach::cpython::debug_offsets::{self, COOKIE};
use pyattach::cpython::layout::{Layout, TABLES};

fuzz_target!(|bytes: &[u8]| {
    let _ = debug_offsets::parse(bytes);
    let Ok(described) = debug_offsets::parse(&[COOKIE, bytes].concat()) else { return };
    let mut offsets = TABLES.last().map(|table| table.offsets()).unwrap_or_default();
    offsets.overlay(described.offsets);
    if let Ok(layout) = Layout::from_source(&offsets) {
        assert!(layout.interp.end() < 1 << 26 && layout.thread.end() < 1 << 26 && layout.code.end() < 1 << 26);
    }
});
