//! Sees that the brakes changed, whoever changed them: cheap enough to be asked several times a second.

use std::{fs, os::unix::fs::MetadataExt};

use rusqlite::Connection;

use super::{BrakeError, File, held};
use crate::routing::Brakes;

/// One process' view of the file.
#[derive(Debug)]
pub(in crate::brake) struct Watch {
    store: File,
    open: Option<Open>,
    known: Brakes,
}

/// The file that was open when it was looked at last.
#[derive(Debug)]
struct Open {
    file: Connection,
    /// Device and inode: another file of the same name is another file.
    identity: (u64, u64),
    /// `PRAGMA data_version`, which differs once another connection has committed; `None` before the first reading.
    version: Option<i64>,
}

impl Watch {
    /// Watches `store`, beginning with what it holds now.
    pub(in crate::brake) fn new(store: File) -> Result<Self, BrakeError> {
        let mut watch = Self { store, open: None, known: Brakes::default() };
        watch.look()?;
        Ok(watch)
    }

    /// What was held when it was looked at last: an error changes nothing here.
    pub(in crate::brake) fn brakes(&self) -> &Brakes {
        &self.known
    }

    /// Looks; what is held, where that is not what it was. An unchanged file is not read.
    pub(in crate::brake) fn look(&mut self) -> Result<Option<&Brakes>, BrakeError> {
        match self.read() {
            Ok(Some(brakes)) if brakes != self.known => {
                self.known = brakes;
                Ok(Some(&self.known))
            }
            Ok(_) => Ok(None),
            Err(error) => {
                self.open = None;
                Err(error)
            }
        }
    }

    fn read(&mut self) -> Result<Option<Brakes>, BrakeError> {
        let identity = fs::metadata(self.store.path()).map(|file| (file.dev(), file.ino())).ok();
        let mut open = match self.open.take() {
            Some(open) if Some(open.identity) == identity => open,
            _ => self.reopen()?,
        };
        let because = |error| self.store.because(error);
        let version =
            open.file.pragma_query_value(None, "data_version", |row| row.get(0)).map_err(because)?;
        let brakes = match open.version {
            Some(known) if known == version => None,
            _ => Some(held(&open.file).map_err(because)?),
        };
        open.version = Some(version);
        self.open = Some(open);
        Ok(brakes)
    }

    /// Opens the file that stands there now; one that was put in the place of another takes over what that held.
    fn reopen(&self) -> Result<Open, BrakeError> {
        let file = self.store.connect()?;
        if self.store.adopt(&self.known)? > 0 {
            tracing::warn!(path = %self.store.path().display(), "brake.sqlite was replaced; what held holds on");
        }
        let metadata = fs::metadata(self.store.path());
        let identity = metadata.map_or((0, 0), |file| (file.dev(), file.ino()));
        Ok(Open { file, identity, version: None })
    }
}
