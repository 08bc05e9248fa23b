//! Taking turns: one pyattach at a time works on a process.
//!
//! The turn is an abstract Unix socket whose name says which process is meant. Whoever has bound it has the turn; the kernel
//! takes it back when that process ends, however it ends, and no file is left.

use crate::os::{Process, innermost_id};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::time::{Duration, Instant};

/// How often to look whether the turn has come.
const LOOK_AGAIN: Duration = Duration::from_millis(2);

/// Our turn, until dropped.
#[derive(Debug)]
pub(super) struct Turn {
    /// Nothing is ever accepted; `None` where no such socket can be had, as under a filter of system calls.
    _socket: Option<UnixListener>,
}

impl Turn {
    /// Waits for it until `deadline`; `on_wait` is called once if it has to be waited for.
    pub(super) fn take(
        process: &Process,
        deadline: Instant,
        on_wait: &mut dyn FnMut(),
        is_cancelled: &dyn Fn() -> bool,
    ) -> Option<Turn> {
        let mut has_waited = false;
        loop {
            match SocketAddr::from_abstract_name(name(process)).and_then(|name| UnixListener::bind_addr(&name)) {
                Ok(socket) => return Some(Turn { _socket: Some(socket) }),
                Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => {}
                Err(_) => return Some(Turn { _socket: None }),
            }
            if !has_waited {
                on_wait();
                has_waited = true;
            }
            if Instant::now() >= deadline || is_cancelled() {
                return None;
            }
            std::thread::sleep(LOOK_AGAIN);
        }
    }
}

/// The same from every PID namespace: the process's own is named, with its PID there.
fn name(process: &Process) -> String {
    let namespace = std::fs::read_link(format!("/proc/{}/ns/pid", process.pid)).unwrap_or_default();
    let pid = innermost_id(process.pid).unwrap_or(process.pid);
    format!("pyattach-exec/{}/{pid}/{}", namespace.display(), process.start_ticks())
}
