//! Making the channel in the target: a file in memory that it has open and mapped, and that we have open too.
//!
//! What is touched: one descriptor and one mapping of the target, and pages of memory that are accounted to it. How it is
//! undone: the program closes the descriptor, the code unmaps the rest as its last instruction; where nothing ran, we do
//! both, or the code does when it is reached and finds the request withdrawn. Both bear the name `pyattach` in `/proc`.

use super::Route;
use super::api::{ChannelFacts, InjectError, Subject};
use super::borrow::Borrowed;
use super::context::{CONTEXT_AT, ChannelState, Context, PAGE, Slot};
use super::entrances::Entrances;
use super::trampoline::{self, RESULT_AT};
use crate::base::Addr;
use crate::os::{MemoryWriter, descriptor_limits, innermost_id};
use nix::errno::Errno;
use nix::time::{ClockId, clock_gettime};
use std::fs::{File, OpenOptions};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::time::{Duration, Instant};

/// Name of the file in `/proc/PID/fd` and `/proc/PID/maps`.
pub(super) const NAME: &str = "pyattach";

const SYS_CLOSE: i64 = 3;
const SYS_MMAP: i64 = 9;
pub(super) const SYS_MUNMAP: i64 = 11;
const SYS_FCNTL: i64 = 72;
const SYS_PRLIMIT64: i64 = 302;
const SYS_MEMFD_CREATE: i64 = 319;
const RLIMIT_NOFILE: u64 = 7;
const MFD_CLOEXEC: u64 = 1;
/// Never to be executed as a program; it can still be mapped so that it can be executed. Linux 6.3.
const MFD_NOEXEC_SEAL: u64 = 8;
const F_DUPFD_CLOEXEC: u64 = 1030;
const READ_WRITE: u64 = 3;
const READ_EXECUTE: u64 = 5;
const MAP_SHARED: u64 = 1;
const MAP_FIXED: u64 = 0x10;
const MAP_PRIVATE_ANONYMOUS: u64 = 0x22;
const NOWHERE: u64 = u64::MAX;
/// Descriptors below are the standard streams; a program may rely on these being closed.
const FIRST_DESCRIPTOR: u64 = 3;

/// Where records begin unless the program's text needs more room before that.
pub(super) const STREAM_AT: u64 = 64 << 10;

/// No record begins like this.
const WITHDRAWN: u8 = 0;

/// A request that is in the target.
pub(super) struct Request {
    file: File,
    pub(super) facts: ChannelFacts,
    /// Where the file is mapped, and how much of it.
    pub(super) base: Addr,
    len: u64,
}

/// How the target is to be asked.
pub(super) struct Order<'a> {
    pub(super) subject: Subject<'a>,
    pub(super) entrances: &'a Entrances,
    pub(super) writer: &'a MemoryWriter,
    pub(super) route: Route,
    pub(super) deadline: Instant,
    pub(super) inside: Inside,
    pub(super) program: &'a dyn Fn(&ChannelFacts) -> Vec<u8>,
}

impl Request {
    /// Makes all of it by system calls of the borrowed thread. After a failure nothing of it is left.
    pub(super) fn make(borrowed: &mut Borrowed<'_>, order: &Order<'_>) -> Result<Request, InjectError> {
        let pid = order.subject.process.pid;
        let fd = open_descriptor(borrowed, pid)?;
        let made = open_file(pid, fd).and_then(|file| {
            let facts = facts(order, fd, &file)?;
            match order.route {
                Route::RemoteDebugger | Route::RemoteDebuggerWoken => Request::in_a_file(borrowed, order, file, facts),
                _ => Request::mapped(borrowed, order, file, facts),
            }
        });
        if made.is_err() {
            close_descriptor(borrowed, fd);
        }
        made
    }

    /// With the program's text in a second file, for CPython to read.
    fn in_a_file(
        borrowed: &mut Borrowed<'_>,
        order: &Order<'_>,
        file: File,
        mut facts: ChannelFacts,
    ) -> Result<Request, InjectError> {
        let pid = order.subject.process.pid;
        let fd = open_descriptor(borrowed, pid)?;
        facts.text_fd = Some(fd as i32);
        let written = open_file(pid, fd).and_then(|text| {
            text.write_all_at(&(order.program)(&facts), 0).map_err(io)?;
            file.set_len(facts.stream_at).map_err(io)
        });
        if let Err(error) = written {
            close_descriptor(borrowed, fd);
            return Err(error);
        }
        Ok(Request { file, facts, base: Addr::NULL, len: 0 })
    }

