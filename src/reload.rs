//! The owner of `routes.toml`: sees that it changed, reads it whole, and puts it in force or keeps what was.
//!
//! Three things say that the file may have changed: its folder's events, a look once a second (mounts without events,
//! links into folders that nobody watches), and SIGHUP. None is trusted to say *what* changed: whichever speaks, the
//! file is read and its content compared with the one judged last. A change that comes while another is being read
//! is latched, so none is missed.

mod folder;
mod metrics;

use std::{io, path::PathBuf, sync::Arc, time::Duration};

use sha2::{Digest as _, Sha256};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::{Notify, watch},
    task::spawn_blocking,
    time::{Instant, MissedTickBehavior, interval, sleep},
};

use self::folder::Folders;
pub use self::metrics::Metrics;
use crate::{
    config::{self, Config, Digest},
    shutdown::Shutdown,
};

/// How often the file is looked at without a reason.
const LOOK: Duration = Duration::from_secs(1);
/// A content counts once it has stood this long: a file written in place is read half-way otherwise.
const SETTLED: Duration = Duration::from_millis(25);
/// A file that never stands still is taken as it is after this long.
const RESTLESS: Duration = Duration::from_millis(150);

/// What is in force, and whether the file agrees.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// Counts what was put in force, from 1 for what the process started with.
    pub generation: u64,
    /// Why the file as it stands is not in force; `None` when it is.
    pub rejected: Option<Arc<str>>,
}

/// Watches one file for as long as the process lives.
#[derive(Debug)]
pub struct Reload {
    path: PathBuf,
    running: Arc<Config>,
    judged: Judged,
    status: watch::Sender<Status>,
    asked: Arc<Notify>,
    metrics: Metrics,
}

/// What the rest of the process holds of a [`Reload`].
#[derive(Clone, Debug)]
pub struct Handle {
    status: watch::Receiver<Status>,
    asked: Arc<Notify>,
}

/// What the file held when it was looked at last.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Judged {
    Content(Digest),
    Unreadable(String),
}

/// One look at the file.
struct Look {
    content: Vec<u8>,
    judged: Judged,
}

impl Reload {
    /// Watches `path`, from which `running` was read.
    pub fn new(path: PathBuf, running: Arc<Config>, metrics: Metrics) -> (Self, Handle) {
        let (status, receiver) = watch::channel(Status { generation: 1, rejected: None });
        let asked = Arc::new(Notify::new());
        let handle = Handle { status: receiver, asked: Arc::clone(&asked) };
        let judged = Judged::Content(running.digest);
        metrics.in_force(1);
        (Self { path, running, judged, status, asked, metrics }, handle)
    }

    /// Runs until `shutdown`, on the work plane. `apply` puts a whole configuration in force, under its generation;
    /// its `start` is always the running one.
    pub async fn run(mut self, mut apply: impl FnMut(u64, Arc<Config>) + Send, shutdown: Shutdown) {
        let mut folders = Folders::new(&self.path);
        let mut looks = interval(LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let asked = tokio::select! {
                () = shutdown.draining() => return,
                () = folders.stirred() => false,
                _ = looks.tick() => false,
                () = self.asked.notified() => true,
            };
            folders.follow(&self.path);
            let look = self.look().await;
            // Asked for by a person, a content known already is read again: its secrets may have changed.
            if asked || look.judged != self.judged {
                self.judge(look, asked, &mut apply).await;
            }
            // A neighbour in the folder that is written all the time must not keep us looking all the time.
            sleep(SETTLED).await;
        }
    }

    /// The file as it stands once it stands still.
    async fn look(&self) -> Look {
        let begun = Instant::now();
        let mut look = Look::take(self.path.clone()).await;
        while look.judged != self.judged && begun.elapsed() < RESTLESS {
            sleep(SETTLED).await;
            let next = Look::take(self.path.clone()).await;
            if next.judged == look.judged {
                break;
            }
            look = next;
        }
        look
    }

    /// Puts a content in force, or says once why not.
    async fn judge(&mut self, look: Look, asked: bool, apply: &mut impl FnMut(u64, Arc<Config>)) {
        self.judged = look.judged;
        if !asked && self.judged == Judged::Content(self.running.digest) {
            tracing::info!(path = %self.path.display(), "routes.toml is again what is in force");
            self.metrics.in_force(self.status.borrow().generation);
            self.status.send_modify(|status| status.rejected = None);
            return;
        }
        let path = self.path.clone();
        let read = match &self.judged {
            Judged::Unreadable(error) => Err(format!("{}: error: cannot be read: {error}", path.display())),
            Judged::Content(_) => spawn_blocking(move || config::parse_bytes(&look.content, &path))
                .await
                .map_err(|error| format!("reading it failed: {error}"))
                .and_then(|read| read.map_err(|errors| errors.to_string())),
        };
        match read {
            Ok(config) => self.put_in_force(config, apply),
            Err(errors) => self.reject(&errors),
        }
    }

    fn put_in_force(&mut self, config: Config, apply: &mut impl FnMut(u64, Arc<Config>)) {
        let kept = self.running.start.changed_keys(&config.start);
        if !kept.is_empty() {
            tracing::warn!(keys = kept.join(", "), "changed keys of [gateway] wait for the next start");
        }
        if !config.warnings.is_empty() {
            tracing::warn!(warnings = %config.warnings, "routes.toml is legal and unwise");
        }
        let config = Arc::new(Config { start: self.running.start.clone(), ..config });
        let changes = config.changes_since(&self.running);
        let generation = self.status.borrow().generation + 1;

        apply(generation, Arc::clone(&config));
        self.running = config;
        self.metrics.applied();
        self.metrics.in_force(generation);
        self.status.send_replace(Status { generation, rejected: None });
        tracing::info!(generation, changes = changes.join("; "), "routes.toml is in force");
    }

    fn reject(&self, errors: &str) {
        self.metrics.rejected();
        self.status.send_modify(|status| status.rejected = Some(errors.into()));
        let generation = self.status.borrow().generation;
        tracing::error!(generation, errors, "routes.toml is not in force; the last good rules are");
    }
}

impl Handle {
    /// Follows what is in force.
    pub fn status(&self) -> watch::Receiver<Status> {
        self.status.clone()
    }

    /// Has the file read again though its content may be the same: the secrets that it names may not be.
    pub fn reread(&self) {
        self.asked.notify_one();
    }

    /// Has it read again at every SIGHUP, until `shutdown`.
    pub fn reread_on_hangup(&self, shutdown: &Shutdown) -> io::Result<()> {
        let mut hangups = signal(SignalKind::hangup())?;
        let (handle, draining) = (self.clone(), shutdown.clone());
        shutdown.spawn(async move {
            loop {
                tokio::select! {
                    () = draining.draining() => return,
                    _ = hangups.recv() => handle.reread(),
                }
            }
        });
        Ok(())
    }
}

impl Look {
    async fn take(path: PathBuf) -> Self {
        let read = spawn_blocking(move || config::read_whole(&path)).await;
        match read.unwrap_or_else(|error| Err(error.into())) {
            Ok(content) => Self { judged: Judged::Content(Sha256::digest(&content).into()), content },
            Err(error) => Self { judged: Judged::Unreadable(error.to_string()), content: Vec::new() },
        }
    }
}

#[cfg(test)]
mod tests;
