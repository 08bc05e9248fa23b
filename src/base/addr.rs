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
        // There are thousands in a report, and `{:#x}` looks after padding and signs for each.
        let mut text = *b"0x0000000000000000";
        let digits = (16 - self.0.leading_zeros() as usize / 4).max(1);
        let text = text.split_at_mut_checked(2 + digits).map(|(text, _)| text).unwrap_or_default();
        let mut rest = self.0;
        for digit in text.iter_mut().skip(2).rev() {
            *digit = b"0123456789abcdef".get(rest as usize & 15).copied().unwrap_or_default();
            rest >>= 4;
        }
        f.write_str(str::from_utf8(text).unwrap_or_default())
    }
}

impl fmt::Debug for Addr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shown_as_the_number_would_be() {
        for shift in 0..64 {
            for number in [0, 1, 0xf, 0x10, 0x1234_5678_9abc_def0, u64::MAX].map(|number: u64| number >> shift) {
                assert_eq!(Addr(number).to_string(), format!("{number:#x}"));
            }
        }
    }
}
