//! The threads of a process as the kernel sees them. Three system calls a thread and file, and none of the files read here
//! blocks.

use super::process::parse_ids;
use super::syscalls::{self, Activity};
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
/// Room for the beginning of `stat`, up to the CPU time: an id, a name of 15 bytes (64 of a kernel thread), a letter, and
/// twelve numbers.
const STAT_BYTES: usize = 384;

/// Threads for whose names and states another thread of ours is worth its making.
const MANY: usize = 64;

/// Name and state of one thread, and what it does in the kernel if that was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskStat {
    /// The kernel's name for it (`comm`), at most 15 bytes.
    pub name: String,
    /// State letter (`R`, `S`, `D`, `T`, `t`, `Z` …).
    pub state: char,
    /// CPU time it has used, in user mode and in the kernel, in clock ticks.
    pub cpu_ticks: Option<u64>,
    /// What it does: `None` when that was not asked for, an error when it cannot be read.
    pub activity: Option<Result<Activity, Errno>>,
}

/// What to read of each thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reading {
    /// Name, state and CPU time.
    Stat,
    /// These, and what it does in the kernel.
    StatAndActivity,
}

/// What a thread has done since it began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CpuUse {
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
        parse_stat(&read_text::<STAT_BYTES>(&self.open_file(tid, "stat").ok()?).ok()?)
    }

    /// What is to be read of a thread; `None` when it has ended.
    pub fn look(&self, tid: i32, reading: Reading) -> Option<TaskStat> {
        let stat = self.stat(tid)?;
        let activity = (reading == Reading::StatAndActivity).then(|| self.activity(tid));
        Some(TaskStat { activity, ..stat })
    }

    /// What a thread does in the kernel.
    pub fn activity(&self, tid: i32) -> Result<Activity, Errno> {
        let text = self.open_file(tid, "syscall").and_then(|file| read_text::<FILE_BYTES>(&file))?;
        syscalls::parse(&text).ok_or(Errno::EINVAL)
    }

    /// Looks at the threads, at many of them while `work` is done: together they take as long as reading the stacks. What is
    /// missing in the end has ended, or was not read.
    pub fn look_during<T>(
        &self,
        tids: &[i32],
        reading: Reading,
        work: impl FnOnce() -> T,
    ) -> (T, HashMap<i32, TaskStat>) {
        let look = || tids.iter().filter_map(|tid| Some((*tid, self.look(*tid, reading)?))).collect();
        if tids.len() < MANY {
            return (work(), look());
        }
        thread::scope(|scope| {
            let reader = thread::Builder::new().name("pyattach-tasks".to_owned()).spawn_scoped(scope, look);
            let result = work();
            (result, reader.ok().and_then(|reader| reader.join().ok()).unwrap_or_default())
        })
    }

    /// The thread's id in each PID namespace from ours inwards.
    pub fn ns_ids(&self, tid: i32) -> Option<Vec<i32>> {
        let text = self.read(tid, "status")?;
        text.lines().find_map(|line| line.strip_prefix("NSpid:")).map(parse_ids)
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
    pub fn cpu_use(&self, tid: i32) -> Option<CpuUse> {
        // In this order, as with a watch: a thread that runs in between shows in the next reading, or as on a CPU.
        let text = self.read(tid, "schedstat")?;
        let mut numbers = text.split_whitespace().map(str::parse);
        let (cpu, _waited, runs) = (numbers.next()?.ok()?, numbers.next()?, numbers.next()?.ok()?);
        let off_cpu = self.read(tid, "syscall").is_some_and(|text| !text.starts_with("running"));
        Some(CpuUse { cpu: Duration::from_nanos(cpu), runs, off_cpu })
    }

    fn open_file(&self, tid: i32, name: &str) -> Result<OwnedFd, Errno> {
        let path = format!("{tid}/{name}");
        openat(&self.dir, path.as_str(), OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty())
    }

    fn read(&self, tid: i32, name: &str) -> Option<String> {
        read_text::<FILE_BYTES>(&self.open_file(tid, name).ok()?).ok()
    }
}

fn read_text<const ROOM: usize>(file: &OwnedFd) -> Result<String, Errno> {
    let mut buf = [0; ROOM];
    let len = loop {
        match read(file.as_fd(), &mut buf) {
            Err(Errno::EINTR) => {}
            other => break other?,
        }
    };
    Ok(String::from_utf8_lossy(buf.get(..len).unwrap_or_default()).into_owned())
}

/// `proc_pid_stat(5)`: the id, the name in parentheses (it may hold any byte, those too), the state, ten numbers, and the CPU
/// time in user mode and in the kernel.
fn parse_stat(text: &str) -> Option<TaskStat> {
    let (_, rest) = text.split_once('(')?;
    let (name, rest) = rest.rsplit_once(')')?;
    let mut fields = rest.split_whitespace();
    let state = fields.next()?.chars().next()?;
    let mut fields = fields.skip(10).map(|field| field.parse::<u64>().ok());
    let cpu_ticks = match (fields.next().flatten(), fields.next().flatten()) {
        (Some(user), Some(system)) => user.checked_add(system),
        _ => None,
    };
    Some(TaskStat { name: name.to_owned(), state, cpu_ticks, activity: None })
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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_may_hold_anything() {
        let line = "77 (a) R (b) S 1 77 77 0 -1 4194304 1 2 3 4 50 60 0 0 20 0 1 0 999\n";
        let stat = parse_stat(line).unwrap();
        assert_eq!((stat.name.as_str(), stat.state, stat.cpu_ticks), ("a) R (b", 'S', Some(110)));
        assert_eq!(parse_stat("77 (x) S 1 2 3").unwrap().cpu_ticks, None);
        assert!(["", "77", "77 (x", "77 (x)"].iter().all(|text| parse_stat(text).is_none()));
    }

    #[test]
    fn a_thread_of_ours_that_waits_is_in_a_system_call() {
        let (hold, held) = std::sync::mpsc::channel::<()>();
        let (tell, told) = std::sync::mpsc::channel();
        let waiter = std::thread::spawn(move || {
            tell.send(nix::unistd::gettid().as_raw()).unwrap();
            held.recv().unwrap_err();
        });
        let (tasks, tid) = (Tasks::open(std::process::id() as i32).unwrap(), told.recv().unwrap());
        while tasks.activity(tid).is_ok_and(|activity| activity.futex_word().is_none()) {
            std::thread::yield_now();
        }
        let stat = tasks.look(tid, Reading::StatAndActivity).unwrap();
        assert!(matches!(stat.activity, Some(Ok(Activity::Call(call))) if call.name() == Some("futex")), "{stat:?}");
        assert_eq!(tasks.look(tid, Reading::Stat).unwrap().activity, None);
        drop(hold);
        waiter.join().unwrap();
    }

    proptest! {
        #[test]
        fn no_text_is_too_strange(text in "\\PC*", tail in "[0-9 ()RS-]{0,80}") {
            let _ = (parse_stat(&text), parse_stat(&format!("1 (x) {tail}")));
        }
    }
}
