//! Typed fields of the target's structures and bounded reads of them.

use super::Addr;
use std::marker::PhantomData;

/// A little-endian value that can be taken out of bytes.
pub trait FieldValue: Sized + Copy {
    /// Width in bytes.
    const SIZE: usize;
    /// The value of exactly [`Self::SIZE`] bytes; `None` when there are fewer.
    fn from_bytes(bytes: &[u8]) -> Option<Self>;
}

macro_rules! integer_field {
    ($($int:ty)*) => {$(
        impl FieldValue for $int {
            const SIZE: usize = size_of::<$int>();
            fn from_bytes(bytes: &[u8]) -> Option<Self> {
                Some(<$int>::from_le_bytes(bytes.get(..Self::SIZE)?.try_into().ok()?))
            }
        }
    )*};
}
integer_field!(u8 i8 u16 i16 u32 i32 u64 i64);

impl FieldValue for Addr {
    const SIZE: usize = 8;
    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        u64::from_bytes(bytes).map(Addr)
    }
}

/// Where a value of type `T` lies in a structure, in bytes from its start.
pub struct Field<T> {
    /// Bytes from the start of the structure.
    pub offset: u32,
    value: PhantomData<fn() -> T>,
}

impl<T> Field<T> {
    /// The field at `offset`.
    pub const fn new(offset: u32) -> Field<T> {
        Field { offset, value: PhantomData }
    }
}

impl<T: FieldValue> Field<T> {
    /// First byte after the field.
    pub fn end(self) -> usize {
        self.offset as usize + T::SIZE
    }

    /// Address of the field in the structure at `base`.
    pub fn of(self, base: Addr) -> Addr {
        base.offset(u64::from(self.offset))
    }
}

impl<T> Clone for Field<T> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<T> Copy for Field<T> {}
impl<T> PartialEq for Field<T> {
    fn eq(&self, other: &Self) -> bool {
        self.offset == other.offset
    }
}
impl<T> Eq for Field<T> {}
impl<T> std::fmt::Debug for Field<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "+{}", self.offset)
    }
}

/// The bytes of one structure of the target.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a>(pub &'a [u8]);

impl Record<'_> {
    /// The field's value, or `None` when the bytes end before it.
    pub fn get<T: FieldValue>(self, field: Field<T>) -> Option<T> {
        T::from_bytes(self.0.get(field.offset as usize..)?)
    }

    /// The value of a field that not every version has.
    pub fn get_opt<T: FieldValue>(self, field: Option<Field<T>>) -> Option<T> {
        self.get(field?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_that_is_cut_off_is_absent() {
        let bytes = [1, 0, 0, 0, 2];
        assert_eq!(Record(&bytes).get(Field::<u32>::new(0)), Some(1));
        assert_eq!(Record(&bytes).get(Field::<u8>::new(4)), Some(2));
        assert_eq!(Record(&bytes).get(Field::<u32>::new(2)), None);
        assert_eq!(Record(&bytes).get(Field::<u64>::new(u32::MAX)), None);
    }
}
