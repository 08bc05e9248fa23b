//! The generated tables: named offsets for builds that were measured, to be chosen from by what the binary shows.

use super::Offsets;

/// Build options that move fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Build {
    /// Neither of the others.
    Default,
    /// `--with-pydebug` (`Py_DEBUG`).
    Debug,
    /// `--disable-gil` (`Py_GIL_DISABLED`), from 3.13 on.
    FreeThreaded,
}

/// Offsets of one measured build.
#[derive(Debug)]
pub struct Table {
    /// Major, minor and patch release the offsets were taken from.
    pub version: (u8, u8, u8),
    /// Build options they were taken from.
    pub build: Build,
    /// `sizeof(_PyRuntimeState)`: the fingerprint by which builds of one minor version are told apart.
    pub runtime_size: u32,
    /// Name and offset of each field, sizes as `"sizeof NAME"`; sorted by name.
    pub fields: &'static [(&'static str, u32)],
}

impl Table {
    /// The offsets as a set that can be overlaid.
    pub fn offsets(&self) -> Offsets {
        Offsets::of(self.fields)
    }
}
