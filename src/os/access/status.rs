//! Texts of `/proc` that say who a process is and what it may: pure parsers, for text that may be cut off or nonsense.

use std::fs;
use std::io::Read;

/// Most of a file of `/proc` that is read: a `status` with thousands of supplementary groups is still below.
const FILE_BYTES: u64 = 64 << 10;

/// The beginning of a file of `/proc`, at one go: the kernel makes all of it anew for every read.
pub(crate) fn read_proc(path: &str) -> Option<String> {
    let mut text = Vec::with_capacity(4096);
    fs::File::open(path).ok()?.take(FILE_BYTES).read_to_end(&mut text).ok()?;
    Some(String::from_utf8_lossy(&text).into_owned())
}

/// `/proc/PID/status`: a field a line.
pub(crate) struct Status(String);

impl Status {
    /// Reads it.
    pub(crate) fn read(pid: i32) -> Option<Status> {
        read_proc(&format!("/proc/{pid}/status")).map(Status)
    }

    /// Our own.
    pub(super) fn own() -> Option<Status> {
        read_proc("/proc/self/status").map(Status)
    }

    #[cfg(test)]
    pub(super) fn from_text(text: &str) -> Status {
        Status(text.to_owned())
    }

    /// What follows `name` on its line.
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        self.0.lines().find_map(|line| line.strip_prefix(name)).map(str::trim)
    }

    /// A field that is one number, in decimal.
    pub(crate) fn number<T: std::str::FromStr>(&self, name: &str) -> Option<T> {
        self.field(name)?.split_whitespace().next()?.parse().ok()
    }

    /// The four ids of `Uid:` or `Gid:`: real, effective, saved, of the file system.
    pub(super) fn ids(&self, name: &str) -> Option<[u32; 4]> {
        let ids: Vec<u32> = self.field(name)?.split_whitespace().filter_map(|id| id.parse().ok()).collect();
        ids.try_into().ok()
    }

    /// A set of capabilities.
    pub(super) fn capabilities(&self, name: &str) -> Option<u64> {
        u64::from_str_radix(self.field(name)?, 16).ok()
    }
}

/// How a user namespace lies to ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum UserNamespace {
    /// It is ours.
    Same,
    /// Ours is above it: what we may here, we may there.
    Below,
    /// It is above ours, or beside it.
    Outside,
    /// It cannot be told.
    Unknown,
}

/// Tells it from the two `uid_map`, which anybody may read (`user_namespaces(7)`): a row is the first id inside, the first id
/// outside, and how many. Of another namespace, the ids outside are shown as the reader's namespace counts them, so those of a
/// namespace below are all ids that the reader's has; an id that it does not have is shown as 2^32 - 1.
pub(super) fn relation_by_uid_maps(ours: &str, theirs: &str) -> UserNamespace {
    let rows = |text: &str| -> Option<Vec<[u64; 3]>> {
        let row = |line: &str| {
            let numbers: Vec<u32> = line.split_whitespace().filter_map(|n| n.parse().ok()).collect();
            <[u32; 3]>::try_from(numbers).ok().map(|row| row.map(u64::from))
        };
        text.lines().map(row).collect()
    };
    let (Some(ours), Some(theirs)) = (rows(ours), rows(theirs)) else { return UserNamespace::Unknown };
    // A namespace without a map is a young one. Whether it is below ours does not show.
    if theirs.is_empty() != ours.is_empty() {
        return UserNamespace::Unknown;
    }
    if ours == theirs {
        return UserNamespace::Same;
    }
    let known = ranges(&ours);
    let is_known =
        |[_, outside, count]: &[u64; 3]| known.iter().any(|(start, end)| start <= outside && outside + count <= *end);
    if theirs.iter().all(is_known) { UserNamespace::Below } else { UserNamespace::Outside }
}

/// The ids inside, neighbouring rows as one range.
fn ranges(rows: &[[u64; 3]]) -> Vec<(u64, u64)> {
    let mut inside: Vec<(u64, u64)> = rows.iter().map(|[first, _, count]| (*first, first + count)).collect();
    inside.sort_unstable();
    let mut merged: Vec<(u64, u64)> = Vec::new();
    for (start, end) in inside {
        match merged.last_mut() {
            Some((_, before)) if start <= *before => *before = end.max(*before),
            _ => merged.push((start, end)),
        }
    }
    merged
}

