//! One thing wrong at a time: it costs what it concerns, and nothing else.

use pyattach::cpython::layout::{TABLES, Table};
use pyattach::interp::World;
use pyattach::target::ReadError;

use crate::bounded;
use crate::healthy::{assert_named, assert_whole, expected, found, read, seen};
use crate::python::{MadeFrame, MadeThread, Python};

const EXECUTABLE: &str = "_PyInterpreterFrame.f_executable|_PyInterpreterFrame.f_code";
const LINE_TABLE: &str = "PyCodeObject.co_linetable|PyCodeObject.co_lnotab";
const PREVIOUS: &str = "_PyInterpreterFrame.previous|PyFrameObject.f_back";
/// Addresses that no object has: NULL's page, unmapped, not aligned, not in user space, about to wrap.
pub(crate) const WILD: [u64; 6] = [8, 0x7f55_0000_0000, 0x7f10_0000_0101, 1 << 63, u64::MAX - 7, u64::MAX];

/// Damages every build's process and looks at what is read of it.
pub(crate) fn each(damage: impl Fn(&mut Python) + Send + 'static, check: impl Fn(&Python, &World) + Send + 'static) {
    bounded(move || {
        for table in newest_of_each() {
            let mut python = Python::new(table);
            damage(&mut python);
            let world = read(&python).unwrap();
            check(&python, &world);
        }
    });
}

/// One table of each minor version and build: what moved within those does not matter here.
fn newest_of_each() -> impl Iterator<Item = &'static Table> {
    let kind = |table: &Table| (table.version.1, table.build);
    TABLES.chunk_by(move |a, b| a.version.1 == b.version.1).flat_map(move |minor| {
        let is_newest = move |(i, table): &(usize, &&Table)| !minor[i + 1..].iter().any(|t| kind(t) == kind(table));
        minor.iter().enumerate().filter(is_newest).map(|(_, table)| *table)
    })
}

pub(crate) fn worker(python: &Python) -> MadeThread {
    python.threads[Python::WORKER].clone()
}

pub(crate) fn innermost(python: &Python) -> MadeFrame {
    worker(python).frames[0].clone()
}

pub(crate) fn outermost(python: &Python) -> MadeFrame {
    worker(python).frames[1].clone()
}

/// All threads but the worker are whole.
pub(crate) fn others_are_whole(python: &Python, world: &World) {
    let others = python.threads.iter().enumerate().filter(|(i, _)| *i != Python::WORKER);
    assert_whole(python, world, others.map(|(_, thread)| thread));
}

/// Only the worker is damaged: it says so, and shows no frame that it does not have.
pub(crate) fn only_the_worker_suffers(python: &Python, world: &World) {
    others_are_whole(python, world);
    assert_named(world, &python.threads);
    let thread = found(world, &worker(python));
    assert!(thread.error.is_some_and(|error| error != ReadError::Deferred), "{}", python.runtime.layout_source);
    let frames = seen(python, world, thread);
    assert!(expected(&worker(python)).starts_with(&frames), "{frames:?}");
}

#[test]
fn interpreters_in_a_circle() {
    each(
        |python| {
            let oldest = python.interpreters[0];
            python.w.set64(oldest, "PyInterpreterState.next", python.interpreters[1]);
        },
        |python, world| {
            assert_eq!(world.interpreters.len(), 2);
            assert_eq!(world.problems.len(), 1);
            assert_whole(python, world, &python.threads);
        },
    );
}

#[test]
fn threads_in_a_circle() {
    each(
        |python| {
            let oldest = python.threads[0].address;
            python.w.set64(oldest, "PyThreadState.next", python.threads[1].address);
        },
        |python, world| {
            assert_eq!(world.problems.len(), 1);
            assert_whole(python, world, &python.threads);
        },
    );
}

#[test]
fn a_list_of_threads_that_breaks_off() {
    for wild in WILD {
        each(
            move |python| {
                let thread = worker(python).address;
                python.w.set64(thread, "PyThreadState.next", wild);
            },
            |python, world| {
                // The list begins with the newest.
                assert_eq!(world.problems.len(), 1);
                assert_eq!(world.threads().count(), python.threads.len() - 1);
                assert_whole(python, world, &python.threads[Python::WORKER..]);
            },
        );
    }
}

