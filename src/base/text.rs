//! Text from the target, made safe for a terminal.

use std::borrow::Cow;

/// True when a terminal takes the character as plain text: no control characters (C0, DEL, C1), no characters that reorder
/// or hide text (bidirectional controls, line and paragraph separators, zero-width characters, tags).
fn is_plain(c: char) -> bool {
    !(c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}'
            | '\u{061c}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}'))
}

/// True when [`display_safe`] would leave the text as it is.
pub fn is_safe(text: &str) -> bool {
    // Nearly all text is ASCII, which needs no decoding.
    text.bytes().all(|byte| (b' '..=b'~').contains(&byte)) || text.chars().all(is_plain)
}

/// The text with everything that could drive a terminal written as an escape sequence of Python's (`\x1b`, `\u202e`).
pub fn display_safe(text: &str) -> Cow<'_, str> {
    if is_safe(text) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match c {
            c if is_plain(c) => out.push(c),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            c if (c as u32) < 0x100 => out.push_str(&format!("\\x{:02x}", c as u32)),
            c if (c as u32) < 0x1_0000 => out.push_str(&format!("\\u{:04x}", c as u32)),
            c => out.push_str(&format!("\\U{:08x}", c as u32)),
        }
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_and_reordering_are_neutralised() {
        assert_eq!(display_safe("plain é 名"), "plain é 名");
        assert_eq!(display_safe("a\x1b[31mb\u{202e}c\u{9b}d\n"), "a\\x1b[31mb\\u202ec\\x9bd\\n");
        assert_eq!(display_safe("\u{e0041}"), "\\U000e0041");
    }
}
