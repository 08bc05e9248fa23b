//! Local variables: their names and kinds, their values as Python's own `repr` has them, secrets.

use std::process::Command;

use serde_json::Value;

use crate::support::registry::{self, Interpreter};
use crate::support::stage::{self, Stage};
use crate::support::target::Target;
use crate::support::{Failed, Outcome, attach, ensure};
use crate::{Scenario, everywhere};

pub(crate) const SCENARIOS: &[Scenario] = &[
    Scenario { name: "values", exists: everywhere, run: values },
    Scenario { name: "values_of_running", exists: everywhere, run: running },
    Scenario { name: "variables", exists: everywhere, run: variables },
    Scenario { name: "arrays", exists: has_numpy, run: arrays },
    Scenario { name: "secrets", exists: everywhere, run: secrets },
    Scenario { name: "locals_not_asked_for", exists: everywhere, run: not_asked_for },
];

/// Limits that nothing in the programs reaches.
const ALL: &[&str] = &[
    "--locals",
    "--locals-depth",
    "12",
    "--locals-items",
    "1000",
    "--locals-chars",
    "100000",
    // Tests share their processors; values are read for half of this.
    "--max-pause",
    "30000",
];

/// The frame of a function, by its bare name.
fn frame<'s>(seen: &'s Value, function: &str) -> Result<&'s Value, Failed> {
    let threads = seen["threads"].as_array().into_iter().flatten();
    let mut frames = threads.flat_map(|thread| thread["frames"].as_array().into_iter().flatten());
    frames.find(|frame| frame["name"] == function).ok_or_else(|| format!("no frame of {function}").into())
}

fn local<'f>(frame: &'f Value, name: &str) -> &'f Value {
    frame["locals"].as_array().into_iter().flatten().find(|local| local["name"] == name).unwrap_or(&Value::Null)
}

/// All values are as the program says, and there are enough of them.
fn ensure_as_said(target: &Target, least: usize) -> Outcome {
    let seen = attach::snapshot(target.pid, ALL)?;
    let frame = frame(&seen, "hold")?;
    let expected = target.expect["values"].as_object().ok_or("nothing expected")?;
    ensure!(expected.len() >= least, "only {} values", expected.len());
    let mut differences = Vec::new();
    for (name, text) in expected {
        let found = &local(frame, name)["repr"];
        if found != text {
            differences.push(format!("{name}: {text} / {found}"));
        }
    }
    ensure!(differences.is_empty(), "{} differ: said / seen:\n{}", differences.len(), differences.join("\n"));
    Ok(())
}

/// For these there is a numpy, with the structures of 1.x and of 2.x.
fn has_numpy(interpreter: &Interpreter) -> bool {
    matches!(&*interpreter.name, "3.11" | "3.13")
}

fn arrays(interpreter: &Interpreter, stage: &Stage) -> Outcome {
    let numpy = registry::tool(&format!("numpy-{}", interpreter.name))?;
    let copy = stage::directory_in(&interpreter.root)?;
    let mut site = numpy.clone();
    if interpreter.is_in_chroot() {
        let status = Command::new("cp").arg("-r").arg(&numpy).arg(copy.path()).status()?;
        ensure!(status.success(), "cannot copy {}", numpy.display());
        site = stage::inside(&interpreter.root, &copy.path().join("site"));
    }
    let target = Target::start(interpreter, stage, &["arrays.py", site.to_str().ok_or("no path")?])?;
    ensure_as_said(&target, 50)
}

fn values(interpreter: &Interpreter, stage: &Stage) -> Outcome {
    let target = Target::start(interpreter, stage, &["values.py"])?;
    ensure_as_said(&target, 350)?;
    // Abbreviated: within its limits, whatever the value is.
    let seen = attach::snapshot(target.pid, &["--locals", "--locals-items", "3", "--locals-chars", "50"])?;
    for local in self::frame(&seen, "hold")?["locals"].as_array().into_iter().flatten() {
        let chars = local["repr"].as_str().unwrap_or_default().chars().count();
        ensure!((1..600).contains(&chars), "{chars} characters: {local}");
    }
    let text = attach::stack(target.pid, &["--locals"])?.text();
    ensure!(text.contains("\n      v000 = None\n"), "no variable in the text:\n{text}");
    Ok(())
}

/// The same while another thread runs, so that it has to be stopped.
fn running(interpreter: &Interpreter, stage: &Stage) -> Outcome {
    let target = Target::start(interpreter, stage, &["values.py", "busy"])?;
    let seen = attach::snapshot(target.pid, ALL)?;
    ensure!(seen["snapshot"]["mode"] != "none", "nothing was stopped: {}", seen["snapshot"]);
    let frame = frame(&seen, "hold")?;
    for (name, text) in target.expect["values"].as_object().ok_or("nothing expected")? {
        let found = &local(frame, name)["repr"];
        ensure!(found == text, "{name}: {text} / {found}");
    }
    Ok(())
}

