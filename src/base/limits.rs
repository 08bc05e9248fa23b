//! Bounds on what is read from a target, each with its reason. The target's memory is untrusted: every loop and every
//! allocation that depends on it is bounded by one of these.

/// Longest string that is read, in code points. Longer than any path (`PATH_MAX` is 4096) or identifier that people write.
pub const STRING_CHARS: usize = 16 * 1024;
/// Largest line table in bytes. CPython's own reader broke at 4 KiB; generated modules have tables of some MiB.
pub const LINE_TABLE_BYTES: usize = 16 << 20;
/// Frames of one thread. The recursion limit can be raised at will since 3.11; a million frames are 100 MiB of data stack.
pub const FRAMES: usize = 1_000_000;
/// Frames of all threads together, 48 bytes each.
pub const ALL_FRAMES: usize = 4 << 20;
/// Chunks of one thread's data stack (16 KiB each, larger for large frames): room for [`FRAMES`].
pub const STACK_CHUNKS: usize = 100_000;
/// Largest chunk of a data stack in bytes.
pub const STACK_CHUNK_BYTES: usize = 256 << 20;
/// Interpreters in a process. CPython has no bound; thousands were seen in tests of sub-interpreters.
pub const INTERPRETERS: usize = 10_000;
/// Threads of a process: `PID_MAX_LIMIT` is 4 Mi, `threads-max` usually below 200,000.
pub const THREADS: usize = 200_000;
/// Entries of one dict that are looked through, `sys.modules` among them.
pub const DICT_ENTRIES: usize = 1 << 20;
/// Attributes of one instance that are looked through for a name.
pub const ATTRIBUTES: usize = 256;
/// Local variables of one frame. Generated code and class bodies have hundreds.
pub const FRAME_LOCALS: usize = 4096;
/// Local variables of all frames together, some 100 bytes each beside their values.
pub const LOCALS: usize = 200_000;
/// Exceptions being handled within each other that are passed over to find one.
pub const EXCEPTIONS: usize = 1000;
/// asyncio tasks of a process, some 500 bytes each. Services that hold connections have 100,000 and more.
pub const TASKS: usize = 1 << 20;
/// Callbacks of all futures together, and tasks that wait for others: one and a bit for each task as a rule.
pub const TASK_EDGES: usize = 4 << 20;
/// Coroutines and generators that await each other, of all tasks together: some 5 for each task as a rule.
pub const TASK_LINKS: usize = 4 << 20;
/// Entries of the record of where a task was created: `DEBUG_STACK_DEPTH` of asyncio is 10.
pub const CREATION_FRAMES: usize = 64;
/// Symbols of one ELF file that are looked through.
pub const ELF_SYMBOLS: usize = 4 << 20;
/// Largest section of an ELF file that is read into memory, in bytes.
pub const ELF_SECTION_BYTES: u64 = 1 << 30;
/// Largest writable mapping that is scanned for a runtime without a symbol, in bytes.
pub const SCAN_BYTES: u64 = 64 << 20;
/// Mappings of one process; `vm.max_map_count` is 65,530 by default and at times raised to a million.
pub const MAPPINGS: usize = 1_100_000;
/// Memory of the target kept at a time: a million frames with their code, and some. What there is of a target may be mapped
/// over and over, or claimed to overlap, so it is no bound.
pub const CACHE_BYTES: usize = 512 << 20;
/// Look-ups in memory that was read, in one reading of a process: some ten seconds of them. A thousand threads of a thousand
/// frames each take a twentieth part.
pub const WORK: usize = 1 << 27;
/// Source file that is read to show lines, in bytes.
pub const SOURCE_BYTES: u64 = 32 << 20;
