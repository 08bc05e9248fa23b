//! Waits other than for locks, in words and fields.

use super::files::{Described, SHOWN, descriptor};
use super::memory::{self, Limit};
use super::words::{aside, list, time};
use super::{Sleeper, Waiting};
use crate::os::{Call, FileKind, PipeEnd, children, command, file_lock_holder, id_at_level, parent, pipe_holders};
use crate::report::model::Wait;

/// `POLLIN` and `POLLOUT` (`poll(2)`).
const POLLIN: i16 = 1;
const POLLOUT: i16 = 4;
/// `F_SETLKW` and `F_OFD_SETLKW` (`fcntl(2)`).
const F_SETLKW: i32 = 7;
const F_OFD_SETLKW: i32 = 38;
/// `P_PID`, `P_PGID` and `P_PIDFD` (`waitid(2)`).
const P_PID: i32 = 1;
const P_PGID: i32 = 2;
const P_PIDFD: i32 = 3;
/// Processes named at the other end of a pipe.
const HOLDERS: usize = 3;

impl Waiting<'_> {
    /// What a thread waits for in a system call.
    pub(super) fn of_call(&mut self, sleeper: &Sleeper) -> Wait {
        let Sleeper { tid, call, .. } = sleeper;
        let limit = memory::limit(self.cache, call);
        let mut wait = match call.name() {
            None => Wait::of_text(format!("system call {}", call.number)),
            Some("poll" | "ppoll" | "select" | "pselect6") => self.of_many(*tid, call, limit),
            Some("epoll_wait" | "epoll_pwait" | "epoll_pwait2") => self.of_epoll(*tid, call, limit),
            Some("nanosleep" | "clock_nanosleep") => Wait::of_text(sleep_words(limit)),
            Some("wait4" | "waitid") => self.of_child(*tid, call),
            Some("flock") => self.of_file_lock(*tid, call, "FLOCK"),
            Some("fcntl") if call.int(1) == F_SETLKW => self.of_file_lock(*tid, call, "POSIX"),
            Some("fcntl") if call.int(1) == F_OFD_SETLKW => self.of_file_lock(*tid, call, "OFDLCK"),
            Some("pause" | "rt_sigsuspend") => Wait::of_text("a signal"),
            Some("rt_sigtimedwait") => Wait::of_text(format!("a signal{}", aside(&[limit_words(limit)]))),
            Some("vfork") => Wait::of_text("a child made by vfork to start its program or end"),
            Some("clone" | "clone3") => Wait::of_text("a child to start its program or end, or a process to be made"),
            Some("restart_syscall") => {
                Wait::of_text("a wait that was interrupted and goes on; the kernel does not say which")
            }
            Some(name) => match descriptor(call) {
                Some(fd) => self.of_one(*tid, call, name, fd),
                None => self.of_path(call, name),
            },
        };
        set_limit(&mut wait, limit);
        wait
    }

    /// A call that waits on one descriptor.
    fn of_one(&mut self, tid: i32, call: &Call, name: &str, fd: i32) -> Wait {
        let mut wait = Wait { fd: Some(fd), ..Wait::default() };
        if let Some(FileKind::Pipe(inode)) = self.files.kind(fd) {
            let inode = *inode;
            wait.text = self.of_pipe(tid, name, fd, inode, &mut wait.pid);
            return wait;
        }
        let Described { mut target, mut details } = self.files.describe(tid, fd, &mut wait);
        if name == "connect" {
            let address = memory::address(self.cache, call).or_else(|| wait.peer.clone());
            let state = details.first().map(|state| format!(" ({state})")).unwrap_or_default();
            wait.text = match &address {
                Some(address) => format!("connect to {address}{state}"),
                None => format!("connect on fd {fd}"),
            };
            wait.peer = address;
            return wait;
        }
        let verb = verb(name);
        // With a timeout, Python waits in `poll`; SO_RCVTIMEO and SO_SNDTIMEO cannot be seen from outside.
        if matches!(self.files.kind(fd), Some(FileKind::Socket(_))) {
            details.push("no timeout".to_owned());
        }
        target.push_str(&aside(&details));
        wait.text = format!("{verb} on fd {fd}{target}");
        wait
    }

    fn of_pipe(&mut self, tid: i32, name: &str, fd: i32, inode: u64, pid: &mut Option<i32>) -> String {
        let writes = name.contains("write") || name == "splice";
        let words = if writes { "write to a full pipe" } else { "read from an empty pipe" };
        if !self.others.pipes.contains_key(&(inode, writes)) {
            let found = self.other_end(tid, inode, writes);
            self.others.pipes.insert((inode, writes), found);
        }
        let other = self.others.pipes.get(&(inode, writes));
        *pid = other.and_then(|(_, pid)| *pid);
        format!("{words} on fd {fd}{}", other.map(|(words, _)| words.as_str()).unwrap_or_default())
    }

    /// Who has the other end of a pipe open, in words, and one of them.
    fn other_end(&mut self, tid: i32, inode: u64, writes: bool) -> (String, Option<i32>) {
        let (end, done) = if writes { (PipeEnd::Read, "read") } else { (PipeEnd::Write, "written") };
        let mut near = vec![self.pid];
        near.extend(children(self.pid, tid));
        near.extend(parent(self.pid));
        // A full pipe is worth a look at all processes; a thread that waits for input often is only idle.
        let found = pipe_holders(inode, end, &near, writes, HOLDERS, self.deadline);
        let Some(found) = found else {
            return (if writes { ", whose reader was not found" } else { "" }.to_owned(), None);
        };
        let pid = found.iter().copied().find(|pid| *pid != self.pid).or(found.first().copied());
        let own = self.pid;
        let mut named = |pid: &i32| if *pid == own { "this process".to_owned() } else { self.named_process(*pid) };
        let names = found.iter().map(&mut named).collect::<Vec<_>>().join(", ");
        match found.is_empty() {
            true if writes => (", which nobody has open for reading".to_owned(), None),
            true => (String::new(), None),
            false => (format!(", {done} by {names}"), pid),
        }
    }

    fn named_process(&mut self, pid: i32) -> String {
        let name = || command(pid).map_or_else(|| format!("pid {pid}"), |command| format!("pid {pid} ({command})"));
        self.others.names.entry(pid).or_insert_with(name).clone()
    }

    /// `poll` and `select`.
    fn of_many(&mut self, tid: i32, call: &Call, limit: Limit) -> Wait {
        let polls = matches!(call.name(), Some("poll" | "ppoll"));
        let name = if polls { "poll" } else { "select" };
        let polled = match polls {
            true => memory::polled(self.cache, call),
            false => memory::selected(self.cache, call).map(|fds| fds.into_iter().map(|fd| (fd, 0)).collect()),
        };
        let Some(polled) = polled else {
            return Wait::of_text(format!("{name}{}", aside(&[limit_words(limit)])));
        };
        match polled.as_slice() {
            [] => Wait::of_text(sleep_words(limit)),
            [(fd, events)] => {
                let mut wait = Wait { fd: Some(*fd), ..Wait::default() };
                let Described { target, mut details } = self.files.describe(tid, *fd, &mut wait);
                let purpose = match events & (POLLIN | POLLOUT) {
                    POLLOUT if wait.socket_state.as_deref() == Some("SYN_SENT") => " to be connected",
                    POLLOUT => " to be writable",
                    POLLIN => " to be readable",
                    _ => "",
                };
                details.push(limit_words(limit));
                wait.text = format!("{name}: fd {fd}{target}{purpose}{}", aside(&details));
                wait
            }
            many => {
                let told = call.args.get(1).and_then(|count| usize::try_from(*count).ok());
                let count = told.filter(|_| polls).unwrap_or(many.len());
                let fds: Vec<i32> = many.iter().map(|(fd, _)| *fd).collect();
                let members = self.members(tid, &fds, count);
                Wait::of_text(format!("{name} on {count} fds ({members}; {})", limit_words(limit)))
            }
        }
    }

    fn of_epoll(&mut self, tid: i32, call: &Call, limit: Limit) -> Wait {
        let fd = call.int(0);
        let info = self.files.info(tid, fd);
        let (fds, complete) = (info.members.clone(), info.complete);
        let members = match (fds.as_slice(), complete) {
            ([], true) => "no fds; ".to_owned(),
            ([], false) => "its fds could not be read; ".to_owned(),
            ([_], true) => format!("1 fd: {}; ", self.members(tid, &fds, 1)),
            (_, true) => format!("{} fds: {}; ", fds.len(), self.members(tid, &fds, fds.len())),
            (_, false) => format!("{} fds or more: {}; ", fds.len(), self.members(tid, &fds, fds.len())),
        };
        let text = format!("epoll_wait on fd {fd} ({members}{})", limit_words(limit));
        Wait { text, fd: Some(fd), ..Wait::default() }
    }

    /// Some of the descriptors of a call in words.
    fn members(&mut self, tid: i32, fds: &[i32], count: usize) -> String {
        let one = |fd: &i32| {
            let described = self.files.describe(tid, *fd, &mut Wait::default());
            let target =
                described.target.strip_prefix(", ").map_or(described.target.clone(), |what| format!(": {what}"));
            format!("fd {fd}{target}{}", aside(&described.details))
        };
        let shown: Vec<String> = fds.iter().take(SHOWN).map(one).collect();
        list(&shown, count)
    }

    fn of_child(&mut self, tid: i32, call: &Call) -> Wait {
        let name = call.name().unwrap_or_default();
        // Numbers are those of the target's PID namespace, but a pidfd is told in those of ours.
        let (own, ours) = match (name, call.int(0)) {
            ("waitid", P_PID) => (Some(call.int(1)), None),
            ("waitid", P_PIDFD) => (None, self.files.info(tid, call.int(1)).pid),
            ("waitid", P_PGID) => return Wait::of_text(format!("{name} for {}", group_words(call.int(1)))),
            ("waitid", _) | (_, -1) => return Wait::of_text(format!("{name} for any child")),
            (_, group @ ..=0) => return Wait::of_text(format!("{name} for {}", group_words(group.saturating_neg()))),
            (_, pid) => (Some(pid), None),
        };
        let level = self.facts.ns_pids.len().saturating_sub(1);
        let pid = match own {
            None => ours,
            Some(own) if level == 0 => Some(own),
            Some(own) => {
                let all = children(self.pid, tid).into_iter().chain(children(self.pid, self.pid));
                all.into_iter().find(|child| id_at_level(*child, level) == Some(own))
            }
        };
        let inside = own.filter(|_| level > 0).map(|own| format!(", {own} in its PID namespace")).unwrap_or_default();
        let text = match (pid, own) {
            (Some(pid), _) => match command(pid) {
                Some(command) => format!("{name} for child {pid}{inside} ({command})"),
                None => format!("{name} for child {pid}{inside}"),
            },
            (None, Some(own)) => format!("{name} for child {own} of its PID namespace"),
            (None, None) => format!("{name} for the child of a pidfd that could not be read"),
        };
        Wait { text, pid, ..Wait::default() }
    }

    fn of_file_lock(&mut self, tid: i32, call: &Call, kind: &'static str) -> Wait {
        let fd = call.int(0);
        let mut wait = Wait { fd: Some(fd), ..Wait::default() };
        let target = self.files.describe(tid, fd, &mut wait).target;
        let inode = self.files.info(tid, fd).inode;
        let pid = self.pid;
        wait.pid = *self.others.holders.entry((kind, inode)).or_insert_with(|| file_lock_holder(pid, kind, inode));
        let holder = wait.pid.map(|pid| format!(", held by {}", self.named_process(pid))).unwrap_or_default();
        let words = if kind == "FLOCK" { "flock" } else { "fcntl lock" };
        wait.text = match &wait.path {
            Some(path) => format!("{words} {path} (fd {fd}){holder}"),
            None => format!("{words} on fd {fd}{target}{holder}"),
        };
        wait
    }

    /// Calls that are given a path, and all others.
    fn of_path(&self, call: &Call, name: &str) -> Wait {
        let at = match name {
            "open" | "stat" | "lstat" | "access" | "unlink" | "mkdir" | "rmdir" | "rename" | "execve" | "truncate"
            | "statfs" | "chdir" | "readlink" | "creat" => 0,
            "openat" | "openat2" | "newfstatat" | "statx" | "faccessat" | "faccessat2" | "unlinkat" | "mkdirat"
            | "renameat" | "renameat2" | "readlinkat" | "execveat" => 1,
            _ => return Wait::of_text(name),
        };
        match call.args.get(at).and_then(|addr| memory::path(self.cache, *addr)) {
            Some(path) => Wait { text: format!("{name} {path}"), path: Some(path), ..Wait::default() },
            None => Wait::of_text(name),
        }
    }
}

