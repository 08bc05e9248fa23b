//! What the arguments of system calls point to in the target's memory.

use crate::base::{Addr, FieldValue};
use crate::os::Call;
use crate::target::{Cache, Extent};
use nix::time::{ClockId, clock_gettime};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

/// Descriptors of one `poll` that are looked at.
const POLLED: u64 = 64;
/// `FD_SETSIZE` in bytes.
const FD_SET_BYTES: usize = 128;
/// Largest `struct sockaddr` of interest: `sockaddr_un`.
const ADDRESS_BYTES: usize = 110;
/// Longest path that is read of a system call's argument.
const PATH_BYTES: usize = 256;

/// `TIMER_ABSTIME` (`linux/time.h`).
const TIMER_ABSTIME: u64 = 1;
/// `FUTEX_CMD_MASK`, `FUTEX_CLOCK_REALTIME`, `FUTEX_WAIT` and the calls whose timeout is an absolute time (`linux/futex.h`).
const FUTEX_COMMANDS: u64 = 0x7f;
const FUTEX_CLOCK_REALTIME: u64 = 0x100;
const FUTEX_WAIT: u64 = 0;
const FUTEX_LOCK_PI: u64 = 6;

/// The pieces of memory that explain a call.
pub(super) fn extents(call: &Call) -> Vec<Extent> {
    let [a, b, c, d, e, _] = call.args;
    let time = |addr| (addr, 16);
    let pieces: Vec<(u64, usize)> = match call.name().unwrap_or_default() {
        "futex" => vec![time(d)],
        "poll" => vec![(a, polled_bytes(b))],
        "ppoll" => vec![(a, polled_bytes(b)), time(c)],
        "select" | "pselect6" => vec![(b, FD_SET_BYTES), (c, FD_SET_BYTES), (d, FD_SET_BYTES), time(e)],
        "epoll_pwait2" => vec![time(d)],
        "nanosleep" => vec![time(a)],
        "clock_nanosleep" | "rt_sigtimedwait" => vec![time(c)],
        "connect" => vec![(b, address_bytes(c))],
        _ => Vec::new(),
    };
    let used = pieces.into_iter().filter(|(addr, len)| *addr != 0 && *len != 0);
    used.map(|(addr, len)| Extent { addr: Addr(addr), len }).collect()
}

fn polled_bytes(count: u64) -> usize {
    count.min(POLLED) as usize * 8
}

fn address_bytes(len: u64) -> usize {
    len.min(ADDRESS_BYTES as u64) as usize
}

/// How long a call may wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Limit {
    /// For ever.
    None,
    /// So long, counted from its beginning.
    Whole(Duration),
    /// So long from now on.
    Left(Duration),
    /// It has a limit that could not be read.
    Unknown,
}

/// How long the call may wait.
pub(super) fn limit(cache: &Cache<'_>, call: &Call) -> Limit {
    let [a, b, c, d, e, _] = call.args;
    match call.name().unwrap_or_default() {
        "poll" => of_milliseconds(c as i32),
        "epoll_wait" | "epoll_pwait" => of_milliseconds(d as i32),
        "ppoll" => relative(cache, c, 1),
        // `select` has a `struct timeval`.
        "select" => relative(cache, e, 1000),
        "pselect6" => relative(cache, e, 1),
        "epoll_pwait2" => relative(cache, d, 1),
        "nanosleep" => relative(cache, a, 1),
        "rt_sigtimedwait" => relative(cache, c, 1),
        "clock_nanosleep" if b & TIMER_ABSTIME == 0 => relative(cache, c, 1),
        "clock_nanosleep" => absolute(cache, c, ClockId::from_raw(a as i32)),
        "futex" if b & FUTEX_COMMANDS == FUTEX_WAIT => relative(cache, d, 1),
        "futex" if b & FUTEX_CLOCK_REALTIME != 0 || b & FUTEX_COMMANDS == FUTEX_LOCK_PI => {
            absolute(cache, d, ClockId::CLOCK_REALTIME)
        }
        "futex" => absolute(cache, d, ClockId::CLOCK_MONOTONIC),
        _ => Limit::None,
    }
}

fn of_milliseconds(time: i32) -> Limit {
    u64::try_from(time).map_or(Limit::None, |time| Limit::Whole(Duration::from_millis(time)))
}

