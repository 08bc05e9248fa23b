//! `--format py-spy` against py-spy itself: the same bytes, field for field, where py-spy can read the process.
//!
//! Where the two differ, the test says how, exactly:
//!
//! - py-spy 0.4.3 fails on free-threaded builds and on a process that is stopped by a signal; pyattach reads them.
//! - py-spy takes a frame whose file name is empty for one of the interpreter's own: it leaves it out, and marks the frame
//!   inside it as an entry.
//! - py-spy shows the threads of the newest interpreter only, pyattach those of all.
//! - py-spy calls a running thread idle when it runs a function called `wait` in a file that ends in `threading.py`.
//! - py-spy looks for packages in its own root directory, pyattach in that of the process: only `short_filename` shows it.

use std::path::PathBuf;
use std::process::Command;

use serde_json::{Value, json};

use crate::support::registry::{self, Interpreter};
use crate::support::stage::Stage;
use crate::support::target::Target;
use crate::support::{Failed, Outcome, attach, ensure, kernel};
use crate::{Scenario, everywhere};

pub(crate) const SCENARIOS: &[Scenario] = &[
    Scenario { name: "pyspy_same", exists: Interpreter::has_gil, run: same },
    Scenario { name: "pyspy_same_in_packages", exists: |i| i.has_gil() && !i.is_in_chroot(), run: packages },
    Scenario { name: "pyspy_without_file_name", exists: Interpreter::has_gil, run: nameless },
    Scenario { name: "pyspy_running", exists: Interpreter::has_gil, run: running },
    Scenario { name: "pyspy_running_called_idle", exists: Interpreter::has_gil, run: called_idle },
    // Before 3.8 only the test suite's module makes interpreters, which Debian's packages leave out.
    Scenario { name: "pyspy_interpreters", exists: |i| i.has_gil() && i.since(8), run: interpreters },
    Scenario { name: "pyspy_stopped", exists: everywhere, run: stopped },
    Scenario { name: "pyspy_free_threaded", exists: |i| !i.has_gil(), run: free_threaded },
];

/// What py-spy prints, run where the process is: it takes relative file names for its own.
fn theirs(target: &Target) -> Result<attach::Answer, Failed> {
    let mut command = Command::new(registry::tool("py-spy")?);
    command.args(["dump", "--json", "--pid", &target.pid.to_string()]);
    command.current_dir(format!("/proc/{}/cwd", target.pid));
    attach::run(command)
}

fn ours(target: &Target) -> Result<String, Failed> {
    let answer = attach::stack(target.pid, &["--format", "py-spy"])?;
    answer.ensure_code(&[0])?;
    ensure!(answer.stderr.is_empty(), "words beside the format: {answer}");
    Ok(answer.text())
}

/// A program whose threads all are blocked in the kernel, so that neither reader can find one on a CPU.
fn parked(interpreter: &Interpreter, stage: &Stage, program: &[&str]) -> Result<Target, Failed> {
    let target = Target::start(interpreter, stage, program)?;
    for tid in kernel::threads(target.pid)? {
        kernel::wait_until("blocked threads", || {
            let asleep = kernel::status(target.pid, tid, "State")?.starts_with('S');
            Ok(asleep && kernel::system_call(target.pid, tid)?.is_some())
        })?;
    }
    Ok(target)
}

fn ensure_same_text(ours: &str, theirs: &str) -> Outcome {
    let mut lines = ours.lines().zip(theirs.lines()).enumerate().filter(|(_, (a, b))| a != b);
    let first = lines.next().map(|(number, (a, b))| format!("line {}: {a} / {b}", number + 1));
    ensure!(ours == theirs, "pyattach / py-spy: {}\n{ours}\n{theirs}", first.unwrap_or_default());
    Ok(())
}

