//! Prints where each thread of a Python process is: `cargo run --example stack -- PID`.
//!
//! The same data that `pyattach stack --json` prints, taken from the library.

use pyattach::interp::Pause;
use pyattach::report::{StackError, StackOptions, stack};
use std::process::ExitCode;

fn main() -> ExitCode {
    let Some(pid) = std::env::args().nth(1).and_then(|pid| pid.parse().ok()) else {
        eprintln!("usage: stack PID");
        return ExitCode::from(2);
    };
    match print_innermost(pid) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn print_innermost(pid: i32) -> Result<(), StackError> {
    // Never stop a thread: a stack that cannot be proved without that is marked.
    let options = StackOptions { pause: Pause::Never, ..StackOptions::default() };
    let report = stack(pid, &options)?;
    println!("CPython {}, {} threads", report.python.version, report.threads.len());
    for thread in &report.threads {
        let name = thread.name.as_deref().unwrap_or("?");
        let mark = if thread.consistent { "" } else { " (not proved)" };
        match thread.frames.first() {
            Some(frame) => {
                let line = frame.line.map_or_else(|| "?".to_owned(), |line| line.to_string());
                println!("{name}: {} at {}:{line}{mark}", frame.function, frame.file);
            }
            None => println!("{name}: not in Python code{mark}"),
        }
    }
    // What could not be read does not make the rest less true: it is said beside it.
    for problem in &report.problems {
        println!("{:?}: {}", problem.kind, problem.message);
    }
    Ok(())
}