/// The value of `hidepid` of the file system mounted on `/proc`, from `/proc/self/mountinfo` (`proc(5)`, section on mount
/// options): `None` when nothing is hidden.
pub(super) fn hidepid(mountinfo: &str) -> Option<String> {
    // The last mount on a place covers those before it.
    let mount = mountinfo.lines().rfind(|line| line.split(' ').nth(4) == Some("/proc"))?;
    let (_, source) = mount.split_once(" - ")?;
    let mut words = source.split(' ');
    if words.next() != Some("proc") {
        return None;
    }
    let options = words.nth(1)?;
    let value = options.split(',').find_map(|option| option.strip_prefix("hidepid="))?;
    (!matches!(value, "0" | "off")).then(|| value.to_owned())
}

/// A label of a security module that means something: not empty, not that of a process that is not confined.
pub(super) fn confinement(label: &str) -> Option<String> {
    let label = label.trim_end_matches(['\0', '\n', ' ']);
    let is_free = label.is_empty() || label == "unconfined" || label.contains(":unconfined_t:") || label == "kernel";
    (!is_free).then(|| label.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn fields_of_status() {
        let status = Status::from_text("Name:\tUid:\nUid:\t1\t2\t3\t4\nCapEff:\t00000000000000ff\nTracerPid:\t0\n");
        assert_eq!(status.ids("Uid:"), Some([1, 2, 3, 4]));
        assert_eq!(status.capabilities("CapEff:"), Some(255));
        assert_eq!(status.number("TracerPid:"), Some(0));
        assert_eq!(status.number::<i32>("Seccomp:"), None);
        assert_eq!(Status::from_text("Uid:\t1\t2\n").ids("Uid:"), None);
    }

    #[test]
    fn user_namespaces() {
        let root = "         0          0 4294967295\n";
        assert_eq!(relation_by_uid_maps(root, root), UserNamespace::Same);
        assert_eq!(relation_by_uid_maps(root, "0 1000 1\n"), UserNamespace::Below);
        assert_eq!(relation_by_uid_maps("0 1000 1\n", "0 4294967295 4294967295\n"), UserNamespace::Outside);
        assert_eq!(relation_by_uid_maps("0 0 1\n", root), UserNamespace::Outside);
        assert_eq!(relation_by_uid_maps("0 1000 1\n1 100000 65536\n", "0 0 65537\n"), UserNamespace::Below);
        assert_eq!(relation_by_uid_maps(root, ""), UserNamespace::Unknown);
        assert_eq!(relation_by_uid_maps(root, "what is this"), UserNamespace::Unknown);
    }

    #[test]
    fn hidden_processes() {
        let mount =
            |options: &str| format!("22 1 0:5 / /sys rw - sysfs s rw\n23 1 0:4 / /proc rw - proc proc {options}\n");
        assert_eq!(hidepid(&mount("rw")), None);
        assert_eq!(hidepid(&mount("rw,hidepid=0")), None);
        assert_eq!(hidepid(&mount("rw,hidepid=2")).as_deref(), Some("2"));
        assert_eq!(hidepid(&mount("rw,gid=4,hidepid=invisible")).as_deref(), Some("invisible"));
        let covered = format!("{}24 1 0:9 / /proc rw - proc proc rw\n", mount("rw,hidepid=2"));
        assert_eq!(hidepid(&covered), None);
    }

    #[test]
    fn labels() {
        assert_eq!(confinement("unconfined\n"), None);
        assert_eq!(confinement("docker-default (enforce)\n").as_deref(), Some("docker-default (enforce)"));
        assert_eq!(confinement("unconfined_u:unconfined_r:unconfined_t:s0-s0:c0.c1023\0"), None);
        assert_eq!(confinement(""), None);
    }

    proptest! {
        #[test]
        fn no_text_is_too_strange(one in ".{0,200}", two in "[0-9 \n,=/a-z-]{0,200}") {
            for (one, two) in [(&one, &two), (&two, &one)] {
                let _ = relation_by_uid_maps(one, two);
                let _ = hidepid(&format!("{one} - {two}"));
                let _ = confinement(one);
                let _ = Status::from_text(one).ids(two);
            }
        }
    }
}