    /// With the program's text in scratch memory.
    fn mapped(
        borrowed: &mut Borrowed<'_>,
        order: &Order<'_>,
        file: File,
        mut facts: ChannelFacts,
    ) -> Result<Request, InjectError> {
        let mut context = Context::new(&(order.program)(&facts));
        if context.mapped_len() + PAGE > facts.stream_at {
            // The text says where records begin; it may become a little longer by that.
            facts.stream_at = context.mapped_len() + 2 * PAGE;
            context = Context::new(&(order.program)(&facts));
        }
        let len = context.mapped_len();
        file.set_len(facts.stream_at).map_err(io)?;
        file.write_all_at(&order.entrances.code.bytes, 0).map_err(io)?;
        file.write_all_at(&trampoline::call(), len).map_err(io)?;
        let base = map_code(borrowed, facts.fd as u64, len, order)?;
        let request = Request { file, facts, base, len };
        let mapped = request.finish(borrowed, order, context);
        if mapped.is_err() {
            request.unmap(borrowed);
        }
        mapped.map(|()| request)
    }

    /// Maps what is writable, and writes it.
    fn finish(&self, borrowed: &mut Borrowed<'_>, order: &Order<'_>, mut context: Context) -> Result<(), InjectError> {
        let fd = self.facts.fd as u64;
        let at = self.base.0 + CONTEXT_AT;
        let args = [at, self.len - CONTEXT_AT, READ_WRITE, MAP_SHARED | MAP_FIXED, fd, CONTEXT_AT];
        borrowed.system_call("mapping the channel", SYS_MMAP, args)?;
        context.set(Slot::Deadline, self.facts.deadline_ns);
        context.set_u32(Slot::Pid, self.facts.ns_pid as u32);
        context.set_u32(Slot::Descriptor, self.facts.fd as u32);
        context.set(Slot::Device, self.facts.device);
        context.set(Slot::Inode, self.facts.inode);
        context.set_address(Slot::Base, self.base);
        // The thread that makes the call comes back through the last page, so another one must not unmap that.
        let by_another = order.route == Route::NewThread;
        context.set(Slot::Length, if by_another { self.len } else { self.len + PAGE });
        context.set(Slot::Mask, borrowed.mask());
        order.entrances.fill(&mut context, self.base);
        self.file.write_all_at(context.bytes(), CONTEXT_AT).map_err(io)
    }

    /// Makes the borrowed thread call a function; what that returned.
    pub(super) fn call(
        &self,
        borrowed: &mut Borrowed<'_>,
        subject: &Subject<'_>,
        function: Addr,
        args: [Addr; 2],
    ) -> Result<u64, InjectError> {
        let step = "calling a function";
        let [first, second] = args;
        let words = [function.0, first.0, second.0].map(u64::to_le_bytes).concat();
        self.file.write_all_at(&words, CONTEXT_AT + Slot::Function as u64).map_err(io)?;
        borrowed.call(self.base.offset(self.len), self.context())?;
        let mut result = [0; 8];
        let read = subject.memory.read(borrowed.frame().offset(RESULT_AT), &mut result);
        read.map_err(|_| InjectError::Step { step, source: Errno::EFAULT })?;
        Ok(u64::from_le_bytes(result))
    }

    /// Unmaps the page that the thread came back through, where that is not done by what has been started.
    pub(super) fn unmap_return(&self, borrowed: &mut Borrowed<'_>) {
        if self.facts.route == Route::NewThread {
            let args = [self.base.0 + self.len, PAGE, 0, 0, 0, 0];
            let _ = borrowed.system_call("unmapping the channel", SYS_MUNMAP, args);
        }
    }

    /// Unmaps and closes everything, while nothing in the target refers to it.
    pub(super) fn undo(&self, borrowed: &mut Borrowed<'_>, pid: i32) {
        self.unmap(borrowed);
        self.close(borrowed, pid);
    }

    fn unmap(&self, borrowed: &mut Borrowed<'_>) {
        if !self.base.is_null() {
            let _ =
                borrowed.system_call("unmapping the channel", SYS_MUNMAP, [self.base.0, self.len + PAGE, 0, 0, 0, 0]);
        }
    }

