//! CPython: where its runtime is in a process, which build it is, and where that build keeps things.
//!
//! [`find`] is the way in. What it returns was checked against the process itself: see `validate`.

mod asyncio_debug;
mod choose;
pub mod debug_offsets;
mod find;
pub mod layout;
mod quirks;
mod recognise;
mod scan;
mod validate;

pub use asyncio_debug::{AsyncioDebug, find_asyncio};
pub use find::{FindError, find, find_in_files};
pub use quirks::{Awaits, GeneratorStates, InstanceDict, Instruction, LineTable, Quirks, RunningLoop};
pub use recognise::{KnownFiles, is_named_python};

use crate::base::{Addr, Version};
use layout::{Build, Layout};
use std::fmt;

/// The interpreter's runtime in a process, with everything needed to read it.
#[derive(Clone, Debug)]
pub struct Runtime {
    /// `&_PyRuntime`.
    pub address: Addr,
    /// The file it is part of, as a path in the target's root.
    pub module: String,
    /// How it was found.
    pub found_by: FoundBy,
    /// The exact version.
    pub version: Version,
    /// Built with `--disable-gil`.
    pub free_threaded: bool,
    /// Built with `--with-pydebug`.
    pub debug_build: bool,
    /// The process uses musl's C library.
    pub is_musl: bool,
    /// Where things are.
    pub layout: Layout,
    /// What they mean.
    pub quirks: Quirks,
    /// Where the layout comes from.
    pub layout_source: LayoutSource,
}

/// How a runtime was found; in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FoundBy {
    /// The `.PyRuntime` section, which 3.10 and later have.
    Section,
    /// `_PyRuntime` in the dynamic symbols.
    DynamicSymbol,
    /// `_PyRuntime` in the static symbols.
    StaticSymbol,
    /// A scan of writable memory, each find validated.
    Scan,
}

impl fmt::Display for FoundBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            FoundBy::Section => ".PyRuntime section",
            FoundBy::DynamicSymbol => "_PyRuntime in .dynsym",
            FoundBy::StaticSymbol => "_PyRuntime in .symtab",
            FoundBy::Scan => "scan of writable memory",
        })
    }
}

/// Where a layout comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LayoutSource {
    /// The target's own `_Py_DebugOffsets`.
    DebugOffsets {
        /// The version it says it is.
        version: Version,
    },
    /// A generated table.
    Table {
        /// The version the table was measured on.
        version: (u8, u8, u8),
        /// The build options it was measured on.
        build: Build,
        /// The size of `_PyRuntime` is the same as there.
        exact: bool,
    },
    /// Debug information.
    Dwarf {
        /// The file it is in.
        file: String,
    },
}

impl fmt::Display for LayoutSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LayoutSource::DebugOffsets { version } => write!(f, "debug offsets of {version}"),
            LayoutSource::Table { version: (major, minor, micro), build, exact } => {
                let build = match build {
                    Build::Default => "",
                    Build::Debug => " debug",
                    Build::FreeThreaded => " free-threaded",
                };
                let exact = if *exact { "" } else { ", not the same size but validated" };
                write!(f, "table of {major}.{minor}.{micro}{build}{exact}")
            }
            LayoutSource::Dwarf { file } => write!(f, "DWARF of {file}"),
        }
    }
}

/// Which source of layouts to use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LayoutChoice {
    /// The best that fits.
    #[default]
    Auto,
    /// Only `_Py_DebugOffsets`.
    DebugOffsets,
    /// Only tables.
    Table,
    /// Only DWARF.
    Dwarf,
}
