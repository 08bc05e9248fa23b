//! Programs × interpreters: what the command says about a live process against what the process says about itself.
//!
//! One test per program and interpreter, `live::<program>::<interpreter>`. A program that cannot exist on an interpreter
//! (own GILs before 3.12) has no test there, by the `exists` function beside it. A missing interpreter is a failed test.
#![allow(clippy::indexing_slicing, reason = "an absent key of a JSON value reads as null")]

mod blocked;
mod churn;
mod embedded;
mod exec_bootstrap;
mod exec_command;
mod exec_matrix;
mod exec_situation;
mod exec_uvloop;
mod exec_uwsgi;
mod gil;
mod lifetime;
mod listing;
mod output;
mod pyspy;
mod samples;
mod shapes;
#[path = "../support/mod.rs"]
mod support;
mod tasks;
mod tasks_damaged;
mod tasks_read;
mod tasks_views;
mod tasks_why;
mod values;
mod waits;

use std::collections::HashMap;
use std::process::ExitCode;
use std::sync::Arc;

use libtest_mimic::{Arguments, Trial};
use support::registry::{self, Interpreter};
use support::stage::Stage;
use support::{Failed, Outcome};

/// A test to be run on each interpreter for which it exists.
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    pub(crate) exists: fn(&Interpreter) -> bool,
    pub(crate) run: fn(&Interpreter, &Stage) -> Outcome,
}

/// For scenarios and shapes that every supported version has.
pub(crate) fn everywhere(_: &Interpreter) -> bool {
    true
}

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let trials = trials().unwrap_or_else(|failed| vec![Trial::test("live::interpreters", || Err(failed))]);
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn trials() -> Result<Vec<Trial>, Failed> {
    let interpreters = registry::interpreters()?;
    let mut trials = required(&interpreters);
    trials.push(exec_uvloop::each_is_known(&interpreters));
    let mut stages = HashMap::new();
    for interpreter in interpreters.into_iter().filter(Interpreter::is_supported) {
        if !stages.contains_key(&interpreter.root) {
            stages.insert(interpreter.root.clone(), Arc::new(Stage::new(&interpreter.root)?));
        }
        let stage = stages.get(&interpreter.root).ok_or("no stage")?;
        trials.extend(of_interpreter(&Arc::new(interpreter), stage));
    }
    trials.extend(embedded::trials()?);
    trials.extend(exec_uwsgi::trials()?);
    Ok(trials)
}

fn of_interpreter(interpreter: &Arc<Interpreter>, stage: &Arc<Stage>) -> Vec<Trial> {
    let mut trials = Vec::new();
    for shape in shapes::SHAPES.iter().filter(|shape| (shape.exists)(interpreter)) {
        let (interpreter, stage) = (Arc::clone(interpreter), Arc::clone(stage));
        let name = format!("live::{}::{}", shape.name, interpreter.name);
        trials.push(Trial::test(name, move || shapes::run(shape, &interpreter, &stage)));
    }
    for state in exec_matrix::STATES.iter().filter(|state| state.exists(interpreter)) {
        let (interpreter, stage) = (Arc::clone(interpreter), Arc::clone(stage));
        let name = format!("live::exec_matrix::{}::{}", state.name, interpreter.name);
        trials.push(Trial::test(name, move || exec_matrix::run(state, &interpreter, &stage)));
    }
    let scenarios = [gil::SCENARIOS, lifetime::SCENARIOS, output::SCENARIOS, churn::SCENARIOS, pyspy::SCENARIOS];
    let more = [
        samples::SCENARIOS,
        listing::SCENARIOS,
        waits::SCENARIOS,
        values::SCENARIOS,
        blocked::SCENARIOS,
        tasks_damaged::SCENARIOS,
        tasks_read::SCENARIOS,
        tasks_why::SCENARIOS,
        tasks::SCENARIOS,
        tasks_views::SCENARIOS,
        exec_situation::SCENARIOS,
        exec_bootstrap::SCENARIOS,
        exec_command::SCENARIOS,
    ];
    let scenarios = scenarios.into_iter().chain(more);
    for scenario in scenarios.flatten().filter(|scenario| (scenario.exists)(interpreter)) {
        let (interpreter, stage) = (Arc::clone(interpreter), Arc::clone(stage));
        let name = format!("live::{}::{}", scenario.name, interpreter.name);
        trials.push(Trial::test(name, move || (scenario.run)(&interpreter, &stage)));
    }
    trials
}

/// One test for each interpreter the matrix must not be without.
fn required(interpreters: &[Interpreter]) -> Vec<Trial> {
    let mut trials = Vec::new();
    let mut require = |what: String, found: bool| {
        let missing = format!("{what} is missing: run scripts/interpreters");
        let outcome = if found { Ok(()) } else { Err(missing.into()) };
        trials.push(Trial::test(format!("live::interpreters::{what}"), move || outcome));
    };
    for name in registry::REQUIRED_NAMES {
        require((*name).into(), interpreters.iter().any(|interpreter| interpreter.name == *name));
    }
    for kinds in registry::REQUIRED_KINDS {
        let fits =
            |interpreter: &Interpreter| interpreter.is_supported() && kinds.iter().all(|kind| interpreter.is(kind));
        require(kinds.join("+"), interpreters.iter().any(fits));
    }
    trials
}
