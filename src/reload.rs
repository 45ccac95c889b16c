//! The owner of `routes.toml`: sees that it changed, reads it whole, and puts it in force or keeps what was.
//!
//! Three things say that the file may have changed: its folder's events, a look once a second (mounts without events,
//! links into folders that nobody watches), and SIGHUP. None is trusted to say *what* changed: whichever speaks, the
//! file is read and its content compared with the one judged last. A change that comes while another is being read
//! is latched, so none is missed.

pub mod amend;
pub mod audited;
mod folder;
mod look;
mod metrics;

use std::{
    future::Future,
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use jiff::Timestamp;

use tokio::{
    signal::unix::{SignalKind, signal},
    sync::{Notify, mpsc, oneshot, watch},
    task::spawn_blocking,
    time::{MissedTickBehavior, interval, sleep},
};

pub use self::metrics::Metrics;
use self::{
    amend::Plan,
    audited::Author,
    folder::Folders,
    look::{Judged, Look},
};
use crate::{
    audit::{self, Book},
    config::{self, Config, Purpose},
    routing::change::{Change, Changed, Refused},
    shutdown::Shutdown,
};

/// How often the file is looked at without a reason.
const LOOK: Duration = Duration::from_secs(1);
/// Changes that wait for their turn.
const ORDERS: usize = 16;
/// Who changes are put down to that nobody here was asked for.
const BY_HAND: Author<'_> = Author { who: "an edit of the file", why: None, generation: None };

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
    /// How often it was judged because somebody asked.
    obeyed: watch::Sender<u64>,
    orders: mpsc::Receiver<Order>,
    audit: audit::Log,
    metrics: Metrics,
}

/// A person's change, and where the answer goes.
type Order = (Change, oneshot::Sender<Result<Changed, Refused>>);

/// What the rest of the process holds of a [`Reload`].
#[derive(Clone, Debug)]
pub struct Handle {
    status: watch::Receiver<Status>,
    asked: Arc<Notify>,
    obeyed: watch::Receiver<u64>,
    orders: mpsc::Sender<Order>,
}

impl Reload {
    /// Watches `path`, from which `running` was read: now, or when it was last good, where it is `rejected` now.
    pub fn new(
        path: PathBuf,
        running: Arc<Config>,
        rejected: Option<Arc<str>>,
        metrics: Metrics,
    ) -> (Self, Handle) {
        if rejected.is_some() {
            metrics.last_good();
        }
        let (status, receiver) = watch::channel(Status { generation: 1, rejected });
        let asked = Arc::new(Notify::new());
        let (sender, orders) = mpsc::channel(ORDERS);
        let (obeyed, judgements) = watch::channel(0);
        let handle =
            Handle { status: receiver, asked: Arc::clone(&asked), obeyed: judgements, orders: sender };
        let judged = Judged::Content(running.digest);
        let audit = audit::Log::in_folder(&running.start.data);
        (Self { path, running, judged, status, asked, obeyed, orders, audit, metrics }, handle)
    }

