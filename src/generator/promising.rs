//! Jobs that are promised here and begun elsewhere: a function stands still as soon as it has answered, so that what
//! nobody waits for is the work of another event.

use std::{fmt, pin::Pin, sync::Arc};

use uuid::Uuid;

use super::{
    Generator, Outcome, Until,
    catalog::{Advance, Record, Seen},
    saga::{
        Intent,
        failure::{Failure, chain},
    },
    settings::Contract,
    state::State,
};

/// The future of a request to begin a job.
pub type Beginning<'a> = Pin<Box<dyn Future<Output = Result<(), String>> + Send + 'a>>;

/// Who begins accepted jobs elsewhere.
pub trait Beginner: fmt::Debug + Send + Sync {
    /// Sees to it that a job [is begun](Generator::begin_accepted); an error is why nobody has taken that on.
    fn begin(&self, job: Uuid) -> Beginning<'_>;
}

impl Generator {
    /// Has jobs that no client waits for begun by `beginner`, from now on. What it does not take on is begun here.
    pub fn begin_elsewhere(&self, beginner: Arc<dyn Beginner>) {
        // Who was named first is kept.
        drop(self.0.beginner.set(beginner));
    }

    /// Begins a job that was promised elsewhere, and waits for its end. Nothing is done where somebody has begun it. An
    /// error is why that is not known: it may be asked for again.
    pub async fn begin_accepted(&self, job: Uuid, until: Until) -> Result<(), String> {
        let saga = &self.0.saga;
        let record = saga.catalog.record(job).await.map_err(|error| chain(&error))?;
        let accepted = record.filter(|record| record.lease.standing == State::Accepted.into());
        let Some(Record { lease, beat, .. }) = accepted else { return Ok(()) };
        if lease.owner != saga.owner {
            let taken = saga.catalog.take_over(Seen { lease, beat }, saga.owner, (saga.clock)()).await;
            if taken.map_err(|error| chain(&error))? == Advance::Refused {
                return Ok(());
            }
        }
        saga.promised.add(job);
        for begun in self.resume(Some(until)) {
            // It says itself what became of it.
            drop(begun.await);
        }
        Ok(())
    }

    /// Writes a promise down, and answers once somebody has taken it on; `None` where its key is taken.
    pub(super) async fn promise(
        &self,
        contract: &Contract,
        intent: Intent,
        beginner: Arc<dyn Beginner>,
    ) -> Option<Outcome> {
        let (id, inner) = (intent.id, self.0.clone());
        let started = contract.started(id, &intent.order.prompt, &intent.settings);
        let promising = self.0.saga.plane.spawn(self.0.jobs.track_future(async move {
            inner.saga.promise(&intent).await?;
            if let Err(error) = beginner.begin(id).await {
                tracing::warn!(job = %id, error, "nobody else begins an accepted job; it is begun here");
                inner.saga.promised.add(id);
                drop(Self::of(inner.clone()).resume(intent.until));
            }
            Ok::<_, Failure>(())
        }));
        match promising.await {
            Ok(Ok(())) => Some(Outcome::Answered(started)),
            Ok(Err(failure)) => self.failed(contract, id, failure),
            Err(_) => Some(self.crashed(contract, id)),
        }
    }
}
