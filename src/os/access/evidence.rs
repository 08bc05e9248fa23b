//! What the kernel will look at, looked at beforehand. Nothing here changes anything: reading a byte that need not exist, and
//! a `ptrace` call that is refused in any case, tell what would be permitted.

use super::advice::quoted;
use super::status::{Status, UserNamespace, confinement, read_proc, relation_by_uid_maps};
use crate::base::Addr;
use crate::os::ProcessMemory;
use crate::target::{Memory, ReadError};
use nix::errno::Errno;
use nix::sys::ptrace;
use nix::sys::uio::{RemoteIoVec, process_vm_readv};
use nix::unistd::{Pid, geteuid};
use std::fs;
use std::io::IoSliceMut;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// An address to ask for: whether something is mapped there does not matter, as the right to look is checked first
/// (`mm_access` in `mm/process_vm_access.c`).
const ANY_ADDRESS: Addr = Addr(0x1000);

/// Who a process is, as far as access goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Party {
    /// Real, effective, saved user id, and that for files.
    pub(super) uids: [u32; 4],
    /// The same of the group.
    pub(super) gids: [u32; 4],
    pub(super) permitted: u64,
    pub(super) effective: u64,
}

impl Party {
    fn of(status: &Status) -> Option<Party> {
        Some(Party {
            uids: status.ids("Uid:")?,
            gids: status.ids("Gid:")?,
            permitted: status.capabilities("CapPrm:").unwrap_or(0),
            effective: status.capabilities("CapEff:").unwrap_or(0),
        })
    }
}

/// Where pyattach itself runs.
#[derive(Clone, Debug, Default)]
pub(super) struct Surroundings {
    /// Its path, as a shell takes it.
    pub(super) program: String,
    /// Its effective user is root (of its user namespace).
    pub(super) is_root: bool,
    /// The kind of container it is in, by the marks that container engines leave.
    pub(super) container: Option<&'static str>,
}

impl Surroundings {
    pub(super) fn look() -> Surroundings {
        let path = std::env::current_exe().ok().map(|path| path.to_string_lossy().into_owned());
        let path = path.filter(|path| !path.ends_with(" (deleted)"));
        let marks = [("/.dockerenv", "docker"), ("/run/.containerenv", "podman")];
        let mark = marks.into_iter().find(|(file, _)| Path::new(file).exists()).map(|(_, name)| name);
        Surroundings {
            program: path.map_or_else(|| "\"$(command -v pyattach)\"".to_owned(), |path| quoted(&path)),
            is_root: geteuid().is_root(),
            container: std::env::var_os("KUBERNETES_SERVICE_HOST").map(|_| "kubernetes").or(mark),
        }
    }
}

/// What came of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Attempt {
    Granted,
    Refused,
    /// Neither: it was not possible to try.
    Unclear,
}

/// Everything that the verdicts are made of.
#[derive(Clone, Debug)]
pub(super) struct Evidence {
    pub(super) pid: i32,
    pub(super) ours: Option<Party>,
    pub(super) theirs: Option<Party>,
    pub(super) user_namespace: UserNamespace,
    /// Whether its files in `/proc` are its own; `None` where that cannot be told, as for root's.
    pub(super) dumpable: Option<bool>,
    /// `kernel.yama.ptrace_scope`; `None` without Yama.
    pub(super) yama: Option<u32>,
    pub(super) our_label: Option<String>,
    pub(super) their_label: Option<String>,
    /// A seccomp filter is in force for pyattach.
    pub(super) seccomp: bool,
    /// `process_vm_readv` on pyattach itself, which only a filter refuses.
    pub(super) reading_oneself: Attempt,
    /// A `ptrace` call that fails with ESRCH unless a filter refuses it.
    pub(super) calling_ptrace: Attempt,
    pub(super) maps: Attempt,
    pub(super) memory: Attempt,
    /// Thread id and name of its tracer.
    pub(super) tracer: Option<(i32, String)>,
    pub(super) state: char,
    pub(super) surroundings: Surroundings,
}

