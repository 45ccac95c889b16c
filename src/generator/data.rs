//! The data folder: who works in it, and what lies in it.

use std::{
    error::Error,
    fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use thiserror::Error;
use uuid::Uuid;

use super::{
    boots::{AtWork, Boots},
    catalog::{Catalog, CatalogError, sqlite::Sqlite},
    plane::Plane,
    settings::{Images, Settings},
    shadow::Shadows,
    spool::Spool,
    store::{Store, filesystem::Filesystem},
};
#[cfg(feature = "aws")]
use super::{catalog::dynamodb::DynamoDb, store::s3::S3};
use crate::{database, private};

/// Everything in it that is the generator's.
#[derive(Debug)]
pub(crate) struct Data {
    /// Who works in it.
    pub(crate) boots: Boots,
    /// Says that we do, for as long as it is kept.
    pub(crate) at_work: AtWork,
    /// `gateway`: the name of this folder among those that share a catalog.
    pub(crate) gateway: Uuid,
    /// `catalog.sqlite`, or a table elsewhere.
    pub(crate) catalog: Catalog,
    /// `images/`, or a bucket elsewhere.
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
    /// The catalog is no catalog any more.
    #[error(
        "{} is damaged: stop every process that works in its folder, and put a copy back; or move it away and start \
         with a new one, to which the images, idempotency keys and budgets of before are unknown",
        path.display()
    )]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// What was wrong with it.
        source: Box<dyn Error + Send + Sync>,
    },
    /// Nobody knows any more what this folder is called.
    #[error(
        "{} is damaged: it should hold a UUID, the name of this folder. Remove it to have a new one made; jobs that a \
         shared catalog knows by the old name are taken over after a `lease`",
        .0.display()
    )]
    Nameless(PathBuf),
    /// What earlier boots left could not be taken over.
    #[error("the unfinished jobs of before could not be taken over")]
    Recovery(#[source] Box<dyn Error + Send + Sync>),
    /// This binary was built without the feature `aws`.
    #[error("S3 and DynamoDB are not in this binary: build it with the feature `aws`")]
    #[cfg(not(feature = "aws"))]
    WithoutAws,
    /// The thread that opened it ended.
    #[error("the data folder could not be opened")]
    Crashed(#[source] Box<dyn Error + Send + Sync>),
}

/// Creates what is missing, says that the boot `ours` works here, opens all of it. What is new is named by `fresh`.
pub(crate) async fn open(
    root: &Path,
    settings: &Settings,
    ours: Uuid,
    fresh: fn() -> Uuid,
    plane: &Plane,
) -> Result<Data, OpenError> {
    let elsewhere = Elsewhere {
        store: match &settings.store {
            Images::Filesystem => None,
            #[cfg(feature = "aws")]
            Images::S3(bucket) => Some(Store::S3(S3::new(&settings.aws, bucket.clone()).await)),
            #[cfg(not(feature = "aws"))]
            Images::S3(_) => return Err(OpenError::WithoutAws),
        },
        catalog: match settings.shared_table() {
            None => None,
            #[cfg(feature = "aws")]
            Some(table) => Some(Catalog::DynamoDb(DynamoDb::new(&table).await)),
            #[cfg(not(feature = "aws"))]
            Some(_) => return Err(OpenError::WithoutAws),
        },
    };
    let (root, inner) = (root.to_owned(), plane.clone());
    plane
        .blocking(move || open_blocking(&root, elsewhere, ours, fresh, &inner))
        .await
        .map_err(|error| OpenError::Crashed(error.into()))?
}

/// What does not lie in the folder.
struct Elsewhere {
    store: Option<Store>,
    catalog: Option<Catalog>,
}

fn open_blocking(
    root: &Path,
    elsewhere: Elsewhere,
    ours: Uuid,
    fresh: fn() -> Uuid,
    plane: &Plane,
) -> Result<Data, OpenError> {
    let at = |path: &Path| {
        let path = path.to_owned();
        move |source| OpenError::Folder { path, source }
    };
    private::folders(root).map_err(at(root))?;
    let boots = Boots::open(root, ours).map_err(at(root))?;
    let at_work = boots.enter().map_err(|error| match error.kind() {
        io::ErrorKind::WouldBlock => OpenError::InUse(root.to_owned()),
        _ => at(root)(error),
    })?;

    let path = root.join("gateway");
    let gateway = name_of(&path, fresh).map_err(|error| match error.kind() {
        io::ErrorKind::InvalidData => OpenError::Nameless(path.clone()),
        _ => at(&path)(error),
    })?;
    let path = root.join("images");
    let store = match elsewhere.store {
        Some(store) => store,
        None => Store::Filesystem(images(&path, &boots, plane).map_err(at(&path))?),
    };
    let path = root.join("spool");
    let spool = Spool::open(path.clone(), plane.clone()).map_err(at(&path))?;
    let path = root.join("shadow");
    let shadows = Shadows::open(path.clone(), plane.clone()).map_err(at(&path))?;
    let path = root.join("catalog.sqlite");
    let catalog = match elsewhere.catalog {
        Some(catalog) => catalog,
        None => {
            Sqlite::open(&path, fresh(), plane.clone()).map(Catalog::Sqlite).map_err(|error| match error {
                CatalogError::Sqlite(error) if database::is_damaged(&error) => {
                    OpenError::Damaged { path, source: error.into() }
                }
                error => OpenError::Catalog { path, source: error.into() },
            })?
        }
    };
    Ok(Data { boots, at_work, gateway, catalog, store, spool, shadows })
}

/// The folder of images, without what is half-written where nobody else is at work.
fn images(root: &Path, boots: &Boots, plane: &Plane) -> io::Result<Filesystem> {
    let folder = Filesystem::open(root.to_owned(), plane.clone())?;
    // Whoever else stores something here is seen, or waits at the door until this is over.
    if let Ok(living) = boots.living()
        && living.boots.len() == 1
    {
        folder.clear()?;
    }
    Ok(folder)
}

/// The name that a file holds; a new one where there is none. A copied folder is another gateway: its owner deletes
/// this file.
fn name_of(path: &Path, fresh: fn() -> Uuid) -> io::Result<Uuid> {
    match fs::read_to_string(path) {
        Ok(text) => Uuid::try_parse(text.trim()).map_err(|_| io::ErrorKind::InvalidData.into()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let name = fresh();
            let mut temporary = tempfile::NamedTempFile::new_in(path.parent().unwrap_or(path))?;
            writeln!(temporary, "{}", name.hyphenated())?;
            temporary.as_file().sync_all()?;
            match temporary.persist_noclobber(path) {
                // Another process was faster.
                Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => name_of(path, fresh),
                persisted => Ok(persisted.map(|_| name)?),
            }
        }
        Err(error) => Err(error),
    }
}
