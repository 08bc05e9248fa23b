//! Which layer refuses access to a process: found by looking at what the kernel checks (`ptrace(2)`, "Ptrace access mode
//! checking"), in the order in which it checks it.

use nix::unistd::geteuid;
use std::fmt;
use std::fs;
use std::io::Read;

/// Most of `/proc/PID/status` that is read: one with thousands of supplementary groups is still below.
const STATUS_BYTES: u64 = 64 << 10;

/// `CAP_SYS_PTRACE` in `linux/capability.h`.
const CAP_SYS_PTRACE: u32 = 19;

/// A layer that can refuse, with what was seen of it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal {
    /// It runs under another user id, and we lack `CAP_SYS_PTRACE`.
    OtherUser {
        /// Our effective user id.
        ours: u32,
        /// The target's.
        theirs: u32,
    },
    /// It has made itself non-dumpable (`prctl(PR_SET_DUMPABLE)`, set-user-id, unreadable executable).
    NotDumpable,
    /// Yama's `kernel.yama.ptrace_scope`.
    Yama {
        /// The value of the setting.
        scope: u32,
    },
    /// It lives in a user namespace in which we have no capabilities.
    UserNamespace,
    /// We have the capability and it is ours, so a security module or a seccomp filter must have refused.
    SecurityModule {
        /// The target's label in `/proc/PID/attr/current`, where there is one.
        label: Option<String>,
        /// True when a seccomp filter is in force for pyattach itself.
        seccomp: bool,
    },
}

impl Refusal {
    /// Looks for the layer that refuses access to `pid`.
    pub(super) fn find(pid: i32) -> Refusal {
        let ours = geteuid().as_raw();
        let uid = |status: Status| status.field("Uid:")?.split_whitespace().next()?.parse().ok();
        let theirs = Status::read(pid).and_then(uid);
        let capable = own_capabilities() & (1 << CAP_SYS_PTRACE) != 0;
        if capable {
            if !same_user_namespace(pid) {
                return Refusal::UserNamespace;
            }
            if let Some(scope @ 3) = yama_scope() {
                return Refusal::Yama { scope };
            }
            let seccomp = fs::read_to_string("/proc/self/status").is_ok_and(|s| s.contains("Seccomp:\t2"));
            let label = fs::read_to_string(format!("/proc/{pid}/attr/current")).ok().map(|l| l.trim().to_owned());
            return Refusal::SecurityModule { label: label.filter(|l| !l.is_empty()), seccomp };
        }
        match theirs {
            Some(theirs) if theirs != ours => Refusal::OtherUser { ours, theirs },
            _ if proc_is_roots(pid, ours) => Refusal::NotDumpable,
            _ => match yama_scope() {
                Some(scope) if scope > 0 => Refusal::Yama { scope },
                _ => Refusal::SecurityModule { label: None, seccomp: false },
            },
        }
    }

    /// What a person can do about it.
    pub fn hint(&self) -> String {
        let sudo = "run it as root: sudo \"$(command -v pyattach)\" …; in a container give it the capability: \
                    docker run --cap-add SYS_PTRACE, or kubectl debug --profile=general";
        match self {
            Refusal::OtherUser { .. } | Refusal::NotDumpable => sudo.to_owned(),
            Refusal::Yama { scope: 3 } => {
                "ptrace_scope is 3, which even root cannot lower: it takes a reboot with another setting".to_owned()
            }
            Refusal::Yama { .. } => {
                format!("{sudo}; or allow it for your own processes: sudo sysctl kernel.yama.ptrace_scope=0")
            }
            Refusal::UserNamespace => "run pyattach in the target's user namespace, or as root of the host: \
                                       sudo nsenter --user --preserve-credentials --target PID …"
                .to_owned(),
            Refusal::SecurityModule { .. } => {
                "look for a denial in the kernel's log (dmesg, audit.log): AppArmor, SELinux or a container's seccomp \
                 profile must allow ptrace"
                    .to_owned()
            }
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::OtherUser { ours, theirs } => {
                write!(f, "it belongs to user {theirs}, pyattach runs as user {ours} without CAP_SYS_PTRACE")
            }
            Refusal::NotDumpable => write!(f, "it has made itself non-dumpable, and pyattach lacks CAP_SYS_PTRACE"),
            Refusal::Yama { scope } => {
                write!(f, "kernel.yama.ptrace_scope is {scope}, and pyattach lacks CAP_SYS_PTRACE")
            }
            Refusal::UserNamespace => write!(f, "it lives in a user namespace where pyattach has no CAP_SYS_PTRACE"),
            Refusal::SecurityModule { label, seccomp } => {
                write!(f, "user and capabilities suffice, so a security module or seccomp filter refuses")?;
                if let Some(label) = label {
                    write!(f, " (the target is confined as {})", crate::base::display_safe(label))?;
                }
                if *seccomp {
                    write!(f, " (a seccomp filter is in force for pyattach)")?;
                }
                Ok(())
            }
        }
    }
}

/// `/proc/PID/status`: a field a line.
pub(super) struct Status(String);

impl Status {
    /// Reads it, at one go: the kernel makes all of it anew for every read.
    pub(super) fn read(pid: i32) -> Option<Status> {
        let mut text = Vec::with_capacity(STATUS_BYTES as usize);
        fs::File::open(format!("/proc/{pid}/status")).ok()?.take(STATUS_BYTES).read_to_end(&mut text).ok()?;
        Some(Status(String::from_utf8_lossy(&text).into_owned()))
    }

    /// What follows `name` on its line.
    pub(super) fn field(&self, name: &str) -> Option<&str> {
        self.0.lines().find_map(|line| line.strip_prefix(name)).map(str::trim)
    }
}

fn own_capabilities() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("CapEff:")).unwrap_or_default();
    u64::from_str_radix(line.trim(), 16).unwrap_or(0)
}

fn yama_scope() -> Option<u32> {
    fs::read_to_string("/proc/sys/kernel/yama/ptrace_scope").ok()?.trim().parse().ok()
}

/// `/proc/PID` belongs to root when the process is non-dumpable.
fn proc_is_roots(pid: i32, ours: u32) -> bool {
    use std::os::unix::fs::MetadataExt;
    ours != 0 && fs::metadata(format!("/proc/{pid}/environ")).is_ok_and(|m| m.uid() == 0)
}

fn same_user_namespace(pid: i32) -> bool {
    let link = |who: &str| fs::read_link(format!("/proc/{who}/ns/user")).ok();
    match link(&pid.to_string()) {
        Some(theirs) => link("self") == Some(theirs),
        // The link itself is subject to the same check; when it is refused, nothing is known.
        None => true,
    }
}
