//! `pyattach exec PID SCRIPT` and `pyattach eval PID EXPRESSION`.

use crate::base::{ProblemKind, display_safe};
use crate::cli::args::{EvalArgs, ExecArgs, RouteArg, RunArgs};
use crate::cli::audit::{self, AuditLog};
use crate::cli::failure::{Exit, Failure};
use crate::inject::bootstrap::SCRIPT_BYTES;
use crate::inject::channel::Stream;
use crate::inject::{Kind, RECIPES, Route, Script, ThreadChoice, recipe};
use crate::os::wait_for_interrupt;
use crate::report::format::{write_exec, write_json};
use crate::report::{ExecOptions, ExecReport, ExecStatus, News, Watcher, exec as run_script};
use nix::sys::signal::{SigSet, Signal, raise};
use std::io::{self, IsTerminal, Read, Write};
use std::time::Duration;

/// Runs a script, and prints what it prints.
pub(in crate::cli) fn exec(args: &ExecArgs, out: &mut dyn Write) -> Result<Exit, Failure> {
    if args.list_recipes {
        return list_recipes(out);
    }
    let pid = args.pid.unwrap_or_default();
    let script = script(args)?;
    run(pid, &script, &args.how, out)
}

/// Evaluates an expression, and prints its value.
pub(in crate::cli) fn eval(args: &EvalArgs, out: &mut dyn Write) -> Result<Exit, Failure> {
    let source = match args.expression.as_str() {
        "-" => read(&mut io::stdin().lock(), "standard input")?,
        text => text.as_bytes().to_vec(),
    };
    let script = Script {
        source: source.trim_ascii().to_vec(),
        name: "<expression>".to_owned(),
        file: "<expression>".to_owned(),
        arguments: Vec::new(),
        namespace: args.how.namespace.clone(),
        kind: Kind::Eval,
    };
    run(args.pid, &script, &args.how, out)
}

fn list_recipes(out: &mut dyn Write) -> Result<Exit, Failure> {
    let listed = RECIPES.iter().try_for_each(|recipe| {
        writeln!(out, "{}", recipe.name)?;
        recipe.about().try_for_each(|line| writeln!(out, "    {line}"))
    });
    listed.map_err(Failure::output)?;
    Ok(Exit::Complete)
}

/// The script that was asked for.
fn script(args: &ExecArgs) -> Result<Script, Failure> {
    let (source, name, file, own) = match (&args.code, &args.recipe, args.script.as_deref()) {
        (Some(code), _, _) => (code.as_bytes().to_vec(), "-c".to_owned(), "-c".to_owned(), false),
        (None, Some(name), _) => {
            let recipe = recipe(name).ok_or_else(|| {
                let known: Vec<&str> = RECIPES.iter().map(|recipe| recipe.name).collect();
                Failure::usage(format!("no recipe {name}; there are {}", known.join(", ")))
            })?;
            (recipe.source.as_bytes().to_vec(), name.clone(), format!("<recipe {name}>"), false)
        }
        (None, None, Some("-")) => {
            (read(&mut io::stdin().lock(), "standard input")?, "-".into(), "<stdin>".into(), true)
        }
        (None, None, Some(path)) => {
            let mut file = std::fs::File::open(path).map_err(|error| Failure::input(path, error))?;
            let whole =
                std::fs::canonicalize(path).map_or_else(|_| path.to_owned(), |p| p.to_string_lossy().into_owned());
            (read(&mut file, path)?, path.to_owned(), whole, true)
        }
        (None, None, None) => return Err(Failure::usage("no script".to_owned())),
    };
    // Without a script of its own place, the first word is an argument already.
    let first = args.script.iter().filter(|_| !own);
    let arguments = first.chain(&args.args).cloned().collect();
    Ok(Script { source, name, file, arguments, namespace: args.how.namespace.clone(), kind: Kind::Exec })
}

fn read(file: &mut dyn Read, name: &str) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    file.take(SCRIPT_BYTES as u64 + 1).read_to_end(&mut bytes).map_err(|error| Failure::input(name, error))?;
    match bytes.len() > SCRIPT_BYTES {
        true => Err(Failure::usage(format!("{name} is longer than {SCRIPT_BYTES} bytes"))),
        false => Ok(bytes),
    }
}

fn options(args: &RunArgs) -> ExecOptions {
    ExecOptions {
        start_limit: args.timeout,
        run_limit: Some(args.run_timeout),
        thread: match args.thread.as_deref() {
            None => ThreadChoice::Auto,
            Some("main") => ThreadChoice::Main,
            Some("any") => ThreadChoice::Any,
            Some(text) => text.parse().map_or_else(|_| ThreadChoice::Name(text.to_owned()), ThreadChoice::Tid),
        },
        wait: !args.no_wait,
        only_route: args.route.map(|route| match route {
            RouteArg::PendingCall => Route::PendingCall,
            RouteArg::SignalFrame => Route::SignalFrame,
            RouteArg::NewThread => Route::NewThread,
            RouteArg::RemoteDebugger => Route::RemoteDebugger,
        }),
        dry_run: args.dry_run,
        ignore_seccomp: args.ignore_seccomp,
        ..ExecOptions::default()
    }
}

