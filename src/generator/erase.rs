//! Erases what is kept of one tenant's generations: images, what is spooled of them, then the records, so that one that
//! is broken off can be run again; and the tenant's keys under which nothing was generated.

use std::{path::Path, time::SystemTime};

use thiserror::Error;
use uuid::Uuid;

use super::{
    catalog::CatalogError,
    data::{self, Data, OpenError},
    digest::Digest,
    new_id,
    plane::Plane,
    settings::Settings,
    store::StoreError,
};
use crate::shutdown::Shutdown;

/// What was erased, and what was not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Erased {
    /// Generations.
    pub jobs: usize,
    /// Their images.
    pub images: usize,
    /// Keys whose requests the monolith has answered, or nobody.
    pub keys: usize,
    /// Generations that are not over, and were left alone.
    pub open: usize,
}

/// What stopped it.
#[derive(Debug, Error)]
pub enum EraseError {
    /// The data folder cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The catalog failed.
    #[error("the catalog failed")]
    Catalog(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// An image could not be deleted.
    #[error("an image could not be deleted")]
    Store(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// What was spooled could not be deleted.
    #[error("what was spooled could not be deleted")]
    Spool(#[source] std::io::Error),
}

impl From<CatalogError> for EraseError {
    fn from(error: CatalogError) -> Self {
        Self::Catalog(error.into())
    }
}

impl From<StoreError> for EraseError {
    fn from(error: StoreError) -> Self {
        Self::Store(error.into())
    }
}

/// Erases everything of `tenant` in a data folder, and where `settings` keep what is not in it. `subjects` are what routes
/// know the same person by where the monolith is not asked who it is, or has not been yet. Gateways may work in it
/// meanwhile.
pub async fn erase(
    settings: &Settings,
    folder: &Path,
    tenant: &str,
    subjects: &[String],
) -> Result<Erased, EraseError> {
    let plane = Plane::current(Shutdown::default());
    let boot = new_id(SystemTime::now());
    // Kept to the end: it says that somebody works here.
    let data = data::open(folder, settings, boot, || Uuid::from_u128(rand::random()), &plane).await?;
    let Data { catalog, store, spool, .. } = &data;
    let mut erased = Erased::default();
    for whose in std::iter::once(tenant).chain(subjects.iter().map(String::as_str)) {
        let whose = Digest::of(whose.as_bytes());
        for job in catalog.of_tenant(whose.clone()).await? {
            let Some(record) = catalog.record(job).await? else { continue };
            if record.lease.standing.state.is_open() {
                erased.open += 1;
                continue;
            }
            for object in &record.objects {
                store.delete(&object.name).await?;
            }
            spool.discard(job).await.map_err(EraseError::Spool)?;
            catalog.erase(job).await?;
            erased.jobs += 1;
            erased.images += record.objects.len();
        }
        erased.keys += catalog.forget_keys(whose).await?;
    }
    catalog.scrub().await?;
    Ok(erased)
}