fn same(interpreter: &Interpreter, stage: &Stage) -> Outcome {
    let programs: &[&[&str]] = &[
        &["plain.py"],
        &["callbacks.py"],
        &["generators.py"],
        &["coroutines.py"],
        &["class_bodies.py"],
        &["exceptions.py"],
        &["many_threads.py", "5"],
        &["raw_threads.py"],
        &["recursion.py", "c", "50"],
    ];
    for program in programs {
        let target = parked(interpreter, stage, program)?;
        // First pyattach, which leaves sleeping threads asleep.
        let ours = ours(&target)?;
        let theirs = theirs(&target)?;
        theirs.ensure_code(&[0])?;
        let ours = if interpreter.is_in_chroot() { with_names_from_here(&ours)? } else { ours };
        ensure_same_text(&ours, &theirs.text()).map_err(|failed| of(program, failed))?;
    }
    Ok(())
}

/// Shortens file names by the packages that this process sees instead of those that the target sees, line by line.
fn with_names_from_here(ours: &str) -> Result<String, Failed> {
    let (mut filename, mut lines) = (PathBuf::new(), Vec::new());
    for line in ours.lines() {
        let text = line.trim().trim_end_matches(',');
        if let Some(name) = text.strip_prefix("\"filename\": ") {
            filename = serde_json::from_str(name)?;
        }
        let in_package = filename.parent().is_some_and(|directory| directory.join("__init__.py").exists());
        if text.starts_with("\"short_filename\": ") && !in_package {
            let name = filename.file_name().unwrap_or_default().to_string_lossy();
            lines.push(format!("        \"short_filename\": {},", json!(name)));
        } else {
            lines.push(line.to_owned());
        }
    }
    Ok(lines.join("\n") + "\n")
}

fn of(program: &[&str], failed: Failed) -> Failed {
    format!("{program:?}: {}", failed.message().unwrap_or_default()).into()
}

fn packages(interpreter: &Interpreter, stage: &Stage) -> Outcome {
    let target = parked(interpreter, stage, &["packaged.py"])?;
    let ours = ours(&target)?;
    for short in ["shop/checkout/orders.py", "<string>", "file.py"] {
        ensure!(ours.contains(&format!("\"short_filename\": \"{short}\"")), "no {short} in {ours}");
    }
    ensure_same_text(&ours, &theirs(&target)?.text())
}

/// Leaves out the frames that py-spy takes for the interpreter's own, and marks those inside them.
fn without_nameless(threads: &mut Value) {
    for thread in threads.as_array_mut().into_iter().flatten() {
        let Some(frames) = thread["frames"].as_array_mut() else { continue };
        for index in 1..frames.len() {
            if frames[index]["filename"] == "" {
                frames[index - 1]["is_shim_entry"] = true.into();
            }
        }
        frames.retain(|frame| frame["filename"] != "");
    }
}

fn nameless(interpreter: &Interpreter, stage: &Stage) -> Outcome {
    let target = parked(interpreter, stage, &["nameless.py"])?;
    let mut ours: Value = serde_json::from_str(&ours(&target)?)?;
    let theirs = theirs(&target)?.json()?;
    let frames = ours[0]["frames"].as_array().map(Vec::len);
    without_nameless(&mut ours);
    ensure!(ours[0]["frames"].as_array().map(Vec::len) < frames, "no frame without a file name: {ours}");
    ensure!(ours == theirs, "pyattach / py-spy:\n{ours}\n{theirs}");
    Ok(())
}

/// A thread that runs is active and has the GIL; where it is in its loop may differ.
fn running(interpreter: &Interpreter, stage: &Stage) -> Outcome {
    let target = Target::start(interpreter, stage, &["spinning.py", "1"])?;
    kernel::wait_for_read(target.pid, target.pid)?;
    // By then it has the GIL that the main thread let go.
    kernel::wait_for_work(target.pid, *kernel::threads(target.pid)?.last().ok_or("no threads")?)?;
    let ours = flags(&ours(&target)?)?;
    let spinner = target.expect["threads"][1]["tid"].clone();
    ensure!(ours == json!([[spinner, true, true], [target.pid, false, false]]), "threads: {ours}");
    let theirs = flags(&theirs(&target)?.text())?;
    ensure!(ours == theirs, "pyattach / py-spy: {ours} / {theirs}");
    Ok(())
}

