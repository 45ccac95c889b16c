//! Tells the monolith what became of its users' generations, because its galleries, orders and credits read its own
//! data: at least once, across restarts, signed. What is told is the record; that it is to be told was written in the
//! transaction that made it true.
//!
//! ```text
//! Figueira-Event: done                  or failed
//! Figueira-Delivery: 0197...-done       the job and its news: the same at each try, so that what comes twice is seen to
//! Figueira-Timestamp: 1700000000        seconds since 1970, of this try
//! Figueira-Signature: v1=5f3c...        HMAC-SHA256, in hex, over the timestamp, a full stop and the body
//! ```

mod told;
mod under_way;

use std::{
    collections::HashSet,
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use http::{HeaderValue, Request, StatusCode, header::CONTENT_TYPE};
use serde::{Deserialize, Serialize};
use tokio::{task::JoinHandle, time::interval};
use uuid::Uuid;

pub(crate) use self::told::Told;
use self::under_way::{Delivery, UnderWay};
use super::{
    Grant,
    catalog::{CatalogError, First, Letter, Posted},
    credential::Credential,
    saga::{Saga, failure::chain},
    settings::{News, Notify},
    state::State,
};
use crate::tell;

/// Between two looks at what is due.
const PACE: Duration = Duration::from_secs(1);
/// Letters of one look, from each end.
const BATCH: u32 = 32;
/// After the first failure; each further one doubles it.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_mins(10);
/// For so long a refusal (4xx), or that no rule names the place any more, is taken for a mistake that somebody mends.
const PATIENCE: Duration = Duration::from_hours(24);

/// The future of a delivery.
pub type Carrying<'a> = Pin<Box<dyn Future<Output = Result<StatusCode, String>> + Send + 'a>>;

/// Who carries letters to an upstream.
pub trait Courier: fmt::Debug + Send + Sync {
    /// Sends `request` to the upstream of this name, and says how it was answered.
    fn carry<'a>(&'a self, upstream: &'a str, request: Request<Bytes>) -> Carrying<'a>;
}

/// What a job carries for the day when it is told of.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Envelope {
    upstream: String,
    url: String,
    on: Vec<String>,
    request: String,
    tenant: Option<String>,
    facts: Vec<(String, String)>,
    prompt: Option<String>,
    /// Whether it is told to who would take it only signed.
    #[serde(default)]
    signed: bool,
}

impl Envelope {
    /// For a job of a request with this permission.
    pub(crate) fn new(notify: &Notify, grant: &Grant, prompt: &str) -> Self {
        Self {
            upstream: notify.upstream.to_string(),
            url: notify.url.to_string(),
            on: notify.on.iter().map(|news| news.name().to_owned()).collect(),
            request: grant.request.clone(),
            tenant: grant.tenant.clone(),
            facts: grant.facts.clone(),
            prompt: notify.prompt.then(|| prompt.to_owned()),
            signed: notify.secret.is_some(),
        }
    }

    /// Whether this is who it is told to.
    pub(crate) fn is_for(&self, notify: &Notify) -> bool {
        *self.upstream == *notify.upstream && notify.url == *self.url
    }

    fn is_on(&self, event: &str) -> bool {
        self.on.iter().any(|news| news == event)
    }

    /// As the job keeps it.
    pub(crate) fn written(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }
}

/// Delivers what is due. Clones share what is under way.
#[derive(Clone, Debug)]
pub(crate) struct Post {
    saga: Saga,
    courier: Arc<dyn Courier>,
    teller: tell::Teller,
    under_way: UnderWay,
}

/// What became of one try.
enum Try {
    Taken,
    /// Nobody waits for these news.
    Unwanted,
    /// Somebody has to mend something.
    Refused(String),
    Failed(String),
}

impl Post {
    pub(crate) fn new(saga: Saga, courier: Arc<dyn Courier>, teller: tell::Teller) -> Self {
        Self { saga, courier, teller, under_way: UnderWay::default() }
    }

    /// Delivers what is due until the process drains. `notify_of` says how a route's letters are told now.
    pub(crate) async fn deliver_all(
        self,
        notify_of: impl Fn(&str, &Envelope) -> Option<Notify> + Send + Sync + 'static,
    ) {
        let draining = self.saga.plane.shutdown().clone();
        let notify_of = Arc::new(notify_of);
        let mut pace = interval(PACE);
        loop {
            tokio::select! {
                biased;
                () = draining.draining() => return,
                _ = pace.tick() => {}
            }
            drop(self.begin_due(&notify_of, (self.saga.clock)(), |_| true).await);
        }
    }

    /// Delivers what is due now, trying each letter once.
    pub(crate) async fn deliver_due(
        &self,
        notify_of: Arc<impl Fn(&str, &Envelope) -> Option<Notify> + Send + Sync + 'static>,
    ) {
        let (at, mut tried) = ((self.saga.clock)(), HashSet::new());
        loop {
            let begun = self.begin_due(&notify_of, at, |job| tried.insert(job)).await;
            if begun.is_empty() {
                return;
            }
            for delivery in begun {
                // One that has crashed is due again.
                delivery.await.ok();
            }
        }
    }

