//! The code that runs around a script in the target, without an injection: a program of ours runs it in every interpreter, and
//! says what is different afterwards. What the script did comes back by the channel.

use std::fs::File;

use pyattach::inject::bootstrap::{self, Place};
use pyattach::inject::channel::{Channel, Event, ScriptExit, Stream};
use pyattach::inject::{Kind, Script};
use serde_json::{Value, json};

use crate::support::registry::Interpreter;
use crate::support::stage::Stage;
use crate::support::target::Target;
use crate::support::{Failed, Outcome, ensure};
use crate::{Scenario, everywhere};

mod cases;
mod recipes;

pub(crate) const SCENARIOS: &[Scenario] = &[
    Scenario { name: "exec_bootstrap", exists: everywhere, run: all },
    Scenario { name: "exec_recipes", exists: everywhere, run: recipes::all },
];

/// One script, and what must come of it.
struct Case {
    name: &'static str,
    /// Python that the driver runs before.
    setup: &'static str,
    /// And after.
    undo: &'static str,
    /// In which way the driver runs it: see its `HOW`.
    how: &'static str,
    kind: Kind,
    namespace: Option<&'static str>,
    script: &'static [u8],
    /// Changes to the rendered text, and to where the channel is said to be.
    twist: Twist,
    /// All that the channel says, in the words of [`told`].
    told: &'static [&'static str],
    /// The script makes objects that know each other: a function and its namespace. All else must be gone by itself.
    circles: bool,
    /// What the driver's answer must have beside.
    answer: fn(&Value) -> bool,
}

/// What is wrong with the request.
#[derive(Clone, Copy, PartialEq)]
enum Twist {
    None,
    /// The descriptor is another file.
    OtherFile,
    /// The process is another one, a child.
    OtherProcess,
    /// Its time is over.
    Late,
    /// It has run before.
    Again,
    /// Little may be printed.
    Small,
    /// The text comes from a descriptor that is to be closed.
    Text,
}

const CASE: Case = Case {
    name: "",
    setup: "",
    undo: "",
    how: "main",
    kind: Kind::Exec,
    namespace: None,
    script: b"",
    twist: Twist::None,
    told: &["done"],
    circles: false,
    answer: |_| true,
};

/// Runs all cases in one process, in this order, and says which failed.
fn all(interpreter: &Interpreter, stage: &Stage) -> Outcome {
    let mut target = Target::start(interpreter, stage, &["exec_driver.py"])?;
    let mut failures = Vec::new();
    for case in cases::CASES {
        match run(case, &mut target, interpreter.has_gil()) {
            Ok(()) => {}
            Err(failed) => failures.push(format!("{}: {}", case.name, failed.message().unwrap_or("?"))),
        }
    }
    ensure!(failures.is_empty(), "{} of {} cases:\n{}", failures.len(), cases::CASES.len(), failures.join("\n"));
    target.finish()?;
    Ok(())
}

/// One request: how the driver is to go about it, and the text made for the channel that it makes. Gives what the channel said,
/// in the words of [`tell`], and what the driver did.
fn request(
    target: &mut Target,
    (setup, undo, how): (&str, &str, &str),
    text: impl FnOnce(Place, u64) -> String,
) -> Result<(Vec<String>, Value), Failed> {
    target.tell(&format!("{}\n", json!({"setup": setup, "undo": undo, "how": how})))?;
    let place: Value = serde_json::from_str(&target.line()?)?;
    let number = |name: &str| place[name].as_u64().ok_or_else(|| Failed::from(format!("no {name} in {place}")));
    let fd = i32::try_from(number("fd")?)?;
    let file = File::open(format!("/proc/{}/fd/{fd}", target.pid))?;
    let now = number("now")?;
    let place = Place {
        fd,
        text_fd: None,
        device: number("device")?,
        inode: number("inode")?,
        start: HEAD,
        ns_pid: i32::try_from(number("pid")?)?,
        deadline_ns: Some(now + 3_600_000_000_000),
    };
    target.tell(&format!("{}\n", json!({ "text": text(place, now) })))?;
    let answer: Value = serde_json::from_str(&target.line()?)?;
    let mut told = Vec::new();
    Channel::new(file, HEAD).poll(&mut |event| tell(&mut told, event))?;
    Ok((told, answer))
}

