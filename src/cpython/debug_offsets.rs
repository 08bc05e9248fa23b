//! `_Py_DebugOffsets`: the table by which CPython 3.13 and later describe themselves at the start of `_PyRuntime`
//! (`Include/internal/pycore_runtime.h` in 3.13, `pycore_debug_offsets.h` from 3.14 on).
//!
//! Members were inserted in the middle in 3.14 and 3.15, so the shape goes by minor version; within one it never changed.
//! The table comes from the target's memory and is checked like any other untrusted input.

use super::layout::Offsets;
use crate::base::{FieldValue, Version};

/// First bytes of the table (`_Py_Debug_Cookie`).
pub const COOKIE: &[u8; 8] = b"xdebugpy";
/// Bytes of the largest known table (3.15: 888), to be read at once.
pub const TABLE_BYTES: usize = 888;
/// No structure but the runtime and the interpreter comes near this size.
const SANE_SIZE: u64 = 1 << 24;

/// The newest minor version whose shape is known.
const NEWEST: u8 = 15;

/// A member: the minor version that brought it, and what it is. Every section starts with a size.
enum Member {
    /// A section's `size` member.
    Size(u8, &'static str),
    /// An offset in the section's structure that readers use.
    Offset(u8, &'static str),
    /// An offset in a structure that has a section before this one.
    Elsewhere(u8, &'static str),
    /// An offset nobody here uses.
    Unused(u8),
}
use Member::{Elsewhere, Offset, Size, Unused};

/// The table up to the last member of interest, in the order of 3.15.
const MEMBERS: &[Member] = &[
    Size(13, "sizeof _PyRuntimeState"),
    Offset(13, "_PyRuntimeState._finalizing"),
    Offset(13, "_PyRuntimeState.interpreters.head"),
    Size(13, "sizeof PyInterpreterState"),
    Offset(13, "PyInterpreterState.id"),
    Offset(13, "PyInterpreterState.next"),
    Offset(13, "PyInterpreterState.threads.head"),
    Unused(14), // threads_main
    Offset(13, "PyInterpreterState.gc"),
    Offset(13, "PyInterpreterState.imports.modules"),
    Offset(13, "PyInterpreterState.sysdict"),
    Unused(13), // builtins
    Offset(13, "PyInterpreterState.ceval.gil"),
    Offset(13, "PyInterpreterState._gil"),
    Offset(13, "PyInterpreterState._gil.enabled"),
    Offset(13, "PyInterpreterState._gil.locked"),
    Offset(13, "PyInterpreterState._gil.last_holder"),
    Unused(14), // code_object_generation
    Unused(14), // tlbc_generation
    Size(13, "sizeof PyThreadState"),
    Unused(13), // prev
    Offset(13, "PyThreadState.next"),
    Offset(13, "PyThreadState.interp"),
    Offset(13, "PyThreadState.current_frame"),
    Offset(15, "PyThreadState.base_frame"),
    Unused(15), // last_profiled_frame
    Unused(15), // last_profiled_frame_seq
    Offset(13, "PyThreadState.thread_id"),
    Offset(13, "PyThreadState.native_thread_id"),
    Offset(13, "PyThreadState.datastack_chunk"),
    Unused(13), // status
    Unused(15), // holds_gil
    Unused(15), // gil_requested
    Unused(15), // current_exception
    Unused(15), // exc_state
    Unused(15), // err_stackitem.exc_value
    Size(13, "sizeof _PyInterpreterFrame"),
    Offset(13, "_PyInterpreterFrame.previous"),
    Offset(13, "_PyInterpreterFrame.f_executable"),
    Offset(13, "_PyInterpreterFrame.instr_ptr"),
    Offset(13, "_PyInterpreterFrame.localsplus"),
    Offset(13, "_PyInterpreterFrame.owner"),
    Unused(14), // stackpointer
    Offset(14, "_PyInterpreterFrame.tlbc_index"),
    Size(13, "sizeof PyCodeObject"),
    Offset(13, "PyCodeObject.co_filename"),
    Offset(13, "PyCodeObject.co_name"),
    Offset(13, "PyCodeObject.co_qualname"),
    Offset(13, "PyCodeObject.co_linetable"),
    Offset(13, "PyCodeObject.co_firstlineno"),
    Offset(13, "PyCodeObject.co_argcount"),
    Offset(13, "PyCodeObject.co_localsplusnames"),
    Offset(13, "PyCodeObject.co_localspluskinds"),
    Offset(13, "PyCodeObject.co_code_adaptive"),
    Offset(14, "PyCodeObject.co_tlbc"),
    Size(13, "sizeof PyObject"),
    Offset(13, "PyObject.ob_type"),
    Size(13, "sizeof PyTypeObject"),
    Offset(13, "PyTypeObject.tp_name"),
    Unused(13), // tp_repr
    Offset(13, "PyTypeObject.tp_flags"),
    Offset(15, "PyTypeObject.tp_basicsize"),
    Offset(15, "PyTypeObject.tp_dictoffset"),
    Size(15, "sizeof PyHeapTypeObject"),
    Offset(15, "PyHeapTypeObject.ht_cached_keys"),
    Size(13, "sizeof PyTupleObject"),
    Offset(13, "PyTupleObject.ob_item"),
    Unused(13), // tuple ob_size
    Size(13, "sizeof PyListObject"),
    Offset(13, "PyListObject.ob_item"),
    Unused(13), // list ob_size
    Size(14, "sizeof PySetObject"),
    Offset(14, "PySetObject.used"),
    Offset(14, "PySetObject.table"),
    Offset(14, "PySetObject.mask"),
    Size(13, "sizeof PyDictObject"),
    Offset(13, "PyDictObject.ma_keys"),
    Offset(13, "PyDictObject.ma_values"),
    Size(13, "sizeof PyFloatObject"),
    Offset(13, "PyFloatObject.ob_fval"),
    Size(13, "sizeof PyLongObject"),
    Offset(13, "PyLongObject.long_value.lv_tag"),
    Offset(13, "PyLongObject.long_value.ob_digit"),
    Size(13, "sizeof PyBytesObject"),
    Offset(13, "PyVarObject.ob_size"),
    Offset(13, "PyBytesObject.ob_sval"),
    Size(13, "sizeof PyUnicodeObject"),
    Offset(13, "PyASCIIObject.state"),
    Offset(13, "PyASCIIObject.length"),
    Offset(13, "sizeof PyASCIIObject"),
    Offset(15, "sizeof PyCompactUnicodeObject"),
    Size(13, "sizeof struct _gc_runtime_state"),
    Offset(13, "struct _gc_runtime_state.collecting"),
    Unused(15), // gc frame
    Unused(15), // generation_stats_size
    Unused(15), // generation_stats
    Unused(14), // generator size
    Unused(14), // gi_name
    Unused(14), // gi_iframe
    Unused(14), // gi_frame_state
    Unused(14), // llist_node next
    Unused(14), // llist_node prev
    Elsewhere(14, "PyThreadState.eval_breaker"),
    Elsewhere(14, "PyThreadState.remote_debugger_support"),
    Elsewhere(14, "PyInterpreterState.config.remote_debug"),
    Elsewhere(14, "struct _PyRemoteDebuggerSupport.debugger_pending_call"),
    Elsewhere(14, "struct _PyRemoteDebuggerSupport.debugger_script_path"),
];

/// Members that say "there is none" with 0.
const ABSENT_WHEN_ZERO: &[&str] =
    &["PyInterpreterState._gil.enabled", "_PyInterpreterFrame.tlbc_index", "PyCodeObject.co_tlbc"];

/// What the table says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DebugOffsets {
    /// `PY_VERSION_HEX`, decoded.
    pub version: Version,
    /// Built with `--disable-gil`.
    pub free_threaded: bool,
    /// Sizes and offsets under CPython's names.
    pub offsets: Offsets,
}

/// Why a table is not to be trusted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DebugOffsetsError {
    /// The cookie is not there: 3.12 or older, or not a runtime.
    #[error("no _Py_DebugOffsets here")]
    NoCookie,
    /// No such version can have a table.
    #[error("_Py_DebugOffsets with an impossible version ({0:#x})")]
    Version(u64),
    /// A value that cannot be.
    #[error("_Py_DebugOffsets says {value:#x} for {name}")]
    Value {
        /// Which member.
        name: &'static str,
        /// Its value.
        value: u64,
    },
    /// The bytes end too soon.
    #[error("_Py_DebugOffsets is cut off")]
    CutOff,
}

/// Parses and checks the table.
pub fn parse(bytes: &[u8]) -> Result<DebugOffsets, DebugOffsetsError> {
    let rest = bytes.strip_prefix(COOKIE).ok_or(DebugOffsetsError::NoCookie)?;
    let mut words = rest.chunks_exact(8).filter_map(u64::from_bytes);
    let mut next = || words.next().ok_or(DebugOffsetsError::CutOff);
    let hex = next()?;
    let version = u32::try_from(hex).ok().and_then(Version::from_hex);
    let version = version.filter(|v| v.major == 3 && v.minor >= 13).ok_or(DebugOffsetsError::Version(hex))?;
    let free_threaded = match next()? {
        flag @ 0..=1 => flag == 1,
        value => return Err(DebugOffsetsError::Value { name: "free_threaded", value }),
    };
    let shape = version.minor.min(NEWEST);
    let mut offsets = Offsets::new();
    let mut section_size = 0;
    for member in MEMBERS {
        let (Size(since, _) | Offset(since, _) | Elsewhere(since, _) | Unused(since)) = member;
        if *since > shape {
            continue;
        }
        let value = next()?;
        match *member {
            Unused(_) => {}
            Size(_, name) => {
                if value == 0 || value > SANE_SIZE {
                    return Err(DebugOffsetsError::Value { name, value });
                }
                section_size = value;
                offsets.set(name, value as u32);
            }
            Offset(_, name) if value == 0 && ABSENT_WHEN_ZERO.contains(&name) => offsets.remove(name),
            Offset(_, name) => {
                if value >= section_size && !name.starts_with("sizeof") || value > SANE_SIZE {
                    return Err(DebugOffsetsError::Value { name, value });
                }
                offsets.set(name, value as u32);
            }
            Elsewhere(_, name) if value > SANE_SIZE => return Err(DebugOffsetsError::Value { name, value }),
            Elsewhere(_, name) => offsets.set(name, value as u32),
        }
    }
    derive(&mut offsets);
    Ok(DebugOffsets { version, free_threaded, offsets })
}

/// Offsets that follow from two members: in the GIL's own structure, of a member of the interpreter's `gc`, and of what
/// remote debugging keeps in a thread state.
fn derive(offsets: &mut Offsets) {
    if let Some(gil) = offsets.get("PyInterpreterState._gil") {
        for member in ["enabled", "locked", "last_holder"] {
            let within = offsets.get(&format!("PyInterpreterState._gil.{member}")).and_then(|at| at.checked_sub(gil));
            match within {
                Some(within) => offsets.set(format!("struct _gil_runtime_state.{member}"), within),
                None => offsets.remove(&format!("struct _gil_runtime_state.{member}")),
            }
        }
    }
    if let (Some(gc), Some(collecting)) =
        (offsets.get("PyInterpreterState.gc"), offsets.get("struct _gc_runtime_state.collecting"))
    {
        offsets.set("PyInterpreterState.gc.collecting", gc.saturating_add(collecting));
    }
    let support = offsets.get("PyThreadState.remote_debugger_support");
    for member in ["debugger_pending_call", "debugger_script_path"] {
        let within = offsets.get(&format!("struct _PyRemoteDebuggerSupport.{member}"));
        if let (Some(support), Some(within)) = (support, within) {
            offsets.set(format!("PyThreadState.remote_debugger_support.{member}"), support.saturating_add(within));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(version: u64, values: impl Fn(usize) -> u64) -> Vec<u8> {
        let mut bytes = COOKIE.to_vec();
        bytes.extend(version.to_le_bytes());
        bytes.extend(0u64.to_le_bytes());
        (0..MEMBERS.len()).for_each(|i| bytes.extend(values(i).to_le_bytes()));
        bytes
    }

    #[test]
    fn a_table_that_contradicts_itself_is_refused() {
        assert_eq!(parse(b"something else"), Err(DebugOffsetsError::NoCookie));
        assert_eq!(parse(&table(0x0203_00f0, |_| 8)), Err(DebugOffsetsError::Version(0x0203_00f0)));
        assert!(matches!(parse(&table(0x030f_00f0, |_| 8)), Err(DebugOffsetsError::Value { value: 8, .. })));
        assert!(matches!(parse(&table(0x030f_00f0, |_| u64::MAX)), Err(DebugOffsetsError::Value { .. })));
        let mut cut = table(0x030f_00f0, |_| 8);
        cut.truncate(30);
        assert_eq!(parse(&cut), Err(DebugOffsetsError::CutOff));
    }
}
