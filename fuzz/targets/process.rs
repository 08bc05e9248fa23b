//! A whole made process, with words of its memory replaced: lists of interpreters and threads, frames, code, names.
#![no_main]
#![allow(clippy::expect_used, clippy::indexing_slicing, reason = "shared with the tests")]

#[path = "../../tests/hostile/python.rs"]
#[allow(dead_code)]
mod python;
#[path = "../../tests/hostile/ram.rs"]
#[allow(dead_code)]
mod ram;
#[path = "../../tests/hostile/stack.rs"]
mod stack;
#[path = "../../tests/hostile/tables.rs"]
mod tables;
#[path = "../../tests/hostile/writer.rs"]
#[allow(dead_code)]
mod writer;

use std::cell::RefCell;
use std::collections::HashMap;

use libfuzzer_sys::fuzz_target;
use pyattach::cpython::layout::TABLES;
use pyattach::interp::{collect, position};
use pyattach::target::Cache;
use python::Python;

/// A made process, and where in it words are that are not zero.
type Made = (Python, Vec<u64>);

thread_local! {
    static MADE: RefCell<HashMap<usize, Made>> = RefCell::default();
}

fn made(table: usize) -> Made {
    let make = || {
        let python = Python::new(TABLES[table]);
        let (start, len) = python.w.used();
        let words = (start..start + len as u64).step_by(8).filter(|at| python.w.get64(*at) != 0).collect();
        (python, words)
    };
    MADE.with_borrow_mut(|all| all.entry(table).or_insert_with(make).clone())
}

fuzz_target!(|input: (u8, Vec<(u16, u64)>, Vec<(u16, u16)>)| {
    let (table, values, pointers) = input;
    let (mut python, words) = made(usize::from(table) % TABLES.len());
    let word = |i: u16| words[usize::from(i) % words.len()];
    for (at, value) in values {
        python.w.put64(word(at), value);
    }
    for (at, to) in pointers {
        python.w.put64(word(at), word(to) & !7);
    }
    let Ok(world) = collect(&Cache::new(&python.w.ram), &python.runtime) else { return };
    for frame in world.threads().flat_map(|thread| &thread.frames) {
        if let Some(Ok(code)) = world.codes.get(&frame.code) {
            position(python.runtime.quirks.line_table, &code.line_table, code.first_line, frame.offset);
        }
    }
});
