//! One frame as text: the line of a Python traceback, its source, and carets under the expression being evaluated.

use crate::base::display_safe;
use crate::report::model::{Frame, Local};
use crate::report::source::SourceLine;

/// The `File …` line.
pub(super) fn head(frame: &Frame) -> String {
    let file = display_safe(&frame.file);
    let function = display_safe(&frame.function);
    match frame.line {
        Some(line) => format!("  File \"{file}\", line {line}, in {function}"),
        None => format!("  File \"{file}\", in {function} (no line)"),
    }
}

/// The source line and the line of carets under it, both indented; no carets when they would cover all of it.
pub(super) fn source(frame: &Frame, line: &SourceLine) -> (String, Option<String>) {
    let text = line.text.trim_end();
    let code = text.trim_start();
    let shown = format!("    {}", display_safe(code));
    (shown, carets(frame, text, text.len() - code.len()))
}

/// `name = value` of each local variable, indented below the source.
pub(super) fn locals(frame: &Frame) -> impl Iterator<Item = String> {
    let line = |local: &Local| format!("      {} = {}", display_safe(&local.name), display_safe(&local.repr));
    frame.locals.iter().flatten().map(line)
}

fn carets(frame: &Frame, text: &str, indent: usize) -> Option<String> {
    let start = usize::try_from(frame.column?).ok()?;
    let end = match frame.end_line == frame.line {
        true => usize::try_from(frame.end_column?).ok()?.min(text.len()),
        false => text.len(),
    };
    // What changed since then, or is no UTF-8, does not fit the columns.
    let (before, marked) = (text.get(indent..start)?, text.get(start..end)?);
    if marked.is_empty() || (before.is_empty() && end == text.len()) {
        return None;
    }
    let width = |s: &str| display_safe(s).chars().map(columns).sum::<usize>();
    Some(format!("    {}{}", " ".repeat(width(before)), "^".repeat(width(marked))))
}

/// Columns a terminal gives a character: two for the wide ones of East Asia and pictographs, none for combining marks.
fn columns(c: char) -> usize {
    match c as u32 {
        0x300..=0x36f => 0,
        0x1100..=0x115f
        | 0x2e80..=0xa4cf
        | 0xac00..=0xd7a3
        | 0xf900..=0xfaff
        | 0xfe30..=0xfe6f
        | 0xff00..=0xff60
        | 0xffe0..=0xffe6
        | 0x1f300..=0x1faff
        | 0x20000..=0x3fffd => 2,
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::model::FrameKind;

    fn frame(column: i32, end_column: i32) -> Frame {
        Frame {
            kind: FrameKind::Function,
            function: "f".into(),
            name: "f".into(),
            module: None,
            file: "f.py".into(),
            line: Some(1),
            end_line: Some(1),
            column: Some(column),
            end_column: Some(end_column),
            locals: None,
        }
    }

    fn shown(text: &str, column: i32, end_column: i32) -> (String, Option<String>) {
        source(&frame(column, end_column), &SourceLine { text: text.into(), changed: false })
    }

    #[test]
    fn carets_stand_under_the_expression() {
        let (line, carets) = shown("    x = f(1) + g", 8, 12);
        assert_eq!(line, "    x = f(1) + g");
        assert_eq!(carets.as_deref(), Some("        ^^^^"));
    }

    #[test]
    fn columns_count_bytes_and_carets_count_what_is_seen() {
        assert_eq!(shown("é = 名(x)", 5, 11).1.as_deref(), Some("        ^^^^^"));
        assert_eq!(shown("f(x)", 0, 4).1, None);
        assert_eq!(shown("é", 1, 2).1, None);
    }
}
