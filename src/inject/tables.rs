//! Unwind tables of one mapped file (`.eh_frame`, with `.eh_frame_hdr` to look things up by), and one step outwards by them.
//!
//! LSB 5.0, "Exception Frames", and DWARF 5, section 6.4. All input is untrusted.

use crate::base::{Addr, FieldValue};
use crate::cpython::{MappedImage, matching_file};
use crate::elf::Image;
use crate::os::Module;
use crate::target::Memory;
use gimli::{
    BaseAddresses, CfaRule, CieOrFde, EhFrame, EhFrameHdr, EhFrameOffset, EndianSlice, Evaluation, EvaluationResult,
    LittleEndian, Location, Register, RegisterRule, UnwindContext, UnwindExpression, UnwindSection, Value,
};
use goblin::elf::program_header::PT_GNU_EH_FRAME;

/// DWARF's numbers for the stack pointer and the return address, and how many registers there are.
pub(super) const RSP: usize = 7;
pub(super) const RA: usize = 16;
pub(super) const MACHINE_REGISTERS: usize = 17;
/// Registers that a function must leave as it found them: `rbx`, `rbp`, `r12` to `r15`.
const KEPT: [usize; 6] = [3, 6, 12, 13, 14, 15];
/// How the values of `.eh_frame_hdr` are encoded by every linker there is: the pointer to `.eh_frame` as `pcrel|sdata4`, the
/// count as `udata4`, the table as `datarel|sdata4` (`DW_EH_PE_*`). Others would need more checks for overflows.
const ENCODINGS: [u8; 3] = [0x1b, 0x03, 0x3b];
/// Operations of one expression.
const OPERATIONS: u32 = 1000;
/// Bytes of tables that are read of one file.
const TABLE_BYTES: u64 = 64 << 20;

type Slice<'t> = EndianSlice<'t, LittleEndian>;
pub(super) type Machine = [Option<u64>; MACHINE_REGISTERS];

/// Where one step outwards leads.
#[derive(Debug)]
pub(super) enum Step {
    /// The registers of the caller; true when it did not call, but was interrupted by a signal.
    To(Box<Machine>, bool),
    /// There is no caller.
    Outermost,
    /// Nowhere.
    Broken,
}

/// The tables of one file.
pub(super) struct UnwindTables {
    bias: u64,
    eh_frame: Vec<u8>,
    eh_frame_at: u64,
    lookup: Lookup,
}

/// How the entry for an address is found.
enum Lookup {
    /// By the table in `.eh_frame_hdr`, and where that is in the image.
    Header(Vec<u8>, u64),
    /// By a list made of all entries: start, end, and offset in `.eh_frame`. A static program need not have the header.
    List(Vec<(u64, u64, usize)>),
}

impl UnwindTables {
    /// Reads the tables of a file, or of the image at `base` when it has none.
    pub(super) fn read(module: Option<&Module>, base: Addr, memory: &dyn Memory) -> Option<UnwindTables> {
        let file = module.and_then(|module| matching_file(module, base, memory));
        let mapped = MappedImage { memory, base };
        let image = match &file {
            Some(file) => Image::parse(file),
            None => Image::parse_mapped(&mapped),
        };
        let image = image.ok()?;
        UnwindTables::of_image(&image, image.bias(base)?)
    }

    fn of_image(image: &Image<'_>, bias: u64) -> Option<UnwindTables> {
        let Some((header_at, len)) = image.segment(PT_GNU_EH_FRAME) else { return UnwindTables::listed(image, bias) };
        let header = image.loaded_bytes(header_at, usize::try_from(len.min(TABLE_BYTES)).ok()?)?;
        if header.get(1..4) != Some(&ENCODINGS) {
            return UnwindTables::listed(image, bias);
        }
        let bases = BaseAddresses::default().set_eh_frame_hdr(header_at);
        let parsed = EhFrameHdr::new(&header, LittleEndian).parse(&bases, 8).ok()?;
        let eh_frame_at = parsed.eh_frame_ptr().direct().ok()?;
        let len = image.end_of_segment_at(eh_frame_at)?.wrapping_sub(eh_frame_at).min(TABLE_BYTES);
        let eh_frame = image.loaded_bytes(eh_frame_at, usize::try_from(len).ok()?)?;
        Some(UnwindTables { bias, eh_frame, eh_frame_at, lookup: Lookup::Header(header, header_at) })
    }

