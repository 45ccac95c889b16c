//! The `figueira` binary: parse, run, print the error chain, exit code.

use std::{
    io::{self, Write},
    process::ExitCode,
};

use figueira::cli::Cli;
use mimalloc::MiMalloc;

#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    match Cli::of_process().run() {
        Ok(code) => code,
        Err(error) => {
            // Where standard error is closed, the exit code still tells.
            writeln!(io::stderr(), "figueira: {error:#}").ok();
            ExitCode::FAILURE
        }
    }
}
