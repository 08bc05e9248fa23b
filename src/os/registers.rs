//! A stopped thread's general registers, as `PTRACE_GETREGS` gives them. x86-64 only, as all that runs scripts is.

use nix::errno::Errno;

/// The general registers of a stopped thread. Plain numbers: changing one changes nothing in the thread.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Registers {
    /// Next instruction.
    pub rip: u64,
    /// Stack pointer.
    pub rsp: u64,
    /// Frame pointer, or just a register.
    pub rbp: u64,
    /// Result of a system call; a restart code below zero while one is interrupted.
    pub rax: u64,
    /// Saved by the callee.
    pub rbx: u64,
    /// Saved by the caller; a system call overwrites it with `rip`.
    pub rcx: u64,
    /// Third argument.
    pub rdx: u64,
    /// Second argument.
    pub rsi: u64,
    /// First argument.
    pub rdi: u64,
    /// Fifth argument of a function.
    pub r8: u64,
    /// Sixth argument of a function.
    pub r9: u64,
    /// Fourth argument of a system call.
    pub r10: u64,
    /// Saved by the caller; a system call overwrites it with the flags.
    pub r11: u64,
    /// Saved by the callee.
    pub r12: u64,
    /// Saved by the callee.
    pub r13: u64,
    /// Saved by the callee.
    pub r14: u64,
    /// Saved by the callee.
    pub r15: u64,
    /// Number of the system call that the thread is in, or -1.
    pub orig_rax: u64,
    /// Flags.
    pub eflags: u64,
    /// Start of the thread's control block: `pthread_self()`, both in glibc and in musl.
    pub fs_base: u64,
    /// Base of the `gs` segment.
    pub gs_base: u64,
    /// Segment selectors.
    pub cs: u64,
    /// Segment selectors.
    pub ss: u64,
    /// Segment selectors.
    pub ds: u64,
    /// Segment selectors.
    pub es: u64,
    /// Segment selectors.
    pub fs: u64,
    /// Segment selectors.
    pub gs: u64,
}

macro_rules! both_ways {
    ($($kernel:ident = $field:ident),* $(,)?) => {
        #[cfg(target_arch = "x86_64")]
        impl From<nix::libc::user_regs_struct> for Registers {
            fn from(kernel: nix::libc::user_regs_struct) -> Registers {
                Registers { $($field: kernel.$kernel,)* }
            }
        }

        #[cfg(target_arch = "x86_64")]
        impl From<Registers> for nix::libc::user_regs_struct {
            fn from(registers: Registers) -> nix::libc::user_regs_struct {
                nix::libc::user_regs_struct { $($kernel: registers.$field,)* }
            }
        }
    };
}

both_ways! {
    rip = rip, rsp = rsp, rbp = rbp, rax = rax, rbx = rbx, rcx = rcx, rdx = rdx, rsi = rsi, rdi = rdi, r8 = r8, r9 = r9,
    r10 = r10, r11 = r11, r12 = r12, r13 = r13, r14 = r14, r15 = r15, orig_rax = orig_rax, eflags = eflags,
    fs_base = fs_base, gs_base = gs_base, cs = cs, ss = ss, ds = ds, es = es, fs = fs, gs = gs,
}

/// What the kernel leaves in `rax` of a thread that it stopped inside a system call (`include/linux/errno.h`): it decides by
/// this number whether the call is made again. User space never sees any but `EINTR`.
const RESTART_CODES: [i64; 5] = [-512, -513, -514, -516, -(nix::libc::EINTR as i64)];

impl Registers {
    /// Those of a thread that is stopped by us.
    #[cfg(target_arch = "x86_64")]
    pub fn read(tid: i32) -> Result<Registers, Errno> {
        nix::sys::ptrace::getregs(nix::unistd::Pid::from_raw(tid)).map(Registers::from)
    }

    /// Nothing is known of the registers of other machines.
    #[cfg(not(target_arch = "x86_64"))]
    pub fn read(_tid: i32) -> Result<Registers, Errno> {
        Err(Errno::ENOSYS)
    }

    /// The number of the system call that the thread was stopped inside of, having not finished it.
    pub fn interrupted_call(&self) -> Option<i64> {
        let number = self.orig_rax as i64;
        (number >= 0 && RESTART_CODES.contains(&(self.rax as i64))).then_some(number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_interrupted_only_with_a_restart_code() {
        let call = |orig: i64, rax: i64| {
            Registers { orig_rax: orig as u64, rax: rax as u64, ..Registers::default() }.interrupted_call()
        };
        assert_eq!(call(202, -512), Some(202));
        assert_eq!(call(232, -4), Some(232));
        assert_eq!(call(-1, -512), None);
        assert_eq!(call(0, 5), None);
        assert_eq!(call(0, -11), None);
    }
}
