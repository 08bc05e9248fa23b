//! One frame as text: the line of a Python traceback, its source, and carets under the expression being evaluated.

use crate::base::display_safe;
use crate::report::model::Frame;
use crate::report::source::SourceLine;

/// How frames are written.
#[derive(Clone, Copy, Default)]
pub(super) struct FrameStyle {
    /// Stands before each line.
    pub(super) indent: &'static str,
    /// Colours.
    pub(super) color: bool,
}

/// Appends the lines of a frame: where it is, its source when there is some, its local variables.
///
/// There may be thousands, so pieces are appended one by one, without formatting and texts in between.
pub(super) fn push_frame(to: &mut String, frame: &Frame, line: Option<SourceLine<'_>>, style: FrameStyle) {
    push_head(to, frame, style.indent);
    if let Some(line) = line {
        push_source(to, frame, line, style);
    }
    for local in frame.locals.iter().flatten() {
        push(to, &[style.indent, "      ", &display_safe(&local.name), " = ", &display_safe(&local.repr), "\n"]);
    }
}

fn push(to: &mut String, pieces: &[&str]) {
    pieces.iter().for_each(|piece| to.push_str(piece));
}

fn push_head(to: &mut String, frame: &Frame, indent: &str) {
    let file = display_safe(&frame.file);
    let function = display_safe(&frame.function);
    match frame.line {
        Some(line) => push(to, &[indent, "  File \"", &file, "\", line ", &line.to_string(), ", in ", &function, "\n"]),
        None => push(to, &[indent, "  File \"", &file, "\", in ", &function, " (no line)\n"]),
    }
}

/// The source line, and one of carets under it unless they would cover all of it.
fn push_source(to: &mut String, frame: &Frame, line: SourceLine<'_>, style: FrameStyle) {
    let (dim, mark, plain) = if style.color { ("\x1b[2m", "\x1b[31m", "\x1b[0m") } else { ("", "", "") };
    let changed = if line.changed { "   # changed after the process started" } else { "" };
    let text = line.text.trim_end();
    let code = text.trim_start();
    push(to, &[style.indent, "    ", &display_safe(code), dim, changed, plain, "\n"]);
    let carets = carets(frame, text, text.len() - code.len()).filter(|_| !line.changed);
    if let Some((before, marked)) = carets {
        push(to, &[style.indent, "    ", mark]);
        to.extend(std::iter::repeat_n(' ', before).chain(std::iter::repeat_n('^', marked)));
        push(to, &[plain, "\n"]);
    }
}

/// How many columns stand before the carets, and how many carets.
fn carets(frame: &Frame, text: &str, indent: usize) -> Option<(usize, usize)> {
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
    Some((width(before), width(marked)))
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

    fn shown(text: &str, column: i32, end_column: i32) -> Vec<String> {
        let mut shown = String::new();
        let line = SourceLine { text, changed: false };
        push_source(&mut shown, &frame(column, end_column), line, FrameStyle::default());
        shown.lines().map(str::to_owned).collect()
    }

    #[test]
    fn carets_stand_under_the_expression() {
        assert_eq!(shown("    x = f(1) + g", 8, 12), ["    x = f(1) + g", "        ^^^^"]);
    }

    #[test]
    fn columns_count_bytes_and_carets_count_what_is_seen() {
        assert_eq!(shown("é = 名(x)", 5, 11), ["    é = 名(x)", "        ^^^^^"]);
        assert_eq!(shown("f(x)", 0, 4), ["    f(x)"]);
        assert_eq!(shown("é", 1, 2), ["    é"]);
    }
}
