//! The `pyattach` command: parse, run, exit.

use std::process::ExitCode;

fn main() -> ExitCode {
    pyattach::cli::main()
}
