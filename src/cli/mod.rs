//! The command line: arguments, commands, exit codes, and all that is printed.

mod args;
mod audit;
mod commands;
mod failure;
mod tasks_args;

use args::{Args, Command};
use clap::Parser;
use clap::error::ErrorKind;
use failure::{Exit, Failure};
use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;

/// Runs the command that the process's arguments name.
pub fn main() -> ExitCode {
    crate::os::share_heap();
    let args = match Args::try_parse() {
        Ok(args) => args,
        Err(error) => return usage(&error),
    };
    let mut out = io::BufWriter::new(Output);
    let result = match &args.command {
        Command::Stack(args) => commands::stack(args, &mut out),
        Command::Tasks(args) => commands::tasks(args, &mut out),
        Command::Exec(args) => commands::exec(args, &mut out),
        Command::Eval(args) => commands::eval(args, &mut out),
        Command::Ps(args) => commands::ps(args, &mut out),
        Command::Doctor(args) => commands::doctor(args, &mut out),
    };
    // A reader that has seen enough closes the pipe; that is no failure.
    let result = match result.and_then(|exit| out.flush().map(|()| exit).map_err(Failure::output)) {
        Err(failure) if failure.is_closed_pipe() => Ok(Exit::Complete),
        result => result,
    };
    match result {
        Ok(exit) => exit.into(),
        Err(failure) => {
            failure.print(&mut io::stderr().lock());
            failure.exit().into()
        }
    }
}

/// Standard output without the standard library's buffer, which looks for the ends of lines: reports are large.
struct Output;

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(nix::unistd::write(io::stdout(), bytes)?)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn usage(error: &clap::Error) -> ExitCode {
    let _ = error.print();
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => Exit::Complete.into(),
        _ => Exit::Usage.into(),
    }
}

/// Whether to colour standard output.
fn use_color(choice: args::ColorChoice) -> bool {
    match choice {
        args::ColorChoice::Always => true,
        args::ColorChoice::Never => false,
        args::ColorChoice::Auto => {
            io::stdout().is_terminal()
                && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
                && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
        }
    }
}