/// Id, `active` and `owns_gil` of each thread.
fn flags(text: &str) -> Result<Value, Failed> {
    let threads: Value = serde_json::from_str(text)?;
    let one = |thread: &Value| json!([thread["os_thread_id"], thread["active"], thread["owns_gil"]]);
    Ok(threads.as_array().into_iter().flatten().map(one).collect())
}

/// For py-spy a thread is idle by the name of the function that it runs.
fn called_idle(interpreter: &Interpreter, stage: &Stage) -> Outcome {
    let target = Target::start(interpreter, stage, &["called_wait.py"])?;
    kernel::wait_for_read(target.pid, target.pid)?;
    // By then it has the GIL that the main thread let go.
    kernel::wait_for_work(target.pid, *kernel::threads(target.pid)?.last().ok_or("no threads")?)?;
    let (ours, theirs) = (flags(&ours(&target)?)?, flags(&theirs(&target)?.text())?);
    let spinner = *kernel::threads(target.pid)?.last().ok_or("no threads")?;
    ensure!(ours == json!([[spinner, true, true], [target.pid, false, false]]), "pyattach: {ours}");
    ensure!(theirs == json!([[spinner, false, true], [target.pid, false, false]]), "py-spy: {theirs}");
    Ok(())
}

/// py-spy shows the newest interpreter, with whose threads pyattach's output ends.
fn interpreters(interpreter: &Interpreter, stage: &Stage) -> Outcome {
    let target = parked(interpreter, stage, &["subinterpreters.py", "shared"])?;
    let ours: Value = serde_json::from_str(&ours(&target)?)?;
    let theirs = theirs(&target)?.json()?;
    let (all, some) = (ours.as_array().ok_or("no array")?, theirs.as_array().ok_or("no array")?);
    ensure!(!some.is_empty() && some.len() < all.len(), "{} threads / {}", all.len(), some.len());
    ensure!(all.ends_with(some), "pyattach / py-spy:\n{ours}\n{theirs}");
    Ok(())
}

/// py-spy cannot stop a process that a signal has stopped.
fn stopped(interpreter: &Interpreter, stage: &Stage) -> Outcome {
    let target = parked(interpreter, stage, &["many_threads.py", "2"])?;
    let before = ours(&target)?;
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(target.pid), nix::sys::signal::Signal::SIGSTOP)?;
    for tid in kernel::threads(target.pid)? {
        kernel::wait_until("a stop", || Ok(kernel::status(target.pid, tid, "State")?.starts_with('T')))?;
    }
    ensure_same_text(&ours(&target)?, &before)?;
    ensure!(theirs(&target)?.status.code() != Some(0), "py-spy can read a stopped process");
    Ok(())
}

/// py-spy finds no interpreter in these. The fields are there all the same, in their order.
fn free_threaded(interpreter: &Interpreter, stage: &Stage) -> Outcome {
    let target = parked(interpreter, stage, &["many_threads.py", "2"])?;
    ensure!(theirs(&target)?.status.code() != Some(0), "py-spy can read a free-threaded build");
    let ours = ours(&target)?;
    let thread = ["pid", "thread_id", "thread_name", "os_thread_id", "active", "owns_gil", "frames", "process_info"];
    let frame = ["name", "filename", "module", "short_filename", "line", "locals", "is_entry", "is_shim_entry"];
    let mut rest = ours.as_str();
    for key in thread[..7].iter().chain(&frame).chain(&thread[7..]) {
        let (_, behind) = rest.split_once(&format!("\"{key}\": ")).ok_or_else(|| format!("no {key} in {ours}"))?;
        rest = behind;
    }
    let threads: Value = serde_json::from_str(&ours)?;
    let tids: Vec<&Value> = threads.as_array().into_iter().flatten().map(|thread| &thread["os_thread_id"]).collect();
    let said = target.expect["threads"].as_array().into_iter().flatten().map(|thread| &thread["tid"]);
    ensure!(tids == said.rev().collect::<Vec<_>>(), "threads {tids:?}, newest first");
    Ok(())
}
