//! Telling the few processes that run a Python from the hundreds that do not, by the files that they map: each file of the
//! machine is looked at once, whoever maps it.
//!
//! What this says is a reason to look closer with [`find`](super::find), no more.

use super::find::{MappedImage, holds_runtime, in_order, matching_file, unsupported};
use crate::elf::{ElfError, Image};
use crate::os::{Module, Modules, Process};
use crate::target::Memory;
use std::collections::HashMap;
use std::sync::Mutex;

/// Device and inode, and the path, as file systems of containers may share the former.
type Identity = (((i32, i32), u64), String);

/// Files that were looked at, and whether a Python runtime is in them. Shared by threads.
#[derive(Default)]
pub struct KnownFiles(Mutex<HashMap<Identity, bool>>);

impl KnownFiles {
    /// True when a file that the process maps, or has started from, may hold a Python: a CPython's runtime, the marks of
    /// one that is not supported, or the name.
    pub fn may_hold_python(&self, process: &Process, modules: &Modules, memory: &dyn Memory) -> bool {
        let exe = process.exe().unwrap_or_default();
        is_named_python(&exe) || in_order(modules, &exe).into_iter().any(|module| self.holds_python(module, memory))
    }

    fn holds_python(&self, module: &Module, memory: &dyn Memory) -> bool {
        let identity = (module.inode, module.path.clone());
        // The lock is not held while a file is read: that may take for ever.
        let known = self.0.lock().ok().and_then(|known| known.get(&identity).copied());
        known.unwrap_or_else(|| {
            let (holds, is_certain) = look(module, memory);
            if let Ok(mut known) = self.0.lock()
                && is_certain
            {
                known.insert(identity, holds);
            }
            holds
        })
    }
}

/// True for the names of Python's files: `python3.12`, `libpython3.12.so.1.0`, `pypy3`.
pub fn is_named_python(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or_default();
    let name = name.strip_prefix("lib").unwrap_or(name);
    ["python", "pypy"].iter().any(|word| {
        name.strip_prefix(word).is_some_and(|rest| !rest.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_'))
    })
}

/// Whether a Python is in the file, and whether that was seen in the file itself.
fn look(module: &Module, memory: &dyn Memory) -> (bool, bool) {
    let Some(base) = module.base else { return (false, true) };
    let file = matching_file(module, base, memory);
    let mapped = MappedImage { memory, base };
    let image = match &file {
        Some(file) => Image::parse(file),
        None => Image::parse_mapped(&mapped),
    };
    let holds = match &image {
        Ok(image) => holds_runtime(image) || unsupported(image, module).is_some(),
        Err(ElfError::ThirtyTwoBit) => is_named_python(&module.path),
        Err(_) => false,
    };
    (holds, file.is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for name in ["/usr/bin/python3.12", "/usr/lib/libpython3.12.so.1.0", "python", "/opt/pypy3.9", "libpypy3-c.so"]
        {
            assert!(is_named_python(name), "{name}");
        }
        for name in
            ["/bin/bash", "/usr/lib/libpython_helpers.so", "/python/bin/ruby", "/usr/lib/libboost_python39.so", ""]
        {
            assert!(!is_named_python(name), "{name}");
        }
    }
}
