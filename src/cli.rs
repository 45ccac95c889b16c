//! The command line: one file a subcommand.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "printing is what a command does")]

pub mod check;
