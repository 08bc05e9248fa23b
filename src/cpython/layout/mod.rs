//! Where CPython keeps things: typed field offsets for one exact build of the interpreter.
//!
//! A [`Layout`] is only ever made by [`Layout::from_source`] out of named offsets. The names are CPython's own
//! (`struct.member`), so the generated tables, DWARF and the target's `_Py_DebugOffsets` all speak the same language and
//! can be compared with each other. A field that a version does not have is `None`; readers ask for the field, never for
//! the version.
//!
//! Field names with `|` give the names the same thing had in different versions, newest first.

mod asyncio;
mod offsets;
mod table;
mod tables;

pub use asyncio::{Flag, FutureOffsets, TaskOffsets, at, future_offsets, task_offsets};
pub use offsets::{MissingField, Offsets};
pub use table::{Build, Table};
pub use tables::TABLES;

use crate::base::{Addr, Field};
use offsets::{End, FromOffset};

macro_rules! layouts {
    ($($(#[$sdoc:meta])* $sfield:ident: $sname:ident { $($(#[$doc:meta])* $field:ident: $ty:ty = $names:literal,)* })*) => {
        $($(#[$sdoc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub struct $sname { $($(#[$doc])* pub $field: $ty,)* }

        impl $sname {
            /// Bytes to read from the start of the structure to have all of these fields.
            pub fn end(&self) -> usize {
                0 $(.max(End::end(&self.$field)))*
            }
        })*

        /// Every offset a reader may ask for, by structure.
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub struct Layout { $($(#[$sdoc])* pub $sfield: $sname,)* }

        /// The names of all fields and sizes in a [`Layout`] (alternatives separated by `|`).
        pub const FIELD_NAMES: &[&str] = &[$($($names,)*)*];

        impl Layout {
            /// Builds the layout from named offsets; fails on the first field that every version has and the source lacks.
            pub fn from_source(offsets: &Offsets) -> Result<Layout, MissingField> {
                Ok(Layout { $($sfield: $sname {
                    $($field: FromOffset::from_offset($names, offsets.get($names))?,)*
                },)* })
            }
        }
    };
}

layouts! {
    /// `_PyRuntimeState`, the process-wide state (`Include/internal/pycore_runtime.h`).
    runtime: RuntimeLayout {
        /// Newest interpreter; the list goes on through `PyInterpreterState.next`.
        interpreters_head: Field<Addr> = "_PyRuntimeState.interpreters.head",
        /// The main interpreter.
        interpreters_main: Field<Addr> = "_PyRuntimeState.interpreters.main",
        /// `pthread_t` of the main thread.
        main_thread: Option<Field<u64>> = "_PyRuntimeState.main_thread|_PyRuntimeState.ceval.pending.main_thread",
        /// Thread state that is shutting the runtime down, or NULL.
        finalizing: Option<Field<Addr>> = "_PyRuntimeState._finalizing|_PyRuntimeState.finalizing",
        /// The one GIL, up to 3.11.
        gil: Option<Field<Addr>> = "_PyRuntimeState.ceval.gil",
        /// Non-zero while the garbage collector runs, up to 3.8.
        gc_collecting: Option<Field<i32>> = "_PyRuntimeState.gc.collecting",
        /// What `Py_IsInitialized` returns.
        initialized: Option<Field<i32>> = "_PyRuntimeState.initialized",
        /// The main thread's own state, from 3.12 on.
        main_tstate: Option<Field<Addr>> = "_PyRuntimeState.main_tstate",
        /// Lock of the main thread's pending calls: a `PyThread_type_lock`, up to 3.8.
        pending_lock: Option<Field<Addr>> = "_PyRuntimeState.ceval.pending.lock",
        /// The same in 3.12.
        main_pending_lock: Option<Field<Addr>> = "_PyRuntimeState.ceval.pending_mainthread.lock",
        /// The same, a `PyMutex`, from 3.13 on.
        pending_mutex: Option<Field<u8>> = "_PyRuntimeState.ceval.pending_mainthread.mutex",
    }
    /// `PyInterpreterState` (`Include/internal/pycore_interp.h`).
    interp: InterpLayout {
        /// Next older interpreter.
        next: Field<Addr> = "PyInterpreterState.next",
        /// `int64_t` id; 0 is the main interpreter.
        id: Field<i64> = "PyInterpreterState.id",
        /// Newest thread state.
        threads_head: Field<Addr> = "PyInterpreterState.threads.head|PyInterpreterState.tstate_head",
        /// `sys.modules`.
        modules: Field<Addr> = "PyInterpreterState.imports.modules|PyInterpreterState.modules",
        /// `sys.__dict__`.
        sysdict: Field<Addr> = "PyInterpreterState.sysdict",
        /// Pointer to the interpreter's GIL, from 3.12 on.
        gil: Option<Field<Addr>> = "PyInterpreterState.ceval.gil",
        /// Non-zero while the garbage collector runs, from 3.9 on.
        gc_collecting: Option<Field<i32>> = "PyInterpreterState.gc.collecting",
        /// Lock of its pending calls, which up to 3.11 are those of the main thread: a `PyThread_type_lock`, 3.9 to 3.12.
        pending_lock: Option<Field<Addr>> = "PyInterpreterState.ceval.pending.lock",
        /// 1 when remote debugging is enabled, from 3.14 on.
        remote_debug: Option<Field<i32>> = "PyInterpreterState.config.remote_debug",
    }
    /// `struct _gil_runtime_state` (`Include/internal/pycore_gil.h`).
    gil: GilLayout {
        /// Thread state that took the GIL last; stays set when the GIL is free.
        last_holder: Field<Addr> = "struct _gil_runtime_state.last_holder",
        /// 1 held, 0 free, -1 not created.
        locked: Field<i32> = "struct _gil_runtime_state.locked",
        /// Counts takeovers by another thread than `last_holder`.
        switch_number: Field<u64> = "struct _gil_runtime_state.switch_number",
        /// Start of the condition variables and mutexes that waiting threads sleep on; they reach to the end.
        cond: Field<Addr> = "struct _gil_runtime_state.cond",
        /// 0 when a free-threaded build runs without the GIL.
        enabled: Option<Field<i32>> = "struct _gil_runtime_state.enabled",
        /// Size of the structure.
        size: u32 = "sizeof struct _gil_runtime_state",
    }
    /// `PyThreadState` (`Include/cpython/pystate.h`).
    thread: ThreadLayout {
        /// Next older thread state.
        next: Field<Addr> = "PyThreadState.next",
        /// Its interpreter.
        interp: Field<Addr> = "PyThreadState.interp",
        /// Innermost `PyFrameObject`, up to 3.10.
        frame: Option<Field<Addr>> = "PyThreadState.frame",
        /// Innermost `_PyCFrame`, 3.11 and 3.12.
        cframe: Option<Field<Addr>> = "PyThreadState.cframe",
        /// Innermost `_PyInterpreterFrame`, from 3.13 on.
        current_frame: Option<Field<Addr>> = "PyThreadState.current_frame",
        /// Sentinel below the outermost frame, from 3.15 on.
        base_frame: Option<Field<Addr>> = "PyThreadState.base_frame",
        /// `pthread_t`, what `threading.get_ident()` returns.
        thread_id: Field<u64> = "PyThreadState.thread_id",
        /// Kernel thread id in the innermost PID namespace, from 3.11 on.
        native_thread_id: Option<Field<u64>> = "PyThreadState.native_thread_id",
        /// Newest chunk of the data stack, from 3.11 on.
        datastack_chunk: Option<Field<Addr>> = "PyThreadState.datastack_chunk",
        /// End of the used part of the newest chunk.
        datastack_top: Option<Field<Addr>> = "PyThreadState.datastack_top",
        /// Attached or not, from 3.13 on; decisive in free-threaded builds.
        state: Option<Field<i32>> = "PyThreadState.state",
        /// Innermost exception being handled, a `_PyErr_StackItem`.
        exc_info: Option<Field<Addr>> = "PyThreadState.exc_info",
        /// Bits that ask the thread to leave its bytecode, from 3.13 on; those above the low byte count instrumentation.
        eval_breaker: Option<Field<u64>> = "PyThreadState.eval_breaker",
        /// 1 when a script waits to be run by the thread, from 3.14 on.
        debugger_pending_call: Option<Field<i32>> = "PyThreadState.remote_debugger_support.debugger_pending_call",
        /// First byte of the path of that script.
        debugger_script_path: Option<Field<u8>> = "PyThreadState.remote_debugger_support.debugger_script_path",
        /// The thread's own dict, which up to 3.12 has its running event loop.
        dict: Option<Field<Addr>> = "PyThreadState.dict",
        /// Size of the structure.
        size: u32 = "sizeof PyThreadState",
    }
    /// `_PyErr_StackItem` (`Include/cpython/pystate.h`).
    exc_item: ExcItemLayout {
        /// The exception, or NULL or `None`.
        exc_value: Option<Field<Addr>> = "_PyErr_StackItem.exc_value",
        /// Exception that was being handled before.
        previous_item: Option<Field<Addr>> = "_PyErr_StackItem.previous_item",
    }
    /// `PyFrameObject` up to 3.10 (`Include/frameobject.h`).
    frame_object: FrameObjectLayout {
        /// Calling frame.
        back: Option<Field<Addr>> = "PyFrameObject.f_back",
        /// Code object.
        code: Option<Field<Addr>> = "PyFrameObject.f_code",
        /// Globals dict.
        globals: Option<Field<Addr>> = "PyFrameObject.f_globals",
        /// Last instruction: bytes up to 3.9, code units in 3.10; -1 before the first.
        lasti: Option<Field<i32>> = "PyFrameObject.f_lasti",
        /// Namespace of a module's or class's code, up to 3.10.
        locals: Option<Field<Addr>> = "PyFrameObject.f_locals",
        /// First of the local variables, cells and free variables.
        localsplus: Option<Field<Addr>> = "PyFrameObject.f_localsplus",
        /// Start of the value stack, up to 3.10.
        valuestack: Option<Field<Addr>> = "PyFrameObject.f_valuestack",
        /// First free slot of it, or NULL while the frame is executed; up to 3.9.
        stacktop: Option<Field<Addr>> = "PyFrameObject.f_stacktop",
        /// Values on it, 3.10.
        stackdepth: Option<Field<i32>> = "PyFrameObject.f_stackdepth",
        /// What it is doing, 3.10.
        state: Option<Field<i8>> = "PyFrameObject.f_state",
    }
    /// `_PyCFrame`, 3.11 and 3.12 (`Include/cpython/pystate.h`).
    cframe: CframeLayout {
        /// Innermost frame of this evaluation loop.
        current_frame: Option<Field<Addr>> = "_PyCFrame.current_frame",
        /// The evaluation loop that called this one.
        previous: Option<Field<Addr>> = "_PyCFrame.previous",
    }
    /// `_PyInterpreterFrame`, from 3.11 on (`Include/internal/pycore_frame.h`, 3.14: `pycore_interpframe_structs.h`).
    frame: FrameLayout {
        /// Code object, or something else in frames between C and Python.
        executable: Option<Field<Addr>> = "_PyInterpreterFrame.f_executable|_PyInterpreterFrame.f_code",
        /// Globals dict.
        globals: Option<Field<Addr>> = "_PyInterpreterFrame.f_globals",
        /// Namespace of a module's or class's code.
        locals: Option<Field<Addr>> = "_PyInterpreterFrame.f_locals",
        /// Calling frame; stale in a suspended generator.
        previous: Option<Field<Addr>> = "_PyInterpreterFrame.previous",
        /// Instruction about to run (3.13+) or just run (3.11, 3.12).
        instr: Option<Field<Addr>> = "_PyInterpreterFrame.instr_ptr|_PyInterpreterFrame.prev_instr",
        /// Where the frame lives: 0 data stack, 1 generator, 2 frame object, 3 and more: between C and Python.
        owner: Option<Field<u8>> = "_PyInterpreterFrame.owner",
        /// Entered from C, 3.11 only.
        is_entry: Option<Field<u8>> = "_PyInterpreterFrame.is_entry",
        /// Which copy of the bytecode runs, free-threaded builds from 3.14 on.
        tlbc_index: Option<Field<i32>> = "_PyInterpreterFrame.tlbc_index",
        /// Start of the local variables; the fixed part ends here.
        localsplus: Option<Field<Addr>> = "_PyInterpreterFrame.localsplus",
        /// Used slots from there on, the value stack's among them; up to 3.13.
        stacktop: Option<Field<i32>> = "_PyInterpreterFrame.stacktop",
        /// First free slot, from 3.14 on.
        stackpointer: Option<Field<Addr>> = "_PyInterpreterFrame.stackpointer",
    }
    /// Generators, and coroutines, which are laid out alike (`Include/cpython/genobject.h`, 3.14 on `pycore_genobject.h`).
    generator: GeneratorLayout {
        /// Its frame object, NULL at its end; up to 3.10.
        frame: Option<Field<Addr>> = "PyGenObject.gi_frame",
        /// Non-zero while it runs, up to 3.9.
        running: Option<Field<i8>> = "PyGenObject.gi_running",
        /// The frame inside of it, from 3.11 on.
        iframe: Option<Field<Addr>> = "PyGenObject.gi_iframe",
        /// What it is doing, from 3.11 on.
        frame_state: Option<Field<i8>> = "PyGenObject.gi_frame_state",
        /// `str`.
        qualname: Option<Field<Addr>> = "PyGenObject.gi_qualname",
    }
    /// `_PyStackChunk`, from 3.11 on (`Include/cpython/pystate.h`).
    chunk: ChunkLayout {
        /// Older chunk.
        previous: Option<Field<Addr>> = "_PyStackChunk.previous",
        /// Size in bytes, this header included.
        size: Option<Field<u64>> = "_PyStackChunk.size",
        /// Used words in a chunk that is not the newest.
        top: Option<Field<u64>> = "_PyStackChunk.top",
        /// First frame.
        data: Option<Field<Addr>> = "_PyStackChunk.data",
    }
    /// `PyCodeObject` (`Include/cpython/code.h`).
    code: CodeLayout {
        /// `CO_*` flags.
        flags: Field<i32> = "PyCodeObject.co_flags",
        /// Line of the `def`, or of its first decorator.
        firstlineno: Field<i32> = "PyCodeObject.co_firstlineno",
        /// `str`.
        filename: Field<Addr> = "PyCodeObject.co_filename",
        /// `str`.
        name: Field<Addr> = "PyCodeObject.co_name",
        /// `str`, from 3.11 on.
        qualname: Option<Field<Addr>> = "PyCodeObject.co_qualname",
        /// `bytes`; three formats, see the line table reader.
        linetable: Field<Addr> = "PyCodeObject.co_linetable|PyCodeObject.co_lnotab",
        /// The bytecode, from 3.11 on; its length is `ob_size` code units.
        code_adaptive: Option<Field<Addr>> = "PyCodeObject.co_code_adaptive",
        /// Frames before this instruction are still in the making, from 3.11 on.
        firsttraceable: Option<Field<i32>> = "PyCodeObject._co_firsttraceable",
        /// Thread-local copies of the bytecode, free-threaded builds from 3.14 on.
        tlbc: Option<Field<Addr>> = "PyCodeObject.co_tlbc",
        /// Bytecode as `bytes`, up to 3.10.
        code: Option<Field<Addr>> = "PyCodeObject.co_code",
        /// Positional parameters.
        argcount: Option<Field<i32>> = "PyCodeObject.co_argcount",
        /// Keyword-only parameters.
        kwonlyargcount: Option<Field<i32>> = "PyCodeObject.co_kwonlyargcount",
        /// Names of local variables, up to 3.10.
        varnames: Option<Field<Addr>> = "PyCodeObject.co_varnames",
        /// Names of local variables that inner functions use, up to 3.10.
        cellvars: Option<Field<Addr>> = "PyCodeObject.co_cellvars",
        /// Names of outer functions' variables, up to 3.10.
        freevars: Option<Field<Addr>> = "PyCodeObject.co_freevars",
        /// All of those names, from 3.11 on.
        localsplusnames: Option<Field<Addr>> = "PyCodeObject.co_localsplusnames",
        /// `bytes`: what each of them is, from 3.11 on.
        localspluskinds: Option<Field<Addr>> = "PyCodeObject.co_localspluskinds",
    }
    /// `PyObject` and `PyVarObject` (`Include/object.h`).
    object: ObjectLayout {
        /// The type.
        ob_type: Field<Addr> = "PyObject.ob_type",
        /// Number of items.
        ob_size: Field<i64> = "PyVarObject.ob_size",
        /// Size of the header.
        size: u32 = "sizeof PyObject",
    }
    /// `PyTypeObject` and `PyHeapTypeObject` (`Include/cpython/object.h`).
    type_object: TypeLayout {
        /// `char *`.
        tp_name: Field<Addr> = "PyTypeObject.tp_name",
        /// Size of an instance.
        tp_basicsize: Field<i64> = "PyTypeObject.tp_basicsize",
        /// `Py_TPFLAGS_*`.
        tp_flags: Field<u64> = "PyTypeObject.tp_flags",
        /// Where an instance keeps its `__dict__`; meaningful up to 3.10 and for types without managed dict.
        tp_dictoffset: Field<i64> = "PyTypeObject.tp_dictoffset",
        /// Its namespace; not in static types from 3.12 on.
        tp_dict: Option<Field<Addr>> = "PyTypeObject.tp_dict",
        /// Tuple of its bases and theirs.
        tp_mro: Option<Field<Addr>> = "PyTypeObject.tp_mro",
        /// `str`.
        ht_qualname: Option<Field<Addr>> = "PyHeapTypeObject.ht_qualname",
        /// Keys shared by instances.
        ht_cached_keys: Field<Addr> = "PyHeapTypeObject.ht_cached_keys",
    }
    /// `str` (`Include/cpython/unicodeobject.h`).
    unicode: UnicodeLayout {
        /// In code points.
        length: Field<i64> = "PyASCIIObject.length",
        /// Bit field: interned, kind, compact, ascii.
        state: Field<u32> = "PyASCIIObject.state",
        /// Where the characters of a compact ASCII string start.
        ascii_size: u32 = "sizeof PyASCIIObject",
        /// Where the characters of any other compact string start.
        compact_size: u32 = "sizeof PyCompactUnicodeObject",
    }
    /// `bytes` (`Include/cpython/bytesobject.h`).
    bytes: BytesLayout {
        /// First byte.
        ob_sval: Field<u8> = "PyBytesObject.ob_sval",
    }
    /// `int` (`Include/cpython/longintrepr.h`).
    long: LongLayout {
        /// Sign and number of digits, from 3.12 on; before, `ob_size` has both.
        lv_tag: Option<Field<u64>> = "PyLongObject.long_value.lv_tag",
        /// First 30-bit digit.
        ob_digit: Field<u32> = "PyLongObject.long_value.ob_digit|PyLongObject.ob_digit",
    }
    /// Objects that hold others, or a number (headers of `Include` and `Include/cpython`).
    value: ValueLayout {
        /// `double`.
        float: Option<Field<u64>> = "PyFloatObject.ob_fval",
        /// Two `double`s.
        complex: Option<Field<u64>> = "PyComplexObject.cval",
        /// First byte in use of a `bytearray`.
        bytearray: Option<Field<Addr>> = "PyByteArrayObject.ob_start",
        /// First item of a `tuple`.
        tuple_items: Option<Field<Addr>> = "PyTupleObject.ob_item",
        /// Items of a `list`.
        list_items: Option<Field<Addr>> = "PyListObject.ob_item",
        /// Items of a set.
        set_used: Option<Field<i64>> = "PySetObject.used",
        /// Slots of a set, less one.
        set_mask: Option<Field<i64>> = "PySetObject.mask",
        /// Slots: item and hash.
        set_table: Option<Field<Addr>> = "PySetObject.table",
        /// What a cell holds.
        cell: Option<Field<Addr>> = "PyCellObject.ob_ref",
        /// `str`.
        function_qualname: Option<Field<Addr>> = "PyFunctionObject.func_qualname",
        /// Tuple of the cells of outer functions' variables.
        function_closure: Option<Field<Addr>> = "PyFunctionObject.func_closure",
        /// Its code.
        function_code: Option<Field<Addr>> = "PyFunctionObject.func_code",
        /// The function of a method.
        method_function: Option<Field<Addr>> = "PyMethodObject.im_func",
        /// The instance a method is bound to.
        method_self: Option<Field<Addr>> = "PyMethodObject.im_self",
        /// `PyMethodDef` of a function written in C; its first member is its name.
        c_function_definition: Option<Field<Addr>> = "PyCFunctionObject.m_ml",
        /// The module or instance it is bound to.
        c_function_self: Option<Field<Addr>> = "PyCFunctionObject.m_self",
        /// Arguments of an exception, a tuple.
        exception_args: Option<Field<Addr>> = "PyBaseExceptionObject.args",
    }
    /// `dict`, its keys and values (`Include/internal/pycore_dict.h`).
    dict: DictLayout {
        /// How many items it has.
        ma_used: Option<Field<i64>> = "PyDictObject.ma_used",
        /// `PyDictKeysObject *`.
        ma_keys: Field<Addr> = "PyDictObject.ma_keys",
        /// Values of a split dict, or NULL.
        ma_values: Field<Addr> = "PyDictObject.ma_values",
        /// Slots of the index, up to 3.10.
        dk_size: Option<Field<i64>> = "PyDictKeysObject.dk_size",
        /// log2 of the bytes of the index, from 3.11 on.
        dk_log2_index_bytes: Option<Field<u8>> = "PyDictKeysObject.dk_log2_index_bytes",
        /// 0 general, 1 all keys `str`, 2 split; from 3.11 on.
        dk_kind: Option<Field<u8>> = "PyDictKeysObject.dk_kind",
        /// Used entries.
        dk_nentries: Field<i64> = "PyDictKeysObject.dk_nentries",
        /// The index; the entries follow it.
        dk_indices: Field<Addr> = "PyDictKeysObject.dk_indices",
        /// First value of a split dict's values; up to 3.10 there is no header.
        values: Option<Field<Addr>> = "PyDictValues.values",
        /// Non-zero while inline values are in use, from 3.13 on.
        values_valid: Option<Field<u8>> = "PyDictValues.valid",
    }
    /// Module objects (`Include/internal/pycore_moduleobject.h`).
    module: ModuleLayout {
        /// `module.__dict__`.
        md_dict: Field<Addr> = "PyModuleObject.md_dict",
    }
}
