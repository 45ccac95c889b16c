//! Compares what the store holds with what the catalog knows, once a day: what nobody knows, older than a day, is moved
//! to the trash, never deleted.
//!
//! A store that is compared with the wrong catalog would be emptied. So the store names its catalog in a marker, and
//! where more than a few objects are strangers, nothing is moved and a person is called.

use std::{
    fs, io,
    path::Path,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use thiserror::Error;

use super::{
    catalog::CatalogError,
    name,
    saga::{Saga, failure::chain},
    state::State,
    store::{Listed, StoreError},
};
use crate::private;

/// Between two comparisons.
const PERIOD: Duration = Duration::from_hours(24);
/// What is younger may be on its way.
const AGE: Duration = Duration::from_hours(24);
/// More strangers than these are taken for a mistake of ours.
const MOST: usize = 100;
const MOST_PERCENT: usize = 1;

/// What came of a comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Compared {
    /// So many strangers were moved to the trash.
    Moved(usize),
    /// The store had no marker, and has one now: the next comparison is the first.
    Marked,
}

/// Nothing was moved.
#[derive(Debug, Error)]
pub(crate) enum Unreconciled {
    /// The store did not do it.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The catalog did not do it.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// The store's marker names another catalog.
    #[error("the store belongs to the catalog {found}, this is {ours}")]
    Stranger {
        /// What the marker says.
        found: String,
        /// Which we are.
        ours: String,
    },
    /// So many strangers are rather a mistake.
    #[error("{strangers} of {objects} objects are in no record: is this the right catalog?")]
    TooMany {
        /// How many no record knows.
        strangers: usize,
        /// How many there are.
        objects: usize,
    },
}

/// Whether so many strangers are too many to be touched. One is always few.
fn too_many(strangers: usize, objects: usize) -> bool {
    strangers > MOST || strangers.saturating_mul(100) > objects.saturating_mul(MOST_PERCENT).max(100)
}

impl Unreconciled {
    /// As metrics write it.
    fn name(&self) -> &'static str {
        match self {
            Self::Store(_) => "store",
            Self::Catalog(_) => "catalog",
            Self::Stranger { .. } => "stranger",
            Self::TooMany { .. } => "too-many",
        }
    }
}

impl Saga {
    /// Compares once a day, however often the process is started. The first time comes a day after the first start: a new
    /// store has nothing old in it.
    pub(crate) async fn reconcile_daily(&self) {
        let (path, now) = (self.reconciled.clone(), (self.clock)());
        match self.plane.blocking(move || is_due(&path, now)).await {
            Ok(Ok(true)) => self.reconcile().await,
            Ok(Ok(false)) | Err(_) => {}
            Ok(Err(error)) => {
                tracing::warn!(%error, "when store and catalog were compared last is not known");
            }
        }
    }

    /// Compares, and says what came of it.
    pub(crate) async fn reconcile(&self) {
        let compared = self.compare().await;
        self.metrics.reconciled(match &compared {
            Ok(Compared::Moved(_)) => "done",
            Ok(Compared::Marked) => "marked",
            Err(error) => error.name(),
        });
        match compared {
            Ok(Compared::Moved(0)) => {}
            Ok(Compared::Moved(objects)) => {
                tracing::warn!(objects, "objects without a record were moved to the trash");
            }
            Ok(Compared::Marked) => tracing::info!("the store is marked as this catalog's"),
            Err(error) => {
                tracing::error!(
                    error = chain(&error),
                    "store and catalog could not be compared; nothing was moved"
                );
            }
        }
    }

    /// Moves to the trash what no record knows.
    pub(crate) async fn compare(&self) -> Result<Compared, Unreconciled> {
        let ours = self.catalog.identity().await?.hyphenated().to_string();
        match self.store.marker().await? {
            None => {
                self.store.mark(&ours).await?;
                return Ok(Compared::Marked);
            }
            Some(found) if found != ours => return Err(Unreconciled::Stranger { found, ours }),
            Some(_) => {}
        }
        let listed = self.store.list().await?;
        let now = (self.clock)();
        let mut strangers = Vec::new();
        for object in &listed {
            if is_old(object, now) && !self.knows(&object.name).await? {
                strangers.push(&object.name);
            }
        }
        if too_many(strangers.len(), listed.len()) {
            return Err(Unreconciled::TooMany { strangers: strangers.len(), objects: listed.len() });
        }
        for name in &strangers {
            self.store.discard(name).await?;
        }
        Ok(Compared::Moved(strangers.len()))
    }

    /// Whether a name is in a committed record, or in one that is still open.
    async fn knows(&self, name: &str) -> Result<bool, CatalogError> {
        // What is not named as we name things is somebody else's, and not ours to move.
        let Some(job) = name::job_of(name) else { return Ok(true) };
        let Some(record) = self.catalog.record(job).await? else { return Ok(false) };
        let state = record.lease.standing.state;
        Ok(state.is_open()
            || (state == State::Done && record.objects.iter().any(|object| object.name == name)))
    }
}

/// Whether a period has passed since what a file says, which says `now` from then on. One that is not there, or knows the
/// future, says nothing. Blocks.
fn is_due(path: &Path, now: SystemTime) -> io::Result<bool> {
    let now = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let last = match fs::read_to_string(path) {
        Ok(text) => text.trim().parse().ok().filter(|last: &u64| *last <= now),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(error),
    };
    let is_due = last.map(|last| now - last >= PERIOD.as_secs());
    if is_due != Some(false) {
        private::write(path, format!("{now}\n"))?;
    }
    Ok(is_due == Some(true))
}

fn is_old(object: &Listed, now: SystemTime) -> bool {
    now.duration_since(object.written).is_ok_and(|age| age > AGE)
}

#[cfg(test)]
mod tests {
    use std::{
        fs,
        time::{Duration, SystemTime},
    };

    use super::{is_due, too_many};

    #[test]
    fn once_a_day_however_often_it_is_started() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("reconciled");
        let at = |hours: u64| SystemTime::UNIX_EPOCH + Duration::from_hours(24 * 20_000 + hours);
        let due = |hours| is_due(&path, at(hours)).unwrap();
        assert_eq!([0, 1, 23, 24, 25, 47, 60].map(due), [false, false, false, true, false, false, true]);
        assert!(!due(2), "the clock was set back");
        assert!(due(26), "and goes on from there");
        fs::write(&path, "nonsense").unwrap();
        assert!(!due(99));
        assert!(is_due(folder.path(), at(0)).is_err());
    }

    #[test]
    fn many_strangers_are_a_mistake() {
        for (strangers, objects, expected) in [
            (0, 0, false),
            (1, 3, false),
            (2, 3, true),
            (2, 200, false),
            (3, 200, true),
            (100, 20_000, false),
            (101, 1_000_000, true),
        ] {
            assert_eq!(too_many(strangers, objects), expected, "{strangers} of {objects}");
        }
    }
}
