//! Whether a stack of tests/programs/churn.py can exist, by what that program says about itself.
//!
//! The program lists every path of calls below its `one_round` as nodes of a tree: a function, the node that calls it and
//! the line of that call. A stack is walked from the outermost frame to the innermost one; each frame but the last must
//! stand on the very line from which the next one is called on this path, the last on any line of its function.

use serde::Deserialize;
use serde_json::Value;

/// What the program printed before it began.
#[derive(Debug, Deserialize)]
pub(crate) struct Facts {
    pub(crate) version: Vec<u32>,
    pub(crate) threads: Vec<Thread>,
    made_cycle: i64,
    worker: Worker,
    functions: Vec<Function>,
    /// Function, parent node (-1 for none), line in the parent.
    nodes: Vec<(usize, i64, i64)>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Thread {
    pub(crate) tid: i64,
    /// The frames outside of `worker`, innermost first.
    base: Vec<Base>,
}

#[derive(Debug, Deserialize)]
struct Base {
    file: String,
    name: String,
    qualname: String,
    line: i64,
}

#[derive(Debug, Deserialize)]
struct Worker {
    file: String,
    lines: Vec<i64>,
    /// The one line that calls `one_round`.
    #[serde(rename = "loop")]
    loop_line: i64,
}

/// Stands for the line of an instruction that has none. 0 is a line: made modules begin there.
const NO_LINE: i64 = -1;

#[derive(Debug, Deserialize)]
struct Function {
    name: String,
    qualname: String,
    module: String,
    file: String,
    kind: String,
    lines: Vec<i64>,
    /// Some of its instructions belong to no line.
    #[serde(default)]
    lineless: bool,
    positions: Vec<[i64; 4]>,
}

impl Function {
    fn has_line(&self, line: i64) -> bool {
        self.lines.contains(&line) || (line == NO_LINE && self.lineless)
    }
}

/// A frame as the tool shows it, with the number of a made code object taken out of its names and lines.
#[derive(Debug)]
struct Frame<'a> {
    shown: &'a Value,
    file: String,
    name: String,
    qualname: String,
    /// [`NO_LINE`] where an instruction belongs to none.
    line: i64,
    /// The number in the file name, and the empty lines the code begins with.
    made: Option<(&'a str, i64)>,
}

impl Facts {
    /// Fails, saying why, unless the thread's stack (frames innermost first) can exist.
    pub(crate) fn check(&self, thread: &Thread, frames: &[Value]) -> Result<(), String> {
        let frames = frames.iter().map(|frame| self.read(frame)).collect::<Result<Vec<_>, _>>()?;
        self.check_made_numbers(&frames)?;
        let split = frames.len().checked_sub(thread.base.len()).ok_or("too short for where the thread starts")?;
        let (own, outer) = frames.split_at(split);
        for (frame, base) in outer.iter().zip(&thread.base) {
            self.check_base(frame, base)?;
        }
        let (worker, rest) = own.split_last().ok_or("nothing of the thread's own work")?;
        if worker.name != "worker" || worker.file != self.worker.file {
            return Err(format!("{} instead of worker", worker.name));
        }
        let lines = if rest.is_empty() { &self.worker.lines[..] } else { &[self.worker.loop_line] };
        if !lines.contains(&worker.line) {
            return Err(format!("worker cannot be on line {}", worker.line));
        }
        self.walk(rest)
    }