/// Two words: seconds, and parts of one, of which each is so many nanoseconds.
fn read_time(cache: &Cache<'_>, addr: u64, nanoseconds: u64) -> Option<Duration> {
    let bytes = cache.bytes(Addr(addr), 16).ok()?;
    let (seconds, parts) = (u64::from_bytes(&bytes)?, u64::from_bytes(bytes.get(8..)?)?);
    let parts = parts.checked_mul(nanoseconds).filter(|parts| *parts < 1_000_000_000)?;
    (seconds < i64::MAX as u64).then(|| Duration::new(seconds, parts as u32))
}

fn relative(cache: &Cache<'_>, addr: u64, nanoseconds: u64) -> Limit {
    match addr {
        0 => Limit::None,
        addr => read_time(cache, addr, nanoseconds).map_or(Limit::Unknown, Limit::Whole),
    }
}

fn absolute(cache: &Cache<'_>, addr: u64, clock: ClockId) -> Limit {
    if addr == 0 {
        return Limit::None;
    }
    let (Some(until), Ok(now)) = (read_time(cache, addr, 1), clock_gettime(clock)) else { return Limit::Unknown };
    Limit::Left(until.saturating_sub(Duration::from(now)))
}

/// One descriptor of a `poll`, with what is waited for there.
pub(super) fn polled(cache: &Cache<'_>, call: &Call) -> Option<Vec<(i32, i16)>> {
    let bytes = cache.bytes(Addr(call.args.first().copied()?), polled_bytes(call.args.get(1).copied()?)).ok()?;
    let one = |item: &[u8]| Some((i32::from_bytes(item)?, i16::from_bytes(item.get(4..)?)?));
    // Negative ones are passed over by the kernel too.
    Some(bytes.chunks_exact(8).filter_map(one).filter(|(fd, _)| *fd >= 0).collect())
}

/// The descriptors in the three sets of a `select`. The kernel writes its answer there only when it returns.
pub(super) fn selected(cache: &Cache<'_>, call: &Call) -> Option<Vec<i32>> {
    let mut fds = Vec::new();
    let count = usize::try_from(call.int(0)).ok()?.min(FD_SET_BYTES * 8);
    for set in call.args.get(1..4)?.iter().filter(|set| **set != 0) {
        let bytes = cache.bytes(Addr(*set), FD_SET_BYTES).or_else(|_| cache.bytes(Addr(*set), count.div_ceil(64) * 8));
        let bytes = bytes.ok()?;
        let is_in = |fd: &usize| bytes.get(fd / 8).is_some_and(|byte| byte >> (fd % 8) & 1 != 0);
        fds.extend((0..count).filter(is_in).map(|fd| fd as i32));
    }
    fds.sort_unstable();
    fds.dedup();
    Some(fds)
}

/// The address a `connect` leads to.
pub(super) fn address(cache: &Cache<'_>, call: &Call) -> Option<String> {
    let bytes = cache.bytes(Addr(call.args.get(1).copied()?), address_bytes(call.args.get(2).copied()?)).ok()?;
    parse_address(&bytes)
}

/// A `struct sockaddr` (`sockaddr(3type)`).
fn parse_address(bytes: &[u8]) -> Option<String> {
    let port = || Some(u16::from_be_bytes(bytes.get(2..4)?.try_into().ok()?));
    match i32::from(u16::from_bytes(bytes)?) {
        nix::libc::AF_INET => {
            let address: [u8; 4] = bytes.get(4..8)?.try_into().ok()?;
            Some(SocketAddr::new(Ipv4Addr::from(address).into(), port()?).to_string())
        }
        nix::libc::AF_INET6 => {
            let address: [u8; 16] = bytes.get(8..24)?.try_into().ok()?;
            Some(SocketAddr::new(Ipv6Addr::from(address).into(), port()?).to_string())
        }
        nix::libc::AF_UNIX => match bytes.get(2..)? {
            [0, name @ ..] => Some(format!("@{}", String::from_utf8_lossy(name))),
            path => Some(String::from_utf8_lossy(path.split(|byte| *byte == 0).next()?).into_owned()),
        },
        _ => None,
    }
}

/// The path that an argument points to; `None` when it is longer than what is read.
pub(super) fn path(cache: &Cache<'_>, addr: u64) -> Option<String> {
    let mut path = Vec::new();
    while path.len() < PATH_BYTES {
        let at = Addr(addr).offset(path.len() as u64);
        let piece = cache.bytes(at, 64 - (at.0 % 64) as usize).ok()?;
        match piece.iter().position(|byte| *byte == 0) {
            Some(end) => {
                path.extend(piece.iter().take(end));
                return Some(String::from_utf8_lossy(&path).into_owned());
            }
            None => path.extend_from_slice(&piece),
        }
    }
    None
}
