//! The `figueira` binary: parse, run, print the error chain, exit code.

use std::{
    io::{self, Write},
    process::ExitCode,
};

use figueira::cli::{Cli, WrongUsage};
use mimalloc::MiMalloc;

#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    match Cli::of_process().run() {
        Ok(code) => code,
        // Whoever read the output has read enough.
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            // Where standard error is closed, the exit code still tells.
            writeln!(io::stderr(), "figueira: {error:#}").ok();
            if error.is::<WrongUsage>() { ExitCode::from(2) } else { ExitCode::FAILURE }
        }
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}
