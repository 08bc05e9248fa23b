//! The other ends of the sockets that tasks wait for.

use super::model::TasksReport;
use crate::report::wait::sockets;

/// Says of each descriptor in the words of a wait what it is connected to. Reads `/proc`, beside the tasks and a moment later.
pub(super) fn add(report: &mut TasksReport, pid: i32) {
    let waits = || report.tasks.iter().filter_map(|task| task.awaiting.as_ref());
    if waits().all(|awaiting| awaiting.fd.is_none()) {
        return;
    }
    // The process's first thread may have ended.
    let tid = report.tasks.iter().find_map(|task| task.tid).unwrap_or(pid);
    let found = sockets(pid, tid, waits().filter_map(|awaiting| awaiting.fd));
    for awaiting in report.tasks.iter_mut().filter_map(|task| task.awaiting.as_mut()) {
        if let Some(fd) = awaiting.fd
            && let Some((end, known)) = found.get(&fd)
        {
            awaiting.peer.clone_from(&known.peer);
            awaiting.text = with_end(&awaiting.text, fd, end);
        }
    }
}

/// `recv on fd 7, timeout in 3 s` with ` -> peer` behind the descriptor.
fn with_end(text: &str, fd: i32, end: &str) -> String {
    let named = format!("fd {fd}");
    let digit = |rest: &str| rest.starts_with(|c: char| c.is_ascii_digit());
    // A name before it may look like it; the descriptor itself comes last.
    match text.rfind(&named).map(|at| text.split_at(at + named.len())) {
        Some((before, after)) if !digit(after) => format!("{before}{end}{after}"),
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::with_end;

    #[test]
    fn the_other_end_follows_the_descriptor() {
        assert_eq!(with_end("recv on fd 7", 7, " -> a:1"), "recv on fd 7 -> a:1");
        assert_eq!(
            with_end("fd 7.recv on fd 7, timeout in 1 s", 7, " -> a:1"),
            "fd 7.recv on fd 7 -> a:1, timeout in 1 s"
        );
        assert_eq!(with_end("recv on fd 77", 7, " -> a:1"), "recv on fd 77");
        assert_eq!(with_end("recv", 7, " -> a:1"), "recv");
    }
}
