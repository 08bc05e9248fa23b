//! Programs with a CPython inside: an application server, a debugger, frozen executables.

use std::process::Command;

use libtest_mimic::Trial;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use crate::exec_matrix;
use crate::listing::ensure_listed;
use crate::support::registry::{self, Embedder};
use crate::support::target::Target;
use crate::support::{Failed, Outcome, attach, ensure, kernel, stage};

pub(crate) fn trials() -> Result<Vec<Trial>, Failed> {
    let programs = registry::programs()?;
    let mut trials = Vec::new();
    for kind in registry::REQUIRED_PROGRAMS {
        let missing = format!("no {kind} program: run scripts/interpreters");
        let outcome = if programs.iter().any(|(_, own)| own == kind) { Ok(()) } else { Err(missing.into()) };
        trials.push(Trial::test(format!("live::programs::{kind}"), move || outcome));
    }
    for (embedder, _) in programs {
        let run = if embedder.name == "uwsgi" { uwsgi } else { blocked_in_lock };
        trials.push(Trial::test(format!("live::embedded::{}", embedder.name), move || run(&embedder)));
    }
    Ok(trials)
}

fn command(embedder: &Embedder) -> Result<Command, Failed> {
    let (program, arguments) = embedder.command.split_first().ok_or("no command")?;
    let mut command = Command::new(program);
    command.args(arguments).env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("LC_ALL", "C.UTF-8");
    Ok(command)
}

/// Reads up to the line `READY pid` and gives the pid.
pub(crate) fn wait_until_ready(target: &Target) -> Result<i32, Failed> {
    loop {
        if let Some(pid) = target.line()?.strip_prefix("READY ") {
            return Ok(pid.trim().parse()?);
        }
    }
}

/// The names of a thread's Python functions, innermost first.
fn functions(thread: &Value) -> Vec<&str> {
    thread["frames"].as_array().into_iter().flatten().filter_map(|frame| frame["name"].as_str()).collect()
}

fn ensure_functions(seen: &Value, thread: &str, expected: &[&str]) -> Outcome {
    let found = seen["threads"].as_array().into_iter().flatten().find(|t| t["name"] == thread);
    let found = found.ok_or_else(|| format!("no thread {thread}: {}", seen["threads"]))?;
    let names = functions(found);
    let inner: Vec<_> =
        names.iter().filter(|name| !name.starts_with("_bootstrap") && **name != "run").copied().collect();
    ensure!(inner == expected, "{thread}: {inner:?} instead of {expected:?}");
    Ok(())
}

/// frozen_app.py, in whatever it runs: a thread waits for a lock, the main thread for standard input.
fn blocked_in_lock(embedder: &Embedder) -> Outcome {
    let target = Target::spawn_unready(command(embedder)?)?;
    let pid = wait_until_ready(&target)?;
    let worker = *kernel::threads(pid)?.last().ok_or("no threads")?;
    kernel::wait_for_futex(pid, worker)?;
    kernel::wait_for_read(pid, pid)?;
    let seen = attach::snapshot(pid, &[])?;
    let listed = ensure_listed(pid, seen["python"]["version"].as_str().unwrap_or_default())?;
    ensure!(listed["python"]["module"] == seen["python"]["module"], "listed as {listed}");
    ensure_functions(&seen, "frozen-worker", &["blocked_in_worker"])?;
    ensure_functions(&seen, "MainThread", &["main_wait", "main", "<module>"])
}

/// The application server and its workers, which would outlive a killed master.
pub(crate) struct Server(pub(crate) Target);

impl Drop for Server {
    fn drop(&mut self) {
        let workers = kernel::children(self.0.spawned()).unwrap_or_default();
        self.0.kill();
        for worker in workers {
            let _ = kill(Pid::from_raw(worker), Signal::SIGKILL);
        }
    }
}

/// A worker of the application server before a request and in one that hangs.
fn uwsgi(embedder: &Embedder) -> Outcome {
    let script = std::fs::read_to_string(embedder.command.first().ok_or("no command")?)?;
    let root = script.split_whitespace().skip_while(|word| *word != "chroot").nth(1).ok_or("no root")?;
    let directory = stage::directory_in(root.as_ref())?;
    let inside = |name: &str| stage::inside(root.as_ref(), &directory.path().join(name)).display().to_string();
    let gate = directory.path().join("gate");
    nix::unistd::mkfifo(&gate, nix::sys::stat::Mode::S_IRWXU)?;
    let mut command = command(embedder)?;
    command.env("UWSGI_HTTP_SOCKET", inside("socket"));
    let server = Server(Target::spawn_unready(command)?);
    let pid = wait_until_ready(&server.0)?;
    let seen = attach::snapshot(pid, &[])?;
    ensure_functions(&seen, "wsgi-background", &["background"])?;
    let listed = ensure_listed(pid, seen["python"]["version"].as_str().unwrap_or_default())?;
    ensure!(listed["python_parent_pid"] == server.0.spawned(), "not below its master: {listed}");

    // The server's own C code waits for requests.
    exec_matrix::in_other_program(pid, "other", &["new_thread"])?;

    let mut connection = std::os::unix::net::UnixStream::connect(directory.path().join("socket"))?;
    std::io::Write::write_all(&mut connection, format!("GET /?{} HTTP/1.0\r\n\r\n", inside("gate")).as_bytes())?;
    // Opened for writing only when the request has opened it for reading.
    let held = std::fs::OpenOptions::new().write(true).open(&gate)?;
    kernel::wait_until("a read of the gate", || {
        Ok(kernel::system_call(pid, pid)?.is_some_and(|(number, fd)| number == nix::libc::SYS_read as u64 && fd > 2))
    })?;
    let seen = attach::snapshot(pid, &[])?;
    let hanging = ["handle_request", "application"];
    let is_hanging = |thread: &Value| functions(thread).ends_with(&hanging);
    ensure!(seen["threads"].as_array().is_some_and(|all| all.iter().any(is_hanging)), "threads: {}", seen["threads"]);
    // What waits now was called by Python.
    exec_matrix::in_other_program(pid, "main", &["signal_frame", "remote_debugger_woken", "remote_debugger"])?;
    drop(held);
    let mut answer = String::new();
    std::io::Read::read_to_string(&mut connection, &mut answer)?;
    ensure!(answer.contains(" 200 OK"), "the request ended with {answer:?}");
    Ok(())
}
