//! Writing into a process's memory: its data by `process_vm_writev`, or by `/proc/PID/mem` where that is refused.

use super::steps::step;
use crate::base::Addr;
use nix::errno::Errno;
use nix::sys::uio::{RemoteIoVec, process_vm_writev};
use nix::unistd::Pid;
use std::fs::{File, OpenOptions};
use std::io::IoSlice;
use std::os::unix::fs::FileExt;

/// Memory of a process that can be written. Apart from what reads it, so that no reader can write by mistake.
pub struct MemoryWriter {
    pid: Pid,
}

impl MemoryWriter {
    /// The memory of `pid`.
    pub fn new(pid: i32) -> MemoryWriter {
        MemoryWriter { pid: Pid::from_raw(pid) }
    }

    /// Writes to memory that the process itself could write to: all of `bytes`, or an error; a part may have been written
    /// then.
    pub fn write(&self, addr: Addr, bytes: &[u8]) -> Result<(), Errno> {
        step();
        let remote = [RemoteIoVec { base: addr.0 as usize, len: bytes.len() }];
        match process_vm_writev(self.pid, &[IoSlice::new(bytes)], &remote) {
            Ok(written) if written == bytes.len() => Ok(()),
            Ok(_) => Err(Errno::EFAULT),
            Err(Errno::ENOSYS | Errno::EPERM) => self.write_protected(addr, bytes),
            Err(errno) => Err(errno),
        }
    }

    /// Writes to its memory whatever the protection there, as the kernel allows debuggers: for code that nobody may ever
    /// both write and execute.
    pub fn write_protected(&self, addr: Addr, bytes: &[u8]) -> Result<(), Errno> {
        let file: std::io::Result<File> = OpenOptions::new().write(true).open(format!("/proc/{}/mem", self.pid));
        let written = file.and_then(|file| file.write_all_at(bytes, addr.0));
        written.map_err(|error| error.raw_os_error().map_or(Errno::EIO, Errno::from_raw))
    }
}
