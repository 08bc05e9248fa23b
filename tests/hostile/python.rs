//! A made process: two interpreters with threads, frames, code objects and the names of `threading`.

use pyattach::base::{Addr, ReleaseLevel, Version};
use pyattach::cpython::layout::{Build, Layout, Table};
use pyattach::cpython::{FoundBy, LayoutSource, Quirks, Runtime};

use crate::tables;
use crate::writer::{Attributes, Writer};

/// Reads that any state of the made memory may take. It takes some 150 when it is whole.
const READS: usize = 20_000;
const MAIN: u64 = 0x7f20_0000_0740;

/// What a frame must be read as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) name: String,
    pub(crate) qualname: Option<String>,
    pub(crate) file: String,
    pub(crate) module: Option<String>,
    pub(crate) line: Option<i32>,
    pub(crate) columns: Option<(i32, i32)>,
}

/// A frame, with the addresses of what it is made of.
#[derive(Clone, Debug)]
pub(crate) struct MadeFrame {
    pub(crate) address: u64,
    pub(crate) code: u64,
    pub(crate) name: u64,
    pub(crate) table: u64,
    pub(crate) globals: u64,
    pub(crate) seen: Seen,
}

/// A thread; frames innermost first.
#[derive(Clone, Debug)]
pub(crate) struct MadeThread {
    pub(crate) address: u64,
    pub(crate) ident: u64,
    pub(crate) name: Option<&'static str>,
    pub(crate) chunks: Vec<u64>,
    pub(crate) cframes: Vec<u64>,
    pub(crate) frames: Vec<MadeFrame>,
}

/// A made process.
#[derive(Clone)]
pub(crate) struct Python {
    pub(crate) w: Writer,
    pub(crate) runtime: Runtime,
    pub(crate) interpreters: Vec<u64>,
    /// In the order in which they are read: oldest first, the main interpreter's before the other's.
    pub(crate) threads: Vec<MadeThread>,
    /// `threading._active`.
    pub(crate) active: u64,
}

impl Python {
    pub(crate) fn new(table: &'static Table) -> Python {
        let mut w = Writer::new(table, READS);
        let address = w.structure("_PyRuntimeState", 64);
        let mut python =
            Python { runtime: runtime(table, address), w, interpreters: Vec::new(), threads: Vec::new(), active: 0 };
        let main = [
            ("main", 5, "app", "/srv/app.py"),
            ("Server.serve", 2, "app.server", "/srv/server.py"),
            ("<module>", 7, "__main__", "/srv/naïve.py"),
        ];
        let worker = [("名前", 1, "work", "/srv/名.py"), ("run", 6, "threading", "/usr/lib/threading.py")];
        python.interpreter(0, &[(Some("MainThread"), &main), (Some("worker-1"), &worker), (None, &[])]);
        python.interpreter(1, &[(None, &[("sub", 3, "sub", "<string>")])]);
        let runtime = python.runtime.address.0;
        let [first, second] = [python.interpreters[0], python.interpreters[1]];
        python.w.set64(runtime, "_PyRuntimeState.interpreters.head", second);
        python.w.set64(runtime, "_PyRuntimeState.interpreters.main", first);
        python.w.set64(second, "PyInterpreterState.next", first);
        let main_thread = "_PyRuntimeState.main_thread|_PyRuntimeState.ceval.pending.main_thread";
        python.w.set64(runtime, main_thread, MAIN);
        python.add_threading();
        python
    }

    /// Index of the thread with the worker's stack.
    pub(crate) const WORKER: usize = 1;

