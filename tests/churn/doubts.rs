//! The checker must be able to fail: one stack that can exist, and everything that can be wrong with it.

use libtest_mimic::Trial;
use serde_json::{Value, json};

use crate::checker::Facts;
use crate::support::{Outcome, ensure};

type Spoil = fn(&mut Vec<Value>);

const SPOILS: &[(&str, Spoil)] = &[
    ("empty", |frames| frames.clear()),
    ("only_the_start", |frames| drop(frames.drain(..5))),
    ("start_cut_off", |frames| drop(frames.pop())),
    ("start_on_other_line", |frames| frames[5]["line"] = json!(901)),
    ("middle_frame_lost", |frames| drop(frames.remove(2))),
    ("frame_twice", |frames| frames.insert(2, frames[2].clone())),
    ("frames_swapped", |frames| frames.swap(0, 1)),
    ("caller_on_other_line", |frames| frames[3]["line"] = json!(11)),
    ("innermost_outside_function", |frames| frames[0]["line"] = json!(12)),
    ("other_path_below", |frames| frames[2] = frame("x.py", "leaf", 30)),
    ("unknown_function", |frames| frames[0]["name"] = json!("ghost")),
    ("other_qualified_name", |frames| frames[0]["function"] = json!("Other.leaf")),
    ("other_file", |frames| frames[0]["file"] = json!("y.py")),
    ("other_module", |frames| frames[0]["module"] = json!("other")),
    ("other_kind", |frames| frames[0]["kind"] = json!("generator")),
    ("other_columns", |frames| frames[0]["end_column"] = json!(9)),
    ("no_line", |frames| frames[0]["line"] = Value::Null),
    ("no_line_while_it_calls", |frames| frames[3]["line"] = Value::Null),
    ("made_of_two", |frames| frames[1]["file"] = json!("<made-009>")),
    ("made_with_other_name", |frames| frames[1]["name"] = json!("made_009")),
    ("made_on_other_line", |frames| frames[2]["line"] = json!(6)),
    ("worker_on_other_line", |frames| frames[4]["line"] = json!(51)),
    ("worker_lost", |frames| drop(frames.remove(4))),
];

fn frame(file: &str, name: &str, line: i64) -> Value {
    json!({"file": file, "name": name, "function": name, "line": line})
}

/// worker (line 50) calls one_round (10) calls code made with one empty line (module line 4, function line 3), calls leaf.
fn possible() -> Vec<Value> {
    let mut leaf = frame("x.py", "leaf", 30);
    leaf["module"] = json!("__main__");
    leaf["kind"] = json!("function");
    (leaf["end_line"], leaf["column"], leaf["end_column"]) = (json!(30), json!(4), json!(8));
    vec![
        leaf,
        frame("<made-008>", "made_008", 3),
        frame("<made-008>", "<module>", 4),
        frame("x.py", "one_round", 10),
        frame("x.py", "worker", 50),
        frame("threading.py", "run", 900),
        frame("threading.py", "_bootstrap", 800),
    ]
}

fn facts() -> Facts {
    let function = |file: &str, name: &str, kind: &str, lines: &[i64]| {
        json!({"name": name, "qualname": name, "module": "__main__", "file": file, "kind": kind, "lines": lines,
               "positions": [[30, 30, 4, 8]]})
    };
    let lineless = |mut function: Value| {
        function["lineless"] = json!(true);
        function
    };
    let base = |name: &str, line: i64| json!({"file": "threading.py", "name": name, "qualname": name, "line": line});
    let facts = json!({
        "version": [3, 12, 0],
        "made_cycle": 7,
        "worker": {"file": "x.py", "lines": [49, 50, 51], "loop": 50},
        "threads": [{"tid": 1, "base": [base("run", 900), base("_bootstrap", 800)]}],
        "functions": [
            lineless(function("x.py", "one_round", "function", &[9, 10, 11])),
            function("<made>", "<module>", "module", &[1, 3]),
            function("<made>", "made", "function", &[1, 2]),
            function("x.py", "leaf", "function", &[29, 30]),
        ],
        "nodes": [[0, -1, 0], [1, 0, 10], [2, 1, 3], [3, 2, 2], [3, 0, 11]],
    });
    serde_json::from_value(facts).expect("facts in the form the program prints")
}

pub(crate) fn trials() -> Vec<Trial> {
    let mut trials = vec![Trial::test("checker::accepts_what_can_exist", accepts)];
    let spoiled = |&(name, spoil): &(&str, Spoil)| {
        Trial::test(format!("checker::rejects_{name}"), move || {
            let mut frames = possible();
            spoil(&mut frames);
            let facts = facts();
            let verdict = facts.check(&facts.threads[0], &frames);
            ensure!(verdict.is_err(), "a stack that cannot exist was accepted");
            Ok(())
        })
    };
    trials.extend(SPOILS.iter().map(spoiled));
    trials
}

fn accepts() -> Outcome {
    let facts = facts();
    facts.check(&facts.threads[0], &possible())?;
    // Every stack on the way there exists too.
    for inner in 1..5 {
        facts.check(&facts.threads[0], &possible()[inner..])?;
    }
    // `one_round` is said to have instructions that belong to no line.
    let mut innermost = possible().split_off(3);
    innermost[0]["line"] = Value::Null;
    facts.check(&facts.threads[0], &innermost)?;
    Ok(())
}
