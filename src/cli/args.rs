//! What can be asked for.

mod exec;

pub(super) use exec::{EvalArgs, ExecArgs, RouteArg, RunArgs};

use super::tasks_args::TasksArgs;
use clap::{Parser, Subcommand, ValueEnum};
use std::time::Duration;

/// Attach to a running CPython process and say what it is doing.
///
/// Nothing has to be prepared: no import, no restart, no debug symbols, no Python on this machine. The process is read from
/// outside and keeps running.
#[derive(Parser, Debug)]
#[command(name = "pyattach", version, max_term_width = 100)]
pub(super) struct Args {
    #[command(subcommand)]
    pub(super) command: Command,
}

#[derive(Subcommand, Debug)]
pub(super) enum Command {
    Stack(StackArgs),
    Tasks(TasksArgs),
    Exec(ExecArgs),
    Eval(EvalArgs),
    Ps(PsArgs),
    Doctor(DoctorArgs),
}

/// Show the Python stack of every thread of a process.
///
/// Stacks are read at one moment, and proved to be: without stopping anything when no thread runs Python code, else with
/// only the thread that does stopped while it is read, usually for less than a millisecond.
#[derive(clap::Args, Debug)]
#[command(after_long_help = EXIT_CODES)]
pub(super) struct StackArgs {
    /// The process to look at
    #[arg(value_parser = clap::value_parser!(i32).range(1..))]
    pub(super) pid: i32,

    /// How to print
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    pub(super) format: FormatArg,

    /// The same as --format json
    #[arg(long, conflicts_with = "format")]
    pub(super) json: bool,

    /// Read the Python processes below it, too: its children, their children and so on. Not together with --samples
    #[arg(long, conflicts_with = "samples")]
    pub(super) subprocesses: bool,

    /// Take so many samples, two at least, and tell threads that move from threads that are stuck; the last sample is shown. Ctrl-C between
    /// two samples ends early, with what there is
    #[arg(short = 'n', long, value_name = "N", value_parser = clap::value_parser!(u32).range(2..=100_000))]
    pub(super) samples: Option<u32>,

    /// Seconds between two samples; fractions are allowed
    #[arg(long, default_value = "1", value_name = "SECONDS", value_parser = parse_interval, requires = "samples")]
    pub(super) interval: Duration,

    #[command(flatten)]
    pub(super) reading: ReadingArgs,

    /// Show only this thread: its id (TID), its ident, or its name. May be given several times
    #[arg(long, value_name = "THREAD")]
    pub(super) thread: Vec<String>,

    /// Show only the main thread
    #[arg(long)]
    pub(super) main: bool,

    /// Do not find out what threads wait for
    #[arg(long)]
    pub(super) no_waits: bool,

    /// List the threads that Python knows nothing of, too
    #[arg(long)]
    pub(super) native_threads: bool,

    /// Show the local variables of every frame, too. Values whose names say that they are secret are left out
    #[arg(long)]
    pub(super) locals: bool,

    /// With --locals: levels of containers and instances within each other to show
    #[arg(long, default_value_t = 3, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=16), requires = "locals", hide_short_help = true)]
    pub(super) locals_depth: u8,

    /// With --locals: items to show of one container, attributes of one instance
    #[arg(long, default_value_t = 20, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=10_000), requires = "locals", hide_short_help = true)]
    pub(super) locals_items: u16,

    /// With --locals: characters to show of one value, roughly
    #[arg(long, default_value_t = 400, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000), requires = "locals", hide_short_help = true)]
    pub(super) locals_chars: u32,

    /// With --locals: show values whose names say that they are secret, and passwords in addresses
    #[arg(long, requires = "locals", hide_short_help = true)]
    pub(super) show_secrets: bool,

    /// Print the innermost frame first
    #[arg(long)]
    pub(super) reverse: bool,

    /// Print each thread by itself, even when several have the same stack
    #[arg(long)]
    pub(super) no_fold: bool,

    /// Frames to print of one stack; what lies between is left out, and said so. 0 prints all. JSON always has all
    #[arg(long, default_value_t = 200, value_name = "N")]
    pub(super) max_frames: usize,

    /// Do not print source lines
    #[arg(long)]
    pub(super) no_source: bool,

    /// When to use colours; NO_COLOR is respected
    #[arg(long, value_enum, default_value_t, value_name = "WHEN")]
    pub(super) color: ColorChoice,

    /// Give up after this many seconds; with --samples, so long for each
    #[arg(long, default_value = "30", value_name = "SECONDS", value_parser = parse_seconds)]
    pub(super) timeout: Duration,

