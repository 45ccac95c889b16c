//! A request becomes a job, and the job's end the answer: whole, in events while it is drawn, or later where nobody waits.

use std::{
    sync::atomic::Ordering,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;
use http::Request;
use tokio::{
    sync::mpsc::Receiver,
    task::{JoinError, JoinHandle},
};
use uuid::Uuid;

use super::{
    Generator, Inner, Outcome, Why,
    admission::{Place, RETRY_AFTER},
    arrival::Arrival,
    budget::Day,
    contract::Refusal,
    events::{self, EventBody, Preview, Previews, Writer},
    keyed::Keyed,
    links::Links,
    plane::Crashed,
    polling,
    provider::ProviderError,
    refusals::{told, told_of_refusal, unwritten},
    saga::{
        Intent,
        failure::{Failure, Unclaimed},
    },
    settings::Contract,
    writing::{Done, Form},
};

/// How long the monolith may take to let go of what it holds for a job that it is to do itself.
pub(super) const RELEASE: Duration = Duration::from_secs(10);

/// A job in its own task.
type Job = JoinHandle<Result<Done, Failure>>;

impl Generator {
    /// Answers a route's request. Once the request has its place, the job runs to its end in a task of its own, and
    /// dropping this future only loses the answer.
    pub async fn answer(&self, contract: &Contract, request: Request<Bytes>) -> Outcome {
        loop {
            let keyed = match self.keyed(contract, &request).await {
                Ok(keyed) => keyed,
                Err(outcome) => return outcome,
            };
            if let Some(outcome) = Box::pin(self.generate(contract, &request, keyed)).await {
                return outcome;
            }
            // Another gateway took the key meanwhile.
        }
    }

    /// Makes the images of a request; `None` where its key is taken.
    async fn generate(&self, contract: &Contract, request: &Request<Bytes>, keyed: Keyed) -> Option<Outcome> {
        let (mut intent, seat, reply) = match self.admit(contract, request, keyed) {
            Ok(admitted) => admitted,
            Err(outcome) => return Some(*outcome),
        };
        let stream = reply.stream(&intent.order).map(|(count, writer)| {
            let (previews, shown) = Previews::new(count);
            intent.arrival = Arrival::Shown(previews);
            (shown, writer)
        });
        let asynchronous = contract.is_polled() || polling::is_wanted(request.headers());
        let mut place = if asynchronous {
            intent.accept();
            if let Some(beginner) = self.0.beginner.get() {
                return self.promise(contract, intent, beginner.clone()).await;
            }
            Place::Queued(seat.into())
        } else {
            match self.place(contract, &intent, seat).await {
                Ok(permit) => Place::Taken { permit },
                Err(outcome) => return Some(outcome),
            }
        };
        let links = Links::of(request, &intent.settings);
        let (id, inner) = (intent.id, self.0.clone());
        let claimed = intent.claimed.clone();
        let started =
            asynchronous.then(|| contract.started(intent.id, &intent.order.prompt, &intent.settings));
        let replied = reply.clone();
        let mut job = self.0.saga.plane.spawn(self.0.jobs.track_future(async move {
            let drawn = match inner.saga.run(&intent, &mut place).await {
                Err(Failure::HandedOver(refused)) => {
                    let released = inner.is_released(&intent).await;
                    let ours = || ProviderError::Refused(refused.clone()).into();
                    return Err(if released { Failure::HandedOver(refused) } else { ours() });
                }
                drawn => drawn?,
            };
            inner.wait_for_delivery(&intent).await;
            // Who looks at unfinished images has seen all of them.
            intent.arrival = Arrival::Awaited;
            let mut made = links.made(&intent, drawn, (inner.saga.clock)());
            inner.address(&mut made).await;
            Ok::<_, Failure>(Done::leaving(place, made, &replied))
        }));
        if let Some(started) = started {
            tokio::select! {
                // It ended before its claim, or so soon that there is nothing to wait for.
                biased;
                () = claimed.notified() => return Some(Outcome::Answered(started)),
                ended = &mut job => return self.ended(contract, id, ended, Form::Whole(reply)).await,
            }
        }
        // Nothing is shown: the head is not written before it is sure that there are images.
        let mut form = Form::Whole(reply);
        if let Some((mut shown, writer)) = stream {
            if let Some(first) = shown.recv().await {
                return Some(self.stream(id, first, (shown, writer), job));
            }
            form = Form::Events(writer);
        }
        self.ended(contract, id, job.await, form).await
    }

    /// What a client that waited is told; `None` where the key is another job's.
    async fn ended(
        &self,
        contract: &Contract,
        id: Uuid,
        ended: Result<Result<Done, Failure>, JoinError>,
        form: Form,
    ) -> Option<Outcome> {
        match ended {
            Ok(Ok(done)) => Some(Outcome::Answered(self.0.written(contract, done, form).await)),
            Ok(Err(failure)) => self.failed(contract, id, failure),
            Err(_) => Some(self.crashed(contract, id)),
        }
    }

    /// What a client is told whose job's task has ended: somebody has to come back to it.
    pub(super) fn crashed(&self, contract: &Contract, id: Uuid) -> Outcome {
        self.0.saga.metrics.crashed("job");
        self.0.saga.parked.add(id);
        let mut response = told(&Failure::Crashed(Crashed), id).answer(contract);
        response.headers_mut().extend(polling::place(id, &self.settings()));
        Outcome::Answered(response)
    }

    /// What a client is told whose job gave no images; `None` where the key is another job's.
    pub(super) fn failed(&self, contract: &Contract, id: Uuid, failure: Failure) -> Option<Outcome> {
        let decline = |why, refusal: &Refusal| Some(self.decline(contract, why, refusal));
        let later = |why: &dyn std::fmt::Display, after| {
            let message = format!("images cannot be generated now: {why}");
            Refusal::unavailable("unavailable", message, after)
        };
        match failure {
            Failure::Held => None,
            Failure::Unclaimed(unclaimed @ Unclaimed::Budget) => {
                let now = (self.0.saga.clock)();
                self.0.refused_on.store(Day::of(now).number(), Ordering::Relaxed);
                decline(Why::Budget, &later(&unclaimed, Day::left(now)))
            }
            Failure::Unclaimed(unclaimed) => decline(Why::BeforeClaim, &later(&unclaimed, RETRY_AFTER)),
            Failure::HandedOver(refused) => decline(Why::HandedOver, &told_of_refusal(&refused)),
            failure => {
                let mut response = told(&failure, id).answer(contract);
                if failure.keeps_images() {
                    // Its images come later: where to ask for them.
                    response.headers_mut().extend(polling::place(id, &self.settings()));
                }
                Some(Outcome::Answered(response))
            }
        }
    }

    /// Writes the rest of an answer while it is drawn; its head can be taken back no more.
    fn stream(
        &self,
        id: Uuid,
        first: Preview,
        (mut shown, writer): (Receiver<Preview>, Writer),
        job: Job,
    ) -> Outcome {
        let (mut sender, body) = EventBody::new(1);
        let inner = self.0.clone();
        let writing = async move {
            let mut next = Some(first);
            let mut listens = true;
            while let Some(preview) = next {
                let event = writer.partial(&preview, seconds((inner.saga.clock)()));
                listens = listens && sender.send_data(event).await.is_ok();
                next = shown.recv().await;
            }
            let last = match job.await {
                Ok(Ok(Done { made, memory })) => {
                    let write = move || memory.holding(writer.completed(&made));
                    let written = inner.saga.plane.computing(write).await;
                    written.unwrap_or_else(|_| events::failed(&unwritten(id)))
                }
                Ok(Err(failure)) => events::failed(&told(&failure, id)),
                Err(_) => {
                    inner.saga.metrics.crashed("job");
                    inner.saga.parked.add(id);
                    events::failed(&told(&Failure::Crashed(Crashed), id))
                }
            };
            if listens {
                // Who has left misses it; the images are kept all the same.
                drop(sender.send_data(last).await);
            }
        };
        drop(self.0.saga.plane.spawn(writing));
        Outcome::Streamed(events::response(body))
    }
}

impl Inner {
    /// Whether the monolith knows that a job which was handed over holds nothing any more, so that it may be asked.
    async fn is_released(&self, intent: &Intent) -> bool {
        let (Some(notify), Some(post)) = (intent.settings.notify.get(&intent.scope), self.post.get()) else {
            return true;
        };
        tokio::time::timeout(RELEASE, post.deliver_now(intent.id, notify)).await.is_ok()
            && self.saga.catalog.letter(intent.id).await.is_ok_and(|letter| letter.is_none())
    }

    /// Until the monolith has been told once, where its route wants that: its next page shows the images.
    async fn wait_for_delivery(&self, intent: &Intent) {
        if let Some(notify) = intent.settings.notify.get(&intent.scope)
            && let (Some(wait), Some(post)) = (notify.wait, self.post.get())
            // It is told later where that takes too long.
            && tokio::time::timeout(wait, post.deliver_now(intent.id, notify)).await.is_err()
        {
            tracing::debug!(job = %intent.id, "the answer no longer waits for its notice");
        }
    }
}

fn seconds(at: SystemTime) -> u64 {
    at.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}
