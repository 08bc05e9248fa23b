//! The types of `datetime` (`Include/datetime.h`): a hash, a flag, then the numbers as bytes, the most significant first.

use super::Writer;
use crate::base::Addr;
use crate::target::{Bytes, ReadError};

/// Where the bytes begin behind the header: `Py_hash_t hashcode; char hastzinfo`.
const DATA: u64 = 9;

impl Writer<'_, '_> {
    fn data(&self, object: Addr, len: usize) -> Result<Bytes, ReadError> {
        self.objects().cache.bytes(object.offset(u64::from(self.layout().object.size) + DATA), len)
    }

    fn has_zone(&self, object: Addr) -> Result<bool, ReadError> {
        Ok(self.word::<u8>(object, 8)? != 0)
    }

    pub(super) fn date(&mut self, object: Addr) -> Result<(), ReadError> {
        match *self.data(object, 4)? {
            [a, b, month, day] => self.push(&format!("datetime.date({}, {month}, {day})", u16::from_be_bytes([a, b]))),
            _ => return Err(ReadError::Unmapped),
        }
        Ok(())
    }

    pub(super) fn time(&mut self, object: Addr) -> Result<(), ReadError> {
        let data = self.data(object, 7)?;
        let [hour, minute, second, a, b, c, fold] = *data else { return Err(ReadError::Unmapped) };
        self.push(&format!("datetime.time({hour}, {minute}{}", seconds(second, [0, a, b, c])));
        self.zone(object, DATA + 7, fold)
    }

    pub(super) fn datetime(&mut self, object: Addr) -> Result<(), ReadError> {
        let data = self.data(object, 11)?;
        let [y, z, month, day, hour, minute, second, a, b, c, fold] = *data else { return Err(ReadError::Unmapped) };
        let year = u16::from_be_bytes([y, z]);
        let rest = seconds(second, [0, a, b, c]);
        self.push(&format!("datetime.datetime({year}, {month}, {day}, {hour}, {minute}{rest}"));
        self.zone(object, DATA + 11, fold)
    }

    /// The end of a time: fold and time zone, which is there when a flag says so, on the next word.
    fn zone(&mut self, object: Addr, at: u64, fold: u8) -> Result<(), ReadError> {
        if fold != 0 {
            self.push(", fold=1");
        }
        if self.has_zone(object)? {
            let zone = self.word(object, at.next_multiple_of(8))?;
            self.push(", tzinfo=");
            self.object(zone);
        }
        self.push(")");
        Ok(())
    }

    /// `int days, seconds, microseconds` behind the hash.
    pub(super) fn timedelta(&mut self, object: Addr) -> Result<(), ReadError> {
        let parts: [(&str, i32); 3] = [
            ("days", self.word(object, 8)?),
            ("seconds", self.word(object, 12)?),
            ("microseconds", self.word(object, 16)?),
        ];
        let parts: Vec<String> =
            parts.iter().filter(|(_, value)| *value != 0).map(|(name, value)| format!("{name}={value}")).collect();
        let parts = if parts.is_empty() { "0".to_owned() } else { parts.join(", ") };
        self.push(&format!("datetime.timedelta({parts})"));
        Ok(())
    }

    /// `PyDateTime_TimeZone { offset, name }` (`Modules/_datetimemodule.c`); the one of no offset without a name is `utc`.
    pub(super) fn timezone(&mut self, object: Addr) -> Result<(), ReadError> {
        let (offset, name): (Addr, Addr) = (self.word(object, 0)?, self.word(object, 8)?);
        let mut is_zero = true;
        for at in [8, 12, 16] {
            is_zero &= self.word::<i32>(offset, at)? == 0;
        }
        if is_zero && name.is_null() {
            self.push("datetime.timezone.utc");
            return Ok(());
        }
        self.push("datetime.timezone(");
        self.object(offset);
        if !name.is_null() {
            self.push(", ");
            self.object(name);
        }
        self.push(")");
        Ok(())
    }
}

/// Seconds and microseconds, as far as they are not zero.
fn seconds(second: u8, micros: [u8; 4]) -> String {
    match (second, u32::from_be_bytes(micros)) {
        (0, 0) => String::new(),
        (second, 0) => format!(", {second}"),
        (second, micros) => format!(", {second}, {micros}"),
    }
}
