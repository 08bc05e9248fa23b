//! Types of the standard library that have a way of writing of their own: `Decimal`, locks, `Path`, `UUID`.

use super::Writer;
use super::instance::Attributes;
use super::types::Type;
use crate::base::{Addr, FieldValue};
use crate::target::ReadError;
use std::rc::Rc;

/// `MPD_*` flags and the digits of a word (`Modules/_decimal/libmpdec/mpdecimal.h`, 64 bits).
const NEGATIVE: u8 = 1;
const INFINITE: u8 = 2;
const NAN: u8 = 4;
const SIGNALLING_NAN: u8 = 8;
const WORD_DIGITS: usize = 19;
/// Largest number that is written out, in words.
const DECIMAL_WORDS: u64 = 100;

impl Writer<'_, '_> {
    /// `PyDecObject { hash, mpd_t { flags, exp, digits, len, alloc, data } }` (`Modules/_decimal/_decimal.c`).
    pub(super) fn decimal(&mut self, object: Addr) -> Result<(), ReadError> {
        let flags: u8 = self.word(object, 8)?;
        let exponent: i64 = self.word(object, 16)?;
        let words: u64 = self.word(object, 32)?;
        let sign = if flags & NEGATIVE != 0 { "-" } else { "" };
        let special = [(INFINITE, "Infinity"), (NAN, "NaN"), (SIGNALLING_NAN, "sNaN")];
        if let Some((_, name)) = special.iter().find(|(flag, _)| flags & flag != 0) {
            self.push(&format!("Decimal('{sign}{name}')"));
            return Ok(());
        }
        if words > DECIMAL_WORDS {
            return Err(ReadError::TooLarge);
        }
        let data: Addr = self.word(object, 48)?;
        let bytes = self.objects().cache.bytes(data, words as usize * 8)?;
        let words = bytes.chunks_exact(8).rev().filter_map(u64::from_bytes);
        let digits: String = words.map(|word| format!("{word:0WORD_DIGITS$}")).collect();
        let digits = digits.trim_start_matches('0');
        let digits = if digits.is_empty() { "0" } else { digits };
        self.push(&format!("Decimal('{sign}{}')", scientific(digits, exponent)));
        Ok(())
    }

    /// `<locked _thread.lock object at 0x…>`. Up to 3.13 `{ lock_lock, in_weakreflist, char locked }`, then a `PyMutex`,
    /// whose lowest bit says that it is held (`Modules/_threadmodule.c`).
    pub(super) fn lock(&mut self, object: Addr, ty: &Rc<Type>) -> Result<(), ReadError> {
        let Some(locked) = self.is_locked(object, ty)? else { return self.plain(object, ty) };
        let word = if locked { "locked" } else { "unlocked" };
        self.push(&format!("<{word} _thread.lock object at {object}>"));
        Ok(())
    }

    /// Whether a `_thread.lock` is held; `None` when it is laid out in another way.
    pub(super) fn is_locked(&self, object: Addr, ty: &Type) -> Result<Option<bool>, ReadError> {
        let at = match self.size_behind_header(ty) {
            24 => 16,
            8 => 0,
            _ => return Ok(None),
        };
        Ok(Some(self.word::<u8>(object, at)? & 1 != 0))
    }

    /// `{ rlock_lock, owner, count, in_weakreflist }` up to 3.13, then `_PyRecursiveMutex { PyMutex, thread, level }`, with
    /// levels above the first.
    pub(super) fn rlock(&mut self, object: Addr, ty: &Rc<Type>) -> Result<(), ReadError> {
        let (owner, count): (u64, u64) = match self.size_behind_header(ty) {
            32 => (self.word(object, 8)?, self.word(object, 16)?),
            24 => {
                let held = u64::from(self.word::<u8>(object, 0)? & 1);
                let level = self.word::<u64>(object, 16)?;
                (self.word(object, 8)?, if held != 0 { level.saturating_add(1) } else { 0 })
            }
            _ => return self.plain(object, ty),
        };
        let word = if count > 0 { "locked" } else { "unlocked" };
        self.push(&format!("<{word} _thread.RLock object owner={owner} count={count} at {object}>"));
        Ok(())
    }

