//! `str` (PEP 393).

use super::Objects;
use crate::base::{Addr, limits};
use crate::target::{Bytes, Extent, ReadError};

/// Enough for the header and the characters of most names and paths, so that one read gets both.
const FIRST_READ: usize = 128;

impl Objects<'_> {
    /// The text of a `str`. Lone surrogates, by which Python carries undecodable bytes of file names, become `\udcXX`.
    pub fn str(&self, object: Addr) -> Result<String, ReadError> {
        self.text(object, &self.beginning(object)?)
    }

    /// A `str`, checked to be one: for pointers of which that is not certain.
    pub fn checked_str(&self, object: Addr) -> Result<String, ReadError> {
        let beginning = self.beginning(object)?;
        let ty = beginning.record().get(self.layout.object.ob_type).ok_or(ReadError::Unmapped)?;
        match &*self.name_of_type(ty)? {
            "str" => self.text(object, &beginning),
            _ => Err(ReadError::Invalid("str")),
        }
    }

    /// The text of an object if it is a `str` of at most so many code points.
    pub(super) fn short_str(&self, object: Addr, chars: i64) -> Result<Option<String>, ReadError> {
        let beginning = match self.beginning(object) {
            // What is no string may be shorter than one, and lie before unmapped memory.
            Err(error) if error != ReadError::Deferred && &*self.type_name(object)? != "str" => return Ok(None),
            beginning => beginning?,
        };
        let ty = beginning.record().get(self.layout.object.ob_type).ok_or(ReadError::Unmapped)?;
        let length = beginning.record().get(self.layout.unicode.length).ok_or(ReadError::Unmapped)?;
        match &*self.name_of_type(ty)? == "str" && length <= chars {
            true => self.text(object, &beginning).map(Some),
            false => Ok(None),
        }
    }

    /// What to prefetch before many strings are read.
    pub fn str_extent(object: Addr) -> Extent {
        // Within the object's own page, so that a short string before unmapped memory is still read.
        let to_page_end = 0x1000 - (object.0 & 0xfff) as usize;
        Extent { addr: object, len: FIRST_READ.min(to_page_end) }
    }

    /// The header, with as many characters as come with it.
    fn beginning(&self, object: Addr) -> Result<Bytes, ReadError> {
        self.bytes(object, Self::str_extent(object).len.max(self.layout.unicode.ascii_size as usize))
    }

    fn text(&self, object: Addr, beginning: &Bytes) -> Result<String, ReadError> {
        let layout = &self.layout.unicode;
        let invalid = ReadError::Invalid("str");
        let length = beginning.record().get(layout.length).ok_or(invalid)?;
        let length = usize::try_from(length).map_err(|_| invalid)?;
        if length > limits::STRING_CHARS {
            return Err(ReadError::TooLarge);
        }
        let state = beginning.record().get(layout.state).ok_or(invalid)? >> self.quirks.unicode_kind_shift;
        let (kind, compact, ascii) = ((state & 7) as usize, state & 8 != 0, state & 16 != 0);
        if !compact || !matches!(kind, 1 | 2 | 4) || (ascii && kind != 1) {
            return Err(invalid);
        }
        let start = if ascii { layout.ascii_size } else { layout.compact_size };
        self.cache.work(length * kind / 8)?;
        match beginning.get(start as usize..start as usize + length * kind) {
            Some(data) => decode(data, kind, ascii),
            None => decode(&self.cache.bytes(object.offset(u64::from(start)), length * kind)?, kind, ascii),
        }
        .ok_or(invalid)
    }
}

fn decode(data: &[u8], kind: usize, ascii: bool) -> Option<String> {
    if ascii {
        return data.is_ascii().then(|| String::from_utf8_lossy(data).into_owned());
    }
    let mut text = String::with_capacity(data.len());
    for unit in data.chunks_exact(kind) {
        let point = match *unit {
            [a] => u32::from(a),
            [a, b] => u32::from(u16::from_le_bytes([a, b])),
            [a, b, c, d] => u32::from_le_bytes([a, b, c, d]),
            _ => return None,
        };
        match char::from_u32(point) {
            Some(c) => text.push(c),
            None if (0xd800..0xe000).contains(&point) => text.push_str(&format!("\\u{point:04x}")),
            None => return None,
        }
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::decode;

    #[test]
    fn all_kinds_are_decoded() {
        assert_eq!(decode(b"abc", 1, true).as_deref(), Some("abc"));
        assert_eq!(decode(&[0xe9], 1, false).as_deref(), Some("é"));
        assert_eq!(decode(&[0x0d, 0x54], 2, false).as_deref(), Some("名"));
        assert_eq!(decode(&[0, 0xf6, 1, 0], 4, false).as_deref(), Some("😀"));
    }

    #[test]
    fn undecodable_file_names_keep_their_bytes_visible() {
        assert_eq!(decode(&[0xff, 0xdc], 2, false).as_deref(), Some("\\udcff"));
    }

    #[test]
    fn what_no_string_can_hold_is_refused() {
        assert_eq!(decode(&[0x80], 1, true), None);
        assert_eq!(decode(&[0, 0, 0x11, 0], 4, false), None);
    }
}
