//! What a thread does in the kernel: `/proc/PID/task/TID/syscall` (`proc_pid_syscall(5)`), and names of system calls.

use super::syscall_tables::{AARCH64, X86_64};

/// What a thread does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activity {
    /// It is on a CPU, or about to be.
    Running,
    /// It sleeps in the kernel outside any system call, as for a page that has to be read.
    OutsideCall,
    /// It sleeps in a system call.
    Call(Call),
}

impl Activity {
    /// The first argument of a `futex` call: the address of the word that is waited on.
    pub fn futex_word(&self) -> Option<u64> {
        match self {
            Activity::Call(call) if call.name() == Some("futex") => call.args.first().copied(),
            _ => None,
        }
    }
}

/// A system call in progress.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Call {
    /// Its number, as the architecture counts.
    pub number: i64,
    /// Its arguments; those that it does not have are whatever the registers held.
    pub args: [u64; 6],
    /// The thread's stack pointer.
    pub sp: u64,
}

impl Call {
    /// Its name on this architecture; `None` for one that is newer than the tables.
    pub fn name(&self) -> Option<&'static str> {
        let number = u16::try_from(self.number).ok()?;
        name_in(if cfg!(target_arch = "aarch64") { AARCH64 } else { X86_64 }, number)
    }

    /// An argument as the `int` that it is: descriptors, counts, milliseconds.
    pub fn int(&self, index: usize) -> i32 {
        self.args.get(index).map_or(0, |arg| *arg as i32)
    }
}

fn name_in(table: &[(u16, &'static str)], number: u16) -> Option<&'static str> {
    let at = table.binary_search_by_key(&number, |(number, _)| *number).ok()?;
    table.get(at).map(|(_, name)| *name)
}

/// Reads the line of `syscall`: `running`; `-1 SP PC` outside a call; or number, six arguments, SP and PC.
pub(super) fn parse(text: &str) -> Option<Activity> {
    let mut words = text.split_whitespace();
    let first = words.next()?;
    if first == "running" {
        return Some(Activity::Running);
    }
    let number: i64 = first.parse().ok()?;
    let rest: Vec<u64> = words.map_while(|word| u64::from_str_radix(word.strip_prefix("0x")?, 16).ok()).collect();
    match (number, rest.as_slice()) {
        (-1, [_sp, _pc]) => Some(Activity::OutsideCall),
        (0.., [a, b, c, d, e, f, sp, _pc]) => {
            Some(Activity::Call(Call { number, args: [*a, *b, *c, *d, *e, *f], sp: *sp }))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_three_kinds_of_line_are_told_apart() {
        assert_eq!(parse("running\n"), Some(Activity::Running));
        assert_eq!(parse("-1 0x7ffc 0x7f00\n"), Some(Activity::OutsideCall));
        let line = "202 0x7f5c 0x189 0x0 0x0 0x0 0xffffffff 0x7ffd 0x7f01\n";
        let call = Call { number: 202, args: [0x7f5c, 0x189, 0, 0, 0, 0xffff_ffff], sp: 0x7ffd };
        assert_eq!(parse(line), Some(Activity::Call(call)));
        assert_eq!(call.int(5), -1);
        for broken in ["", "202", "202 0x1 0x2", "x 0x1", "-2 0x1 0x2", "7 1 2 3 4 5 6 7 8"] {
            assert_eq!(parse(broken), None, "{broken}");
        }
    }

    #[test]
    fn both_tables_are_sorted_and_know_the_calls_that_block() {
        for table in [X86_64, AARCH64] {
            assert!(table.is_sorted_by(|a, b| a.0 < b.0));
            for name in ["read", "recvfrom", "futex", "wait4", "clock_nanosleep", "epoll_pwait", "ppoll", "flock"] {
                assert_eq!(table.iter().filter(|(_, known)| *known == name).count(), 1, "{name}");
            }
        }
        let (x86, arm) = (|number| name_in(X86_64, number), |number| name_in(AARCH64, number));
        assert_eq!(
            [x86(0), x86(45), x86(202), x86(232)].map(Option::unwrap),
            ["read", "recvfrom", "futex", "epoll_wait"]
        );
        assert_eq!(
            [arm(63), arm(207), arm(98), arm(22)].map(Option::unwrap),
            ["read", "recvfrom", "futex", "epoll_pwait"]
        );
        assert_eq!((x86(9999), arm(244)), (None, None));
    }

    #[test]
    fn the_table_of_this_machine_agrees_with_the_c_library() {
        use nix::libc::{SYS_clock_nanosleep, SYS_connect, SYS_futex, SYS_ppoll, SYS_read, SYS_wait4};
        let calls = [
            (SYS_read, "read"),
            (SYS_futex, "futex"),
            (SYS_connect, "connect"),
            (SYS_wait4, "wait4"),
            (SYS_ppoll, "ppoll"),
            (SYS_clock_nanosleep, "clock_nanosleep"),
        ];
        for (number, name) in calls {
            assert_eq!(Call { number, args: [0; 6], sp: 0 }.name(), Some(name));
        }
    }

    proptest! {
        #[test]
        fn no_text_is_too_strange(text in "\\PC*", words in prop::collection::vec("-?(0x)?[0-9a-f]{1,20}", 0..12)) {
            let _ = parse(&text);
            let _ = parse(&words.join(" "));
        }
    }
}
