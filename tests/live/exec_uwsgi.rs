//! The column of the matrix of scripts that is an application server: a worker of uWSGI that is in the middle of a request.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::process::Command;

use libtest_mimic::Trial;
use serde_json::Value;

use crate::embedded::{Server, wait_until_ready};
use crate::exec_matrix::{self, Cell, STATES, State};
use crate::support::registry::{self, Embedder};
use crate::support::stage::{self, Stage};
use crate::support::target::Target;
use crate::support::{Failed, Outcome, ensure};

/// States that its worker is not tried in: an event loop beside uWSGI's own is nothing that it allows for.
const WITHOUT: &[&str] = &["uvloop"];

pub(crate) fn trials() -> Result<Vec<Trial>, Failed> {
    let embedder = registry::programs()?.into_iter().map(|(embedder, _)| embedder).find(|one| one.name == "uwsgi");
    let one = |state: &'static State| {
        let embedder = embedder.clone();
        Trial::test(format!("live::exec_matrix::{}::uwsgi", state.name), move || {
            run(state, &embedder.ok_or("no uwsgi: run scripts/interpreters")?)
        })
    };
    Ok(STATES.iter().filter(|state| !WITHOUT.contains(&state.name)).map(one).collect())
}

fn run(state: &'static State, embedder: &Embedder) -> Outcome {
    // The script that starts it, with another application, which is told on standard input when to end its request.
    let script = std::fs::read_to_string(embedder.command.first().ok_or("no command")?)?;
    let root = script.split_whitespace().skip_while(|word| *word != "chroot").nth(1).ok_or("no root")?.to_owned();
    let stage = Stage::new(root.as_ref())?;
    let ours = format!("{} --honour-stdin", stage.inside("wsgi_states.py").display());
    ensure!(script.contains("/srv/wsgi_app.py"), "another script than was thought: {script}");
    let directory = stage::directory_in(root.as_ref())?;
    let socket = stage::inside(root.as_ref(), &directory.path().join("socket"));
    let mut command = Command::new("sh");
    command.arg("-c").arg(script.replace("/srv/wsgi_app.py", &ours)).env_clear().env("UWSGI_HTTP_SOCKET", socket);
    command.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("LC_ALL", "C.UTF-8");
    let mut server = Server(Target::spawn_unready(command)?);
    let pid = wait_until_ready(&server.0)?;
    let mut connection = UnixStream::connect(directory.path().join("socket"))?;
    connection.write_all(format!("GET /?{} HTTP/1.0\r\n\r\n", state.name).as_bytes())?;
    ensure!(own_line(&server.0)?["ready"] == pid, "another process serves it");
    let cell = Cell { state, name: "uwsgi", pid };
    cell.run_scripts()?;
    if state.is_endless() {
        return Ok(());
    }
    server.0.tell("end\n")?;
    exec_matrix::ensure_unchanged(&own_line(&server.0)?)?;
    let mut answer = String::new();
    connection.read_to_string(&mut answer)?;
    ensure!(answer.contains(" 200 OK") && answer.ends_with("served"), "the request ended with {answer:?}");
    Ok(())
}

/// The next line that is not uWSGI's.
fn own_line(server: &Target) -> Result<Value, Failed> {
    loop {
        let line = server.line()?;
        if line.starts_with('{') {
            return Ok(serde_json::from_str(&line)?);
        }
    }
}
