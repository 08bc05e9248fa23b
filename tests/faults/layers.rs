//! Layers that refuse, each staged: `doctor` names it, and so does `stack`, which shows what `/proc` says all the same.

use std::fs;
use std::process::{Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use crate::refused::{NOBODY, binary_for_all};
use crate::support::registry;
use crate::support::target::Target;
use crate::support::{Failed, Outcome, attach, ensure, kernel};
use crate::{Test, start};

pub(crate) const TESTS: &[Test] = &[
    ("nothing_refuses", nothing_refuses),
    ("user", user),
    ("capability", capability),
    ("user_namespace", user_namespace),
    ("dumpable", dumpable),
    ("hidepid", hidepid),
    ("pid_namespace_of_pyattach", pid_namespace_of_pyattach),
    ("pid_namespace_of_the_target", pid_namespace_of_the_target),
    ("seccomp", seccomp),
    ("traced", traced),
    ("stopped", stopped),
    ("not_python", not_python),
];

/// Runs pyattach behind a wrapper that takes rights away.
pub(crate) fn behind(wrapper: &[&str], arguments: &[&str]) -> Result<attach::Answer, Failed> {
    let (_directory, binary) = binary_for_all()?;
    let (program, options) = wrapper.split_first().ok_or("no wrapper")?;
    let mut command = Command::new(program);
    command.args(options).arg(binary).args(arguments);
    attach::run(command)
}

/// The findings of `doctor --json`, valid by their schema.
pub(crate) fn diagnose(wrapper: &[&str], pid: i32, code: i32) -> Result<Value, Failed> {
    let answer = behind(wrapper, &["doctor", &pid.to_string(), "--json"])?;
    answer.ensure_code(&[code])?;
    let found = answer.json()?;
    attach::validate_by("doctor", &found)?;
    ensure!(found["pid"] == pid, "pid: {found}");
    Ok(found)
}

/// The layers with a verdict, but for that which only sums up.
pub(crate) fn layers<'f>(found: &'f Value, verdict: &str) -> Vec<&'f str> {
    let checks = found["checks"].as_array().into_iter().flatten();
    let fitting = checks.filter(|check| check["verdict"] == verdict && check["layer"] != "memory");
    fitting.filter_map(|check| check["layer"].as_str()).collect()
}

pub(crate) fn seen<'f>(found: &'f Value, layer: &str) -> &'f str {
    let check = found["checks"].as_array().into_iter().flatten().find(|check| check["layer"] == layer);
    check.and_then(|check| check["seen"].as_str()).unwrap_or_default()
}

/// `doctor` names the layer and no other; `stack` gives the same reason, with the threads that `/proc` shows.
pub(crate) fn ensure_refused(wrapper: &[&str], pid: i32, layer: &str, advice: &str) -> Outcome {
    let found = diagnose(wrapper, pid, 3)?;
    ensure!(found["diagnosis"] == "refused" && layers(&found, "refuses") == [layer], "not {layer}: {found}");
    let answer = behind(wrapper, &["stack", &pid.to_string(), "--json"])?;
    answer.ensure_code(&[6])?;
    answer.ensure_said("refuses access")?;
    answer.ensure_said(seen(&found, layer))?;
    answer.ensure_said(advice)?;
    let report = answer.json()?;
    attach::validate(&report)?;
    ensure!(report["refusal"][0]["layer"] == layer && report["problems"][0]["kind"] == "refused", "{report}");
    ensure!(report.get("threads").is_none() && report.get("python").is_none(), "made up: {report}");
    let tids = report["os_threads"].as_array().into_iter().flatten().filter_map(|thread| thread["tid"].as_i64());
    let expected: Vec<i64> = kernel::threads(pid)?.into_iter().map(i64::from).collect();
    ensure!(tids.collect::<Vec<_>>() == expected, "threads: {expected:?}, not {report}");
    let answer = behind(wrapper, &["stack", &pid.to_string()])?;
    answer.ensure_code(&[6])?;
    ensure!(answer.text().contains(&format!("Thread {pid} [")), "no threads: {answer}");
    let text = behind(wrapper, &["doctor", &pid.to_string()])?.text();
    ensure!(text.contains("REFUSES") && text.contains(advice), "no advice in {text}");
    kernel::ensure_left_alone(pid)
}

