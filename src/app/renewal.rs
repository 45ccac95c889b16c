//! SIGUSR2: starts the program again as it now lies on disk, to take this process's place.

use std::{
    env,
    ffi::OsString,
    io,
    path::Path,
    process::{Child, Command, Stdio},
};

use tokio::signal::unix::{SignalKind, signal};

/// Asks the next process to take over.
const TAKE_OVER: &str = "--take-over";

/// Starts a successor at every SIGUSR2.
pub(super) async fn on_signal() -> io::Result<()> {
    // Asked now: later another file may lie there, and this one be nameless.
    let program = env::current_exe()?;
    let mut signals = signal(SignalKind::user_defined2())?;
    while signals.recv().await.is_some() {
        match start(&program) {
            Ok(mut child) => {
                tracing::info!(successor = child.id(), "SIGUSR2: a successor starts");
                // Whoever ends before it has taken over is told of; whoever does outlives this process.
                drop(tokio::task::spawn_blocking(move || match child.wait() {
                    Ok(status) => tracing::error!(%status, "the successor has ended"),
                    Err(error) => tracing::error!(%error, "the successor is lost sight of"),
                }));
            }
            Err(error) => tracing::error!(%error, path = %program.display(), "no successor can be started"),
        }
    }
    Ok(())
}

fn start(program: &Path) -> io::Result<Child> {
    let mut arguments: Vec<OsString> = env::args_os().skip(1).collect();
    if !arguments.iter().any(|argument| argument == TAKE_OVER) {
        arguments.push(TAKE_OVER.into());
    }
    Command::new(program).args(arguments).stdin(Stdio::null()).spawn()
}
