//! Room on the disk of the data folder, kept for the day on which there is no other: a brake must hold then too, and a
//! process that ended must be able to start. It is a file that is given up when it is needed, and made again afterwards.

use std::{
    fs,
    io::{self, Read as _},
    path::{Path, PathBuf},
};

use crate::private;

/// Its name in the data folder.
const FILE: &str = "reserve";
/// More than a start and some brakes write, journals and their indexes included, in bytes.
const ROOM: u64 = 256 << 10;

/// Keeps it in the folder `data`, or as much of it as there is room for.
pub(crate) fn keep(data: &Path) -> io::Result<()> {
    let place = place(data);
    let mut file = private::options().append(true).create(true).open(&place)?;
    let missing = ROOM.saturating_sub(file.metadata()?.len());
    if missing == ROOM {
        private::hand_over(&file, &place);
    }
    if missing > 0 {
        io::copy(&mut io::repeat(0).take(missing), &mut file)?;
        file.sync_data()?;
    }
    Ok(())
}

/// Gives it up; false where there is none.
pub(crate) fn give_up(data: &Path) -> bool {
    fs::remove_file(place(data)).is_ok()
}

/// Gives it up where there is not as much beside it; true where that has made room.
pub(crate) fn give_up_if_full(data: &Path) -> bool {
    is_full(data) && give_up(data)
}

/// Whether a process can start in the folder `data`: it can be written, and there is room, or what was kept for it.
pub(crate) fn is_enough(data: &Path) -> io::Result<()> {
    match probe(data) {
        Err(error) if !is_want_of_room(&error) || !place(data).exists() => Err(error),
        _ => Ok(()),
    }
}

fn is_full(data: &Path) -> bool {
    probe(data).is_err_and(|error| is_want_of_room(&error))
}

/// Writes as much as is kept, and lets it go.
fn probe(data: &Path) -> io::Result<()> {
    io::copy(&mut io::repeat(0).take(ROOM), &mut tempfile::tempfile_in(data)?).map(drop)
}

/// Whether `error` is that of a full disk.
pub(crate) fn is_want_of_room(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

fn place(data: &Path) -> PathBuf {
    data.join(FILE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_there_until_it_is_given_up() {
        let data = tempfile::tempdir().unwrap();
        assert!(!give_up(data.path()), "there is none");
        keep(data.path()).unwrap();
        keep(data.path()).unwrap();
        assert_eq!(fs::metadata(place(data.path())).unwrap().len(), ROOM);
        assert!(!give_up_if_full(data.path()), "there is room");
        assert!(give_up(data.path()) && !place(data.path()).exists());
    }

    #[test]
    fn what_is_left_of_it_is_made_whole() {
        let data = tempfile::tempdir().unwrap();
        fs::write(place(data.path()), [0; 12 << 10]).unwrap();
        keep(data.path()).unwrap();
        assert_eq!(fs::metadata(place(data.path())).unwrap().len(), ROOM);
    }
}
