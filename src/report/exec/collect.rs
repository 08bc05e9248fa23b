//! What a script said of itself, put together.

use super::model::*;
use super::traceback::with_sources;
use crate::base::{Problem, ProblemKind};
use crate::inject::Script;
use crate::inject::channel::{Event, ScriptExit, Stream, Thrown, Value};
use crate::os::{Process, with_deadline};
use crate::report::SourceFiles;
use std::time::Duration;

/// Longest time for reading source files, which may lie on a file system that hangs.
const SOURCE_TIME: Duration = Duration::from_secs(3);

/// All that came by the channel.
#[derive(Debug, Default)]
pub(super) struct Collected {
    stdout: Vec<u8>,
    stderr: Vec<u8>,
    cut: bool,
    pub(super) thread: Option<ExecThread>,
    pub(super) native_id: Option<i32>,
    thrown: Option<Thrown>,
    exited: Option<ScriptExit>,
    value: Option<Value>,
    signals: Vec<i32>,
    pub(super) ran: Option<Duration>,
}

impl Collected {
    pub(super) fn take(&mut self, event: Event) {
        match event {
            Event::Started { ident, native_id, name } => {
                self.native_id = native_id;
                self.thread = Some(ExecThread { tid: None, ident: Some(format!("{ident:#x}")), name });
            }
            Event::Output(Stream::Stdout, bytes) => self.stdout.extend(bytes),
            Event::Output(Stream::Stderr, bytes) => self.stderr.extend(bytes),
            Event::OutputLimit => self.cut = true,
            Event::Thrown(thrown) => self.thrown = Some(thrown),
            Event::Exited(exit) => self.exited = Some(exit),
            Event::Value(value) => self.value = Some(value),
            // The code in the target says each once; a hostile one says what it likes.
            Event::SignalPassedOn(signal) if self.signals.len() < 64 => self.signals.push(signal),
            Event::SignalPassedOn(_) => {}
            Event::Done { ran } => self.ran = Some(ran),
        }
    }

    /// How a script that is over ended.
    pub(super) fn status(&self) -> ExecStatus {
        match (&self.thrown, &self.exited) {
            (Some(_), _) => ExecStatus::Exception,
            (None, Some(_)) => ExecStatus::Exit,
            (None, None) => ExecStatus::Ok,
        }
    }

    pub(super) fn put_into(self, report: &mut ExecReport, script: &Script) {
        report.status = self.status();
        report.stdout = String::from_utf8_lossy(&self.stdout).into_owned();
        report.stderr = String::from_utf8_lossy(&self.stderr).into_owned();
        report.output_cut = self.cut;
        if self.cut {
            let message = "the script printed more than 64 MiB; the rest was dropped".to_owned();
            report.problems.push(Problem::new(ProblemKind::Limit, message));
        }
        report.thread = self.thread;
        report.ran_ms = self.ran.map(milliseconds);
        report.signals = self.signals;
        let pid = report.pid;
        report.exception = self.thrown.map(|thrown| exception(pid, thrown, script));
        report.exit = self.exited.map(exit);
        report.result = self.value.map(|value| ExecResult {
            kind: value.kind,
            repr: value.repr,
            repr_chars: value.repr_chars,
            value: value.json,
        });
    }
}

pub(super) fn milliseconds(time: Duration) -> f64 {
    // Microseconds are all that is known.
    (time.as_micros() as f64) / 1000.0
}

fn exit(exit: ScriptExit) -> ExecExit {
    match exit {
        ScriptExit::Plain => ExecExit { code: Some(0), message: None },
        ScriptExit::Code(code) => ExecExit { code: code.parse().ok(), message: Some(code) },
        ScriptExit::Text(text) => ExecExit { code: None, message: Some(text) },
    }
}

fn exception(pid: i32, thrown: Thrown, script: &Script) -> ExecException {
    let with_files = {
        let (traceback, script) = (thrown.traceback.clone(), script.clone());
        with_deadline(SOURCE_TIME, move || {
            let started = Process::open(pid).ok().and_then(|process| process.started());
            with_sources(&traceback, &script, Some(&mut SourceFiles::of_process(pid, started)))
        })
    };
    let traceback = with_files.unwrap_or_else(|| with_sources(&thrown.traceback, script, None));
    ExecException { kind: thrown.kind, message: thrown.message, traceback }
}