    /// Runs until `shutdown`, on the work plane. `apply` puts a whole configuration in force, under its generation;
    /// its `start` is always the running one.
    pub async fn run(mut self, mut apply: impl FnMut(u64, Arc<Config>) + Send, shutdown: Shutdown) {
        self.begin().await;
        let mut folders = Folders::new(&self.path);
        let mut looks = interval(LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut asked = false;
        loop {
            tokio::select! {
                () = shutdown.draining() => return,
                () = folders.stirred() => {}
                _ = looks.tick() => {}
                () = self.asked.notified() => asked = true,
                Some((change, reply)) = self.orders.recv() => {
                    // Who asked may have gone; the change was made all the same.
                    reply.send(self.amend(change, &mut apply).await).ok();
                    continue;
                }
            }
            folders.follow(&self.path);
            let look = tokio::select! {
                () = shutdown.draining() => return,
                look = Look::once_whole(&self.path, &folders, &self.judged, &self.running.text) => look,
            };
            // Read again, a content known already may mean something else: a person says so, because its secrets have
            // changed; or the day of a rule is over. What is not in force is read once it is another.
            let is_outdated =
                self.status.borrow().rejected.is_none() && self.running.is_outdated(Timestamp::now());
            let is_whole = look.judged != Judged::Unfinished;
            let anew = is_whole && (asked || is_outdated);
            if anew || look.judged != self.judged {
                self.judge(look, anew, &mut apply).await;
            }
            if is_whole && std::mem::take(&mut asked) {
                self.obeyed.send_modify(|times| *times += 1);
            }
            // A neighbour in the folder that is written all the time must not keep us looking all the time.
            sleep(look::STEP).await;
        }
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
            Judged::Unfinished => {
                Err(format!("{}: error: is being written, and not whole yet", path.display()))
            }
            Judged::Content(_) => spawn_blocking(move || config::parse_bytes(&look.content, &path))
                .await
                .map_err(|error| format!("reading it failed: {error}"))
                .and_then(|read| read.map_err(|errors| errors.to_string())),
        };
        match read {
            Ok(config) => self.put_in_force(config, BY_HAND, None, apply).await,
            Err(errors) => self.reject(&errors),
        }
    }

    /// Changes the file for a person, and puts it in force.
    async fn amend(
        &mut self,
        change: Change,
        apply: &mut impl FnMut(u64, Arc<Config>),
    ) -> Result<Changed, Refused> {
        let current = self.status.borrow().generation;
        if let Some(asked) = change.generation.filter(|asked| *asked != current) {
            return Err(Refused::Stale { current, asked });
        }
        let (path, data, running) = (self.path.clone(), self.running.start.data.clone(), self.running.digest);
        let audit = self.audit.clone();
        let plan = spawn_blocking(move || {
            let plan = Plan::new(&path, &data, &change, Purpose::Run, Timestamp::now())?;
            // What is in force is what the person has looked at.
            if plan.before.digest != running {
                return Err(Refused::Moved);
            }
            let book = plan.write(&path, &audit)?;
            Ok((plan, book, change))
        });
        let (plan, book, change) = plan.await.map_err(|error| Refused::Unwritable(error.to_string()))??;
        let Some(book) = book else {
            return Ok(Changed { generation: current, diff: String::new() });
        };
        let diff = plan.diff();
        self.judged = Judged::Content(plan.after.digest);
        let author = Author { who: &change.by, why: change.reason.as_deref(), generation: None };
        self.put_in_force(plan.after, author, Some(book), apply).await;
        let Status { generation, rejected } = self.status.borrow().clone();
        match rejected {
            None => Ok(Changed { generation, diff }),
            Some(why) => Err(Refused::Invalid(why.to_string())),
        }
    }

    /// What was put in force while nobody watched is a change as well; and what is in force now is kept.
    async fn begin(&self) {
        if self.status.borrow().rejected.is_some() {
            return;
        }
        let (path, running, audit) = (self.path.clone(), self.running.clone(), self.audit.clone());
        let begun = spawn_blocking(move || {
            if let Ok(before) = config::last_good(&path, &running.start.data, Purpose::Run) {
                write_down(&audit, None, &before, &running, Author { generation: Some(1), ..BY_HAND });
            }
            keep(&running);
        });
        if let Err(error) = begun.await {
            tracing::error!(%error, "what is in force was not kept");
        }
    }

