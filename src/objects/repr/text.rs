//! `str`, `bytes` and `bytearray` as Python writes them.

use super::Writer;
use crate::base::{Addr, FieldValue};
use crate::objects::redact::{REDACTED, is_secret_name, redact};
use crate::target::ReadError;
use std::ops::Range;

/// What is read beyond what is shown, so that a secret that begins within that is seen to its end.
const LOOK_AHEAD: usize = 512;
/// Surrogates, which no Rust string can hold, stand here in the meantime, in the last private plane.
const SURROGATES: u32 = 0x10_f800;
/// Longest name in a sequence that makes the item behind it secret.
const SECRET_NAME_CHARS: usize = 64;

/// What a quoted text is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Plain,
    /// It has lone surrogates, which stand at [`SURROGATES`].
    Surrogates,
    Bytes,
}

impl Writer<'_, '_> {
    /// The first characters of a `str`, no more than `limit`, and how many there are.
    fn characters(&self, object: Addr, limit: usize) -> Result<(String, usize, Kind), ReadError> {
        self.characters_from(object, 0, limit)
    }

    /// The same from a character on.
    fn characters_from(&self, object: Addr, first: usize, limit: usize) -> Result<(String, usize, Kind), ReadError> {
        let layout = &self.layout().unicode;
        let objects = self.objects();
        let invalid = ReadError::Invalid("str");
        let length = usize::try_from(objects.field(object, layout.length)?).map_err(|_| invalid)?;
        let state = objects.field(object, layout.state)? >> objects.quirks.unicode_kind_shift;
        let (kind, compact, ascii) = ((state & 7) as usize, state & 8 != 0, state & 16 != 0);
        if !matches!(kind, 1 | 2 | 4) || (ascii && kind != 1) {
            return Err(invalid);
        }
        let behind = |size: u32| object.offset(u64::from(size));
        let start = match (compact, ascii) {
            (true, true) => behind(layout.ascii_size),
            (true, false) => behind(layout.compact_size),
            // `PyUnicodeObject.data`: instances of subclasses have their characters elsewhere.
            (false, _) => Addr::from_bytes(&objects.cache.bytes(behind(layout.compact_size), 8)?).ok_or(invalid)?,
        };
        let count = length.saturating_sub(first).min(limit);
        let data = objects.cache.bytes(start.offset((first as u64).wrapping_mul(kind as u64)), count * kind)?;
        let (mut text, mut is) = (String::with_capacity(data.len()), Kind::Plain);
        for unit in data.chunks_exact(kind) {
            let mut word = [0; 4];
            word.iter_mut().zip(unit).for_each(|(to, from)| *to = *from);
            let point = u32::from_le_bytes(word);
            let c = match point {
                0xd800..=0xdfff => {
                    is = Kind::Surrogates;
                    char::from_u32(SURROGATES + (point - 0xd800))
                }
                point => char::from_u32(point),
            };
            text.push(c.ok_or(invalid)?);
        }
        Ok((text, length, is))
    }

    pub(super) fn str(&mut self, object: Addr) -> Result<(), ReadError> {
        let shown = self.limits().chars.min(self.room().max(16));
        let (text, length, kind) = self.characters(object, shown + LOOK_AHEAD)?;
        let is_cut = text.chars().count() < length;
        self.quoted(&text, kind, shown, is_cut, length);
        Ok(())
    }

    /// A `str` as it is within other texts: no quotes, and no more than a name has. It may have secrets, too.
    pub(super) fn bare(&mut self, object: Addr) -> Result<(), ReadError> {
        if &*self.objects().type_name(object)? != "str" {
            return Err(ReadError::Invalid("str"));
        }
        let (text, length, kind) = self.characters(object, super::NAME_CHARS + LOOK_AHEAD)?;
        let is_cut = text.chars().count() < length;
        let text = if self.limits().show_secrets { text.as_str().into() } else { redact(&text, is_cut) };
        let is_surrogate = |c: char| kind == Kind::Surrogates && u32::from(c) >= SURROGATES;
        let plain: String = text.chars().map(|c| if is_surrogate(c) { '\u{fffd}' } else { c }).collect();
        self.push_name(&plain);
        Ok(())
    }