    fn interpreter(&mut self, id: u64, threads: &[(Option<&'static str>, &[Function])]) {
        let interpreter = self.w.structure("PyInterpreterState", 64);
        self.w.set64(interpreter, "PyInterpreterState.id", id);
        self.interpreters.push(interpreter);
        let mut older = 0;
        for (name, functions) in threads {
            let thread = self.thread(interpreter, *name, functions);
            self.w.set64(thread, "PyThreadState.next", older);
            older = thread;
        }
        self.w.set64(interpreter, "PyInterpreterState.threads.head|PyInterpreterState.tstate_head", older);
    }

    fn thread(&mut self, interpreter: u64, name: Option<&'static str>, functions: &[Function]) -> u64 {
        let thread = self.w.structure("PyThreadState", 64);
        let ident = MAIN + 0x10_0000 * self.threads.len() as u64;
        self.w.set64(thread, "PyThreadState.interp", interpreter);
        self.w.set64(thread, "PyThreadState.thread_id", ident);
        self.w.set64(thread, "PyThreadState.native_thread_id", 100 + self.threads.len() as u64);
        let made =
            MadeThread { address: thread, ident, name, chunks: Vec::new(), cframes: Vec::new(), frames: Vec::new() };
        self.threads.push(made);
        match self.w.minor {
            ..=10 => crate::stack::frame_objects(self, thread, functions),
            _ => crate::stack::interpreter_frames(self, thread, functions),
        }
        thread
    }

    pub(crate) fn made(&mut self) -> &mut MadeThread {
        self.threads.last_mut().expect("a thread in the making")
    }

    /// The module `threading`, with `_active`.
    fn add_threading(&mut self) {
        let named: Vec<(u64, &str)> = self.threads.iter().filter_map(|t| Some((t.ident, t.name?))).collect();
        let mut entries = Vec::new();
        for (i, (ident, name)) in named.into_iter().enumerate() {
            let how = if i % 2 == 0 { Attributes::Dict } else { Attributes::Values };
            let attributes = [
                ("_name", self.w.str(name)),
                ("_daemonic", self.w.int("bool", i as u64)),
                ("_native_id", self.w.int("int", 100 + i as u64)),
            ];
            let object = self.w.instance(&attributes, how);
            entries.push((self.w.int("int", ident), object));
        }
        self.active = self.w.dict(&entries, false);
        let namespace = self.w.text_dict(&[("__name__", 0), ("_active", self.active)]);
        let module = self.w.object("module", 64);
        self.w.set64(module, "PyModuleObject.md_dict", namespace);
        let modules = self.w.text_dict(&[("sys", module), ("threading", module)]);
        let main = self.interpreters[0];
        self.w.set64(main, "PyInterpreterState.imports.modules|PyInterpreterState.modules", modules);
    }

    /// A code object, and what a frame in the given run of it is.
    pub(crate) fn code(&mut self, (qualname, run, module, file): Function) -> MadeFrame {
        let has_qualname = self.w.minor >= 11;
        let name = qualname.rsplit('.').next().unwrap_or(qualname);
        let bytecode = (tables::RUNS * tables::UNITS * 2) as usize;
        let code = self.w.object("code", 512 + bytecode);
        let first_line = 10 * (self.w.used().1 as i32 % 97);
        let table = match self.w.minor {
            ..=9 => tables::lnotab(),
            10 => tables::deltas(),
            _ => tables::locations(),
        };
        let table = self.w.bytes(&table);
        let name_object = self.w.str(name);
        let parts = [self.w.str(file), self.w.str(qualname), self.w.str(module)];
        self.w.set64(code, "PyVarObject.ob_size", u64::from(tables::RUNS * tables::UNITS));
        self.w.set(code, "PyCodeObject.co_firstlineno", first_line.to_le_bytes());
        self.w.set(code, "PyCodeObject.co_flags", (i32::from(name != "<module>") * 3).to_le_bytes());
        self.w.set(code, "PyCodeObject._co_firsttraceable", 1i32.to_le_bytes());
        self.w.set64(code, "PyCodeObject.co_filename", parts[0]);
        self.w.set64(code, "PyCodeObject.co_name", name_object);
        self.w.set64(code, "PyCodeObject.co_qualname", parts[1]);
        self.w.set64(code, "PyCodeObject.co_linetable|PyCodeObject.co_lnotab", table);
        let globals = self.w.text_dict(&[("__doc__", parts[0]), ("__name__", parts[2])]);
        let seen = Seen {
            name: name.to_owned(),
            qualname: has_qualname.then(|| qualname.to_owned()),
            file: file.to_owned(),
            module: Some(module.to_owned()),
            line: Some(tables::line(first_line, run)),
            columns: has_qualname.then(|| tables::columns(run)),
        };
        MadeFrame { address: 0, code, name: name_object, table, globals, seen }
    }
}

/// Qualified name, run of the line table, module and file.
pub(crate) type Function = (&'static str, u32, &'static str, &'static str);

fn runtime(table: &'static Table, address: u64) -> Runtime {
    let (major, minor, micro) = table.version;
    let version = Version { major, minor, micro, level: ReleaseLevel::Final, serial: 0 };
    Runtime {
        address: Addr(address),
        module: "/usr/bin/python3".to_owned(),
        found_by: FoundBy::Section,
        version,
        free_threaded: table.build == Build::FreeThreaded,
        debug_build: table.build == Build::Debug,
        is_musl: false,
        layout: Layout::from_source(&table.offsets()).expect("a table has all fields"),
        quirks: Quirks::of(version, table.build),
        layout_source: LayoutSource::Table { version: table.version, build: table.build, exact: true },
    }
}
