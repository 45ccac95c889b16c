//! Tells people what happened: a signed POST to each hook that wants to hear of it.
//!
//! Nobody waits for a hook. What is to be told takes a place in a bounded queue, or is dropped and counted; each
//! delivery is a task of its own, so that a dead hook delays no other. Deliveries may therefore arrive out of order:
//! `at` says when a thing happened.
//!
//! The body is JSON, with a `text` that Slack and its likes show. Its headers:
//!
//! ```text
//! Figueira-Event: brake
//! Figueira-Delivery: 0197...            the same at each attempt
//! Figueira-Timestamp: 1700000000        seconds since 1970, of this attempt
//! Figueira-Signature: v1=5f3c...        HMAC-SHA256, in hex, over the timestamp, a full stop and the body
//! ```

mod client;
mod signature;

use std::{collections::BTreeSet, fmt, sync::Arc, time::Duration};

use jiff::Timestamp;
use prometheus_client::{
    metrics::{counter::Counter, family::Family},
    registry::Registry,
};
use secrecy::SecretString;
use serde_json::{Map, Value, json};
use tokio::{
    runtime::Handle,
    sync::{OwnedSemaphorePermit, Semaphore},
    time::sleep,
};
use uuid::Uuid;

use self::client::Reach;
pub(crate) use self::{client::because, signature::of as signature};
use crate::{routing::Live, shutdown::Shutdown};

/// Deliveries under way or waiting for their next attempt.
const QUEUE: usize = 64;
/// Between attempts; after the last it is given up.
const PAUSES: [Duration; 5] = [
    Duration::from_secs(1),
    Duration::from_secs(5),
    Duration::from_secs(25),
    Duration::from_mins(2),
    Duration::from_mins(10),
];

/// What people can hear of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Topic {
    /// A brake was pulled or released.
    Brake,
    /// A route's verdict is another one.
    Verdict,
    /// A budget is used up.
    Budget,
    /// `routes.toml` was put in force or refused.
    Config,
    /// A notification was given up.
    DeadLetter,
}

impl Topic {
    /// Every one.
    pub const ALL: [Self; 5] = [Self::Brake, Self::Verdict, Self::Budget, Self::Config, Self::DeadLetter];

    /// As in `routes.toml`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Brake => "brake",
            Self::Verdict => "verdict",
            Self::Budget => "budget",
            Self::Config => "config",
            Self::DeadLetter => "dead-letter",
        }
    }
}

impl fmt::Display for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One `[[tell]]`.
#[derive(Clone, Debug)]
pub struct Hook {
    /// Where.
    pub url: Box<str>,
    /// What of.
    pub on: BTreeSet<Topic>,
    /// What it is signed with.
    pub secret: Option<SecretString>,
}

impl Hook {
    /// Where, without what is secret of it.
    fn host(&self) -> &str {
        let after_scheme = self.url.split_once("://").map_or(&*self.url, |(_, rest)| rest);
        after_scheme.split(['/', '?', '#']).next().unwrap_or_default()
    }
}

/// Something to tell.
#[derive(Clone, Debug, PartialEq)]
pub struct News {
    /// What it is about.
    pub topic: Topic,
    /// When it happened.
    pub at: Timestamp,
    /// For people, in a sentence.
    pub text: String,
    /// The same for machines: further keys of the body.
    pub facts: Map<String, Value>,
}

/// Tells. Cheap to clone; all clones have the same hooks and the same queue.
#[derive(Clone, Debug)]
pub struct Teller(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    hooks: Live<Hooks>,
    queue: Arc<Semaphore>,
    plane: Handle,
    life: Shutdown,
    metrics: Metrics,
    pauses: &'static [Duration],
}

/// Who is told, and how they are reached.
#[derive(Debug)]
struct Hooks {
    list: Vec<Hook>,
    reach: Arc<Reach>,
}

impl Hooks {
    fn new(list: Vec<Hook>) -> reqwest::Result<Self> {
        Ok(Self { list, reach: Arc::new(Reach::new()?) })
    }
}

/// What became of deliveries. Clones are the same counts.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    deliveries: Family<[(&'static str, &'static str); 2], Counter>,
}

impl Metrics {
    /// Counts that `registry` shows.
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        let help = "Deliveries to [[tell]] hooks, by topic and outcome: delivered, gave-up or dropped";
        registry.register("figueira_tell_deliveries", help, metrics.deliveries.clone());
        metrics
    }

    fn count(&self, topic: Topic, outcome: &'static str) {
        self.deliveries.get_or_create(&[("topic", topic.as_str()), ("outcome", outcome)]).inc();
    }
}

