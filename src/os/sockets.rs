//! Sockets of the target's network namespace: `/proc/PID/net/{tcp,tcp6,udp,udp6,unix}` (`proc_pid_net(5)`).

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Instant;

/// Longest row that is read; that of a Unix socket has a path of at most 108 bytes.
const ROW_BYTES: u64 = 1024;

/// A socket as the kernel lists it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Socket {
    /// `TCP`, `UDP` or `Unix`.
    pub family: &'static str,
    /// Its own address, where it has one.
    pub local: Option<String>,
    /// The other end's address, where it has one.
    pub peer: Option<String>,
    /// State, as `ESTABLISHED`.
    pub state: Option<&'static str>,
    /// Bytes that wait to be received; of a listening socket, connections that wait to be accepted.
    pub received: u64,
    /// Bytes that wait to be sent, or to be acknowledged.
    pub unsent: u64,
}

/// Finds sockets by inode, as thread `tid` of the process sees them; those that are not in the tables are missing. Gives up,
/// with what it has, at `deadline`: tables of busy hosts have a million rows.
pub fn find_sockets(pid: i32, tid: i32, wanted: &HashSet<u64>, deadline: Instant) -> HashMap<u64, Socket> {
    let mut found = HashMap::new();
    for table in ["tcp", "tcp6", "udp", "udp6", "unix"] {
        if found.len() >= wanted.len() {
            break;
        }
        let Ok(file) = File::open(format!("/proc/{pid}/task/{tid}/net/{table}")) else { continue };
        let mut reader = BufReader::with_capacity(64 << 10, file);
        let mut row = Vec::new();
        while found.len() < wanted.len() && Instant::now() < deadline {
            row.clear();
            match (&mut reader).take(ROW_BYTES).read_until(b'\n', &mut row) {
                Ok(1..) => {}
                _ => break,
            }
            if let Some((inode, socket)) = parse_row(table, &String::from_utf8_lossy(&row))
                && wanted.contains(&inode)
            {
                found.insert(inode, socket);
            }
        }
    }
    found
}

fn parse_row(table: &str, row: &str) -> Option<(u64, Socket)> {
    match table {
        "unix" => parse_unix(row),
        _ => parse_inet(row, if table.starts_with("udp") { "UDP" } else { "TCP" }),
    }
}

/// `sl local_address rem_address st tx_queue:rx_queue tr:tm->when retrnsmt uid timeout inode …`.
fn parse_inet(row: &str, family: &'static str) -> Option<(u64, Socket)> {
    let mut words = row.split_whitespace().skip(1);
    let (local, peer) = (parse_address(words.next()?)?, parse_address(words.next()?)?);
    let state = u8::from_str_radix(words.next()?, 16).ok()?;
    let (unsent, received) = words.next()?.split_once(':')?;
    let queue = |text| u64::from_str_radix(text, 16).ok();
    let socket = Socket {
        family,
        local: Some(local.to_string()),
        peer: (peer.port() != 0).then(|| peer.to_string()),
        // An UDP socket is ESTABLISHED or CLOSE in the table, which says no more than that it has a peer or none.
        state: tcp_state(state).filter(|_| family == "TCP"),
        received: queue(received)?,
        unsent: queue(unsent)?,
    };
    Some((words.nth(4)?.parse().ok()?, socket))
}

/// `include/net/tcp_states.h`.
fn tcp_state(number: u8) -> Option<&'static str> {
    const NAMES: [&str; 12] = [
        "ESTABLISHED",
        "SYN_SENT",
        "SYN_RECV",
        "FIN_WAIT1",
        "FIN_WAIT2",
        "TIME_WAIT",
        "CLOSE",
        "CLOSE_WAIT",
        "LAST_ACK",
        "LISTEN",
        "CLOSING",
        "NEW_SYN_RECV",
    ];
    NAMES.get(usize::from(number.checked_sub(1)?)).copied()
}

