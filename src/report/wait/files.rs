//! Descriptors that are waited on, each looked up once, and how they are called in words.

use super::{Sleeper, Waiting, memory};
use crate::os::{Call, FileInfo, FileKind, Socket, file_info, file_of, find_sockets};
use crate::report::model::Wait;
use std::collections::{HashMap, HashSet};
use std::time::Instant;

/// Descriptors named of those that one call waits on.
pub(super) const SHOWN: usize = 4;

/// Calls that wait on the descriptor that is their first argument.
const OF_ONE: &[&str] = &[
    "read",
    "readv",
    "pread64",
    "preadv",
    "preadv2",
    "write",
    "writev",
    "pwrite64",
    "pwritev",
    "pwritev2",
    "recvfrom",
    "recvmsg",
    "recvmmsg",
    "sendto",
    "sendmsg",
    "sendmmsg",
    "accept",
    "accept4",
    "connect",
    "sendfile",
    "fsync",
    "fdatasync",
    "ftruncate",
    "fallocate",
    "getdents64",
    "fstat",
    "close",
    "ioctl",
    "flock",
    "fcntl",
    "io_uring_enter",
    "splice",
    "syncfs",
    "epoll_wait",
    "epoll_pwait",
    "epoll_pwait2",
];

/// The descriptor that a call waits on, if it is one.
pub(super) fn descriptor(call: &Call) -> Option<i32> {
    OF_ONE.contains(&call.name()?).then(|| call.int(0)).filter(|fd| *fd >= 0)
}

/// Descriptors, and what they refer to.
pub(super) struct Files {
    pid: i32,
    kinds: HashMap<i32, Option<FileKind>>,
    infos: HashMap<i32, FileInfo>,
    sockets: HashMap<u64, Socket>,
}

impl Files {
    pub(super) fn new(pid: i32) -> Files {
        Files { pid, kinds: HashMap::new(), infos: HashMap::new(), sockets: HashMap::new() }
    }

    fn learn(&mut self, tid: i32, fd: i32) -> Option<&FileKind> {
        let pid = self.pid;
        self.kinds.entry(fd).or_insert_with(|| file_of(pid, tid, fd).ok()).as_ref()
    }

    /// Looks up descriptors, and the sockets among them.
    pub(super) fn look_up(&mut self, tid: i32, fds: impl Iterator<Item = i32>, deadline: Instant) {
        for fd in fds.take_while(|_| Instant::now() < deadline) {
            self.learn(tid, fd);
        }
        self.find_sockets(tid, deadline);
    }

    fn find_sockets(&mut self, tid: i32, deadline: Instant) {
        let inode = |kind: &Option<FileKind>| match kind {
            Some(FileKind::Socket(inode)) => Some(*inode),
            _ => None,
        };
        let inodes: HashSet<u64> = self.kinds.values().filter_map(inode).collect();
        if !inodes.is_empty() {
            self.sockets = find_sockets(self.pid, tid, &inodes, deadline);
        }
    }

    /// What `fdinfo` tells of a descriptor.
    pub(super) fn info(&mut self, tid: i32, fd: i32) -> &FileInfo {
        let pid = self.pid;
        self.infos.entry(fd).or_insert_with(|| file_info(pid, tid, fd))
    }

    /// What a descriptor refers to; `None` when that could not be read.
    pub(super) fn kind(&self, fd: i32) -> Option<&FileKind> {
        self.kinds.get(&fd)?.as_ref()
    }

    /// What a descriptor is, as `-> 10.0.0.5:5432 (ESTABLISHED)`; puts the parts that have fields of their own into `wait`.
    pub(super) fn describe(&mut self, tid: i32, fd: i32, wait: &mut Wait) -> Described {
        let plain = |target: String| Described { target, details: Vec::new() };
        match self.kind(fd).cloned() {
            None => plain(", of which no more can be read".to_owned()),
            Some(FileKind::Socket(inode)) => match self.sockets.get(&inode) {
                Some(socket) => describe_socket(socket, wait),
                None => plain(", a socket that is in no table".to_owned()),
            },
            Some(FileKind::Pipe(_)) => plain(", a pipe".to_owned()),
            Some(FileKind::Path(path)) => {
                let target = format!(" -> {path}");
                wait.path = Some(path);
                plain(target)
            }
            Some(FileKind::Anonymous(kind)) => {
                let info = self.info(tid, fd);
                let mut details = Vec::new();
                details.extend(info.count.map(|count| format!("count {count}")));
                details.extend(info.timer_ms.map(|left| match left {
                    0 => "not armed".to_owned(),
                    left => format!("due in {}", super::words::time(std::time::Duration::from_millis(left))),
                }));
                wait.pid = info.pid;
                Described { target: format!(", {kind}"), details }
            }
        }
    }
}

/// A descriptor in words.
pub(super) struct Described {
    /// What follows `fd 7`.
    pub(super) target: String,
    /// What is put in parentheses behind it.
    pub(super) details: Vec<String>,
}

fn describe_socket(socket: &Socket, wait: &mut Wait) -> Described {
    wait.local = socket.local.clone();
    wait.peer = socket.peer.clone();
    wait.socket_state = socket.state.map(str::to_owned);
    let local = socket.local.as_deref();
    let target = match (&socket.peer, local, socket.state) {
        (Some(peer), _, _) if socket.family == "TCP" => format!(" -> {peer}"),
        (Some(peer), _, _) => format!(" -> {peer}, {}", socket.family),
        (None, Some(local), Some("LISTEN")) => format!(", listening on {local}"),
        (None, Some(local), _) => format!(", {} {local}", socket.family),
        (None, None, _) => format!(", {} socket", socket.family),
    };
    let mut details: Vec<String> = Vec::new();
    match socket.state {
        Some("LISTEN") if socket.family == "TCP" => details.push(format!("{} waiting to be accepted", socket.received)),
        Some("LISTEN") | None => {}
        Some(state) => details.push(state.to_owned()),
    }
    if socket.unsent > 0 && socket.state != Some("LISTEN") {
        details.push(format!("{} bytes not taken by the peer", socket.unsent));
    }
    Described { target, details }
}

impl Waiting<'_> {
    /// Looks up all descriptors that are to be named.
    pub(super) fn read_files(&mut self, sleepers: &[Sleeper]) {
        for Sleeper { tid, call, .. } in sleepers {
            for fd in self.named(*tid, call) {
                self.files.learn(*tid, fd);
            }
        }
        if let Some(sleeper) = sleepers.first() {
            self.files.find_sockets(sleeper.tid, self.deadline);
        }
    }

    /// The descriptors that are named for a call.
    fn named(&mut self, tid: i32, call: &Call) -> Vec<i32> {
        let first = |fds: Vec<i32>| fds.into_iter().take(SHOWN);
        match call.name().unwrap_or_default() {
            "poll" | "ppoll" => {
                memory::polled(self.cache, call).unwrap_or_default().into_iter().map(|(fd, _)| fd).take(SHOWN).collect()
            }
            "select" | "pselect6" => first(memory::selected(self.cache, call).unwrap_or_default()).collect(),
            "epoll_wait" | "epoll_pwait" | "epoll_pwait2" => {
                let members = self.files.info(tid, call.int(0)).members.clone();
                first(members).chain(descriptor(call)).collect()
            }
            _ => descriptor(call).into_iter().collect(),
        }
    }
}
