//! The built binary as an operator runs it.

use std::{
    fs,
    io::{BufRead, BufReader, Read},
    net::SocketAddr,
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    sync::mpsc::{Receiver, channel},
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;

use super::{
    gateway::ask_admin,
    wire::{PATIENCE, Wire},
};

/// A running `figueira serve`, or a janitor, that logs JSON; dropped, it is killed.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    events: Receiver<Value>,
    pub(crate) site: SocketAddr,
    pub(crate) admin: SocketAddr,
}

impl Process {
    /// Serves by `file`, whose `[log]` has to ask for JSON at level `info`.
    pub(crate) fn serve(file: &Path) -> Self {
        Self::start(&mut command(&["serve", "--config", file.to_str().unwrap()]))
    }

    /// The same, in the place of one that serves by the same file.
    pub(crate) fn take_over(file: &Path) -> Self {
        Self::start(&mut command(&["serve", "--take-over", "--config", file.to_str().unwrap()]))
    }

    /// The same, with more in its environment.
    pub(crate) fn serve_with(file: &Path, more: impl FnOnce(&mut Command)) -> Self {
        let mut command = command(&["serve", "--config", file.to_str().unwrap()]);
        more(&mut command);
        Self::start(&mut command)
    }

    /// The same, with at most so many descriptors.
    pub(crate) fn serve_with_few(file: &Path, descriptors: u32) -> Self {
        let mut shell = Command::new("sh");
        shell.args(["-c", &format!("ulimit -n {descriptors}; exec \"$0\" \"$@\"")]);
        shell.args([env!("CARGO_BIN_EXE_figueira"), "serve", "--config", file.to_str().unwrap()]);
        Self::start(shell.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()))
    }

    /// The same on a disk of which no file may take more than `blocks` of 512 bytes.
    pub(crate) fn serve_within(file: &Path, blocks: u32) -> Self {
        let mut shell = Command::new("sh");
        // Beyond the limit a write fails as on a full disk, since the signal is ignored.
        let script = format!("trap '' XFSZ; ulimit -f {blocks}; exec \"$0\" serve --config \"$1\"");
        shell.args(["-c", &script, env!("CARGO_BIN_EXE_figueira")]).arg(file);
        shell.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        Self::start(&mut shell)
    }

    fn start(command: &mut Command) -> Self {
        let mut child = command.spawn().unwrap();
        let said = child.stdout.take().unwrap();
        let mut process = Self::saying(child, said);
        let listening = process.hear("listening");
        let address = |key: &str| listening[key].as_str().unwrap().parse().unwrap();
        (process.site, process.admin) = (address("public"), address("admin"));
        process
    }

    /// Calls a janitor by such a file, who says on standard error what he does.
    pub(crate) fn janitor(file: &Path) -> Self {
        let mut child = command(&["janitor", "--config", file.to_str().unwrap()]).spawn().unwrap();
        let said = child.stderr.take().unwrap();
        Self::saying(child, said)
    }

    fn saying(child: Child, said: impl Read + Send + 'static) -> Self {
        let lines = BufReader::new(said).lines();
        let (heard, events) = channel();
        thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                let event = serde_json::from_str(&line).unwrap_or(Value::String(line));
                if heard.send(event).is_err() {
                    return;
                }
            }
        });
        let nowhere = SocketAddr::from(([0, 0, 0, 0], 0));
        Self { child, events, site: nowhere, admin: nowhere }
    }

    /// The next event with this message.
    #[track_caller]
    pub(crate) fn hear(&self, message: &str) -> Value {
        let mut heard = Vec::new();
        let until = Instant::now() + PATIENCE;
        loop {
            match self.events.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(event) if event["message"] == message => return event,
                Ok(event) => heard.push(event),
                Err(error) => panic!("{error} while waiting for {message:?}; heard: {heard:#?}"),
            }
        }
    }

    /// Processor time that it has used.
    pub(crate) fn busy(&self) -> Duration {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap();
        // After its name in brackets, of which these are the 12th and 13th (proc(5)), in hundredths of a second.
        let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
        let ticks: u64 = fields[11..13].iter().map(|ticks| ticks.parse::<u64>().unwrap()).sum();
        Duration::from_millis(ticks * 10)
    }

    /// One of the figures of its metrics, as a whole number.
    #[track_caller]
    pub(crate) fn figure(&self, name: &str) -> u64 {
        let metrics = ask_admin(self.admin, "/metrics").body;
        let line = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        let value: f64 = line.unwrap_or_else(|| panic!("no {name} in {metrics}")).parse().unwrap();
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is a count")]
        return value as u64;
    }

    /// All events until its end.
    pub(crate) fn events(&self) -> Vec<Value> {
        self.events.iter().collect()
    }

    pub(crate) fn connect(&self) -> Wire {
        Wire::connect(self.site)
    }

    /// Sends it a signal, such as `TERM`.
    pub(crate) fn signal(&self, name: &str) {
        let kill = format!("kill -{name} {}", self.child.id());
        assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success(), "{kill}");
    }

    /// Waits for its end.
    #[track_caller]
    pub(crate) fn ended(&mut self) -> ExitStatus {
        ended(&mut self.child)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended long ago.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// What a run that ends by itself said to whom.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) code: Option<i32>,
    pub(crate) errors: String,
}

/// Runs the binary to its end.
#[track_caller]
pub(crate) fn run(arguments: &[&str]) -> Said {
    let mut child = command(arguments).spawn().unwrap();
    let code = ended(&mut child).code();
    let mut errors = String::new();
    child.stderr.take().unwrap().read_to_string(&mut errors).unwrap();
    Said { code, errors }
}

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_figueira"));
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

#[track_caller]
fn ended(child: &mut Child) -> ExitStatus {
    let until = Instant::now() + PATIENCE;
    loop {
        match child.try_wait().unwrap() {
            Some(status) => return status,
            None if Instant::now() > until => {
                drop(child.kill());
                panic!("it has not ended");
            }
            None => thread::sleep(Duration::from_millis(2)),
        }
    }
}
