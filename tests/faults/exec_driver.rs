//! A process of its own that runs a script in another one, to be killed at any moment. It is this very test program, started
//! again with an order in its environment.

use std::collections::BTreeMap;
use std::os::unix::fs::FileExt;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use pyattach::cpython::{LayoutChoice, find};
use pyattach::inject::{
    ChannelFacts, ChannelState, InjectOptions, Progress, Route, Subject, ThreadChoice, channel_state, inject,
};
use pyattach::os::Process;

use crate::support::Failed;

const ORDER: &str = "PYATTACH_TEST_ORDER";

/// What to do: to a process, by a route, with a script.
#[derive(Clone, Debug)]
pub(crate) struct Order {
    pub(crate) pid: i32,
    /// Only this route, named as for `--route`; empty for whichever fits.
    pub(crate) route: &'static str,
    /// Python that runs with `channel(text)` to answer.
    pub(crate) script: String,
    /// Seconds in which it has to start.
    pub(crate) limit: f64,
    /// Before which step to be killed.
    pub(crate) die_at: Option<u32>,
}

impl Order {
    pub(crate) fn new(pid: i32, script: &str) -> Order {
        Order { pid, route: "", script: script.to_owned(), limit: 20.0, die_at: None }
    }

    pub(crate) fn by(self, route: &'static str) -> Order {
        Order { route, ..self }
    }

    pub(crate) fn within(self, limit: f64) -> Order {
        Order { limit, ..self }
    }

    pub(crate) fn dying_at(self, step: u32) -> Order {
        Order { die_at: Some(step), ..self }
    }

    /// Starts it.
    pub(crate) fn start(&self) -> Result<Child, Failed> {
        let mut command = Command::new(std::env::current_exe()?);
        let words = [self.pid.to_string(), self.route.to_owned(), self.limit.to_string(), self.script.clone()];
        command.env(ORDER, words.join("\n"));
        if let Some(step) = self.die_at {
            command.env("PYATTACH_DIE_AT_STEP", step.to_string());
        }
        Ok(command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?)
    }

    /// Runs it to its end.
    pub(crate) fn run(&self) -> Result<Done, Failed> {
        Done::of(self.start()?)
    }
}

/// How a driver ended.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) killed: bool,
    pub(crate) ok: bool,
    /// What it said: `route`, `answer`, `paused`, `error` and so on.
    pub(crate) said: BTreeMap<String, String>,
    pub(crate) stderr: String,
}

impl std::fmt::Display for Done {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "killed: {}, {:?}, {}", self.killed, self.said, self.stderr)
    }
}

impl Done {
    pub(crate) fn of(child: Child) -> Result<Done, Failed> {
        let output = child.wait_with_output()?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let said = text.lines().filter_map(|line| line.split_once('=')).map(|(k, v)| (k.to_owned(), v.to_owned()));
        Ok(Done {
            killed: output.status.signal() == Some(9),
            ok: output.status.success(),
            said: said.collect(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        })
    }

    /// What the script answered.
    pub(crate) fn answer(&self) -> &str {
        self.said.get("answer").map_or("", String::as_str)
    }

    pub(crate) fn get(&self, key: &str) -> &str {
        self.said.get(key).map_or("", String::as_str)
    }
}

/// Does what the environment orders, if it does.
pub(crate) fn run_if_asked() -> Option<ExitCode> {
    let order = std::env::var(ORDER).ok()?;
    match run(&order) {
        Ok(()) => Some(ExitCode::SUCCESS),
        Err(error) => {
            println!("error={error}");
            Some(ExitCode::FAILURE)
        }
    }
}

fn run(order: &str) -> Result<(), Box<dyn std::error::Error>> {
    let mut words = order.splitn(4, '\n');
    let mut word = || words.next().ok_or("a short order");
    let (pid, route, limit, script) = (word()?.parse()?, word()?, word()?.parse()?, word()?);
    let process = Process::open(pid)?;
    let modules = process.modules()?;
    let memory = process.memory();
    let runtime = find(&process, &modules, &memory, LayoutChoice::Auto)?;
    let subject = Subject { process: &process, modules: &modules, memory: &memory, runtime: &runtime };
    let options = InjectOptions {
        thread: ThreadChoice::Auto,
        start_limit: Duration::from_secs_f64(limit),
        only_route: route_of(route),
        ..InjectOptions::default()
    };
    let mut channel = None;
    let injected = inject(&subject, &options, &|facts| program(facts, script), &mut |progress| {
        if let Progress::ChannelOpen { file, facts } = progress {
            channel = Some((file, facts));
        } else if let Progress::Requested { route } = progress {
            println!("requested={route:?}");
        }
    })?;
    println!("route={:?}", injected.route);
    println!("paused={}", injected.paused.as_micros());
    let (file, facts) = channel.ok_or("no channel")?;
    let answer = read_answer(&file, &facts)?;
    println!("answer={answer}");
    Ok(())
}

fn route_of(name: &str) -> Option<Route> {
    Some(match name {
        "pending-call" => Route::PendingCall,
        "signal-frame" => Route::SignalFrame,
        "new-thread" => Route::NewThread,
        "remote-debugger" => Route::RemoteDebugger,
        _ => return None,
    })
}

/// Looks after itself as the command's own does: not in a child, not twice, not with somebody else's descriptor, not late.
fn program(facts: &ChannelFacts, script: &str) -> Vec<u8> {
    let ChannelFacts { fd, device, inode, stream_at, ns_pid, deadline_ns, text_fd, .. } = facts;
    let text = text_fd.map(|fd| format!("posix.close({fd})\n")).unwrap_or_default();
    let script: String = script.lines().map(|line| format!("            {line}\n")).collect();
    format!(
        "import posix\nimport time\n{text}s = posix.fstat({fd})\n\
         if (s.st_dev, s.st_ino) == ({device}, {inode}):\n    \
           try:\n        \
             if s.st_size == {stream_at} and posix.getpid() == {ns_pid} and time.monotonic_ns() <= {deadline_ns}:\n            \
               posix.lseek({fd}, {stream_at}, 0)\n            \
               channel = lambda text: posix.write({fd}, text.encode())\n            \
               posix.write({fd}, b'<')\n\
{script}            \
               posix.write({fd}, b'>')\n    \
           finally:\n        \
             posix.close({fd})\n"
    )
    .into_bytes()
}

/// What the script wrote.
fn read_answer(file: &std::fs::File, facts: &ChannelFacts) -> Result<String, Box<dyn std::error::Error>> {
    let began = Instant::now();
    loop {
        let state = channel_state(file);
        let len = file.metadata()?.len().saturating_sub(facts.stream_at);
        let mut bytes = vec![0; len as usize];
        file.read_exact_at(&mut bytes, facts.stream_at)?;
        let text = String::from_utf8(bytes)?;
        if let Some(text) = text.strip_prefix('<').and_then(|text| text.strip_suffix('>')) {
            return Ok(text.to_owned());
        }
        if state == ChannelState::Failed || began.elapsed() > Duration::from_secs(30) {
            return Err(format!("{state:?}: {text:?}").into());
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}
