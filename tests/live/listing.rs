//! `ps` on each interpreter: found by what it maps, with the version that the program itself has.

use serde_json::Value;

use crate::support::registry::Interpreter;
use crate::support::stage::Stage;
use crate::support::target::Target;
use crate::support::{Outcome, attach, ensure, kernel};
use crate::{Scenario, everywhere};

pub(crate) const SCENARIOS: &[Scenario] = &[Scenario { name: "listed", exists: everywhere, run: listed }];

fn listed(interpreter: &Interpreter, stage: &Stage) -> Outcome {
    let target = Target::start(interpreter, stage, &["many_threads.py", "3"])?;
    let row = ensure_listed(target.pid, &interpreter.version)?;
    let expected = &target.expect["python"];
    let python = &row["python"];
    ensure!(python["free_threaded"] == expected["free_threaded"], "{expected} {row}");
    ensure!(python["debug_build"] == expected["debug_build"], "{expected} {row}");
    ensure!(row["threads"] == kernel::threads(target.pid)?.len(), "threads: {row}");
    let command = row["cmdline"].as_array().map(Vec::as_slice).unwrap_or_default();
    ensure!(command.first() == Some(&interpreter.python.as_str().into()) && command.len() == 3, "{row}");
    ensure!(row["parent_pid"] == std::process::id() && row["uid"] == 0 && row["user"] == "root", "{row}");
    let age = row["age_seconds"].as_f64().unwrap_or(-1.0);
    ensure!((0.0..3600.0).contains(&age) && row["rss_bytes"].as_u64() > Some(1 << 20), "{row}");
    kernel::ensure_left_alone(target.pid)
}

/// The row of a process, which must have this version (or one that begins so) and no problem.
pub(crate) fn ensure_listed(pid: i32, version: &str) -> Result<Value, crate::Failed> {
    let list = attach::ps()?;
    let row = list["processes"].as_array().into_iter().flatten().find(|process| process["pid"] == pid);
    let row = row.ok_or_else(|| format!("{pid} is not listed: {list}"))?;
    let seen = row["python"]["version"].as_str().unwrap_or_default();
    // An alpha or a candidate says so behind the number.
    let is_same = !version.is_empty()
        && seen.strip_prefix(version).is_some_and(|rest| !rest.starts_with(|c: char| c.is_ascii_digit()));
    ensure!(is_same, "version {version}, seen {row}");
    ensure!(row["problems"] == serde_json::json!([]), "problems: {row}");
    ensure!(row["runtime"].as_str().is_some_and(|words| words.contains(seen)), "{row}");
    Ok(row.clone())
}
