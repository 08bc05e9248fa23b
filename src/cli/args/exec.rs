//! What can be asked of `exec` and `eval`.

use super::parse_seconds;
use std::path::PathBuf;
use std::time::Duration;

/// Run a Python script inside a process at a safe point, and get its output and result back.
///
/// Nothing has to be prepared. What the script prints comes here, as it is printed; its exception comes back as a traceback.
/// The process runs on: SystemExit ends the script only. The main thread is stopped for about a millisecond to be asked, and
/// runs the script itself at a moment at which CPython allows it. See docs/exec.md for what is touched, when, and how it is
/// undone.
#[derive(clap::Args, Debug)]
#[command(after_long_help = EXIT_CODES, override_usage = "\
pyattach exec [OPTIONS] PID SCRIPT [ARGS]...
       pyattach exec [OPTIONS] PID -c CODE [ARGS]...
       pyattach exec [OPTIONS] PID --recipe NAME [ARGS]...
       pyattach exec --list-recipes")]
pub(in crate::cli) struct ExecArgs {
    /// The process
    #[arg(value_parser = clap::value_parser!(i32).range(1..), required_unless_present = "list_recipes")]
    pub(in crate::cli) pid: Option<i32>,

    /// The script, a file of this machine; - reads it from standard input
    #[arg(required_unless_present_any = ["code", "recipe", "list_recipes"])]
    pub(in crate::cli) script: Option<String>,

    /// What the script finds in sys.argv[1:]; options of pyattach stand before the script
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub(in crate::cli) args: Vec<String>,

    /// Run this text instead of a file
    #[arg(short, long, value_name = "CODE", conflicts_with = "recipe")]
    pub(in crate::cli) code: Option<String>,

    /// Run one of the scripts that pyattach brings along
    #[arg(long, value_name = "NAME")]
    pub(in crate::cli) recipe: Option<String>,

    /// List these scripts with what they take
    #[arg(long)]
    pub(in crate::cli) list_recipes: bool,

    #[command(flatten)]
    pub(in crate::cli) how: RunArgs,
}

/// Evaluate a Python expression inside a process, and print its value.
///
/// The value is printed as its repr(), of which the first 65,536 characters come back. With --json it is there as JSON, too,
/// where it consists of what JSON has. Everything else is as with exec.
#[derive(clap::Args, Debug)]
#[command(after_long_help = EXIT_CODES)]
pub(in crate::cli) struct EvalArgs {
    /// The process
    #[arg(value_parser = clap::value_parser!(i32).range(1..))]
    pub(in crate::cli) pid: i32,

    /// The expression; - reads it from standard input
    #[arg(allow_hyphen_values = true)]
    pub(in crate::cli) expression: String,

    #[command(flatten)]
    pub(in crate::cli) how: RunArgs,
}

/// How to run it.
#[derive(clap::Args, Debug)]
pub(in crate::cli) struct RunArgs {
    /// Withdraw the request when it has not started after this many seconds
    #[arg(long, default_value = "10", value_name = "SECONDS", value_parser = parse_seconds)]
    pub(in crate::cli) timeout: Duration,

    /// Stop watching after it has run for this many seconds; it runs on, unobserved
    #[arg(long, default_value = "60", value_name = "SECONDS", value_parser = parse_seconds)]
    pub(in crate::cli) run_timeout: Duration,

    /// Which thread is to run it: main, any, a thread id, or a name. Without: the main thread where that is possible, else
    /// a new one
    #[arg(long, value_name = "THREAD")]
    pub(in crate::cli) thread: Option<String>,

    /// Do not wait for a moment in which it may run: now or not at all
    #[arg(long)]
    pub(in crate::cli) no_wait: bool,

    /// Run in the namespace of this loaded module, __main__ for instance, instead of a new one
    #[arg(long, value_name = "MODULE")]
    pub(in crate::cli) namespace: Option<String>,

    /// Say by which route it would run and what would be written; nothing is changed
    #[arg(long)]
    pub(in crate::cli) dry_run: bool,

    /// Print JSON, as described in docs/json.md, when it is over, instead of the output
    #[arg(long)]
    pub(in crate::cli) json: bool,

    /// Note who runs what in which process: a file that lines are added to, or syslog. It is not run if that fails
    #[arg(long, value_name = "FILE")]
    pub(in crate::cli) audit_log: Option<PathBuf>,

    /// Go this way or none: pending-call, signal-frame, new-thread, remote-debugger
    #[arg(long, value_enum, value_name = "ROUTE", hide_short_help = true)]
    pub(in crate::cli) route: Option<RouteArg>,

    /// Go on where only a system-call filter of the process speaks against it: one that kills may kill the process
    #[arg(long, hide_short_help = true)]
    pub(in crate::cli) ignore_seccomp: bool,

    /// Say what is seen and done on standard error: the route, why, and for how long the thread was stopped
    #[arg(short, long)]
    pub(in crate::cli) verbose: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(in crate::cli) enum RouteArg {
    /// Py_AddPendingCall
    PendingCall,
    /// On top of the system call that the main thread waits in
    SignalFrame,
    /// A thread of its own
    NewThread,
    /// CPython's own protocol, 3.14 and later
    RemoteDebugger,
}

const EXIT_CODES: &str = "\
Exit codes:
  0    it ran to its end, or ended with SystemExit and no code or 0
  1    an exception, another SystemExit, or it did not start in time; it was withdrawn then and will not run
  2    usage
  3    refused: by the kernel, by the process's own choice, or because it would not be safe
  4    no such process, or not Python
  5    a Python that is not supported
  6    it is still running, or what it printed was cut; the message says which
  130  interrupted: a request that had not started was withdrawn";
