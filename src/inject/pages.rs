//! A thread's stack and the code that it returns to, by whole pages: its frames are found word by word, and each word would
//! be a system call, made while the thread stands still.

use crate::base::Addr;
use crate::target::{Memory, ReadError};
use std::cell::RefCell;
use std::collections::HashMap;

const PAGE: usize = 4096;
/// More than that many are not kept.
const PAGES: usize = 256;

/// Keeps what it has read until [`Pages::forget`].
pub(super) struct Pages<'m> {
    memory: &'m dyn Memory,
    known: RefCell<HashMap<u64, Box<[u8; PAGE]>>>,
}

impl<'m> Pages<'m> {
    pub(super) fn new(memory: &'m dyn Memory) -> Pages<'m> {
        Pages { memory, known: RefCell::default() }
    }

    /// What was read may be something else by now.
    pub(super) fn forget(&self) {
        self.known.borrow_mut().clear();
    }

    /// Takes it from a page. False if it cannot be had that way.
    fn take(&self, addr: Addr, buf: &mut [u8]) -> bool {
        let (start, offset) = (addr.0 & !(PAGE as u64 - 1), addr.0 as usize % PAGE);
        let Some(end) = offset.checked_add(buf.len()).filter(|end| *end <= PAGE) else { return false };
        let mut known = self.known.borrow_mut();
        if !known.contains_key(&start) {
            let mut page = Box::new([0; PAGE]);
            if known.len() >= PAGES || self.memory.read(Addr(start), &mut page[..]).is_err() {
                return false;
            }
            known.insert(start, page);
        }
        let bytes = known.get(&start).and_then(|page| page.get(offset..end));
        bytes.map(|bytes| buf.copy_from_slice(bytes)).is_some()
    }
}

impl Memory for Pages<'_> {
    fn read(&self, addr: Addr, buf: &mut [u8]) -> Result<(), ReadError> {
        // Part of a page may be all that is there, as with files that end in it.
        if self.take(addr, buf) { Ok(()) } else { self.memory.read(addr, buf) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    /// A page at 0x1000 and half a page behind it; each byte is the count of reads so far.
    struct Counting(Cell<u8>);

    impl Memory for Counting {
        fn read(&self, addr: Addr, buf: &mut [u8]) -> Result<(), ReadError> {
            self.0.set(self.0.get() + 1);
            if addr.0 < 0x1000 || addr.0 + buf.len() as u64 > 0x2800 {
                return Err(ReadError::Invalid("nothing there"));
            }
            buf.fill(self.0.get());
            Ok(())
        }
    }

    #[test]
    fn a_page_is_read_once_until_it_is_forgotten() {
        let memory = Counting(Cell::new(0));
        let pages = Pages::new(&memory);
        let read = |at, len| {
            let mut buf = vec![0; len];
            pages.read(Addr(at), &mut buf).map(|()| buf)
        };
        assert_eq!((read(0x1000, 2), read(0x1ffe, 2)), (Ok(vec![1, 1]), Ok(vec![1, 1])));
        // Over the end of the page, and from one that is there in part.
        assert_eq!(read(0x1fff, 2), Ok(vec![2, 2]));
        assert_eq!(read(0x2000, 1), Ok(vec![4]));
        assert!(read(0x2800, 1).is_err());
        pages.forget();
        assert_eq!(read(0x1008, 1), Ok(vec![7]));
    }
}
