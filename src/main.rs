//! The `pyattach` command: parse, run, exit.

use std::process::ExitCode;

/// musl's own allocator takes several times as long as the rest of the program.
#[cfg(target_env = "musl")]
#[global_allocator]
static HEAP: dlmalloc::GlobalDlmalloc = dlmalloc::GlobalDlmalloc;

fn main() -> ExitCode {
    pyattach::cli::main()
}