/// True when the text is as expected, where `*` stands for anything at its beginning or end.
fn fits(told: &str, expected: &str) -> bool {
    match (expected.strip_prefix('*'), expected.strip_suffix('*')) {
        (Some(part), _) => told.contains(part.trim_end_matches('*')),
        (None, Some(start)) => told.starts_with(start),
        (None, None) => told == expected,
    }
}

fn run(case: &Case, target: &mut Target, gil: bool) -> Outcome {
    let text = |mut place: Place, now: u64| {
        match case.twist {
            Twist::OtherFile => place.inode += 1,
            Twist::OtherProcess => place.ns_pid += 1,
            Twist::Late => place.deadline_ns = Some(now),
            Twist::Again => place.start -= 1,
            Twist::Text => place.text_fd = Some(TEXT_FD),
            Twist::None | Twist::Small => {}
        }
        let script = Script {
            source: case.script.to_vec(),
            name: "some script.py".into(),
            file: "/home of/some script.py".into(),
            arguments: vec!["-x".into(), "it's".into()],
            namespace: case.namespace.map(str::to_owned),
            kind: case.kind,
        };
        let text = bootstrap::render(&script, &place);
        match case.twist {
            Twist::Small => text.replace(&format!("'LIMIT':{}", bootstrap::OUTPUT_BYTES), "'LIMIT':10"),
            _ => text,
        }
    };
    let (told, answer) = request(target, (case.setup, case.undo, case.how), text)?;
    let all = told.len() == case.told.len() && told.iter().zip(case.told).all(|(told, expected)| fits(told, expected));
    ensure!(all, "the channel said {told:#?}; the program {answer}");
    let unchanged = answer["changed"].as_object().is_some_and(serde_json::Map::is_empty);
    ensure!(unchanged, "not as before: {:#}", answer["changed"]);
    ensure!(answer["closed"] == (case.twist != Twist::OtherFile), "the descriptor: {answer}");
    ensure!(answer["alive"] == false, "an object of the application is kept: {answer}");
    // Without a GIL functions are freed by the collector only.
    ensure!(answer["garbage"] == 0 || case.circles || !gil, "garbage: {answer}");
    ensure!((case.answer)(&answer), "the program says {answer}");
    Ok(())
}

/// Where the driver has records begin.
const HEAD: u64 = 64;
/// A number at which a case opens a file.
const TEXT_FD: i32 = 99;

/// An event as a text; output is joined, and what differs from run to run is left out.
fn tell(told: &mut Vec<String>, event: Event) {
    let text = match event {
        Event::Started { ident: 0, .. } => "started nowhere".to_owned(),
        Event::Started { .. } => return,
        Event::Output(stream, bytes) => {
            let name = if stream == Stream::Stdout { "out: " } else { "err: " };
            let piece = String::from_utf8_lossy(&bytes).into_owned();
            match told.last_mut().filter(|last| last.starts_with(name)) {
                Some(last) => return last.push_str(&piece),
                None => format!("{name}{piece}"),
            }
        }
        Event::OutputLimit => "limit".into(),
        Event::Thrown(thrown) => {
            format!("thrown: {} / {} / {}", thrown.kind, thrown.message.replace('\n', "|"), thrown.traceback)
        }
        Event::Exited(ScriptExit::Plain) => "exit".into(),
        Event::Exited(ScriptExit::Code(code)) => format!("exit {code}"),
        Event::Exited(ScriptExit::Text(text)) => format!("exit: {text}"),
        Event::Value(value) => {
            let json = value.json.map_or_else(|| "-".into(), |json| json.get().to_owned());
            let repr: String = value.repr.chars().take(60).collect();
            format!("{} {repr} {} {json}", value.kind, value.repr_chars)
        }
        Event::SignalPassedOn(signal) => format!("signal {signal}"),
        Event::Done { .. } => "done".into(),
    };
    told.push(text);
}
