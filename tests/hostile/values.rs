//! Values: nested ones are read as Python would write them, damaged ones end within their limits.

use std::time::{Duration, Instant};

use proptest::prelude::*;
use pyattach::base::Addr;
use pyattach::cpython::layout::{TABLES, Table};
use pyattach::objects::{Objects, Repr, ValueLimits};
use pyattach::target::Cache;

use crate::damage::WILD;
use crate::python::Python;

/// Far more than any of these values takes.
const READS: usize = 200_000;
pub(crate) const LIMITS: ValueLimits = ValueLimits { depth: 8, items: 40, chars: 4000, show_secrets: false };

/// A value.
#[derive(Clone, Debug)]
enum Made {
    None,
    Bool(bool),
    Int(u64),
    Str(String),
    Bytes(Vec<u8>),
    List(Vec<Made>),
    Tuple(Vec<Made>),
    Dict(Vec<(u64, Made)>),
}

fn made() -> impl Strategy<Value = Made> {
    let leaf = prop_oneof![
        Just(Made::None),
        any::<bool>().prop_map(Made::Bool),
        any::<u64>().prop_map(Made::Int),
        // Neither quotes nor escapes, which are tested by themselves, nor anything that looks like a secret.
        "[ -&(-9<-\\[é名😀]{0,40}".prop_map(Made::Str),
        prop::collection::vec(b' '..b'&', 0..20).prop_map(Made::Bytes),
    ];
    leaf.prop_recursive(4, 60, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Made::List),
            prop::collection::vec(inner.clone(), 0..6).prop_map(Made::Tuple),
            prop::collection::vec((any::<u64>(), inner), 0..6).prop_map(Made::Dict),
        ]
    })
}

/// What Python writes.
fn text(value: &Made) -> String {
    let join = |values: &[Made]| values.iter().map(text).collect::<Vec<_>>().join(", ");
    match value {
        Made::None => "None".to_owned(),
        Made::Bool(true) => "True".to_owned(),
        Made::Bool(false) => "False".to_owned(),
        Made::Int(value) => value.to_string(),
        Made::Str(text) if text.contains('\'') && !text.contains('"') => format!("\"{text}\""),
        Made::Str(text) => format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'")),
        Made::Bytes(bytes) => format!("b'{}'", String::from_utf8_lossy(bytes)),
        Made::List(values) => format!("[{}]", join(values)),
        Made::Tuple(values) if values.len() == 1 => format!("({},)", join(values)),
        Made::Tuple(values) => format!("({})", join(values)),
        Made::Dict(entries) => {
            let entries: Vec<String> = entries.iter().map(|(key, value)| format!("{key}: {}", text(value))).collect();
            format!("{{{}}}", entries.join(", "))
        }
    }
}

/// Puts it into the made memory.
fn put(python: &mut Python, value: &Made) -> u64 {
    match value {
        Made::None => python.w.object("NoneType", 32),
        Made::Bool(value) => python.w.int("bool", u64::from(*value)),
        Made::Int(value) => python.w.int("int", *value),
        Made::Str(text) => python.w.str(text),
        Made::Bytes(bytes) => python.w.bytes(bytes),
        Made::List(values) => {
            let values: Vec<u64> = values.iter().map(|value| put(python, value)).collect();
            let items = python.w.alloc(values.len() * 8 + 8);
            let list = python.w.object("list", 64);
            python.w.set64(list, "PyVarObject.ob_size", values.len() as u64);
            python.w.set64(list, "PyListObject.ob_item", items);
            fill(python, items, &values);
            list
        }
        Made::Tuple(values) => {
            let values: Vec<u64> = values.iter().map(|value| put(python, value)).collect();
            let tuple = python.w.object("tuple", 64 + values.len() * 8);
            python.w.set64(tuple, "PyVarObject.ob_size", values.len() as u64);
            let items = python.w.at(tuple, "PyTupleObject.ob_item");
            fill(python, items, &values);
            tuple
        }
        Made::Dict(entries) => {
            let entries: Vec<(u64, u64)> =
                entries.iter().map(|(key, value)| (python.w.int("int", *key), put(python, value))).collect();
            let dict = python.w.dict(&entries, false);
            python.w.set64(dict, "PyDictObject.ma_used", entries.len() as u64);
            dict
        }
    }
}

fn fill(python: &mut Python, at: u64, values: &[u64]) {
    values.iter().enumerate().for_each(|(i, value)| python.w.put64(at + 8 * i as u64, *value));
}

/// A made process with the value in it, and where that is.
fn with(table: &'static Table, value: &Made) -> (Python, u64) {
    let mut python = Python::new(table);
    let object = put(&mut python, value);
    python.w.make_types();
    python.w.ram.set_limit(READS);
    (python, object)
}

pub(crate) fn read(python: &Python, object: u64) -> String {
    let cache = Cache::new(&python.w.ram);
    let objects = Objects::new(&cache, &python.runtime.layout, python.runtime.quirks);
    let repr = Repr::new(&objects, LIMITS, Instant::now() + Duration::from_secs(60));
    let values = cache.batched(&[object], |object| repr.value(Addr(*object)));
    values.into_iter().next().unwrap().expect("what goes wrong is said in the text").text
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, max_shrink_iters: 100, ..ProptestConfig::with_cases(200) })]

    #[test]
    fn any_value(table in any::<prop::sample::Index>(), value in made()) {
        let (python, object) = with(TABLES[table.index(TABLES.len())], &value);
        let expected = text(&value);
        if expected.len() < LIMITS.chars {
            prop_assert_eq!(read(&python, object), expected);
        }
    }

    #[test]
    fn any_damaged_value(
        table in any::<prop::sample::Index>(),
        value in made(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u64>(), any::<prop::sample::Index>()), 1..12),
    ) {
        let (mut python, object) = with(TABLES[table.index(TABLES.len())], &value);
        let (start, len) = python.w.used();
        let words: Vec<u64> = (start..start + len as u64).step_by(8).filter(|at| python.w.get64(*at) != 0).collect();
        for (at, word, to) in &damage {
            // Numbers of every size, wild pointers, pointers to something else that is there.
            let new = match word % 4 {
                0 => *word,
                1 => word >> (word % 64),
                2 => WILD[(word / 4) as usize % WILD.len()],
                _ => words[to.index(words.len())] & !7,
            };
            python.w.put64(words[at.index(words.len())], new);
        }
        let seen = read(&python, object);
        prop_assert!(!seen.is_empty() && seen.len() < LIMITS.chars * 12, "{} bytes", seen.len());
        prop_assert!(python.w.ram.bytes_read() < 64 << 20);
    }
}

#[test]
fn a_value_within_itself_is_cut() {
    for table in TABLES {
        let (mut python, list) = with(table, &Made::List(vec![Made::Int(1), Made::None]));
        let items = python.w.get64(python.w.at(list, "PyListObject.ob_item"));
        python.w.put64(items + 8, list);
        assert_eq!(read(&python, list), "[1, [...]]");
    }
}

#[test]
fn a_size_that_cannot_be_is_said() {
    for table in TABLES {
        for size in [u64::MAX, 1 << 40, i64::MAX as u64] {
            for value in [Made::List(vec![]), Made::Tuple(vec![]), Made::Bytes(vec![]), Made::Int(7)] {
                let (mut python, object) = with(table, &value);
                python.w.set64(object, "PyLongObject.long_value.lv_tag|PyVarObject.ob_size", size);
                python.w.set64(object, "PyVarObject.ob_size", size);
                let seen = read(&python, object);
                assert!(seen.len() < LIMITS.chars * 12, "{seen}");
            }
        }
    }
}