    /// Part of a `str` or `bytes`, in quotes; something else where what is around it makes it a secret. `false` for others.
    pub(super) fn part(&mut self, object: Addr, range: Range<usize>) -> Result<bool, ReadError> {
        let first = range.start.saturating_sub(LOOK_AHEAD);
        let shown = self.limits().chars.min(self.room().max(16));
        let limit = (range.end - first).min(range.start - first + shown).saturating_add(LOOK_AHEAD);
        let (around, kind) = match &*self.objects().type_name(object)? {
            "str" => {
                let (text, _, kind) = self.characters_from(object, first, limit)?;
                (text, kind)
            }
            "bytes" => {
                let length = self.objects().field(object, self.layout().object.ob_size)?;
                let length = usize::try_from(length).map_err(|_| ReadError::Invalid("bytes"))?;
                let start = self.layout().bytes.ob_sval.of(object).offset(first as u64);
                let data = self.objects().cache.bytes(start, length.saturating_sub(first).min(limit))?;
                (data.iter().map(|byte| char::from(*byte)).collect(), Kind::Bytes)
            }
            _ => return Ok(false),
        };
        let is_secret = !self.limits().show_secrets && redact(&around, true) != around;
        let text: String = around.chars().skip(range.start - first).take(range.len()).collect();
        match is_secret {
            true => self.push(REDACTED),
            false => self.quoted(&text, kind, shown, text.chars().count() < range.len(), range.len()),
        }
        Ok(true)
    }

    /// Characters that lie side by side, four bytes each or one, as those of arrays do; there are `length` of them. True when
    /// they are the name of a secret.
    pub(super) fn packed_text(&mut self, data: &[u8], width: usize, length: usize) -> Result<bool, ReadError> {
        let points = data.chunks_exact(width).map(|unit| {
            let mut word = [0; 4];
            word.iter_mut().zip(unit).for_each(|(to, from)| *to = *from);
            char::from_u32(u32::from_le_bytes(word))
        });
        let text: String = points.collect::<Option<String>>().ok_or(ReadError::Invalid("text"))?;
        let kind = if width == 1 { Kind::Bytes } else { Kind::Plain };
        let shown = self.limits().chars.min(self.room().max(16));
        self.quoted(&text, kind, shown, data.len() / width < length, length);
        Ok(!self.limits().show_secrets && is_name_of_secret(&text))
    }

    pub(super) fn bytes(&mut self, object: Addr) -> Result<(), ReadError> {
        let start = self.layout().bytes.ob_sval;
        self.octets(object, start.of(object))
    }

    pub(super) fn bytearray(&mut self, object: Addr) -> Result<(), ReadError> {
        let field = self.layout().value.bytearray.ok_or(ReadError::Invalid("layout"))?;
        let start = self.objects().field(object, field)?;
        self.push("bytearray(");
        self.octets(object, start)?;
        self.push(")");
        Ok(())
    }

    fn octets(&mut self, object: Addr, start: Addr) -> Result<(), ReadError> {
        let length = self.objects().field(object, self.layout().object.ob_size)?;
        let length = usize::try_from(length).map_err(|_| ReadError::Invalid("bytes"))?;
        let shown = self.limits().chars.min(self.room().max(16));
        let data = self.objects().cache.bytes(start, length.min(shown + LOOK_AHEAD))?;
        let text: String = data.iter().map(|byte| char::from(*byte)).collect();
        self.quoted(&text, Kind::Bytes, shown, data.len() < length, length);
        Ok(())
    }