#[test]
fn frames_in_a_circle() {
    each(
        |python| {
            let (inner, outer) = (innermost(python), outermost(python));
            assert!(python.w.set64(outer.address, PREVIOUS, inner.address));
        },
        |python, world| {
            others_are_whole(python, world);
            assert!(found(world, &worker(python)).error.is_some());
        },
    );
}

#[test]
fn wild_pointers_to_frames() {
    for wild in WILD {
        each(
            move |python| {
                let outer = outermost(python);
                python.w.set64(outer.address, PREVIOUS, wild);
            },
            only_the_worker_suffers,
        );
    }
}

#[test]
fn wild_pointers_to_code() {
    for wild in WILD {
        each(
            move |python| {
                let outer = outermost(python);
                python.w.set64(outer.address, EXECUTABLE, wild);
                python.w.set64(outer.address, "PyFrameObject.f_code", wild);
            },
            only_the_worker_suffers,
        );
    }
}

#[test]
fn wild_pointers_in_code() {
    for name in ["PyCodeObject.co_name", "PyCodeObject.co_filename", LINE_TABLE] {
        for wild in WILD {
            each(
                move |python| {
                    let code = outermost(python).code;
                    assert!(python.w.set64(code, name, wild));
                },
                only_the_worker_suffers,
            );
        }
    }
}

#[test]
fn code_made_of_other_objects() {
    each(
        |python| {
            let (code, other) = (outermost(python).code, outermost(python).globals);
            python.w.set64(code, "PyCodeObject.co_name", other);
        },
        only_the_worker_suffers,
    );
    each(
        |python| {
            let (frame, other) = (outermost(python).address, outermost(python).name);
            python.w.set64(frame, EXECUTABLE, other);
            python.w.set64(frame, "PyFrameObject.f_code", other);
        },
        only_the_worker_suffers,
    );
}

#[test]
fn instructions_outside_their_code() {
    for wild in WILD {
        each(
            move |python| {
                let frame = outermost(python).address;
                python.w.set64(frame, "_PyInterpreterFrame.instr_ptr|_PyInterpreterFrame.prev_instr", wild);
            },
            |python, world| match python.w.minor {
                // `f_lasti` is only looked up in the line table.
                ..=10 => assert_whole(python, world, &python.threads),
                _ => only_the_worker_suffers(python, world),
            },
        );
    }
    for lasti in [i32::MIN, -2, i32::MAX] {
        each(
            move |python| {
                let frame = outermost(python).address;
                python.w.set(frame, "PyFrameObject.f_lasti", lasti.to_le_bytes());
            },
            others_are_whole,
        );
    }
}

#[test]
fn stack_chunks_that_cannot_be() {
    for wild in [0, 1, 8, 1 << 40, 1 << 61, i64::MAX as u64, u64::MAX - 7, u64::MAX] {
        each(
            move |python| {
                for chunk in worker(python).chunks {
                    python.w.set64(chunk, "_PyStackChunk.size", wild);
                    python.w.set64(chunk, "_PyStackChunk.top", wild);
                }
            },
            |python, world| assert_whole(python, world, &python.threads),
        );
        each(
            move |python| {
                let thread = worker(python).address;
                python.w.set64(thread, "PyThreadState.datastack_top", wild);
            },
            others_are_whole,
        );
    }
    each(
        |python| {
            for chunk in worker(python).chunks {
                python.w.set64(chunk, "_PyStackChunk.previous", chunk);
            }
        },
        |python, world| assert_whole(python, world, &python.threads),
    );
}

#[test]
fn evaluation_loops_in_a_circle() {
    each(
        |python| {
            if let [cframe, _] = worker(python).cframes[..] {
                python.w.set64(cframe, "_PyCFrame.previous", cframe);
            }
        },
        others_are_whole,
    );
}
