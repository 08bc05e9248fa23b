//! Many things wrong at once, anywhere: only that it ends, without a panic and within bounds, can be asked for.

use proptest::prelude::*;
use pyattach::cpython::LineTable;
use pyattach::cpython::layout::TABLES;
use pyattach::interp::position;
use pyattach::target::ReadError;

use crate::healthy::read;
use crate::python::Python;

/// One piece of damage.
#[derive(Clone, Debug)]
pub(crate) enum Damage {
    Byte(u8),
    Word(u64),
    /// A pointer to somewhere in the made memory.
    Pointer(prop::sample::Index),
    /// Sixteen words over one another: what objects have in common.
    Copy(prop::sample::Index),
}

pub(crate) fn damage() -> impl Strategy<Value = (prop::sample::Index, Damage)> {
    let interesting = prop_oneof![Just(0), Just(1), Just(u64::MAX), Just(1 << 63), Just(i64::MAX as u64), 0u64..4096];
    let kind = prop_oneof![
        any::<u8>().prop_map(Damage::Byte),
        interesting.prop_map(Damage::Word),
        any::<u64>().prop_map(Damage::Word),
        any::<prop::sample::Index>().prop_map(Damage::Pointer),
        any::<prop::sample::Index>().prop_map(Damage::Copy),
    ];
    (any::<prop::sample::Index>(), kind)
}

/// Words of the made memory that are not zero: those that are looked at, mostly.
pub(crate) fn words(python: &Python) -> Vec<u64> {
    let (start, len) = python.w.used();
    (start..start + len as u64).step_by(8).filter(|at| python.w.get64(*at) != 0).collect()
}

pub(crate) fn apply(python: &mut Python, words: &[u64], at: prop::sample::Index, damage: &Damage) {
    let at = words[at.index(words.len())];
    match damage {
        Damage::Byte(byte) => python.w.ram.poke(at + u64::from(byte & 7), &[*byte]),
        Damage::Word(word) => python.w.put64(at, *word),
        Damage::Pointer(to) => python.w.put64(at, words[to.index(words.len())] & !7),
        Damage::Copy(from) => {
            let from = words[from.index(words.len())];
            let bytes = python.w.ram.peek(from, 128).map(<[u8]>::to_vec).unwrap_or_default();
            python.w.ram.poke(at, &bytes);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(400) })]

    #[test]
    fn any_damage_anywhere(
        table in any::<prop::sample::Index>(),
        all in prop::collection::vec(damage(), 1..24),
    ) {
        let mut python = Python::new(TABLES[table.index(TABLES.len())]);
        let words = words(&python);
        for (at, one) in &all {
            apply(&mut python, &words, *at, one);
        }
        if let Ok(world) = read(&python) {
            for thread in world.threads() {
                prop_assert_ne!(thread.error, Some(ReadError::Deferred));
                for frame in &thread.frames {
                    let code = world.codes[&frame.code].as_ref().unwrap();
                    position(python.runtime.quirks.line_table, &code.line_table, code.first_line, frame.offset);
                }
            }
        }
        prop_assert!(python.w.ram.bytes_read() < 64 << 20);
    }

    #[test]
    fn any_line_table(
        // Entries of every form, with numbers of every length.
        table in prop::collection::vec(prop_oneof![0x80u8..=0xff, any::<u8>(), Just(0x7f), Just(0x42)], 0..64),
        first: i32,
        offset in prop_oneof![0i64..256, any::<i64>()],
    ) {
        for format in [LineTable::Lnotab, LineTable::Deltas, LineTable::Locations] {
            position(format, &table, first, Some(offset));
        }
    }
}

#[test]
fn the_largest_numbers_of_a_location() {
    // The long form, one unit; every number has its top bits set.
    let largest = [0x7f, 0x7f, 0x7f, 0x7f, 0x7f, 0x3f];
    let lowest = [0x40, 0x40, 0x40, 0x40, 0x40, 0x02];
    for number in [largest, lowest] {
        let table = [&[0xf0][..], &number, &number, &number, &number].concat();
        for first in [i32::MIN, 0, i32::MAX] {
            assert!(position(LineTable::Locations, &table, first, Some(0)).line.is_some());
        }
    }
}
