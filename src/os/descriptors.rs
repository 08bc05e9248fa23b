//! Open files of a process: `/proc/PID/fd` and `/proc/PID/fdinfo` (`proc_pid_fd(5)`, `proc_pid_fdinfo(5)`). None of what is
//! read here blocks.

use super::process::parse_ids;
use std::fs;
use std::io::{self, Read};

/// Most of one file of `fdinfo` that is read: an epoll with some 600 members.
const FDINFO_BYTES: u64 = 64 << 10;

/// What a descriptor refers to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FileKind {
    /// A socket, by its inode.
    Socket(u64),
    /// A pipe or an unnamed FIFO, by its inode.
    Pipe(u64),
    /// A file, device or FIFO, by its path in the target's root.
    Path(String),
    /// `eventfd`, `timerfd`, `eventpoll`, `signalfd`, `inotify`, `pidfd` and their like.
    Anonymous(String),
}

/// Reads the text of a link in `/proc/PID/fd`.
pub(super) fn parse_link(link: &str) -> FileKind {
    let inode = |kind: &str| link.strip_prefix(kind)?.strip_prefix(":[")?.strip_suffix(']')?.parse().ok();
    if let Some(inode) = inode("socket") {
        return FileKind::Socket(inode);
    }
    if let Some(inode) = inode("pipe") {
        return FileKind::Pipe(inode);
    }
    match link.strip_prefix("anon_inode:") {
        Some(name) => FileKind::Anonymous(name.trim_start_matches('[').trim_end_matches(']').to_owned()),
        None => FileKind::Path(link.to_owned()),
    }
}

/// What `fdinfo` tells, as far as it is of use.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FileInfo {
    /// Members of an epoll set.
    pub members: Vec<i32>,
    /// Counter of an eventfd.
    pub count: Option<u64>,
    /// Time until a timerfd goes off, in milliseconds; 0 when it is not armed.
    pub timer_ms: Option<u64>,
    /// The process that a pidfd is for, as our PID namespace counts it.
    pub pid: Option<i32>,
    /// Inode of the file, from Linux 5.14 on.
    pub inode: Option<u64>,
    /// All of it was read; of an epoll set with very many members only the beginning is.
    pub complete: bool,
}

pub(super) fn parse_info(text: &str) -> FileInfo {
    let mut info = FileInfo::default();
    for line in text.lines() {
        let Some((name, value)) = line.split_once(':') else { continue };
        let value = value.trim();
        match name.trim() {
            "tfd" => info.members.extend(parse_ids(value).first()),
            "eventfd-count" => info.count = u64::from_str_radix(value, 16).ok(),
            "it_value" => info.timer_ms = parse_time(value),
            "Pid" => info.pid = value.parse().ok().filter(|pid| *pid > 0),
            "ino" => info.inode = value.parse().ok(),
            _ => {}
        }
    }
    info
}

/// `(seconds, nanoseconds)` in milliseconds.
fn parse_time(text: &str) -> Option<u64> {
    let (seconds, nanoseconds) = text.strip_prefix('(')?.strip_suffix(')')?.split_once(',')?;
    let (seconds, nanoseconds): (u64, u64) = (seconds.trim().parse().ok()?, nanoseconds.trim().parse().ok()?);
    seconds.checked_mul(1000)?.checked_add(nanoseconds / 1_000_000)
}

/// What a descriptor of a thread refers to. Threads nearly always share their descriptors.
pub fn file_of(pid: i32, tid: i32, fd: i32) -> io::Result<FileKind> {
    let link = fs::read_link(format!("/proc/{pid}/task/{tid}/fd/{fd}"))?;
    Ok(parse_link(&link.to_string_lossy()))
}

/// What `fdinfo` tells of a descriptor; nothing, and not `complete`, when it cannot be read.
pub fn file_info(pid: i32, tid: i32, fd: i32) -> FileInfo {
    match fs::File::open(format!("/proc/{pid}/task/{tid}/fdinfo/{fd}")) {
        Ok(file) => read_info(file),
        Err(_) => FileInfo::default(),
    }
}

fn read_info(file: impl Read) -> FileInfo {
    let mut text = Vec::new();
    let read = file.take(FDINFO_BYTES).read_to_end(&mut text);
    let complete = read.is_ok_and(|len| (len as u64) < FDINFO_BYTES);
    if !complete {
        // Half a line would be half a number.
        text.truncate(text.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1));
    }
    FileInfo { complete, ..parse_info(&String::from_utf8_lossy(&text)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn links_tell_what_they_lead_to() {
        assert_eq!(parse_link("socket:[123]"), FileKind::Socket(123));
        assert_eq!(parse_link("pipe:[7]"), FileKind::Pipe(7));
        assert_eq!(parse_link("anon_inode:[eventpoll]"), FileKind::Anonymous("eventpoll".into()));
        assert_eq!(parse_link("anon_inode:inotify"), FileKind::Anonymous("inotify".into()));
        assert_eq!(parse_link("/tmp/socket:[1]"), FileKind::Path("/tmp/socket:[1]".into()));
        assert_eq!(parse_link("socket:[x]"), FileKind::Path("socket:[x]".into()));
    }

    #[test]
    fn information_is_found_line_by_line() {
        let epoll = "pos:\t0\nflags:\t02000002\nmnt_id:\t15\nino:\t2058\n\
                     tfd:        5 events:       19 data: 5  pos:0 ino:2d sdev:8\ntfd:  12 events: 1 data: c\n";
        let info = parse_info(epoll);
        assert_eq!((info.members, info.inode), (vec![5, 12], Some(2058)));
        assert_eq!(parse_info("eventfd-count:               1f\n").count, Some(31));
        assert_eq!(parse_info("it_value: (49, 406829289)\nit_interval: (1, 0)\n").timer_ms, Some(49_406));
        assert_eq!(parse_info("Pid:\t-1\n").pid, None);
        assert_eq!(parse_info("it_value: (18446744073709551615, 0)\ntfd: x\n"), FileInfo::default());
    }

    #[test]
    fn of_too_much_the_beginning_is_read_and_marked() {
        let row = "tfd:        7 events:       19 data:                7  pos:0 ino:2d sdev:8\n";
        let text = row.repeat(2000);
        let info = read_info(text.as_bytes());
        assert!(!info.complete && info.members.len() > 500 && info.members.iter().all(|fd| *fd == 7));
        // The limit falls within a number.
        let long = format!("{}tfd: 123456\n", " ".repeat(FDINFO_BYTES as usize - 8));
        assert!(read_info(long.as_bytes()).members.is_empty());
        assert!(read_info(row.as_bytes()).complete);
        assert!(!file_info(std::process::id() as i32, 1, i32::MAX).complete);
    }

    proptest! {
        #[test]
        fn no_text_is_too_strange(link in "\\PC*", lines in "([a-zA-Z_-]{0,8}: ?\\PC{0,12}\n){0,6}") {
            let _ = (parse_link(&link), parse_info(&lines));
        }
    }
}
