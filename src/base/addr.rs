//! Addresses in the target.

use std::fmt;

/// An address in the target's memory. 0 is NULL: *absent*, which is not the same as *unreadable*.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Addr(pub u64);

impl Addr {
    /// NULL.
    pub const NULL: Addr = Addr(0);

    /// True for NULL.
    pub fn is_null(self) -> bool {
        self.0 == 0
    }

    /// `self`, or `None` for NULL.
    pub fn non_null(self) -> Option<Addr> {
        (self.0 != 0).then_some(self)
    }

    /// The address `offset` bytes on, wrapping: addresses come from untrusted memory, and a wrapped one fails at the read.
    pub fn offset(self, offset: u64) -> Addr {
        Addr(self.0.wrapping_add(offset))
    }

    /// The address `offset` bytes back, wrapping.
    pub fn back(self, offset: u64) -> Addr {
        Addr(self.0.wrapping_sub(offset))
    }

    /// The pointer without the tag bits that `_PyStackRef` keeps in it (3.14 on; `pycore_stackref.h`). Objects are at least
    /// 8-byte aligned, so untagged pointers are unchanged.
    pub fn untagged(self) -> Addr {
        Addr(self.0 & !7)
    }

    /// True when the address can be that of an object in user space.
    pub fn is_plausible(self) -> bool {
        self.0 >= 0x1000 && self.0 < 1 << 56 && self.0 & 7 == 0
    }
}

impl fmt::Display for Addr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}

impl fmt::Debug for Addr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
