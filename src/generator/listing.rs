//! Jobs as an operator sees them: nothing of what was asked for, and nobody's name.

use std::time::SystemTime;

use jiff::Timestamp;
use serde::Serialize;
use uuid::Uuid;

use super::{
    Generator,
    catalog::Record,
    money::Usd,
    saga::failure::chain,
    state::{Reason, Standing},
};

/// One job of the catalog.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Listed {
    /// Its id.
    pub job: String,
    /// The route that it came by.
    pub route: String,
    /// Where it stands.
    pub state: &'static str,
    /// Why, where it failed.
    pub reason: Option<&'static str>,
    /// Who draws.
    pub provider: String,
    /// With what.
    pub model: String,
    /// The provider's own id of the request.
    pub request_id: Option<String>,
    /// How many images were ordered.
    pub n: u32,
    /// How large.
    pub size: String,
    /// Their names, from when they are stored.
    pub images: Vec<String>,
    /// Hash of the prompt.
    pub prompt_sha256: String,
    /// What it cost, in US dollars, where that is known.
    pub cost_usd: Option<f64>,
    /// When it was claimed.
    pub created: Option<Timestamp>,
    /// When it last moved.
    pub updated: Option<Timestamp>,
}

impl Generator {
    /// At most `most` jobs, the newest first; of those that are older than `before`, where that is named. An error is why
    /// they are not known.
    pub async fn listed(&self, before: Option<Uuid>, most: usize) -> Result<Vec<Listed>, String> {
        let inner = self.0.clone();
        let listed = self.0.saga.plane.spawn(async move { inner.saga.catalog.newest(before, most).await });
        let records = listed.await.map_err(|error| error.to_string())?.map_err(|error| chain(&error))?;
        Ok(records.into_iter().map(Listed::from).collect())
    }
}

impl From<Record> for Listed {
    fn from(record: Record) -> Self {
        let Standing { state, reason } = record.lease.standing;
        let moment = |at: SystemTime| Timestamp::try_from(at).ok();
        Self {
            job: record.lease.job.hyphenated().to_string(),
            route: record.route,
            state: state.name(),
            reason: reason.map(Reason::name),
            provider: record.provider,
            model: record.model,
            request_id: record.receipt.request_id,
            n: record.count,
            size: record.size.to_string(),
            images: record.objects.into_iter().map(|object| object.name).collect(),
            prompt_sha256: record.prompt_sha256.to_string(),
            cost_usd: record.receipt.cost.map(Usd::as_dollars),
            created: moment(record.created),
            updated: moment(record.updated),
        }
    }
}
