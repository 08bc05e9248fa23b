//! A thread that is borrowed: stopped, with a signal frame on its stack, to make system calls and call functions for us.
//!
//! What is touched: the thread's stack below its red zone, its registers, its signal mask. When: between [`Borrowed::begin`]
//! and [`Borrowed::give_back`]. How it is undone: by `give_back` exactly, or, if we end at any moment in between, by the
//! thread itself, as the frame makes it return to where it was (see `frame`). All signals wait meanwhile, so that each finds
//! the thread where it would have found it without us.

use super::Restorer;
use super::api::InjectError;
use super::frame::{Saved, signal_frame};
use crate::base::Addr;
use crate::os::{Control, Held, MemoryWriter, NR_SIGRETURN, Registers};
use nix::errno::Errno;
use std::time::{Duration, Instant};

/// How long one system call of the thread may take: as long as it may have to wait for a processor.
const CALL_LIMIT: Duration = Duration::from_secs(2);

/// How long a function may take, which may have to wait for a lock.
const FUNCTION_LIMIT: Duration = Duration::from_millis(500);

/// Bytes of free stack that are kept below the frame for what is written there.
pub(super) const BESIDE: u64 = 256;

/// Where, in the target's code, a system call is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Gadgets {
    /// `syscall; ret`.
    pub(super) syscall: Addr,
    /// Where a signal handler returns to.
    pub(super) restorer: Restorer,
}

/// How the thread is to go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum GoOn {
    /// As it would have.
    AsBefore,
    /// The call it waits in returns `EINTR`, after which CPython looks around and waits on.
    Interrupted,
}

/// A thread on loan.
pub(super) struct Borrowed<'h> {
    held: &'h Held,
    writer: &'h MemoryWriter,
    gadgets: Gadgets,
    before: Registers,
    vectors: Vec<u8>,
    mask: u64,
    /// Where the frame is.
    frame: u64,
    /// The thread is at the boundary of a system call of ours, not where it was stopped.
    in_call: bool,
}

