//! Memory of a live process: `process_vm_readv` in batches, or `/proc/PID/mem` where a seccomp filter or an old kernel
//! refuses the former.

use super::sys;
use crate::base::Addr;
use crate::target::{Batch, Extent, Memory, ReadError};
use nix::errno::Errno;
use nix::sys::uio::{RemoteIoVec, process_vm_readv};
use nix::unistd::Pid;
use std::cell::{Cell, OnceCell};
use std::fs::File;
use std::io::IoSliceMut;
use std::ops::Range;
use std::os::unix::fs::FileExt;

/// `IOV_MAX`: pieces one system call takes.
const PIECES_PER_CALL: usize = 1024;

/// The memory of a process.
pub struct ProcessMemory {
    pid: Pid,
    /// Set once `process_vm_readv` itself was refused.
    mem_file: OnceCell<Option<File>>,
    /// Its memory was read before.
    was_read: Cell<bool>,
}

impl ProcessMemory {
    /// The memory of `pid`; nothing is opened yet.
    pub fn new(pid: i32) -> ProcessMemory {
        ProcessMemory { pid: Pid::from_raw(pid), mem_file: OnceCell::new(), was_read: Cell::new(false) }
    }

    /// Name of the way memory is read.
    pub fn method(&self) -> &'static str {
        if self.mem_file.get().is_some_and(Option::is_some) { "/proc/PID/mem" } else { "process_vm_readv" }
    }

    fn mem_file(&self) -> Option<&File> {
        self.mem_file.get_or_init(|| File::open(format!("/proc/{}/mem", self.pid)).ok()).as_ref()
    }

    fn read_by_file(&self, file: &File, addr: Addr, buf: &mut [u8]) -> Result<(), ReadError> {
        match file.read_exact_at(buf, addr.0) {
            Ok(()) => Ok(()),
            // End of file is what /proc/PID/mem says once the process has given up its memory.
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof && addr.0 < 1 << 47 => Err(ReadError::Gone),
            Err(error) => match error.raw_os_error().map(Errno::from_raw) {
                Some(Errno::EIO | Errno::EFAULT | Errno::EINVAL) | None => Err(ReadError::Unmapped),
                Some(errno) => Err(from_errno(errno)),
            },
        }
    }

    /// Waits until the target's memory can be read, in a way that ends when we are to end. A thread that sleeps on a disk that
    /// does not answer may have the memory map locked: `process_vm_readv` would wait for that lock whatever happens to us
    /// (`mm/process_vm_access.c`), `/proc/PID/mem` gives up when we are killed (`__access_remote_vm` in `mm/memory.c`).
    fn wait_for_map(&self, addr: Addr) {
        if !self.was_read.replace(true)
            && let Ok(file) = File::open(format!("/proc/{}/mem", self.pid))
        {
            let _ = file.read_at(&mut [0], addr.0);
        }
    }

    /// Reads pieces from the front until one fails; the number of bytes read in all.
    fn read_front(&self, extents: &[Extent], buf: &mut [u8]) -> Result<usize, Errno> {
        self.wait_for_map(extents.first().map_or(Addr::NULL, |extent| extent.addr));
        let remote: Vec<RemoteIoVec> =
            extents.iter().map(|e| RemoteIoVec { base: e.addr.0 as usize, len: e.len }).collect();
        process_vm_readv(self.pid, &mut [IoSliceMut::new(buf)], &remote)
    }

    /// Reads all pieces of one system call's worth into `buf`, from `at` on, which is where the next begins afterwards.
    fn read_pieces(&self, extents: &[Extent], buf: &mut [u8], at: &mut usize, pieces: &mut Vec<Piece>) {
        let mut rest = extents;
        while !rest.is_empty() {
            let wanted: usize = rest.iter().map(|e| e.len).sum();
            let (got, error) = match self.read_front(rest, buf.get_mut(*at..*at + wanted).unwrap_or_default()) {
                Ok(got) => (got, ReadError::Unmapped),
                Err(Errno::EFAULT) => (0, ReadError::Unmapped),
                Err(errno) => (0, from_errno(errno)),
            };
            let end = *at + got;
            let mut done = 0;
            for extent in rest {
                if *at + extent.len > end {
                    break;
                }
                pieces.push(Ok(*at..*at + extent.len));
                *at += extent.len;
                done += 1;
            }
            if done < rest.len() {
                pieces.push(Err(error));
                done += 1;
            }
            rest = rest.get(done..).unwrap_or_default();
        }
    }
}

type Piece = Result<Range<usize>, ReadError>;

fn from_errno(errno: Errno) -> ReadError {
    match errno {
        Errno::EFAULT => ReadError::Unmapped,
        Errno::ESRCH => ReadError::Gone,
        Errno::EPERM | Errno::EACCES => ReadError::Denied,
        other => ReadError::Os(other),
    }
}

impl Memory for ProcessMemory {
    fn read(&self, addr: Addr, buf: &mut [u8]) -> Result<(), ReadError> {
        if let Some(Some(file)) = self.mem_file.get() {
            return self.read_by_file(file, addr, buf);
        }
        let len = buf.len();
        match self.read_front(&[Extent { addr, len }], buf) {
            Ok(got) if got == len => Ok(()),
            Ok(_) => Err(ReadError::Unmapped),
            Err(errno @ (Errno::ENOSYS | Errno::EPERM | Errno::EACCES)) => match self.mem_file() {
                Some(file) => self.read_by_file(file, addr, buf),
                None => Err(from_errno(errno)),
            },
            Err(errno) => Err(from_errno(errno)),
        }
    }

    fn read_many(&self, extents: &[Extent]) -> Batch {
        if let Some(Some(file)) = self.mem_file.get() {
            let mut batch = Batch::default();
            for extent in extents {
                let mut bytes = vec![0; extent.len];
                batch.push(self.read_by_file(file, extent.addr, &mut bytes).map(|()| bytes.as_slice()));
            }
            return batch;
        }
        let len = extents.iter().map(|e| e.len).sum();
        let mut bytes = Vec::with_capacity(len);
        sys::populate(bytes.spare_capacity_mut());
        bytes.resize(len, 0);
        let mut pieces = Vec::with_capacity(extents.len());
        let mut at = 0;
        for some in extents.chunks(PIECES_PER_CALL) {
            self.read_pieces(some, &mut bytes, &mut at, &mut pieces);
        }
        Batch::new(bytes, pieces)
    }
}
