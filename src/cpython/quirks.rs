//! What a field *means* where that changed between versions: the only place, beside the choice of a layout, where version
//! numbers are compared.

use super::layout::Build;
use crate::base::Version;

/// Format of `co_lnotab` / `co_linetable`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LineTable {
    /// Pairs of unsigned address and signed line increments, up to 3.9 (`Objects/lnotab_notes.txt`).
    Lnotab,
    /// Pairs of unsigned address and signed line deltas, -128 for no line; 3.10 (`Objects/lnotab_notes.txt`).
    Deltas,
    /// Entries with line and column ranges, from 3.11 on (`Objects/locations.md`, 3.13 on `InternalDocs/code_objects.md`).
    Locations,
}

/// How the current instruction of a frame is recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Instruction {
    /// `f_lasti` in bytes, up to 3.9.
    Bytes,
    /// `f_lasti` in code units of two bytes, 3.10.
    CodeUnits,
    /// `prev_instr`: the instruction that was begun last, or its last inline cache; 3.11 and 3.12.
    Previous,
    /// `instr_ptr`: the instruction being executed, or about to be; from 3.13 on.
    Pointer,
}

/// How the `__dict__` of an instance without `tp_dictoffset` is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InstanceDict {
    /// Only by `tp_dictoffset`, up to 3.10.
    Offset,
    /// Values 32 bytes and dict 24 bytes before the object, 3.11.
    ValuesAndDict,
    /// One word 24 bytes before the object: a dict, or tagged values; 3.12.
    Tagged,
    /// Dict before the object, values inside it; from 3.13 on.
    Inline {
        /// Dict pointer this many bytes before the object.
        dict_before: u64,
        /// Values right behind the object header (3.13) instead of at `tp_basicsize`.
        values_after_header: bool,
    },
}

/// How a suspended generator shows whether it awaits something, and what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Awaits {
    /// Its next instruction is `YIELD_FROM`; the last value on its stack. Up to 3.10.
    YieldFrom,
    /// The argument of its next instruction, which is `RESUME`, is 2 or 3; the last value on its stack. 3.11 and 3.12.
    Resume,
    /// Its state says so, from 3.13 on (`Include/internal/pycore_frame.h`, 3.14 on `pycore_interpframe.h`).
    State {
        /// The states that do: `FRAME_SUSPENDED_YIELD_FROM`, and the same `LOCKED` by another thread.
        suspended: [i8; 2],
        /// The value is so many slots before the end of its stack.
        from_top: u64,
    },
}

/// Where a thread has its running event loop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunningLoop {
    /// In the dict of its thread state, up to 3.12.
    Dict,
    /// Right behind its `PyThreadState`: the first own member of `_PyThreadStateImpl`
    /// (`Include/internal/pycore_tstate.h`), 3.13.
    BehindThread,
    /// Where `_Py_AsyncioDebug` says, from 3.14 on.
    Debug,
}

/// Values of `gi_frame_state` (3.11 on).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GeneratorStates {
    /// It has not begun.
    pub created: i8,
    /// It is executed.
    pub executing: i8,
    /// The first of those in which it has ended.
    pub ended: i8,
    /// The last of all.
    pub last: i8,
}

/// Everything about a version that is not an offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quirks {
    /// How generators and coroutines await.
    pub awaits: Awaits,
    /// What their states are.
    pub generator_states: GeneratorStates,
    /// Where a thread has its running event loop.
    pub running_loop: RunningLoop,
    /// Format of line tables.
    pub line_table: LineTable,
    /// Meaning of the instruction field.
    pub instruction: Instruction,
    /// Way to the attributes of an instance.
    pub instance_dict: InstanceDict,
    /// Bit of a string's state at which `kind` (3 bits), `compact` and `ascii` begin.
    pub unicode_kind_shift: u32,
    /// Frames are chained through `_PyCFrame`s on the C stack.
    pub cframes: bool,
    /// Frames are `_PyInterpreterFrame`s, not `PyFrameObject`s.
    pub interpreter_frames: bool,
    /// Evaluation loops are entered through a frame of their own (`owner` 3 or more); without one, `is_entry` marks them.
    pub entry_frames: bool,
    /// No GIL protects the interpreter.
    pub free_threaded: bool,
}

impl Quirks {
    /// The quirks of a version.
    pub fn of(version: Version, build: Build) -> Quirks {
        let minor = version.minor;
        let free_threaded = build == Build::FreeThreaded;
        Quirks {
            awaits: match minor {
                ..=10 => Awaits::YieldFrom,
                11 | 12 => Awaits::Resume,
                13 | 14 => Awaits::State { suspended: [-1, -1], from_top: 1 },
                // The slot behind it is for the method that sends to it.
                _ => Awaits::State { suspended: [2, 3], from_top: 2 },
            },
            generator_states: match minor {
                ..=12 => GeneratorStates { created: -2, executing: 0, ended: 1, last: 4 },
                13 | 14 => GeneratorStates { created: -3, executing: 0, ended: 1, last: 4 },
                _ => GeneratorStates { created: 0, executing: 4, ended: 5, last: 5 },
            },
            running_loop: match minor {
                ..=12 => RunningLoop::Dict,
                13 => RunningLoop::BehindThread,
                _ => RunningLoop::Debug,
            },
            line_table: match minor {
                ..=9 => LineTable::Lnotab,
                10 => LineTable::Deltas,
                _ => LineTable::Locations,
            },
            instruction: match minor {
                ..=9 => Instruction::Bytes,
                10 => Instruction::CodeUnits,
                11 | 12 => Instruction::Previous,
                _ => Instruction::Pointer,
            },
            instance_dict: match minor {
                ..=10 => InstanceDict::Offset,
                11 => InstanceDict::ValuesAndDict,
                12 => InstanceDict::Tagged,
                _ => InstanceDict::Inline {
                    dict_before: if free_threaded { 8 } else { 24 },
                    values_after_header: minor == 13,
                },
            },
            unicode_kind_shift: if free_threaded && minor >= 14 { 8 } else { 2 },
            cframes: matches!(minor, 11 | 12),
            interpreter_frames: minor >= 11,
            entry_frames: minor >= 12,
            free_threaded,
        }
    }
}
