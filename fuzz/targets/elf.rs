//! ELF images, as files and as mapped, with the notes and links in their sections.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pyattach::base::Addr;
use pyattach::elf::{Image, ReadAt, debuglink, dwarf};

/// The same bytes as memory, whose loader relocated the addresses in the dynamic section.
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

fuzz_target!(|bytes: &[u8]| {
    let mapped = Mapped(bytes);
    for image in [Image::parse(&mapped), Image::parse_mapped(&mapped)].into_iter().flatten() {
        image.bias(Addr(0x5555_0000_0000));
        image.dynamic_symbols(["_PyRuntime", "Py_Version"]);
        image.static_symbol("_PyRuntime");
        image.writable().count();
        debuglink::build_id(&image);
        for section in image.sections() {
            if let Some(bytes) = image.section_bytes(section) {
                dwarf::decompress(&bytes, 1 << 20);
            }
        }
    }
    debuglink::DebugLink::parse(bytes);
    debuglink::AltLink::parse(bytes);
    debuglink::build_id_in_notes(bytes);
    dwarf::decompress(bytes, 1 << 20);
});
