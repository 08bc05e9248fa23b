//! Scripts in containers that runc and podman make of the tests' Debian roots: their defaults (podman's system-call filter among
//! them), and hardened ones. Seen from outside: results come back, with the ids of both namespaces, and nothing is left there.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::libc;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::Test;
use crate::exec_places::{descriptors, exec, limits};
use crate::support::registry::{self, Interpreter};
use crate::support::target::Target;
use crate::support::{Failed, Outcome, attach, ensure, kernel};

pub(crate) const TESTS: &[Test] = &[
    ("runc", || everywhere("debian-3.13", RUNC, &[])),
    ("runc_of_old_version", || everywhere("debian-3.9", RUNC, &[])),
    ("runc_3.14", || everywhere("debian-3.14", RUNC, &[])),
    ("runc_user_namespace", || everywhere("debian-3.11", RUNC_USER_NAMESPACE, &[])),
    ("podman", || everywhere("debian-3.11", PODMAN, &[])),
    ("podman_of_old_version", || everywhere("debian-3.9", PODMAN, &[])),
    ("podman_3.15", || everywhere("debian-3.15", PODMAN, &[])),
    ("podman_read_only_as_nobody", || everywhere("debian-3.13", PODMAN_HARDENED, &[])),
    ("podman_no_free_descriptor", || everywhere("debian-3.14", PODMAN_HARDENED, &["nofile"])),
];

/// What makes the container.
#[derive(Clone, Copy)]
struct Engine {
    program: &'static str,
    /// For podman its options, for runc further namespaces.
    options: &'static [&'static str],
    /// What must be true of the process in it: fields of /proc/PID/status.
    is: &'static [(&'static str, &'static str)],
}

/// No capability, another user, no new privileges, a read-only root: as its bundle says, see `bundle`.
const RUNC: Engine = Engine {
    program: "runc",
    options: &[],
    is: &[("Uid", "65534\t65534\t65534\t65534"), ("CapEff", "0000000000000000"), ("NoNewPrivs", "1")],
};

/// Root there, and nobody that the machine knows.
const RUNC_USER_NAMESPACE: Engine =
    Engine { program: "runc", options: &["user"], is: &[("Uid", "100000\t100000\t100000\t100000")] };

/// As `podman run` does it. Its system-call filter refuses what it does not know with `ENOSYS` or `EPERM`.
const PODMAN: Engine = Engine { program: "podman", options: &[], is: &[("Uid", "0\t0\t0\t0"), ("Seccomp", "2")] };

const PODMAN_HARDENED: Engine = Engine {
    program: "podman",
    options: &[
        "--user=65534:65534",
        "--cap-drop=all",
        "--security-opt=no-new-privileges",
        "--read-only",
        "--read-only-tmpfs=false",
    ],
    is: &[("Uid", "65534\t65534\t65534\t65534"), ("CapEff", "0000000000000000"), ("NoNewPrivs", "1"), ("Seccomp", "2")],
};

/// States that take different routes, and the system calls by which they are recognised.
const STATES: &[(&str, &[i64])] = &[
    ("busy", &[]),
    ("recv", &[libc::SYS_recvfrom]),
    ("lock", &[libc::SYS_futex]),
    ("c_released", &[libc::SYS_poll, libc::SYS_ppoll]),
];

fn everywhere(name: &str, engine: Engine, arguments: &[&str]) -> Outcome {
    let interpreter = registry::find(name)?;
    for (state, calls) in STATES {
        // A socket and ctypes need a descriptor.
        if arguments.contains(&"nofile") && ["recv", "c_released"].contains(state) {
            continue;
        }
        one(&interpreter, engine, state, calls, arguments)
            .map_err(|failed| format!("{name}, {state}: {}", failed.message().unwrap_or("?")))?;
    }
    Ok(())
}

/// A container, which would outlive what has started it. It is gone when this is.
struct Container {
    engine: Engine,
    name: String,
    /// The bundle, and the file with the process's id.
    directory: TempDir,
}

impl Drop for Container {
    fn drop(&mut self) {
        let force: &[&str] =
            if self.engine.program == "runc" { &["delete", "--force"] } else { &["rm", "-f", "-t", "0"] };
        let mut command = Command::new(self.engine.program);
        command.args(force).arg(&self.name).stdout(Stdio::null()).stderr(Stdio::null());
        let _ = command.status();
    }
}

const PROGRAMS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/programs");

impl Container {
    fn new(engine: Engine) -> Result<Container, Failed> {
        let directory = tempfile::Builder::new().prefix("pyattach-tests-").tempdir()?;
        let name = directory.path().file_name().ok_or("no name")?.to_string_lossy().into_owned();
        Ok(Container { engine, name, directory })
    }

    fn pid_file(&self) -> PathBuf {
        self.directory.path().join("pid")
    }

