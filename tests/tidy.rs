//! Rules that no compiler checks: which folder may import which, where `unsafe`, version numbers and printing may stand, what
//! every file begins with and how long it may be. Each rule is a function from files to complaints, tried here on the
//! repository, which must give none, and on a file that breaks it, which must give one.
#![allow(clippy::indexing_slicing, reason = "a panic fails the test")]

#[path = "tidy/layers.rs"]
mod layers;
#[path = "tidy/rules.rs"]
mod rules;
#[path = "tidy/source.rs"]
mod source;

use source::{File, repository};

/// Fails with all complaints about the files of the repository that lie below one of these folders.
fn assert_clean(folders: &[&str], rule: impl Fn(&File) -> Vec<String>) {
    let files = repository(folders);
    assert!(!files.is_empty(), "no files below {folders:?}");
    let complaints: Vec<String> = files.iter().flat_map(rule).collect();
    assert!(complaints.is_empty(), "\n{}", complaints.join("\n"));
}

/// Fails unless the rule complains about a file of this path and text, once.
fn assert_catches(rule: impl Fn(&File) -> Vec<String>, path: &str, text: &str) {
    let complaints = rule(&File::new(path, text));
    assert_eq!(complaints.len(), 1, "{path}: {text:?} gave {complaints:?}");
}

/// Fails if the rule complains about a file of this path and text.
fn assert_allows(rule: impl Fn(&File) -> Vec<String>, path: &str, text: &str) {
    assert_eq!(rule(&File::new(path, text)), [""; 0], "{path}: {text:?}");
}

#[test]
fn imports_go_one_way() {
    let layers = layers::Layers::read();
    assert_clean(&["src"], |file| layers.check(file));
    let rule = |file: &File| layers.check(file);
    assert_catches(rule, "src/base/x.rs", "use crate::os::Process;");
    assert_catches(rule, "src/os/x.rs", "fn f(r: &crate::report::Thread) {}");
    assert_catches(rule, "src/target/deep/x.rs", "use super::super::super::cli;");
    assert_catches(rule, "src/elf/x.rs", "use crate::cpython::find;");
    assert_catches(rule, "src/objects/x.rs", "use crate::cpython::{\n    LayoutChoice,\n    Quirks,\n};");
    assert_catches(rule, "src/cpython/quirks.rs", "use super::find::find;");
    assert_catches(rule, "src/cli/x.rs", "use crate::{base::Addr, os::Process};");
    assert_catches(rule, "src/new/x.rs", "");
    assert_allows(rule, "src/elf/x.rs", "use crate::cpython::layout::Offsets; // crate::cli");
    assert_allows(rule, "src/objects/x.rs", "use crate::cpython::{InstanceDict, Quirks};\nuse super::dict;");
    assert_allows(
        rule,
        "src/cpython/quirks.rs",
        "use super::layout::Build;\n#[cfg(test)]\nmod tests { use super::*; }",
    );
    assert_allows(rule, "src/cli/x.rs", "use crate::report::{stack, StackOptions};");
}

#[test]
fn unsafe_code_stands_in_one_file_and_says_why_it_is_sound() {
    assert_clean(&["src", "tests", "examples"], rules::unsafe_is_confined);
    let rule = rules::unsafe_is_confined;
    assert_catches(rule, "src/os/memory.rs", "fn f() { unsafe { g() } }");
    assert_catches(rule, "src/os/sys.rs", "// why\nlet x = unsafe { g() };");
    assert_catches(rule, "src/base/addr.rs", "#![allow(unsafe_code)]");
    assert_allows(rule, "src/os/sys.rs", "// SAFETY: it takes no pointer\n// at all.\nlet x = unsafe { g() };");
    assert_allows(rule, "src/os/memory.rs", "/// Nothing unsafe: \nconst S: &str = \"unsafe\";");
}

#[test]
fn versions_are_compared_in_one_folder() {
    assert_clean(&["src"], rules::version_comparisons);
    let rule = rules::version_comparisons;
    assert_catches(rule, "src/interp/x.rs", "if runtime.version.minor >= 11 {}");
    assert_catches(rule, "src/interp/x.rs", "if runtime.version < LIMIT {}");
    assert_catches(rule, "src/report/x.rs", "match version {");
    assert_catches(rule, "src/report/x.rs", "version.minor_version() == (3, 7)");
    assert_allows(rule, "src/cpython/x.rs", "if runtime.version.minor >= 11 {}");
    assert_allows(rule, "src/report/x.rs", "let version: Option<Version> = report.python.version.clone();");
}

#[test]
fn only_the_command_line_prints() {
    assert_clean(&["src"], rules::printing);
    let rule = rules::printing;
    for text in ["println!(\"x\");", "eprintln!();", "dbg!(x)", "let out = io::stdout();", "std::io::stderr().lock()"] {
        assert_catches(rule, "src/report/x.rs", text);
        assert_allows(rule, "src/cli/x.rs", text);
    }
    assert_allows(rule, "src/report/x.rs", "writeln!(out, \"println!\")?; // print!()");
}

#[test]
fn every_file_begins_with_what_it_is() {
    assert_clean(&["src", "tests", "examples"], rules::header);
    assert_catches(rules::header, "src/x.rs", "use std::fs;\n//! Late.\n");
    assert_catches(rules::header, "src/x.rs", "//!\nuse std::fs;");
    assert_allows(rules::header, "src/x.rs", "//! Files.\n");
    assert_allows(rules::header, "tests/x.py", "");
}

#[test]
fn files_can_be_taken_in() {
    assert_clean(&["src", "tests", "examples", "scripts", "demo", "benches"], rules::length);
    let lines = |n| "x\n".repeat(n);
    assert_catches(rules::length, "src/x.rs", &lines(401));
    assert_catches(rules::length, "scripts/x", &lines(401));
    assert_catches(rules::length, "src/cpython/layout/x.rs", &lines(401));
    assert_allows(rules::length, "src/x.rs", &lines(400));
    assert_allows(rules::length, "src/cpython/layout/tables/v3_14.rs", &lines(500));
    assert_allows(rules::length, "tests/data/offsets.tsv", &lines(500));
}

#[test]
fn nothing_names_the_place_it_was_made_in() {
    assert_clean(&[""], rules::words);
    let rule = rules::words;
    assert_catches(rule, "docs/x.md", concat!("see iss", "ue 12"));
    assert_catches(rule, "src/x.rs", concat!("// fixes #", "7"));
    assert_catches(rule, "docs/x.md", concat!("run `/ro", "ot/bin/x`"));
    assert_catches(rule, "tests/x.py", concat!("open('/ho", "me/me/x')"));
    assert_allows(rule, "docs/x.md", "/proc/PID/root/usr/lib, an issue, # 3 is a comment, $#, ${#x[@]}");
}
