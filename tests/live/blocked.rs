//! Waits that are less common: events, signals, groups of children, shared locks, connections that do not come about, other
//! namespaces, a file system that does not answer.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::support::registry::Interpreter;
use crate::support::stage::{self, Stage};
use crate::support::target::{Target, python};
use crate::support::{Failed, Outcome, attach, ensure, kernel};
use crate::waits::{differences, ensure_waits};
use crate::{Scenario, everywhere};

pub(crate) const SCENARIOS: &[Scenario] = &[
    Scenario { name: "waits_for_events_and_children", exists: everywhere, run: |i, s| family(i, s, "most") },
    // Older C libraries want a file system of the right kind for them, which a bare root has not.
    Scenario {
        name: "waits_for_shared_locks",
        exists: |i| !i.is_in_chroot() || i.since(15),
        run: |i, s| family(i, s, "shared_locks"),
    },
    Scenario { name: "waits_in_a_network_namespace", exists: everywhere, run: network_namespace },
    Scenario { name: "waits_in_a_pid_namespace", exists: one_of_each_kind, run: pid_namespace },
    Scenario { name: "waits_for_a_frozen_file_system", exists: one_of_each_kind, run: frozen },
];

/// Where the interpreter plays no part but for its threads.
fn one_of_each_kind(interpreter: &Interpreter) -> bool {
    ["3.8", "3.10", "3.12", "3.13", "3.14", "3.15", "3.14t"].contains(&&*interpreter.name)
}

fn family(interpreter: &Interpreter, stage: &Stage, name: &str) -> Outcome {
    let target = Target::start(interpreter, stage, &["blocked.py", name])?;
    ensure_waits(target.pid, &target.expect)
}

/// A command that runs the program in what a shell script prepares, which ends with `exec "$@"`.
fn prepared(interpreter: &Interpreter, stage: &Stage, wrapper: &[&str], program: &[&str]) -> Result<Command, Failed> {
    let plain = python(interpreter);
    let (first, rest) = wrapper.split_first().ok_or("no wrapper")?;
    let mut command = Command::new(first);
    command.args(rest).arg(plain.get_program()).args(plain.get_args());
    command.arg(stage.inside(program.first().ok_or("no program")?)).args(program.get(1..).unwrap_or_default());
    command.env_clear().envs(plain.get_envs().filter_map(|(key, value)| Some((key, value?))));
    Ok(command)
}

/// Sockets are looked up in the target's network namespace: here, no table of ours has them.
fn network_namespace(interpreter: &Interpreter, stage: &Stage) -> Outcome {
    let wrapper = ["unshare", "--net", "sh", "-c", "ip link set lo up && exec \"$@\"", "sh"];
    let target = Target::spawn(prepared(interpreter, stage, &wrapper, &["blocked.py", "connections"])?)?;
    let namespace = |who: &str| std::fs::read_link(format!("/proc/{who}/ns/net"));
    ensure!(namespace("self")? != namespace(&target.pid.to_string())?, "it is in our network namespace");
    ensure_waits(target.pid, &target.expect)
}

/// Children have one number here and another one there; both are said.
fn pid_namespace(interpreter: &Interpreter, stage: &Stage) -> Outcome {
    let wrapper = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"];
    let target = Target::spawn(prepared(interpreter, stage, &wrapper, &["blocked.py", "processes"])?)?;
    let [pid] = *kernel::children(target.spawned())? else { return Err("not one process in the namespace".into()) };
    let mut expect = target.expect.clone();
    let own = expect["wait4"]["pid"].as_i64().ok_or("no child")?;
    let is_own = |child: &i32| {
        let ids = kernel::status(*child, *child, "NSpid")?;
        Ok::<_, Failed>(ids.split_whitespace().last().is_some_and(|id| id == own.to_string()))
    };
    let mut ours = None;
    for child in kernel::children(pid)? {
        if is_own(&child)? {
            ours = Some(child);
        }
    }
    let ours = ours.ok_or("the child is not there")?;
    for name in ["wait4", "waitid", "waitid of a pidfd"].iter().filter(|name| target.expect.get(name).is_some()) {
        expect[name]["pid"] = ours.into();
        expect[name]["words"] = match *name {
            "waitid of a pidfd" => serde_json::json!([format!("for child {ours} (")]),
            _ => serde_json::json!([format!("for child {ours}, {own} in its PID namespace (")]),
        };
    }
    ensure_waits(pid, &expect)
}

/// A file system in a file, which nobody can write to while it is frozen: a disk that does not answer.
struct FileSystem {
    directory: tempfile::TempDir,
}

impl FileSystem {
    fn mount(root: &Path) -> Result<FileSystem, Failed> {
        let directory = stage::directory_in(root)?;
        let image = directory.path().join("image");
        std::fs::File::create(&image)?.set_len(1 << 20)?;
        let system = FileSystem { directory };
        std::fs::create_dir(system.path())?;
        run("mkfs.ext2", &["-q", &image.display().to_string()])?;
        run("mount", &["-o", "loop", &image.display().to_string(), &system.path().display().to_string()])?;
        Ok(system)
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("mounted")
    }

    fn freeze(&self) -> Result<Frozen<'_>, Failed> {
        run("fsfreeze", &["--freeze", &self.path().display().to_string()])?;
        Ok(Frozen(self))
    }
}

impl Drop for FileSystem {
    fn drop(&mut self) {
        let _ = run("umount", &["--lazy", &self.path().display().to_string()]);
    }
}

/// Who waits for it cannot even be killed until this is dropped, so it must be dropped before the target.
struct Frozen<'f>(&'f FileSystem);

impl Drop for Frozen<'_> {
    fn drop(&mut self) {
        let _ = run("fsfreeze", &["--unfreeze", &self.0.path().display().to_string()]);
    }
}

fn run(program: &str, arguments: &[&str]) -> Outcome {
    let mut command = Command::new(program);
    // Root's tools are not on everybody's path.
    command.args(arguments).env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
    attach::run(command)?.ensure_code(&[0])
}

/// State D: the file is named, and neither `stack` nor `doctor` hangs with the target, stopping included.
fn frozen(interpreter: &Interpreter, stage: &Stage) -> Outcome {
    let system = FileSystem::mount(&interpreter.root)?;
    let inside = stage::inside(&interpreter.root, &system.path()).display().to_string();
    let mut target = Target::start(interpreter, stage, &["blocked.py", "frozen", &inside])?;
    let frozen = system.freeze()?;
    target.tell("\n")?;
    let expect: Value = serde_json::from_str(&target.line()?)?;
    kernel::wait_for_rest(target.pid)?;
    kernel::wait_for_read(target.pid, target.pid)?;
    let seen = attach::snapshot(target.pid, &[])?;
    let found = differences(&expect, &seen)?;
    ensure!(found.is_empty(), "{}", found.join("\n"));
    let states = seen["threads"].as_array().into_iter().flatten().filter(|thread| thread["os_state"] == "D").count();
    ensure!(states == expect.as_object().map_or(0, serde_json::Map::len), "{states} threads in state D: {seen}");
    // Nobody can stop them, which costs the proof, not the stacks.
    let answer = attach::stack(target.pid, &["--json", "--pause", "always", "--timeout", "20"])?;
    answer.ensure_code(&[6])?;
    ensure!(answer.text().contains("it is in uninterruptible sleep"), "no word of it: {answer}");
    let found = differences(&expect, &answer.json()?)?;
    ensure!(found.is_empty(), "{}", found.join("\n"));
    kernel::ensure_left_alone(target.pid)?;
    drop(frozen);
    Ok(())
}
