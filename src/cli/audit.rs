//! The audit line: who runs what in which process, to a file or to the system's log.

use crate::base::{display_safe, sha256};
use crate::inject::Script;
use nix::unistd::{Uid, User};
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

/// Where syslog(3) writes to.
const LOG_SOCKET: &str = "/dev/log";
/// Facility `auth`, severity `notice` (RFC 5424): 4 * 8 + 5.
const PRIORITY: u8 = 37;
/// Facts that the line has about a script's name and arguments are cut here: log daemons cut lines, too.
const NAME_CHARS: usize = 200;

/// Where lines go.
pub(super) enum AuditLog {
    File(File),
    Syslog(UnixDatagram),
}

impl AuditLog {
    /// Opens a file, or the system's log for `syslog`.
    pub(super) fn open(target: &Path) -> io::Result<AuditLog> {
        if target.as_os_str() == "syslog" {
            let socket = UnixDatagram::unbound()?;
            socket.connect(LOG_SOCKET)?;
            return Ok(AuditLog::Syslog(socket));
        }
        let file = OpenOptions::new().append(true).create(true).mode(0o600).open(target)?;
        Ok(AuditLog::File(file))
    }

    /// Adds a line, by one system call so that those of several pyattach do not mix.
    pub(super) fn write(&mut self, line: &str) -> io::Result<()> {
        match self {
            AuditLog::File(file) => file.write_all(format!("{} {line}\n", seconds()).as_bytes()),
            AuditLog::Syslog(socket) => {
                socket.send(format!("<{PRIORITY}>pyattach[{}]: {line}", std::process::id()).as_bytes()).map(drop)
            }
        }
    }
}

/// Seconds since 1970, with milliseconds.
fn seconds() -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    format!("{}.{:03}", now.as_secs(), now.subsec_millis())
}

/// Who, where and what: the same before and after, but for `outcome`.
pub(super) fn line(pid: i32, script: &Script, outcome: &str) -> String {
    let uid = Uid::current();
    let user = User::from_uid(uid).ok().flatten().map_or_else(|| "?".to_owned(), |user| user.name);
    // Who became root by sudo has told it.
    let by = std::env::var("SUDO_USER").map(|name| format!(" sudo_user={}", word(&name))).unwrap_or_default();
    format!(
        "exec uid={uid} user={}{by} pid={pid} script={} sha256={} arguments={} outcome={outcome}",
        word(&user),
        word(&script.name),
        sha256(&script.source),
        word(&script.arguments.join(" ")),
    )
}

/// One word in quotes, on one line.
fn word(text: &str) -> String {
    let cut: String = text.chars().take(NAME_CHARS).collect();
    format!("\"{}\"", display_safe(&cut).replace('\\', "\\\\").replace('"', "\\\""))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a panic fails the test")]

    use super::*;
    use crate::inject::Kind;

    #[test]
    fn a_line_cannot_be_forged_by_a_name() {
        let script = Script {
            source: b"abc".to_vec(),
            name: "a\"\n9 exec uid=0".into(),
            file: String::new(),
            arguments: vec!["x".into(), "y".repeat(1000)],
            namespace: None,
            kind: Kind::Exec,
        };
        let line = line(7, &script, "begins");
        assert!(!line.contains('\n') && line.len() < 700, "{line}");
        assert!(line.contains(r#"pid=7 script="a\"\\n9 exec uid=0" sha256=ba7816bf"#), "{line}");
        assert!(line.ends_with("outcome=begins"), "{line}");
    }

    #[test]
    fn lines_are_added() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        for word in ["one", "two"] {
            AuditLog::open(&path).unwrap().write(word).unwrap();
        }
        let text = std::fs::read_to_string(&path).unwrap();
        let words: Vec<&str> = text.lines().filter_map(|line| line.split_once(' ')).map(|(_, word)| word).collect();
        assert_eq!(words, ["one", "two"]);
        assert!(AuditLog::open(&folder.path().join("no/such")).is_err());
    }

    #[test]
    fn the_systems_log_gets_a_datagram() {
        let (ours, other) = UnixDatagram::pair().unwrap();
        AuditLog::Syslog(ours).write("what").unwrap();
        let mut buffer = [0; 100];
        let count = other.recv(&mut buffer).unwrap();
        let text = String::from_utf8_lossy(buffer.get(..count).unwrap()).into_owned();
        assert!(text.starts_with("<37>pyattach[") && text.ends_with("]: what"), "{text}");
    }
}
