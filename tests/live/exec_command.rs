//! `pyattach exec` and `pyattach eval` as commands: arguments, what is printed where, exit codes, recipes, timeouts, Ctrl-C.

use std::io::Write;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use crate::Scenario;
use crate::support::registry::Interpreter;
use crate::support::stage::Stage;
use crate::support::target::Target;
use crate::support::{Failed, Outcome, attach, ensure, kernel};

pub(crate) const SCENARIOS: &[Scenario] = &[
    Scenario { name: "exec_command", exists: |i| COMMAND.contains(&&*i.name), run: command },
    Scenario { name: "exec_timeouts", exists: |i| TIMEOUTS.contains(&&*i.name), run: timeouts },
];

/// What is the command's own doing is the same everywhere: some of all kinds are enough. That scripts run at all is shown on
/// each interpreter by the matrix.
const COMMAND: &[&str] = &["3.7", "3.11", "3.14", "3.14t", "3.13d", "debian-3.13", "musl-3.14"];
const TIMEOUTS: &[&str] = &["3.8", "3.12", "3.13", "3.13t", "3.15", "debian-3.9"];

/// Runs `pyattach WHAT PID …`, the PID in place of `@`.
fn pyattach(pid: i32, arguments: &[&str]) -> Result<attach::Answer, Failed> {
    let pid = pid.to_string();
    let mut command = Command::new(attach::BINARY);
    command.args(arguments.iter().map(|argument| if *argument == "@" { pid.as_str() } else { *argument }));
    attach::run(command)
}

/// The same, which must end with this code and have printed this to its two streams; `*` at an end stands for anything.
fn says(pid: i32, arguments: &[&str], code: i32, stdout: &str, stderr: &str) -> Outcome {
    let answer = pyattach(pid, arguments)?;
    answer.ensure_code(&[code]).map_err(|failed| format!("{arguments:?}: {}", failed.message().unwrap_or("?")))?;
    let fits = |text: &str, expected: &str| match expected.strip_prefix('*') {
        Some(part) => text.contains(part.trim_end_matches('*')),
        None => text == expected,
    };
    ensure!(fits(&answer.text(), stdout), "{arguments:?}: stdout is not {stdout:?}: {answer}");
    ensure!(fits(&answer.stderr, stderr), "{arguments:?}: stderr is not {stderr:?}: {answer}");
    Ok(())
}

fn json(pid: i32, arguments: &[&str]) -> Result<Value, Failed> {
    let answer = pyattach(pid, arguments)?;
    let report = answer.json()?;
    attach::validate_by("exec", &report)?;
    Ok(report)
}

