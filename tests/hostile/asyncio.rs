//! Tasks, coroutines, futures and callbacks as a target may claim them: damaged, in circles, without end.

use proptest::prelude::*;
use pyattach::asyncio::{Asyncio, LinkKind, RawTask, TaskState, read_asyncio};
use pyattach::base::Addr;
use pyattach::cpython::AsyncioDebug;
use pyattach::cpython::layout::{TABLES, Table};
use pyattach::interp::collect;
use pyattach::objects::Objects;
use pyattach::target::{Cache, ReadError};
use std::time::{Duration, Instant};

use crate::bounded;
use crate::python::Python;
use crate::random::{apply, damage, words};

/// Tasks of the made process: each waits for the one before it, the first for the last.
const TASKS: usize = 5;
const NAMES: [&str; TASKS] = ["Task-1", "Task-2", "naïve", "名", "Task-5"];
/// `YIELD_FROM` up to 3.10.
const YIELD_FROM: u8 = 72;

/// A process with tasks in a circle, each a coroutine that awaits another, which awaits the next task.
struct Made {
    python: Python,
    tasks: Vec<u64>,
    /// Two for each task.
    coroutines: Vec<u64>,
    /// The registry, a set.
    table: u64,
    /// Where an awaited object is written in a coroutine.
    slots: Vec<u64>,
    debug: Option<AsyncioDebug>,
}

/// Where the C code of a version keeps the fields of a task: what it waits for, coroutine and name, with the sizes that tell, and whether its `__dict__` is before it. Written down from `Modules/_asynciomodule.c`.
struct Shape {
    size: u64,
    dict: i64,
    waiter: u64,
    coro: u64,
    name: Option<u64>,
}

fn shape(minor: u8, header: u64, free_threaded: bool) -> Shape {
    let shape = |size, dict: u64, waiter, name| Shape {
        size: header + size,
        dict: (header + dict) as i64,
        waiter: header + waiter,
        coro: header + waiter + 8,
        name,
    };
    let name = |at: u64| Some(header + at);
    match minor {
        7 => shape(120, 72, 88, None),
        8 => shape(128, 72, 88, name(104)),
        9 => shape(168, 80, 128, name(144)),
        10 => shape(176, 88, 136, name(152)),
        11 | 12 => shape(160, 88, 112, name(128)),
        13 => Shape { dict: -1, ..shape(128, 0, 96, name(112)) },
        _ => Shape { dict: -1, ..shape(if free_threaded { 160 } else { 152 }, 0, 104, name(120)) },
    }
}

impl Made {
    fn new(table: &'static Table) -> Made {
        let mut python = Python::new(table);
        python.w.ram.set_limit(100_000);
        let header = python.w.at(0, "sizeof PyObject");
        let shape = shape(python.w.minor, header, python.w.free_threaded);
        let class = python.w.type_object("_asyncio.Task");
        python.w.set64(class, "PyTypeObject.tp_basicsize", shape.size);
        python.w.set64(class, "PyTypeObject.tp_dictoffset", shape.dict as u64);
        let mut made =
            Made { python, tasks: Vec::new(), coroutines: Vec::new(), table: 0, slots: Vec::new(), debug: None };
        made.tasks = (0..TASKS).map(|_| made.python.w.object("_asyncio.Task", shape.size as usize)).collect();
        for (index, name) in NAMES.into_iter().enumerate() {
            let (task, before) = (made.tasks[index], made.tasks[(index + TASKS - 1) % TASKS]);
            let iterator = made.python.w.object("_asyncio.FutureIter", 64);
            made.python.w.put64(iterator + header, before);
            let inner = made.coroutine("inner", iterator);
            let outer = made.coroutine("outer", inner);
            made.python.w.put64(task + shape.waiter, before);
            made.python.w.put64(task + shape.coro, outer);
            if let Some(at) = shape.name {
                let name = made.python.w.str(name);
                made.python.w.put64(task + at, name);
            }
            // The wake-up of the task that waits for it.
            let waiting = made.tasks[(index + 1) % TASKS];
            let callback = made.python.w.object("TaskWakeupMethWrapper", 64);
            made.python.w.put64(callback + header, waiting);
            made.python.w.put64(task + header + 8, callback);
        }
        made.register();
        made.python.w.make_types();
        made
    }