    /// The command that makes it and runs the program in it.
    fn command(&self, interpreter: &Interpreter, arguments: &[&str]) -> Result<Command, Failed> {
        let root = interpreter.root.display().to_string();
        // Every root has this directory, also one that runc cannot make another in.
        let mut words = vec![interpreter.python.as_str(), "/srv/exec_states.py"];
        words.extend(arguments);
        let mut command = Command::new(self.engine.program);
        if self.engine.program == "runc" {
            let mut seen = interpreter.root.clone();
            if !self.engine.options.is_empty() {
                // Whoever is root in another user namespace must get there, and may not enter our home.
                seen = self.directory.path().join("root");
                fs::create_dir(&seen)?;
                fs::set_permissions(self.directory.path(), fs::Permissions::from_mode(0o755))?;
                command = Command::new("unshare");
                command.args(["--mount", "sh", "-c", "mount --bind \"$0\" \"$1\" && shift && exec runc \"$@\"", &root]);
                command.arg(&seen);
            }
            let config = bundle(&seen, &words, self.engine.options);
            fs::write(self.directory.path().join("config.json"), config.to_string())?;
            command.arg("run").arg("--pid-file").arg(self.pid_file()).arg("--bundle").arg(self.directory.path());
            command.arg(&self.name);
        } else {
            command.args(["run", "--rm", "--interactive", "--network=none", "--name", &self.name]);
            command.arg("--pidfile").arg(self.pid_file()).arg(format!("--volume={PROGRAMS}:/srv:ro"));
            // Its own defaults may be more than it is allowed to set.
            command.args(["--ulimit=nofile=1024:1024", "--ulimit=nproc=4096:4096"]).args(self.engine.options);
            // What is written there is thrown away.
            command.arg("--rootfs").arg(format!("{root}:O")).args(words);
        }
        Ok(command)
    }
}

/// The configuration of a container for runc (the OCI's runtime specification, config.md).
fn bundle(root: &Path, words: &[&str], further: &[&str]) -> Value {
    let kinds = [&["pid", "network", "ipc", "uts", "mount", "cgroup"], further].concat();
    let id = if further.is_empty() { 65534 } else { 0 };
    let mapping = json!([{"containerID": 0, "hostID": 100_000, "size": 65536}]);
    let mut linux = json!({"namespaces": kinds.iter().map(|kind| json!({"type": kind})).collect::<Vec<_>>()});
    if further.contains(&"user") {
        linux["uidMappings"] = mapping.clone();
        linux["gidMappings"] = mapping;
    }
    json!({
        "ociVersion": "1.0.2",
        "root": {"path": root, "readonly": true},
        "process": {
            "user": {"uid": id, "gid": id},
            "cwd": "/",
            "args": words,
            "env": ["LC_ALL=C.UTF-8", "PYTHONDONTWRITEBYTECODE=1"],
            "capabilities": {},
            "noNewPrivileges": true,
        },
        "mounts": [
            {"destination": "/proc", "type": "proc", "source": "proc"},
            {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755"]},
            {"destination": "/srv", "type": "bind", "source": PROGRAMS, "options": ["bind", "ro"]},
        ],
        "linux": linux,
    })
}

fn one(interpreter: &Interpreter, engine: Engine, state: &str, calls: &[i64], arguments: &[&str]) -> Outcome {
    let container = Container::new(engine)?;
    let mut target = Target::spawn(container.command(interpreter, &[&[state], arguments].concat())?)?;
    // runc writes it when the process is running already.
    kernel::wait_until("the file with its id", || Ok(container.pid_file().exists()))?;
    let pid: i32 = fs::read_to_string(container.pid_file())?.trim().parse()?;
    ensure!(target.pid == 1 && pid != 1, "it is {} inside and {pid} outside", target.pid);
    for (field, value) in engine.is {
        ensure!(kernel::status(pid, pid, field)? == *value, "{field}: {}", kernel::status(pid, pid, field)?);
    }
    let is_there = || {
        let call = kernel::system_call(pid, pid)?.map(|(number, _)| number as i64);
        Ok(calls.is_empty() || call.is_some_and(|call| calls.contains(&call) || call == libc::SYS_restart_syscall))
    };
    kernel::wait_until(state, is_there)?;
    let (before, limits_before) = (descriptors(pid)?, limits(pid)?);
    let report = exec(pid, &[])?;
    ensure!(report["status"] == "ok" && report["stdout"] == format!("{state}\n"), "{report}");
    ensure!(report["pid"] == pid, "{report}");
    let value = eval(pid, "[__import__('os').getpid(), __import__('__main__').ran]")?;
    ensure!(value["result"]["value"] == json!([1, 1]), "{value}");
    let seen = attach::snapshot(pid, &[])?;
    ensure!(seen["process"]["ns_pids"] == json!([pid, 1]), "ids: {}", seen["process"]["ns_pids"]);
    let main = &seen["threads"][0];
    ensure!(main["tid"] == pid && main["ns_tid"] == 1 && main["name"] == "MainThread", "{main}");
    kernel::wait_until("the descriptors of before", || Ok(descriptors(pid)? == before))?;
    ensure!(limits(pid)? == limits_before, "other limits: {}", limits(pid)?);
    let maps = fs::read_to_string(format!("/proc/{pid}/maps"))?;
    ensure!(!maps.contains("pyattach"), "left behind: {maps}");
    kernel::ensure_left_alone(pid)?;
    if state == "c_released" {
        // Nothing ends it.
        ensure!(is_there()?, "it is no longer where it was");
        return Ok(());
    }
    target.tell("end\n")?;
    let said: Value = serde_json::from_str(&target.line()?)?;
    ensure!(said["value"] == said["expected"] && said["ran"] == 1 && said["changed"] == "", "{said}");
    ensure!(said["beats"] == true, "{said}");
    let ended = target.finish()?;
    ensure!(ended.success(), "it ended with {ended}");
    Ok(())
}

fn eval(pid: i32, expression: &str) -> Result<Value, Failed> {
    let mut command = Command::new(attach::BINARY);
    command.args(["eval", "--json", "--timeout", "40", &pid.to_string(), expression]);
    let report = attach::run(command)?.json()?;
    attach::validate_by("exec", &report)?;
    Ok(report)
}
