//! Text for people, and the options that select and order what is shown.

use serde_json::Value;

use crate::support::registry::Interpreter;
use crate::support::stage::Stage;
use crate::support::target::Target;
use crate::support::{Outcome, attach, ensure};
use crate::{Scenario, everywhere};

pub(crate) const SCENARIOS: &[Scenario] = &[
    Scenario { name: "text", exists: everywhere, run: text },
    Scenario { name: "text_of_hostile_names", exists: everywhere, run: hostile },
    Scenario { name: "text_of_deep_stack", exists: everywhere, run: deep },
    Scenario { name: "text_folded", exists: everywhere, run: folded },
    Scenario { name: "selection", exists: everywhere, run: selection },
];

fn run(target: &Target, arguments: &[&str]) -> Result<String, crate::Failed> {
    let answer = attach::stack(target.pid, arguments)?;
    answer.ensure_code(&[0])?;
    Ok(answer.text())
}

/// `File "...", line N, in function` for each frame of a thread, as a traceback has it, innermost first.
fn lines(thread: &Value) -> Vec<String> {
    let frames = thread["frames"].as_array().into_iter().flatten();
    let line = |f: &Value| {
        let text = |key: &str| f[key].as_str().unwrap_or_default().to_owned();
        format!("File \"{}\", line {}, in {}", text("file"), f["line"], text("function"))
    };
    frames.map(line).collect()
}

/// Fails unless the parts stand in the text one after the other.
fn ensure_order(text: &str, parts: &[String]) -> Outcome {
    let mut rest = text;
    for part in parts {
        let at = rest.find(part.as_str()).ok_or_else(|| format!("{part} is missing or misplaced in:\n{text}"))?;
        rest = rest.get(at + part.len()..).unwrap_or_default();
    }
    Ok(())
}

/// Every frame in the order of a traceback, the source line below it; reversed on demand.
fn text(interpreter: &Interpreter, stage: &Stage) -> Outcome {
    let target = Target::start(interpreter, stage, &["plain.py"])?;
    let mut expected = lines(&target.expect["threads"][0]);
    let shown = run(&target, &["--reverse"])?;
    ensure_order(&shown, &expected)?;
    expected.reverse();
    let shown = run(&target, &[])?;
    ensure_order(&shown, &expected)?;
    ensure!(shown.contains("self.Item().weigh()"), "no source line in:\n{shown}");
    ensure!(
        shown.contains("main thread") && shown.contains(&target.pid.to_string()),
        "no main thread or pid in:\n{shown}"
    );
    ensure!(!shown.contains('\x1b'), "colour in a file:\n{shown}");
    ensure!(!run(&target, &["--no-source"])?.contains("self.Item().weigh()"), "a source line in spite of --no-source");
    ensure!(run(&target, &["--color", "always"])?.contains('\x1b'), "no colour with --color always");
    Ok(())
}

/// Nothing in a target's names reaches the terminal as a control.
fn hostile(interpreter: &Interpreter, stage: &Stage) -> Outcome {
    let target = Target::start(interpreter, stage, &["escapes.py"])?;
    for arguments in [&["--color", "never"][..], &["--color", "never", "--native-threads", "-v"]] {
        let answer = attach::stack(target.pid, arguments)?;
        answer.ensure_code(&[0])?;
        for text in [answer.text(), answer.stderr.clone()] {
            let bad = |c: char| (c.is_control() && c != '\n') || ('\u{2028}'..='\u{202e}').contains(&c);
            ensure!(!text.contains(bad), "controls in {text:?}");
        }
        ensure!(answer.text().contains("\\x1b[31mred"), "the name is not shown escaped: {answer}");
    }
    Ok(())
}

/// Thousands of frames: the ends are shown, the number left out is said.
fn deep(interpreter: &Interpreter, stage: &Stage) -> Outcome {
    let target = Target::start(interpreter, stage, &["recursion.py", "zigzag", "6000"])?;
    let total = target.expect["threads"][1]["frames"].as_array().map_or(0, Vec::len);
    for (arguments, most) in [(&["--max-frames", "20"][..], 20), (&[], total - 1)] {
        let shown = run(&target, &[&["--thread", "deep", "--no-source"], arguments].concat())?;
        let frames = shown.lines().filter(|line| line.contains("File \"")).count();
        ensure!((5..=most).contains(&frames), "{frames} frames shown with {arguments:?}");
        let missing = (total - frames).to_string();
        let says = shown.lines().any(|line| line.replace([',', '_'], "").contains(&missing));
        ensure!(says, "{missing} frames are left out and it is not said:\n{shown}");
        ensure!(shown.contains("in park") && shown.contains("_bootstrap\n"), "an end is missing in:\n{shown}");
    }
    let shown = run(&target, &["--thread", "deep", "--no-source", "--max-frames", "0", "--no-fold"])?;
    let frames = shown.lines().filter(|line| line.contains("File \"")).count();
    ensure!(frames == total, "{frames} of {total} frames shown with --max-frames 0");
    Ok(())
}

/// Threads with the same stack are shown once, with their number; each on demand.
fn folded(interpreter: &Interpreter, stage: &Stage) -> Outcome {
    let target = Target::start(interpreter, stage, &["many_threads.py", "40"])?;
    let count = |text: &str| text.matches("in handle_even").count();
    let shown = run(&target, &[])?;
    ensure!(count(&shown) == 1 && shown.contains("20"), "folded:\n{shown}");
    let shown = run(&target, &["--no-fold"])?;
    ensure!(count(&shown) == 20, "not folded: {} stacks", count(&shown));
    Ok(())
}

/// Threads by name, system id, Python's id; the main thread; those Python does not know.
fn selection(interpreter: &Interpreter, stage: &Stage) -> Outcome {
    let target = Target::start(interpreter, stage, &["raw_threads.py"])?;
    let said = target.expect["threads"].as_array().ok_or("no threads")?;
    let dummy = said.iter().find(|thread| thread["name"].is_string() && thread["main"] == false).ok_or("no dummy")?;
    let (tid, ident) = (dummy["tid"].to_string(), dummy["ident"].as_str().unwrap_or_default());
    for key in [dummy["name"].as_str().unwrap_or_default(), &tid, ident] {
        let seen = attach::snapshot(target.pid, &["--thread", key])?;
        let tids: Vec<_> = seen["threads"].as_array().into_iter().flatten().map(|thread| &thread["tid"]).collect();
        ensure!(tids == [&dummy["tid"]], "--thread {key} selects {tids:?}");
    }
    let seen = attach::snapshot(target.pid, &["--main"])?;
    ensure!(seen["threads"].as_array().map(Vec::len) == Some(1), "--main selects {}", seen["threads"]);
    ensure!(seen["threads"][0]["tid"] == target.pid, "--main selects {}", seen["threads"][0]["tid"]);
    let seen = attach::snapshot(target.pid, &["--native-threads"])?;
    ensure!(seen["native_threads"].as_array().map(Vec::len) == Some(2), "native threads: {}", seen["native_threads"]);
    Ok(())
}