    fn coroutine(&mut self, name: &'static str, awaits: u64) -> u64 {
        let code = self.python.code((name, 2, "app", "/srv/app.py"));
        let w = &mut self.python.w;
        let coroutine = w.object("coroutine", 512);
        self.coroutines.push(coroutine);
        if w.minor >= 11 {
            let frame = w.at(coroutine, "PyGenObject.gi_iframe");
            let state: i8 = if w.minor >= 15 { 2 } else { -1 };
            w.set(coroutine, "PyGenObject.gi_frame_state", state.to_le_bytes());
            w.set64(frame, "_PyInterpreterFrame.f_executable|_PyInterpreterFrame.f_code", code.code);
            w.set64(frame, "_PyInterpreterFrame.f_globals", code.globals);
            let instruction = w.at(code.code, "PyCodeObject.co_code_adaptive") + 4;
            // The argument of the next one is that of a RESUME behind an await.
            w.ram.poke(instruction + 3, &[3]);
            w.set64(frame, "_PyInterpreterFrame.instr_ptr|_PyInterpreterFrame.prev_instr", instruction);
            w.set(frame, "_PyInterpreterFrame.owner", [1]);
            let slot = w.at(frame, "_PyInterpreterFrame.localsplus");
            w.put64(slot, awaits);
            self.slots.push(slot);
            w.set(frame, "_PyInterpreterFrame.stacktop", 1i32.to_le_bytes());
            w.set64(frame, "_PyInterpreterFrame.stackpointer", slot + if w.minor >= 15 { 16 } else { 8 });
        } else {
            let mut bytecode = [0; 32];
            bytecode[4] = YIELD_FROM;
            let bytecode = w.bytes(&bytecode);
            w.set64(code.code, "PyCodeObject.co_code", bytecode);
            let frame = w.object("frame", 640);
            w.set64(coroutine, "PyGenObject.gi_frame", frame);
            w.set64(frame, "PyFrameObject.f_code", code.code);
            w.set64(frame, "PyFrameObject.f_globals", code.globals);
            let lasti: i32 = if w.minor == 10 { 1 } else { 2 };
            w.set(frame, "PyFrameObject.f_lasti", lasti.to_le_bytes());
            w.set(frame, "PyFrameObject.f_state", (-1i8).to_le_bytes());
            let slot = w.at(frame, "PyFrameObject.f_localsplus");
            w.put64(slot, awaits);
            self.slots.push(slot);
            w.set64(frame, "PyFrameObject.f_valuestack", slot);
            w.set64(frame, "PyFrameObject.f_stacktop", slot + 8);
            w.set(frame, "PyFrameObject.f_stackdepth", 1i32.to_le_bytes());
        }
        coroutine
    }

    /// Puts the tasks into `asyncio.tasks._eager_tasks`.
    fn register(&mut self) {
        let w = &mut self.python.w;
        let set = w.object("set", 64);
        self.table = w.alloc(16 * 16);
        for (index, task) in self.tasks.iter().enumerate() {
            w.put64(self.table + 32 * index as u64, *task);
        }
        w.set64(set, "PySetObject.used", TASKS as u64);
        w.set64(set, "PySetObject.mask", 15);
        w.set64(set, "PySetObject.table", self.table);
        let namespace = w.text_dict(&[("__name__", 0), ("_eager_tasks", set)]);
        let module = w.object("module", 64);
        w.set64(module, "PyModuleObject.md_dict", namespace);
        let modules = w.text_dict(&[("sys", module), ("asyncio.tasks", module)]);
        let main = self.python.interpreters[0];
        w.set64(main, "PyInterpreterState.imports.modules|PyInterpreterState.modules", modules);
    }

    fn read(&self) -> Result<Asyncio, ReadError> {
        let cache = Cache::new(&self.python.w.ram);
        let runtime = &self.python.runtime;
        let world = collect(&cache, runtime)?;
        let objects = Objects::new(&cache, &runtime.layout, runtime.quirks);
        let until = Instant::now() + Duration::from_secs(600);
        Ok(read_asyncio(&objects, runtime, &world, self.debug, until))
    }
}

/// The tables whose builds have what is needed; those from an incomplete measurement lack some.
fn tables() -> impl Iterator<Item = &'static Table> {
    // Patch releases up to 3.10.5 have the tasks of 3.9.
    TABLES.iter().copied().filter(|table| table.version.1 != 10 || table.version.2 > 5)
}

fn find(asyncio: &Asyncio, address: u64) -> &RawTask {
    asyncio.tasks.iter().find(|task| task.address == Addr(address)).expect("the task is found")
}

#[test]
fn tasks_in_a_circle_are_read_exactly() {
    bounded(|| {
        for table in tables() {
            let made = Made::new(table);
            let asyncio = made.read().unwrap();
            let at = made.python.runtime.layout_source.to_string();
            assert_eq!(asyncio.problems, [], "{at}");
            assert_eq!(asyncio.tasks.len(), TASKS, "{at}");
            for (index, address) in made.tasks.iter().enumerate() {
                let task = find(&asyncio, *address);
                assert_eq!(task.error, None, "{at}");
                assert_eq!(task.state, TaskState::Pending);
                let has_name = made.python.w.minor >= 8;
                assert_eq!(task.name.as_deref(), has_name.then_some(NAMES[index]), "{at}");
                let kinds: Vec<LinkKind> = task.chain.iter().map(|link| link.kind).collect();
                assert_eq!(kinds, [LinkKind::Coroutine, LinkKind::Coroutine, LinkKind::Future], "{at}");
                let code = |at: usize| asyncio.codes[&task.chain[at].frame.unwrap().code].as_ref().unwrap();
                assert_eq!([&*code(0).name, &*code(1).name], ["outer", "inner"]);
                assert_eq!(task.awaited_by, [Addr(made.tasks[(index + 1) % TASKS])], "{at}");
            }
        }
    });
}