impl<'h> Borrowed<'h> {
    /// Puts the frame in place. Nothing else is changed yet.
    pub(super) fn begin(
        held: &'h Held,
        writer: &'h MemoryWriter,
        gadgets: Gadgets,
        go_on: GoOn,
    ) -> Result<Borrowed<'h>, InjectError> {
        let step = |source| InjectError::Step { step: "reading the thread's registers", source };
        let before = held.registers().map_err(step)?;
        let vectors = held.vectors().map_err(step)?;
        let mask = held.signal_mask().map_err(step)?;
        let registers = match go_on {
            GoOn::AsBefore => before.restarting_by_itself(),
            GoOn::Interrupted => before.with_interrupted_call().restarting_by_itself(),
        };
        let saved = Saved { registers, vectors: &vectors, mask, restorer: gadgets.restorer.address.0 };
        let frame = signal_frame(before.rsp, &saved).ok_or(step(Errno::ERANGE))?;
        let write = writer.write(Addr(frame.address), &frame.bytes);
        write.map_err(|source| InjectError::Step { step: "writing below the thread's stack", source })?;
        Ok(Borrowed { held, writer, gadgets, before, vectors, mask, frame: frame.address, in_call: false })
    }

    /// Registers as they were when the thread was stopped.
    pub(super) fn before(&self) -> &Registers {
        &self.before
    }

    /// The signals that it blocks of its own.
    pub(super) fn mask(&self) -> u64 {
        self.mask
    }

    fn base(&self) -> Registers {
        Registers { rsp: self.frame, ..self.before }
    }

    /// Sends it off with these registers. From here on it finds its way back by itself. Signals wait from now on; in this
    /// order, as it is the frame that puts the mask back.
    fn send(&mut self, registers: &Registers) -> Result<(), InjectError> {
        let step = |source| InjectError::Step { step: "lending the thread", source };
        self.held.set_registers(registers).map_err(step)?;
        if !self.in_call {
            self.held.set_signal_mask(u64::MAX).map_err(step)?;
        }
        self.in_call = true;
        Ok(())
    }

    /// Writes some bytes below the frame, for a system call to read; their address. They are gone with the next function.
    pub(super) fn put_beside(&self, bytes: &[u8]) -> Result<Addr, InjectError> {
        let address = Addr((self.frame - BESIDE.max(bytes.len() as u64)) & !15);
        let write = self.writer.write(address, bytes);
        write.map_err(|source| InjectError::Step { step: "writing below the thread's stack", source })?;
        Ok(address)
    }

    /// Makes it make a system call.
    pub(super) fn system_call(&mut self, step: &'static str, number: i64, args: [u64; 6]) -> Result<u64, InjectError> {
        self.send(&self.base().about_to_call_kernel(self.gadgets.syscall.0, number, args))?;
        let deadline = Instant::now() + CALL_LIMIT;
        self.held.run_to_call(deadline)?;
        self.held.run_to_call(deadline)?;
        let result = self.held.registers().map_err(|source| InjectError::Step { step, source })?.rax as i64;
        match result {
            -4095..=-1 => Err(InjectError::Step { step, source: Errno::from_raw(-result as i32) }),
            result => Ok(result as u64),
        }
    }

    /// Makes it call a function that takes one argument and soon returns. Everything else in the process goes on meanwhile,
    /// as the function may have to wait for a lock. What it returns is lost: it has to leave that somewhere.
    pub(super) fn call(&mut self, function: Addr, argument: Addr) -> Result<(), InjectError> {
        self.send(&self.base().about_to_call(function.0, argument.0))?;
        let deadline = Instant::now() + FUNCTION_LIMIT;
        let step = |source| InjectError::Step { step: "calling a function", source };
        loop {
            self.held.run_to_call(deadline)?;
            let registers = self.held.registers().map_err(step)?;
            if self.is_our_return(&registers) {
                // Back to before the return, which is skipped: if we end here, it is made again.
                let again = Registers { rip: self.gadgets.restorer.address.0, ..registers }.outside_call();
                self.held.set_registers(&again).map_err(step)?;
                return Ok(self.held.run_to_call(deadline)?);
            }
        }
    }

    /// Where the frame is: where the stack pointer was at the entry of what was called last.
    pub(super) fn frame(&self) -> Addr {
        Addr(self.frame)
    }

    /// True at the entry into `rt_sigreturn` with our frame: a handler of the program's own returns by the same restorer, but
    /// with another stack pointer.
    fn is_our_return(&self, registers: &Registers) -> bool {
        registers.call() == Some(NR_SIGRETURN)
            && registers.rip == self.gadgets.restorer.after_call.0
            && registers.rsp == self.frame + 8
    }

    /// Sends it into a function from which it finds its way back by itself, however long that takes, with signals as ever.
    /// It is running when this returns.
    pub(super) fn send_off(self, function: Addr, argument: Addr) -> Result<(), InjectError> {
        let step = |source| InjectError::Step { step: "lending the thread", source };
        if self.in_call {
            self.held.leave_call(Instant::now() + CALL_LIMIT)?;
            self.held.set_vectors(&self.vectors).map_err(step)?;
            self.held.set_signal_mask(self.mask).map_err(step)?;
        }
        self.held.set_registers(&self.base().about_to_call(function.0, argument.0)).map_err(step)
    }

    /// Puts everything back.
    pub(super) fn give_back(self, go_on: GoOn) -> Result<(), InjectError> {
        let step = |source| InjectError::Step { step: "giving the thread back", source };
        if self.in_call {
            self.held.leave_call(Instant::now() + CALL_LIMIT)?;
            self.held.set_vectors(&self.vectors).map_err(step)?;
            self.held.set_signal_mask(self.mask).map_err(step)?;
        }
        let registers = match go_on {
            GoOn::AsBefore => self.before,
            GoOn::Interrupted => self.before.with_interrupted_call(),
        };
        self.held.set_registers(&registers).map_err(step)
    }

    /// After a failure: puts everything back if that is possible, and else lets the thread do that.
    pub(super) fn recover(self) {
        let (held, mask, in_call) = (self.held, self.mask, self.in_call);
        if self.give_back(GoOn::AsBefore).is_err() && in_call {
            // It has not come back from what it was sent to.
            let stopped = held.stop_again(Instant::now() + CALL_LIMIT);
            if stopped.is_ok() {
                let _ = held.set_signal_mask(mask);
            }
        }
    }
}
