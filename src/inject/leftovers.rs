//! What a pyattach that was killed has left in a process: found by the name that it bears in `/proc`, and removed.
//!
//! Only what nothing in the target can come back to: a request that was never handed over, a descriptor that nobody will
//! read, the page through which a thread has returned. A request that is queued, or running, cleans up after itself.

use super::api::Subject;
use super::borrow::Borrowed;
use super::channel_setup::{NAME, STREAM_AT, SYS_MUNMAP, close_descriptor};
use super::context::{CONTEXT_AT, Slot};
use super::remote::Mailbox;
use crate::base::{Addr, FieldValue};
use crate::os::MemoryWriter;
use std::fs;
use std::os::unix::fs::MetadataExt;

/// Bytes of stack in which a way back into a page of ours is looked for.
const STACK_BYTES: usize = 16 << 10;
/// Lines of `/proc/PID/maps` and descriptors that are looked at.
const ENTRIES: usize = 100_000;

/// A piece of one of our files, as mapped.
struct Piece {
    start: u64,
    end: u64,
    is_writable: bool,
    offset: u64,
    inode: u64,
}

/// One of our files, as open.
struct Open {
    fd: i32,
    inode: u64,
    len: u64,
}

/// True when there is anything of ours. To be asked with our turn, before the target is stopped.
pub(super) fn are_there(subject: &Subject<'_>) -> bool {
    subject.modules.files.iter().any(|module| module.path == format!("/memfd:{NAME}"))
        || !open_files(subject.process.pid).is_empty()
}

/// Removes what can be removed, by a thread that is borrowed anyway.
pub(super) fn collect(
    borrowed: &mut Borrowed<'_>,
    subject: &Subject<'_>,
    mailbox: Option<&Mailbox>,
    writer: &MemoryWriter,
) {
    let (pieces, open) = (mapped_pieces(subject.process.pid), open_files(subject.process.pid));
    let mut inodes: Vec<u64> = pieces.iter().map(|piece| piece.inode).chain(open.iter().map(|o| o.inode)).collect();
    inodes.sort_unstable();
    inodes.dedup();
    // A script that nobody waits for any more.
    if let Some(mailbox) = mailbox
        && mailbox.descriptor(subject).is_some_and(|fd| open.iter().any(|open| open.fd == fd))
    {
        mailbox.take_back(subject, writer);
    }
    let awaited = mailbox.is_some_and(|mailbox| mailbox.is_full(subject));
    for inode in inodes {
        let own: Vec<&Piece> = pieces.iter().filter(|piece| piece.inode == inode).collect();
        let of_it: Vec<&Open> = open.iter().filter(|open| open.inode == inode).collect();
        let is_garbage = match own.is_empty() {
            // Of CPython's own protocol, or from before it was mapped.
            true => !awaited && of_it.iter().all(|open| open.len <= STREAM_AT),
            false => !is_handed_over(subject, &own) && !is_on_stack(borrowed, subject, &own),
        };
        if is_garbage {
            for piece in own {
                let args = [piece.start, piece.end - piece.start, 0, 0, 0, 0];
                let _ = borrowed.system_call("unmapping what was left", SYS_MUNMAP, args);
            }
            of_it.iter().for_each(|open| close_descriptor(borrowed, open.fd as u64));
        }
    }
}

/// True when the target has been sent off with the request: it finds it by itself then, at once or much later.
fn is_handed_over(subject: &Subject<'_>, pieces: &[&Piece]) -> bool {
    let Some(context) = pieces.iter().find(|piece| piece.is_writable && piece.offset == CONTEXT_AT) else {
        // Not all of it was mapped yet, or no more.
        return false;
    };
    let mut armed = [0; 4];
    let read = subject.memory.read(Addr(context.start).offset(Slot::Armed as u64), &mut armed);
    read.is_err() || armed != [0; 4]
}

/// True when the borrowed thread is in one of the pieces, or may return there.
fn is_on_stack(borrowed: &Borrowed<'_>, subject: &Subject<'_>, pieces: &[&Piece]) -> bool {
    let within = |address: u64| pieces.iter().any(|piece| (piece.start..piece.end).contains(&address));
    let before = borrowed.before();
    let mut stack = vec![0; STACK_BYTES];
    // The end of the stack may be nearer than that.
    while !stack.is_empty() && subject.memory.read(Addr(before.rsp), &mut stack).is_err() {
        stack.truncate((stack.len() / 2) & !7);
    }
    within(before.rip) || stack.chunks_exact(8).filter_map(u64::from_bytes).any(within)
}

fn open_files(pid: i32) -> Vec<Open> {
    let directory = format!("/proc/{pid}/fd");
    let link = format!("/memfd:{NAME} (deleted)");
    let entries = fs::read_dir(&directory).into_iter().flatten().flatten().take(ENTRIES);
    let ours = entries.filter(|entry| fs::read_link(entry.path()).is_ok_and(|target| target.as_os_str() == &*link));
    ours.filter_map(|entry| {
        let metadata = fs::metadata(entry.path()).ok()?;
        let fd = entry.file_name().to_str()?.parse().ok()?;
        Some(Open { fd, inode: metadata.ino(), len: metadata.len() })
    })
    .collect()
}

fn mapped_pieces(pid: i32) -> Vec<Piece> {
    let text = fs::read_to_string(format!("/proc/{pid}/maps")).unwrap_or_default();
    text.lines().take(ENTRIES).filter_map(parse_piece).collect()
}

/// `start-end perms offset device inode  /memfd:pyattach (deleted)`, see `proc_pid_maps(5)`.
fn parse_piece(line: &str) -> Option<Piece> {
    let line = line.strip_suffix(&format!("/memfd:{NAME} (deleted)"))?;
    let mut words = line.split_whitespace();
    let (start, end) = words.next()?.split_once('-')?;
    let hexadecimal = |word: &str| u64::from_str_radix(word, 16).ok();
    let (permissions, offset, _device) = (words.next()?, words.next()?, words.next()?);
    Some(Piece {
        start: hexadecimal(start)?,
        end: hexadecimal(end)?,
        is_writable: permissions.contains('w'),
        offset: hexadecimal(offset)?,
        inode: words.next()?.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_told_by_their_name() {
        let piece =
            parse_piece("7f00aa000000-7f00aa004000 rw-s 00001000 00:01 1057   /memfd:pyattach (deleted)").unwrap();
        assert_eq!((piece.start, piece.end, piece.inode), (0x7f00_aa00_0000, 0x7f00_aa00_4000, 1057));
        assert!(piece.is_writable && piece.offset == CONTEXT_AT);
        for other in [
            "7f00-7f01 r-xp 0 00:01 5 /usr/lib/x.so",
            "",
            "/memfd:pyattach (deleted)",
            "x-y rw 0 0 0 /memfd:pyattach (deleted)",
        ] {
            assert!(parse_piece(other).is_none(), "{other}");
        }
    }
}
