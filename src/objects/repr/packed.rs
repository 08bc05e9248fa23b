//! Numbers that lie side by side, as in arrays: what their bytes say.

use super::number::{complex, float};

/// A kind of number in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Number {
    kind: Kind,
    /// Bytes of one.
    size: usize,
    /// Most significant byte first.
    big: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Bool,
    Signed,
    Unsigned,
    /// Shown with the digits that Python shows of the same number.
    Float,
    /// Shown with the digits that tell it from other numbers of its size.
    ShortFloat,
    Complex,
}

impl Number {
    fn new(kind: Kind, size: usize) -> Option<Number> {
        let fits = match kind {
            Kind::Bool => size == 1,
            Kind::Signed | Kind::Unsigned => matches!(size, 1 | 2 | 4 | 8),
            Kind::Float | Kind::ShortFloat => matches!(size, 2 | 4 | 8),
            Kind::Complex => matches!(size, 8 | 16),
        };
        fits.then_some(Number { kind, size, big: false })
    }

    /// By the code of `array` and `struct`.
    pub(super) fn of_code(code: u8, size: usize) -> Option<Number> {
        match code {
            b'b' | b'h' | b'i' | b'l' | b'q' => Number::new(Kind::Signed, size),
            b'B' | b'H' | b'I' | b'L' | b'Q' => Number::new(Kind::Unsigned, size),
            b'f' | b'd' => Number::new(Kind::Float, size),
            _ => None,
        }
    }

    /// By the kind and size of numpy (`NPY_TYPECHAR`, `numpy/ndarraytypes.h`).
    pub(super) fn of_numpy(kind: u8, size: usize) -> Option<Number> {
        match kind {
            b'b' => Number::new(Kind::Bool, size),
            b'i' => Number::new(Kind::Signed, size),
            b'u' => Number::new(Kind::Unsigned, size),
            b'f' => Number::new(Kind::ShortFloat, size),
            b'c' => Number::new(Kind::Complex, size),
            _ => None,
        }
    }

    /// The same, most significant byte first.
    pub(super) fn with_order(self, big: bool) -> Number {
        Number { big, ..self }
    }

    /// One number as Python writes it.
    pub(super) fn text(&self, bytes: &[u8]) -> String {
        match self.kind {
            Kind::Bool => if bytes.first() == Some(&0) { "False" } else { "True" }.to_owned(),
            Kind::Signed => {
                let unused = 64 - 8 * self.size.clamp(1, 8) as u32;
                ((self.bits(bytes) << unused) as i64 >> unused).to_string()
            }
            Kind::Unsigned => self.bits(bytes).to_string(),
            Kind::Float => float(self.wide(bytes), true),
            Kind::ShortFloat => float(self.short(bytes), true),
            Kind::Complex => {
                let (real, imaginary) = bytes.split_at(bytes.len() / 2);
                complex(self.short(real), self.short(imaginary))
            }
        }
    }

    /// The bytes, no more than eight, as one word.
    fn bits(&self, bytes: &[u8]) -> u64 {
        let mut word = [0; 8];
        match self.big {
            true => word.iter_mut().zip(bytes.iter().rev()).for_each(|(to, from)| *to = *from),
            false => word.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from),
        }
        u64::from_le_bytes(word)
    }

    fn wide(&self, bytes: &[u8]) -> f64 {
        let bits = self.bits(bytes);
        match bytes.len() {
            2 => half(bits as u16),
            4 => f64::from(f32::from_bits(bits as u32)),
            _ => f64::from_bits(bits),
        }
    }

    /// The number with the fewest digits that is the same in so many bytes.
    fn short(&self, bytes: &[u8]) -> f64 {
        let wide = self.wide(bytes);
        match bytes.len() {
            4 => (wide as f32).to_string().parse().unwrap_or(wide),
            _ => wide,
        }
    }
}

/// An IEEE 754 number of 16 bits: sign, 5 bits of exponent, 10 of fraction.
fn half(bits: u16) -> f64 {
    let (exponent, fraction) = (i32::from(bits >> 10 & 0x1f), f64::from(bits & 0x3ff));
    let value = match exponent {
        0 => fraction * 2f64.powi(-24),
        0x1f if fraction == 0.0 => f64::INFINITY,
        0x1f => f64::NAN,
        _ => (1024.0 + fraction) * 2f64.powi(exponent - 25),
    };
    if bits >> 15 != 0 { -value } else { value }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_every_size() {
        let text = |number: Option<Number>, bytes: &[u8]| number.unwrap().text(bytes);
        assert_eq!(text(Number::of_code(b'b', 1), &[0xff]), "-1");
        assert_eq!(text(Number::of_code(b'B', 1), &[0xff]), "255");
        assert_eq!(text(Number::of_code(b'h', 2), &(-300i16).to_le_bytes()), "-300");
        assert_eq!(text(Number::of_code(b'q', 8), &i64::MIN.to_le_bytes()), "-9223372036854775808");
        assert_eq!(text(Number::of_code(b'Q', 8), &u64::MAX.to_le_bytes()), "18446744073709551615");
        assert_eq!(text(Number::of_code(b'f', 4), &0.1f32.to_le_bytes()), "0.10000000149011612");
        assert_eq!(text(Number::of_numpy(b'f', 4), &0.1f32.to_le_bytes()), "0.1");
        assert_eq!(text(Number::of_numpy(b'f', 4), &1e-30f32.to_le_bytes()), "1e-30");
        assert_eq!(text(Number::of_numpy(b'f', 8), &1e300f64.to_le_bytes()), "1e+300");
        assert_eq!(text(Number::of_numpy(b'f', 2), &0x3e00u16.to_le_bytes()), "1.5");
        assert_eq!(text(Number::of_numpy(b'f', 2), &0xfc00u16.to_le_bytes()), "-inf");
        assert_eq!(text(Number::of_numpy(b'b', 1), &[1]), "True");
        let mut complex = 1f32.to_le_bytes().to_vec();
        complex.extend((-2f32).to_le_bytes());
        assert_eq!(text(Number::of_numpy(b'c', 8), &complex), "(1-2j)");
        let big = Number::of_numpy(b'i', 4).unwrap().with_order(true);
        assert_eq!(big.text(&(-7i32).to_be_bytes()), "-7");
    }

    #[test]
    fn sizes_that_no_number_has() {
        assert_eq!(Number::of_code(b'd', 3), None);
        assert_eq!(Number::of_numpy(b'f', 16), None);
        assert_eq!(Number::of_numpy(b'O', 8), None);
        assert_eq!(Number::of_code(0, 1), None);
    }
}
