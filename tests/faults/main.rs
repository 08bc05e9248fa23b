//! What goes wrong: exit codes, refusals, and that the target is left as it was, whatever becomes of pyattach.
#![allow(clippy::indexing_slicing, reason = "an absent key of a JSON value reads as null")]

mod answers;
mod exec;
mod exec_containers;
mod exec_driver;
mod exec_filtered;
mod exec_killed;
mod exec_places;
mod interrupted;
mod layers;
mod listing;
mod namespaces;
mod refused;
mod sandboxes;
mod shut_down;
#[path = "../support/mod.rs"]
mod support;
mod unread;

use std::process::ExitCode;
use std::sync::LazyLock;

use libtest_mimic::{Arguments, Trial};
use support::registry::{self, Interpreter};
use support::stage::Stage;
use support::target::Target;
use support::{Failed, Outcome};

/// A name and what to do. Each group of tests is a table of these.
pub(crate) type Test = (&'static str, fn() -> Outcome);

fn main() -> ExitCode {
    if let Some(code) = exec_driver::run_if_asked() {
        return code;
    }
    let arguments = Arguments::from_args();
    let mut trials = Vec::new();
    for (group, tests) in [
        ("answers", answers::TESTS),
        ("exec", exec::TESTS),
        ("exec_containers", exec_containers::TESTS),
        ("exec_filtered", exec_filtered::TESTS),
        ("exec_places", exec_places::TESTS),
        ("interrupted", interrupted::TESTS),
        ("layers", layers::TESTS),
        ("listing", listing::TESTS),
        ("namespaces", namespaces::TESTS),
        ("refused", refused::TESTS),
        ("sandboxes", sandboxes::TESTS),
        ("shut_down", shut_down::TESTS),
        ("unread", unread::TESTS),
    ] {
        trials.extend(tests.iter().map(|(name, run)| Trial::test(format!("faults::{group}::{name}"), *run)));
    }
    trials.extend(answers::unsupported());
    trials.extend(exec_killed::trials());
    libtest_mimic::run(&arguments, trials).exit_code()
}

/// The interpreter on which failures that have nothing to do with versions are tried.
pub(crate) fn interpreter() -> Result<&'static Interpreter, Failed> {
    static INTERPRETER: LazyLock<Result<Interpreter, Failed>> = LazyLock::new(|| registry::find("3.11"));
    INTERPRETER.as_ref().map_err(|failed| failed.message().unwrap_or_default().into())
}

/// A program of tests/programs on that interpreter.
pub(crate) fn start(program: &[&str]) -> Result<Target, Failed> {
    let interpreter = interpreter()?;
    Target::start(interpreter, &Stage::new(&interpreter.root)?, program)
}
