//! Which processes work in one data folder. Each holds a lock on a file of its own, and the system lets go of it when
//! the process ends, however it ends: so it is known at once, and without a clock, whose jobs nobody works on any more.
//!
//! ```text
//! lock             the door: held for a moment, by whoever comes in or looks who is there
//! boots/0197...    one a process, held for as long as it lives
//! ```

use std::{
    collections::HashSet,
    fs::{self, File, TryLockError},
    io,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use uuid::Uuid;

use crate::private;

/// How long somebody else may stand in the door: longer than taking over waits for a busy catalog.
const PATIENCE: Duration = Duration::from_secs(5);
/// Between two attempts to get in.
const PAUSE: Duration = Duration::from_millis(5);

/// The door and who is behind it, as one process sees them.
#[derive(Clone, Debug)]
pub(crate) struct Boots {
    door: PathBuf,
    folder: PathBuf,
    ours: Uuid,
}

/// Who is at work: nobody begins to be before this is dropped.
#[derive(Debug)]
pub(crate) struct Living {
    pub(crate) boots: HashSet<Uuid>,
    _door: File,
}

/// This process is at work, until this is dropped.
#[derive(Debug)]
pub(crate) struct AtWork {
    path: PathBuf,
    _held: File,
}

impl Boots {
    /// Of the folder `data`, for the process that calls itself `ours`. Blocks.
    pub(crate) fn open(data: &Path, ours: Uuid) -> io::Result<Self> {
        let folder = data.join("boots");
        private::folders(&folder)?;
        Ok(Self { door: data.join("lock"), folder, ours })
    }

    /// Lets everybody know that this process is at work. [`WouldBlock`](io::ErrorKind::WouldBlock): the door stays
    /// shut. Blocks.
    pub(crate) fn enter(&self) -> io::Result<AtWork> {
        let _door = self.pass()?;
        let path = self.folder.join(self.ours.hyphenated().to_string());
        let held = private::new_file(&path)?;
        held.try_lock()?;
        Ok(AtWork { path, _held: held })
    }

    /// The processes that are at work, this one included; the files of those that have ended are removed. Blocks.
    pub(crate) fn living(&self) -> io::Result<Living> {
        let door = self.pass()?;
        let mut living = HashSet::from([self.ours]);
        for entry in fs::read_dir(&self.folder)? {
            let path = entry?.path();
            let name = path.file_name().and_then(|name| name.to_str());
            let Some(boot) = name.and_then(|name| Uuid::try_parse(name).ok()) else { continue };
            if boot == self.ours {
                continue;
            }
            let looked = File::open(&path).map_err(TryLockError::Error).and_then(|file| file.try_lock());
            match looked {
                Err(TryLockError::WouldBlock) => drop(living.insert(boot)),
                Err(TryLockError::Error(error)) if error.kind() == io::ErrorKind::NotFound => {}
                Err(TryLockError::Error(error)) => return Err(error),
                Ok(()) => fs::remove_file(&path)?,
            }
        }
        Ok(Living { boots: living, _door: door })
    }

    /// Whoever holds the door does so for a moment.
    fn pass(&self) -> io::Result<File> {
        let door = private::options().create(true).truncate(false).write(true).open(&self.door)?;
        let since = Instant::now();
        loop {
            match door.try_lock() {
                Err(TryLockError::WouldBlock) if since.elapsed() < PATIENCE => thread::sleep(PAUSE),
                tried => return Ok(tried.map(|()| door)?),
            }
        }
    }
}

impl Drop for AtWork {
    fn drop(&mut self) {
        // One that stays is removed by the next to look, since nobody holds it.
        fs::remove_file(&self.path).ok();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_ends_is_missed_and_whoever_works_is_seen() {
        let data = tempfile::tempdir().unwrap();
        let boots = |id| Boots::open(data.path(), Uuid::from_u128(id)).unwrap();
        let (old, new) = (boots(1), boots(2));
        let (old_at_work, new_at_work) = (old.enter().unwrap(), new.enter().unwrap());
        let both = HashSet::from([Uuid::from_u128(1), Uuid::from_u128(2)]);
        assert_eq!(old.living().unwrap().boots, both);
        assert_eq!(new.living().unwrap().boots, both);

        // A crash leaves the file and not the lock.
        let crashed = data.path().join("boots").join(Uuid::from_u128(3).to_string());
        fs::write(&crashed, "").unwrap();
        drop(old_at_work);
        assert_eq!(new.living().unwrap().boots, HashSet::from([Uuid::from_u128(2)]));
        assert!(!crashed.exists());
        drop(new_at_work);
        assert_eq!(fs::read_dir(data.path().join("boots")).unwrap().count(), 0);
    }
}
