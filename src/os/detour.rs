//! What a thread's registers become when it is sent elsewhere for a while (x86-64): to a system call, to a function, and back.
//!
//! The kernel begins an interrupted system call anew after a stop, by what it finds in `rax` then. In a signal frame nothing
//! does that, so it has to be in the registers there: [`Registers::restarting_by_itself`].

use super::Registers;

/// False on machines on which nothing can be injected.
pub const SUPPORTED: bool = cfg!(target_arch = "x86_64");

/// `rt_sigreturn`.
pub const NR_SIGRETURN: i64 = 15;
/// `restart_syscall`.
const NR_RESTART_SYSCALL: i64 = 219;
/// `ERESTARTSYS`, `ERESTARTNOINTR`, `ERESTARTNOHAND` (`include/linux/errno.h`): the call begins anew with the same arguments.
const RESTART_SAME: [i64; 3] = [-512, -513, -514];
/// `ERESTART_RESTARTBLOCK`: a call with a relative timeout goes on by `restart_syscall`.
const RESTART_BLOCK: i64 = -516;
const EINTR: i64 = nix::libc::EINTR as i64;
/// Bytes of the instruction `syscall`.
const SYSCALL_BYTES: u64 = 2;
/// The direction flag, which functions expect to be 0.
const DIRECTION: u64 = 1 << 10;

impl Registers {
    /// The system call that the thread stopped in, whether it has ended or not.
    pub fn call(&self) -> Option<i64> {
        let number = self.orig_rax as i64;
        (number >= 0).then_some(number)
    }

    /// True when the thread waits in a system call that the kernel would begin anew, or continue, after this stop.
    pub fn is_to_restart(&self) -> bool {
        let result = self.rax as i64;
        self.call().is_some() && (RESTART_SAME.contains(&result) || result == RESTART_BLOCK)
    }

    /// As after a signal whose handler interrupted the call: it returns `EINTR`.
    #[must_use]
    pub fn with_interrupted_call(self) -> Registers {
        match self.is_to_restart() {
            true => Registers { rax: -EINTR as u64, ..self }.outside_call(),
            false => self,
        }
    }

    /// What has to be in a signal frame so that the thread goes on from here by itself. A call with a relative timeout cannot
    /// be continued that way; it returns `EINTR`.
    #[must_use]
    pub fn restarting_by_itself(self) -> Registers {
        let Some(number) = self.call() else { return self };
        if RESTART_SAME.contains(&(self.rax as i64)) && number != NR_RESTART_SYSCALL {
            return Registers { rax: number as u64, rip: self.rip.wrapping_sub(SYSCALL_BYTES), ..self }.outside_call();
        }
        self.with_interrupted_call().outside_call()
    }

    /// The same, in no system call: the kernel is not to restart anything.
    #[must_use]
    pub fn outside_call(self) -> Registers {
        Registers { orig_rax: u64::MAX, ..self }
    }

    /// About to make a system call by the instruction at `gadget`.
    #[must_use]
    pub fn about_to_call_kernel(self, gadget: u64, number: i64, args: [u64; 6]) -> Registers {
        let [rdi, rsi, rdx, r10, r8, r9] = args;
        Registers { rip: gadget, rax: number as u64, rdi, rsi, rdx, r10, r8, r9, ..self }.outside_call()
    }

    /// About to enter a function of the C calling convention; its return address is at the stack pointer already.
    #[must_use]
    pub fn about_to_call(self, function: u64, argument: u64) -> Registers {
        let eflags = self.eflags & !DIRECTION;
        Registers { rip: function, rdi: argument, rax: 0, eflags, ..self }.outside_call()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn in_call(number: i64, result: i64) -> Registers {
        Registers { orig_rax: number as u64, rax: result as u64, rip: 0x1002, ..Registers::default() }
    }

    #[test]
    fn a_call_that_waits_is_made_again_from_a_signal_frame() {
        for result in RESTART_SAME {
            let frame = in_call(202, result).restarting_by_itself();
            assert_eq!((frame.rax, frame.rip, frame.call()), (202, 0x1000, None), "{result}");
        }
    }

    #[test]
    fn a_relative_timeout_is_not_begun_anew() {
        for (number, result) in [(7, RESTART_BLOCK), (NR_RESTART_SYSCALL, -514)] {
            let frame = in_call(number, result).restarting_by_itself();
            assert_eq!((frame.rax as i64, frame.rip, frame.call()), (-EINTR, 0x1002, None));
        }
    }

    #[test]
    fn a_call_that_has_ended_keeps_its_result() {
        let ended = in_call(0, 17).restarting_by_itself();
        assert_eq!((ended.rax, ended.rip, ended.call()), (17, 0x1002, None));
        let computing = in_call(-1, -512);
        assert_eq!(computing.restarting_by_itself(), computing);
        assert!(!computing.is_to_restart());
    }
}
