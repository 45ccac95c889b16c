//! Where the evidence of a fleet lies as Parquet, for whoever reads it: `DuckDB`, Athena, Spark, and `figueira report`.
//!
//! Two kinds of files, none of which is ever seen half-written. What happened is written once, a file for each batch and
//! partition, under names that no other gateway uses:
//!
//! ```text
//! comparison/dt=2026-11-28/route=generate-image/<batch>.parquet     difference, image and alarm likewise
//! ```
//!
//! What changes is written anew each time, one file for each data folder:
//!
//! ```text
//! epoch/<origin>.parquet                                            unrecorded, acknowledgement and label likewise
//! ```

#[cfg(feature = "aws")]
mod bucket;
mod folder;
pub(crate) mod columns;
pub mod export;
pub mod import;

use std::{
    fmt, io,
    path::{Path, PathBuf},
};

use bytes::Bytes;
use thiserror::Error;

#[cfg(feature = "aws")]
use self::bucket::Bucket;
use self::folder::Folder;
use crate::aws::Aws;

/// Where a lake is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// A folder of this machine, or one that it mounts.
    Folder(PathBuf),
    /// A bucket of S3.
    Bucket {
        /// Its name.
        name: String,
        /// What every key starts with; empty, or ends with a slash.
        prefix: String,
    },
}

impl Place {
    /// Reads a folder, or a bucket with a prefix.
    pub fn parse(text: &str) -> Result<Self, PlaceError> {
        match text.split_once("://") {
            None if text.is_empty() => Err(PlaceError::Empty),
            None => Ok(Self::Folder(text.into())),
            Some(("s3", rest)) => {
                let (name, prefix) = rest.split_once('/').unwrap_or((rest, ""));
                let plain =
                    |text: &str| text.bytes().all(|b| b.is_ascii_alphanumeric() || b"/-._".contains(&b));
                let prefix = prefix.trim_matches('/');
                if name.is_empty() || !plain(name) || !plain(prefix) {
                    return Err(PlaceError::Bucket);
                }
                let prefix = if prefix.is_empty() { String::new() } else { format!("{prefix}/") };
                Ok(Self::Bucket { name: name.to_owned(), prefix })
            }
            Some((scheme, _)) => Err(PlaceError::Scheme(scheme.to_owned())),
        }
    }

    /// The same place, its folder as `rooted` says.
    #[must_use]
    pub fn beside(self, rooted: impl FnOnce(&Path) -> PathBuf) -> Self {
        match self {
            Self::Folder(path) => Self::Folder(rooted(&path)),
            bucket @ Self::Bucket { .. } => bucket,
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder(path) => path.display().fmt(f),
            Self::Bucket { name, prefix } => {
                write!(f, "s3://{name}/{prefix}")
            }
        }
    }
}

/// A text that names no place.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum PlaceError {
    /// Nothing.
    #[error("a folder is needed")]
    Empty,
    /// A bucket without a name, or with characters that make keys hard to write elsewhere.
    #[error("a bucket is written s3://name/prefix, in letters, digits and -._/")]
    Bucket,
    /// Another scheme.
    #[error("{0}:// is no place for evidence; write a folder or s3://bucket/prefix")]
    Scheme(String),
}

/// Why the lake could not be read or written.
#[derive(Debug, Error)]
pub enum LakeError {
    /// The folder.
    #[error("{path}: {error}")]
    Folder {
        /// Which file or folder.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// The bucket.
    #[error("{object}: {why}")]
    Bucket {
        /// Which object, or what lies below it.
        object: String,
        /// What the server said, or the network.
        why: String,
    },
    /// This binary cannot reach a bucket.
    #[error("S3 is not in this binary: build it with the feature `aws`")]
    WithoutAws,
}

/// A lake, open. Cheap to clone.
#[derive(Clone, Debug)]
pub enum Lake {
    /// A folder.
    Folder(Folder),
    /// A bucket.
    #[cfg(feature = "aws")]
    Bucket(Bucket),
}

impl Lake {
    /// Opens it; nothing is read or written yet.
    #[cfg_attr(not(feature = "aws"), expect(clippy::unused_async, reason = "only a bucket is waited for"))]
    pub async fn open(place: &Place, aws: &Aws) -> Result<Self, LakeError> {
        match place {
            Place::Folder(path) => Ok(Self::Folder(Folder::new(path.clone()))),
            #[cfg(feature = "aws")]
            Place::Bucket { name, prefix } => Ok(Self::Bucket(Bucket::new(aws, name, prefix).await)),
            #[cfg(not(feature = "aws"))]
            Place::Bucket { .. } => {
                let _ = aws;
                Err(LakeError::WithoutAws)
            }
        }
    }

    /// Writes a file whole whose name says what is in it: one of that name need not be written again.
    pub async fn put_once(&self, name: &str, bytes: Bytes) -> Result<(), LakeError> {
        match self {
            Self::Folder(folder) => folder.put(name, bytes).await,
            #[cfg(feature = "aws")]
            Self::Bucket(bucket) => bucket.put_once(name, bytes).await,
        }
    }

    /// Writes a file whole, over an earlier one of its name.
    pub async fn put(&self, name: &str, bytes: Bytes) -> Result<(), LakeError> {
        match self {
            Self::Folder(folder) => folder.put(name, bytes).await,
            #[cfg(feature = "aws")]
            Self::Bucket(bucket) => bucket.put(name, bytes).await,
        }
    }

    /// The names of all files under `table`, in order.
    pub async fn list(&self, table: &str) -> Result<Vec<String>, LakeError> {
        match self {
            Self::Folder(folder) => folder.list(table).await,
            #[cfg(feature = "aws")]
            Self::Bucket(bucket) => bucket.list(table).await,
        }
    }

    /// Reads a file.
    pub async fn get(&self, name: &str) -> Result<Bytes, LakeError> {
        match self {
            Self::Folder(folder) => folder.get(name).await,
            #[cfg(feature = "aws")]
            Self::Bucket(bucket) => bucket.get(name).await,
        }
    }
}

#[cfg(test)]
mod tests;
