//! An adversary that changes its stacks all the time while it is dumped: every stack shown must be one that can exist.
//!
//! `churn::<interpreter>::<threads>` for the default way of reading, `..._unpaused` for `--pause never`, where a stack may be
//! wrong only if its thread is marked. PYATTACH_CHURN_DUMPS says how many dumps each test makes.
#![allow(clippy::indexing_slicing, clippy::expect_used, reason = "absent keys read as null; a panic fails the test")]

#[path = "churn/checker.rs"]
mod checker;
#[path = "churn/doubts.rs"]
mod doubts;
#[path = "support/mod.rs"]
mod support;

use std::process::ExitCode;

use checker::Facts;
use libtest_mimic::{Arguments, Trial};
use serde_json::Value;
use support::registry::{self, Interpreter};
use support::stage::Stage;
use support::target::{Target, python};
use support::{Failed, Outcome, attach, ensure, kernel};

const INTERPRETERS: &[&str] = &["3.8", "3.11", "3.13", "3.14", "3.15", "3.14t", "3.15t"];
const THREADS: &[usize] = &[1, 4];
const DUMPS: usize = 100;

/// How the target is read, and what that may answer.
#[derive(Clone, Copy)]
struct Mode {
    suffix: &'static str,
    arguments: &'static [&'static str],
    codes: &'static [i32],
}

const MODES: &[Mode] = &[
    Mode { suffix: "", arguments: &[], codes: &[0] },
    Mode { suffix: "_unpaused", arguments: &["--pause", "never"], codes: &[0, 6] },
];

#[derive(Default)]
struct Tally {
    dumps: usize,
    stacks: usize,
    marked: usize,
    failures: Vec<String>,
}

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let mut trials = doubts::trials();
    for &name in INTERPRETERS {
        for &threads in THREADS {
            for &mode in MODES {
                let test = move || churn(&registry::find(name)?, threads, mode);
                trials.push(Trial::test(format!("churn::{name}::{threads}{}", mode.suffix), test));
            }
        }
    }
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn churn(interpreter: &Interpreter, threads: usize, mode: Mode) -> Outcome {
    let dumps = std::env::var("PYATTACH_CHURN_DUMPS").map_or(Ok(DUMPS), |text| text.parse())?;
    let stage = Stage::new(&interpreter.root)?;
    let (target, facts) = start(interpreter, &stage, threads)?;
    let mut tally = Tally::default();
    while tally.dumps < dumps {
        tally.dumps += 1;
        if let Err(why) = dump(&target, &facts, mode, &mut tally) {
            tally.failures.push(format!("dump {}: {}", tally.dumps, why.message().unwrap_or_default()));
        }
    }
    let Tally { stacks, marked, failures, .. } = tally;
    let name = &interpreter.name;
    eprintln!("churn::{name}::{threads}{}: {dumps} dumps, {stacks} stacks, {marked} marked", mode.suffix);
    let shown = failures.iter().take(3).map(String::as_str).collect::<Vec<_>>().join("\n");
    ensure!(failures.is_empty(), "{} problems in {dumps} dumps:\n{shown}", failures.len());
    ensure!(stacks == dumps * threads, "{stacks} stacks in {dumps} dumps");
    kernel::ensure_left_alone(target.pid)
}

/// Starts the program and waits until all its threads are at work.
fn start(interpreter: &Interpreter, stage: &Stage, threads: usize) -> Result<(Target, Facts), Failed> {
    let mut command = python(interpreter);
    command.arg(stage.inside("churn.py")).arg(threads.to_string());
    let target = Target::spawn_unready(command)?;
    let line = target.line()?;
    let facts: Facts = serde_json::from_str(&line).map_err(|error| format!("{error}: {line}"))?;
    for _ in 0..threads {
        let line = target.line()?;
        ensure!(line == "churning", "{line}");
    }
    Ok((target, facts))
}

/// One dump: a failure of the whole is returned, wrong stacks go to the tally.
fn dump(target: &Target, facts: &Facts, mode: Mode, tally: &mut Tally) -> Outcome {
    let answer = attach::stack(target.pid, &[&["--json", "--max-frames", "0"], mode.arguments].concat())?;
    answer.ensure_code(mode.codes)?;
    let json = answer.json()?;
    let shown = json["threads"].as_array().ok_or("no threads")?;
    let is_marked = |thread: &Value| thread["consistent"] == false;
    ensure!(
        json["snapshot"]["consistent"] != false || shown.iter().any(is_marked),
        "the snapshot is inconsistent, and no thread is marked: {}",
        json["snapshot"]
    );
    for thread in &facts.threads {
        let mut found = shown.iter().filter(|shown| shown["tid"] == thread.tid);
        let (Some(seen), None) = (found.next(), found.next()) else {
            let tids: Vec<_> = shown.iter().map(|shown| &shown["tid"]).collect();
            return Err(format!("thread {} not once among {tids:?}; {answer}", thread.tid).into());
        };
        tally.stacks += 1;
        tally.marked += usize::from(is_marked(seen));
        let frames = seen["frames"].as_array().map_or(&[][..], Vec::as_slice);
        let verdict = facts.check(thread, frames);
        if let (Err(why), false) = (verdict, is_marked(seen)) {
            let outline = checker::outline(frames);
            let problems = &seen["problems"];
            tally.failures.push(format!("dump {}: {why}; problems {problems}; the stack:\n{outline}", tally.dumps));
        }
    }
    ensure!(shown.len() == facts.threads.len(), "{} threads, not {}", shown.len(), facts.threads.len());
    Ok(())
}
