//! Finding `_PyRuntime` in a process: in the executable, in a mapped library, in their memory when the files are gone.

use super::choose::{Evidence, Fit, NoFit, choose};
use super::debug_offsets::COOKIE;
use super::layout::{Build, FIELD_NAMES, Offsets};
use super::{FoundBy, LayoutChoice, Runtime, scan};
use crate::base::{Addr, FieldValue, Version};
use crate::elf::{ElfError, Image, ReadAt, dwarf};
use crate::os::{Module, Modules, OsError, Process};
use crate::target::{Memory, ReadError};
use std::fs::File;
use std::path::Path;

/// Bytes by which a file is recognised as the one that is mapped: ELF header, program headers, build id.
const HEAD_BYTES: usize = 1024;

/// Why no usable runtime was found.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FindError {
    /// No CPython is mapped.
    #[error("it does not run CPython: no file that it maps has a Python runtime (its executable is {exe})")]
    NotPython {
        /// The executable.
        exe: String,
    },
    /// CPython is mapped and idle.
    #[error(
        "CPython is mapped ({module}), but not (or no longer) initialised: it is starting up or shutting down, or the \
         program has not started its interpreter"
    )]
    NotInitialised {
        /// The file that has the runtime.
        module: String,
    },
    /// A version that is not supported.
    #[error("{what} is not supported: pyattach reads CPython 3.7 and later")]
    Unsupported {
        /// Which, for people.
        what: String,
    },
    /// A 32-bit process.
    #[error("it is a 32-bit process, and pyattach reads 64-bit ones only")]
    ThirtyTwoBit,
    /// No known layout passes validation.
    #[error("CPython is mapped ({module}), but its structures are not where any known layout has them: {reason}")]
    Misfit {
        /// The file that has the runtime.
        module: String,
        /// What did not fit.
        reason: String,
    },
    /// The process itself.
    #[error(transparent)]
    Os(#[from] OsError),
}

/// A place where a runtime may be.
struct Site {
    address: Addr,
    size: Option<u64>,
    version: Option<Version>,
    found_by: FoundBy,
}

/// Finds the runtime of a process and a layout that fits it.
pub fn find(
    process: &Process,
    modules: &Modules,
    memory: &dyn Memory,
    choice: LayoutChoice,
) -> Result<Runtime, FindError> {
    let error = match find_in_files(process, modules, memory, choice) {
        Err(error @ (FindError::NotPython { .. } | FindError::NotInitialised { .. })) => error,
        result => return result,
    };
    let exe = process.exe().unwrap_or_default();
    scan_all(&in_order(modules, &exe), modules, memory, choice).ok_or(error)
}

/// The same without the last resort, the scan of memory, which takes time.
pub fn find_in_files(
    process: &Process,
    modules: &Modules,
    memory: &dyn Memory,
    choice: LayoutChoice,
) -> Result<Runtime, FindError> {
    let exe = process.exe().unwrap_or_default();
    let files = in_order(modules, &exe);
    check_access(process, &files, memory)?;
    let mut best = None;
    for module in &files {
        match try_module(module, process, memory, choice) {
            Ok(Some(runtime)) => return Ok(Runtime { is_musl: is_musl(&files), ..runtime }),
            Ok(None) => {}
            Err(error) => keep_better(&mut best, error),
        }
    }
    Err(best.unwrap_or(FindError::NotPython { exe }))
}

/// The executable first, then what is named like Python, then the rest; each file once a copy.
pub(super) fn in_order<'m>(modules: &'m Modules, exe: &str) -> Vec<&'m Module> {
    let mut files: Vec<&Module> = modules.files.iter().filter(|m| m.base.is_some() && m.executable).collect();
    let rank = |m: &Module| {
        let name = m.path.rsplit('/').next().unwrap_or_default();
        (m.path != exe, !name.contains("python"))
    };
    files.sort_by_key(|m| rank(m));
    files
}

