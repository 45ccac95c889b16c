//! The `SQLite` files of the data folder. A new one is made whole under another name, the owner's alone, so that an
//! empty one is a damaged one: what it held is gone.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use rusqlite::{Connection, Error, ErrorCode, OpenFlags, ffi};

/// How long a statement waits for another process' lock.
const BUSY: Duration = Duration::from_secs(2);

/// Opens the file at `path` for writing, which is made where there is none. `prepare` brings it to today's tables.
pub(crate) fn open<E: From<Error>>(
    path: &Path,
    prepare: impl Fn(&mut Connection) -> Result<(), E>,
) -> Result<Connection, E> {
    if !is_there(path)? {
        create(path, &prepare)?;
    }
    let mut file = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    prepare(&mut file)?;
    Ok(file)
}

/// Opens the file at `path` for reading beside its writer.
pub(crate) fn open_to_read(path: &Path) -> rusqlite::Result<Connection> {
    is_there(path)?;
    connect(path, OpenFlags::SQLITE_OPEN_READ_ONLY)
}

/// Whether what was wrong is the file itself, so that trying again is of no use.
pub(crate) fn is_damaged(error: &Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase))
}

fn connect(path: &Path, how: OpenFlags) -> rusqlite::Result<Connection> {
    let file = Connection::open_with_flags(path, how | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    file.busy_timeout(BUSY)?;
    // What is deleted would lie in the file until something else is written there.
    file.pragma_update(None, "secure_delete", true)?;
    Ok(file)
}

/// Writes the journal into the file and empties it: until then it holds what was deleted. An error where somebody else
/// does not let go of it.
pub(crate) fn empty_journal(file: &Connection) -> rusqlite::Result<()> {
    let is_busy: bool = file.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))?;
    if is_busy { Err(failure(ffi::SQLITE_BUSY, "its journal is in use")) } else { Ok(()) }
}

/// What cannot be looked at is left to `SQLite`, which says why.
fn is_there(path: &Path) -> rusqlite::Result<bool> {
    match fs::metadata(path) {
        Ok(metadata) if metadata.len() == 0 => Err(failure(ffi::SQLITE_NOTADB, "it is empty")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        _ => Ok(true),
    }
}

fn create<E: From<Error>>(path: &Path, prepare: impl Fn(&mut Connection) -> Result<(), E>) -> Result<(), E> {
    let target = target(path);
    let denied = |error: io::Error| failure(ffi::SQLITE_CANTOPEN, &error.to_string());
    let folder = target.parent().filter(|folder| *folder != Path::new("")).unwrap_or(Path::new("."));
    let new = tempfile::NamedTempFile::new_in(folder).map_err(denied)?;
    let mut file = connect(new.path(), OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    prepare(&mut file)?;
    // Its journal has another name, and must have nothing left.
    file.close().map_err(|(_, error)| error)?;
    match new.persist_noclobber(&target) {
        // Another process was faster.
        Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(denied(error.error).into()),
        Ok(_) => Ok(fs::File::open(folder).and_then(|folder| folder.sync_all()).map_err(denied)?),
    }
}

/// Where a link leads to a file that is still to be made, that file.
fn target(path: &Path) -> PathBuf {
    let folder = path.parent().unwrap_or(Path::new(""));
    fs::read_link(path).map_or_else(|_| path.to_owned(), |target| folder.join(target))
}

fn failure(code: i32, why: &str) -> Error {
    Error::SqliteFailure(ffi::Error::new(code), Some(why.to_owned()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    fn prepare(file: &mut Connection) -> rusqlite::Result<()> {
        file.pragma_update(None, "journal_mode", "wal")?;
        file.execute_batch("CREATE TABLE IF NOT EXISTS a (b)")
    }

    #[test]
    fn a_new_file_is_whole_and_its_owners_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.sqlite");
        let file = open(&path, prepare).unwrap();
        file.execute("INSERT INTO a VALUES (1)", []).unwrap();
        let entries = fs::read_dir(folder.path()).unwrap().map(Result::unwrap);
        let modes: Vec<_> =
            entries.map(|entry| entry.metadata().unwrap().permissions().mode() & 0o777).collect();
        assert_eq!(modes, [0o600; 3], "the file, its journal and its index");
        drop(file);
        open(&path, prepare).unwrap();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing stays behind");
    }

    #[test]
    fn what_is_deleted_is_nowhere() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.sqlite");
        let (file, other) = (open(&path, prepare).unwrap(), open(&path, prepare).unwrap());
        let is_anywhere = |what: &[u8]| {
            let files =
                fs::read_dir(folder.path()).unwrap().map(|entry| fs::read(entry.unwrap().path()).unwrap());
            files.into_iter().any(|bytes| bytes.windows(what.len()).any(|bytes| bytes == what))
        };
        // Within a page, and on pages of its own.
        for length in [1, 10_000] {
            file.execute("INSERT INTO a VALUES (?)", ["a canary on the sea ".repeat(length)]).unwrap();
        }
        empty_journal(&other).unwrap();
        assert!(is_anywhere(b"a canary"));
        file.execute("DELETE FROM a", []).unwrap();
        assert!(is_anywhere(b"a canary"), "in the journal's past");
        let reading = other.unchecked_transaction().unwrap();
        reading.query_row("SELECT COUNT(*) FROM a", [], |row| row.get::<_, i64>(0)).unwrap();
        file.execute("INSERT INTO a VALUES (1)", []).unwrap();
        file.busy_timeout(Duration::ZERO).unwrap();
        let busy = empty_journal(&file).unwrap_err();
        assert_eq!(busy.sqlite_error_code(), Some(ErrorCode::DatabaseBusy));
        drop(reading);
        empty_journal(&file).unwrap();
        assert!(!is_anywhere(b"a canary"));
    }

    #[test]
    fn an_empty_file_is_damaged_and_never_filled() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.sqlite");
        fs::write(&path, "").unwrap();
        assert!(is_damaged(&open(&path, prepare).unwrap_err()));
        assert!(is_damaged(&open_to_read(&path).unwrap_err()));
        fs::write(&path, "this is no database, however long it is".repeat(99)).unwrap();
        assert!(is_damaged(&open(&path, prepare).unwrap_err()));
    }

    #[test]
    fn a_link_to_a_file_to_come_is_followed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.sqlite");
        symlink("b.sqlite", &path).unwrap();
        open(&path, prepare).unwrap();
        assert!(path.is_symlink() && folder.path().join("b.sqlite").is_file());
    }
}
