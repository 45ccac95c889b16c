//! Where image bytes live. One narrow door: whoever else keeps bytes comes in through it.

pub(crate) mod filesystem;

use std::{io, ops::Range};

use bytes::Bytes;
use thiserror::Error;
use tokio::io::AsyncRead;

use self::filesystem::Filesystem;
use super::{digest::Digest, plane::Crashed};

/// The store did not do it.
#[derive(Debug, Error)]
pub(crate) enum StoreError {
    /// The file system failed.
    #[error("the image store failed")]
    Io(#[from] io::Error),
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

/// Where image bytes live.
#[derive(Clone, Debug)]
pub(crate) enum Store {
    /// A folder.
    Filesystem(Filesystem),
}

impl Store {
    /// Stores `bytes` under a name that nobody had, durably. The same bytes twice are stored once.
    pub(crate) async fn put(&self, name: &str, bytes: Bytes) -> Result<(), StoreError> {
        match self {
            Self::Filesystem(folder) => folder.put(name, bytes).await,
        }
    }

    /// Whether `name` holds the bytes of this hash.
    pub(crate) async fn held(&self, name: &str, sha256: &Digest) -> Result<Held, StoreError> {
        match self {
            Self::Filesystem(folder) => folder.held(name, sha256.clone()).await,
        }
    }

    /// Deletes a name; one that is not there is deleted.
    pub(crate) async fn delete(&self, name: &str) -> Result<(), StoreError> {
        match self {
            Self::Filesystem(folder) => folder.delete(name).await,
        }
    }

    /// Opens the bytes in `range` of an object that is `length` bytes long.
    pub(crate) async fn read(
        &self,
        name: &str,
        length: u64,
        range: Range<u64>,
    ) -> Result<impl AsyncRead + Send + Unpin + use<>, StoreError> {
        match self {
            Self::Filesystem(folder) => folder.read(name, length, range).await,
        }
    }
}
