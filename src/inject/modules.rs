//! What mapped code belongs to, as far as it matters to whoever wants to interrupt it: CPython's own code is known to bear
//! that, the C library in part, all other code is not.

use crate::base::Addr;
use crate::cpython::{Runtime, is_named_python};
use crate::os::{CodeFrom, Module, Modules};

/// Whose code something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Owner {
    /// CPython's: the executable, or `libpython`.
    Runtime,
    /// One of the standard library's extension modules, other than `_ctypes`: that calls what others wrote.
    Stdlib,
    /// The C library: `libc`, and `libpthread` where that is a file of its own (glibc before 2.34).
    CLibrary,
    /// The dynamic loader. musl's is its C library.
    Loader,
    /// The kernel's: the vDSO.
    Kernel,
    /// Anything else from a file: an extension module, the library behind it, the program that embeds the interpreter.
    Foreign,
    /// Made at run time, or not mapped as code at all.
    NoFile,
}

impl Owner {
    /// True for code that CPython's developers wrote.
    pub fn is_cpython(self) -> bool {
        matches!(self, Owner::Runtime | Owner::Stdlib)
    }
}

/// Who owns which code.
pub struct CodeMap<'m> {
    /// What is mapped.
    pub modules: &'m Modules,
    owners: Vec<Owner>,
}

impl<'m> CodeMap<'m> {
    /// Goes through the mapped files once.
    pub fn new(modules: &'m Modules, runtime: &Runtime) -> CodeMap<'m> {
        let owners = modules.files.iter().map(|module| owner(&module.path, runtime)).collect();
        CodeMap { modules, owners }
    }

    /// Whose code is at an address.
    pub fn owner(&self, addr: Addr) -> Owner {
        match self.modules.code_at(addr).map(|range| range.from) {
            Some(CodeFrom::File(file)) => self.owners.get(file).copied().unwrap_or(Owner::NoFile),
            Some(CodeFrom::Kernel) => Owner::Kernel,
            Some(CodeFrom::Anonymous) | None => Owner::NoFile,
        }
    }

    /// The file that the code at an address is from: its place in the list, and what is known of it.
    pub fn file(&self, addr: Addr) -> Option<(usize, &'m Module)> {
        match self.modules.code_at(addr)?.from {
            CodeFrom::File(file) => self.modules.files.get(file).map(|module| (file, module)),
            _ => None,
        }
    }

    /// The files of one owner.
    pub fn files_of(&self, owner: Owner) -> impl Iterator<Item = &'m Module> + '_ {
        let files = self.modules.files.iter().zip(&self.owners);
        files.filter(move |(module, own)| **own == owner && module.executable).map(|(module, _)| module)
    }

    /// A name for the code at an address, for people.
    pub fn name(&self, addr: Addr) -> String {
        match self.modules.code_at(addr).map(|range| range.from) {
            Some(CodeFrom::File(file)) => {
                self.modules.files.get(file).map(|module| base_name(&module.path).to_owned()).unwrap_or_default()
            }
            Some(CodeFrom::Kernel) => "the vDSO".to_owned(),
            Some(CodeFrom::Anonymous) => "code made at run time".to_owned(),
            None => "memory that is not code".to_owned(),
        }
    }

    /// True when the C library has no file of its own: it is linked into the executable.
    pub fn is_static(&self) -> bool {
        !self.owners.contains(&Owner::CLibrary)
    }
}

fn base_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or_default()
}

fn owner(path: &str, runtime: &Runtime) -> Owner {
    let name = base_name(path);
    if path == runtime.module {
        // A program that has the interpreter linked into it has code of its own between CPython's.
        return if is_named_python(path) { Owner::Runtime } else { Owner::Foreign };
    }
    if is_library(name, "libc") && is_c_library(path, name) || name.starts_with("ld-musl-") {
        return Owner::CLibrary;
    }
    if ["libpthread", "librt"].iter().any(|library| is_library(name, library)) {
        return Owner::CLibrary;
    }
    if name.starts_with("ld-") || name == "ld.so" {
        return Owner::Loader;
    }
    // `_ctypes` calls functions that are nobody's here, and has libffi linked into it at times.
    if path.contains("/lib-dynload/") && !name.starts_with("_ctypes") {
        return Owner::Stdlib;
    }
    Owner::Foreign
}

/// `libc.so.6` is `libc`, and so are `libc-2.31.so` and musl's `libc.so`.
fn is_library(name: &str, library: &str) -> bool {
    let rest = name.strip_prefix(library);
    rest.is_some_and(|rest| rest.starts_with(".so") || rest.starts_with("-2.") && rest.ends_with(".so"))
}

/// A file of an application may be called `libc.so` too; the C library is in a directory of libraries.
fn is_c_library(path: &str, name: &str) -> bool {
    let directory = path.strip_suffix(name).unwrap_or_default();
    directory.contains("/lib") || directory.contains("musl")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_are_known_by_name() {
        for name in ["libc.so.6", "libc-2.31.so", "libc.so"] {
            assert!(is_library(name, "libc"), "{name}");
        }
        for name in ["libcrypto.so.3", "libcap.so.2", "libc++.so.1", "libcurl.so"] {
            assert!(!is_library(name, "libc"), "{name}");
        }
        assert!(is_library("libpthread-2.31.so", "libpthread") && is_library("libpthread.so.0", "libpthread"));
    }
}