    /// Say how the interpreter was found and read
    #[arg(short, long)]
    pub(super) verbose: bool,
}

// How the process is read, whatever of it is shown. (Clap would show a doc comment instead of the command's.)
#[derive(clap::Args, Debug)]
pub(super) struct ReadingArgs {
    /// Whether threads may be stopped: auto stops those that would change what is being read; never stops none, and says what
    /// cannot be proved; always stops all threads
    #[arg(long, value_enum, default_value_t, value_name = "WHEN")]
    pub(super) pause: PauseChoice,

    /// Longest time a thread is kept stopped, in milliseconds
    #[arg(long, default_value_t = 1000, value_name = "MS", value_parser = clap::value_parser!(u64).range(1..=60_000))]
    pub(super) max_pause: u64,

    /// Where to take the layout of the interpreter's structures from
    #[arg(long, value_enum, default_value_t, value_name = "SOURCE", hide_short_help = true)]
    pub(super) layout: LayoutArg,
}

/// List the Python processes that may be seen, workers below their parents.
///
/// A process is recognised by what it maps, not by its name: a Python inside another program is found, too. Nothing is
/// stopped. A process that looks like Python and cannot be read is listed with the reason, and makes the exit code 6.
#[derive(clap::Args, Debug)]
pub(super) struct PsArgs {
    /// Print JSON, as described in docs/json.md, instead of text
    #[arg(long)]
    pub(super) json: bool,

    /// Give up on a single process after this many seconds
    #[arg(long, default_value = "5", value_name = "SECONDS", value_parser = parse_seconds)]
    pub(super) timeout: Duration,
}

/// Say whether a process can be read, and if not, which layer refuses and what helps.
///
/// Looks at each layer that the kernel asks, in its order, and at the interpreter behind them. Nothing is stopped or
/// changed. The exit code is 0 when it can be read, 3 when access is refused, 4 and 5 as with stack.
#[derive(clap::Args, Debug)]
pub(super) struct DoctorArgs {
    /// The process to look at
    #[arg(value_parser = clap::value_parser!(i32).range(1..))]
    pub(super) pid: i32,

    /// Print JSON, as described in docs/json.md, instead of text
    #[arg(long)]
    pub(super) json: bool,

    /// When to use colours; NO_COLOR is respected
    #[arg(long, value_enum, default_value_t, value_name = "WHEN")]
    pub(super) color: ColorChoice,

    /// Give up after this many seconds
    #[arg(long, default_value = "10", value_name = "SECONDS", value_parser = parse_seconds)]
    pub(super) timeout: Duration,
}

pub(super) const EXIT_CODES: &str = "\
Exit codes:
  0    complete
  1    failure
  2    usage
  3    permission refused, and nothing could be shown
  4    no such process, or not Python
  5    a Python that is not supported
  6    partial: something was refused, could not be read or proved; the report says what
  130  interrupted";

impl StackArgs {
    /// How to print, `--json` regarded.
    pub(super) fn format(&self) -> FormatArg {
        if self.json { FormatArg::Json } else { self.format }
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum FormatArg {
    /// For people
    #[default]
    Text,
    /// Everything as data: docs/json.md
    Json,
    /// What `py-spy dump --json` prints
    PySpy,
}

#[derive(Clone, Copy, Debug, Default, ValueEnum)]
pub(super) enum PauseChoice {
    #[default]
    Auto,
    Never,
    Always,
}

#[derive(Clone, Copy, Debug, Default, ValueEnum)]
pub(super) enum ColorChoice {
    #[default]
    Auto,
    Always,
    Never,
}

#[derive(Clone, Copy, Debug, Default, ValueEnum)]
pub(super) enum LayoutArg {
    /// The best that fits the process
    #[default]
    Auto,
    /// What the process says of itself (3.13 and later)
    DebugOffsets,
    /// The tables built into pyattach
    Table,
    /// Debug information of the binary
    Dwarf,
}

pub(super) fn parse_seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    match Duration::try_from_secs_f64(seconds) {
        Ok(time) if !time.is_zero() => Ok(time),
        _ => Err("must be more than 0".to_owned()),
    }
}

/// No more than a day: what is waited for has to end.
fn parse_interval(text: &str) -> Result<Duration, String> {
    parse_seconds(text).and_then(|time| match time.as_secs() {
        ..=86_400 => Ok(time),
        _ => Err("must not be more than a day".to_owned()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_definition_is_consistent() {
        Args::command().debug_assert();
    }
}