fn command(interpreter: &Interpreter, stage: &Stage) -> Outcome {
    let mut target = Target::start(interpreter, stage, &["exec_states.py", "busy"])?;
    let pid = target.pid;
    let folder = tempfile::tempdir()?;
    let file = |name: &str, text: &[u8]| -> Result<String, Failed> {
        let path = folder.path().join(name);
        std::fs::write(&path, text)?;
        Ok(path.to_string_lossy().into_owned())
    };
    let script =
        file("s.py", b"import sys\nprint(sys.argv[1:], __name__)\nprint(__file__ == sys.argv[0], file=sys.stderr)\n")?;
    let options = ["-x", "--json", "two words"];
    says(
        pid,
        &[&["exec", "@", &script][..], &options].concat(),
        0,
        "['-x', '--json', 'two words'] __main__\n",
        "True\n",
    )?;
    says(pid, &["exec", "@", "-c", "import sys; print(sys.argv)", "a"], 0, "['-c', 'a']\n", "")?;
    let failing = file("f.py", b"def f():\n    return [][1]\n\nf()\n")?;
    let traceback = format!(
        "Traceback (most recent call last):\n  File \"{failing}\", line 4, in <module>\n    f()\n  File \"{failing}\", line 2, in \
         f\n    return [][1]\nIndexError: list index out of range\n"
    );
    says(pid, &["exec", "@", &failing], 1, "", &traceback)?;
    says(pid, &["exec", "@", "-c", "raise SystemExit"], 0, "", "")?;
    says(pid, &["exec", "@", "-c", "raise SystemExit(4)"], 1, "", "")?;
    says(pid, &["exec", "@", "-c", "raise SystemExit('no\\x1b')"], 1, "", "no\\x1b\n")?;
    says(pid, &["exec", "@", "-c", "x ="], 1, "", "*SyntaxError: *")?;
    says(pid, &["exec", "@", "no/such.py"], 1, "", "*no/such.py: *")?;
    says(pid, &["exec", "@"], 2, "", "*")?;
    says(pid, &["exec", "@", "--recipe", "none"], 2, "", "*gc-stats*")?;
    says(pid, &["exec", "1999999999", "-c", "1"], 4, "", "*no*")?;
    says(pid, &["exec", "@", "--namespace", "__main__", "-c", "print(STATE)"], 0, "busy\n", "")?;
    says(
        pid,
        &["exec", "@", "--namespace", "nowhere", "-c", "1"],
        1,
        "",
        "LookupError: no module nowhere is loaded\n",
    )?;
    says(pid, &["eval", "@", "{'a': [1, None]}"], 0, "{'a': [1, None]}\n", "")?;
    says(pid, &["eval", "@", "--namespace", "__main__", "-1 if STATE else 2"], 0, "-1\n", "")?;
    says(pid, &["eval", "@", "'x' * 70000"], 0, "*xxxx*", "pyattach: the first 65536 of 70002 characters\n")?;
    let value = json(pid, &["eval", "@", "--json", "{'a': [1, None, 2.5, 'x']}"])?;
    ensure!(value["result"]["value"] == serde_json::json!({"a": [1, null, 2.5, "x"]}), "{value}");
    ensure!(value["result"]["type"] == "dict" && value["thread"]["name"] == "MainThread", "{value}");
    let report = json(pid, &["exec", "--json", "@", &failing])?;
    ensure!(report["status"] == "exception" && report["exception"]["type"] == "IndexError", "{report}");
    ensure!(report["exception"]["traceback"] == traceback.trim_end(), "{report}");
    let report = json(pid, &["exec", "--json", "@", "-c", "print(1); raise SystemExit(5)"])?;
    ensure!(report["status"] == "exit" && report["exit"]["code"] == 5 && report["stdout"] == "1\n", "{report}");
    ensure!(report["paused_us"].as_u64() > Some(0) && report["waited_ms"].as_f64() > Some(0.0), "{report}");
    stdin(pid)?;
    threads(pid, interpreter)?;
    dry_run(pid)?;
    audit(pid, folder.path())?;
    signal_passed_on(pid)?;
    kernel::ensure_left_alone(pid)?;
    target.tell("end\n")?;
    let said: Value = serde_json::from_str(&target.line()?)?;
    ensure!(said["value"] == true && said["changed"] == "" && said["beats"] == true, "{said}");
    ensure!(target.finish()?.success(), "it did not end well");
    Ok(())
}

