//! Calls, decoded: which function the instruction before a return address calls. The stack says where a call returns to; only
//! the call says what was called, also where that went on by a jump into something else.

use super::modules::CodeMap;
use crate::base::{Addr, FieldValue};
use crate::target::Memory;

/// Decodes calls of one process.
pub struct Calls<'m> {
    pub(super) code: &'m CodeMap<'m>,
    pub(super) memory: &'m dyn Memory,
}

impl Calls<'_> {
    /// The function that the call before `to` calls, through the procedure linkage table where it goes by that; `None` for a
    /// call by register, or what is no call.
    pub fn called_before(&self, to: Addr) -> Option<Addr> {
        let mut bytes = [0; 6];
        self.memory.read(to.back(6), &mut bytes).ok()?;
        let target = match bytes {
            // call *slot(%rip)
            [0xff, 0x15, ..] => return self.pointer(relative(to, bytes.get(2..)?)?),
            // call function
            [_, 0xe8, ..] => relative(to, bytes.get(2..)?)?,
            _ => return None,
        };
        let own = self.code.modules.code_at(target)?;
        // What precedes a call by register may look like a call to anywhere.
        if own.from != self.code.modules.code_at(to.back(1))?.from {
            return None;
        }
        Some(self.behind_stub(target).unwrap_or(target))
    }

    /// True when the instruction before `to` calls what a register holds.
    pub fn is_call_by_register_before(&self, to: Addr) -> bool {
        let mut bytes = [0; 2];
        self.memory.read(to.back(2), &mut bytes).is_ok() && is_call_by_register(bytes)
    }

    /// Where a stub of the procedure linkage table jumps to: `[endbr64] [bnd] jmp *slot(%rip)`.
    fn behind_stub(&self, stub: Addr) -> Option<Addr> {
        let mut bytes = [0; 11];
        self.memory.read(stub, &mut bytes).ok()?;
        let slot = stub_slot(&bytes, stub)?;
        self.pointer(slot)
    }

    fn pointer(&self, slot: Addr) -> Option<Addr> {
        let mut bytes = [0; 8];
        self.memory.read(slot, &mut bytes).ok()?;
        Addr::from_bytes(&bytes).filter(|target| self.code.modules.code_at(*target).is_some())
    }
}

/// `call *%rax` to `call *%rdi`, and with a prefix byte before them `call *%r8` to `call *%r15`.
fn is_call_by_register(bytes: [u8; 2]) -> bool {
    matches!(bytes, [0xff, 0xd0..=0xd7])
}

/// Where the pointer is that a stub at `start` jumps by.
fn stub_slot(code: &[u8], start: Addr) -> Option<Addr> {
    let rest = code.strip_prefix(&[0xf3, 0x0f, 0x1e, 0xfa]).unwrap_or(code);
    let rest = rest.strip_prefix(&[0xf2]).unwrap_or(rest);
    let operand = rest.strip_prefix(&[0xff, 0x25])?;
    relative(start.offset((code.len() - operand.len() + 4) as u64), operand)
}

/// An address given relative to the end of the instruction.
fn relative(end: Addr, operand: &[u8]) -> Option<Addr> {
    Some(end.offset(i64::from(i32::from_bytes(operand)?) as u64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_by_register() {
        assert!(is_call_by_register([0xff, 0xd0]) && is_call_by_register([0xff, 0xd2]));
        assert!(!is_call_by_register([0xff, 0x15]) && !is_call_by_register([0x90, 0xd0]));
    }

    #[test]
    fn stubs_of_all_kinds_are_read() {
        let start = Addr(0x1000);
        assert_eq!(stub_slot(&[0xff, 0x25, 0x10, 0, 0, 0, 0x68], start), Some(Addr(0x1016)));
        assert_eq!(stub_slot(&[0xf3, 0x0f, 0x1e, 0xfa, 0xff, 0x25, 0x10, 0, 0, 0], start), Some(Addr(0x101a)));
        let bnd = [0xf3, 0x0f, 0x1e, 0xfa, 0xf2, 0xff, 0x25, 0xf0, 0xff, 0xff, 0xff];
        assert_eq!(stub_slot(&bnd, start), Some(Addr(0xffb)));
        assert_eq!(stub_slot(&[0x55, 0x48, 0x89, 0xe5], start), None);
        assert_eq!(stub_slot(&[0xff, 0x25], start), None);
    }
}
