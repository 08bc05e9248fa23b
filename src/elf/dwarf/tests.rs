//! Debug sections made by hand: what compilers and `dwz` make, and what nobody should.

use super::{Sections, decompress, member_offsets};

/// Abbreviation code, tag, has children, attributes and forms.
const ABBREVIATIONS: &[(u8, u8, u8, &[u8])] = &[
    (1, 0x11, 1, &[]),                                    // compile unit
    (2, 0x13, 1, &[0x03, 0x0e, 0x0b, 0x0b]),              // structure: name strp, size data1
    (3, 0x0d, 0, &[0x03, 0x0e, 0x49, 0x13, 0x38, 0x0b]),  // member: name strp, type ref4, location data1
    (4, 0x16, 0, &[0x03, 0x0e, 0x49, 0x13]),              // typedef: name strp, type ref4
    (5, 0x16, 0, &[0x03, 0x0e, 0x49, 0xa0, 0x3e]),        // typedef: name strp, type GNU_ref_alt
    (6, 0x13, 0, &[0x03, 0x0e, 0x3c, 0x19]),              // declared structure: name strp
    (7, 0x0d, 0, &[0x49, 0x13, 0x38, 0x0b]),              // anonymous member: type ref4, location data1
    (8, 0x17, 1, &[0x0b, 0x0b]),                          // anonymous union: size data1
    (9, 0x24, 0, &[]),                                    // base type
    (10, 0x0d, 0, &[0x03, 0x0e, 0x49, 0x13, 0x6b, 0x0b]), // bit field: name strp, type ref4, bit offset data1
    (11, 0x16, 0, &[0x03, 0xa1, 0x3e, 0x49, 0x13]),       // typedef: name GNU_strp_alt, type ref4
    (12, 0x11, 1, &[0x72, 0x17]),                         // compile unit: str_offsets_base
    (13, 0x13, 1, &[0x03, 0x25, 0x0b, 0x0b]),             // structure: name strx1, size data1
];

fn abbreviations() -> Vec<u8> {
    let mut bytes = Vec::new();
    for (code, tag, children, attributes) in ABBREVIATIONS {
        bytes.extend([*code, *tag, *children]);
        bytes.extend(*attributes);
        bytes.extend([0, 0]);
    }
    bytes.push(0);
    bytes
}

/// One file: its `.debug_info` and `.debug_str`.
#[derive(Default)]
struct Builder {
    info: Vec<u8>,
    unit: usize,
    strings: Vec<u8>,
}

impl Builder {
    fn begin_unit(&mut self, version: u8) {
        self.unit = self.info.len();
        self.info.extend([0; 4]);
        self.info.extend(if version == 5 { &[5, 0, 1, 8, 0, 0, 0, 0][..] } else { &[4, 0, 0, 0, 0, 0, 8] });
    }

    fn end_unit(&mut self) {
        self.info.push(0);
        let len = (self.info.len() - self.unit - 4) as u32;
        self.info[self.unit..self.unit + 4].copy_from_slice(&len.to_le_bytes());
    }

    /// Starts an entry; its offset in the unit is what references take.
    fn entry(&mut self, code: u8) -> u32 {
        self.info.push(code);
        (self.info.len() - 1 - self.unit) as u32
    }

    fn string(&mut self, text: &str) -> u32 {
        self.strings.extend(text.as_bytes());
        self.strings.push(0);
        (self.strings.len() - text.len() - 1) as u32
    }

    fn named(&mut self, code: u8, name: &str) -> u32 {
        let entry = self.entry(code);
        let name = self.string(name);
        self.word(name);
        entry
    }

    fn word(&mut self, value: u32) {
        self.info.extend(value.to_le_bytes());
    }

    fn member(&mut self, name: &str, of: u32, at: u8) {
        self.named(3, name);
        self.word(of);
        self.info.push(at);
    }

    fn typedef(&mut self, name: &str, of: u32) -> u32 {
        let entry = self.named(4, name);
        self.word(of);
        entry
    }
}

fn sections<'a>(file: &'a Builder, abbrev: &'a [u8]) -> Sections<'a> {
    Sections { info: &file.info, abbrev, str: &file.strings, ..Sections::default() }
}

fn offsets(main: &Builder, supplementary: Option<&Builder>, names: &[&str]) -> Vec<(String, u32)> {
    let abbrev = abbreviations();
    let supplementary = supplementary.map(|file| sections(file, &abbrev));
    let offsets = member_offsets(sections(main, &abbrev), supplementary, names);
    offsets.iter().map(|(name, offset)| (name.to_owned(), offset)).collect()
}

fn found(pairs: &[(&str, u32)]) -> Vec<(String, u32)> {
    pairs.iter().map(|(name, offset)| ((*name).to_owned(), *offset)).collect()
}

/// struct _ts { long id; union { struct gil gil; long word; }; int bits: 3; }; typedef struct _ts PyThreadState;
fn thread_state() -> Builder {
    let mut file = Builder::default();
    file.begin_unit(4);
    file.entry(1);
    let long = file.entry(9);
    let gil = file.named(2, "gil");
    file.info.push(24);
    file.member("locked", long, 16);
    file.info.push(0);
    let union = file.entry(8);
    file.info.push(24);
    file.member("gil", gil, 0);
    file.member("word", long, 0);
    file.info.push(0);
    let structure = file.named(2, "_ts");
    file.info.push(40);
    file.member("id", long, 0);
    file.entry(7);
    file.word(union);
    file.info.push(8);
    file.named(10, "bits");
    file.word(long);
    file.info.push(1);
    file.info.push(0);
    file.typedef("PyThreadState", structure);
    file.end_unit();
    file
}

