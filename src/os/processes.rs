//! All processes, by files of `/proc` that never block: `stat` and `status`.

use super::access::{Status, read_proc};
use super::process::parse_ids;
use crate::base::limits;
use std::collections::HashMap;
use std::time::Duration;
use std::{fs, io};

/// `PF_KTHREAD` in `linux/sched.h`, as shown in field 9 of `/proc/PID/stat`.
const PF_KTHREAD: u64 = 0x0020_0000;

/// A process or thread as its `stat` has it (`proc_pid_stat(5)`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stat {
    /// The kernel's name for it, at most 15 bytes.
    pub name: String,
    /// State letter.
    pub state: char,
    /// Its parent; 0 when that is in another PID namespace.
    pub parent: i32,
    /// CPU time of all its threads, those that have ended included (of a thread: its own), in clock ticks.
    pub cpu_ticks: u64,
    /// How many threads it has.
    pub threads: u64,
    /// When it started, in clock ticks since boot.
    pub start_ticks: u64,
    /// Resident memory in pages.
    pub resident_pages: u64,
    /// It is a thread of the kernel.
    pub is_kernel: bool,
}

impl Stat {
    /// Of a process; `None` when it has ended.
    pub fn read(pid: i32) -> Option<Stat> {
        parse_stat(&read_proc(&format!("/proc/{pid}/stat"))?)
    }

    /// Of one of its threads.
    pub fn read_thread(pid: i32, tid: i32) -> Option<Stat> {
        parse_stat(&read_proc(&format!("/proc/{pid}/task/{tid}/stat"))?)
    }

    /// CPU time.
    pub fn cpu(&self) -> Duration {
        from_ticks(self.cpu_ticks)
    }

    /// Resident memory in bytes.
    pub fn resident_bytes(&self) -> u64 {
        self.resident_pages.saturating_mul(procfs::page_size())
    }

    /// Time since it started, when the machine has been up for so long.
    pub fn age(&self, uptime: Duration) -> Duration {
        uptime.saturating_sub(from_ticks(self.start_ticks))
    }

    /// It has ended, and has no threads that live on.
    pub fn has_ended(&self) -> bool {
        matches!(self.state, 'Z' | 'X') && self.threads <= 1
    }
}

fn from_ticks(ticks: u64) -> Duration {
    Duration::try_from_secs_f64(ticks as f64 / procfs::ticks_per_second() as f64).unwrap_or_default()
}

/// For how long the machine has been up.
pub fn uptime() -> Option<Duration> {
    let seconds: f64 = read_proc("/proc/uptime")?.split_whitespace().next()?.parse().ok()?;
    Duration::try_from_secs_f64(seconds).ok()
}

/// Parses `/proc/PID/stat`. The name is in parentheses and may itself hold parentheses, blanks and newlines.
pub fn parse_stat(text: &str) -> Option<Stat> {
    let (_, rest) = text.split_once('(')?;
    let (name, rest) = rest.rsplit_once(')')?;
    let fields: Vec<&str> = rest.split_whitespace().collect();
    // Numbered as in proc_pid_stat(5), where the state is field 3.
    let field = |number: usize| fields.get(number - 3).copied();
    let number = |at: usize| field(at)?.parse::<u64>().ok();
    Some(Stat {
        name: name.to_owned(),
        state: field(3)?.chars().next()?,
        parent: field(4)?.parse().ok()?,
        is_kernel: number(9)? & PF_KTHREAD != 0,
        cpu_ticks: number(14)?.saturating_add(number(15)?),
        threads: number(20)?,
        start_ticks: number(22)?,
        resident_pages: field(24)?.parse::<i64>().ok()?.max(0) as u64,
    })
}

/// The PIDs of all processes that `/proc` shows, in ascending order.
pub fn pids() -> io::Result<Vec<i32>> {
    let mut pids = Vec::new();
    for entry in fs::read_dir("/proc")?.take(limits::THREADS) {
        if let Some(pid) = entry?.file_name().to_str().and_then(|name| name.parse().ok()) {
            pids.push(pid);
        }
    }
    pids.sort_unstable();
    Ok(pids)
}

/// Its PIDs from our PID namespace inwards, and its effective user id.
pub fn identity(pid: i32) -> (Vec<i32>, Option<u32>) {
    let Some(status) = Status::read(pid) else { return (Vec::new(), None) };
    let user = status.field("Uid:").and_then(|ids| ids.split_whitespace().nth(1)?.parse().ok());
    (status.field("NSpid:").map(parse_ids).unwrap_or_default(), user)
}

/// Names of users here by their ids, as `/etc/passwd` has them. Directory services are not asked: they take their time, and
/// need libraries of the very C library that is running.
pub fn user_names() -> HashMap<u32, String> {
    fs::read_to_string("/etc/passwd").map(|text| parse_users(&text)).unwrap_or_default()
}

