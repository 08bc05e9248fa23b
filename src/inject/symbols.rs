//! Addresses in the target: functions that are to be called there, and the few instructions that are to be run.
//!
//! Everything is read from the files that are mapped, or from memory where they are gone. Nothing is called to find it.

use super::modules::{CodeMap, Owner};
use crate::base::{Addr, FieldValue};
use crate::cpython::{MappedImage, Runtime, matching_file};
use crate::elf::{Function, Image};
use crate::os::Module;
use crate::target::{Memory, ReadError};

/// Executable bytes of one file that are looked through for instructions.
const CODE_BYTES: usize = 16 << 20;
/// Bytes looked at together; pieces overlap by the longest pattern.
const PIECE: usize = 256 << 10;
/// `syscall; ret`.
const SYSCALL_RET: &[u8] = &[0x0f, 0x05, 0xc3];
/// `mov $15, %rax; syscall` (glibc `__restore_rt`, `sysdeps/unix/sysv/linux/x86_64/libc_sigaction.c`, and musl's
/// `src/signal/x86_64/restore.s`), and `mov $15, %eax; syscall` as other assemblers write the latter.
const RESTORERS: [&[u8]; 2] = [&[0x48, 0xc7, 0xc0, 0x0f, 0, 0, 0, 0x0f, 0x05], &[0xb8, 0x0f, 0, 0, 0, 0x0f, 0x05]];

/// Instructions that come back from a signal handler.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Restorer {
    /// Where a signal handler returns to.
    pub address: Addr,
    /// Where the thread is while in `rt_sigreturn`: behind the `syscall`.
    pub after_call: Addr,
}

/// A function under one of its names.
#[derive(Clone, Debug)]
struct Named {
    name: String,
    addr: Addr,
    size: u64,
    /// It only chooses another (`STT_GNU_IFUNC`).
    indirect: bool,
}

/// Functions of one file or more, by name and by address.
#[derive(Clone, Debug, Default)]
pub struct Functions {
    /// In the order of addresses.
    named: Vec<Named>,
}

impl Functions {
    fn add(&mut self, functions: Vec<Function>, bias: u64) {
        self.named.extend(functions.into_iter().map(|function| Named {
            addr: Addr(function.value).offset(bias),
            name: function.name,
            size: function.size,
            indirect: function.indirect,
        }));
        self.named.sort_by(|a, b| (a.addr, &a.name).cmp(&(b.addr, &b.name)));
    }

    /// The address of a function that can be called; `None` for one that only chooses another.
    pub fn get(&self, name: &str) -> Option<Addr> {
        self.named.iter().find(|known| known.name == name && !known.indirect).map(|known| known.addr)
    }

    /// All names of the function that begins at an address.
    pub fn names_at(&self, addr: Addr) -> impl Iterator<Item = &str> {
        let from = self.named.partition_point(|known| known.addr < addr);
        self.named.iter().skip(from).take_while(move |known| known.addr == addr).map(|known| known.name.as_str())
    }

    /// The name of the function that an address is in, where its size is recorded.
    pub fn name_around(&self, addr: Addr) -> Option<&str> {
        let after = self.named.partition_point(|known| known.addr <= addr);
        let known = self.named.get(after.checked_sub(1)?)?;
        (addr.0 - known.addr.0 < known.size).then_some(known.name.as_str())
    }

    /// True when there are none.
    pub fn is_empty(&self) -> bool {
        self.named.is_empty()
    }
}

/// Why no script can be run: something that is needed for it is not in the target.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SymbolError {
    /// The interpreter's functions cannot be found.
    #[error("{module} exports no functions of CPython, as a program that has the interpreter built in may do")]
    NoPython {
        /// The file that has the runtime.
        module: String,
    },
    /// The C library's code cannot be read, or has not what is needed.
    #[error("the code of the C library has no {0}")]
    NoInstructions(&'static str),
}

/// Addresses in one process.
#[derive(Clone, Debug)]
pub struct Symbols {
    /// CPython's functions, by the names of its C API.
    pub python: Functions,
    /// The C library's.
    pub libc: Functions,
    /// `syscall; ret` in the C library.
    pub syscall: Addr,
    /// Where signal handlers return to, in the C library.
    pub restorer: Restorer,
    /// Where a thread's `struct rseq` is, relative to its control block; glibc 2.35 and later say so.
    pub rseq_offset: Option<i64>,
}

impl Symbols {
    /// Looks them up. Takes some milliseconds; the target runs meanwhile.
    pub fn find(code: &CodeMap<'_>, memory: &dyn Memory, runtime: &Runtime) -> Result<Symbols, SymbolError> {
        let module = code.modules.files.iter().find(|module| module.path == runtime.module && module.base.is_some());
        let mut python = Functions::default();
        module.into_iter().for_each(|module| add_functions(&mut python, module, memory));
        if python.get("Py_AddPendingCall").is_none() {
            return Err(SymbolError::NoPython { module: runtime.module.clone() });
        }
        let libraries: Vec<&Module> = match code.is_static() {
            true => module.into_iter().collect(),
            false => code.files_of(Owner::CLibrary).collect(),
        };
        let mut libc = Functions::default();
        libraries.iter().for_each(|library| add_functions(&mut libc, library, memory));
        let (syscall, restorer) = instructions(code, &libraries, memory)?;
        let rseq_offset = libraries.iter().find_map(|library| rseq_offset(library, memory));
        Ok(Symbols { python, libc, syscall, restorer, rseq_offset })
    }

