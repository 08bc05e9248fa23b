//! The files of the repository, and Rust code without its comments and strings.

use std::fs;
use std::path::{Path, PathBuf};

/// Folders that are no part of the repository, beside cargo's.
const LEFT_OUT: &[&str] = &[".git", "__pycache__", "artifacts", "corpus"];

/// A text file.
pub(crate) struct File {
    /// From the repository's root, with `/` between the parts.
    pub(crate) path: String,
    pub(crate) text: String,
    /// The text of a Rust file with comments blanked out and strings emptied; line breaks and positions stay.
    pub(crate) code: String,
}

impl File {
    pub(crate) fn new(path: &str, text: &str) -> File {
        let code = if path.ends_with(".rs") { code_of(text) } else { String::new() };
        File { path: path.to_owned(), text: text.to_owned(), code }
    }

    pub(crate) fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }
}

/// The repository's root.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// All text files below these folders; "" is the whole repository. A folder that is not there has none.
pub(crate) fn repository(folders: &[&str]) -> Vec<File> {
    let mut paths = Vec::new();
    for folder in folders {
        list(&root().join(folder), &mut paths);
    }
    paths.sort();
    let file = |path: PathBuf| {
        let text = fs::read_to_string(&path).ok()?;
        let path = path.strip_prefix(root()).ok()?.to_string_lossy().into_owned();
        Some(File::new(&path, &text))
    };
    paths.into_iter().filter_map(file).collect()
}

fn list(folder: &Path, paths: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        let is_cargos = path.join("CACHEDIR.TAG").exists();
        let left_out = is_cargos || LEFT_OUT.iter().any(|name| path.file_name().is_some_and(|own| own == *name));
        match entry.file_type() {
            Ok(kind) if kind.is_dir() && !left_out => list(&path, paths),
            Ok(kind) if kind.is_file() => paths.push(path),
            _ => {}
        }
    }
}

/// Where the lexer is.
enum State {
    Code,
    Comment,
    Block,
    Text,
    /// A raw string that ends with a quote and this many `#`.
    Raw(usize),
}

/// Blanks out comments and what is between quotes. Good enough for formatted code: block comments do not nest.
fn code_of(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let at = |i: usize| chars.get(i).copied().unwrap_or('\0');
    let hashes = |from: usize| (from..).take_while(|i| at(*i) == '#').count();
    let (mut state, mut out, mut i) = (State::Code, String::new(), 0);
    while i < chars.len() {
        let (mut taken, mut shown) = (1, true);
        match state {
            State::Code => match (at(i), at(i + 1)) {
                ('/', '/') => (state, shown) = (State::Comment, false),
                ('/', '*') => (state, shown) = (State::Block, false),
                ('r', '"' | '#') if at(i + 1 + hashes(i + 1)) == '"' => {
                    taken = 2 + hashes(i + 1);
                    state = State::Raw(taken - 2);
                }
                ('"', _) => state = State::Text,
                // A character literal, not a lifetime.
                ('\'', '\\') => taken = 3 + (i + 3..).take_while(|j| at(*j) != '\'').count(),
                ('\'', _) if at(i + 2) == '\'' => taken = 3,
                _ => {}
            },
            State::Comment => (shown, state) = if at(i) == '\n' { (true, State::Code) } else { (false, state) },
            State::Block if (at(i), at(i + 1)) == ('*', '/') => (taken, shown, state) = (2, false, State::Code),
            State::Block => shown = false,
            State::Text => match at(i) {
                '\\' => (taken, shown) = (2, false),
                '"' => state = State::Code,
                _ => shown = false,
            },
            State::Raw(n) if at(i) == '"' && hashes(i + 1) >= n => (taken, state) = (1 + n, State::Code),
            State::Raw(_) => shown = false,
        }
        for c in (i..i + taken).map(at) {
            out.push(if shown || c == '\n' { c } else { ' ' });
        }
        i += taken;
    }
    out
}

#[test]
fn every_folder_of_the_source_is_looked_at() {
    let files = repository(&["src"]);
    for path in ["src/lib.rs", "src/target/cache.rs", "src/cpython/layout/tables/v3_14.rs"] {
        assert!(files.iter().any(|file| file.path == path), "{path} is left out");
    }
}

#[test]
fn comments_and_strings_are_no_code() {
    assert_eq!(code_of("a // b\nc"), "a     \nc");
    assert_eq!(code_of("a /* b */ c"), "a         c");
    assert_eq!(code_of(r#"f("x\"y", 'z', '"', '\n') // w"#), r#"f("    ", 'z', '"', '\n')     "#);
    assert_eq!(code_of("r#\"a\"b\"# c"), "r#\"   \"# c");
    assert_eq!(code_of("fn f<'a>(x: &'a str) { \"//\" }"), "fn f<'a>(x: &'a str) { \"  \" }");
}