fn check_access(process: &Process, files: &[&Module], memory: &dyn Memory) -> Result<(), FindError> {
    let Some(base) = files.first().and_then(|m| m.base) else { return Ok(()) };
    match memory.read(base, &mut [0]) {
        Err(ReadError::Denied) => Err(process.denied().into()),
        Err(ReadError::Gone) => Err(OsError::Gone(process.pid).into()),
        _ => Ok(()),
    }
}

/// musl's loader is its C library.
fn is_musl(files: &[&Module]) -> bool {
    files.iter().any(|m| m.path.contains("/ld-musl-") || m.path.contains("-linux-musl/libc.so"))
}

/// An error that says more replaces one that says less.
fn keep_better(best: &mut Option<FindError>, error: FindError) {
    let rank = |error: &FindError| match error {
        FindError::Os(_) => 4,
        FindError::Misfit { .. } => 3,
        FindError::NotInitialised { .. } => 2,
        FindError::Unsupported { .. } | FindError::ThirtyTwoBit => 1,
        _ => 0,
    };
    if best.as_ref().is_none_or(|old| rank(old) < rank(&error)) {
        *best = Some(error);
    }
}

fn try_module(
    module: &Module,
    process: &Process,
    memory: &dyn Memory,
    choice: LayoutChoice,
) -> Result<Option<Runtime>, FindError> {
    let Some(base) = module.base else { return Ok(None) };
    let file = matching_file(module, base, memory);
    let mapped = MappedImage { memory, base };
    let image = match &file {
        Some(file) => Image::parse(file),
        None => Image::parse_mapped(&mapped),
    };
    let image = match image {
        Ok(image) => image,
        Err(ElfError::ThirtyTwoBit) => return Err(FindError::ThirtyTwoBit),
        Err(_) => return Ok(None),
    };
    let Some(site) = site_in(&image, base, memory) else {
        return unsupported(&image, module).map_or(Ok(None), Err);
    };
    let dwarf = || dwarf_offsets(file.as_ref()?, module, process);
    let evidence = Evidence { address: site.address, size: site.size, version: site.version, dwarf: &dwarf };
    match choose(memory, &evidence, choice) {
        Ok(fit) => Ok(Some(runtime(fit, site.address, site.found_by, module))),
        Err(no_fit) => Err(no_fit_error(no_fit, module, process.pid)),
    }
}

fn runtime(fit: Fit, address: Addr, found_by: FoundBy, module: &Module) -> Runtime {
    Runtime {
        address,
        module: module.path.clone(),
        found_by,
        version: fit.version,
        free_threaded: fit.build == Build::FreeThreaded,
        debug_build: fit.debug_build,
        is_musl: false,
        layout: fit.layout,
        quirks: fit.quirks,
        layout_source: fit.source,
    }
}

fn no_fit_error(no_fit: NoFit, module: &Module, pid: i32) -> FindError {
    let path = module.path.clone();
    match no_fit {
        NoFit::Gone => OsError::Gone(pid).into(),
        NoFit::Uninitialised => FindError::NotInitialised { module: path },
        NoFit::Unsupported(version) => FindError::Unsupported { what: format!("CPython {version}") },
        NoFit::Misfit(reason) => FindError::Misfit { module: path, reason },
    }
}

/// The file that is mapped, recognised by its first bytes; `None` when it is gone or was replaced.
pub fn matching_file(module: &Module, base: Addr, memory: &dyn Memory) -> Option<File> {
    let mut mapped = vec![0; HEAD_BYTES];
    memory.read(base, &mut mapped).ok()?;
    module.open().find(|file| {
        let length = file.metadata().map_or(0, |m| m.len()).min(HEAD_BYTES as u64) as usize;
        length > 0 && file.read_at(0, length).is_some_and(|head| mapped.starts_with(&head))
    })
}

/// An image read from the process's memory.
pub struct MappedImage<'m> {
    /// The process's memory.
    pub memory: &'m dyn Memory,
    /// Where the image's beginning is mapped.
    pub base: Addr,
}