#[test]
fn members_are_found_by_typedef_and_tag_and_through_anonymous_unions() {
    let names = [
        "PyThreadState.id",
        "PyThreadState.gil.locked",
        "struct _ts.new_word|struct _ts.word",
        "PyThreadState.bits",
        "PyThreadState.id.locked",
        "sizeof PyThreadState",
        "sizeof struct gil",
        "Nothing.id",
    ];
    let expected = [
        ("PyThreadState.gil.locked", 24),
        ("PyThreadState.id", 0),
        ("sizeof PyThreadState", 40),
        ("sizeof struct gil", 24),
        ("struct _ts.word", 8),
    ];
    assert_eq!(offsets(&thread_state(), None, &names), found(&expected));
}

#[test]
fn a_declaration_is_completed_by_another_unit() {
    for definition_first in [false, true] {
        let mut file = Builder::default();
        for definition in [definition_first, !definition_first] {
            file.begin_unit(4);
            file.entry(1);
            if definition {
                let long = file.entry(9);
                file.named(2, "_is");
                file.info.push(64);
                file.member("ceval", long, 8);
                file.info.push(0);
            } else {
                let declared = file.named(6, "_is");
                file.typedef("PyInterpreterState", declared);
            }
            file.end_unit();
        }
        assert_eq!(offsets(&file, None, &["PyInterpreterState.ceval"]), found(&[("PyInterpreterState.ceval", 8)]));
    }
}

#[test]
fn entries_of_a_supplementary_file_are_followed() {
    let mut shared = Builder::default();
    shared.begin_unit(4);
    shared.entry(1);
    let long = shared.entry(9);
    let structure = shared.named(2, "_object");
    shared.info.push(16);
    shared.member("ob_type", long, 8);
    shared.info.push(0);
    shared.end_unit();
    let shared_name = shared.string("PyCodeObject");
    let mut main = Builder::default();
    main.begin_unit(4);
    main.entry(1);
    main.named(5, "PyObject");
    main.word(structure);
    let long = main.entry(9);
    let code = main.named(2, "code");
    main.info.push(8);
    main.member("co_flags", long, 4);
    main.info.push(0);
    main.entry(11);
    main.word(shared_name);
    main.word(code);
    main.end_unit();
    let names = ["PyObject.ob_type", "PyCodeObject.co_flags"];
    let expected = found(&[("PyCodeObject.co_flags", 4), ("PyObject.ob_type", 8)]);
    assert_eq!(offsets(&main, Some(&shared), &names), expected);
    assert_eq!(offsets(&main, None, &names), []);
}

#[test]
fn names_by_index_are_read() {
    let mut file = Builder::default();
    let name = file.string("_stack_chunk");
    let str_offsets = [&8u32.to_le_bytes()[..], &[5, 0, 0, 0], &[0; 4], &name.to_le_bytes()].concat();
    file.begin_unit(5);
    file.entry(12);
    file.word(8);
    file.entry(13);
    file.info.extend([1, 24, 0]);
    file.end_unit();
    let abbrev = abbreviations();
    let sections = Sections { str_offsets: &str_offsets, ..sections(&file, &abbrev) };
    assert_eq!(
        member_offsets(sections, None, &["sizeof struct _stack_chunk"]).get("sizeof struct _stack_chunk"),
        Some(24)
    );
}

#[test]
fn cycles_of_types_end() {
    let mut file = Builder::default();
    file.begin_unit(4);
    file.entry(1);
    let next = (file.info.len() - file.unit) as u32;
    file.typedef("Endless", next);
    let structure = file.named(2, "russian_doll");
    file.info.push(8);
    for _ in 0..8 {
        file.entry(7);
        file.word(structure);
        file.info.push(0);
    }
    file.info.push(0);
    file.end_unit();
    assert_eq!(offsets(&file, None, &["Endless.x", "sizeof Endless", "struct russian_doll.x"]), []);
}

#[test]
fn damaged_sections_give_less_but_no_panic() {
    let file = thread_state();
    let names = ["PyThreadState.gil.locked", "sizeof struct gil"];
    let abbrev = abbreviations();
    for len in 0..file.info.len() {
        let sections = Sections { info: &file.info[..len], ..sections(&file, &abbrev) };
        member_offsets(sections, Some(sections), &names);
    }
    for at in 0..file.info.len() + abbrev.len() {
        for value in [0, 1, 0x7f, 0x80, 0xff] {
            let (mut info, mut abbrev) = (file.info.clone(), abbrev.clone());
            match at.checked_sub(info.len()) {
                None => info[at] = value,
                Some(at) => abbrev[at] = value,
            }
            let sections = Sections { info: &info, abbrev: &abbrev, ..sections(&file, &[]) };
            member_offsets(sections, Some(sections), &names);
        }
    }
}

#[test]
fn compressed_sections_are_bounded() {
    let header = |kind: u32, size: u64| [&u64::from(kind).to_le_bytes()[..], &size.to_le_bytes(), &[0; 8]].concat();
    let zlib = miniz_oxide::deflate::compress_to_vec_zlib(b"abc", 1);
    let zstd = b"\x28\xb5\x2f\xfd\x20\x03\x19\0\0abc";
    for (kind, data) in [(1, &zlib[..]), (2, &zstd[..])] {
        let section = |size| [&header(kind, size)[..], data].concat();
        assert_eq!(decompress(&section(3), 10).as_deref(), Some(&b"abc"[..]));
        assert_eq!(decompress(&section(2), 10), None);
        assert_eq!(decompress(&section(4), 10), None);
        assert_eq!(decompress(&section(3), 2), None);
        assert_eq!(decompress(&section(3)[..30], 10), None);
    }
    assert_eq!(decompress(&header(3, 0), 10), None);
}
