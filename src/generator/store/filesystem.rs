//! Images in a folder: a temporary file in the same folder, write, fsync, hard link to the final name (which fails if
//! it exists), fsync the folder. No half-written file ever has a final name, and no temporary one outlives a failure.

use std::{
    fs::{self, File},
    io::{self, Write as _},
    ops::Range,
    path::{Path, PathBuf},
};

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncSeekExt as _};

use super::{Held, StoreError};
use crate::generator::{digest::Digest, plane::Plane};

const TEMPORARY: &str = ".tmp-";

/// A folder of images.
#[derive(Clone, Debug)]
pub(crate) struct Filesystem {
    root: PathBuf,
    plane: Plane,
}

impl Filesystem {
    /// Opens or creates the folder and removes what a killed process left half-written. Blocks.
    pub(crate) fn open(root: PathBuf, plane: Plane) -> io::Result<Self> {
        fs::create_dir_all(&root)?;
        for entry in fs::read_dir(&root)? {
            let entry = entry?;
            if entry.file_name().as_encoded_bytes().starts_with(TEMPORARY.as_bytes()) {
                fs::remove_file(entry.path())?;
            }
        }
        Ok(Self { root, plane })
    }

    pub(super) async fn put(&self, name: &str, bytes: Bytes) -> Result<(), StoreError> {
        let (root, name) = (self.root.clone(), name.to_owned());
        self.plane.blocking(move || put(&root, &name, &bytes)).await?
    }

    pub(super) async fn held(&self, name: &str, sha256: Digest) -> Result<Held, StoreError> {
        let path = self.root.join(name);
        Ok(self.plane.blocking(move || held(&path, &sha256)).await??)
    }

    pub(super) async fn delete(&self, name: &str) -> Result<(), StoreError> {
        let (root, path) = (self.root.clone(), self.root.join(name));
        let deleted = self.plane.blocking(move || match fs::remove_file(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
            Ok(()) => sync_folder(&root),
        });
        Ok(deleted.await??)
    }

    /// To be awaited on the work plane: files are read by its threads.
    pub(super) async fn read(
        &self,
        name: &str,
        length: u64,
        range: Range<u64>,
    ) -> Result<impl AsyncRead + Send + Unpin + use<>, StoreError> {
        let mut file = tokio::fs::File::open(self.root.join(name)).await?;
        let found = file.metadata().await?.len();
        if found != length {
            let message = format!("{name} is {found} bytes long, its record says {length}");
            return Err(io::Error::new(io::ErrorKind::InvalidData, message).into());
        }
        if range.start > 0 {
            file.seek(io::SeekFrom::Start(range.start)).await?;
        }
        Ok(file.take(range.end.saturating_sub(range.start)))
    }
}

fn put(root: &Path, name: &str, bytes: &[u8]) -> Result<(), StoreError> {
    // Deleted when dropped, on every way out.
    let mut temporary = tempfile::Builder::new().prefix(TEMPORARY).tempfile_in(root)?;
    temporary.write_all(bytes)?;
    temporary.as_file().sync_all()?;
    match fs::hard_link(temporary.path(), root.join(name)) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            if held(&root.join(name), &Digest::of(bytes))? != Held::Same {
                return Err(StoreError::Taken { name: name.to_owned() });
            }
        }
        linked => linked?,
    }
    drop(temporary);
    Ok(sync_folder(root)?)
}

fn held(path: &Path, sha256: &Digest) -> io::Result<Held> {
    match fs::read(path) {
        Ok(bytes) if Digest::of(&bytes) == *sha256 => Ok(Held::Same),
        Ok(_) => Ok(Held::Other),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Held::Nothing),
        Err(error) => Err(error),
    }
}

/// Makes the names in a folder as lasting as the bytes.
pub(crate) fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use bytes::Bytes;
    use tokio::io::AsyncReadExt as _;

    use super::Filesystem;
    use crate::{
        generator::{
            digest::Digest,
            plane::Plane,
            store::{Held, StoreError},
        },
        shutdown::Shutdown,
    };

    fn names(folder: &std::path::Path) -> Vec<String> {
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    #[tokio::test]
    async fn a_name_is_given_once() {
        let folder = tempfile::tempdir().unwrap();
        let store = Filesystem::open(folder.path().into(), Plane::current(Shutdown::default())).unwrap();
        store.put("a.png", Bytes::from_static(b"one")).await.unwrap();
        store.put("a.png", Bytes::from_static(b"one")).await.unwrap();
        let taken = store.put("a.png", Bytes::from_static(b"two")).await.unwrap_err();
        assert!(matches!(taken, StoreError::Taken { name } if name == "a.png"));
        assert_eq!(names(folder.path()), ["a.png"], "no temporary file is left");
        assert_eq!(store.held("a.png", Digest::of(b"one")).await.unwrap(), Held::Same);
        assert_eq!(store.held("a.png", Digest::of(b"two")).await.unwrap(), Held::Other);
        store.delete("a.png").await.unwrap();
        store.delete("a.png").await.unwrap();
        assert_eq!(store.held("a.png", Digest::of(b"one")).await.unwrap(), Held::Nothing);
    }

    #[tokio::test]
    async fn a_part_is_read_and_a_cut_file_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let store = Filesystem::open(folder.path().into(), Plane::current(Shutdown::default())).unwrap();
        store.put("a.png", Bytes::from_static(b"0123456789")).await.unwrap();
        let mut part = String::new();
        store.read("a.png", 10, 3..6).await.unwrap().read_to_string(&mut part).await.unwrap();
        assert_eq!(part, "345");
        assert!(store.read("a.png", 11, 0..11).await.is_err());
    }

    #[tokio::test]
    async fn what_a_killed_process_left_is_swept() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(".tmp-x"), "half").unwrap();
        fs::write(folder.path().join("whole.png"), "whole").unwrap();
        Filesystem::open(folder.path().into(), Plane::current(Shutdown::default())).unwrap();
        assert_eq!(names(folder.path()), ["whole.png"]);
    }
}
