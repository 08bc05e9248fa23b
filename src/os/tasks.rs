//! The threads of a process as the kernel sees them. Three system calls a thread, and none of the files read here blocks.

use super::process::parse_ids;
use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{OFlag, openat};
use nix::sys::stat::Mode;
use nix::unistd::read;
use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::thread;
use std::time::Duration;

/// Room for `status` or `syscall` of one thread.
const FILE_BYTES: usize = 4096;
/// Room for the beginning of `stat`: an id, a name of 15 bytes (64 of a kernel thread), a letter.
const STAT_BYTES: usize = 128;

/// Threads for whose names and states another thread of ours is worth its making.
const MANY: usize = 64;

/// Name and state of one thread.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskStat {
    /// The kernel's name for it (`comm`), at most 15 bytes.
    pub name: String,
    /// State letter (`R`, `S`, `D`, `T`, `t`, `Z` …).
    pub state: char,
}

/// What a thread has done since it began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Activity {
    /// Time it spent on a CPU. Of a thread that is on one, the time since the last tick of the clock can be missing.
    pub cpu: Duration,
    /// How often it was put on a CPU.
    pub runs: u64,
    /// It was off the CPU, as [`Stillness`] has it.
    pub off_cpu: bool,
}

/// `/proc/PID/task`.
pub struct Tasks {
    dir: OwnedFd,
}

impl Tasks {
    pub(super) fn open(pid: i32) -> io::Result<Tasks> {
        let path = format!("/proc/{pid}/task");
        let dir =
            nix::fcntl::open(path.as_str(), OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty())?;
        Ok(Tasks { dir })
    }

    /// The thread ids at this moment, main thread first.
    pub fn ids(&self) -> io::Result<Vec<i32>> {
        let mut dir =
            Dir::openat(&self.dir, ".", OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty())?;
        let mut ids = Vec::new();
        for entry in dir.iter() {
            if let Some(id) = entry?.file_name().to_str().ok().and_then(|name| name.parse().ok()) {
                ids.push(id);
            }
        }
        Ok(ids)
    }

    /// Name and state of a thread; `None` when it has ended.
    pub fn stat(&self, tid: i32) -> Option<TaskStat> {
        let text = read_text::<STAT_BYTES>(&self.open_file(tid, "stat")?)?;
        let (_, rest) = text.split_once('(')?;
        let (name, rest) = rest.rsplit_once(')')?;
        Some(TaskStat { name: name.to_owned(), state: rest.trim_start().chars().next()? })
    }

    /// Names and states of many threads, read while `work` is done: together they take as long as reading the stacks. What is
    /// missing in the end has ended, or was not read.
    pub fn stats_during<T>(&self, tids: &[i32], work: impl FnOnce() -> T) -> (T, HashMap<i32, TaskStat>) {
        if tids.len() < MANY {
            return (work(), HashMap::new());
        }
        let stats = || tids.iter().filter_map(|tid| Some((*tid, self.stat(*tid)?))).collect();
        thread::scope(|scope| {
            let reader = thread::Builder::new().name("pyattach-tasks".to_owned()).spawn_scoped(scope, stats);
            let result = work();
            (result, reader.ok().and_then(|reader| reader.join().ok()).unwrap_or_default())
        })
    }

    /// The thread's id in each PID namespace from ours inwards.
    pub fn ns_ids(&self, tid: i32) -> Option<Vec<i32>> {
        let text = self.read(tid, "status")?;
        text.lines().find_map(|line| line.strip_prefix("NSpid:")).map(parse_ids)
    }

    /// The first argument of the `futex` call the thread is blocked in: the address of the word it waits on.
    pub fn futex_word(&self, tid: i32) -> Option<u64> {
        let text = self.read(tid, "syscall")?;
        let mut words = text.split_whitespace();
        let number: i64 = words.next()?.parse().ok()?;
        if number != nix::libc::SYS_futex {
            return None;
        }
        u64::from_str_radix(words.next()?.strip_prefix("0x")?, 16).ok()
    }

    /// Begins to watch whether a thread runs; `None` when it has ended.
    pub fn stillness(&self, tid: i32) -> Option<Stillness> {
        // In this order: a thread that runs in between is taken for one that ran since, never the other way round.
        let runs = self.runs(tid);
        let off_cpu = self.read(tid, "syscall").map(|text| !text.starts_with("running"));
        match (runs, off_cpu) {
            (Some(runs), Some(off_cpu)) => Some(Stillness { tid, runs, off_cpu }),
            // Without either file nothing can be proved of it.
            _ => self.stat(tid).map(|_| Stillness { tid, runs: 0, off_cpu: false }),
        }
    }

    /// How often the thread has been put on a CPU: the third number of `schedstat` (`Documentation/scheduler/sched-stats.rst`).
    fn runs(&self, tid: i32) -> Option<u64> {
        self.read(tid, "schedstat")?.split_whitespace().nth(2)?.parse().ok()
    }

    /// What a thread has done so far; `None` when it has ended, or the kernel does not count it (`CONFIG_SCHED_INFO`).
    pub fn activity(&self, tid: i32) -> Option<Activity> {
        // In this order, as with a watch: a thread that runs in between shows in the next reading, or as on a CPU.
        let text = self.read(tid, "schedstat")?;
        let mut numbers = text.split_whitespace().map(str::parse);
        let (cpu, _waited, runs) = (numbers.next()?.ok()?, numbers.next()?, numbers.next()?.ok()?);
        let off_cpu = self.read(tid, "syscall").is_some_and(|text| !text.starts_with("running"));
        Some(Activity { cpu: Duration::from_nanos(cpu), runs, off_cpu })
    }

    fn open_file(&self, tid: i32, name: &str) -> Option<OwnedFd> {
        let path = format!("{tid}/{name}");
        openat(&self.dir, path.as_str(), OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty()).ok()
    }

    fn read(&self, tid: i32, name: &str) -> Option<String> {
        read_text::<FILE_BYTES>(&self.open_file(tid, name)?)
    }
}

fn read_text<const ROOM: usize>(file: &OwnedFd) -> Option<String> {
    let mut buf = [0; ROOM];
    let len = loop {
        match read(file.as_fd(), &mut buf) {
            Err(Errno::EINTR) => {}
            other => break other.ok()?,
        }
    };
    Some(String::from_utf8_lossy(buf.get(..len)?).into_owned())
}

/// Proof that a thread did not run between two moments: at the first it was off the CPU and not about to return to it, and
/// at the second it had not been put on one since.
///
/// That it is off the CPU is what `/proc/PID/task/TID/syscall` tells: the kernel says `running` unless the thread has been
/// switched out. Its state letter would not do, as a thread becomes `S` before it is switched out, and may think better of it;
/// nor would its counts of context switches, which then do not move.
pub struct Stillness {
    tid: i32,
    runs: u64,
    off_cpu: bool,
}

impl Stillness {
    /// The thread.
    pub fn tid(&self) -> i32 {
        self.tid
    }

    /// True when the thread was asleep when the watch began.
    pub fn was_asleep(&self) -> bool {
        self.off_cpu
    }

    /// True when the thread has not run since the watch began.
    pub fn holds(&self, tasks: &Tasks) -> bool {
        self.off_cpu && tasks.runs(self.tid) == Some(self.runs)
    }
}
