//! As much of an assembler for x86-64 as `trampoline` needs: `rbx` holds the context's address, jumps are to labels.

use super::context::Slot;

/// A 64-bit register by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum R {
    Rax = 0,
    Rcx = 1,
    Rdx = 2,
    Rbp = 5,
    Rsi = 6,
    Rdi = 7,
}

/// A place in the code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Label(pub(super) &'static str);

/// A condition under which to jump, as the low half of the second byte of `0f 8x`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum If {
    Zero = 4,
    NotZero = 5,
    Above = 7,
}

/// Labels and where they are.
pub(super) type Labels = Vec<(Label, usize)>;

/// Code being written.
#[derive(Default)]
pub(super) struct Assembler {
    code: Vec<u8>,
    labels: Labels,
    /// Places of 32-bit distances that are not known yet.
    open: Vec<(usize, Label)>,
}

impl Assembler {
    /// Instructions as they are; the text beside says which.
    pub(super) fn raw(&mut self, bytes: &[u8], _assembly: &'static str) {
        self.code.extend_from_slice(bytes);
    }

    /// This place.
    pub(super) fn label(&mut self, label: Label) {
        self.labels.push((label, self.code.len()));
    }

    fn context_operand(&mut self, field: u8, slot: Slot) {
        // mod = 10 (32-bit displacement), rm = 3 (rbx).
        self.code.push(0x83 | (field & 7) << 3);
        self.code.extend_from_slice(&(slot as u32).to_le_bytes());
    }

    /// `mov register, [context.slot]`, 64 bits.
    pub(super) fn load(&mut self, register: R, slot: Slot) {
        self.code.extend_from_slice(&[0x48, 0x8b]);
        self.context_operand(register as u8, slot);
    }

    /// `mov register, [context.slot]`, 32 bits.
    pub(super) fn load_u32(&mut self, register: R, slot: Slot) {
        self.code.push(0x8b);
        self.context_operand(register as u8, slot);
    }

    /// `mov [context.slot], register`, 32 bits.
    pub(super) fn store_u32(&mut self, slot: Slot, register: R) {
        self.code.push(0x89);
        self.context_operand(register as u8, slot);
    }

    /// `mov dword [context.slot], value`.
    pub(super) fn store_value(&mut self, slot: Slot, value: u32) {
        self.code.push(0xc7);
        self.context_operand(0, slot);
        self.code.extend_from_slice(&value.to_le_bytes());
    }

    /// `cmp register, [context.slot]`, 64 bits.
    pub(super) fn compare(&mut self, register: R, slot: Slot) {
        self.code.extend_from_slice(&[0x48, 0x3b]);
        self.context_operand(register as u8, slot);
    }

    /// `cmp register, [context.slot]`, 32 bits.
    pub(super) fn compare_u32(&mut self, register: R, slot: Slot) {
        self.code.push(0x3b);
        self.context_operand(register as u8, slot);
    }

    /// `lock cmpxchg [context.slot], ecx`: if it is what `eax` says, it becomes what `ecx` says, and the zero flag is set.
    pub(super) fn exchange_if_equal(&mut self, slot: Slot) {
        self.code.extend_from_slice(&[0xf0, 0x0f, 0xb1]);
        self.context_operand(R::Rcx as u8, slot);
    }

    /// `lea register, [context.slot]`.
    pub(super) fn address_of(&mut self, register: R, slot: Slot) {
        self.code.extend_from_slice(&[0x48, 0x8d]);
        self.context_operand(register as u8, slot);
    }

    /// `call [context.slot]`.
    pub(super) fn call(&mut self, slot: Slot) {
        self.code.push(0xff);
        self.context_operand(2, slot);
    }

    /// `mov register, value`, 32 bits, the upper half becoming 0.
    pub(super) fn set(&mut self, register: R, value: u32) {
        self.code.push(0xb8 + register as u8);
        self.code.extend_from_slice(&value.to_le_bytes());
    }

    /// `mov eax, number; syscall`.
    pub(super) fn system_call(&mut self, number: u32) {
        self.set(R::Rax, number);
        self.raw(&[0x0f, 0x05], "syscall");
    }

    fn distance(&mut self, label: Label) {
        self.open.push((self.code.len(), label));
        self.code.extend_from_slice(&[0; 4]);
    }

    /// `call label`.
    pub(super) fn call_label(&mut self, label: Label) {
        self.code.push(0xe8);
        self.distance(label);
    }

    /// `jmp label`.
    pub(super) fn jump(&mut self, label: Label) {
        self.code.push(0xe9);
        self.distance(label);
    }

    /// `jcc label`.
    pub(super) fn jump_if(&mut self, condition: If, label: Label) {
        self.code.extend_from_slice(&[0x0f, 0x80 | condition as u8]);
        self.distance(label);
    }

    /// The code with all distances filled in, and where each label is. `None` if one is nowhere.
    pub(super) fn finish(mut self) -> Option<(Vec<u8>, Labels)> {
        for (at, label) in &self.open {
            let (_, target) = self.labels.iter().find(|(known, _)| known == label)?;
            let distance = *target as i32 - (*at as i32 + 4);
            self.code.get_mut(*at..at + 4)?.copy_from_slice(&distance.to_le_bytes());
        }
        Some((self.code, self.labels))
    }
}
