//! Code objects, strings, line tables and dicts that cannot be what they claim.

use pyattach::base::Addr;

use crate::damage::{WILD, each, innermost, only_the_worker_suffers, others_are_whole, outermost, worker};
use crate::healthy::{assert_whole, found, seen};

#[test]
fn lengths_of_strings_that_cannot_be() {
    for length in [u64::MAX, 1 << 63, i64::MAX as u64, 1 << 40, 16 * 1024 + 1, 1 << 14] {
        each(
            move |python| {
                let name = outermost(python).name;
                python.w.set64(name, "PyASCIIObject.length", length);
                // So long a string of wide characters does not fit the made memory either.
                let shift = if python.w.free_threaded && python.w.minor >= 14 { 8 } else { 2 };
                python.w.set(name, "PyASCIIObject.state", ((4u32 | 8) << shift).to_le_bytes());
            },
            only_the_worker_suffers,
        );
    }
}

#[test]
fn lengths_of_line_tables_that_cannot_be() {
    for length in [u64::MAX, 1 << 63, i64::MAX as u64, (16 << 20) + 1, 16 << 20] {
        each(
            move |python| {
                let table = outermost(python).table;
                python.w.set64(table, "PyVarObject.ob_size", length);
            },
            only_the_worker_suffers,
        );
    }
}

#[test]
fn line_tables_cut_off() {
    for length in 0..24 {
        each(
            move |python| {
                let table = innermost(python).table;
                python.w.set64(table, "PyVarObject.ob_size", length);
            },
            |python, world| {
                others_are_whole(python, world);
                let thread = found(world, &worker(python));
                assert_eq!(thread.error, None);
                let frames = seen(python, world, thread);
                assert_eq!((frames.len(), frames[0].name.as_str()), (2, "名前"));
            },
        );
    }
}

#[test]
fn sizes_of_code_that_cannot_be() {
    for size in [0, u64::MAX, 1 << 63, i64::MAX as u64, 1 << 62] {
        each(
            move |python| {
                let code = outermost(python).code;
                python.w.set64(code, "PyVarObject.ob_size", size);
                python.w.set(code, "PyCodeObject._co_firsttraceable", i32::MIN.to_le_bytes());
            },
            others_are_whole,
        );
    }
}

#[test]
fn copies_of_bytecode_that_cannot_be() {
    for size in [0, 1, u64::MAX, i64::MAX as u64, 1 << 60, 200_000] {
        each(
            move |python| {
                let code = outermost(python).code;
                if let Some(array) = python.w.offset("PyCodeObject.co_tlbc").map(|at| python.w.get64(code + at)) {
                    python.w.put64(array, size);
                }
            },
            |python, world| match python.w.offset("PyCodeObject.co_tlbc") {
                Some(_) => only_the_worker_suffers(python, world),
                None => assert_whole(python, world, &python.threads),
            },
        );
    }
    for index in [-1, 2, i32::MIN, i32::MAX] {
        each(
            move |python| {
                let frame = outermost(python).address;
                python.w.set(frame, "_PyInterpreterFrame.tlbc_index", index.to_le_bytes());
            },
            others_are_whole,
        );
    }
}

#[test]
fn dicts_that_cannot_be() {
    type Damage = (&'static str, &'static [u64]);
    let cases: [Damage; 4] = [
        ("PyDictKeysObject.dk_nentries", &[0, u64::MAX, 1 << 63, i64::MAX as u64, 1 << 20, (1 << 20) + 1]),
        ("PyDictKeysObject.dk_log2_index_bytes", &[0x00ff, 0x0027, 0x7f28, 0xff03]),
        ("PyDictKeysObject.dk_size", &[0, 7, 1 << 39, 1 << 40, 1 << 63, u64::MAX]),
        ("PyDictKeysObject.dk_indices", &[u64::MAX]),
    ];
    for (name, values) in cases {
        for value in values {
            each(
                move |python| {
                    let active = python.active;
                    let keys = python.w.get64(python.w.at(active, "PyDictObject.ma_keys"));
                    match name {
                        // One byte is the size, the next what kind of keys these are.
                        "PyDictKeysObject.dk_log2_index_bytes" => {
                            python.w.set(keys, name, (*value as u16).to_le_bytes());
                        }
                        _ => {
                            python.w.set64(keys, name, *value);
                        }
                    }
                },
                |python, world| assert_whole(python, world, &python.threads),
            );
        }
    }
}

#[test]
fn globals_that_are_empty_or_no_dict() {
    each(
        |python| {
            let keys = python.w.get64(python.w.at(outermost(python).globals, "PyDictObject.ma_keys"));
            python.w.set64(keys, "PyDictKeysObject.dk_nentries", 0);
        },
        |python, world| {
            others_are_whole(python, world);
            let thread = found(world, &worker(python));
            assert_eq!((thread.error, thread.frames.len()), (None, 2));
            assert!(!world.modules.contains_key(&Addr(outermost(python).globals)));
        },
    );
    for wild in WILD {
        each(
            move |python| {
                let globals = outermost(python).globals;
                python.w.set64(globals, "PyDictObject.ma_keys", wild);
                python.w.set64(globals, "PyDictObject.ma_values", wild);
            },
            |python, world| {
                others_are_whole(python, world);
                assert_eq!(found(world, &worker(python)).error, None);
            },
        );
    }
}

#[test]
fn an_empty_string_at_the_end_of_what_was_read() {
    each(
        |python| {
            let code = outermost(python).code;
            let empty = python.w.str("é");
            python.w.set64(empty, "PyASCIIObject.length", 0);
            python.w.set64(code, "PyCodeObject.co_name", empty);
        },
        |python, world| {
            others_are_whole(python, world);
            assert_eq!(found(world, &worker(python)).error, None);
        },
    );
}
