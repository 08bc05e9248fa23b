//! The rules about single files: each returns its complaints.

use super::source::File;

/// Lines of the longest file.
const LINES: usize = 400;

/// One complaint per line of code on which `broken` holds.
fn complain(file: &File, what: &str, broken: impl Fn(&str) -> bool) -> Vec<String> {
    let lines = file.code.lines().enumerate().filter(|(_, line)| broken(line));
    lines.map(|(number, line)| format!("{}:{}: {what}: {}", file.path, number + 1, line.trim())).collect()
}

/// True when `line` has `word` with no letter, digit or `_` around it.
fn has_word(line: &str, word: &str) -> bool {
    let part = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(word).any(|(at, _)| {
        let (before, after) = (&line[..at], &line[at + word.len()..]);
        !before.ends_with(part) && !after.starts_with(part)
    })
}

/// `unsafe` stands in `src/os/sys.rs` only, under a comment that begins with `SAFETY:`, and is allowed for it only.
pub(crate) fn unsafe_is_confined(file: &File) -> Vec<String> {
    let mut complaints = match file.path.as_str() {
        "src/os/mod.rs" => Vec::new(),
        _ => complain(file, "allows unsafe code", |line| has_word(line, "unsafe_code")),
    };
    if file.path != "src/os/sys.rs" {
        complaints.extend(complain(file, "unsafe code", |line| has_word(line, "unsafe")));
        return complaints;
    }
    let lines: Vec<&str> = file.text.lines().map(str::trim).collect();
    for (number, _) in file.code.lines().enumerate().filter(|(_, line)| has_word(line, "unsafe")) {
        let mut comment =
            lines.iter().take(number).rev().take_while(|line| line.starts_with("//") || line.starts_with("#["));
        if !comment.any(|line| line.starts_with("// SAFETY: ")) {
            complaints.push(format!("{}:{}: no comment says why it is safe", file.path, number + 1));
        }
    }
    complaints
}

/// Versions of CPython are compared below `src/cpython` only; `src/base/version.rs` makes them comparable. ELF and DWARF have
/// versions of their own.
pub(crate) fn version_comparisons(file: &File) -> Vec<String> {
    if ["src/cpython/", "src/elf/", "src/base/version.rs"].iter().any(|path| file.path.starts_with(path)) {
        return Vec::new();
    }
    let operators = [" < ", " > ", " <= ", " >= ", " == ", " != "];
    let compares = |line: &str| operators.iter().any(|operator| line.contains(&format!("version{operator}")));
    let parts = [".major", ".minor", ".micro", ".minor_version()"];
    complain(file, "looks at a version number", |line| {
        compares(line) || line.contains("match version") || parts.iter().any(|part| has_part(line, part))
    })
}

/// True when `line` has `part` with no letter or `_` behind it.
fn has_part(line: &str, part: &str) -> bool {
    line.match_indices(part).any(|(at, _)| {
        let after = &line[at + part.len()..];
        part.ends_with(')') || !after.starts_with(|c: char| c.is_alphanumeric() || c == '_')
    })
}

/// Printing, and the standard streams, are `src/cli`'s.
pub(crate) fn printing(file: &File) -> Vec<String> {
    if file.path.starts_with("src/cli/") {
        return Vec::new();
    }
    let macros = ["print", "println", "eprint", "eprintln", "dbg"].map(|name| format!("{name}!"));
    complain(file, "prints", |line| {
        macros.iter().any(|name| has_word(&line.replace('!', "! "), name))
            || ["io::stdout", "io::stderr"].iter().any(|stream| line.contains(stream))
    })
}

/// A Rust file begins with `//!` and what it is.
pub(crate) fn header(file: &File) -> Vec<String> {
    let first = file.text.lines().next().unwrap_or_default();
    match file.is_rust() && first.strip_prefix("//! ").is_none_or(|words| words.trim().is_empty()) {
        true => vec![format!("{}: does not begin with `//! ` and what it is", file.path)],
        false => Vec::new(),
    }
}

/// Code that people wrote is at most [`LINES`] lines a file.
pub(crate) fn length(file: &File) -> Vec<String> {
    let is_program = file.is_rust() || !file.path.rsplit('/').next().is_some_and(|name| name.contains('.'));
    let is_generated = file.path.starts_with("src/cpython/layout/tables/");
    let lines = file.text.lines().count();
    match is_program && !is_generated && lines > LINES {
        true => vec![format!("{}: {lines} lines, more than {LINES}", file.path)],
        false => Vec::new(),
    }
}

/// Numbers of tickets and home directories mean nothing to a reader elsewhere.
pub(crate) fn words(file: &File) -> Vec<String> {
    let mut complaints = Vec::new();
    for (number, line) in file.text.lines().enumerate() {
        let lower = line.to_lowercase();
        if names_ticket(&lower) || names_home(&lower) {
            complaints.push(format!("{}:{}: {}", file.path, number + 1, line.trim()));
        }
    }
    complaints
}

fn names_ticket(line: &str) -> bool {
    let digit = |text: &str| text.starts_with(|c: char| c.is_ascii_digit());
    let after = |word: &str| line.match_indices(word).any(|(at, _)| digit(&line[at + word.len()..]));
    let hash = |(at, _): (usize, &str)| {
        let before = line[..at].chars().next_back().unwrap_or(' ');
        digit(&line[at + 1..]) && (before == '(' || before == ' ')
    };
    after("issue ") || after("issue #") || after("issues/") || line.match_indices('#').any(hash)
}

fn names_home(line: &str) -> bool {
    let homes = [concat!("/ro", "ot/"), concat!("/ho", "me/")];
    let begins = |before: &str| !before.ends_with(|c: char| c.is_alphanumeric() || "_-./{}$".contains(c));
    homes.iter().any(|home| line.match_indices(home).any(|(at, _)| begins(&line[..at])))
}
