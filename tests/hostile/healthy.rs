//! The made process as it is: every build's tables, read exactly. Without this the damaged ones would prove nothing.

use pyattach::base::Addr;
use pyattach::cpython::layout::TABLES;
use pyattach::interp::{RawThread, World, collect, position};
use pyattach::target::{Cache, ReadError};

use crate::bounded;
use crate::python::{MadeThread, Python, Seen};

/// Reads a made process.
pub(crate) fn read(python: &Python) -> Result<World, ReadError> {
    collect(&Cache::new(&python.w.ram), &python.runtime)
}

/// What was read of a thread's frames, innermost first.
pub(crate) fn seen(python: &Python, world: &World, thread: &RawThread) -> Vec<Seen> {
    let see = |frame: &pyattach::interp::RawFrame| {
        let code = world.codes[&frame.code].as_ref().unwrap();
        let at = position(python.runtime.quirks.line_table, &code.line_table, code.first_line, frame.offset);
        Seen {
            name: code.name.to_string(),
            qualname: code.qualname.as_deref().map(str::to_owned),
            file: code.filename.to_string(),
            module: world.modules.get(&frame.globals).map(|name| name.to_string()),
            line: at.line,
            columns: at.column.zip(at.end_column),
        }
    };
    thread.frames.iter().map(see).collect()
}

/// The frames that the thread was made with.
pub(crate) fn expected(thread: &MadeThread) -> Vec<Seen> {
    thread.frames.iter().map(|frame| frame.seen.clone()).collect()
}

/// The thread as read.
pub(crate) fn found<'w>(world: &'w World, made: &MadeThread) -> &'w RawThread {
    world.threads().find(|thread| thread.address == Addr(made.address)).expect("the thread is listed")
}

/// Fails unless these threads were read exactly.
pub(crate) fn assert_whole<'t>(python: &Python, world: &World, threads: impl IntoIterator<Item = &'t MadeThread>) {
    for made in threads {
        let thread = found(world, made);
        let at = format!("{} thread {:#x}", python.runtime.layout_source, made.ident);
        assert_eq!(thread.error, None, "{at}");
        assert_eq!(seen(python, world, thread), expected(made), "{at}");
        assert_eq!(thread.ident, made.ident, "{at}");
    }
}

/// Fails unless the names of `threading` were read exactly.
pub(crate) fn assert_named(world: &World, threads: &[MadeThread]) {
    for made in threads {
        assert_eq!(found(world, made).name.name.as_deref(), made.name);
    }
}

#[test]
fn every_build_is_read_exactly() {
    bounded(|| {
        for table in TABLES {
            let python = Python::new(table);
            let world = read(&python).unwrap();
            assert_eq!(world.problems, []);
            let ids: Vec<i64> = world.interpreters.iter().map(|interpreter| interpreter.id).collect();
            assert_eq!(ids, [0, 1]);
            let order: Vec<u64> = world.threads().map(|thread| thread.ident).collect();
            assert_eq!(order, python.threads.iter().map(|thread| thread.ident).collect::<Vec<_>>());
            assert_eq!(world.main_thread, Some(python.threads[0].ident));
            assert_whole(&python, &world, &python.threads);
            assert_named(&world, &python.threads);
            let daemons: Vec<Option<bool>> = world.threads().map(|thread| thread.name.daemon).collect();
            assert_eq!(daemons, [Some(false), Some(true), None, None]);
            assert!(python.w.ram.reads() < 1000, "{} reads", python.w.ram.reads());
            assert!(python.w.ram.bytes_read() < 1 << 18, "{} bytes", python.w.ram.bytes_read());
        }
    });
}
