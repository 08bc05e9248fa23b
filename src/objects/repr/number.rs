//! `int`, `float` and `complex` as Python writes them.

use super::Writer;
use crate::base::{Addr, FieldValue};
use crate::objects::Objects;
use crate::target::ReadError;

/// Bits of a digit of an `int` (`PyLong_SHIFT`).
const DIGIT_BITS: u32 = 30;
/// Largest `int` that is written out, in digits of 30 bits: some 2,700 decimal digits. To do so takes time in the square.
const INT_DIGITS: usize = 300;
/// What is taken off a number at a time: the largest power of ten below 2^30.
const CHUNK: u64 = 1_000_000_000;

/// An `int`'s magnitude, least digit first.
pub(super) struct Int {
    negative: bool,
    digits: Vec<u32>,
}

impl Objects<'_> {
    /// An `int` of any size; the number of its bits at most when it is too large to be written out.
    pub(super) fn big_int(&self, object: Addr) -> Result<Result<Int, u64>, ReadError> {
        let layout = &self.layout.long;
        let first = u64::from(layout.ob_digit.offset);
        let (count, negative) = match layout.lv_tag {
            Some(field) => {
                let tag = self.field(object, field)?;
                (if tag & 3 == 1 { 0 } else { tag >> 3 }, tag & 3 == 2)
            }
            None => {
                let size = self.field(object, self.layout.object.ob_size)?;
                (size.unsigned_abs(), size < 0)
            }
        };
        let count = match usize::try_from(count) {
            Ok(count) if count <= INT_DIGITS => count,
            _ => return Ok(Err(count.saturating_mul(u64::from(DIGIT_BITS)))),
        };
        let bytes = self.cache.bytes(object.offset(first), count * 4)?;
        let digits: Vec<u32> = bytes.chunks_exact(4).filter_map(u32::from_bytes).collect();
        match digits.iter().all(|digit| digit >> DIGIT_BITS == 0) {
            true => Ok(Ok(Int { negative, digits })),
            false => Err(ReadError::Invalid("int")),
        }
    }
}

impl Int {
    /// In decimal.
    pub(super) fn decimal(mut self) -> String {
        let mut chunks = Vec::new();
        while self.digits.iter().any(|digit| *digit != 0) {
            let mut rest = 0u64;
            for digit in self.digits.iter_mut().rev() {
                let value = (rest << DIGIT_BITS) | u64::from(*digit);
                *digit = (value / CHUNK) as u32;
                rest = value % CHUNK;
            }
            chunks.push(rest);
        }
        let Some(first) = chunks.pop() else { return "0".to_owned() };
        let sign = if self.negative { "-" } else { "" };
        let others: String = chunks.iter().rev().map(|chunk| format!("{chunk:09}")).collect();
        format!("{sign}{first}{others}")
    }
}

impl Writer<'_, '_> {
    pub(super) fn int(&mut self, object: Addr) -> Result<(), ReadError> {
        let text = match self.objects().big_int(object)? {
            Ok(int) => int.decimal(),
            Err(bits) => format!("<int of {bits} bits>"),
        };
        match text.len() > self.room() {
            true => {
                self.passing = true;
                self.push(&format!("<int of {} digits>", text.trim_start_matches('-').len()));
            }
            false => self.push(&text),
        }
        Ok(())
    }

    pub(super) fn float(&mut self, object: Addr) -> Result<(), ReadError> {
        let field = self.layout().value.float.ok_or(ReadError::Invalid("layout"))?;
        let value = f64::from_bits(self.objects().field(object, field)?);
        self.push(&float(value, true));
        Ok(())
    }

    pub(super) fn complex(&mut self, object: Addr) -> Result<(), ReadError> {
        let field = self.layout().value.complex.ok_or(ReadError::Invalid("layout"))?;
        let bytes = self.objects().cache.bytes(field.of(object), 16)?;
        let part = |at: usize| u64::from_bytes(bytes.get(at..).unwrap_or_default()).map(f64::from_bits);
        let (Some(real), Some(imaginary)) = (part(0), part(8)) else { return Err(ReadError::Unmapped) };
        self.push(&complex(real, imaginary));
        Ok(())
    }
}

/// `float.__repr__`: the shortest digits that read back the same (`PyOS_double_to_string` with 'r').
pub(super) fn float(value: f64, with_point: bool) -> String {
    if value.is_nan() {
        return "nan".to_owned();
    }
    let sign = if value.is_sign_negative() { "-" } else { "" };
    if value.is_infinite() {
        return format!("{sign}inf");
    }
    let text = format!("{:e}", value.abs());
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let digits: String = mantissa.chars().filter(char::is_ascii_digit).collect();
    let body = match exponent {
        -4..=15 => positional(&digits, exponent, with_point),
        _ => {
            let (first, others) = digits.split_at(1);
            let point = if others.is_empty() { "" } else { "." };
            let sign = if exponent < 0 { '-' } else { '+' };
            format!("{first}{point}{others}e{sign}{:02}", exponent.abs())
        }
    };
    format!("{sign}{body}")
}

fn positional(digits: &str, exponent: i32, with_point: bool) -> String {
    let Ok(whole) = usize::try_from(exponent + 1) else {
        return format!("0.{}{digits}", "0".repeat(exponent.unsigned_abs() as usize - 1));
    };
    match digits.len() > whole {
        true if whole == 0 => format!("0.{digits}"),
        true => format!("{}.{}", digits.get(..whole).unwrap_or_default(), digits.get(whole..).unwrap_or_default()),
        false => format!("{digits}{}{}", "0".repeat(whole - digits.len()), if with_point { ".0" } else { "" }),
    }
}

pub(super) fn complex(real: f64, imaginary: f64) -> String {
    let imaginary_text = float(imaginary, false);
    if real == 0.0 && real.is_sign_positive() {
        return format!("{imaginary_text}j");
    }
    let plus = if imaginary_text.starts_with('-') { "" } else { "+" };
    format!("({}{plus}{imaginary_text}j)", float(real, false))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_are_as_python_writes_them() {
        for (value, text) in [
            (0.0, "0.0"),
            (-0.0, "-0.0"),
            (1.0, "1.0"),
            (0.1, "0.1"),
            (1e15, "1000000000000000.0"),
            (1e16, "1e+16"),
            (1.5e300, "1.5e+300"),
            (0.0001, "0.0001"),
            (0.00001, "1e-05"),
            (123.456, "123.456"),
            (-2.5, "-2.5"),
            (5e-324, "5e-324"),
            (1e100, "1e+100"),
            (9007199254740993.0, "9007199254740992.0"),
            (f64::INFINITY, "inf"),
            (f64::NAN, "nan"),
        ] {
            assert_eq!(float(value, true), text);
        }
        assert_eq!(complex(0.0, 2.0), "2j");
        assert_eq!(complex(1.0, -2.5), "(1-2.5j)");
        assert_eq!(complex(-0.0, 1.0), "(-0+1j)");
    }

    #[test]
    fn integers_of_any_size() {
        let int = |negative, digits: &[u32]| Int { negative, digits: digits.to_vec() }.decimal();
        assert_eq!(int(false, &[]), "0");
        assert_eq!(int(true, &[7]), "-7");
        assert_eq!(int(false, &[0, 1]), "1073741824");
        assert_eq!(int(false, &[0, 0, 1]), "1152921504606846976");
        assert_eq!(int(false, &[1_000_000_000]), "1000000000");
    }
}
