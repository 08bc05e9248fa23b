//! What `pyattach tasks` can be asked for.

use super::args::{ColorChoice, EXIT_CODES, ReadingArgs, parse_seconds};
use std::time::Duration;

/// Show the asyncio tasks of a process: what each waits for, and who waits for whom.
///
/// All tasks of all event loops in all threads, from CPython 3.7 on, with their coroutines down to the innermost await. They
/// are read at one moment, with the same proof as stacks, and without a stop when no thread runs Python code. Tasks that wait
/// for each other in a circle come first. A process that does not use asyncio is told so; that is no failure.
#[derive(clap::Args, Debug)]
#[command(after_long_help = EXIT_CODES)]
pub(super) struct TasksArgs {
    /// The process to look at
    #[arg(value_parser = clap::value_parser!(i32).range(1..))]
    pub(super) pid: i32,

    /// Show tasks by who waits for whom, those that nobody waits for first and below each what it waits for; tasks that are
    /// alike become one line with their number. This is what is shown if no other view is asked for
    #[arg(long, group = "view")]
    pub(super) tree: bool,

    /// Show a line a task
    #[arg(long, group = "view")]
    pub(super) table: bool,

    /// Show together the tasks that wait at the same line for the same thing, those of most tasks first
    #[arg(long, group = "view")]
    pub(super) by_await: bool,

    /// Show everything on this task: its name or its id. May be given several times. With --json only these are in `tasks`
    #[arg(long, value_name = "NAME|ID", conflicts_with = "view")]
    pub(super) task: Vec<String>,

    /// Print JSON, as described in docs/json.md, instead of text
    #[arg(long, conflicts_with = "view")]
    pub(super) json: bool,

    #[command(flatten)]
    pub(super) reading: ReadingArgs,

    /// Do not print source lines, which --task shows
    #[arg(long)]
    pub(super) no_source: bool,

    /// When to use colours; NO_COLOR is respected
    #[arg(long, value_enum, default_value_t, value_name = "WHEN")]
    pub(super) color: ColorChoice,

    /// Give up after this many seconds
    #[arg(long, default_value = "30", value_name = "SECONDS", value_parser = parse_seconds)]
    pub(super) timeout: Duration,

    /// Say how the interpreter was found and read
    #[arg(short, long)]
    pub(super) verbose: bool,
}