    /// A name for the function at an address or around it.
    pub fn name(&self, addr: Addr) -> Option<&str> {
        let at = self.python.names_at(addr).chain(self.libc.names_at(addr)).next();
        at.or_else(|| self.python.name_around(addr)).or_else(|| self.libc.name_around(addr))
    }
}

/// Adds the functions that a file exports; none where it cannot be read.
fn add_functions(to: &mut Functions, module: &Module, memory: &dyn Memory) {
    let add = |image: &Image<'_>, bias| to.add(image.dynamic_functions(), bias);
    let _ = with_image(module, memory, add);
}

/// `__rseq_offset` (`sys/rseq.h`), unless `__rseq_size` says that there is none.
fn rseq_offset(module: &Module, memory: &dyn Memory) -> Option<i64> {
    let symbols = |image: &Image<'_>, bias: u64| {
        image.dynamic_symbols(["__rseq_offset", "__rseq_size"]).map(|s| Some(Addr(s?.value).offset(bias)))
    };
    let [offset, size] = with_image(module, memory, symbols)?;
    let mut bytes = [0; 4];
    memory.read(size?, &mut bytes).ok()?;
    let offset = read_word(memory, offset?).ok()?;
    (bytes != [0; 4]).then_some(offset.0 as i64)
}

fn with_image<T>(module: &Module, memory: &dyn Memory, look: impl FnOnce(&Image<'_>, u64) -> T) -> Option<T> {
    let base = module.base?;
    let file = matching_file(module, base, memory);
    let mapped = MappedImage { memory, base };
    let image = match &file {
        Some(file) => Image::parse(file),
        None => Image::parse_mapped(&mapped),
    };
    let image = image.ok()?;
    let bias = image.bias(base)?;
    Some(look(&image, bias))
}

fn instructions(
    code: &CodeMap<'_>,
    libraries: &[&Module],
    memory: &dyn Memory,
) -> Result<(Addr, Restorer), SymbolError> {
    let (mut syscall, mut restorer) = (None, None);
    for range in &code.modules.code {
        let file = code.file(Addr(range.start)).map(|(_, module)| &module.path);
        if !libraries.iter().any(|library| Some(&library.path) == file) {
            continue;
        }
        let len = usize::try_from(range.end - range.start).unwrap_or(CODE_BYTES).min(CODE_BYTES);
        let mut at = 0;
        while at < len && (syscall.is_none() || restorer.is_none()) {
            let mut bytes = vec![0; PIECE.min(len - at)];
            let start = Addr(range.start).offset(at as u64);
            if memory.read(start, &mut bytes).is_ok() {
                syscall = syscall.or_else(|| find_bytes(&bytes, SYSCALL_RET).map(|at| start.offset(at)));
                restorer = restorer.or_else(|| find_restorer(&bytes, start));
            }
            at += PIECE - 16;
        }
    }
    let syscall = syscall.ok_or(SymbolError::NoInstructions("`syscall; ret`"))?;
    Ok((syscall, restorer.ok_or(SymbolError::NoInstructions("`rt_sigreturn`"))?))
}

fn find_bytes(bytes: &[u8], pattern: &[u8]) -> Option<u64> {
    bytes.windows(pattern.len()).position(|window| window == pattern).map(|at| at as u64)
}

fn find_restorer(bytes: &[u8], start: Addr) -> Option<Restorer> {
    RESTORERS.iter().find_map(|pattern| {
        let address = start.offset(find_bytes(bytes, pattern)?);
        Some(Restorer { address, after_call: address.offset(pattern.len() as u64) })
    })
}

/// Whether the interpreter is initialised: what `Py_IsInitialized` would return, read and not called, as it must not be
/// called before the loader has relocated it. `None` when it cannot be told.
pub fn is_initialized(runtime: &Runtime, python: &Functions, memory: &dyn Memory) -> Option<bool> {
    let flag = match runtime.layout.runtime.initialized {
        Some(field) => field.of(runtime.address),
        None => {
            let function = python.get("Py_IsInitialized")?;
            let mut bytes = [0; 24];
            memory.read(function, &mut bytes).ok()?;
            initialized_flag(&bytes, function, |pointer| read_word(memory, pointer).ok())?
        }
    };
    let mut bytes = [0; 4];
    memory.read(flag, &mut bytes).ok()?;
    Some(bytes != [0; 4])
}

fn read_word(memory: &dyn Memory, addr: Addr) -> Result<Addr, ReadError> {
    let mut bytes = [0; 8];
    memory.read(addr, &mut bytes)?;
    Addr::from_bytes(&bytes).ok_or(ReadError::Invalid("pointer"))
}

/// Where the flag is that `Py_IsInitialized` returns, from its code at `start`. Compilers write one of
/// `mov flag(%rip), %eax`; `mov runtime@GOT(%rip), %rax` or `lea runtime(%rip), %rax`, and then `mov offset(%rax), %eax`.
fn initialized_flag(code: &[u8], start: Addr, read: impl Fn(Addr) -> Option<Addr>) -> Option<Addr> {
    const ENDBR64: &[u8] = &[0xf3, 0x0f, 0x1e, 0xfa];
    // A debug build sets up a frame: `push %rbp; mov %rsp, %rbp`.
    const FRAME: &[u8] = &[0x55, 0x48, 0x89, 0xe5];
    let mut rest = code;
    for start in [ENDBR64, FRAME] {
        rest = rest.strip_prefix(start).unwrap_or(rest);
    }
    let relative = |bytes: &[u8]| {
        let behind = start.offset((code.len() - bytes.len() + 4) as u64);
        Some(behind.offset(i64::from(i32::from_bytes(bytes)?) as u64))
    };
    match rest {
        [0x8b, 0x05, more @ ..] => relative(more),
        [0x48, kind @ (0x8b | 0x8d), 0x05, more @ ..] => {
            let pointer = relative(more)?;
            let runtime = if *kind == 0x8b { read(pointer)? } else { pointer };
            match more.get(4..)? {
                [0x8b, 0x40, offset, ..] => Some(runtime.offset(i64::from(*offset as i8) as u64)),
                [0x8b, 0x80, offset @ ..] => Some(runtime.offset(i64::from(i32::from_bytes(offset)?) as u64)),
                [0x8b, 0x00, ..] => Some(runtime),
                _ => None,
            }
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_shapes_of_py_is_initialized_are_read() {
        let start = Addr(0x1000);
        let read = |at: Addr| (at == Addr(0x1000 + 7 + 0x100)).then_some(Addr(0x9000));
        let flag = |code: &[u8]| initialized_flag(code, start, read);
        assert_eq!(flag(&[0x8b, 0x05, 0x10, 0, 0, 0, 0xc3]), Some(Addr(0x1016)));
        assert_eq!(flag(&[0xf3, 0x0f, 0x1e, 0xfa, 0x8b, 0x05, 0xf0, 0xff, 0xff, 0xff, 0xc3]), Some(Addr(0xffa)));
        assert_eq!(flag(&[0x48, 0x8b, 0x05, 0, 1, 0, 0, 0x8b, 0x40, 0x0c, 0xc3]), Some(Addr(0x900c)));
        assert_eq!(flag(&[0x48, 0x8b, 0x05, 0, 1, 0, 0, 0x8b, 0x80, 8, 3, 0, 0, 0xc3]), Some(Addr(0x9308)));
        assert_eq!(flag(&[0x48, 0x8d, 0x05, 0, 1, 0, 0, 0x8b, 0x00, 0xc3]), Some(Addr(0x1107)));
        assert_eq!(flag(&[0x48, 0x8b, 0x05, 1, 1, 0, 0, 0x8b, 0x00, 0xc3]), None);
        assert_eq!(flag(&[0x31, 0xc0, 0xc3]), None);
    }

    #[test]
    fn restorers_are_found_behind_anything() {
        let glibc = [0x90, 0xc3, 0x48, 0xc7, 0xc0, 0x0f, 0, 0, 0, 0x0f, 0x05, 0x0f, 0x1f];
        let found = find_restorer(&glibc, Addr(0x1000)).unwrap();
        assert_eq!(found, Restorer { address: Addr(0x1002), after_call: Addr(0x100b) });
        assert_eq!(find_restorer(&glibc[3..], Addr(0)), None);
    }

    #[test]
    fn functions_have_several_names_and_a_size() {
        let function = |name: &str, value, indirect| Function { name: name.to_owned(), value, size: 16, indirect };
        let all = vec![function("write", 32, false), function("__write", 32, false), function("memcpy", 0x100, true)];
        let mut functions = Functions::default();
        functions.add(all, 0x1000);
        assert_eq!(functions.get("write"), Some(Addr(0x1020)));
        assert_eq!(functions.get("memcpy"), None);
        assert_eq!(functions.names_at(Addr(0x1020)).collect::<Vec<_>>(), ["__write", "write"]);
        assert_eq!(functions.name_around(Addr(0x102f)), Some("write"));
        assert_eq!(functions.name_around(Addr(0x1030)), None);
    }

    proptest! {
        #[test]
        fn no_code_is_too_strange(code in prop::collection::vec(any::<u8>(), 0..32), start in any::<u64>(), word in any::<u64>()) {
            let _ = initialized_flag(&code, Addr(start), |_| Some(Addr(word)));
            let _ = find_restorer(&code, Addr(start));
        }
    }
}