    /// Closes its descriptors in the target, unless the channel's stands for something else by now.
    pub(super) fn close(&self, borrowed: &mut Borrowed<'_>, pid: i32) {
        if self.is_open_in(pid) {
            close_descriptor(borrowed, self.facts.fd as u64);
            if let Some(fd) = self.facts.text_fd {
                close_descriptor(borrowed, fd as u64);
            }
        }
    }

    /// True while the target has the descriptor open.
    pub(super) fn is_open_in(&self, pid: i32) -> bool {
        std::fs::metadata(format!("/proc/{pid}/fd/{}", self.facts.fd))
            .is_ok_and(|found| (found.dev(), found.ino()) == (self.facts.device, self.facts.inode))
    }

    /// Where the context is in the target.
    pub(super) fn context(&self) -> Addr {
        self.base.offset(CONTEXT_AT)
    }

    /// How far it has come.
    pub(super) fn state(&self) -> ChannelState {
        match channel_state(&self.file) {
            ChannelState::Waiting if self.has_records() => ChannelState::Running,
            state => state,
        }
    }

    fn has_records(&self) -> bool {
        let mut first = [WITHDRAWN];
        self.file.read_exact_at(&mut first, self.facts.stream_at).is_ok() && first != [WITHDRAWN]
    }

    /// Withdraws a program that CPython has taken already: it does nothing when it finds its channel in use. If it had just
    /// looked, its first record takes the place of this.
    pub(super) fn spoil(&self) {
        if !self.has_records() {
            let _ = self.file.write_all_at(&[WITHDRAWN], self.facts.stream_at);
        }
    }

    /// Withdraws it: what has not been claimed by now never runs.
    pub(super) fn cancel(&self) {
        let _ = self.file.write_all_at(&1_u32.to_le_bytes(), CONTEXT_AT + Slot::Cancel as u64);
    }

    /// A handle for whoever reads the records.
    pub(super) fn handle(&self) -> Result<File, InjectError> {
        self.file.try_clone().map_err(io)
    }
}

/// How far a request has come whose channel this is, also after the target's end.
pub fn channel_state(channel: &File) -> ChannelState {
    let mut bytes = [0; 4];
    match channel.read_exact_at(&mut bytes, CONTEXT_AT + Slot::State as u64) {
        Ok(()) => ChannelState::from_number(u32::from_le_bytes(bytes)),
        Err(_) => ChannelState::Unknown,
    }
}

/// The descriptor of a new file in memory, not one of the standard streams.
fn open_descriptor(borrowed: &mut Borrowed<'_>, pid: i32) -> Result<u64, InjectError> {
    let fd = match create_file(borrowed) {
        Err(InjectError::Step { source: Errno::EMFILE, .. }) => create_above_limit(borrowed, pid)?,
        result => result?,
    };
    if fd >= FIRST_DESCRIPTOR {
        return Ok(fd);
    }
    let args = [fd, F_DUPFD_CLOEXEC, FIRST_DESCRIPTOR, 0, 0, 0];
    let moved = borrowed.system_call("moving the channel", SYS_FCNTL, args);
    close_descriptor(borrowed, fd);
    moved
}

fn create_file(borrowed: &mut Borrowed<'_>) -> Result<u64, InjectError> {
    let name = borrowed.put_beside(format!("{NAME}\0").as_bytes())?;
    let mut make = |flags| {
        borrowed.system_call("making the channel (memfd_create)", SYS_MEMFD_CREATE, [name.0, flags, 0, 0, 0, 0])
    };
    match make(MFD_CLOEXEC) {
        // Where `vm.memfd_noexec` is 2, and it has to be said (memfd_create(2)).
        Err(InjectError::Step { source: Errno::EACCES, .. }) => make(MFD_CLOEXEC | MFD_NOEXEC_SEAL),
        result => result,
    }
}

/// Where no descriptor is free: with the program's soft limit raised to its hard one for that moment. It does so itself:
/// every process may, while for another one's limits `CAP_SYS_RESOURCE` is needed (`prlimit(2)`).
fn create_above_limit(borrowed: &mut Borrowed<'_>, pid: i32) -> Result<u64, InjectError> {
    let step = "it has no free descriptor, and its limit cannot be raised";
    let (soft, hard) = descriptor_limits(pid).ok_or(InjectError::Step { step, source: Errno::EMFILE })?;
    let set = |borrowed: &mut Borrowed<'_>, soft: u64| {
        let limits = borrowed.put_beside(&[soft, hard].map(u64::to_le_bytes).concat())?;
        borrowed.system_call(step, SYS_PRLIMIT64, [0, RLIMIT_NOFILE, limits.0, 0, 0, 0])
    };
    set(borrowed, hard)?;
    let made = create_file(borrowed);
    let restored = set(borrowed, soft);
    let fd = made?;
    restored.inspect_err(|_| close_descriptor(borrowed, fd)).map(|_| fd)
}

