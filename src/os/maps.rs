//! What is mapped into a process: files, to find the interpreter in, and anonymous memory, to scan as a last resort.

use procfs::process::{MMPermissions, MMapPath, MemoryMap, MemoryMaps};
use std::fs::File;

use super::files::{open_as_seen_by, open_regular};
use crate::base::{Addr, limits};
use crate::target::Extent;

/// One file as mapped: all its segments.
#[derive(Clone, Debug)]
pub struct Module {
    /// Path in the target's own root, without `" (deleted)"`.
    pub path: String,
    /// Where its offset 0 is mapped; `None` when the ELF header itself is not mapped.
    pub base: Option<Addr>,
    /// True when the file is no longer under this path.
    pub deleted: bool,
    /// True when a segment of it may be executed.
    pub executable: bool,
    /// Device and inode: two modules with the same are the same file.
    pub inode: ((i32, i32), u64),
    /// First mapping, for `/proc/PID/map_files`.
    first: (u64, u64),
    pid: i32,
}

impl Module {
    /// Files that may hold what is mapped, best first: the inode itself, then whatever is at the path in the target's root.
    pub fn open(&self) -> impl Iterator<Item = File> + '_ {
        let (start, end) = self.first;
        let by_inode = move || open_regular(&format!("/proc/{}/map_files/{start:x}-{end:x}", self.pid));
        let by_path = || open_as_seen_by(self.pid, &self.path).filter(|_| !self.deleted);
        let exe = || open_regular(&format!("/proc/{}/exe", self.pid));
        let ways: [Box<dyn Fn() -> Option<File>>; 3] = [Box::new(by_inode), Box::new(by_path), Box::new(exe)];
        ways.into_iter().filter_map(|open| open())
    }
}

/// Memory that may be executed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CodeRange {
    /// First address.
    pub start: u64,
    /// First address behind it.
    pub end: u64,
    /// Where it comes from.
    pub from: CodeFrom,
}

/// Where executable memory comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CodeFrom {
    /// A file: its place in [`Modules::files`].
    File(usize),
    /// The kernel: the vDSO.
    Kernel,
    /// No file: made at run time.
    Anonymous,
}

/// The stack that the kernel made for the process's first thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MainStack {
    /// Lowest mapped address; it grows downwards.
    pub start: u64,
    /// First address behind it.
    pub end: u64,
    /// Where the mapping below it ends.
    pub below: u64,
}

/// Everything that is mapped.
pub struct Modules {
    /// Mapped files, in the order of their addresses.
    pub files: Vec<Module>,
    /// Private writable memory, of files and anonymous: where a runtime can be.
    pub writable: Vec<Extent>,
    /// What may be executed, in the order of addresses.
    pub code: Vec<CodeRange>,
    /// The first thread's stack.
    pub main_stack: Option<MainStack>,
    /// What is mapped from files, and the memory without a file right behind it: start, end, and which of `files`.
    ranges: Vec<(u64, u64, usize)>,
}

impl Modules {
    pub(super) fn new(pid: i32, maps: MemoryMaps) -> Modules {
        let mut modules =
            Modules { files: Vec::new(), writable: Vec::new(), code: Vec::new(), main_stack: None, ranges: Vec::new() };
        let (mut key, mut below) = (None, 0);
        for map in maps.into_iter().take(limits::MAPPINGS) {
            let (start, end) = map.address;
            if map.perms.contains(MMPermissions::READ | MMPermissions::WRITE) {
                modules.writable.push(Extent { addr: Addr(start), len: (end - start) as usize });
            }
            if map.pathname == MMapPath::Stack {
                modules.main_stack = Some(MainStack { start, end, below });
            }
            below = end;
            let MMapPath::Path(path) = &map.pathname else {
                modules.note_code(&map, None);
                // Variables that begin as zero: the loader maps them behind those of the file.
                modules
                    .ranges
                    .extend(modules.ranges.last().filter(|range| range.1 == start).map(|r| (start, end, r.2)));
                continue;
            };
            if key != Some((map.dev, map.inode)) || modules.starts_anew(&map) {
                let path = path.to_string_lossy();
                let live = path.strip_suffix(" (deleted)");
                modules.files.push(Module {
                    path: live.unwrap_or(&path).to_owned(),
                    base: (map.offset == 0).then_some(Addr(start)),
                    deleted: live.is_some(),
                    executable: false,
                    inode: (map.dev, map.inode),
                    first: (start, end),
                    pid,
                });
                key = Some((map.dev, map.inode));
            }
            modules.ranges.push((start, end, modules.files.len().saturating_sub(1)));
            if let Some(module) = modules.files.last_mut() {
                module.executable |= map.perms.contains(MMPermissions::EXECUTE);
            }
            modules.note_code(&map, modules.files.len().checked_sub(1));
        }
        modules
    }

    fn note_code(&mut self, map: &MemoryMap, file: Option<usize>) {
        if map.perms.contains(MMPermissions::EXECUTE) {
            let from = match (file, &map.pathname) {
                (Some(file), _) => CodeFrom::File(file),
                (None, MMapPath::Vdso | MMapPath::Vsyscall) => CodeFrom::Kernel,
                _ => CodeFrom::Anonymous,
            };
            self.code.push(CodeRange { start: map.address.0, end: map.address.1, from });
        }
    }

    /// The executable memory that an address is in.
    pub fn code_at(&self, addr: Addr) -> Option<CodeRange> {
        let after = self.code.partition_point(|range| range.start <= addr.0);
        self.code.get(after.checked_sub(1)?).copied().filter(|range| addr.0 < range.end)
    }

    /// True when a mapping of the same file as the last one begins a second copy of it.
    fn starts_anew(&self, map: &MemoryMap) -> bool {
        map.offset == 0 && self.files.last().is_some_and(|last| last.base.is_some() && last.executable)
    }

    /// The file to whose code or variables an address belongs.
    pub fn file_at(&self, addr: Addr) -> Option<&Module> {
        let after = self.ranges.partition_point(|(start, _, _)| *start <= addr.0);
        let (_, _, file) = self.ranges.get(after.checked_sub(1)?).filter(|(_, end, _)| addr.0 < *end)?;
        self.files.get(*file)
    }

    /// True when nothing is mapped, as in a process that has given up its memory.
    pub fn is_empty(&self) -> bool {
        self.files.is_empty() && self.writable.is_empty()
    }
}
