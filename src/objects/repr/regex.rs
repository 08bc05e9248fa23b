//! Patterns and matches of `re` (`Modules/_sre/sre.h`, up to 3.10 `Modules/sre.h`).

use super::Writer;
use crate::base::Addr;
use crate::target::ReadError;

/// Flags in the order in which they are written (`Modules/_sre/sre.c`, `pattern_repr`).
const FLAGS: &[(u32, &str)] = &[
    (1, "re.TEMPLATE"),
    (2, "re.IGNORECASE"),
    (4, "re.LOCALE"),
    (8, "re.MULTILINE"),
    (16, "re.DOTALL"),
    (UNICODE, "re.UNICODE"),
    (64, "re.VERBOSE"),
    (128, "re.DEBUG"),
    (256, "re.ASCII"),
];
/// What every `str` pattern has that has none of the others, and so is not written.
const UNICODE: u32 = 32;
const LOCALE_UNICODE_ASCII: u32 = 4 | UNICODE | 256;

impl Writer<'_, '_> {
    /// `re.compile('a+', re.IGNORECASE)`: `PatternObject { groups, groupindex, indexgroup, pattern, int flags, … }` behind a
    /// variable-sized header.
    pub(super) fn pattern(&mut self, object: Addr) -> Result<(), ReadError> {
        let (pattern, flags): (Addr, u32) = (self.word(object, 32)?, self.word(object, 40)?);
        self.push("re.compile(");
        match pattern.is_null() {
            true => self.push("None"),
            false => self.object(pattern),
        }
        let flags = if flags & LOCALE_UNICODE_ASCII == UNICODE { flags & !UNICODE } else { flags };
        let mut names: Vec<String> =
            FLAGS.iter().filter(|(flag, _)| flags & flag != 0).map(|(_, name)| (*name).to_owned()).collect();
        let known = FLAGS.iter().fold(0, |all, (flag, _)| all | flag);
        if flags & !known != 0 {
            names.push(format!("{:#x}", flags & !known));
        }
        self.push(if names.is_empty() { "" } else { ", " });
        self.push(&names.join("|"));
        self.push(")");
        Ok(())
    }

    /// `<re.Match object; span=(0, 2), match='ab'>`: `MatchObject { string, regs, pattern, pos, endpos, lastindex, groups,
    /// mark[] }` behind a variable-sized header. Of other things than `str` and `bytes` the text is left out.
    pub(super) fn matched(&mut self, object: Addr) -> Result<(), ReadError> {
        let (string, start, end): (Addr, i64, i64) =
            (self.word(object, 8)?, self.word(object, 64)?, self.word(object, 72)?);
        self.push(&format!("<re.Match object; span=({start}, {end})"));
        if let (Ok(first), Ok(behind)) = (usize::try_from(start), usize::try_from(end))
            && first <= behind
            && !string.is_null()
        {
            self.push(", match=");
            if !self.part(string, first..behind)? {
                self.push("...");
            }
        }
        self.push(">");
        Ok(())
    }
}