fn run(pid: i32, script: &Script, args: &RunArgs, out: &mut dyn Write) -> Result<Exit, Failure> {
    let mut log = match &args.audit_log {
        None => None,
        Some(target) => {
            let failed = |error| Failure::audit(target, error);
            let mut log = AuditLog::open(target).map_err(failed)?;
            log.write(&audit::line(pid, script, if args.dry_run { "dry run" } else { "begins" })).map_err(failed)?;
            Some((log, target))
        }
    };
    // From here on SIGINT is asked for: a request is not left in the process.
    let interrupt = SigSet::from(Signal::SIGINT);
    let _ = interrupt.thread_block();
    let mut printer =
        Printer { json: args.json, verbose: args.verbose, out, failed: None, interrupts: 0, decision: String::new() };
    let result = run_script(pid, script, &options(args), &mut printer);
    let (failed, interrupts) = (printer.failed, printer.interrupts);
    if let Some((log, target)) = &mut log {
        let outcome = match &result {
            Ok(report) => report.status.name(),
            Err(_) => "failed",
        };
        log.write(&audit::line(pid, script, outcome)).map_err(|error| Failure::audit(target, error))?;
    }
    let report = result?;
    if let Some(error) = failed {
        return Err(Failure::output(error));
    }
    print(&report, args, out).map_err(Failure::output)?;
    if interrupts > 0 && matches!(report.status, ExecStatus::NotStarted | ExecStatus::StillRunning) {
        let _ = out.flush();
        die_of_interrupt();
    }
    Ok(exit(&report))
}

/// As if it had never been asked for.
fn die_of_interrupt() {
    let _ = raise(Signal::SIGINT);
    let _ = SigSet::from(Signal::SIGINT).thread_unblock();
}

fn print(report: &ExecReport, args: &RunArgs, out: &mut dyn Write) -> io::Result<()> {
    if args.json {
        return write_json(out, report);
    }
    if let Some(result) = &report.result {
        // The text of a repr has no line ends but what a __repr__ of the application's puts there.
        for line in result.repr.split('\n') {
            writeln!(out, "{}", display_safe(line))?;
        }
        let shown = result.repr.chars().count() as u64;
        if shown < result.repr_chars {
            eprintln!("pyattach: the first {shown} of {} characters", result.repr_chars);
        }
    }
    out.flush()?;
    match report.status {
        ExecStatus::Planned => write_exec(out, report, args.verbose),
        _ => write_exec(&mut io::stderr().lock(), report, args.verbose),
    }
}

fn exit(report: &ExecReport) -> Exit {
    match report.status {
        ExecStatus::StillRunning => Exit::Partial,
        _ if report.problems.iter().any(|problem| problem.kind == ProblemKind::Limit) => Exit::Partial,
        ExecStatus::Ok | ExecStatus::Planned => Exit::Complete,
        ExecStatus::Exit if report.exit.as_ref().is_some_and(|exit| exit.code == Some(0)) => Exit::Complete,
        ExecStatus::Exit | ExecStatus::Exception | ExecStatus::NotStarted | ExecStatus::Gone => Exit::Failure,
        ExecStatus::Refused => Exit::Permission,
    }
}

/// Prints what a script prints as it comes, and asks for Ctrl-C.
struct Printer<'o> {
    json: bool,
    verbose: bool,
    out: &'o mut dyn Write,
    failed: Option<io::Error>,
    interrupts: u32,
    decision: String,
}

impl Watcher for Printer<'_> {
    fn news(&mut self, news: &News) {
        match news {
            News::Output(..) if self.json || self.failed.is_some() => {}
            News::Output(Stream::Stdout, bytes) => {
                let bytes = for_output(bytes, io::stdout().is_terminal());
                self.failed = self.out.write_all(&bytes).and_then(|()| self.out.flush()).err();
            }
            News::Output(Stream::Stderr, bytes) => {
                let mut err = io::stderr().lock();
                let _ = err.write_all(&for_output(bytes, err.is_terminal()));
            }
            News::WaitingForTurn => eprintln!("pyattach: another pyattach is busy with this process; waiting for it"),
            _ if !self.verbose => {}
            // It may look many times; each new answer is news.
            News::Looked { decision, .. } if *decision == self.decision => {}
            News::Looked { decision, paused } => {
                self.decision.clone_from(decision);
                eprintln!("pyattach: looked, stopped {} µs: {}", paused.as_micros(), display_safe(decision));
            }
            News::Requested(_) => eprintln!("pyattach: the request is in place"),
            News::Started => eprintln!("pyattach: the script has started"),
        }
    }

    fn is_cancelled(&mut self) -> bool {
        while wait_for_interrupt(Duration::ZERO) {
            self.interrupts += 1;
            if self.interrupts > 2 {
                // Whatever hangs: what is left in the process heals and clears itself.
                die_of_interrupt();
            }
        }
        // Whoever reads has gone: as with the commands that print reports, no more is wanted.
        self.interrupts > 0 || self.failed.is_some()
    }
}

/// A terminal gets no control characters but line ends and tabs; files and pipes get what was printed.
fn for_output(bytes: &[u8], terminal: bool) -> Vec<u8> {
    if !terminal {
        return bytes.to_vec();
    }
    let text = String::from_utf8_lossy(bytes);
    let mut shown = String::with_capacity(text.len());
    for part in text.split_inclusive(['\n', '\t']) {
        let (plain, end) = match part.strip_suffix(['\n', '\t']) {
            Some(plain) => (plain, part.chars().next_back()),
            None => (part, None),
        };
        shown.push_str(&display_safe(plain));
        shown.extend(end);
    }
    shown.into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_is_not_driven_by_a_script() {
        assert_eq!(for_output(b"a\tb\x1b[31m\n\xc3\xa9\n", true), "a\tb\\x1b[31m\n\u{e9}\n".as_bytes());
        assert_eq!(for_output(b"\x1b\xff", false), b"\x1b\xff");
    }
}
