//! What a program said about itself against what the command says about it.

use serde_json::Value;

use super::registry::Interpreter;
use super::target::Target;
use super::{Outcome, ensure};

const FRAME_KEYS: &[&str] = &["function", "name", "module", "file", "line", "kind", "end_line", "column", "end_column"];
const THREAD_KEYS: &[&str] = &["name", "tid", "main", "daemon", "interpreter", "holds_gil", "waits_for_gil"];

/// Fails with every difference between a snapshot and what the target said.
pub(crate) fn ensure_same(interpreter: &Interpreter, target: &Target, seen: &Value) -> Outcome {
    let mut differences = Vec::new();
    process(interpreter, target, seen, &mut differences);
    threads(&target.expect, seen, &mut differences);
    report(differences)
}

/// Fails with every difference between the threads of a snapshot and what the target said.
pub(crate) fn ensure_same_threads(expect: &Value, seen: &Value) -> Outcome {
    let mut differences = Vec::new();
    threads(expect, seen, &mut differences);
    report(differences)
}

pub(crate) fn report(differences: Vec<String>) -> Outcome {
    let (count, shown) = (differences.len(), differences.into_iter().take(12).collect::<Vec<_>>());
    ensure!(count == 0, "{count} differences (said by the program / seen):\n{}", shown.join("\n"));
    Ok(())
}

fn process(interpreter: &Interpreter, target: &Target, seen: &Value, differences: &mut Vec<String>) {
    let expected = &target.expect;
    let mut same = |what: &str, said: &Value, seen: &Value| {
        if said != seen {
            differences.push(format!("{what}: {said} / {seen}"));
        }
    };
    same("schema", &"pyattach.stack/1".into(), &seen["schema"]);
    same("pid", &target.pid.into(), &seen["process"]["pid"]);
    same("command line", &command_line(target.pid), &seen["process"]["cmdline"]);
    same("free-threaded", &expected["python"]["free_threaded"], &seen["python"]["free_threaded"]);
    same("debug build", &expected["python"]["debug_build"], &seen["python"]["debug_build"]);
    same("consistent", &true.into(), &seen["snapshot"]["consistent"]);
    let problems = list(&seen["problems"]).iter().filter(|problem| problem["kind"] != "note").cloned().collect();
    same("problems", &Value::Array(Vec::new()), &Value::Array(problems));
    if let Some(count) = expected.get("native_threads") {
        same("native threads", count, &seen["native_thread_count"]);
    }
    if let Some(collecting) = expected.get("gc_collecting") {
        same("collecting garbage", collecting, &seen["interpreters"][0]["gc_collecting"]);
    }
    if let Some(said) = expected.get("interpreters") {
        let ids = list(&seen["interpreters"]).iter().map(|interpreter| interpreter["id"].clone()).collect();
        same("interpreters", said, &Value::Array(ids));
    }
    let version = seen["python"]["version"].as_str().unwrap_or_default();
    let said = expected["python"]["version"].as_str().unwrap_or_default();
    let rest = version.strip_prefix(said);
    if rest.is_none_or(|rest| rest.starts_with(|c: char| c.is_ascii_digit())) || !interpreter.version.starts_with(said)
    {
        differences.push(format!("version: {said}, {} / {version}", interpreter.version));
    }
}

fn command_line(pid: i32) -> Value {
    let bytes = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    text.trim_end_matches('\0').split('\0').map(str::to_owned).collect()
}

fn threads(expect: &Value, seen: &Value, differences: &mut Vec<String>) {
    let seen = list(&seen["threads"]);
    let is_seen = |thread: &&Value| seen.iter().any(|other| is_same_thread(thread, other));
    let said: Vec<&Value> =
        list(&expect["threads"]).iter().filter(|thread| thread["optional"] != true || is_seen(thread)).collect();
    let order = |threads: &[&Value]| {
        let one = |thread: &&Value| format!("{}:{}", thread["interpreter"], thread["tid"]);
        threads.iter().map(one).collect::<Vec<_>>().join(" ")
    };
    let (order_said, order_seen) = (order(&said), order(&seen.iter().collect::<Vec<_>>()));
    if order_said != order_seen {
        differences.push(format!("threads: {order_said} / {order_seen}"));
    }
    for thread in said {
        let name = format!("thread {} {}", thread["tid"], thread["name"]);
        match seen.iter().find(|other| is_same_thread(thread, other)) {
            Some(other) => compare_thread(&name, thread, other, differences),
            None => differences.push(format!("{name} is missing")),
        }
    }
}

/// One system thread can run in several interpreters.
fn is_same_thread(one: &Value, other: &Value) -> bool {
    one["tid"] == other["tid"] && one["interpreter"] == other["interpreter"]
}

fn compare_thread(name: &str, said: &Value, seen: &Value, differences: &mut Vec<String>) {
    compare_keys(name, THREAD_KEYS, said, seen, differences);
    if number(&said["ident"]) != number(&seen["ident"]) {
        differences.push(format!("{name}: ident: {} / {}", said["ident"], seen["ident"]));
    }
    if seen["consistent"] == false || !list(&seen["problems"]).is_empty() {
        differences.push(format!("{name}: consistent: {}, problems: {}", seen["consistent"], seen["problems"]));
    }
    let frames = list(&seen["frames"]);
    if let Some(outermost) = said.get("outermost") {
        if frames.last().map(|frame| &frame["name"]) != Some(outermost) {
            differences.push(format!("{name}: outermost {outermost} / {}", seen["frames"]));
        }
        return;
    }
    compare_frames(name, list(&said["frames"]), frames, differences);
}

/// Compares two stacks.
pub(crate) fn compare_frames(name: &str, said: &[Value], frames: &[Value], differences: &mut Vec<String>) {
    if said.len() != frames.len() {
        let names =
            |frames: &[Value]| frames.iter().take(20).map(|f| f["function"].to_string()).collect::<Vec<_>>().join(" ");
        differences.push(format!(
            "{name}: {} / {} frames: {} / {}",
            said.len(),
            frames.len(),
            names(said),
            names(frames)
        ));
    }
    for (index, (said, seen)) in said.iter().zip(frames).enumerate() {
        let name = format!("{name} frame {index} {}", said["function"]);
        compare_keys(&name, FRAME_KEYS, said, seen, differences);
    }
}

/// Compares what the program said; what it left out may be anything, what it called null must not be there.
pub(crate) fn compare_keys(name: &str, keys: &[&str], said: &Value, seen: &Value, differences: &mut Vec<String>) {
    for key in keys {
        match said.get(key) {
            // Some instructions of a running frame belong to no line.
            Some(_) if *key == "line" && seen["line"].is_null() && said["running"] == true => {}
            Some(value) if *value != seen[*key] => {
                differences.push(format!("{name}: {key}: {value} / {}", seen[*key]));
            }
            _ => {}
        }
    }
}

pub(crate) fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn number(value: &Value) -> Option<u64> {
    u64::from_str_radix(value.as_str()?.strip_prefix("0x")?, 16).ok()
}
