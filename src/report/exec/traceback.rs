//! A traceback as it comes from the target, with the source lines that only we have.

use crate::inject::Script;
use crate::report::SourceFiles;

/// Lines of a traceback that are looked up; a hostile target can send any number.
const LOOKED_UP: usize = 500;

/// The traceback with the script's own name, and a line of source below each frame.
pub(super) fn with_sources(traceback: &str, script: &Script, files: Option<&mut SourceFiles>) -> String {
    let own = format!("<pyattach {}>", script.name);
    let text = String::from_utf8_lossy(&script.source);
    let lines: Vec<&str> = text.lines().collect();
    let mut files = files;
    let mut out = Vec::new();
    for (count, row) in traceback.lines().enumerate() {
        let Some((file, number, function)) = place(row) else {
            out.push(row.to_owned());
            continue;
        };
        let is_own = file == own;
        let shown = if is_own { script.name.as_str() } else { file };
        let Some(function) = function else {
            out.push(format!("  File \"{shown}\", line {number}"));
            continue;
        };
        out.push(format!("  File \"{shown}\", line {number}, in {function}"));
        let source = match (is_own, &mut files) {
            (true, _) => number.checked_sub(1).and_then(|index| lines.get(index)).map(|line| (*line).to_owned()),
            (false, Some(files)) if count < LOOKED_UP => {
                let line = i32::try_from(number).ok().and_then(|number| files.line(file, number));
                line.filter(|line| !line.changed).map(|line| line.text.to_owned())
            }
            _ => None,
        };
        out.extend(source.map(|line| format!("    {}", line.trim())).filter(|line| !line.trim().is_empty()));
    }
    out.join("\n")
}

/// File, line and function of a row like `  File "x", line 1, in f`; a syntax error's has no function.
fn place(row: &str) -> Option<(&str, usize, Option<&str>)> {
    let (file, rest) = row.strip_prefix("  File \"")?.rsplit_once("\", line ")?;
    let (number, function) = match rest.split_once(", in ") {
        Some((number, function)) => (number, Some(function)),
        None => (rest, None),
    };
    Some((file, number.parse().ok()?, function))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inject::Kind;

    fn script() -> Script {
        Script {
            source: b"def f():\n    1 / 0\nf()\n".to_vec(),
            name: "a.py".into(),
            file: "/x/a.py".into(),
            arguments: Vec::new(),
            namespace: None,
            kind: Kind::Exec,
        }
    }

    #[test]
    fn our_own_lines_are_added() {
        let traceback = "Traceback (most recent call last):\n  File \"<pyattach a.py>\", line 3, in <module>\n  File \
                         \"<pyattach a.py>\", line 2, in f\n  File \"<pyattach a.py>\", line 99, in g\nZeroDivisionError: x";
        assert_eq!(
            with_sources(traceback, &script(), None),
            "Traceback (most recent call last):\n  File \"a.py\", line 3, in <module>\n    f()\n  File \"a.py\", line 2, in \
             f\n    1 / 0\n  File \"a.py\", line 99, in g\nZeroDivisionError: x"
        );
    }

    #[test]
    fn all_else_stays_as_it_is() {
        for text in [
            "",
            "  File \"a",
            "  File \"a\", line x, in f",
            "  File \"b.py\", line 1",
            "a\n\n  File \"<pyattach b>\", line 1, in f",
        ] {
            assert_eq!(with_sources(text, &script(), None), text);
        }
        assert_eq!(with_sources("  File \"<pyattach a.py>\", line 1", &script(), None), "  File \"a.py\", line 1");
        assert_eq!(place("  File \"\", line 1\", line 2, in f"), Some(("\", line 1", 2, Some("f"))));
    }
}
