//! A program running on an interpreter, in place when it has said so.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::Duration;

use serde_json::Value;

use super::Failed;
use super::registry::Interpreter;
use super::stage::Stage;

/// No program needs this long for anything; a test that waits longer has found a hang.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);

/// A running program. Ends with its standard input, and is killed when dropped.
#[derive(Debug)]
pub(crate) struct Target {
    child: Child,
    stdin: Option<ChildStdin>,
    lines: Receiver<String>,
    /// The process to look at: the one that said that it is ready.
    pub(crate) pid: i32,
    /// What it said that must be seen.
    pub(crate) expect: Value,
}

/// The command that runs the interpreter, in its root, with these arguments (paths as seen from inside).
pub(crate) fn python(interpreter: &Interpreter) -> Command {
    let mut words = Vec::new();
    if interpreter.is_in_chroot() {
        words.extend(["chroot".into(), interpreter.root.display().to_string()]);
    }
    words.push(interpreter.python.clone());
    let mut words = words.into_iter();
    let mut command = Command::new(words.next().unwrap_or_default());
    command.args(words);
    // Nothing of the caller's that changes how a Python starts, and nothing written beside the programs.
    command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("LC_ALL", "C.UTF-8");
    command.env("PYTHONDONTWRITEBYTECODE", "1").envs(interpreter.env.iter().map(|(key, value)| (key, value)));
    command
}

impl Target {
    /// Starts a program of tests/programs: its file name and arguments.
    pub(crate) fn start(interpreter: &Interpreter, stage: &Stage, program: &[&str]) -> Result<Self, Failed> {
        let mut command = python(interpreter);
        let (file, arguments) = program.split_first().ok_or("no program")?;
        command.arg(stage.inside(file)).args(arguments);
        Self::spawn(command)
    }

    /// Starts a command and waits for the line in which it says that it is ready.
    pub(crate) fn spawn(command: Command) -> Result<Self, Failed> {
        let mut target = Self::spawn_unready(command)?;
        let line = target.line()?;
        let mut ready: Value = serde_json::from_str(&line).map_err(|error| format!("{error}: {line}"))?;
        target.pid = i32::try_from(ready["ready"].as_i64().ok_or("no pid in the line")?)?;
        target.expect = ready["expect"].take();
        Ok(target)
    }

    pub(crate) fn spawn_unready(mut command: Command) -> Result<Self, Failed> {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| format!("{command:?}: {error}"))?;
        let stdin = child.stdin.take();
        let stdout = child.stdout.take().ok_or("no stdout")?;
        let (sender, lines) = mpsc::channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        let pid = i32::try_from(child.id())?;
        Ok(Self { child, stdin, lines, pid, expect: Value::Null })
    }

    /// The next line it prints.
    pub(crate) fn line(&self) -> Result<String, Failed> {
        self.lines.recv_timeout(DEADLINE).map_err(|error| format!("the program says nothing: {error}").into())
    }

    /// What it has said so far, without waiting.
    pub(crate) fn said(&self) -> Vec<String> {
        self.lines.try_iter().collect()
    }

    /// Writes to its standard input.
    pub(crate) fn tell(&mut self, text: &str) -> Result<(), Failed> {
        Ok(self.stdin.as_mut().ok_or("no stdin")?.write_all(text.as_bytes())?)
    }

    /// Ends its standard input and waits for its end.
    pub(crate) fn finish(mut self) -> Result<ExitStatus, Failed> {
        self.stdin = None;
        // Its standard output closes when it ends, which ends the thread that reads its lines.
        while self.lines.recv_timeout(DEADLINE).is_ok() {}
        Ok(self.child.wait()?)
    }

    /// The process that was spawned, which is not the one to look at when that is a child of it.
    pub(crate) fn spawned(&self) -> i32 {
        self.child.id() as i32
    }

    /// Kills it and leaves it a zombie.
    pub(crate) fn kill(&mut self) {
        let _ = self.child.kill();
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        self.stdin = None;
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The text a short Python program prints.
pub(crate) fn output(interpreter: &Interpreter, code: &str) -> Result<String, Failed> {
    let output = python(interpreter).args(["-c", code]).output()?;
    Ok(String::from_utf8(output.stdout)?.trim_end().to_owned())
}

/// What a process has mapped from files, each once.
pub(crate) fn mapped_files(pid: i32) -> Result<Vec<std::path::PathBuf>, Failed> {
    let maps = std::fs::read_to_string(format!("/proc/{pid}/maps"))?;
    let mut files: Vec<_> = maps
        .lines()
        .filter_map(|line| line.find('/').and_then(|at| line.get(at..)))
        .map(|p| Path::new(p).into())
        .collect();
    files.dedup();
    Ok(files)
}