fn stdin(pid: i32) -> Outcome {
    let mut child = Command::new(attach::BINARY)
        .args(["exec", &pid.to_string(), "-", "word"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    child.stdin.take().ok_or("no stdin")?.write_all(b"import sys\nprint(sys.argv)")?;
    let output = child.wait_with_output()?;
    ensure!(output.status.success() && output.stdout == b"['-', 'word']\n", "{output:?}");
    Ok(())
}

/// Other threads than the main one run scripts by CPython's own protocol only.
fn threads(pid: i32, interpreter: &Interpreter) -> Outcome {
    let script = "import _thread, threading; print(threading.main_thread().ident == _thread.get_ident())";
    let run = |thread: &str, code: i32, stdout: &str, stderr: &str| {
        says(pid, &["exec", "@", "--thread", thread, "-c", script], code, stdout, stderr)
    };
    run("main", 0, "True\n", "")?;
    run(&pid.to_string(), 0, "True\n", "")?;
    run("nobody", 3, "", "*nobody*")?;
    let other = kernel::threads(pid)?.last().ok_or("no threads")?.to_string();
    match interpreter.since(14) && !interpreter.is_in_chroot() {
        true => run(&other, 0, "False\n", ""),
        false => run(&other, 3, "", "*CPython's own protocol*"),
    }
}

fn dry_run(pid: i32) -> Outcome {
    let script = "import sys; sys.modules['__main__'].no_such = 1";
    says(pid, &["exec", "@", "--dry-run", "-c", script], 0, "*Nothing was changed.\n*", "")?;
    let report = json(pid, &["exec", "@", "--dry-run", "--json", "-c", script])?;
    ensure!(report["status"] == "planned" && report["stdout"] == "", "{report}");
    says(pid, &["eval", "@", "hasattr(__import__('sys').modules['__main__'], 'no_such')"], 0, "False\n", "")
}

fn audit(pid: i32, folder: &std::path::Path) -> Outcome {
    let log = folder.join("audit");
    let log = log.to_str().ok_or("no path")?;
    says(pid, &["exec", "--audit-log", log, "@", "-c", "abc=1"], 0, "", "")?;
    let text = std::fs::read_to_string(log)?;
    let lines: Vec<&str> = text.lines().collect();
    // printf 'abc=1' | sha256sum
    let digest = "b04c504b31783cb1ff59a9d24a8a2b48ae8a23585103040e3d469364132b1728";
    let fits = |line: &&str, outcome: &str| {
        line.contains(&format!(" pid={pid} script=\"-c\" sha256={digest} "))
            && line.ends_with(&format!("outcome={outcome}"))
    };
    ensure!(lines.len() == 2 && fits(&lines[0], "begins") && fits(&lines[1], "ok"), "{text}");
    says(pid, &["exec", "--audit-log", "/no/such/log", "@", "-c", "print(1)"], 1, "", "*audit log*")
}

/// A handler of the application's throws while a script runs: the script is over, and the application gets it too.
fn signal_passed_on(pid: i32) -> Outcome {
    let set = "import signal, sys
def handle(number, frame):
    sys.modules['__main__'].handled = getattr(sys.modules['__main__'], 'handled', 0) + 1
    if sys.modules['__main__'].handled == 1:
        raise RuntimeError('from the handler')
signal.signal(signal.SIGUSR1, handle)
";
    says(pid, &["exec", "@", "-c", set], 0, "", "")?;
    // Before 3.8 what runs as a pending call sees signals only where a C function asks for them: this one does.
    let script =
        "import signal, time, _thread\nsignal.pthread_kill(_thread.get_ident(), signal.SIGUSR1)\ntime.sleep(30)\n";
    says(pid, &["exec", "@", "-c", script], 1, "", "*RuntimeError: from the handler\npyattach: signal 10 came*")?;
    let count = ["eval", "@", "__import__('sys').modules['__main__'].handled"];
    kernel::wait_until("the handler once more", || Ok(pyattach(pid, &count)?.text() == "2\n"))?;
    says(
        pid,
        &[
            "exec",
            "@",
            "-c",
            "import sys, signal; signal.signal(signal.SIGUSR1, signal.SIG_DFL); del sys.modules['__main__'].handled",
        ],
        0,
        "",
        "",
    )
}

fn timeouts(interpreter: &Interpreter, stage: &Stage) -> Outcome {
    let target = Target::start(interpreter, stage, &["exec_states.py", "busy"])?;
    let pid = target.pid;
    // It outlives --run-timeout, and goes on to its end.
    let script = "import sys, time
print('here', flush=True)
while not hasattr(sys.modules['__main__'], 'go_on'):
    time.sleep(0.001)
";
    let report = json(pid, &["exec", "@", "--json", "--run-timeout", "0.3", "-c", script])?;
    ensure!(report["status"] == "still_running" && report["stdout"] == "here\n", "{report}");
    ensure!(report["stack"]["threads"][0]["frames"].to_string().contains("<pyattach -c>"), "{report}");
    // Until then nothing else runs in the main thread.
    let nothing = ["exec", "@", "--json", "--timeout", "0.5", "--route", "pending-call", "-c", "print(2)"];
    let report = json(pid, &nothing)?;
    ensure!(report["status"] == "not_started" && report["stdout"] == "", "{report}");
    ensure!(report["reason"].as_str().is_some_and(|reason| reason.contains("--timeout")), "{report}");
    // Ctrl-C before the start withdraws, and it dies of it.
    let child = Command::new(attach::BINARY)
        .args(["exec", "-v", &pid.to_string(), "--route", "pending-call", "-c", "print(3)"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let own = child.id() as i32;
    kernel::wait_until("pyattach at work", || Ok(kernel::status(own, own, "SigBlk")?.ends_with("2")))?;
    kill(Pid::from_raw(own), Signal::SIGINT)?;
    let output = child.wait_with_output()?;
    ensure!(output.status.signal() == Some(2) && output.stdout.is_empty(), "{output:?}");
    let free = Command::new(attach::BINARY).args(["eval", &pid.to_string(), "1"]).arg("--dry-run").output()?;
    ensure!(free.status.success(), "{free:?}");
    kernel::ensure_left_alone(pid)
}