    async fn put_in_force(
        &mut self,
        config: Config,
        author: Author<'_>,
        book: Option<Book>,
        apply: &mut impl FnMut(u64, Arc<Config>),
    ) {
        let kept = self.running.start.changed_keys(&config.start);
        let config = match config.as_started(self.running.start.clone(), &self.path) {
            Ok(config) => config,
            Err(errors) => return self.reject(&errors.to_string()),
        };
        if !kept.is_empty() {
            tracing::warn!(keys = kept.join(", "), "changed keys of [gateway] wait for the next start");
        }
        let warnings = config.warnings.beyond(&self.running.warnings);
        if !warnings.is_empty() {
            tracing::warn!(%warnings, "routes.toml is legal and unwise");
        }
        let config = Arc::new(config);
        let changes = config.changes_since(&self.running);
        let generation = self.status.borrow().generation + 1;

        // The next save may mend what broke here: the watch goes on.
        if catch_unwind(AssertUnwindSafe(|| apply(generation, Arc::clone(&config)))).is_err() {
            self.reject("putting it in force failed; that is a mistake of figueira's, not of the file");
            return;
        }
        let before = std::mem::replace(&mut self.running, config);
        self.metrics.applied();
        self.metrics.in_force(generation);
        self.status.send_replace(Status { generation, rejected: None });
        tracing::info!(generation, changes = changes.join("; "), "routes.toml is in force");
        let (audit, running) = (self.audit.clone(), Arc::clone(&self.running));
        let (who, why) = (author.who.to_owned(), author.why.map(str::to_owned));
        let noted = spawn_blocking(move || {
            let author = Author { who: &who, why: why.as_deref(), generation: Some(generation) };
            write_down(&audit, book, &before, &running, author);
            keep(&running);
        });
        if let Err(error) = noted.await {
            tracing::error!(%error, "what is in force was not kept");
        }
    }

    fn reject(&self, errors: &str) {
        self.metrics.rejected();
        let Status { generation, rejected } = self.status.borrow().clone();
        // Whoever started with the last good rules has said why.
        if rejected.as_deref() == Some(errors) {
            return;
        }
        self.status.send_modify(|status| status.rejected = Some(errors.into()));
        tracing::error!(generation, errors, "routes.toml is not in force; the last good rules are");
    }
}

/// Adds what changed to the audit log, which the author may have open; where whoever changed the file has done so, only
/// that it is in force here.
fn write_down(audit: &audit::Log, book: Option<Book>, before: &Config, after: &Config, author: Author<'_>) {
    let lines = audited::lines(before, after, author, Timestamp::now());
    let Some(file) = lines.first().and_then(|line| line.file.as_deref()) else { return };
    let write = || {
        let mut book = book.map_or_else(|| audit.open(), Ok)?;
        if book.tells_of(file)? {
            book.append(&[audited::taken_up(file, author, Timestamp::now())])
        } else {
            book.append(&lines)
        }
    };
    if let Err(error) = write() {
        tracing::error!(path = %audit.path().display(), %error, "the audit log cannot be written");
    }
}

/// Keeps what is in force for a restart with a broken file.
fn keep(running: &Config) {
    if let Err(error) = config::keep(&running.text, &running.start.data) {
        tracing::error!(%error, "last-good.toml cannot be written");
    }
}

impl Handle {
    /// Has the owner of the file make `change`, and put it in force.
    pub async fn change(&self, change: Change) -> Result<Changed, Refused> {
        const ENDING: Refused = Refused::Closed("it is ending");
        let (reply, answer) = oneshot::channel();
        self.orders.send((change, reply)).await.map_err(|_| ENDING)?;
        answer.await.map_err(|_| ENDING)?
    }

    /// Follows what is in force.
    pub fn status(&self) -> watch::Receiver<Status> {
        self.status.clone()
    }

    /// Does `then` at every SIGHUP, until `shutdown`.
    pub fn on_hangup<F>(
        &self,
        shutdown: &Shutdown,
        then: impl Fn(Self) -> F + Send + Sync + 'static,
    ) -> io::Result<()>
    where
        F: Future<Output = ()> + Send,
    {
        let mut hangups = signal(SignalKind::hangup())?;
        let (handle, draining) = (self.clone(), shutdown.clone());
        shutdown.spawn(async move {
            loop {
                tokio::select! {
                    () = draining.draining() => return,
                    _ = hangups.recv() => then(handle.clone()).await,
                }
            }
        });
        Ok(())
    }

    /// Has the file read again though its content may be the same: the secrets that it names may not be. Resolves when
    /// it is in force, or refused.
    pub async fn reread(&self) {
        let mut obeyed = self.obeyed.clone();
        obeyed.borrow_and_update();
        self.asked.notify_one();
        // An owner who is gone rereads nothing more.
        obeyed.changed().await.ok();
    }
}

#[cfg(test)]
mod tests;
