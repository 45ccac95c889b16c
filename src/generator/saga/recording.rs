//! What becomes of a job, written down. A step that is refused or gets no answer is read back: the record is what happened.
//! A failure that the catalog does not take is kept in the spool, and brought into the record by who comes back to it.

use uuid::Uuid;

use super::{
    Intent, Saga,
    failure::{Failure, chain},
};
use crate::generator::{
    catalog::{Advance, CatalogError, Lease, Transition},
    provider::{ProviderError, Receipt},
    spool::Failed,
    state::{Reason, Standing, State},
};

impl Saga {
    /// Records a failure while drawing, and says which failure the client is told.
    pub(super) async fn fail(&self, intent: &Intent, lease: Lease, failure: Failure) -> Failure {
        let refused = match failure {
            Failure::Provider(ProviderError::Refused(refused))
                if intent.may_hand_over.is_some() && refused.why.may_be_asked_of_another() =>
            {
                refused
            }
            failure => return self.record_failure(lease, failure).await,
        };
        match self.step(lease, Transition::HandOver).await {
            Ok(_) => {
                self.discard(lease.job).await;
                Failure::HandedOver(refused)
            }
            // Nobody else is asked without a record of that.
            Err(Failure::Catalog(error)) => {
                self.unrecorded(lease.job, ProviderError::Refused(refused).into(), error).await
            }
            Err(_) => self.record_failure(lease, ProviderError::Refused(refused).into()).await,
        }
    }

    /// Records a failure that is the client's to hear. What was paid and cannot be used is kept.
    async fn record_failure(&self, lease: Lease, failure: Failure) -> Failure {
        let paid = failure.paid();
        if let Err(error) = self.spool.keep_paid(lease.job, &paid).await {
            tracing::error!(job = %lease.job, %error, "an answer that was paid and cannot be used could not be kept");
        }
        match self.owned(lease, Transition::Fail(failure.reason(), failure.receipt())).await {
            Ok(_) if paid.is_empty() => {
                self.discard(lease.job).await;
                failure
            }
            // Or another has given it up; the client is told what we know.
            Ok(_) | Err(Failure::Elsewhere(Some(State::Failed))) => failure,
            Err(Failure::Catalog(error)) => self.unrecorded(lease.job, failure, error).await,
            Err(elsewhere) => {
                tracing::warn!(job = %lease.job, error = chain(&failure), "the failure is in no record");
                elsewhere
            }
        }
    }

    /// Keeps in mind, also of who comes after us, what the catalog does not take.
    async fn unrecorded(&self, job: Uuid, why: Failure, catalog: CatalogError) -> Failure {
        self.note_failure(job, &Failed { reason: why.reason(), receipt: why.receipt() }).await;
        Failure::Unrecorded { why: why.into(), catalog }
    }

    pub(super) async fn note_failure(&self, job: Uuid, failed: &Failed) {
        if let Err(error) = self.spool.fail(job, failed).await {
            tracing::error!(%job, %error, "why a job gave no images can be neither recorded nor kept: it will be unknown");
        }
    }

    /// Takes a step from drawing. A job that was given up meanwhile is its owner's still, who knows more: unknown becomes
    /// done after all, or refused.
    pub(super) async fn owned(&self, lease: Lease, to: Transition) -> Result<Lease, Failure> {
        match self.step(lease, to.clone()).await {
            Err(Failure::Elsewhere(Some(State::Failed))) => {
                let given_up = Lease { standing: Standing::failed(Reason::Unknown), ..lease };
                self.step(given_up, to).await
            }
            taken => taken,
        }
    }

    /// Takes a step, and where that is refused or fails reads back whether it was taken.
    pub(super) async fn step(&self, from: Lease, to: Transition) -> Result<Lease, Failure> {
        let wanted = from.after(to.step());
        let unanswered = match self.catalog.advance(from, to, (self.clock)()).await {
            Ok(Advance::Moved(lease)) => return Ok(lease),
            Ok(Advance::Refused) => None,
            Err(error) => Some(error),
        };
        let record = self.catalog.record(from.job).await.map_err(Failure::Catalog)?;
        match (record.map(|record| record.lease), unanswered) {
            (Some(found), _) if Some(found) == wanted => Ok(found),
            (Some(found), Some(error)) if found == from => Err(Failure::Catalog(error)),
            (found, _) => Err(Failure::Elsewhere(found.map(|lease| lease.standing.state))),
        }
    }

    /// Gives up a job that nobody has begun.
    pub(crate) async fn refuse(&self, lease: Lease) {
        match self.step(lease, Transition::Fail(Reason::Refused, Receipt::default())).await {
            Ok(refused) => {
                self.tell_rest(&lease, &refused);
                self.discard(lease.job).await;
            }
            Err(failure) => {
                tracing::warn!(job = %lease.job, error = chain(&failure), "an accepted job could not be given up yet");
                self.parked.add(lease.job);
            }
        }
    }
}
