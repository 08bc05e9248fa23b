//! Other processes that a process waits for: holders of file locks (`/proc/locks`, `proc_locks(5)`), ends of pipes, children.

use super::access::Status;
use super::descriptors::{FileKind, parse_link};
use super::process::parse_ids;
use procfs::process::Process as ProcProcess;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::MetadataExt;
use std::time::Instant;

/// Descriptors of one process that are looked through for the other end of a pipe.
const DESCRIPTORS: usize = 1024;
/// Rows of `/proc/locks` that are looked through, and the longest of them in bytes.
const LOCK_ROWS: usize = 100_000;
const LOCK_BYTES: u64 = 256;
/// Most of a command line that is read, in bytes.
const COMMAND_BYTES: u64 = 4096;
/// Characters of a command line that are shown.
const COMMAND_CHARS: usize = 60;

/// One row of `/proc/locks`.
#[derive(Clone, Debug, PartialEq, Eq)]
struct LockRow {
    number: u64,
    blocked: bool,
    kind: String,
    pid: i32,
    inode: u64,
}

/// `1: -> FLOCK  ADVISORY  WRITE 812 08:01:1234 0 EOF`.
fn parse_lock(row: &str) -> Option<LockRow> {
    let mut words = row.split_whitespace().peekable();
    let number = words.next()?.strip_suffix(':')?.parse().ok()?;
    let blocked = words.next_if_eq(&"->").is_some();
    let kind = words.next()?.to_owned();
    let pid = words.nth(2)?.parse().ok()?;
    let inode = words.next()?.rsplit(':').next()?.parse().ok()?;
    Some(LockRow { number, blocked, kind, pid, inode })
}

/// Who holds what the process waits for by a lock of this kind (`FLOCK`, `POSIX`, `OFDLCK`), and on which inode, if known.
fn holder(rows: &[LockRow], pid: i32, kind: &str, inode: Option<u64>) -> Option<i32> {
    let is_ours = |row: &&LockRow| {
        // Locks of open file descriptions belong to no process.
        let owner = row.pid == pid || kind == "OFDLCK";
        row.blocked && owner && row.kind == kind && inode.is_none_or(|inode| inode == row.inode)
    };
    let mut waits = rows.iter().filter(is_ours);
    let number = waits.next()?.number;
    if waits.any(|other| other.number != number) {
        return None;
    }
    rows.iter().find(|row| row.number == number && !row.blocked).map(|row| row.pid).filter(|pid| *pid > 0)
}

/// The process that holds the file lock for which process `pid` waits, as our PID namespace counts it; `None` when it cannot
/// be told for certain.
pub fn file_lock_holder(pid: i32, kind: &str, inode: Option<u64>) -> Option<i32> {
    let file = fs::File::open("/proc/locks").ok()?;
    let mut reader = BufReader::new(file);
    let mut rows = Vec::new();
    let mut row = Vec::new();
    while rows.len() < LOCK_ROWS {
        row.clear();
        match (&mut reader).take(LOCK_BYTES).read_until(b'\n', &mut row) {
            Ok(1..) => rows.extend(parse_lock(&String::from_utf8_lossy(&row))),
            _ => break,
        }
    }
    holder(&rows, pid, kind, inode)
}

/// Which end of a pipe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PipeEnd {
    /// The one that is read from.
    Read,
    /// The one that is written to.
    Write,
}

/// Processes that have this end of a pipe open, first `near`, then, when none of those has it, all others if `everywhere`; at
/// most `limit`. `None` when not all could be looked at until `deadline`, or may be, and none was found.
pub fn pipe_holders(
    inode: u64,
    end: PipeEnd,
    near: &[i32],
    everywhere: bool,
    limit: usize,
    deadline: Instant,
) -> Option<Vec<i32>> {
    let mut complete = true;
    let mut found = Vec::new();
    let others = || fs::read_dir("/proc").into_iter().flatten().flatten();
    let others = everywhere.then(others).into_iter().flatten();
    let others = others.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    for (index, pid) in near.iter().copied().chain(others.filter(|pid| !near.contains(pid))).enumerate() {
        if found.len() >= limit || (index >= near.len() && !found.is_empty()) {
            break;
        }
        if Instant::now() > deadline {
            complete = false;
            break;
        }
        match has_end(pid, inode, end) {
            Some(true) => found.push(pid),
            Some(false) => {}
            None => complete = false,
        }
    }
    (complete || !found.is_empty()).then_some(found)
}

/// Whether the process has this end of the pipe open; `None` when that may not be known, or is too much to look through.
fn has_end(pid: i32, inode: u64, end: PipeEnd) -> Option<bool> {
    let Ok(entries) = fs::read_dir(format!("/proc/{pid}/fd")) else {
        return (!fs::exists(format!("/proc/{pid}")).unwrap_or(true)).then_some(false);
    };
    for (index, entry) in entries.flatten().enumerate() {
        if index >= DESCRIPTORS {
            return None;
        }
        let link = fs::read_link(entry.path()).unwrap_or_default();
        if parse_link(&link.to_string_lossy()) == FileKind::Pipe(inode) {
            // The link's own permissions tell how the file was opened.
            let mode = fs::symlink_metadata(entry.path()).map_or(0, |metadata| metadata.mode());
            let bit = if end == PipeEnd::Read { 0o400 } else { 0o200 };
            if mode & bit != 0 {
                return Some(true);
            }
        }
    }
    Some(false)
}