    fn listed(image: &Image<'_>, bias: u64) -> Option<UnwindTables> {
        let section = image.section(".eh_frame").filter(|section| section.size <= TABLE_BYTES)?;
        let eh_frame = image.section_bytes(section)?;
        let mut tables = UnwindTables { bias, eh_frame, eh_frame_at: section.addr, lookup: Lookup::List(Vec::new()) };
        let list = tables.list();
        tables.lookup = Lookup::List(list);
        Some(tables)
    }

    fn section(&self) -> EhFrame<Slice<'_>> {
        let mut section = EhFrame::new(&self.eh_frame, LittleEndian);
        section.set_address_size(8);
        section
    }

    fn bases(&self) -> BaseAddresses {
        let bases = BaseAddresses::default().set_eh_frame(self.eh_frame_at);
        match &self.lookup {
            Lookup::Header(_, at) => bases.set_eh_frame_hdr(*at),
            Lookup::List(_) => bases,
        }
    }

    fn list(&self) -> Vec<(u64, u64, usize)> {
        let (section, bases) = (self.section(), self.bases());
        let mut entries = section.entries(&bases);
        let mut list = Vec::new();
        while let Ok(Some(entry)) = entries.next() {
            let CieOrFde::Fde(partial) = entry else { continue };
            let Ok(fde) = partial.parse(EhFrame::cie_from_offset) else { continue };
            list.push((fde.initial_address(), fde.end_address(), fde.offset()));
        }
        list.sort_unstable();
        list
    }

    /// The offset of the entry that may cover an address of the image.
    fn offset_of(&self, vaddr: u64) -> Option<usize> {
        match &self.lookup {
            Lookup::List(list) => {
                let after = list.partition_point(|(start, _, _)| *start <= vaddr);
                list.get(after.checked_sub(1)?).filter(|(_, end, _)| vaddr < *end).map(|(_, _, offset)| *offset)
            }
            Lookup::Header(header, _) => {
                let bases = self.bases();
                let parsed = EhFrameHdr::new(header, LittleEndian).parse(&bases, 8).ok()?;
                let entry = parsed.table()?.lookup(vaddr, &bases).ok()?.direct().ok()?;
                usize::try_from(entry.checked_sub(self.eh_frame_at)?).ok()
            }
        }
    }

    /// One step outwards from `inside`, and where the function that has it begins.
    pub(super) fn step(&self, inside: Addr, machine: &Machine, memory: &dyn Memory) -> Option<(Addr, Step)> {
        let vaddr = inside.0.wrapping_sub(self.bias);
        let (section, bases) = (self.section(), self.bases());
        let offset = self.offset_of(vaddr).filter(|offset| *offset < self.eh_frame.len())?;
        let fde = section.fde_from_offset(&bases, EhFrameOffset(offset), EhFrame::cie_from_offset).ok()?;
        if !fde.contains(vaddr) {
            return None;
        }
        let function = Addr(fde.initial_address()).offset(self.bias);
        let mut context = UnwindContext::new();
        let row = fde.unwind_info_for_address(&section, &bases, &mut context, vaddr).ok()?;
        let frame = Frame { section: &section, machine, memory, encoding: fde.cie().encoding() };
        let return_register = fde.cie().return_address_register();
        if row.register(return_register) == Some(RegisterRule::Undefined) {
            return Some((function, Step::Outermost));
        }
        let cfa = match row.cfa() {
            CfaRule::RegisterAndOffset { register, offset } => {
                frame.register(*register).map(|value| value.wrapping_add(*offset as u64))
            }
            CfaRule::Expression(expression) => frame.evaluate(expression, None),
        };
        let Some(cfa) = cfa else { return Some((function, Step::Broken)) };
        let mut caller: Machine = [None; MACHINE_REGISTERS];
        for (number, (slot, own)) in caller.iter_mut().zip(machine).enumerate() {
            *slot = own.filter(|_| KEPT.contains(&number));
        }
        caller[RSP] = Some(cfa);
        for (register, rule) in row.registers() {
            let number = if *register == return_register { RA } else { usize::from(register.0) };
            if let Some(slot) = caller.get_mut(number) {
                *slot = frame.caller_value(rule, cfa, machine.get(number).copied().flatten());
            }
        }
        Some((function, Step::To(Box::new(caller), fde.is_signal_trampoline())))
    }
}