    /// `UUID('1234…')`.
    pub(super) fn uuid(&mut self, object: Addr, ty: &Rc<Type>) -> Result<(), ReadError> {
        let attributes = self.attributes(object, ty)?;
        let Ok(int) = self.objects().big_int(find(&attributes, "int")?)? else {
            return Err(ReadError::Invalid("UUID"));
        };
        let number: u128 = int.decimal().parse().map_err(|_| ReadError::Invalid("UUID"))?;
        let text = format!("{number:032x}");
        let part = |range| text.get(range).unwrap_or_default();
        let parts = [part(0..8), part(8..12), part(12..16), part(16..20), part(20..32)];
        self.push_name(ty.name());
        self.push(&format!("('{}')", parts.join("-")));
        Ok(())
    }

    /// `PosixPath('/srv')`. `_str` is there once it was asked for.
    pub(super) fn path(&mut self, object: Addr, ty: &Rc<Type>) -> Result<(), ReadError> {
        let attributes = self.attributes(object, ty)?;
        match find(&attributes, "_str") {
            Ok(text) => self.call(ty.name(), text),
            Err(_) => self.call(ty.name(), find(&attributes, "_raw_paths")?),
        }
    }

    /// A `Decimal` of `Lib/_pydecimal.py`: digits as a `str`, and an exponent, or a letter in its place.
    pub(super) fn python_decimal(&mut self, object: Addr, ty: &Rc<Type>) -> Result<(), ReadError> {
        let attributes = self.attributes(object, ty)?;
        let [sign, digits, exponent] = ["_sign", "_int", "_exp"].map(|name| find(&attributes, name));
        let sign = if self.number(sign?)? != 0 { "-" } else { "" };
        let (digits, exponent) = (self.word_of(digits?)?, exponent?);
        if digits.len() > DECIMAL_WORDS as usize * WORD_DIGITS {
            return Err(ReadError::TooLarge);
        }
        if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(ReadError::Invalid("Decimal"));
        }
        let text = match &*self.objects().type_name(exponent)? {
            "str" => match &*self.word_of(exponent)? {
                "F" => "Infinity".to_owned(),
                "n" => format!("NaN{digits}"),
                "N" => format!("sNaN{digits}"),
                _ => return Err(ReadError::Invalid("Decimal")),
            },
            _ if digits.is_empty() => return Err(ReadError::Invalid("Decimal")),
            _ => {
                let exponent = i64::try_from(self.number(exponent)?).map_err(|_| ReadError::TooLarge)?;
                scientific(&digits, exponent)
            }
        };
        self.push(&format!("Decimal('{sign}{text}')"));
        Ok(())
    }

    fn call(&mut self, name: &str, argument: Addr) -> Result<(), ReadError> {
        self.push_name(name);
        self.push("(");
        self.object(argument);
        self.push(")");
        Ok(())
    }
}

fn find(attributes: &Attributes, name: &str) -> Result<Addr, ReadError> {
    let found = attributes.iter().find(|(own, _)| **own == *name);
    found.map(|(_, value)| *value).ok_or(ReadError::Invalid("instance"))
}

/// A number as the General Decimal Arithmetic Specification's `to-scientific-string`.
fn scientific(digits: &str, exponent: i64) -> String {
    let adjusted = exponent.saturating_add(digits.len() as i64 - 1);
    if exponent > 0 || adjusted < -6 {
        let (first, others) = digits.split_at(1);
        let point = if others.is_empty() { "" } else { "." };
        return format!("{first}{point}{others}E{adjusted:+}");
    }
    let behind = exponent.unsigned_abs() as usize;
    match digits.len().checked_sub(behind) {
        _ if behind == 0 => digits.to_owned(),
        Some(0) | None => format!("0.{}{digits}", "0".repeat(behind.saturating_sub(digits.len()))),
        Some(at) => {
            format!("{}.{}", digits.get(..at).unwrap_or_default(), digits.get(at..).unwrap_or_default())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::scientific;

    #[test]
    fn decimals_are_as_python_writes_them() {
        for (digits, exponent, text) in [
            ("0", 0, "0"),
            ("123", 0, "123"),
            ("123", -2, "1.23"),
            ("1", -3, "0.001"),
            ("1", -7, "1E-7"),
            ("123", 5, "1.23E+7"),
            ("1", 1, "1E+1"),
            ("12345", -10, "0.0000012345"),
        ] {
            assert_eq!(scientific(digits, exponent), text);
        }
    }
}