    /// Begins to deliver what is due `at` a moment, is `wanted` and delivered by nobody yet, each letter in a task of its
    /// own.
    async fn begin_due(
        &self,
        notify_of: &Arc<impl Fn(&str, &Envelope) -> Option<Notify> + Send + Sync + 'static>,
        at: SystemTime,
        mut wanted: impl FnMut(Uuid) -> bool,
    ) -> Vec<JoinHandle<()>> {
        let letters = match self.due(at).await {
            Ok(letters) => letters,
            Err(error) => {
                tracing::warn!(error = chain(&error), "what is to be told cannot be read");
                return Vec::new();
            }
        };
        let wanted = letters.into_iter().filter(|letter| wanted(letter.job));
        let ours = wanted.filter_map(|letter| Some((letter, self.under_way.begin(letter.job)?)));
        let begun = ours.map(|(letter, delivery)| {
            let (post, notify_of) = (self.clone(), notify_of.clone());
            self.saga.plane.spawn(async move { post.deliver(letter, delivery, &*notify_of).await })
        });
        begun.collect()
    }

    /// What has just become due, so that one hook that hangs keeps no other's news waiting; where more is, also what has
    /// waited longest, so that all have their turn.
    async fn due(&self, at: SystemTime) -> Result<Vec<Letter>, CatalogError> {
        let catalog = &self.saga.catalog;
        let mut letters = catalog.letters(at, First::Latest, BATCH).await?;
        if letters.len() >= BATCH as usize {
            letters.extend(catalog.letters(at, First::Longest, BATCH).await?);
        }
        Ok(letters)
    }

    /// Delivers the news of one job now, for an answer that waits for it; where another has begun to, once that is over.
    pub(crate) async fn deliver_now(&self, job: Uuid, notify: &Notify) {
        let delivery = self.under_way.begin_next(job).await;
        if let Ok(Some(letter)) = self.saga.catalog.letter(job).await {
            self.deliver(letter, delivery, &|_: &str, _: &Envelope| Some(notify.clone())).await;
        }
    }

    async fn deliver(
        &self,
        letter: Letter,
        delivery: Delivery,
        notify_of: &(dyn Fn(&str, &Envelope) -> Option<Notify> + Send + Sync),
    ) {
        let job = letter.job;
        let tried = self.attempt(letter, notify_of).await;
        let now = (self.saga.clock)();
        let posted = match &tried {
            Try::Taken | Try::Unwanted => Posted::Delivered,
            Try::Refused(_) => {
                let since = letter.refused.unwrap_or(now);
                if is_hopeless(since, now) { Posted::Dead } else { again(&letter, Some(since), now) }
            }
            Try::Failed(_) => again(&letter, None, now),
        };
        let (outcome, error) = match &tried {
            Try::Taken => ("delivered", None),
            Try::Unwanted => ("unwanted", None),
            Try::Refused(why) => ("refused", Some(why.clone())),
            Try::Failed(why) => ("failed", Some(why.clone())),
        };
        self.saga.metrics.notified(outcome);
        match (posted, error) {
            (Posted::Dead, error) => {
                let error = error.unwrap_or_default();
                tracing::error!(%job, error, "the monolith refuses to be told of a job; it is given up");
                self.saga.metrics.notified("dead");
                let text = format!("for a day the monolith could not be told of job {job}: {error}");
                let mut facts = serde_json::Map::new();
                facts.insert("job".to_owned(), job.to_string().into());
                let at = jiff::Timestamp::try_from(now).unwrap_or_default();
                self.teller.tell(&tell::News { topic: tell::Topic::DeadLetter, at, text, facts });
            }
            // Once a letter, and again when it has waited for long.
            (_, Some(error)) if letter.tries == 0 || letter.tries % 16 == 15 => {
                tracing::warn!(%job, error, "the monolith cannot be told of a job; trying again");
            }
            _ => {}
        }
        if let Err(error) = self.saga.catalog.posted(letter, posted).await {
            tracing::warn!(%job, error = chain(&error), "what was told could not be written down; it is told again");
        }
        drop(delivery);
    }

    async fn attempt(
        &self,
        letter: Letter,
        notify_of: &(dyn Fn(&str, &Envelope) -> Option<Notify> + Send + Sync),
    ) -> Try {
        let record = match self.saga.catalog.record(letter.job).await {
            Ok(Some(record)) => record,
            // Erased meanwhile.
            Ok(None) => return Try::Unwanted,
            Err(error) => return Try::Failed(chain(&error)),
        };
        let envelope = record.notify.as_deref().and_then(|text| serde_json::from_str::<Envelope>(text).ok());
        let Some(envelope) = envelope else { return Try::Unwanted };
        let event = event(letter.news);
        if !envelope.is_on(event) {
            return Try::Unwanted;
        }
        let told = Told::of(&record, event);
        match notify_of(&record.route, &envelope) {
            Some(notify) => self.send(&envelope, &told, notify.secret).await,
            None if envelope.signed => {
                Try::Refused("no [route.notify] tells this place, and has its secret, any more".to_owned())
            }
            None => match self.send(&envelope, &told, None).await {
                // There may never be anybody there again.
                Try::Failed(why) => Try::Refused(why),
                tried => tried,
            },
        }
    }

