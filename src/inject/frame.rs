//! A signal frame, as the kernel builds one when it delivers a signal (x86-64, `arch/x86/kernel/signal_64.c`, the layout of
//! `struct rt_sigframe` in `arch/x86/include/asm/sigframe.h`).
//!
//! It lies on the thread's own stack, below the 128 bytes that a function may use there without saying so. A function that is
//! entered with the stack pointer at its start returns into the C library's restorer, which makes the system call
//! `rt_sigreturn`: the kernel then puts back every register, the vector state and the signal mask. So from the moment at
//! which the thread is sent elsewhere, it finds its way back without us.

use crate::os::Registers;

/// Bytes below the stack pointer that belong to the interrupted function (System V ABI for x86-64, "red zone").
const RED_ZONE: u64 = 128;
/// Return address, `struct ucontext` and `siginfo_t`.
const HEAD_BYTES: usize = 8 + UCONTEXT_BYTES + 128;
const UCONTEXT_BYTES: usize = 304;
/// Where the kernel's own fields are within the saved vector state (`struct _fpx_sw_bytes`).
const SOFTWARE_FIELDS: usize = 464;
const MAGIC1: u32 = 0x4650_5853;
const MAGIC2: u32 = 0x4650_5845;
/// `UC_FP_XSTATE`, `UC_SIGCONTEXT_SS`, `UC_STRICT_RESTORE_SS`.
const UC_FLAGS: u64 = 7;
/// No valid value, so that the alternate signal stack stays what it is: `rt_sigreturn` ignores that it cannot be set.
const SS_FLAGS: u32 = 4;
/// A frame and where it belongs.
pub(super) struct SignalFrame {
    /// Its address: what the stack pointer is to be at the entry of a function.
    pub(super) address: u64,
    /// Its bytes.
    pub(super) bytes: Vec<u8>,
}

/// What the frame is made of.
pub(super) struct Saved<'a> {
    /// The registers to come back to; see [`Registers::restarting_by_itself`].
    pub(super) registers: Registers,
    /// The vector state as `ptrace` gave it.
    pub(super) vectors: &'a [u8],
    /// The signal mask to come back to.
    pub(super) mask: u64,
    /// Address of the restorer, which makes the system call `rt_sigreturn`.
    pub(super) restorer: u64,
}

/// Builds the frame below `stack_pointer`. `None` for a vector state that is none.
pub(super) fn signal_frame(stack_pointer: u64, saved: &Saved<'_>) -> Option<SignalFrame> {
    let len = saved.vectors.len();
    let vectors_at = stack_pointer.checked_sub(RED_ZONE + len as u64 + 4)? & !63;
    // At a function's entry the stack pointer is 8 below a multiple of 16.
    let address = (vectors_at.checked_sub(HEAD_BYTES as u64 + 8)? & !15) + 8;
    let mut bytes = Vec::with_capacity((stack_pointer - address) as usize);
    put(&mut bytes, &[saved.restorer, UC_FLAGS, 0, 0, u64::from(SS_FLAGS), 0]);
    put(&mut bytes, &general(&saved.registers));
    put(&mut bytes, &[segments(&saved.registers), 0, 0, 0, 0, vectors_at]);
    put(&mut bytes, &[0; 8]);
    put(&mut bytes, &[saved.mask]);
    bytes.resize((vectors_at - address) as usize, 0);
    bytes.extend_from_slice(&vectors(saved.vectors)?);
    Some(SignalFrame { address, bytes })
}

fn put(bytes: &mut Vec<u8>, words: &[u64]) {
    bytes.extend(words.iter().flat_map(|word| word.to_le_bytes()));
}

/// The general registers in the order of `struct sigcontext`, up to the flags.
fn general(r: &Registers) -> [u64; 18] {
    [
        r.r8, r.r9, r.r10, r.r11, r.r12, r.r13, r.r14, r.r15, r.rdi, r.rsi, r.rbp, r.rbx, r.rdx, r.rax, r.rcx, r.rsp,
        r.rip, r.eflags,
    ]
}

/// `cs`, `gs`, `fs` and `ss`, 16 bits each. Those between are ignored.
fn segments(registers: &Registers) -> u64 {
    (registers.cs & 0xffff) | (registers.ss & 0xffff) << 48
}

/// The vector state in the form in which it is in a frame: with its size and the marks by which `rt_sigreturn` knows that it
/// is more than what `FXSAVE` writes.
fn vectors(state: &[u8]) -> Option<Vec<u8>> {
    let len = u32::try_from(state.len()).ok()?;
    let mut area = state.to_vec();
    let features = state.get(SOFTWARE_FIELDS..SOFTWARE_FIELDS + 8)?;
    let fields = [&MAGIC1.to_le_bytes(), &(len + 4).to_le_bytes(), features, &len.to_le_bytes()].concat();
    area.get_mut(SOFTWARE_FIELDS..SOFTWARE_FIELDS + fields.len())?.copy_from_slice(&fields);
    area.extend_from_slice(&MAGIC2.to_le_bytes());
    Some(area)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn word(bytes: &[u8], at: usize) -> u64 {
        u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap())
    }

    #[test]
    fn it_lies_below_the_red_zone_and_is_laid_out_as_the_kernel_reads_it() {
        let registers = Registers { r8: 8, rsp: 0x77, rip: 0x88, eflags: 0x246, ..Registers::default() };
        let mut state = vec![0; 2696];
        state[464..472].copy_from_slice(&0xe7_u64.to_le_bytes());
        for sp in [0x7fff_0000_1000_u64, 0x7fff_0000_1008, 0x7fff_0000_1035] {
            let saved = Saved { registers, vectors: &state, mask: 0x4000, restorer: 0x1234 };
            let SignalFrame { address, bytes } = signal_frame(sp, &saved).unwrap();
            assert_eq!(address % 16, 8);
            assert!(address + bytes.len() as u64 + 128 <= sp, "{sp:x}");
            assert_eq!((word(&bytes, 0), word(&bytes, 8)), (0x1234, 7));
            let context = 8 + 40;
            assert_eq!(word(&bytes, context + 15 * 8), 0x77);
            assert_eq!(word(&bytes, context + 16 * 8), 0x88);
            let vectors_at = word(&bytes, context + 184);
            assert_eq!(vectors_at % 64, 0);
            assert_eq!(word(&bytes, 8 + 296), 0x4000);
            let area = &bytes[(vectors_at - address) as usize..];
            assert_eq!(area.len(), 2700);
            assert_eq!(word(area, 464), 0x4650_5853 | 2700 << 32);
            assert_eq!((word(area, 472), &area[480..484]), (0xe7, &2696_u32.to_le_bytes()[..]));
            assert_eq!(area[2696..], MAGIC2.to_le_bytes());
        }
    }

    #[test]
    fn a_stack_pointer_that_leaves_no_room_is_refused() {
        let registers = Registers::default();
        let saved = |state| Saved { registers, vectors: state, mask: 0, restorer: 0 };
        assert!(signal_frame(64, &saved(&[0; 600])).is_none());
        assert!(signal_frame(1 << 40, &saved(&[0; 100])).is_none());
    }
}