/// `0100007F:1538`: words of the address as the machine keeps them, the port in hexadecimal.
fn parse_address(text: &str) -> Option<SocketAddr> {
    let (address, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let word = |at: usize| u32::from_str_radix(address.get(at..at + 8)?, 16).ok().map(u32::to_le_bytes);
    let address = match address.len() {
        8 => IpAddr::V4(Ipv4Addr::from(word(0)?)),
        32 => {
            let mut bytes = [0; 16];
            for (slot, at) in bytes.chunks_exact_mut(4).zip((0..32).step_by(8)) {
                slot.copy_from_slice(&word(at)?);
            }
            let address = Ipv6Addr::from(bytes);
            address.to_ipv4_mapped().map_or(IpAddr::V6(address), IpAddr::V4)
        }
        _ => return None,
    };
    Some(SocketAddr::new(address, port))
}

/// `Num: RefCount Protocol Flags Type St Inode Path`.
fn parse_unix(row: &str) -> Option<(u64, Socket)> {
    let mut words = row.split_whitespace();
    let flags = u32::from_str_radix(words.nth(3)?, 16).ok()?;
    let state = words.nth(1)?;
    let inode = words.next()?;
    // The path is what follows, blanks included.
    let end = inode.as_ptr().addr() + inode.len() - row.as_ptr().addr();
    let path = row.get(end..)?.trim_end_matches('\n').strip_prefix(' ').filter(|path| !path.is_empty());
    // `SO_ACCEPTCON`, `include/uapi/linux/net.h`.
    let listens = flags & 1 << 16 != 0;
    let state = match state {
        _ if listens => "LISTEN",
        "01" => "UNCONNECTED",
        "02" => "CONNECTING",
        "03" => "CONNECTED",
        "04" => "DISCONNECTING",
        _ => return None,
    };
    let socket = Socket { family: "Unix", local: path.map(str::to_owned), state: Some(state), ..Socket::default() };
    Some((inode.parse().ok()?, socket))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TCP: &str =
        "   0: 0100007F:A2F2 3905000A:1538 01 00000001:0000000A 00:00000000 00000000  1000        0 4711 1 0";
    const TCP6: &str = "   1: 00000000000000000000000001000000:1F90 00000000000000000000000000000000:0000 0A \
                        00000000:00000002 00:00000000 00000000     0        0 99 1 0000000000000000 100 0 0 10 0";
    const UNIX: &str = "ffff9d: 00000002 00000000 00010000 0001 01 25001 /run/a b.sock\n";

    #[test]
    fn rows_of_all_families_are_read() {
        let (inode, socket) = parse_row("tcp", TCP).unwrap();
        assert_eq!((inode, socket.received, socket.unsent), (4711, 10, 1));
        assert_eq!(
            (socket.local.as_deref(), socket.peer.as_deref()),
            (Some("127.0.0.1:41714"), Some("10.0.5.57:5432"))
        );
        assert_eq!(socket.state, Some("ESTABLISHED"));
        let (inode, socket) = parse_row("tcp6", TCP6).unwrap();
        assert_eq!(
            (inode, socket.local.as_deref(), socket.peer, socket.state),
            (99, Some("[::1]:8080"), None, Some("LISTEN"))
        );
        let (inode, socket) = parse_row("unix", UNIX).unwrap();
        assert_eq!((inode, socket.local.as_deref(), socket.state), (25001, Some("/run/a b.sock"), Some("LISTEN")));
        assert_eq!(parse_row("udp", TCP).unwrap().1.state, None);
    }

    #[test]
    fn an_ipv4_address_in_a_table_of_ipv6_is_shown_as_such() {
        let address = parse_address("0000000000000000FFFF00000100007F:0050").unwrap();
        assert_eq!(address.to_string(), "127.0.0.1:80");
    }

    #[test]
    fn headings_and_rubbish_are_passed_over() {
        let heading =
            "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode";
        for row in [heading, "", "Num       RefCount Protocol Flags    Type St Inode Path", "0: é7F:1 é:2 01 0:0"] {
            assert!(["tcp", "tcp6", "udp", "unix"].iter().all(|table| parse_row(table, row).is_none()), "{row}");
        }
    }

    #[test]
    fn a_socket_of_ours_is_found() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let (pid, fd) = (std::process::id() as i32, std::os::fd::AsRawFd::as_raw_fd(&listener));
        let crate::os::FileKind::Socket(inode) = crate::os::file_of(pid, pid, fd).unwrap() else { panic!("no socket") };
        let deadline = Instant::now() + std::time::Duration::from_secs(60);
        let found = find_sockets(pid, pid, &HashSet::from([inode]), deadline);
        assert_eq!(found[&inode].local, Some(listener.local_addr().unwrap().to_string()));
        assert_eq!(found[&inode].state, Some("LISTEN"));
    }

    proptest! {
        #[test]
        fn no_row_is_too_strange(row in "\\PC*", cut in 0usize..200) {
            for table in ["tcp", "tcp6", "udp", "udp6", "unix"] {
                let _ = parse_row(table, &row);
                for whole in [TCP, TCP6, UNIX] {
                    let _ = parse_row(table, whole.get(..cut).unwrap_or(whole));
                }
            }
        }
    }
}