impl Evidence {
    /// Looks at everything. Can block on a process in uninterruptible sleep.
    pub(super) fn look(pid: i32) -> Evidence {
        let (ours, theirs) = (Status::own(), Status::read(pid));
        let party = theirs.as_ref().and_then(Party::of);
        let user_namespace = user_namespace(pid);
        let tracer: Option<i32> = theirs.as_ref().and_then(|s| s.number("TracerPid:")).filter(|id| *id != 0);
        Evidence {
            pid,
            ours: ours.as_ref().and_then(Party::of),
            theirs: party,
            user_namespace,
            dumpable: party.and_then(|party| dumpable(pid, &party, user_namespace)),
            yama: read_proc("/proc/sys/kernel/yama/ptrace_scope").and_then(|text| text.trim().parse().ok()),
            our_label: label("self"),
            their_label: label(&pid.to_string()),
            seccomp: ours.as_ref().and_then(|s| s.number::<u32>("Seccomp:")) == Some(2),
            reading_oneself: read_oneself(),
            calling_ptrace: call_ptrace(pid),
            maps: open_maps(pid),
            memory: read_memory(pid),
            tracer: tracer.map(|id| (id, process_name(id).unwrap_or_else(|| "?".to_owned()))),
            state: theirs.as_ref().and_then(|s| s.field("State:")?.chars().next()).unwrap_or('?'),
            surroundings: Surroundings::look(),
        }
    }
}

/// The kernel's name of a process or thread.
pub(crate) fn process_name(pid: i32) -> Option<String> {
    read_proc(&format!("/proc/{pid}/comm")).map(|name| name.trim_end().to_owned())
}

fn label(who: &str) -> Option<String> {
    confinement(&read_proc(&format!("/proc/{who}/attr/current"))?)
}

fn user_namespace(pid: i32) -> UserNamespace {
    let link = |who: &str| fs::read_link(format!("/proc/{who}/ns/user")).ok();
    // The link is subject to the same check as all the rest; the map is not.
    match (link("self"), link(&pid.to_string())) {
        (Some(ours), Some(theirs)) if ours == theirs => UserNamespace::Same,
        (ours, theirs) => {
            let map = |who: &str| read_proc(&format!("/proc/{who}/uid_map"));
            match (map("self"), map(&pid.to_string())) {
                (Some(own), Some(other)) => match relation_by_uid_maps(&own, &other) {
                    // Equal maps of namespaces that are not the same.
                    UserNamespace::Same if ours.is_some() && theirs.is_some() => UserNamespace::Below,
                    relation => relation,
                },
                _ => UserNamespace::Unknown,
            }
        }
    }
}

/// Files of a process that is not dumpable belong to root (`task_dump_owner` in `fs/proc/base.c`).
fn dumpable(pid: i32, party: &Party, namespace: UserNamespace) -> Option<bool> {
    let owner = fs::metadata(format!("/proc/{pid}/environ")).ok()?.uid();
    let [_, effective, _, _] = party.uids;
    match owner == effective {
        false => Some(false),
        true => (effective != 0 && namespace == UserNamespace::Same).then_some(true),
    }
}

fn read_oneself() -> Attempt {
    let byte = [1_u8];
    let remote = RemoteIoVec { base: byte.as_ptr().addr(), len: 1 };
    match process_vm_readv(Pid::this(), &mut [IoSliceMut::new(&mut [0])], &[remote]) {
        Ok(_) => Attempt::Granted,
        Err(Errno::EPERM | Errno::EACCES) => Attempt::Refused,
        Err(_) => Attempt::Unclear,
    }
}

/// To let go on what is not stopped by us: no such thing, says the kernel, if it comes to that.
fn call_ptrace(pid: i32) -> Attempt {
    match ptrace::cont(Pid::from_raw(pid), None) {
        Err(Errno::ESRCH) => Attempt::Granted,
        Err(Errno::EPERM | Errno::EACCES | Errno::ENOSYS) => Attempt::Refused,
        _ => Attempt::Unclear,
    }
}

fn open_maps(pid: i32) -> Attempt {
    match fs::File::open(format!("/proc/{pid}/maps")) {
        Ok(_) => Attempt::Granted,
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => Attempt::Refused,
        Err(_) => Attempt::Unclear,
    }
}

fn read_memory(pid: i32) -> Attempt {
    match ProcessMemory::new(pid).read(ANY_ADDRESS, &mut [0]) {
        Ok(()) | Err(ReadError::Unmapped) => Attempt::Granted,
        Err(ReadError::Denied) => Attempt::Refused,
        Err(_) => Attempt::Unclear,
    }
}
