//! How `scripts/test` sums up: a sum that overlooks a crash or an ignored test would be worse than none.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "a panic fails the test")]

use std::io::Write;
use std::process::{Command, Stdio};

/// What scripts/lib/tally.awk makes of this output of `cargo test`: passed, and what failed.
fn tally(output: &str) -> (usize, Vec<String>) {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/lib/tally.awk");
    let mut command = Command::new("awk");
    let mut awk = command.args(["-f", script]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    awk.stdin.take().unwrap().write_all(output.as_bytes()).unwrap();
    let said = String::from_utf8(awk.wait_with_output().unwrap().stdout).unwrap();
    let of =
        |word: &str| said.lines().filter_map(|line| line.strip_prefix(word)?.strip_prefix(' ')).collect::<Vec<_>>();
    let failures: Vec<String> = of("failure").into_iter().map(str::to_owned).collect();
    assert_eq!(of("failed"), [failures.len().to_string()], "{said}");
    (of("passed")[0].parse().unwrap(), failures)
}

const PASSES: &str = "
     Running unittests src/lib.rs (target/debug/deps/pyattach-0123)

running 2 tests
test a::b ... ok
test a::c ... ok

test result: ok. 2 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s

   Doc-tests pyattach

running 1 test
test src/lib.rs - (line 4) - compile ... ok

test result: ok. 1 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.10s
";

#[test]
fn passes_of_all_binaries_are_added() {
    assert_eq!(tally(PASSES), (3, vec![]));
}

#[test]
fn failures_are_named() {
    let output = PASSES.replace("a::c ... ok", "a::c ... FAILED").replace("2 passed; 0 failed", "1 passed; 1 failed");
    assert_eq!(tally(&output), (2, vec!["src/lib.rs: a::c".to_owned()]));
}

#[test]
fn failures_that_no_line_names_count() {
    let output = PASSES.replace("2 passed; 0 failed", "1 passed; 1 failed");
    assert_eq!(tally(&output).1.len(), 1);
}

#[test]
fn ignored_tests_are_no_passes() {
    let output =
        PASSES.replace("a::c ... ok", "a::c ... ignored").replace("2 passed; 0 failed; 0", "1 passed; 0 failed; 1");
    assert_eq!(tally(&output), (2, vec!["src/lib.rs: a::c was ignored".to_owned()]));
}

#[test]
fn a_binary_that_crashed_is_a_failure() {
    let output = PASSES.replace("test result: ok. 2 passed", "Segmentation fault: 2");
    assert_eq!(tally(&output), (1, vec!["src/lib.rs ended without a result".to_owned()]));
}

#[test]
fn a_file_of_tests_without_any_is_a_failure() {
    let empty =
        "running 0 tests\n\ntest result: ok. 0 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished";
    assert_eq!(tally(&format!("     Running unittests src/main.rs (target/debug/deps/p-0)\n{empty}")), (0, vec![]));
    let output = format!("     Running tests/live/main.rs (target/debug/deps/live-0)\n{empty}");
    assert_eq!(tally(&output), (0, vec!["tests/live/main.rs has no test".to_owned()]));
}

#[test]
fn no_test_at_all_is_a_failure() {
    assert_eq!(tally("error: could not compile `pyattach`").1.len(), 1);
}