#[test]
fn coroutines_in_a_circle_cost_their_task() {
    bounded(|| {
        for table in tables() {
            let mut made = Made::new(table);
            // The inner coroutine of the first task awaits its outer one.
            made.python.w.put64(made.slots[0], made.coroutines[1]);
            let asyncio = made.read().unwrap();
            assert!(matches!(find(&asyncio, made.tasks[0]).error, Some(ReadError::Invalid(_))));
            for task in &made.tasks[1..] {
                assert_eq!(find(&asyncio, *task).error, None);
            }
        }
    });
}

#[test]
fn lists_of_tasks_that_do_not_end() {
    bounded(|| {
        for table in tables().filter(|table| table.version.1 >= 14) {
            let mut made = Made::new(table);
            let header = made.python.w.at(0, "sizeof PyObject");
            let node = header + 136;
            let head = made.python.w.alloc(16);
            // From the head to the first task, and from there round and round without it.
            made.python.w.put64(head, made.tasks[0] + node);
            for index in 0..TASKS {
                let next = made.tasks[(index + 1) % TASKS];
                made.python.w.put64(made.tasks[index] + node, next + node);
            }
            let thread = made.python.threads[0].address;
            let size = if made.python.w.free_threaded { 160 } else { 152 };
            made.debug = Some(AsyncioDebug {
                task_size: (header + size) as u32,
                name: (header + 120) as u32,
                awaited_by: (header + 80) as u32,
                awaited_by_is_set: (header + 93) as u32,
                coro: (header + 112) as u32,
                node: node as u32,
                interpreter_tasks: 0,
                running_loop: 8,
                running_task: 8,
                thread_tasks: (head - thread) as u32,
            });
            let asyncio = made.read().unwrap();
            assert!(asyncio.tasks.len() >= TASKS);
            assert!(!asyncio.problems.is_empty());
        }
    });
}

#[test]
fn callbacks_in_a_circle() {
    bounded(|| {
        for table in tables() {
            let mut made = Made::new(table);
            let header = made.python.w.at(0, "sizeof PyObject");
            // Each of many callbacks leads to the task that they are of.
            let task = made.tasks[0];
            let w = &mut made.python.w;
            let list = w.object("list", 64);
            let items = w.alloc(8 * 64);
            w.set64(list, "PyVarObject.ob_size", 64);
            w.set64(list, "PyListObject.ob_item", items);
            for index in 0..64 {
                let arguments = w.object("tuple", 64);
                w.set64(arguments, "PyVarObject.ob_size", 1);
                w.set64(arguments, "PyTupleObject.ob_item", task);
                let callback = w.object("functools.partial", 64);
                w.put64(callback + header + 8, arguments);
                let pair = w.object("tuple", 64);
                w.set64(pair, "PyVarObject.ob_size", 1);
                w.set64(pair, "PyTupleObject.ob_item", callback);
                w.put64(items + 8 * index, pair);
            }
            w.put64(task + header + 24, list);
            w.make_types();
            let asyncio = made.read().unwrap();
            assert_eq!(asyncio.problems, []);
            assert_eq!(find(&asyncio, task).awaited_by, [Addr(made.tasks[1])]);
        }
    });
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(300) })]

    #[test]
    fn any_damage_to_tasks(
        table in any::<prop::sample::Index>(),
        all in prop::collection::vec(damage(), 1..24),
    ) {
        let tables: Vec<_> = tables().collect();
        let mut made = Made::new(tables[table.index(tables.len())]);
        // The tasks and what belongs to them were made last.
        let first = made.python.w.type_object("_asyncio.Task");
        let words: Vec<u64> = words(&made.python).into_iter().filter(|at| *at >= first).collect();
        for (at, one) in &all {
            apply(&mut made.python, &words, *at, one);
        }
        if let Ok(asyncio) = made.read() {
            prop_assert!(asyncio.tasks.iter().all(|task| task.error != Some(ReadError::Deferred)));
        }
        prop_assert!(made.python.w.ram.bytes_read() < 256 << 20);
    }
}

#[test]
fn a_wild_pointer_costs_one_task() {
    bounded(|| {
        for table in tables() {
            let mut made = Made::new(table);
            made.python.w.put64(made.table, 1 << 63);
            let asyncio = made.read().unwrap();
            let failed: Vec<&RawTask> = asyncio.tasks.iter().filter(|task| task.error.is_some()).collect();
            assert_eq!(failed.iter().map(|task| task.address).collect::<Vec<_>>(), [Addr(1 << 63)]);
            // The first is found by way of the second, which waits for it.
            assert_eq!(asyncio.tasks.len(), TASKS + 1);
        }
    });
}
