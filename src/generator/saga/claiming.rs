//! The claim: job, key and reservation, written in one transaction before anything is called, and only where the disk has
//! room for what will come.

use std::time::Instant;

use uuid::Uuid;

use super::{
    Intent, Saga,
    failure::{Failure, Unclaimed},
};
use crate::generator::{
    budget::{Day, Reservation},
    catalog::{ClaimKey, Claimed, Lease, NewJob},
    money::Usd,
    state::State,
};

impl Saga {
    /// Room in the spool first: what is claimed can be kept.
    pub(super) async fn claim_with_room(&self, intent: &Intent) -> Result<Lease, Failure> {
        let (id, expected) = (intent.id, intent.provider.expected_bytes(&intent.order));
        self.claiming.add(id);
        let reserved = self.spool.reserve(id, intent.order.count, expected).await;
        let claimed = match reserved.map_err(Unclaimed::Disk) {
            Ok(()) => self.claim(intent).await,
            Err(unclaimed) => Err(unclaimed.into()),
        };
        // Of what is in doubt something is to be found here.
        if claimed.is_err() && !self.doubts.contains(id) {
            self.discard(id).await;
        }
        self.claiming.remove(id);
        claimed
    }

    /// Claims a job that will be begun elsewhere: nothing of it is kept here.
    pub(crate) async fn promise(&self, intent: &Intent) -> Result<Lease, Failure> {
        let started = Instant::now();
        let claimed = self.claim(intent).await;
        if let Err(failure) = &claimed {
            self.note(intent, started, Some(failure));
        }
        claimed
    }

    async fn claim(&self, intent: &Intent) -> Result<Lease, Failure> {
        let Intent { id, scope, order, provider, settings, .. } = intent;
        let at = (self.clock)();
        let job = NewJob {
            id: *id,
            claim: intent
                .keyed
                .claim
                .clone()
                .unwrap_or_else(|| ClaimKey { scope: scope.to_string(), key: id.hyphenated().to_string() }),
            replaces: intent.keyed.replaces,
            request: order.sha256(),
            claim_expires: at.checked_add(settings.idempotency_ttl).unwrap_or(at),
            state: if intent.accepted.is_some() { State::Accepted } else { State::Drawing },
            route: scope.to_string(),
            tenant: intent.tenant.clone(),
            subject: intent.subject.clone(),
            provider: provider.name(),
            model: provider.model().to_owned(),
            prompt_sha256: order.prompt.sha256().clone(),
            prompt_chars: order.prompt.chars(),
            prompt: settings.keep_prompts.then(|| order.prompt.text().to_owned()),
            count: order.count,
            size: order.size,
            ordered: intent.accepted.clone(),
            notify: intent.notify.clone(),
            reserved: Reservation { day: Day::of(at), usd: provider.price(order).unwrap_or(Usd::ZERO) },
            daily_budget: settings.daily_budget,
            owner: self.owner,
            at,
        };
        // Where a claim is in doubt the catalog may be down. It is asked first then: what was not written is not in doubt.
        if !self.doubts.is_empty() {
            self.catalog.record(*id).await.map_err(Unclaimed::Catalog)?;
        }
        match self.catalog.claim(job).await {
            Ok(Claimed::New(lease)) => Ok(lease),
            // Our own claim may have been written by a try whose answer was lost.
            Ok(Claimed::Held(claim)) if claim.job == Some(*id) => self.claimed(*id).await,
            Ok(Claimed::Held(_)) => Err(Failure::Held),
            Ok(Claimed::OverBudget) => Err(Unclaimed::Budget.into()),
            Err(error) => match self.catalog.record(*id).await {
                Ok(Some(record)) => Ok(record.lease),
                Ok(None) => {
                    // A write may have been given up here and still be on its way there.
                    if self.catalog.is_shared() {
                        self.doubt(*id).await;
                    }
                    Err(Unclaimed::Catalog(error).into())
                }
                Err(_) => {
                    self.doubt(*id).await;
                    Err(Failure::Ambiguous(error))
                }
            },
        }
    }

    async fn claimed(&self, job: Uuid) -> Result<Lease, Failure> {
        match self.catalog.record(job).await {
            Ok(record) => record.map(|record| record.lease).ok_or(Failure::Elsewhere(None)),
            Err(error) => {
                self.doubt(job).await;
                Err(Failure::Ambiguous(error))
            }
        }
    }
}