fn variables(interpreter: &Interpreter, stage: &Stage) -> Outcome {
    let target = Target::start(interpreter, stage, &["variables.py"])?;
    let seen = attach::snapshot(target.pid, ALL)?;
    for (function, expected) in target.expect["variables"].as_object().ok_or("nothing expected")? {
        let frame = frame(&seen, function)?;
        let expected = expected.as_object().ok_or("no variables")?;
        for (name, expected) in expected {
            let found = local(frame, name);
            ensure!(found["kind"] == expected[0], "{function}: {name}: {expected} / {found}");
            let is_text = expected[1].is_null() || found["repr"] == expected[1];
            ensure!(is_text, "{function}: {name}: {expected} / {found}");
        }
        let unexpected = frame["locals"].as_array().into_iter().flatten().find(|local| {
            let name = local["name"].as_str().unwrap_or_default();
            !expected.contains_key(name) && !name.starts_with("__") && name != "."
        });
        ensure!(unexpected.is_none(), "{function}: {unexpected:?} is not there");
    }
    let exception = &seen["threads"][0]["exception"];
    ensure!(exception["type"] == "KeyError" && exception["repr"] == "KeyError('missing', 7)", "handles {exception}");
    let text = attach::stack(target.pid, &["--locals"])?.text();
    ensure!(text.contains("\n  Handling: KeyError('missing', 7)\n"), "no exception in the text:\n{text}");
    Ok(())
}

fn secrets(interpreter: &Interpreter, stage: &Stage) -> Outcome {
    let target = Target::start(interpreter, stage, &["secrets.py"])?;
    let prefix = target.expect["secret_prefix"].as_str().ok_or("no prefix")?;
    let hidden = target.expect["secrets"].as_array().ok_or("no secrets")?;
    ensure!(hidden.len() > 65, "only {} secrets", hidden.len());
    let hexadecimal: String = prefix.bytes().map(|byte| format!("{byte:02x}")).collect();
    for arguments in [ALL, &["--locals"], &["--locals", "--locals-chars", "30"], &[ALL, &["--json"]].concat()] {
        let answer = attach::stack(target.pid, arguments)?;
        answer.ensure_code(&[0])?;
        let text = answer.text();
        for line in text.split("\n").flat_map(|line| line.split("},{")).filter(|line| !line.contains("\"cmdline\"")) {
            ensure!(!line.contains(prefix) && !line.contains(&hexadecimal), "a secret with {arguments:?}: {line}");
        }
        ensure!(text.contains("<redacted>"), "nothing is redacted with {arguments:?}");
    }
    let seen = attach::snapshot(target.pid, ALL)?;
    let connect = frame(&seen, "connect")?;
    for (name, text) in [
        ("password", "<redacted>"),
        ("unset_token", "None"),
        ("shown", "'see me'"),
        ("url", "'postgres://app:<redacted>@db.example:5432/shop'"),
        ("options", "{'db_password': <redacted>, 'visible': 'see me'}"),
        ("data", "Data(password=<redacted>, visible='see me')"),
        ("items", "dict_items([('password', <redacted>), ('api_key', <redacted>), ('visible', 'see me')])"),
        ("values", "dict_values([<redacted>, <redacted>, 'see me'])"),
        ("space", "namespace(token=<redacted>, visible='see me')"),
        ("thread", "<Thread(see me, token=<redacted>, initial)>"),
        ("pairs", "[(b'authorization', <redacted>), ('cookie', <redacted>), ('see', 'me')]"),
    ] {
        let found = &local(connect, name)["repr"];
        ensure!(found == text, "{name}: {text} / {found}");
    }
    let seen = attach::snapshot(target.pid, &[ALL, &["--show-secrets"]].concat())?;
    let shown = serde_json::to_string(&seen)?;
    let missing = hidden.iter().filter(|secret| !shown.contains(secret.as_str().unwrap_or_default())).count();
    // That which is a number, and one beyond the end of what is shown of a text.
    ensure!(missing <= 1, "{missing} of {} secrets are not shown on demand", hidden.len());
    Ok(())
}

fn not_asked_for(interpreter: &Interpreter, stage: &Stage) -> Outcome {
    let target = Target::start(interpreter, stage, &["variables.py"])?;
    let seen = attach::snapshot(target.pid, &[])?;
    ensure!(frame(&seen, "handling")?["locals"].is_null(), "variables that nobody asked for: {seen}");
    ensure!(seen["threads"][0]["exception"].is_null(), "an exception that nobody asked for: {seen}");
    Ok(())
}
