//! The scratch memory that a script starts from: code, and what the code needs to know.
//!
//! It is the head of the channel's file, which the target has mapped: one page that may be executed and not written, and
//! behind it pages that may be written and not executed; then one more page of code, see `trampoline::call`. What we and the target tell each other there stays readable and
//! writable for us through our own handle of the file, after the target has unmapped it, and after its end. A child that the
//! target forks shares it, so that the script is claimed once in all of them together.

use crate::base::Addr;

/// Bytes of a page of memory; code has one.
pub(super) const PAGE: u64 = 4096;

/// Where the context is in the file, and from the beginning of the mapping.
pub(super) const CONTEXT_AT: u64 = PAGE;

/// Where a field is in the context: the offsets that the code in `trampoline` uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Slot {
    /// u32: see [`ChannelState`].
    State = 0x00,
    /// u32: not 0 once the request is withdrawn.
    Cancel = 0x04,
    /// Nanoseconds of `CLOCK_MONOTONIC` after which nothing may start.
    Deadline = 0x08,
    /// u32: the process that may run it.
    Pid = 0x10,
    /// u32: the channel's descriptor.
    Descriptor = 0x14,
    /// Its device.
    Device = 0x18,
    /// Its inode.
    Inode = 0x20,
    /// Where the file is mapped.
    Base = 0x28,
    /// How much of it, in bytes.
    Length = 0x30,
    /// Signals that a new thread is to block.
    Mask = 0x38,
    /// u32: not 0 once the target has been sent off with the request, so that something in it may refer to it.
    Armed = 0x40,
    /// A function that is called with the two arguments that follow.
    Function = 0x48,
    /// Its first argument.
    Argument1 = 0x50,
    /// Its second one.
    Argument2 = 0x58,
    /// `syscall; ret` outside the scratch memory.
    SystemCall = 0x60,
    /// `__errno_location`, or 0.
    ErrnoLocation = 0x68,
    /// `clock_gettime`, or code of ours that does the same.
    ClockGettime = 0x70,
    /// `PyErr_Fetch`.
    ErrFetch = 0x78,
    /// `PyErr_Restore`.
    ErrRestore = 0x80,
    /// `PyErr_Clear`.
    ErrClear = 0x88,
    /// `Py_GetRecursionLimit`.
    GetRecursionLimit = 0x90,
    /// `Py_SetRecursionLimit`.
    SetRecursionLimit = 0x98,
    /// `PyDict_New`.
    DictNew = 0xa0,
    /// `PyDict_SetItemString`.
    DictSetItemString = 0xa8,
    /// `PyEval_GetBuiltins`.
    GetBuiltins = 0xb0,
    /// `PyRun_StringFlags`.
    RunString = 0xb8,
    /// `Py_DecRef`.
    DecRef = 0xc0,
    /// `PyGILState_Ensure`.
    GilEnsure = 0xc8,
    /// `PyGILState_Release`.
    GilRelease = 0xd0,
    /// `PyGILState_Check`.
    GilCheck = 0xd8,
    /// The text `__builtins__`.
    BuiltinsName = 0x100,
    /// The program's text, up to the end.
    Text = 0x200,
}

/// How far a request has come, as the target's side writes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChannelState {
    /// The target has not got to it yet.
    Waiting,
    /// It looks, under the GIL, whether it may still run.
    Claimed,
    /// The program runs.
    Running,
    /// The program has ended.
    Done,
    /// Its time was up before it could start, and it never will.
    Late,
    /// It was withdrawn before it could start, and never will.
    Cancelled,
    /// Python could not run the program.
    Failed,
    /// The thread that was borrowed holds the GIL in C code; nothing was run.
    HeldGil,
    /// No state that is known: something else has written there.
    Unknown,
}

impl ChannelState {
    /// From its number.
    pub(super) fn from_number(number: u32) -> ChannelState {
        match number {
            0 => ChannelState::Waiting,
            1 => ChannelState::Claimed,
            2 => ChannelState::Running,
            3 => ChannelState::Done,
            4 => ChannelState::Late,
            5 => ChannelState::Cancelled,
            6 => ChannelState::Failed,
            7 => ChannelState::HeldGil,
            _ => ChannelState::Unknown,
        }
    }

    /// True when the program has been started.
    pub fn has_started(self) -> bool {
        matches!(self, ChannelState::Running | ChannelState::Done)
    }
}

/// A context and the text behind it, to be written at [`CONTEXT_AT`].
pub(super) struct Context {
    bytes: Vec<u8>,
}

impl Context {
    /// With the program's text.
    pub(super) fn new(text: &[u8]) -> Context {
        let mut bytes = vec![0; Slot::Text as usize];
        bytes.extend_from_slice(text);
        // C code reads it up to its end; no page may end without one.
        bytes.push(0);
        let mut context = Context { bytes };
        context.put(Slot::BuiltinsName, b"__builtins__\0");
        context
    }

    fn put(&mut self, slot: Slot, bytes: &[u8]) {
        let at = slot as usize;
        if let Some(place) = self.bytes.get_mut(at..at + bytes.len()) {
            place.copy_from_slice(bytes);
        }
    }

    /// Sets a field of 64 bits.
    pub(super) fn set(&mut self, slot: Slot, value: u64) {
        self.put(slot, &value.to_le_bytes());
    }

    /// Sets a field of 32 bits.
    pub(super) fn set_u32(&mut self, slot: Slot, value: u32) {
        self.put(slot, &value.to_le_bytes());
    }

    /// Sets an address.
    pub(super) fn set_address(&mut self, slot: Slot, address: Addr) {
        self.set(slot, address.0);
    }

    /// Its bytes.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// How much of the file it takes with the code before it.
    pub(super) fn mapped_len(&self) -> u64 {
        (CONTEXT_AT + self.bytes.len() as u64).next_multiple_of(PAGE)
    }
}
