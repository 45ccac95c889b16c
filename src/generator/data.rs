//! The data folder: who works in it, and what lies in it.

use std::{
    error::Error,
    fs, io,
    path::{Path, PathBuf},
};

use thiserror::Error;
use uuid::Uuid;

use super::{
    boots::{AtWork, Boots},
    catalog::{Catalog, sqlite::Sqlite},
    plane::Plane,
    shadow::Shadows,
    spool::Spool,
    store::{Store, filesystem::Filesystem},
};

/// Everything in it that is the generator's.
#[derive(Debug)]
pub(crate) struct Data {
    /// Who works in it.
    pub(crate) boots: Boots,
    /// Says that we do, for as long as it is kept.
    pub(crate) at_work: AtWork,
    /// `catalog.sqlite`.
    pub(crate) catalog: Catalog,
    /// `images/`.
    pub(crate) store: Store,
    /// `spool/`.
    pub(crate) spool: Spool,
    /// `shadow/`.
    pub(crate) shadows: Shadows,
}

/// The data folder could not be opened.
#[derive(Debug, Error)]
pub enum OpenError {
    /// Another process keeps it for itself, which this version never does.
    #[error("the data folder {} is kept by a process of another version: stop it, or choose another [gateway] data", .0.display())]
    InUse(PathBuf),
    /// A folder or file of it cannot be used.
    #[error("{} cannot be opened: is it a writable local folder with space left?", path.display())]
    Folder {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The catalog cannot be used.
    #[error("{} cannot be opened", path.display())]
    Catalog {
        /// Which file.
        path: PathBuf,
        /// What was wrong with it.
        source: Box<dyn Error + Send + Sync>,
    },
    /// What earlier boots left could not be taken over.
    #[error("the unfinished jobs of before could not be taken over")]
    Recovery(#[source] Box<dyn Error + Send + Sync>),
    /// The thread that opened it ended.
    #[error("the data folder could not be opened")]
    Crashed(#[source] Box<dyn Error + Send + Sync>),
}

/// Creates what is missing, says that the boot `ours` works here, opens all of it.
pub(crate) async fn open(root: &Path, ours: Uuid, plane: &Plane) -> Result<Data, OpenError> {
    let (root, inner) = (root.to_owned(), plane.clone());
    plane
        .blocking(move || open_blocking(&root, ours, &inner))
        .await
        .map_err(|error| OpenError::Crashed(error.into()))?
}

fn open_blocking(root: &Path, ours: Uuid, plane: &Plane) -> Result<Data, OpenError> {
    let at = |path: &Path| {
        let path = path.to_owned();
        move |source| OpenError::Folder { path, source }
    };
    fs::create_dir_all(root).map_err(at(root))?;
    let boots = Boots::open(root, ours).map_err(at(root))?;
    let at_work = boots.enter().map_err(|error| match error.kind() {
        io::ErrorKind::WouldBlock => OpenError::InUse(root.to_owned()),
        _ => at(root)(error),
    })?;

    let path = root.join("images");
    let store = Store::Filesystem(Filesystem::open(path.clone(), plane.clone()).map_err(at(&path))?);
    let path = root.join("spool");
    let spool = Spool::open(path.clone(), plane.clone()).map_err(at(&path))?;
    let path = root.join("shadow");
    let shadows = Shadows::open(path.clone(), plane.clone()).map_err(at(&path))?;
    let path = root.join("catalog.sqlite");
    let catalog = Sqlite::open(&path, plane.clone())
        .map_err(|error| OpenError::Catalog { path, source: error.into() })?;
    Ok(Data { boots, at_work, catalog: Catalog::Sqlite(catalog), store, spool, shadows })
}
