//! Log lines: one subscriber, text or JSON, written in batches off the request's path.
//!
//! What is said is formatted on the thread that says it, into one flat line, and appended to a buffer that a thread of its
//! own writes out. A worker never waits for the sink: when that is stuck, lines are dropped and counted.

pub mod access;
mod batch;
mod clock;
mod level;
mod line;
mod pen;

use std::{
    backtrace::{Backtrace, BacktraceStatus},
    fmt,
    io::{self, Write},
    panic::PanicHookInfo,
    time::Duration,
};

use prometheus_client::{collector::Collector, encoding::DescriptorEncoder};
use thiserror::Error;
use tracing::Subscriber;
use tracing_subscriber::{
    filter::{LevelFilter, Targets},
    layer::SubscriberExt,
};

use super::metrics;
use batch::Batch;
use level::Level;
use line::{Lines, Shape};
pub use pen::{gather, hand_over};

/// `[log]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// `info`, or directives of `target=level` with commas between them.
    pub level: String,
    /// How lines look.
    pub format: Format,
    /// Which requests leave an access line.
    pub access: Access,
    /// How such a line looks.
    pub access_format: AccessFormat,
}

/// How lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// For people.
    Text,
    /// One object a line.
    Json,
}

/// Which requests leave an access line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Every one.
    All,
    /// Those answered 400 and above, or cut.
    Errors,
    /// None.
    Off,
}

/// How an access line looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccessFormat {
    /// As the others, with all that is known.
    Event,
    /// As web servers write it, for what reads theirs.
    Combined,
}

/// Where lines go: `serve` writes them to standard output, as containers expect of a server; every other command
/// keeps standard output for its result and writes them to standard error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sink {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// Why logging could not be set up.
#[derive(Debug, Error)]
pub enum LogError {
    /// `log.level` does not parse.
    #[error(
        "`{level}` is no log level: write off, error, warn, info, debug or trace, or `target=level` directives"
    )]
    Level {
        /// What was written.
        level: String,
    },
    /// A subscriber was installed before.
    #[error("logging was already set up in this process")]
    Installed,
    /// The writing thread did not start.
    #[error("the log's thread did not start: {0}")]
    Thread(#[from] io::Error),
}

/// How long [`Control::flush`] waits for a sink.
const PATIENCE: Duration = Duration::from_secs(1);

/// Checks a `log.level`, for those who read it before logging begins.
pub fn check_level(level: &str) -> Result<(), LogError> {
    parse(level).map(drop)
}

/// Sets the process's logging up, panics included. What is said after the [`Guard`] was dropped is lost.
pub fn init(settings: &Settings, sink: Sink) -> Result<Guard, LogError> {
    let writer: Box<dyn Write + Send> = match sink {
        Sink::Stdout => Box::new(io::stdout()),
        Sink::Stderr => Box::new(io::stderr()),
    };
    let (subscriber, guard) = subscriber(settings, writer)?;
    tracing::subscriber::set_global_default(subscriber).map_err(|_| LogError::Installed)?;
    std::panic::set_hook(Box::new(log_panic));
    Ok(guard)
}

/// The subscriber that [`init`] installs, for a writer of the caller's.
pub fn subscriber(
    settings: &Settings,
    writer: impl Write + Send + 'static,
) -> Result<(impl Subscriber + Send + Sync + 'static, Guard), LogError> {
    let level = Level::new(parse(&settings.level)?);
    let (batch, flusher) = batch::start(writer)?;
    let format = Shape::new(settings.format);
    let lines = Lines::new(format.clone(), batch.clone());
    let subscriber = tracing_subscriber::registry().with(level.clone()).with(lines);
    Ok((subscriber, Guard { control: Control { level, format, batch }, _flusher: flusher }))
}

/// Keeps logging alive; dropping it writes out what is still buffered.
#[derive(Debug)]
pub struct Guard {
    control: Control,
    _flusher: batch::Flusher,
}