    /// Writes a text in quotes, without its secrets, and cut off behind `shown` characters.
    fn quoted(&mut self, text: &str, kind: Kind, shown: usize, is_cut: bool, length: usize) {
        let text = if self.limits().show_secrets { text.into() } else { redact(text, is_cut) };
        let end = text.char_indices().nth(shown).map(|(at, _)| at);
        let part = text.get(..end.unwrap_or(text.len())).unwrap_or_default();
        self.push(if kind == Kind::Bytes { "b" } else { "" });
        quote(&mut self.out, part, kind);
        if end.is_some() || is_cut {
            let unit = if kind == Kind::Bytes { "bytes" } else { "chars" };
            self.push(&format!("...<{length} {unit}>"));
        }
    }

    /// True when the object is a text that names a secret, as a header does before its value.
    pub(super) fn names_secret(&mut self, object: Addr) -> Result<bool, ReadError> {
        if self.limits().show_secrets {
            return Ok(false);
        }
        let text = match &*self.objects().type_name(object)? {
            "str" => self.characters(object, SECRET_NAME_CHARS + 1)?.0,
            "bytes" => {
                let length = self.objects().field(object, self.layout().object.ob_size)?;
                let length = usize::try_from(length).unwrap_or(usize::MAX).min(SECRET_NAME_CHARS + 1);
                let start = self.layout().bytes.ob_sval.of(object);
                self.objects().cache.bytes(start, length)?.iter().map(|byte| char::from(*byte)).collect()
            }
            _ => return Ok(false),
        };
        Ok(is_name_of_secret(&text))
    }
}

fn is_name_of_secret(text: &str) -> bool {
    let is_name = text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.'));
    is_name && text.len() <= SECRET_NAME_CHARS && is_secret_name(text)
}

/// Python's quotes and escapes (`unicode_repr`, `PyBytes_Repr`).
fn quote(out: &mut String, text: &str, kind: Kind) {
    let quote = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
    out.push(quote);
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c == quote => {
                out.push('\\');
                out.push(c);
            }
            ' '..='~' => out.push(c),
            c if kind != Kind::Bytes && is_printable(c) => out.push(c),
            c => escape(out, c as u32, kind == Kind::Surrogates),
        }
    }
    out.push(quote);
}

fn escape(out: &mut String, point: u32, has_surrogates: bool) {
    out.push_str(&match point {
        SURROGATES.. if has_surrogates => format!("\\u{:04x}", point - SURROGATES + 0xd800),
        0x1_0000.. => format!("\\U{point:08x}"),
        0x100.. => format!("\\u{point:04x}"),
        _ => format!("\\x{point:02x}"),
    });
}

/// `str.isprintable`: neither control, format, surrogate, private, unassigned nor separator. Rust's `escape_debug` has the
/// same rule, but for combining marks at the start.
fn is_printable(c: char) -> bool {
    let mut text = ['a', c].iter().collect::<String>();
    let plain = text.escape_debug().eq(['a', c]);
    text.clear();
    plain
}

#[cfg(test)]
mod tests {
    use super::{Kind, quote};

    fn quoted(text: &str, kind: Kind) -> String {
        let mut out = String::new();
        quote(&mut out, text, kind);
        out
    }

    #[test]
    fn quotes_and_escapes_are_pythons() {
        assert_eq!(quoted("a'b", Kind::Plain), "\"a'b\"");
        assert_eq!(quoted("a'b\"", Kind::Plain), "'a\\'b\"'");
        assert_eq!(quoted("\\\n\r\t\0\x7f", Kind::Plain), "'\\\\\\n\\r\\t\\x00\\x7f'");
        assert_eq!(quoted("é名😀e\u{301}", Kind::Plain), "'é名😀e\u{301}'");
        assert_eq!(quoted("\u{ad}\u{200b}\u{2028}\u{e000}\u{a0}", Kind::Plain), "'\\xad\\u200b\\u2028\\ue000\\xa0'");
        assert_eq!(quoted("\u{e0001}", Kind::Plain), "'\\U000e0001'");
        assert_eq!(quoted("\u{e9}", Kind::Bytes), "'\\xe9'");
        assert_eq!(quoted("\u{10fcff}", Kind::Surrogates), "'\\udcff'");
    }
}
