//! What a name means now, asked off the hot path and asked again and again.
//!
//! The system's own resolver is asked (`getaddrinfo`): `/etc/hosts`, search domains, `nsswitch.conf` and a changed
//! `resolv.conf` then mean here what they mean to every other program of the machine. It tells no TTLs, so it is asked
//! every few seconds; whatever caches names on the machine answers most of that.

use std::{fmt::Debug, future::Future, io, net::SocketAddr, pin::Pin, sync::Arc, time::Duration};

use tokio::time::{sleep, timeout};

use super::{addresses::Addresses, tally::Lookup};

/// Asks what names mean.
pub trait Resolve: Debug + Send + Sync {
    /// The addresses of `host`, each with `port`; those to be preferred first.
    fn resolve<'a>(&'a self, host: &'a str, port: u16) -> Resolving<'a>;
}

/// An answer under way.
pub type Resolving<'a> = Pin<Box<dyn Future<Output = io::Result<Vec<SocketAddr>>> + Send + 'a>>;

/// The system's resolver, on a thread that may wait.
#[derive(Clone, Copy, Debug)]
pub struct System;

impl Resolve for System {
    fn resolve<'a>(&'a self, host: &'a str, port: u16) -> Resolving<'a> {
        Box::pin(async move { Ok(tokio::net::lookup_host((host, port)).await?.collect()) })
    }
}

/// How often a name is looked up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// After an answer.
    pub refresh: Duration,
    /// After a failure, doubled at each up to `refresh`; also the least time between two lookups.
    pub again: Duration,
    /// An answer that takes longer is a failure. It is waited for all the same: a thread cannot be called off.
    pub patience: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            refresh: Duration::from_secs(5),
            again: Duration::from_secs(1),
            patience: Duration::from_secs(5),
        }
    }
}

/// Keeps `addresses` what their name means, for ever.
pub(super) async fn follow(addresses: Arc<Addresses>, resolver: Arc<dyn Resolve>, pace: Pace) {
    let mut pause = pace.again;
    loop {
        let next = if look(&addresses, &*resolver, pace.patience).await.is_ok() {
            pause = pace.again;
            pace.refresh
        } else {
            let longer = (pause * 2).min(pace.refresh);
            std::mem::replace(&mut pause, longer)
        };
        tokio::select! {
            () = sleep(next) => {}
            () = async { sleep(pace.again).await; addresses.wanted().await } => {}
        }
    }
}

/// The last answer stays what it was.
struct Fruitless;

async fn look(addresses: &Addresses, resolver: &dyn Resolve, patience: Duration) -> Result<(), Fruitless> {
    let (host, port) = addresses.name();
    let mut asked = resolver.resolve(host, port);
    let answer = if let Ok(answer) = timeout(patience, &mut asked).await {
        answer
    } else {
        addresses.unresolved(Lookup::Late, &format!("no answer within {patience:?}"));
        asked.await
    };
    match answer {
        Ok(found) if found.is_empty() => addresses.unresolved(Lookup::Empty, "the name has no address"),
        Ok(found) => {
            addresses.resolved(&found);
            return Ok(());
        }
        Err(error) => addresses.unresolved(Lookup::Failed, &error.to_string()),
    }
    Err(Fruitless)
}
