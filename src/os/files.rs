//! Opening the target's files as the target sees them, without ever waiting.

use nix::errno::Errno;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat, openat2};
use nix::sys::stat::Mode;
use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};

/// Opens the regular file at `path` in the root directory (or, for a relative path, the working directory) of process `pid`.
pub fn open_as_seen_by(pid: i32, path: &str) -> Option<File> {
    let directory = |name: &str| {
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        nix::fcntl::open(format!("/proc/{pid}/{name}").as_str(), flags, Mode::empty()).ok()
    };
    match path.strip_prefix('/') {
        Some(path) => open_below(directory("root")?, path),
        None => regular(openat(directory("cwd")?, path, flags(), Mode::empty()).ok()?),
    }
}

/// Opens a regular file below `root`, where symbolic links are followed as if `root` were `/`: through plain
/// `/proc/PID/root/…` an absolute link in a container would lead to a file of the host.
fn open_below(root: impl AsFd, path: &str) -> Option<File> {
    let how = OpenHow::new().flags(flags()).resolve(ResolveFlag::RESOLVE_IN_ROOT);
    match openat2(&root, path, how) {
        // Linux before 5.6, or a seccomp filter that does not know the call.
        Err(Errno::ENOSYS | Errno::EPERM) => regular(openat(&root, path, flags(), Mode::empty()).ok()?),
        result => regular(result.ok()?),
    }
}

/// Opens a regular file of ours, or by a link of `/proc`.
pub(super) fn open_regular(path: &str) -> Option<File> {
    regular(nix::fcntl::open(path, flags(), Mode::empty()).ok()?)
}

/// Without waiting, as a FIFO or a device under the name of a file would make us.
fn flags() -> OFlag {
    OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_NOCTTY | OFlag::O_CLOEXEC
}

fn regular(file: OwnedFd) -> Option<File> {
    let file = File::from(file);
    file.metadata().ok()?.is_file().then_some(file)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;
    use std::os::unix::fs::symlink;

    #[test]
    fn absolute_links_stay_within_the_root() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join("etc")).unwrap();
        std::fs::write(root.path().join("etc/hostname"), "inside").unwrap();
        symlink("/etc/hostname", root.path().join("link")).unwrap();
        symlink("../../../../etc/hostname", root.path().join("climbing")).unwrap();
        for name in ["link", "climbing", "etc/hostname"] {
            let mut text = String::new();
            open_below(File::open(root.path()).unwrap(), name).unwrap().read_to_string(&mut text).unwrap();
            assert_eq!(text, "inside", "{name}");
        }
    }

    #[test]
    fn what_is_no_regular_file_is_not_opened() {
        let root = tempfile::tempdir().unwrap();
        nix::unistd::mkfifo(&root.path().join("fifo"), Mode::S_IRWXU).unwrap();
        assert!(open_below(File::open(root.path()).unwrap(), "fifo").is_none());
        assert!(open_as_seen_by(std::process::id() as i32, "/dev/null").is_none());
    }
}
