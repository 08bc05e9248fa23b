//! A process and what `/proc` says of it.

use super::access::{Refusal, Status, process_name};
use super::{Modules, OsError, ProcessMemory, Tasks};
use procfs::process::Process as ProcProcess;
use procfs::{ProcError, ProcResult};
use std::io;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

/// `PF_KTHREAD` in `linux/sched.h`, as shown in field 9 of `/proc/PID/stat`.
const PF_KTHREAD: u32 = 0x0020_0000;

/// A live process, found and named but not touched.
pub struct Process {
    /// Its PID as pyattach sees it.
    pub pid: i32,
    /// A thread through which it can be reached: the main thread, unless that has ended while others live on.
    through: i32,
    proc: ProcProcess,
    start_ticks: u64,
}

/// What `/proc` says of a process as a whole.
#[derive(Clone, Debug, Default)]
pub struct ProcessFacts {
    /// PIDs from our PID namespace inwards; one entry when it lives in ours.
    pub ns_pids: Vec<i32>,
    /// Path of the executable in the target's own root.
    pub exe: Option<String>,
    /// Command line.
    pub cmdline: Vec<String>,
    /// State letter of the main thread (`R`, `S`, `D`, `T`, `t` …).
    pub state: char,
    /// The thread that traces it, if any, and its name.
    pub tracer: Option<(i32, String)>,
}

impl Process {
    /// Finds the process. Reads only files of `/proc` that never block.
    pub fn open(pid: i32) -> Result<Process, OsError> {
        let no_such = || OsError::NoSuchProcess(pid);
        let proc = ProcProcess::new(pid).map_err(|_| no_such())?;
        let stat = proc.stat().map_err(|_| no_such())?;
        let leader = Status::read(pid).and_then(|status| status.field("Tgid:")?.parse().ok());
        if let Some(leader) = leader.filter(|id| *id != pid) {
            return Err(OsError::IsThread { tid: pid, pid: leader });
        }
        if stat.flags & PF_KTHREAD != 0 {
            return Err(OsError::KernelThread { pid, name: stat.comm });
        }
        // A process whose main thread has ended lives on while it has other threads.
        if matches!(stat.state, 'Z' | 'X') && stat.num_threads <= 1 {
            return Err(OsError::Zombie { pid, name: stat.comm, parent: stat.ppid });
        }
        let start_ticks = stat.starttime;
        if stat.state == 'Z' {
            let living = |tid: i32| ProcProcess::new(tid).ok().filter(|p| p.stat().is_ok_and(|s| s.state != 'Z'));
            let tids = Tasks::open(pid).and_then(|tasks| tasks.ids()).unwrap_or_default();
            let (through, proc) =
                tids.into_iter().find_map(|tid| Some((tid, living(tid)?))).ok_or(OsError::Gone(pid))?;
            return Ok(Process { pid, through, proc, start_ticks });
        }
        Ok(Process { pid, through: pid, proc, start_ticks })
    }

    /// True while the process is there and is the one that was opened, not a later one with its PID.
    pub fn is_alive(&self) -> bool {
        ProcProcess::new(self.pid)
            .and_then(|p| p.stat())
            .is_ok_and(|s| s.starttime == self.start_ticks && (s.num_threads > 1 || !matches!(s.state, 'Z' | 'X')))
    }

    /// State letter of the main thread; `?` when it cannot be read.
    pub fn state(&self) -> char {
        self.proc.stat().map_or('?', |s| s.state)
    }

    /// When it started.
    pub fn started(&self) -> Option<SystemTime> {
        started(self.start_ticks)
    }

    /// When it started, in clock ticks since boot: with its PID, what tells it from all others.
    pub fn start_ticks(&self) -> u64 {
        self.start_ticks
    }

    /// The facts; what cannot be read is left out. Reads `cmdline`, which can block on a process in uninterruptible sleep.
    pub fn facts(&self) -> ProcessFacts {
        let stat = self.proc.stat().ok();
        let status = Status::read(self.pid);
        let field = |name| status.as_ref().and_then(|status| status.field(name));
        ProcessFacts {
            ns_pids: field("NSpid:").map(parse_ids).unwrap_or_default(),
            exe: self.exe(),
            cmdline: self.proc.cmdline().unwrap_or_default(),
            state: stat.as_ref().map_or('?', |s| s.state),
            tracer: field("TracerPid:")
                .and_then(|id| id.parse().ok())
                .filter(|id| *id != 0)
                .map(|id| (id, process_name(id).unwrap_or_else(|| "?".to_owned()))),
        }
    }

    /// Path of the executable in the target's own root.
    pub fn exe(&self) -> Option<String> {
        let path = self.proc.exe().ok()?.to_string_lossy().into_owned();
        Some(path.strip_suffix(" (deleted)").map(str::to_owned).unwrap_or(path))
    }

    /// The files and anonymous regions that are mapped. Can block on a process in uninterruptible sleep.
    pub fn modules(&self) -> Result<Modules, OsError> {
        let maps = self.check("maps", self.proc.maps())?;
        let modules = Modules::new(self.through, maps);
        if modules.is_empty() && !self.is_alive() {
            return Err(OsError::Gone(self.pid));
        }
        Ok(modules)
    }

    /// Its memory.
    pub fn memory(&self) -> ProcessMemory {
        ProcessMemory::new(self.through)
    }

    /// Its threads.
    pub fn tasks(&self) -> Result<Tasks, OsError> {
        Tasks::open(self.pid).map_err(|source| self.error("task", source))
    }

    /// The path under which the target's file `path` can be opened from here.
    pub fn path_in_root(&self, path: &str) -> PathBuf {
        let base = if path.starts_with('/') { "root" } else { "cwd" };
        PathBuf::from(format!("/proc/{}/{base}/{}", self.through, path.trim_start_matches('/')))
    }

    /// The error for memory that the kernel refuses to show.
    pub fn denied(&self) -> OsError {
        OsError::Denied { pid: self.pid, refusal: Box::new(Refusal::find(self.pid)) }
    }

    fn check<T>(&self, file: &str, result: ProcResult<T>) -> Result<T, OsError> {
        result.map_err(|error| match error {
            ProcError::PermissionDenied(_) => self.denied(),
            // A listing that ends in the middle is that of a process that gives up its memory meanwhile.
            ProcError::NotFound(_) | ProcError::Incomplete(_) => OsError::Gone(self.pid),
            ProcError::Io(source, _) => self.error(file, source),
            other => self.error(file, io::Error::other(other)),
        })
    }

    fn error(&self, file: &str, source: io::Error) -> OsError {
        match source.raw_os_error() {
            Some(nix::libc::ESRCH | nix::libc::ENOENT) => OsError::Gone(self.pid),
            Some(nix::libc::EACCES | nix::libc::EPERM) => self.denied(),
            _ => OsError::Proc { what: format!("/proc/{}/{file}", self.pid), source },
        }
    }
}

/// Whitespace-separated ids.
pub(super) fn parse_ids(line: &str) -> Vec<i32> {
    line.split_whitespace().filter_map(|id| id.parse().ok()).collect()
}

/// Start time from clock ticks since boot. By way of `/proc/uptime`, as the boot time of `/proc/stat` is in whole seconds.
fn started(ticks: u64) -> Option<SystemTime> {
    let uptime = std::fs::read_to_string("/proc/uptime").ok()?;
    let uptime: f64 = uptime.split_whitespace().next()?.parse().ok()?;
    let age = uptime - ticks as f64 / procfs::ticks_per_second() as f64;
    SystemTime::now().checked_sub(Duration::try_from_secs_f64(age.max(0.0)).ok()?)
}
