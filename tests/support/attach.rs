//! Running the command under test, and reading what it says.

use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::{LazyLock, mpsc};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use super::target::DEADLINE;
use super::{Failed, Outcome, ensure};

pub(crate) const BINARY: &str = env!("CARGO_BIN_EXE_pyattach");

/// What one run of the command said.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: String,
}

impl Answer {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    pub(crate) fn json(&self) -> Result<Value, Failed> {
        Ok(serde_json::from_slice(&self.stdout).map_err(|error| format!("no JSON: {error}; {self}"))?)
    }

    /// Fails unless the command ended with one of these codes, and in no case by a panic or a signal.
    pub(crate) fn ensure_code(&self, codes: &[i32]) -> Outcome {
        let code = self.status.code().ok_or_else(|| format!("died by a signal: {self}"))?;
        ensure!(!self.stderr.contains("panicked"), "a panic: {self}");
        ensure!(codes.contains(&code), "exit code {code}, not one of {codes:?}: {self}");
        Ok(())
    }

    /// Fails unless the words to the user contain this, whatever the case of the letters.
    pub(crate) fn ensure_said(&self, words: &str) -> Outcome {
        ensure!(self.stderr.to_lowercase().contains(&words.to_lowercase()), "nothing about {words:?}: {self}");
        Ok(())
    }
}

impl std::fmt::Display for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let start: String = self.text().chars().take(2000).collect();
        write!(
            f,
            "{:?} signal {:?}\nstderr: {}\nstdout: {start}",
            self.status.code(),
            self.status.signal(),
            self.stderr
        )
    }
}

/// Runs `pyattach stack PID` with further arguments.
pub(crate) fn stack(pid: i32, arguments: &[&str]) -> Result<Answer, Failed> {
    let mut command = Command::new(BINARY);
    command.arg("stack").arg(pid.to_string()).args(arguments);
    run(command)
}

/// Runs `pyattach tasks PID` with further arguments.
pub(crate) fn tasks(pid: i32, arguments: &[&str]) -> Result<Answer, Failed> {
    let mut command = Command::new(BINARY);
    command.arg("tasks").arg(pid.to_string()).args(arguments);
    run(command)
}

/// The tasks as JSON, complete, and valid by the documented schema.
pub(crate) fn tasks_json(pid: i32, arguments: &[&str]) -> Result<Value, Failed> {
    let answer = tasks(pid, &[&["--json"], arguments].concat())?;
    answer.ensure_code(&[0])?;
    let json = answer.json()?;
    validate_by("tasks", &json)?;
    Ok(json)
}

/// Runs a command to its end; a hang is a failure.
pub(crate) fn run(mut command: Command) -> Result<Answer, Failed> {
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let pid = Pid::from_raw(child.id() as i32);
    let (ended, end) = mpsc::channel::<()>();
    let watchdog = std::thread::spawn(move || {
        let hangs = end.recv_timeout(DEADLINE) == Err(mpsc::RecvTimeoutError::Timeout);
        if hangs {
            let _ = kill(pid, Signal::SIGKILL);
        }
        hangs
    });
    let output = child.wait_with_output()?;
    drop(ended);
    ensure!(!watchdog.join().unwrap_or(true), "{command:?} hangs");
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    Ok(Answer { status: output.status, stdout: output.stdout, stderr })
}

/// Takes a complete snapshot as JSON: every frame, valid by the documented schema.
pub(crate) fn snapshot(pid: i32, arguments: &[&str]) -> Result<Value, Failed> {
    let answer = stack(pid, &[&["--json", "--max-frames", "0"], arguments].concat())?;
    answer.ensure_code(&[0])?;
    let json = answer.json()?;
    validate(&json)?;
    Ok(json)
}

/// The list of `pyattach ps --json`, valid by its schema. What other tests have running is in it, too.
pub(crate) fn ps() -> Result<Value, Failed> {
    let mut command = Command::new(BINARY);
    // The machine may be busy with other tests.
    command.args(["ps", "--json", "--timeout", "30"]);
    let answer = run(command)?;
    answer.ensure_code(&[0, 6])?;
    let list = answer.json()?;
    validate_by("ps", &list)?;
    Ok(list)
}

/// Fails unless the document follows the schema of `stack --json` in docs.
pub(crate) fn validate(json: &Value) -> Outcome {
    static SCHEMA: LazyLock<Result<jsonschema::Validator, String>> = LazyLock::new(|| schema("stack"));
    follow(SCHEMA.as_ref().map_err(Clone::clone)?, json)
}

/// The same of another schema.
pub(crate) fn validate_by(name: &str, json: &Value) -> Outcome {
    follow(&schema(name)?, json)
}

fn schema(name: &str) -> Result<jsonschema::Validator, String> {
    let path = format!("{}/docs/schema/{name}.schema.json", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).map_err(|error| format!("{path}: {error}"))?;
    let schema = serde_json::from_str(&text).map_err(|error| format!("{path}: {error}"))?;
    jsonschema::validator_for(&schema).map_err(|error| format!("{path}: {error}"))
}

fn follow(schema: &jsonschema::Validator, json: &Value) -> Outcome {
    let errors: Vec<String> =
        schema.iter_errors(json).map(|error| format!("{}: {error}", error.instance_path)).collect();
    ensure!(errors.is_empty(), "not valid by the schema: {}", errors.join("\n"));
    Ok(())
}