impl ReadAt for MappedImage<'_> {
    fn read_at(&self, position: u64, len: usize) -> Option<Vec<u8>> {
        let mut bytes = vec![0; len];
        self.memory.read(self.base.offset(position), &mut bytes).ok()?;
        Some(bytes)
    }

    fn mapped_at(&self) -> Option<u64> {
        Some(self.base.0)
    }
}

/// True when the image has what [`site_in`] looks for.
pub(super) fn holds_runtime(image: &Image<'_>) -> bool {
    let [dynamic] = image.dynamic_symbols(["_PyRuntime"]);
    image.section(".PyRuntime").is_some() || dynamic.is_some() || image.static_symbol("_PyRuntime").is_some()
}

fn site_in(image: &Image<'_>, base: Addr, memory: &dyn Memory) -> Option<Site> {
    let bias = image.bias(base)?;
    let at = |vaddr: u64| Addr(vaddr.wrapping_add(bias));
    if let Some(section) = image.section(".PyRuntime") {
        let site =
            Site { address: at(section.addr), size: Some(section.size), version: None, found_by: FoundBy::Section };
        if has_cookie(memory, site.address) {
            return Some(site);
        }
        let [version] = image.dynamic_symbols(["Py_Version"]);
        return Some(Site { version: version.and_then(|symbol| read_version(memory, at(symbol.value))), ..site });
    }
    let [runtime, version] = image.dynamic_symbols(["_PyRuntime", "Py_Version"]);
    let (symbol, found_by) = match runtime {
        Some(symbol) => (symbol, FoundBy::DynamicSymbol),
        None => (image.static_symbol("_PyRuntime")?, FoundBy::StaticSymbol),
    };
    Some(Site {
        address: at(symbol.value),
        size: (symbol.size > 0).then_some(symbol.size),
        version: version.and_then(|symbol| read_version(memory, at(symbol.value))),
        found_by,
    })
}

fn has_cookie(memory: &dyn Memory, address: Addr) -> bool {
    let mut bytes = [0; COOKIE.len()];
    memory.read(address, &mut bytes).is_ok() && bytes == *COOKIE
}

/// `const unsigned long Py_Version` (3.11 on, `Include/pylifecycle.h`).
fn read_version(memory: &dyn Memory, address: Addr) -> Option<Version> {
    let mut bytes = [0; 8];
    memory.read(address, &mut bytes).ok()?;
    Version::from_hex(u32::try_from(u64::from_bytes(&bytes)?).ok()?)
}

/// Pythons without a `_PyRuntime`, by what they export.
pub(super) fn unsupported(image: &Image<'_>, module: &Module) -> Option<FindError> {
    let [thread_state, py2_string, rpython] =
        image.dynamic_symbols(["_PyThreadState_Current", "PyString_Type", "rpython_startup_code"]);
    let name = module.path.rsplit('/').next().unwrap_or_default();
    let what = if rpython.is_some() || name.starts_with("libpypy") || name.starts_with("pypy") {
        "PyPy"
    } else if thread_state.is_some() && py2_string.is_some() {
        "CPython 2.7"
    } else if thread_state.is_some() {
        "CPython 3.6 or older"
    } else {
        return None;
    };
    Some(FindError::Unsupported { what: what.to_owned() })
}

/// Offsets from the file's debug information, or from that of its separate debug file: under the target's root, then ours.
fn dwarf_offsets(file: &File, module: &Module, process: &Process) -> Option<(Offsets, String)> {
    let target_root = process.path_in_root("/");
    dwarf::file_offsets(file, Path::new(&module.path), &[&target_root, Path::new("/")], FIELD_NAMES)
}

fn scan_all(files: &[&Module], modules: &Modules, memory: &dyn Memory, choice: LayoutChoice) -> Option<Runtime> {
    for address in scan::candidates(modules, memory) {
        let evidence = Evidence { address, size: None, version: None, dwarf: &|| None };
        let Ok(fit) = choose(memory, &evidence, choice) else { continue };
        let module =
            files.iter().rev().filter(|m| m.base.is_some_and(|base| base <= address)).max_by_key(|m| m.base)?;
        return Some(runtime(fit, address, FoundBy::Scan, module));
    }
    None
}