/// The children of a thread, as our PID namespace counts them.
pub fn children(pid: i32, tid: i32) -> Vec<i32> {
    fs::read_to_string(format!("/proc/{pid}/task/{tid}/children")).map(|text| parse_ids(&text)).unwrap_or_default()
}

/// The parent of a process.
pub fn parent(pid: i32) -> Option<i32> {
    Status::read(pid)?.field("PPid:")?.parse().ok().filter(|pid| *pid > 0)
}

/// The id of a process in its innermost PID namespace: what it has for itself.
pub fn innermost_id(pid: i32) -> Option<i32> {
    Status::read(pid)?.field("NSpid:").map(parse_ids)?.last().copied()
}

/// The id of a process in the PID namespace that is so many levels below ours; it may have one of its own further below.
pub fn id_at_level(pid: i32, level: usize) -> Option<i32> {
    Status::read(pid)?.field("NSpid:").map(parse_ids)?.get(level).copied()
}

/// What a process is, in a few words: its command line where that can be read without waiting, else its name.
pub fn command(pid: i32) -> Option<String> {
    let stat = ProcProcess::new(pid).ok()?.stat().ok()?;
    let mut bytes = Vec::new();
    // The command line is in its memory, which can take for ever to come.
    if stat.state != 'D' {
        let file = fs::File::open(format!("/proc/{pid}/cmdline"));
        let _ = file.and_then(|file| file.take(COMMAND_BYTES).read_to_end(&mut bytes));
    }
    let text = String::from_utf8_lossy(&bytes).replace('\0', " ");
    let words = if text.trim().is_empty() { stat.comm } else { text.trim().to_owned() };
    let mut shown: String = words.chars().take(COMMAND_CHARS).collect();
    if shown.len() < words.len() {
        shown.push('…');
    }
    Some(if stat.state == 'Z' { format!("{shown}, a zombie") } else { shown })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LOCKS: &str = "1: FLOCK  ADVISORY  WRITE 812 08:01:1234 0 EOF\n\
                         1: -> FLOCK  ADVISORY  WRITE 900 08:01:1234 0 EOF\n\
                         2: POSIX  ADVISORY  READ  77 00:2f:5 128 128\n\
                         2: -> POSIX  ADVISORY  WRITE 900 00:2f:5 0 EOF\n\
                         3: OFDLCK ADVISORY  WRITE -1 00:2f:9 0 EOF\n";

    #[test]
    fn the_holder_is_the_one_above_the_arrow() {
        let rows: Vec<LockRow> = LOCKS.lines().filter_map(parse_lock).collect();
        assert_eq!(rows.len(), 5);
        assert_eq!(holder(&rows, 900, "FLOCK", None), Some(812));
        assert_eq!(holder(&rows, 900, "POSIX", Some(5)), Some(77));
        assert_eq!(holder(&rows, 900, "POSIX", Some(6)), None);
        assert_eq!(holder(&rows, 812, "FLOCK", None), None);
    }

    #[test]
    fn of_several_waits_none_is_guessed() {
        let text = "1: FLOCK ADVISORY WRITE 1 08:01:3 0 EOF\n1: -> FLOCK ADVISORY WRITE 9 08:01:3 0 EOF\n\
                    2: FLOCK ADVISORY WRITE 2 08:01:4 0 EOF\n2: -> FLOCK ADVISORY WRITE 9 08:01:4 0 EOF\n";
        let rows: Vec<LockRow> = text.lines().filter_map(parse_lock).collect();
        assert_eq!((holder(&rows, 9, "FLOCK", None), holder(&rows, 9, "FLOCK", Some(4))), (None, Some(2)));
    }

    #[test]
    fn both_ends_of_a_pipe_of_ours_are_found() {
        let (reader, _writer) = std::io::pipe().unwrap();
        let pid = std::process::id() as i32;
        let fd = std::os::fd::AsRawFd::as_raw_fd(&reader);
        let FileKind::Pipe(inode) = crate::os::file_of(pid, pid, fd).unwrap() else { panic!("no pipe") };
        let deadline = Instant::now() + std::time::Duration::from_secs(60);
        for end in [PipeEnd::Read, PipeEnd::Write] {
            assert_eq!(pipe_holders(inode, end, &[pid], false, 4, deadline), Some(vec![pid]));
        }
        drop(_writer);
        assert_eq!(pipe_holders(inode, PipeEnd::Write, &[pid], false, 4, deadline), Some(vec![]));
    }

    proptest! {
        #[test]
        fn no_row_is_too_strange(row in "\\PC*", cut in 0usize..60) {
            let _ = (parse_lock(&row), parse_lock(LOCKS.get(..cut).unwrap_or_default()));
        }
    }
}
