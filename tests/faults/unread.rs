//! What cannot be read of a wait is said, and nothing is put in its place.

use std::os::fd::AsRawFd;
use std::process::Command;

use serde_json::Value;

use crate::refused::{NOBODY, binary_for_all};
use crate::support::stage::Stage;
use crate::support::target::{self, Target};
use crate::support::{Failed, Outcome, attach, ensure, kernel, registry};
use crate::{Test, start};

pub(crate) const TESTS: &[Test] = &[
    ("system_call", system_call),
    ("descriptor", descriptor),
    ("members", members),
    ("locks_of_files", locks_of_files),
    ("other_end_of_a_pipe", other_end_of_a_pipe),
];

/// The stack as JSON, with calls that name one of these paths made to fail.
fn stack_without(target: &Target, call: &str, paths: &[String]) -> Result<Value, Failed> {
    let mut command = Command::new("strace");
    command.args(["-f", "-qq", "-o", "/dev/null", "-e", &format!("inject={call}:error=EACCES")]);
    for path in paths {
        command.args(["-P", path]);
    }
    command.args([attach::BINARY, "stack", &target.pid.to_string(), "--json"]);
    let answer = attach::run(command)?;
    answer.ensure_code(&[0])?;
    let seen = answer.json()?;
    attach::validate(&seen)?;
    Ok(seen)
}

/// The wait of the thread of this name, and the thread.
fn wait_of<'s>(seen: &'s Value, name: &str) -> Result<(&'s Value, &'s Value), Failed> {
    let thread = seen["threads"].as_array().into_iter().flatten().find(|thread| thread["name"] == name);
    let thread = thread.ok_or_else(|| format!("no thread {name}"))?;
    Ok((&thread["wait"], thread))
}

fn ensure_text(seen: &Value, name: &str, text: &str) -> Outcome {
    let (wait, _) = wait_of(seen, name)?;
    ensure!(wait["text"] == text, "{name}: {wait}, not {text:?}");
    Ok(())
}

/// Without the file `syscall` of a thread nothing is known of its wait; those of the others are as ever.
fn system_call() -> Outcome {
    let target = start(&["blocked.py", "most"])?;
    kernel::wait_for_rest(target.pid)?;
    let tid = target.expect["inotify"]["tid"].as_i64().ok_or("no thread")?;
    // Relative to the directory of threads, which is how it is opened.
    let seen = stack_without(&target, "openat", &[format!("{tid}/syscall")])?;
    let (wait, thread) = wait_of(&seen, "inotify")?;
    ensure!(wait.is_null(), "made up: {wait}");
    ensure!(thread["frames"].as_array().is_some_and(|frames| !frames.is_empty()), "no stack: {thread}");
    let told = format!("/proc/{}/task/{tid}/syscall: Permission denied", target.pid);
    let problems: Vec<&str> =
        seen["problems"].as_array().into_iter().flatten().filter_map(|problem| problem["message"].as_str()).collect();
    ensure!(problems.iter().any(|problem| problem.contains(&told)), "not said: {problems:?}");
    let (wait, _) = wait_of(&seen, "signalfd")?;
    ensure!(wait["text"].as_str().is_some_and(|text| text.ends_with("signalfd")), "another thread's: {wait}");
    Ok(())
}

/// Without the link of a descriptor its number is known, and what is waited for.
fn descriptor() -> Outcome {
    let target = start(&["blocked.py", "most"])?;
    kernel::wait_for_rest(target.pid)?;
    let fd = target.expect["inotify"]["fd"].as_i64().ok_or("no descriptor")?;
    let threads = kernel::threads(target.pid)?;
    let links: Vec<String> = threads.iter().map(|tid| format!("/proc/{}/task/{tid}/fd/{fd}", target.pid)).collect();
    for call in ["readlink", "readlinkat"] {
        let seen = stack_without(&target, call, &links)?;
        let text = wait_of(&seen, "inotify")?.0["text"].as_str().unwrap_or_default().to_owned();
        if text.ends_with("inotify") {
            continue;
        }
        return ensure_text(&seen, "inotify", &format!("read on fd {fd}, of which no more can be read"));
    }
    Err("the link was read without a call to read a link".into())
}

/// Without `fdinfo` the members of an epoll are not known, which is not the same as none.
fn members() -> Outcome {
    let target = start(&["blocked.py", "most"])?;
    kernel::wait_for_rest(target.pid)?;
    let fd = |name: &str| target.expect[name]["fd"].as_i64().ok_or("no descriptor");
    let (some, none) = (fd("epoll of events")?, fd("epoll of nothing")?);
    let threads = kernel::threads(target.pid)?;
    let files: Vec<String> =
        threads.iter().map(|tid| format!("/proc/{}/task/{tid}/fdinfo/{some}", target.pid)).collect();
    let seen = stack_without(&target, "openat", &files)?;
    ensure_text(&seen, "epoll of events", &format!("epoll_wait on fd {some} (its fds could not be read; no timeout)"))?;
    ensure_text(&seen, "epoll of nothing", &format!("epoll_wait on fd {none} (no fds; no timeout)"))
}

/// Without `/proc/locks` the file is named, and nobody as the holder.
fn locks_of_files() -> Outcome {
    let target = start(&["blocked.py", "most"])?;
    kernel::wait_for_rest(target.pid)?;
    let seen = stack_without(&target, "openat", &["/proc/locks".to_owned()])?;
    for name in ["flock", "fcntl"] {
        let (wait, _) = wait_of(&seen, name)?;
        ensure!(wait["path"] == target.expect[name]["path"] && wait["pid"].is_null(), "{wait}");
        ensure!(wait["text"].as_str().is_some_and(|text| !text.contains("held")), "{wait}");
    }
    Ok(())
}

/// A full pipe that only root's processes read, and a user who may not look at those.
fn other_end_of_a_pipe() -> Outcome {
    let interpreter = registry::find("debian-3.13")?;
    let stage = Stage::new(&interpreter.root)?;
    let (reader, writer) = std::io::pipe()?;
    // Only this end is inherited.
    let fd = writer.as_raw_fd();
    nix::fcntl::fcntl(&writer, nix::fcntl::FcntlArg::F_SETFD(nix::fcntl::FdFlag::empty()))?;
    let program = format!(
        "import sys, threading; sys.path.insert(0, {:?}); import os, truth; \
         threading.Thread(target=os.write, args=({fd}, bytes(1 << 20)), name='writer', daemon=True).start(); truth.stay()",
        stage.inside("")
    );
    let mut command = Command::new("chroot");
    command.args(["--userspec=65534:65534", "--groups="]).arg(&interpreter.root).arg(&interpreter.python);
    command.args(["-c", &program]).env_clear();
    let plain = target::python(&interpreter);
    command.envs(plain.get_envs().filter_map(|(key, value)| Some((key, value?))));
    let target = Target::spawn(command)?;
    drop(writer);
    kernel::wait_for_rest(target.pid)?;
    let (_directory, binary) = binary_for_all()?;
    let mut command = Command::new("setpriv");
    command.args(NOBODY).arg(binary).args(["stack", &target.pid.to_string(), "--json"]);
    let answer = attach::run(command)?;
    answer.ensure_code(&[0])?;
    ensure_text(&answer.json()?, "writer", &format!("write to a full pipe on fd {fd}, whose reader was not found"))?;
    // Root finds it: this very process.
    let seen = attach::snapshot(target.pid, &[])?;
    let (wait, _) = wait_of(&seen, "writer")?;
    ensure!(wait["pid"] == std::process::id(), "the reader is {}: {wait}", std::process::id());
    drop(reader);
    Ok(())
}
