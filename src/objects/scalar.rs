//! `int` and `bytes`.

use super::Objects;
use crate::base::{Addr, FieldValue};
use crate::target::{Bytes, Extent, ReadError};

/// Bits of an `int`'s digit (`PyLong_SHIFT`, `Include/cpython/longintrepr.h`).
const DIGIT_BITS: u32 = 30;
/// Digits of an `int` that fits `u128` for sure.
const DIGITS: usize = 4;

impl Objects<'_> {
    /// The value of an `int` (or `bool`) of moderate size: identifiers, versions, addresses.
    pub fn int(&self, object: Addr) -> Result<i128, ReadError> {
        let layout = &self.layout.long;
        let first = layout.ob_digit.offset as usize;
        let header = match self.bytes(object, self.int_extent(object).len) {
            Err(ReadError::Unmapped) => self.bytes(object, first)?,
            header => header?,
        };
        let invalid = ReadError::Invalid("int");
        let (digits, negative) = match layout.lv_tag {
            Some(tag) => {
                let tag = header.record().get(tag).ok_or(invalid)?;
                (if tag & 3 == 1 { 0 } else { tag >> 3 }, tag & 3 == 2)
            }
            None => {
                let size = header.record().get(self.layout.object.ob_size).ok_or(invalid)?;
                (size.unsigned_abs(), size < 0)
            }
        };
        let digits = usize::try_from(digits).ok().filter(|n| *n <= DIGITS).ok_or(ReadError::TooLarge)?;
        let len = first + digits * 4;
        let bytes = if len <= header.len() { header } else { self.bytes(object, len)? };
        let mut value: i128 = 0;
        for (i, digit) in bytes.get(first..len).unwrap_or_default().chunks_exact(4).enumerate() {
            let digit = u32::from_bytes(digit).filter(|d| d >> DIGIT_BITS == 0).ok_or(invalid)?;
            value |= i128::from(digit) << (DIGIT_BITS * i as u32);
        }
        Ok(if negative { -value } else { value })
    }

    /// What to prefetch before many are read: mostly two digits are enough.
    pub fn int_extent(&self, object: Addr) -> Extent {
        Extent { addr: object, len: self.layout.long.ob_digit.offset as usize + 8 }
    }

    /// The bytes of a `bytes` object of at most `limit` bytes.
    pub fn bytes_object(&self, object: Addr, limit: usize) -> Result<Bytes, ReadError> {
        let size_field = self.layout.object.ob_size;
        let header = self.bytes(object, size_field.end())?;
        let size = header.record().get(size_field).ok_or(ReadError::Unmapped)?;
        let size = usize::try_from(size).map_err(|_| ReadError::Invalid("bytes"))?;
        if size > limit {
            return Err(ReadError::TooLarge);
        }
        self.cache.bytes(object.offset(u64::from(self.layout.bytes.ob_sval.offset)), size)
    }
}
