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
//! epoch/<origin>.parquet                                            unrecorded and acknowledgement likewise
//! ```

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

use self::folder::Folder;

/// Where a lake is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// A folder of this machine, or one that it mounts.
    Folder(PathBuf),
}

impl Place {
    /// Reads a folder, or a bucket with a prefix.
    pub fn parse(text: &str) -> Result<Self, PlaceError> {
        match text.split_once("://") {
            None if text.is_empty() => Err(PlaceError::Empty),
            None => Ok(Self::Folder(text.into())),
            Some((scheme, _)) => Err(PlaceError::Scheme(scheme.to_owned())),
        }
    }

    /// The same place, its folder as `rooted` says.
    #[must_use]
    pub fn beside(self, rooted: impl FnOnce(&Path) -> PathBuf) -> Self {
        match self {
            Self::Folder(path) => Self::Folder(rooted(&path)),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder(path) => path.display().fmt(f),
        }
    }
}

/// A text that names no place.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum PlaceError {
    /// Nothing.
    #[error("a folder is needed")]
    Empty,
    /// Another scheme.
    #[error("{0}:// is no place for evidence; write a folder")]
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
}

/// A lake, open. Cheap to clone.
#[derive(Clone, Debug)]
pub enum Lake {
    /// A folder.
    Folder(Folder),
}

impl Lake {
    /// Opens it; nothing is read or written yet.
    pub fn open(place: &Place) -> Self {
        match place {
            Place::Folder(path) => Self::Folder(Folder::new(path.clone())),
        }
    }

    /// Writes a file whole, over an earlier one of its name.
    pub async fn put(&self, name: &str, bytes: Bytes) -> Result<(), LakeError> {
        match self {
            Self::Folder(folder) => folder.put(name, bytes).await,
        }
    }

    /// The names of all files under `table`, in order.
    pub async fn list(&self, table: &str) -> Result<Vec<String>, LakeError> {
        match self {
            Self::Folder(folder) => folder.list(table).await,
        }
    }

    /// Reads a file.
    pub async fn get(&self, name: &str) -> Result<Bytes, LakeError> {
        match self {
            Self::Folder(folder) => folder.get(name).await,
        }
    }
}

#[cfg(test)]
mod tests;