impl Guard {
    /// A handle for those who change the level or count losses.
    pub fn control(&self) -> Control {
        self.control.clone()
    }
}

/// Changes and observes the running log.
#[derive(Clone, Debug)]
pub struct Control {
    level: Level,
    format: Shape,
    batch: Batch,
}

impl Control {
    /// Puts another level and format in force.
    pub fn configure(&self, settings: &Settings) -> Result<(), LogError> {
        self.level.set(parse(&settings.level)?);
        self.format.set(settings.format);
        Ok(())
    }

    /// Waits until what was said so far is written, but not for a stuck sink. Blocks: for who stands still afterwards.
    pub fn flush(&self) {
        self.batch.flush(PATIENCE);
    }

    /// Lines dropped because the sink was stuck or refused them.
    pub fn lines_lost(&self) -> u64 {
        self.batch.lost()
    }
}

impl Collector for Control {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let help = "Log lines dropped because their sink was stuck or refused them";
        metrics::counter(&mut encoder, "figueira_log_lines_lost", help, self.lines_lost())
    }
}

fn parse(level: &str) -> Result<Targets, LogError> {
    // `Targets` takes a misspelt level for a target, and nothing at all for `error`.
    let meant = |directive: &str| {
        let word = directive.trim();
        word.contains('=') || (!word.is_empty() && word.parse::<LevelFilter>().is_ok())
    };
    let targets = level.split(',').all(meant).then(|| level.parse().ok()).flatten();
    targets.ok_or_else(|| LogError::Level { level: level.to_owned() })
}

/// A panic as one event, so that it stands where the other failures stand.
fn log_panic(panic: &PanicHookInfo<'_>) {
    let backtrace = Backtrace::capture();
    let backtrace =
        (backtrace.status() == BacktraceStatus::Captured).then(|| tracing::field::display(backtrace));
    tracing::error!(
        thread = std::thread::current().name(),
        location = panic.location().map(tracing::field::display),
        reason = panic.payload_as_str(),
        backtrace,
        "panic"
    );
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn said(level: &str, format: Format, speak: impl FnOnce(&Control)) -> String {
        let kept = Kept::default();
        let settings =
            Settings { level: level.into(), format, access: Access::All, access_format: AccessFormat::Event };
        let (subscriber, guard) = subscriber(&settings, kept.clone()).unwrap();
        tracing::subscriber::with_default(subscriber, || speak(&guard.control()));
        drop(guard);
        String::from_utf8(kept.0.lock().unwrap().clone()).unwrap()
    }

    #[test]
    fn the_guard_writes_out_what_is_buffered() {
        let lines = said("info", Format::Json, |_| {
            tracing::info!(status = 200, "request");
            tracing::debug!("unheard");
        });
        let line: serde_json::Value = serde_json::from_str(&lines).unwrap();
        assert_eq!(line["message"], "request");
        assert_eq!(line["status"], 200);
        assert_eq!(lines.lines().count(), 1);
    }

    #[test]
    fn level_and_format_change_while_running() {
        let lines = said("error", Format::Text, |control| {
            let settings = |level: &str| Settings {
                level: level.into(),
                format: Format::Json,
                access: Access::All,
                access_format: AccessFormat::Event,
            };
            tracing::info!("before");
            control.configure(&settings("warn,figueira=debug")).unwrap();
            tracing::debug!("after");
            assert!(control.configure(&settings("loud")).is_err());
            assert_eq!(control.lines_lost(), 0);
        });
        assert!(!lines.contains("before"), "{lines}");
        assert!(lines.contains(r#""message":"after""#), "{lines}");
    }

    #[test]
    fn a_wrong_level_is_named() {
        for wrong in ["loud", "info,loud", "figueira=loud", ""] {
            let error = check_level(wrong).unwrap_err();
            assert!(error.to_string().contains(&format!("`{wrong}`")), "{error}");
        }
        assert!(check_level("info,hyper=warn").is_ok());
    }
}