/// Maps `len` bytes and one page so that it can be executed and not written. Where a file in memory may not be executed, memory
/// without a file is, and the code is written there in the way debuggers do.
fn map_code(borrowed: &mut Borrowed<'_>, fd: u64, len: u64, order: &Order<'_>) -> Result<Addr, InjectError> {
    let step = "mapping the code";
    let len_of_all = len + PAGE;
    match borrowed.system_call(step, SYS_MMAP, [0, len_of_all, READ_EXECUTE, MAP_SHARED, fd, 0]) {
        Err(InjectError::Step { source: Errno::EACCES | Errno::EPERM, .. }) => {}
        result => return result.map(Addr),
    }
    let args = [0, len_of_all, READ_EXECUTE, MAP_PRIVATE_ANONYMOUS, NOWHERE, 0];
    let base = Addr(borrowed.system_call(step, SYS_MMAP, args)?);
    let code = order.writer.write_protected(base, &order.entrances.code.bytes);
    let written = code.and_then(|()| order.writer.write_protected(base.offset(len), &trampoline::call()));
    if let Err(source) = written {
        let _ = borrowed.system_call(step, SYS_MUNMAP, [base.0, len_of_all, 0, 0, 0, 0]);
        return Err(InjectError::Step { step: "writing the code", source });
    }
    Ok(base)
}

pub(super) fn close_descriptor(borrowed: &mut Borrowed<'_>, fd: u64) {
    let _ = borrowed.system_call("closing the channel", SYS_CLOSE, [fd, 0, 0, 0, 0, 0]);
}

/// Our own handle of a file that the target has open.
fn open_file(pid: i32, fd: u64) -> Result<File, InjectError> {
    OpenOptions::new().read(true).write(true).open(format!("/proc/{pid}/fd/{fd}")).map_err(io)
}

fn facts(order: &Order<'_>, fd: u64, file: &File) -> Result<ChannelFacts, InjectError> {
    let metadata = file.metadata().map_err(io)?;
    Ok(ChannelFacts {
        fd: fd as i32,
        device: metadata.dev(),
        inode: metadata.ino(),
        stream_at: STREAM_AT,
        ns_pid: order.inside.pid,
        deadline_ns: order.inside.on_its_clock(order.deadline),
        route: order.route,
        text_fd: None,
    })
}

fn io(error: std::io::Error) -> InjectError {
    let source = error.raw_os_error().map_or(Errno::EIO, Errno::from_raw);
    InjectError::Step { step: "using the channel", source }
}

/// What the target's namespaces make of numbers; read before it is stopped.
#[derive(Clone, Copy, Debug)]
pub(super) struct Inside {
    /// The PID that `getpid` returns there.
    pub(super) pid: i32,
    /// By how many nanoseconds its monotonic clock is ahead of ours.
    clock: i128,
}

impl Inside {
    /// Of a process.
    pub(super) fn of(pid: i32) -> Inside {
        let clock = clock_offset(&format!("/proc/{pid}/timens_offsets")) - clock_offset("/proc/self/timens_offsets");
        Inside { pid: innermost_id(pid).unwrap_or(pid), clock }
    }

    /// A moment on its monotonic clock, in nanoseconds.
    fn on_its_clock(self, moment: Instant) -> u64 {
        let left = moment.saturating_duration_since(Instant::now());
        let now = clock_gettime(ClockId::CLOCK_MONOTONIC).map(Duration::from).unwrap_or_default();
        u64::try_from((now + left).as_nanos() as i128 + self.clock).unwrap_or(u64::MAX)
    }
}

/// The offset of the monotonic clock in nanoseconds: `monotonic SECONDS NANOSECONDS` (time_namespaces(7)).
fn clock_offset(path: &str) -> i128 {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("monotonic"));
    let mut words = line.unwrap_or_default().split_whitespace().map(|word| word.parse::<i128>().unwrap_or(0));
    words.next().unwrap_or(0) * 1_000_000_000 + words.next().unwrap_or(0)
}