/// `name:password:uid:…` a line (`passwd(5)`); the first of several names counts.
fn parse_users(text: &str) -> HashMap<u32, String> {
    let mut names = HashMap::new();
    for line in text.lines() {
        let mut fields = line.split(':');
        if let (Some(name), Some(Ok(uid))) = (fields.next(), fields.nth(1).map(str::parse)) {
            names.entry(uid).or_insert_with(|| name.to_owned());
        }
    }
    names
}

/// The command line. Can block on a process in uninterruptible sleep.
pub fn command_line(pid: i32) -> Vec<String> {
    parse_command_line(&read_proc(&format!("/proc/{pid}/cmdline")).unwrap_or_default())
}

/// Arguments end with NUL; a process that writes over its title may end it otherwise, or with many.
fn parse_command_line(text: &str) -> Vec<String> {
    let text = text.trim_end_matches('\0');
    if text.is_empty() { Vec::new() } else { text.split('\0').map(str::to_owned).collect() }
}

/// A process and all below it, parents before their children, with the parent of each.
pub fn descendants(root: i32) -> io::Result<Vec<(i32, i32)>> {
    let parents = pids()?.into_iter().filter_map(|pid| Some((pid, Stat::read(pid)?.parent)));
    let mut children: HashMap<i32, Vec<i32>> = HashMap::new();
    for (pid, parent) in parents {
        children.entry(parent).or_default().push(pid);
    }
    Ok(below(root, &mut children))
}

/// Takes what it visits out of `children`, so that a circle, which PIDs given anew while they are read can make, ends.
fn below(root: i32, children: &mut HashMap<i32, Vec<i32>>) -> Vec<(i32, i32)> {
    let mut found = Vec::new();
    let mut waiting = vec![(root, 0)];
    while let Some((pid, parent)) = waiting.pop() {
        found.push((pid, parent));
        let own = children.remove(&pid).unwrap_or_default();
        waiting.extend(own.into_iter().rev().filter(|child| *child != root).map(|child| (child, pid)));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_name_may_look_like_fields() {
        let text = "7 (a) S 1 (b\n) R 3 7 7 0 -1 4194560 0 0 0 0 11 4 0 0 20 0 5 0 900 1000 321 18446744073709551615\n";
        let stat = parse_stat(text).unwrap();
        assert_eq!(stat.name, "a) S 1 (b\n");
        assert_eq!((stat.state, stat.parent, stat.is_kernel), ('R', 3, false));
        assert_eq!((stat.cpu_ticks, stat.threads, stat.start_ticks, stat.resident_pages), (15, 5, 900, 321));
        assert_eq!(parse_stat("7 (cut) S 1 2"), None);
        assert_eq!(parse_stat(""), None);
    }

    #[test]
    fn the_tree_has_parents_first_and_no_circles() {
        let mut children = HashMap::from([(1, vec![2, 5]), (2, vec![3, 4]), (4, vec![2, 1]), (9, vec![10])]);
        assert_eq!(below(1, &mut children), [(1, 0), (2, 1), (3, 2), (4, 2), (2, 4), (5, 1)]);
    }

    #[test]
    fn users() {
        let names = parse_users("root:x:0:0:root:/root:/bin/sh\ntoor:x:0:0::/:\n\n+::::::\nann:x:1000\nbob:x:many:\n");
        assert_eq!(names, HashMap::from([(0, "root".to_owned()), (1000, "ann".to_owned())]));
    }

    #[test]
    fn command_lines() {
        assert_eq!(parse_command_line("python\0-c\0\0x\0"), ["python", "-c", "", "x"]);
        assert_eq!(parse_command_line("gunicorn: master [app]\0\0\0\0"), ["gunicorn: master [app]"]);
        assert_eq!(parse_command_line(""), Vec::<String>::new());
    }

    #[test]
    fn this_process_is_in_the_list() {
        let own = std::process::id() as i32;
        assert!(pids().unwrap().contains(&own));
        let stat = Stat::read(own).unwrap();
        assert!(stat.threads >= 1 && stat.resident_bytes() > 0 && !stat.is_kernel);
        assert_eq!(identity(own).0.first(), Some(&own));
        assert!(descendants(stat.parent).unwrap().contains(&(own, stat.parent)));
    }

    proptest! {
        #[test]
        fn no_text_is_too_strange(text in "[0-9() SRZ\\n-]{0,200}", other in ".{0,80}") {
            let _ = parse_stat(&text);
            let _ = parse_stat(&format!("1 ({other}) {text}"));
            let _ = parse_command_line(&other);
        }
    }
}
