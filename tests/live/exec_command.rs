//! `pyattach exec` and `pyattach eval` as commands: arguments, what is printed where, exit codes, recipes, timeouts, Ctrl-C.

use std::io::Write;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use crate::support::registry::Interpreter;
use crate::support::stage::Stage;
use crate::support::target::Target;
use crate::support::{Failed, Outcome, attach, ensure, kernel};
use crate::{Scenario, everywhere};

pub(crate) const SCENARIOS: &[Scenario] = &[
    Scenario { name: "exec_command", exists: everywhere, run: command },
    Scenario { name: "exec_recipes", exists: everywhere, run: recipes },
    Scenario { name: "exec_timeouts", exists: everywhere, run: timeouts },
];

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
    let script = "import os, signal, time\nos.kill(os.getpid(), signal.SIGUSR1)\ntime.sleep(30)\n";
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

fn recipes(interpreter: &Interpreter, stage: &Stage) -> Outcome {
    let mut target = Target::start(interpreter, stage, &["exec_states.py", "busy"])?;
    let pid = target.pid;
    let list = pyattach(pid, &["exec", "--list-recipes"])?;
    list.ensure_code(&[0])?;
    let recipe = |words: &[&str], code: i32, stdout: &str, stderr: &str| {
        says(pid, &[&["exec", "@", "--recipe"], words].concat(), code, stdout, stderr)
    };
    let run = |code: &str| says(pid, &["exec", "@", "-c", code], 0, "", "");
    recipe(&["log-level"], 1, "", "logging is not loaded in this process\n")?;
    run("import logging, asyncio, linecache")?;
    recipe(&["log-level", "debug", "1", "shop"], 0, "logger shop: DEBUG for 1 minutes, then NOTSET again\n", "")?;
    says(pid, &["eval", "@", "__import__('logging').getLogger('shop').level"], 0, "10\n", "")?;
    recipe(&["log-level", "info", "1", "shop"], 0, "logger shop: INFO for 1 minutes, then NOTSET again\n", "")?;
    recipe(&["log-level", "info", "0", "shop"], 0, "logger shop: NOTSET\n", "")?;
    recipe(&["log-level", "nonsense"], 1, "", "no level NONSENSE\n")?;
    // Put back by itself.
    recipe(&["log-level", "debug", "0.001"], 0, "logger root: DEBUG for 0.001 minutes, then WARNING again\n", "")?;
    let level =
        ["eval", "@", "__import__('logging').getLogger().level, hasattr(__import__('logging'), '_pyattach_levels')"];
    kernel::wait_until("the level of before", || Ok(pyattach(pid, &level)?.text() == "(30, False)\n"))?;
    recipe(&["faulthandler"], 0, "*most recent call first*", "")?;
    recipe(&["tracemalloc", "compare"], 1, "", "not started: run it with start first\n")?;
    recipe(&["tracemalloc", "start"], 0, "started, with 1 frames each\n", "")?;
    recipe(&["tracemalloc", "compare"], 1, "", "nothing to compare with: run it with snapshot first\n")?;
    recipe(&["tracemalloc", "snapshot"], 0, "*bytes are traced\n", "")?;
    run("import sys; sys.modules['__main__'].kept_by_test = [bytes(1000) for _ in range(1000)]")?;
    recipe(&["tracemalloc", "compare", "3"], 0, "*size=*", "")?;
    recipe(&["tracemalloc", "top", "2"], 0, "*size=*", "")?;
    recipe(&["tracemalloc", "stop"], 0, "stopped\n", "")?;
    recipe(&["gc-stats", "5"], 0, "*types of *", "")?;
    recipe(&["heap-growth"], 1, "", "nothing to compare with: run it with start first\n")?;
    recipe(&["heap-growth", "start"], 0, "*counted *", "")?;
    run("import sys; sys.modules['__main__'].kept_by_test = [[] for _ in range(5000)]")?;
    recipe(&["heap-growth", "compare", "1"], 0, "*builtins.list\n", "")?;
    recipe(&["heap-growth", "stop"], 0, "", "")?;
    recipe(&["debug-threads"], 0, "*'MainThread'*", "")?;
    if interpreter.since(8) {
        recipe(&["debug-threads", "on"], 0, "exceptions of threads are named\n*", "")
            .or_else(|_| recipe(&["debug-threads", "on"], 0, "*are named*", ""))?;
        recipe(&["debug-threads", "off"], 0, "*as the application has it*", "")?;
    }
    recipe(&["debug-asyncio", "on"], 0, "no running event loop\n", "")?;
    recipe(&["attribute", "__main__.STATE"], 0, "'busy'\n", "")?;
    recipe(&["attribute", "__main__.none"], 1, "", "module has no attribute none\n")?;
    recipe(&["set-flag", "__main__.kept_by_test", "None"], 0, "*kept_by_test: None, was [[]*", "")?;
    recipe(&["set-flag", "__main__.STATE", "5"], 1, "", "it is of type str, not int; nothing was set\n")?;
    recipe(&["set-flag", "__main__.no_such", "5"], 1, "", "*no attribute no_such*")?;
    run("import sys; del sys.modules['__main__'].kept_by_test")?;
    target.tell("end\n")?;
    let said: Value = serde_json::from_str(&target.line()?)?;
    ensure!(said["value"] == true && said["changed"] == "" && said["beats"] == true, "{said}");
    Ok(())
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