fn nothing_refuses() -> Outcome {
    let target = start(&["plain.py"])?;
    let found = diagnose(&["env"], target.pid, 0)?;
    ensure!(found["diagnosis"] == "fine" && layers(&found, "fine").len() > 8, "{found}");
    ensure!(layers(&found, "refuses").is_empty() && layers(&found, "limits").is_empty(), "{found}");
    ensure!(found["python"]["version"].as_str().is_some_and(|version| version.starts_with("3.11.")), "{found}");
    let words = seen(&found, "interpreter");
    ensure!(words.contains("found by .PyRuntime section") && words.contains("layout: table of 3.11"), "{words}");
    ensure!(seen(&found, "stopping").contains("may be stopped"), "{found}");
    ensure!(behind(&["env"], &["doctor", &target.pid.to_string()])?.text().contains("All is fine"), "no word of it");
    kernel::ensure_left_alone(target.pid)
}

fn user() -> Outcome {
    let target = start(&["many_threads.py", "3"])?;
    let wrapper = [&["setpriv"], NOBODY].concat();
    ensure_refused(&wrapper, target.pid, "user", "sudo /")
}

/// Root without capabilities, as in a container, and a root that has them.
fn capability() -> Outcome {
    let target = start(&["many_threads.py", "3"])?;
    let without = ["setpriv", "--inh-caps=-all", "--bounding-set=-all"];
    ensure_refused(&without, target.pid, "capability", "--cap-add SYS_PTRACE")?;
    // Whether the one capability is among those that are left makes the difference.
    let with = ["setpriv", "--inh-caps=-all", "--bounding-set=-all,+sys_ptrace"];
    ensure!(diagnose(&with, target.pid, 0)?["diagnosis"] == "fine", "refused in spite of the capability");
    behind(&with, &["stack", &target.pid.to_string()])?.ensure_code(&[0])
}

/// Root of a user namespace of its own is nobody outside.
fn user_namespace() -> Outcome {
    let target = start(&["many_threads.py", "3"])?;
    ensure_refused(&["unshare", "--user", "--map-root-user"], target.pid, "user_namespace", "nsenter --user")
}

/// nobody's process, which has closed itself to nobody, too.
fn dumpable() -> Outcome {
    let interpreter = registry::find("debian-3.13")?;
    let mut command = Command::new("chroot");
    command.args(["--userspec=65534:65534", "--groups="]).arg(&interpreter.root).arg(&interpreter.python).arg("-c");
    command.arg(
        "import ctypes, json, os; ctypes.CDLL(None).prctl(4, 0, 0, 0, 0); \
         os.write(1, json.dumps({'ready': os.getpid()}).encode() + b'\\n'); os.read(0, 1)",
    );
    let target = Target::spawn(command)?;
    let wrapper = [&["setpriv"], NOBODY].concat();
    ensure_refused(&wrapper, target.pid, "dumpable", "sudo /")?;
    // Root with all capabilities does not care.
    ensure!(diagnose(&["env"], target.pid, 0)?["diagnosis"] == "fine", "refused to root");
    Ok(())
}

/// Fails unless there is no such process, for the reason of this layer.
fn ensure_absent(wrapper: &[&str], pid: i32, layer: &str, words: &str) -> Outcome {
    let found = diagnose(wrapper, pid, 4)?;
    ensure!(found["diagnosis"] == "no_process" && layers(&found, "refuses") == [layer], "not {layer}: {found}");
    ensure!(seen(&found, layer).contains(words), "nothing about {words:?}: {found}");
    let answer = behind(wrapper, &["stack", &pid.to_string()])?;
    answer.ensure_code(&[4])?;
    answer.ensure_said(words)?;
    ensure!(answer.stdout.is_empty(), "data in spite of the failure: {answer}");
    Ok(())
}

fn hidepid() -> Outcome {
    let target = start(&["plain.py"])?;
    let script = format!("mount -t proc -o hidepid=2 proc /proc && exec setpriv {} \"$@\"", NOBODY.join(" "));
    let wrapper = ["unshare", "--mount", "sh", "-c", &script, "sh"];
    ensure_absent(&wrapper, target.pid, "hidepid", "hidepid=")
}

fn pid_namespace_of_pyattach() -> Outcome {
    let target = start(&["plain.py"])?;
    let own_proc = ["unshare", "--pid", "--fork", "--mount-proc"];
    ensure_absent(&own_proc, target.pid, "pid_namespace", "namespace of its own")?;
    let words = "the /proc that is mounted here belongs to another";
    ensure_absent(&["unshare", "--pid", "--fork"], i32::MAX, "pid_namespace", words)
}