    /// Tells, once and best effort, of a request that was permitted and has no job: nobody keeps a record of that.
    pub(crate) async fn release(&self, notify: Notify, envelope: Envelope, told: Told<'_>) {
        if !envelope.is_on(told.event) {
            return;
        }
        let job = told.job;
        let outcome = match self.send(&envelope, &told, notify.secret).await {
            Try::Taken | Try::Unwanted => "delivered",
            Try::Refused(error) => {
                tracing::warn!(%job, error, "the monolith refuses to be told of a request that was not begun");
                "refused"
            }
            Try::Failed(error) => {
                tracing::warn!(%job, error, "the monolith cannot be told of a request that was not begun");
                "failed"
            }
        };
        self.saga.metrics.notified(outcome);
    }

    /// One try.
    async fn send(&self, envelope: &Envelope, told: &Told<'_>, secret: Option<Credential>) -> Try {
        let body = told.written(envelope);
        let secret = match secret {
            None => None,
            Some(secret) => match self.saga.plane.blocking(move || secret.current()).await {
                Ok(secret) => Some(secret),
                Err(crashed) => return Try::Failed(crashed.to_string()),
            },
        };
        let timestamp = (self.saga.clock)()
            .duration_since(SystemTime::UNIX_EPOCH)
            .map_or(0, |since| i64::try_from(since.as_secs()).unwrap_or(i64::MAX));
        let request = Request::post(envelope.url.as_str())
            .header(CONTENT_TYPE, HeaderValue::from_static("application/json"))
            .header("figueira-event", told.event)
            .header("figueira-delivery", format!("{}-{}", told.job, told.event))
            .header("figueira-timestamp", timestamp);
        let request = match &secret {
            Some(secret) => {
                request.header("figueira-signature", tell::signature(secret, timestamp, body.as_bytes()))
            }
            None => request,
        };
        let Ok(request) = request.body(Bytes::from(body)) else {
            return Try::Failed("its url is none".to_owned());
        };
        match self.courier.carry(&envelope.upstream, request).await {
            Ok(status) if status.is_success() => Try::Taken,
            Ok(status) if status.is_client_error() => Try::Refused(format!("it answered {status}")),
            Ok(status) => Try::Failed(format!("it answered {status}")),
            Err(why) => Try::Failed(why),
        }
    }
}

/// What the monolith is told: it made the images or they failed; a job that was left to it has failed here.
fn event(news: State) -> &'static str {
    if news == State::Done { News::Done.name() } else { News::Failed.name() }
}

fn pause(tries: u32) -> Duration {
    FIRST_PAUSE.saturating_mul(1 << tries.min(16)).min(LONGEST_PAUSE)
}

fn again(letter: &Letter, refused: Option<SystemTime>, now: SystemTime) -> Posted {
    Posted::Again { due: now.checked_add(pause(letter.tries)).unwrap_or(now), refused }
}

/// Whether a letter that was refused each time since `since` is given up.
fn is_hopeless(since: SystemTime, now: SystemTime) -> bool {
    now.duration_since(since).is_ok_and(|waited| waited >= PATIENCE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_ten_minutes() {
        let seconds: Vec<_> = (0..12).map(|tries| pause(tries).as_secs()).collect();
        assert_eq!(seconds, [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 600, 600]);
        assert_eq!(pause(u32::MAX), LONGEST_PAUSE);
    }

    #[test]
    fn only_a_day_of_refusals_is_hopeless() {
        let since = SystemTime::UNIX_EPOCH;
        let later = |hours| since + Duration::from_hours(hours);
        assert!(!is_hopeless(since, since) && !is_hopeless(since, later(23)));
        assert!(is_hopeless(since, later(24)));
    }

    #[test]
    fn what_a_job_carries_is_read_again() {
        let notify = Notify {
            url: "/internal/image-created".parse().unwrap(),
            upstream: "monolith".into(),
            on: vec![News::Done],
            wait: None,
            prompt: true,
            secret: None,
        };
        let grant = Grant {
            request: "r1".into(),
            tenant: Some("7".into()),
            facts: vec![("x-hold".into(), "h".into())],
        };
        let envelope = Envelope::new(&notify, &grant, "a sea");
        assert_eq!(serde_json::from_str::<Envelope>(&envelope.written()).unwrap(), envelope);
        let silent = Envelope::new(&Notify { prompt: false, ..notify }, &grant, "a sea");
        assert!(!silent.written().contains("sea"));
    }
}
