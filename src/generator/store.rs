//! Where image bytes live. One narrow door: whoever else keeps bytes comes in through it.

pub(crate) mod filesystem;
#[cfg(feature = "aws")]
pub(crate) mod s3;
#[cfg(test)]
mod suite;
#[cfg(test)]
mod tests;

use std::{
    io,
    ops::Range,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use thiserror::Error;
use tokio::io::AsyncRead;

use self::filesystem::Filesystem;
use super::{catalog::Object, digest::Digest, plane::Crashed};

/// Where what nobody knows is moved to. It goes from there after thirty days: from a folder by [`Store::tidy`], from a
/// bucket by its lifecycle rule.
const TRASH: &str = "trash";
/// The object that names the catalog whose images these are.
const MARKER: &str = "figueira-catalog";

/// The store did not do it.
#[derive(Debug, Error)]
pub(crate) enum StoreError {
    /// The file system failed.
    #[error("the image store failed")]
    Io(#[from] io::Error),
    /// S3 failed, or cannot be reached.
    #[cfg(feature = "aws")]
    #[error("the image store failed")]
    S3(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The name holds other bytes; no name is used twice.
    #[error("{name} already holds something else")]
    Taken {
        /// The name.
        name: String,
    },
    /// The thread that asked ended.
    #[error("the image store's thread ended")]
    Crashed(#[from] Crashed),
}

/// What a name holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Held {
    /// Nothing.
    Nothing,
    /// The bytes asked about.
    Same,
    /// Other bytes.
    Other,
}

/// One object of the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Listed {
    /// Its name.
    pub(crate) name: String,
    /// When it was written, by the store's clock.
    pub(crate) written: SystemTime,
}

/// Where image bytes live.
#[derive(Clone, Debug)]
pub(crate) enum Store {
    /// A folder.
    Filesystem(Filesystem),
    /// A bucket.
    #[cfg(feature = "aws")]
    S3(s3::S3),
}

impl Store {
    /// Stores `bytes` under a name that nobody had, durably. The same bytes twice are stored once.
    pub(crate) async fn put(&self, object: &Object, bytes: Bytes) -> Result<(), StoreError> {
        match self {
            Self::Filesystem(folder) => folder.put(&object.name, bytes).await,
            #[cfg(feature = "aws")]
            Self::S3(bucket) => bucket.put(object, bytes).await,
        }
    }

    /// Whether `name` holds the bytes of this hash.
    pub(crate) async fn held(&self, name: &str, sha256: &Digest) -> Result<Held, StoreError> {
        match self {
            Self::Filesystem(folder) => folder.held(name, sha256.clone()).await,
            #[cfg(feature = "aws")]
            Self::S3(bucket) => bucket.held(name, sha256).await,
        }
    }

    /// Deletes a name; one that is not there is deleted.
    pub(crate) async fn delete(&self, name: &str) -> Result<(), StoreError> {
        match self {
            Self::Filesystem(folder) => folder.delete(name).await,
            #[cfg(feature = "aws")]
            Self::S3(bucket) => bucket.delete(name).await,
        }
    }

    /// Opens the bytes in `range` of an object that is `length` bytes long.
    pub(crate) async fn read(
        &self,
        name: &str,
        length: u64,
        range: Range<u64>,
    ) -> Result<Box<dyn AsyncRead + Send + Unpin>, StoreError> {
        match self {
            Self::Filesystem(folder) => Ok(Box::new(folder.read(name, length, range).await?)),
            #[cfg(feature = "aws")]
            Self::S3(bucket) => bucket.read(name, length, range).await,
        }
    }

    /// Every object, but for the marker and the trash.
    pub(crate) async fn list(&self) -> Result<Vec<Listed>, StoreError> {
        let mut listed = match self {
            Self::Filesystem(folder) => folder.list().await?,
            #[cfg(feature = "aws")]
            Self::S3(bucket) => bucket.list().await?,
        };
        listed.retain(|object| object.name != MARKER);
        Ok(listed)
    }

    /// Moves an object to the trash.
    pub(crate) async fn discard(&self, name: &str) -> Result<(), StoreError> {
        match self {
            Self::Filesystem(folder) => folder.discard(name).await,
            #[cfg(feature = "aws")]
            Self::S3(bucket) => bucket.discard(name).await,
        }
    }

    /// Removes what killed processes have left half-written, and nothing that may be under way; and what has had its time in
    /// the trash, where that is a folder.
    pub(crate) async fn tidy(&self) -> Result<(), StoreError> {
        match self {
            Self::Filesystem(folder) => folder.tidy().await,
            #[cfg(feature = "aws")]
            Self::S3(_) => Ok(()),
        }
    }

    /// The catalog that the marker names; `None` where there is no marker.
    pub(crate) async fn marker(&self) -> Result<Option<String>, StoreError> {
        match self {
            Self::Filesystem(folder) => folder.note(MARKER).await,
            #[cfg(feature = "aws")]
            Self::S3(bucket) => bucket.note(MARKER).await,
        }
    }

    /// Writes the marker, unless there is one.
    pub(crate) async fn mark(&self, catalog: &str) -> Result<(), StoreError> {
        match self {
            Self::Filesystem(folder) => folder.write_note(MARKER, catalog).await,
            #[cfg(feature = "aws")]
            Self::S3(bucket) => bucket.write_note(MARKER, catalog).await,
        }
    }

    /// A URL of the store itself, good for `ttl`; `None` for a store that has none.
    #[cfg_attr(not(feature = "aws"), expect(clippy::unused_async, reason = "only a bucket has one"))]
    pub(crate) async fn presigned(&self, name: &str, ttl: Duration) -> Result<Option<String>, StoreError> {
        match self {
            Self::Filesystem(_) => {
                let _ = (name, ttl);
                Ok(None)
            }
            #[cfg(feature = "aws")]
            Self::S3(bucket) => bucket.presigned(name, ttl).await.map(Some),
        }
    }
}
