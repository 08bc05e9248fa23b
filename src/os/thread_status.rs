//! What the kernel says of one thread in `/proc/PID/task/TID/status` (`proc_pid_status(5)`), of its stack's limit, and of the
//! control group's freezer. None of these files blocks.

use super::access::read_proc;
use nix::libc;

/// `CAP_SYS_ADMIN` (`linux/capability.h`).
const CAP_SYS_ADMIN: u64 = 1 << 21;

/// What `status` says of a thread, as far as it matters to whoever wants to borrow it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ThreadStatus {
    /// State letter.
    pub state: char,
    /// Who traces it; 0 for nobody.
    pub tracer: i32,
    /// 0: any system call; 1: strict; 2: as a filter says.
    pub seccomp: u8,
    /// It has a shadow stack (`x86_Thread_features`, `Documentation/arch/x86/shstk.rst`).
    pub shadow_stack: bool,
}

impl ThreadStatus {
    /// Reads it; `None` when the thread is gone.
    pub fn read(pid: i32, tid: i32) -> Option<ThreadStatus> {
        parse(&read_proc(&format!("/proc/{pid}/task/{tid}/status"))?)
    }
}

fn parse(text: &str) -> Option<ThreadStatus> {
    let field = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
    Some(ThreadStatus {
        state: field("State:")?.chars().next()?,
        tracer: field("TracerPid:").and_then(|id| id.parse().ok()).unwrap_or(0),
        // Kernels without it have no line.
        seccomp: field("Seccomp:").and_then(|mode| mode.parse().ok()).unwrap_or(0),
        shadow_stack: field("x86_Thread_features:").is_some_and(|list| list.split_whitespace().any(|f| f == "shstk")),
    })
}

/// True when a tracer like us may suspend a system-call filter (`PTRACE_O_SUSPEND_SECCOMP`): with `CAP_SYS_ADMIN`, and no
/// filter of our own.
pub fn may_suspend_seccomp() -> bool {
    let Some(text) = read_proc("/proc/self/status") else { return false };
    let field = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
    let capable = field("CapEff:").and_then(|set| u64::from_str_radix(set, 16).ok());
    capable.is_some_and(|set| set & CAP_SYS_ADMIN != 0) && field("Seccomp:").is_none_or(|mode| mode == "0")
}

/// The limit to which the first thread's stack may grow, in bytes; `None` for no limit, or one that cannot be read.
pub fn stack_limit(pid: i32) -> Option<u64> {
    limits(pid, "Max stack size")?.0.parse().ok()
}

/// How many descriptors the process may have open, and how far it may raise that itself: the soft and the hard limit.
pub fn descriptor_limits(pid: i32) -> Option<(u64, u64)> {
    let number = |word: &str| if word == "unlimited" { Some(u64::MAX) } else { word.parse().ok() };
    let (soft, hard) = limits(pid, "Max open files")?;
    Some((number(&soft)?, number(&hard)?))
}

/// The soft and the hard limit of this name, as `/proc/PID/limits` has them.
fn limits(pid: i32, name: &str) -> Option<(String, String)> {
    let text = read_proc(&format!("/proc/{pid}/limits"))?;
    let mut words = text.lines().find_map(|line| line.strip_prefix(name))?.split_whitespace();
    Some((words.next()?.to_owned(), words.next()?.to_owned()))
}

/// True when the process's control group is frozen (`cgroups(7)`, `Documentation/admin-guide/cgroup-v2.rst`): nothing in it
/// runs until it is thawed.
pub fn is_frozen(pid: i32) -> bool {
    let Some(text) = read_proc(&format!("/proc/{pid}/cgroup")) else { return false };
    text.lines().any(|line| {
        let mut parts = line.splitn(3, ':');
        let (_, controllers, Some(path)) = (parts.next(), parts.next().unwrap_or_default(), parts.next()) else {
            return false;
        };
        match controllers {
            "" => frozen_by_events(&format!("/sys/fs/cgroup{path}/cgroup.events")),
            _ if controllers.split(',').any(|name| name == "freezer") => {
                let state = read_proc(&format!("/sys/fs/cgroup/freezer{path}/freezer.state"));
                state.is_some_and(|state| state.trim() != "THAWED")
            }
            _ => false,
        }
    })
}

fn frozen_by_events(path: &str) -> bool {
    read_proc(path).is_some_and(|text| text.lines().any(|line| line == "frozen 1"))
}

/// True when a thread that sleeps in this call waits for a child that uses its memory (`vfork(2)`).
pub fn waits_for_vfork(call: &super::Call) -> bool {
    let flags = call.args.first().copied().unwrap_or(0);
    match call.name() {
        Some("vfork") => true,
        Some("clone") => flags & libc::CLONE_VFORK as u64 != 0,
        // Its flags are in memory; of what a thread can do in it, only this takes long.
        Some("clone3") => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn lines_that_are_missing_mean_nothing_is_in_the_way() {
        let old = "Name:\tx\nState:\tS (sleeping)\nTracerPid:\t0\n";
        assert_eq!(parse(old), Some(ThreadStatus { state: 'S', tracer: 0, seccomp: 0, shadow_stack: false }));
        let new = "State:\tt (tracing stop)\nTracerPid:\t77\nSeccomp:\t2\nx86_Thread_features:\tshstk wrss \n";
        assert_eq!(parse(new), Some(ThreadStatus { state: 't', tracer: 77, seccomp: 2, shadow_stack: true }));
        assert_eq!(parse("Name:\tx\n"), None);
    }

    proptest! {
        #[test]
        fn no_text_is_too_strange(text in "\\PC*") {
            let _ = parse(&text);
        }
    }
}