/// What rules and expressions refer to.
struct Frame<'f> {
    section: &'f EhFrame<Slice<'f>>,
    machine: &'f Machine,
    memory: &'f dyn Memory,
    encoding: gimli::Encoding,
}

impl Frame<'_> {
    fn register(&self, register: Register) -> Option<u64> {
        self.machine.get(usize::from(register.0)).copied().flatten()
    }

    fn word(&self, at: u64) -> Option<u64> {
        let mut bytes = [0; 8];
        self.memory.read(Addr(at), &mut bytes).ok()?;
        u64::from_bytes(&bytes)
    }

    fn caller_value(&self, rule: &RegisterRule<usize>, cfa: u64, same: Option<u64>) -> Option<u64> {
        match rule {
            RegisterRule::SameValue => same,
            RegisterRule::Offset(offset) => self.word(cfa.wrapping_add(*offset as u64)),
            RegisterRule::ValOffset(offset) => Some(cfa.wrapping_add(*offset as u64)),
            RegisterRule::Register(register) => self.register(*register),
            RegisterRule::Expression(expression) => self.word(self.evaluate(expression, Some(cfa))?),
            RegisterRule::ValExpression(expression) => self.evaluate(expression, Some(cfa)),
            RegisterRule::Constant(value) => Some(*value),
            _ => None,
        }
    }

    fn evaluate(&self, expression: &UnwindExpression<usize>, cfa: Option<u64>) -> Option<u64> {
        let expression = expression.get(self.section).ok()?;
        let mut evaluation: Evaluation<Slice<'_>> = expression.evaluation(self.encoding);
        evaluation.set_max_iterations(OPERATIONS);
        if let Some(cfa) = cfa {
            evaluation.set_initial_value(cfa);
        }
        let mut result = evaluation.evaluate().ok()?;
        loop {
            result = match result {
                EvaluationResult::Complete => break,
                EvaluationResult::RequiresRegister { register, .. } => {
                    evaluation.resume_with_register(Value::Generic(self.register(register)?)).ok()?
                }
                EvaluationResult::RequiresMemory { address, size: 8, .. } => {
                    evaluation.resume_with_memory(Value::Generic(self.word(address)?)).ok()?
                }
                _ => return None,
            };
        }
        match evaluation.as_result() {
            [piece] => match piece.location {
                Location::Address { address } => Some(address),
                Location::Value { value } => value.to_u64(u64::MAX).ok(),
                _ => None,
            },
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::target::ReadError;
    use proptest::prelude::*;

    /// Every word is its own address, shifted.
    struct Anything;

    impl Memory for Anything {
        fn read(&self, addr: Addr, buf: &mut [u8]) -> Result<(), ReadError> {
            let bytes = addr.0.wrapping_mul(8).to_le_bytes();
            buf.iter_mut().zip(bytes.iter().cycle()).for_each(|(to, from)| *to = *from);
            Ok(())
        }
    }

    /// Where the tables of the tests lie, and the code that they are of.
    const AT: u64 = 0x5000;
    const CODE: u64 = 0x1000;

    /// A CIE (version 1, "zR", code alignment 1, data alignment -8, return address 16, pointers as absolute `udata4`; the
    /// frame begins at `rsp` + 8) and an FDE for 0x100 bytes of code with these instructions.
    fn table(instructions: &[u8]) -> Vec<u8> {
        let cie = [0, 0, 0, 0, 1, b'z', b'R', 0, 1, 0x78, 16, 1, 0x03, 0x0c, 7, 8, 0x90, 1, 0, 0];
        let mut bytes = (cie.len() as u32).to_le_bytes().to_vec();
        bytes.extend(cie);
        let entry_at = bytes.len() as u32;
        bytes.extend((13 + instructions.len() as u32).to_le_bytes());
        bytes.extend((entry_at + 4).to_le_bytes());
        bytes.extend((CODE as u32).to_le_bytes());
        bytes.extend(0x100u32.to_le_bytes());
        bytes.push(0);
        bytes.extend(instructions);
        bytes.extend([0; 4]);
        bytes
    }

    fn tables(eh_frame: Vec<u8>) -> UnwindTables {
        let mut tables = UnwindTables { bias: 0, eh_frame, eh_frame_at: AT, lookup: Lookup::List(Vec::new()) };
        let list = tables.list();
        tables.lookup = Lookup::List(list);
        tables
    }

    fn machine() -> Machine {
        std::array::from_fn(|register| Some(0x7000 + register as u64 * 8))
    }

    #[test]
    fn a_step_goes_by_the_rules_of_the_place() {
        // push %rbp at 0x1001: the frame is at rsp + 16 from there on, and rbp is saved at its bottom.
        let tables = tables(table(&[0x41, 0x0e, 16, 0x86, 2]));
        let step = |at| match tables.step(Addr(at), &machine(), &Anything) {
            Some((function, Step::To(caller, false))) => (function, caller[RSP], caller[RA], caller[6]),
            other => panic!("{other:?}"),
        };
        let rsp = 0x7000 + 7 * 8;
        assert_eq!(step(CODE), (Addr(CODE), Some(rsp + 8), Some(rsp * 8), Some(0x7000 + 6 * 8)));
        assert_eq!(step(CODE + 1), (Addr(CODE), Some(rsp + 16), Some((rsp + 8) * 8), Some(rsp * 8)));
        assert!(tables.step(Addr(CODE + 0x100), &machine(), &Anything).is_none());
        // The return address is undefined: the outermost frame.
        let outermost = super::tests::tables(table(&[0x07, 16]));
        assert!(matches!(outermost.step(Addr(CODE), &machine(), &Anything), Some((_, Step::Outermost))));
    }

    proptest! {
        #[test]
        fn no_instructions_are_too_strange(instructions in prop::collection::vec(any::<u8>(), 0..64), at in CODE..CODE + 0x100) {
            let _ = tables(table(&instructions)).step(Addr(at), &machine(), &Anything);
        }

        #[test]
        fn no_expression_is_too_strange(expression in prop::collection::vec(any::<u8>(), 0..48), rule in any::<bool>()) {
            // DW_CFA_def_cfa_expression, or DW_CFA_expression of rbp.
            let mut instructions = if rule { vec![0x0f] } else { vec![0x10, 6] };
            instructions.push(expression.len() as u8);
            instructions.extend(expression);
            let _ = tables(table(&instructions)).step(Addr(CODE), &machine(), &Anything);
        }

        #[test]
        fn no_table_is_too_strange(
            mut bytes in prop::collection::vec(any::<u8>(), 12..96),
            damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..8),
        ) {
            let random = tables(bytes.clone());
            let mut damaged = table(&[0x41, 0x0e, 16, 0x86, 2]);
            damage.iter().for_each(|(at, byte)| *at.get_mut(&mut damaged) = *byte);
            for tables in [random, tables(damaged)] {
                for at in (CODE..CODE + 0x100).step_by(16) {
                    let _ = tables.step(Addr(at), &machine(), &Anything);
                }
            }
            // The same as a table to look things up by, with the encodings that are accepted.
            bytes.splice(..4, [1].into_iter().chain(ENCODINGS));
            let lookup = Lookup::Header(bytes, AT - 0x1000);
            let with_header = UnwindTables { bias: 0, eh_frame: table(&[]), eh_frame_at: AT, lookup };
            let _ = with_header.step(Addr(CODE), &machine(), &Anything);
        }
    }
}
