//! An adversary that changes its stacks all the time: each stack that is printed must be one that can exist.

use serde_json::Value;

use crate::support::registry::Interpreter;
use crate::support::stage::Stage;
use crate::support::target::Target;
use crate::support::{Outcome, attach, ensure, kernel};
use crate::{Scenario, everywhere};

pub(crate) const SCENARIOS: &[Scenario] = &[
    Scenario { name: "churn_1", exists: everywhere, run: |interpreter, stage| churn(interpreter, stage, "1") },
    Scenario { name: "churn_4", exists: everywhere, run: |interpreter, stage| churn(interpreter, stage, "4") },
];

/// Enough to see a fault of one in five on any interpreter; another test goes deeper on some.
const DUMPS: usize = 15;

fn churn(interpreter: &Interpreter, stage: &Stage, threads: &str) -> Outcome {
    let target = Target::start(interpreter, stage, &["churning.py", threads])?;
    let (mut failures, mut inside) = (Vec::new(), 0);
    for dump in 0..DUMPS {
        let answer = attach::stack(target.pid, &["--json", "--max-frames", "0"])?;
        match answer.ensure_code(&[0]).and_then(|()| Ok(impossible(&answer.json()?, threads)?)) {
            Ok(seen) => inside += seen,
            Err(failed) => failures.push(format!("dump {dump}: {}", failed.message().unwrap_or_default())),
        }
    }
    let shown = failures.iter().take(3).map(String::as_str).collect::<Vec<_>>().join("\n");
    ensure!(failures.is_empty(), "{} of {DUMPS} dumps are wrong:\n{shown}", failures.len());
    ensure!(inside > 0, "none of {DUMPS} dumps saw the threads at work");
    kernel::ensure_left_alone(target.pid)
}

/// Fails if a thread's stack never stood; else says how many stacks were inside a family.
fn impossible(seen: &Value, threads: &str) -> Result<usize, String> {
    let all = seen["threads"].as_array().ok_or("no threads")?;
    let churning: Vec<_> = all.iter().filter(|t| t["name"].as_str().is_some_and(|n| n.starts_with("churns"))).collect();
    if churning.len().to_string() != threads {
        return Err(format!("{} threads seen: {}", churning.len(), seen["threads"]));
    }
    let mut inside = 0;
    for thread in churning {
        let frames = thread["frames"].as_array().ok_or("no frames")?;
        let depth = check(frames).map_err(|why| format!("{why}:\n{}", outline(frames)))?;
        inside += usize::from(depth > 0);
    }
    Ok(inside)
}

fn outline(frames: &[Value]) -> String {
    frames.iter().map(|f| format!("  {} {} line {}\n", f["name"], f["file"], f["line"])).collect()
}

/// The depth inside the family, or why the stack cannot be.
fn check(frames: &[Value]) -> Result<usize, String> {
    let is_family = |frame: &&Value| frame["file"].as_str().is_some_and(|file| file.starts_with("<family "));
    let mut outer = frames.iter().rev().skip_while(|frame| !is_family(frame));
    let callers = frames.iter().rev().take_while(|frame| !is_family(frame)).map(|frame| frame["name"].as_str());
    let callers: Vec<_> = callers.map(Option::unwrap_or_default).collect();
    let Some(first) = outer.next() else { return Ok(0) };
    if callers != ["_bootstrap", "_bootstrap_inner", "run", "churn"] {
        return Err(format!("called by {callers:?}"));
    }
    let family = first["file"].as_str().and_then(|file| file.get(8..9)).unwrap_or("?").to_owned();
    let (mut depth, mut last) = (0, None);
    for frame in std::iter::once(first).chain(outer) {
        let name = frame["name"].as_str().unwrap_or_default();
        if frame["file"] != format!("<family {family}>") || frame["module"] != format!("churning.{family}") {
            return Err(format!("{name} is not of family {family}"));
        }
        if last.is_some_and(|line| line != Some(call_line(depth - 1))) {
            return Err(format!("a caller of {name} is not at its call"));
        }
        if !name.starts_with('<') {
            if name != format!("{family}_{depth}") {
                return Err(format!("{name} at depth {depth}"));
            }
            depth += 1;
        }
        last = Some(frame["line"].as_u64());
    }
    // The innermost function may be at its first line, before its call, or at an instruction that belongs to no line.
    let call = call_line(depth.saturating_sub(1));
    let line = last.flatten().unwrap_or(call);
    if line != call && line + 1 != call { Err(format!("line {line} at depth {depth}")) } else { Ok(depth) }
}

/// Each level's function is three lines long, the call in the last.
fn call_line(level: usize) -> u64 {
    3 * level as u64 + 3
}