/// What people call it.
fn verb(name: &str) -> &str {
    match name {
        "recvfrom" | "recvmsg" | "recvmmsg" => "recv",
        "sendto" | "sendmsg" | "sendmmsg" => "send",
        "accept4" => "accept",
        "readv" | "pread64" | "preadv" | "preadv2" => "read",
        "writev" | "pwrite64" | "pwritev" | "pwritev2" => "write",
        name => name,
    }
}

/// Any child of a process group; 0 is the caller's own (`wait(2)`).
fn group_words(group: i32) -> String {
    match group {
        0 => "any child of its own process group".to_owned(),
        group => format!("any child of process group {group}"),
    }
}

fn sleep_words(limit: Limit) -> String {
    match limit {
        Limit::None => "nothing: it sleeps without an end".to_owned(),
        Limit::Whole(whole) => format!("sleep of {}", time(whole)),
        Limit::Left(left) => format!("sleep, {} left", time(left)),
        Limit::Unknown => "sleep".to_owned(),
    }
}

/// The limit of a wait in words.
pub(super) fn limit_words(limit: Limit) -> String {
    match limit {
        Limit::None => "no timeout".to_owned(),
        Limit::Whole(whole) => format!("timeout {}", time(whole)),
        Limit::Left(left) => format!("timeout in {}", time(left)),
        Limit::Unknown => "with a timeout".to_owned(),
    }
}

/// Puts the limit into its fields.
pub(super) fn set_limit(wait: &mut Wait, limit: Limit) {
    let milliseconds = |time: std::time::Duration| u64::try_from(time.as_millis()).ok();
    match limit {
        Limit::Whole(whole) => wait.timeout_ms = milliseconds(whole),
        Limit::Left(left) => wait.remaining_ms = milliseconds(left),
        Limit::None | Limit::Unknown => {}
    }
}