    /// Follows the frames, innermost first, from the root of the tree.
    fn walk(&self, frames: &[Frame<'_>]) -> Result<(), String> {
        let mut parents = vec![(-1, 0)];
        for (inner, frame) in frames.iter().enumerate().rev() {
            let reached = self.children(&parents, frame);
            if reached.is_empty() {
                return Err(format!("{} (frame {inner}) is not called from there", frame.qualname));
            }
            for &node in &reached {
                self.check_details(node, frame).map_err(|why| format!("frame {inner}: {why}"))?;
            }
            parents = reached.iter().map(|&node| (node as i64, frame.line)).collect();
        }
        Ok(())
    }

    fn children(&self, parents: &[(i64, i64)], frame: &Frame<'_>) -> Vec<usize> {
        let is_child = |&(function, parent, line): &(usize, i64, i64)| {
            let function = &self.functions[function];
            parents.contains(&(parent, line))
                && function.name == frame.name
                && function.file == frame.file
                && (frame.made.is_none() || function.has_line(frame.line))
        };
        self.nodes.iter().enumerate().filter(|(_, node)| is_child(node)).map(|(index, _)| index).collect()
    }

    /// What holds for a frame of this function wherever it is called.
    fn check_details(&self, node: usize, frame: &Frame<'_>) -> Result<(), String> {
        let function = &self.functions[self.nodes[node].0];
        if !function.has_line(frame.line) {
            return Err(format!("{} has no line {}", function.qualname, frame.line));
        }
        let text = |key: &str| frame.shown[key].as_str();
        let expected_name = if self.version >= vec![3, 11] { &function.qualname } else { &function.name };
        if *expected_name != frame.qualname {
            return Err(format!("called {} instead of {expected_name}", frame.qualname));
        }
        if text("kind").is_some_and(|kind| kind != function.kind) {
            return Err(format!("{} is no {:?}", function.qualname, text("kind")));
        }
        if text("module").is_some_and(|module| general(module) != function.module) {
            return Err(format!("{} is not in module {:?}", function.qualname, text("module")));
        }
        self.check_position(function, frame)
    }

    fn check_position(&self, function: &Function, frame: &Frame<'_>) -> Result<(), String> {
        let number = |key: &str| frame.shown[key].as_i64();
        let (Some(column), Some(end), Some(end_line)) = (number("column"), number("end_column"), number("end_line"))
        else {
            return Ok(());
        };
        let skipped = frame.made.map_or(0, |(_, skipped)| skipped);
        // A made module begins on line 0 or 1, whatever empty lines follow.
        let is_start = frame.made.is_some() && frame.line <= 1;
        let position = [frame.line, end_line - skipped, column, end];
        if is_start || function.positions.contains(&position) {
            return Ok(());
        }
        Err(format!("{} has nothing at {position:?} (line, end line, columns)", function.qualname))
    }

    fn check_base(&self, frame: &Frame<'_>, base: &Base) -> Result<(), String> {
        let expected = if self.version >= vec![3, 11] { &base.qualname } else { &base.name };
        let same = frame.name == base.name && frame.qualname == *expected && frame.file == base.file;
        if same && frame.line == base.line {
            return Ok(());
        }
        Err(format!("{} line {} where the thread starts, not {} line {}", frame.name, frame.line, base.name, base.line))
    }

    /// All made frames of a stack belong to one code object, which names itself in its file, functions and module.
    fn check_made_numbers(&self, frames: &[Frame<'_>]) -> Result<(), String> {
        let mut numbers = frames.iter().filter_map(|frame| frame.made).map(|(number, _)| number);
        let Some(number) = numbers.next() else { return Ok(()) };
        if numbers.any(|other| other != number) {
            return Err("frames of two made code objects".into());
        }
        let made = format!("made_{number}");
        for frame in frames.iter().filter(|frame| frame.made.is_some()) {
            for (key, allowed) in [("name", "<module>"), ("function", "<module>"), ("module", made.as_str())] {
                let text = frame.shown[key].as_str().unwrap_or(&made);
                if text != made && text != allowed {
                    return Err(format!("{text} in the code made as {made}"));
                }
            }
        }
        Ok(())
    }

    fn read<'a>(&self, shown: &'a Value) -> Result<Frame<'a>, String> {
        let text = |key: &str| shown[key].as_str().ok_or_else(|| format!("a frame without {key}: {shown}"));
        let file = text("file")?;
        let number = file.strip_prefix("<made-").and_then(|rest| rest.strip_suffix('>'));
        let skipped = number.and_then(|number| number.parse::<i64>().ok()).map(|number| number % self.made_cycle);
        let line = match &shown["line"] {
            Value::Null => NO_LINE,
            line => line.as_i64().ok_or_else(|| format!("a frame on a strange line: {shown}"))?,
        };
        Ok(Frame {
            shown,
            file: number.map_or(file, |_| "<made>").into(),
            name: general(text("name")?).into(),
            qualname: general(text("function")?).into(),
            line: skipped.filter(|_| line != NO_LINE).map_or(line, |skipped| (line - skipped).max(1)),
            made: number.zip(skipped),
        })
    }
}

/// The name without the number of the code object it was made with.
fn general(name: &str) -> &str {
    match name.strip_prefix("made_") {
        Some(rest) if rest.bytes().all(|byte| byte.is_ascii_digit()) => "made",
        _ => name,
    }
}

/// The stack as text, outermost frame first, for a failure's message.
pub(crate) fn outline(frames: &[Value]) -> String {
    let line = |frame: &Value| format!("  {} {} line {}", frame["file"], frame["function"], frame["line"]);
    frames.iter().rev().map(line).collect::<Vec<_>>().join("\n")
}