/// The number inside, given outside, where nobody has it.
fn pid_namespace_of_the_target() -> Outcome {
    let most: i32 = fs::read_to_string("/proc/sys/kernel/pid_max")?.trim().parse()?;
    let free = (most / 2..most).rev().find(|pid| !fs::exists(format!("/proc/{pid}")).unwrap_or(true));
    let inside = free.ok_or("no number is free")?;
    let script = format!(
        "echo {} > /proc/sys/kernel/ns_last_pid; \
         \"$0\" -c 'import json, os; print(json.dumps(dict(ready=os.getpid())), flush=True); os.read(0, 1)'; :",
        inside - 1
    );
    let mut command = Command::new("unshare");
    command.args(["--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-c", &script]);
    command.arg(&crate::interpreter()?.python);
    let target = Target::spawn(command)?;
    ensure!(target.pid == inside, "the process is {} inside, not {inside}", target.pid);
    ensure_absent(&["env"], inside, "pid_namespace", &format!("is {inside} inside its PID namespace"))
}

/// Calls that a filter refuses: another way is taken, and what cannot be done is said.
fn seccomp() -> Outcome {
    let target = start(&["plain.py"])?;
    for call in ["ptrace", "process_vm_readv"] {
        let injection = format!("inject={call}:error=EPERM");
        let found = diagnose(&["strace", "-f", "-qq", "-o", "/dev/null", "-e", &injection], target.pid, 0)?;
        ensure!(found["diagnosis"] == "limits" && layers(&found, "limits").contains(&"seccomp"), "{call}: {found}");
        ensure!(seen(&found, "seccomp").contains(&format!("the call {call} is refused")), "{call}: {found}");
        ensure!(layers(&found, "limits").contains(&"stopping") == (call == "ptrace"), "{call}: {found}");
    }
    Ok(())
}

fn traced() -> Outcome {
    let target = start(&["plain.py"])?;
    kernel::wait_for_read(target.pid, target.pid)?;
    let mut strace = Command::new("strace");
    strace.args(["-qq", "-o", "/dev/null", "-p", &target.pid.to_string()]).stderr(Stdio::null());
    let mut strace = strace.spawn()?;
    let tracer = || kernel::status(target.pid, target.pid, "TracerPid");
    let outcome = kernel::wait_until("strace", || Ok(tracer()? != "0")).and_then(|()| {
        let found = diagnose(&["env"], target.pid, 0)?;
        ensure!(found["diagnosis"] == "limits" && layers(&found, "limits").contains(&"tracer"), "{found}");
        ensure!(seen(&found, "tracer").contains(&format!("process {} (strace)", strace.id())), "{found}");
        let answer = attach::stack(target.pid, &["--pause", "never"])?;
        ensure!(answer.text().contains(&format!("traced by process {} (strace)", strace.id())), "{answer}");
        Ok(())
    });
    kill(Pid::from_raw(i32::try_from(strace.id())?), Signal::SIGKILL)?;
    strace.wait()?;
    outcome
}

fn stopped() -> Outcome {
    let target = start(&["plain.py"])?;
    let pid = Pid::from_raw(target.pid);
    kill(pid, Signal::SIGSTOP)?;
    kernel::wait_until("a stop", || Ok(kernel::status(target.pid, target.pid, "State")?.starts_with('T')))?;
    let found = diagnose(&["env"], target.pid, 0)?;
    ensure!(found["diagnosis"] == "limits" && layers(&found, "limits") == ["state"], "{found}");
    let advice = behind(&["env"], &["doctor", &target.pid.to_string()])?.text();
    ensure!(advice.contains(&format!("kill -CONT {}", target.pid)), "no advice: {advice}");
    let answer = attach::stack(target.pid, &[])?;
    answer.ensure_code(&[0])?;
    ensure!(answer.text().contains("the process is stopped"), "{answer}");
    Ok(kill(pid, Signal::SIGCONT)?)
}

fn not_python() -> Outcome {
    let mut command = Command::new("cat");
    command.env_clear();
    let target = Target::spawn_unready(command)?;
    kernel::wait_for_read(target.pid, target.pid)?;
    let found = diagnose(&["env"], target.pid, 4)?;
    ensure!(found["diagnosis"] == "not_python" && layers(&found, "refuses") == ["interpreter"], "{found}");
    let two = registry::find("2.7")?;
    let mut command = crate::support::target::python(&two);
    command.args(["-c", "import os; os.write(1, b'ready\\n'); os.read(0, 1)"]);
    let target = Target::spawn_unready(command)?;
    target.line()?;
    let found = diagnose(&["env"], target.pid, 5)?;
    ensure!(found["diagnosis"] == "unsupported" && seen(&found, "interpreter").contains("CPython 2.7"), "{found}");
    Ok(())
}
