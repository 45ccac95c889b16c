//! The whole gateway on a thread of its own, with a folder of its own.

use std::{
    fs,
    net::SocketAddr,
    path::PathBuf,
    thread,
    time::{Duration, Instant},
};

use figueira::{
    app::{App, Inheritance, Outcome, Source},
    config,
    shutdown::Shutdown,
};
use tempfile::TempDir;

use super::{
    Origin, Rules, Wire,
    wire::{Message, PATIENCE},
};

/// A running gateway; dropped, it drains, and nothing may be left over.
#[derive(Debug)]
pub(crate) struct Gateway {
    site: SocketAddr,
    admin: SocketAddr,
    shutdown: Shutdown,
    thread: Option<thread::JoinHandle<anyhow::Result<Outcome>>>,
    folder: TempDir,
}

impl Gateway {
    /// One that forwards everything to `origin`.
    pub(crate) fn before(origin: &Origin) -> Self {
        Self::start(&Rules::forwarding_to(origin.address()))
    }

    pub(crate) fn start(rules: &Rules) -> Self {
        Self::start_with(&rules.to_string())
    }

    /// One with this very text as its `routes.toml`.
    pub(crate) fn start_with(text: &str) -> Self {
        let folder = TempDir::new().unwrap();
        let file = folder.path().join("routes.toml");
        fs::write(&file, text).unwrap();
        let config = config::load(&file).unwrap_or_else(|errors| panic!("{errors}"));
        let app = App::build(config, Source::File(file), Inheritance::default()).unwrap();
        let addresses = app.addresses();
        let (site, admin) = (addresses.listen[0], addresses.admin.unwrap());
        let shutdown = Shutdown::default();
        let run = {
            let shutdown = shutdown.clone();
            move || app.run(&shutdown)
        };
        let thread = thread::Builder::new().name("gateway".to_owned()).spawn(run).unwrap();
        Self { site, admin, shutdown, thread: Some(thread), folder }
    }

    /// A client's new connection.
    pub(crate) fn connect(&self) -> Wire {
        Wire::connect(self.site)
    }

    /// The operator's address.
    pub(crate) fn admin(&self) -> SocketAddr {
        self.admin
    }

    /// Its `routes.toml`.
    pub(crate) fn file(&self) -> PathBuf {
        self.folder.path().join("routes.toml")
    }

    /// Where it keeps what lasts.
    pub(crate) fn data(&self) -> PathBuf {
        self.folder.path().join("figueira-data")
    }

    /// Puts other rules in force, and waits until they are.
    pub(crate) fn obey(&self, rules: &Rules) {
        let before = generation(self.admin);
        fs::write(self.file(), rules.to_string()).unwrap();
        eventually("the next generation of rules", || {
            let now = generation(self.admin);
            (now > before).then_some(()).ok_or(now)
        });
    }

    /// Asks it to drain.
    pub(crate) fn begin_to_drain(&self) {
        self.shutdown.begin();
    }

    /// Waits for the end of its drain.
    pub(crate) fn ended(mut self) -> Outcome {
        self.join()
    }

    fn join(&mut self) -> Outcome {
        self.shutdown.begin();
        self.thread.take().unwrap().join().unwrap().unwrap()
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        // A story that failed has its own message.
        if self.thread.is_some() && !thread::panicking() {
            assert_eq!(self.join(), Outcome::Drained, "something of this story never ended");
        }
    }
}

/// What the admin listener answers to a GET.
pub(crate) fn ask_admin(admin: SocketAddr, path: &str) -> Message {
    let mut wire = Wire::connect(admin);
    wire.send(&format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"));
    wire.read_message()
}

/// The generation of rules in force.
pub(crate) fn generation(admin: SocketAddr) -> u64 {
    ask_admin(admin, "/readyz").json()["generation"].as_u64().unwrap()
}

/// Asks until there is an answer; fails with the last of what was there in its place. What is asked for may have to be
/// drawn, compared and written first, on threads that run when no other wants to: beside two busy processors they get a
/// hundredth of one.
#[track_caller]
pub(crate) fn eventually<T, E: std::fmt::Debug>(what: &str, mut ask: impl FnMut() -> Result<T, E>) -> T {
    let until = Instant::now() + 6 * PATIENCE;
    loop {
        match ask() {
            Ok(answer) => return answer,
            Err(still) if Instant::now() > until => panic!("{what} never came; still: {still:?}"),
            Err(_) => thread::sleep(Duration::from_millis(2)),
        }
    }
}
