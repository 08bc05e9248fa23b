//! The `pyattach` command: parse, run, exit.

use std::process::ExitCode;

/// With musl's own allocator large reports take twice as long.
#[cfg(target_env = "musl")]
#[global_allocator]
static HEAP: dlmalloc::GlobalDlmalloc = dlmalloc::GlobalDlmalloc;

fn main() -> ExitCode {
    pyattach::cli::main()
}