impl Teller {
    /// Tells `hooks`, by tasks on `plane` that belong to `life`.
    pub fn new(hooks: Vec<Hook>, plane: Handle, life: Shutdown, metrics: Metrics) -> reqwest::Result<Self> {
        Self::with_pauses(hooks, plane, life, metrics, &PAUSES)
    }

    fn with_pauses(
        hooks: Vec<Hook>,
        plane: Handle,
        life: Shutdown,
        metrics: Metrics,
        pauses: &'static [Duration],
    ) -> reqwest::Result<Self> {
        let (hooks, queue) = (Live::new(Hooks::new(hooks)?), Arc::new(Semaphore::new(QUEUE)));
        Ok(Self(Arc::new(Inner { hooks, queue, plane, life, metrics, pauses })))
    }

    /// Tells these from now on; which certificates are trusted is looked up anew.
    pub fn configure(&self, hooks: Vec<Hook>) {
        match Hooks::new(hooks) {
            Ok(hooks) => drop(self.0.hooks.replace(hooks)),
            Err(error) => tracing::error!(%error, "the hooks stay as they were"),
        }
    }

    /// Whether anybody wants to hear of `topic`.
    pub fn is_heard(&self, topic: Topic) -> bool {
        self.0.hooks.load().list.iter().any(|hook| hook.on.contains(&topic))
    }

    /// Tells every hook that wants to hear of it. Never waits.
    pub fn tell(&self, news: &News) {
        let hooks = self.0.hooks.load();
        for hook in hooks.list.iter().filter(|hook| hook.on.contains(&news.topic)) {
            let Ok(place) = self.0.queue.clone().try_acquire_owned() else {
                self.0.metrics.count(news.topic, "dropped");
                tracing::error!(
                    topic = news.topic.as_str(),
                    text = news.text,
                    "nobody is told: too much waits already"
                );
                continue;
            };
            let id = Uuid::now_v7();
            let delivery = Delivery {
                hook: hook.clone(),
                reach: hooks.reach.clone(),
                topic: news.topic,
                id,
                body: body(news, id),
                _place: place,
            };
            let _plane = self.0.plane.enter();
            drop(self.0.life.spawn(self.clone().deliver(delivery)));
        }
    }

    async fn deliver(self, delivery: Delivery) {
        let inner = &*self.0;
        let Delivery { hook, topic, id, .. } = &delivery;
        let (hook, topic) = (hook.host(), *topic);
        for (nth, pause) in inner.pauses.iter().map(Some).chain([None]).enumerate() {
            let failure = match delivery.attempt().await {
                Ok(()) => return inner.metrics.count(topic, "delivered"),
                Err(failure) => failure,
            };
            if nth == 0 {
                tracing::warn!(
                    hook,
                    topic = topic.as_str(),
                    error = failure,
                    "a hook cannot be told; trying again"
                );
            }
            let ended = match pause {
                Some(pause) => tokio::select! {
                    () = sleep(*pause) => false,
                    () = inner.life.draining() => true,
                },
                None => true,
            };
            if ended {
                inner.metrics.count(topic, "gave-up");
                tracing::error!(
                    hook,
                    topic = topic.as_str(),
                    delivery = %id,
                    error = failure,
                    "a hook could not be told"
                );
                return;
            }
        }
    }
}

/// One thing on its way to one hook.
#[derive(Debug)]
struct Delivery {
    hook: Hook,
    reach: Arc<Reach>,
    topic: Topic,
    id: Uuid,
    body: String,
    _place: OwnedSemaphorePermit,
}

impl Delivery {
    /// What is said of a failure never names the address: hooks carry their secrets there.
    async fn attempt(&self) -> Result<(), String> {
        let timestamp = Timestamp::now().as_second();
        let mut request = self
            .reach
            .client(&self.hook.url)
            .map_err(because)?
            .post(&*self.hook.url)
            .header("content-type", "application/json")
            .header("figueira-event", self.topic.as_str())
            .header("figueira-delivery", self.id.to_string())
            .header("figueira-timestamp", timestamp.to_string())
            .body(self.body.clone());
        if let Some(secret) = &self.hook.secret {
            request =
                request.header("figueira-signature", signature::of(secret, timestamp, self.body.as_bytes()));
        }
        match request.send().await {
            Ok(answer) if answer.status().is_success() => Ok(()),
            Ok(answer) => Err(format!("it answered {}", answer.status())),
            Err(error) => Err(because(error)),
        }
    }
}

fn body(news: &News, id: Uuid) -> String {
    let mut body = json!({
        "text": news.text,
        "event": news.topic.as_str(),
        "id": id.to_string(),
        "at": news.at.to_string(),
    });
    if let Some(keys) = body.as_object_mut() {
        for (key, value) in &news.facts {
            keys.entry(key).or_insert_with(|| value.clone());
        }
    }
    body.to_string()
}

#[cfg(test)]
mod tests;
