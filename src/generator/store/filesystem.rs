//! Images in a folder: a temporary file in the same folder, write, fsync, hard link to the final name (which fails if
//! it exists), fsync the folder. No half-written file ever has a final name, and no temporary one outlives a failure.

use std::{
    fs::{self, DirEntry, File},
    io,
    ops::Range,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncSeekExt as _};

use super::{Held, Listed, StoreError, TRASH};
use crate::{
    generator::{digest::Digest, plane::Plane},
    priority, private,
};

const TEMPORARY: &str = ".tmp-";
/// No store takes so long: what is older and half-written is nobody's.
const ABANDONED: Duration = Duration::from_hours(1);
/// How long what was moved to the trash can be taken out of it; a bucket's lifecycle rule says the same.
const TRASHED: Duration = Duration::from_hours(30 * 24);

/// A folder of images.
#[derive(Clone, Debug)]
pub(crate) struct Filesystem {
    root: PathBuf,
    plane: Plane,
}

impl Filesystem {
    /// Opens or creates the folder. Blocks.
    pub(crate) fn open(root: PathBuf, plane: Plane) -> io::Result<Self> {
        private::folders(&root)?;
        Ok(Self { root, plane })
    }

    /// Removes everything that is half-written: to be called where nobody stores anything. Blocks.
    pub(crate) fn clear(&self) -> io::Result<()> {
        remove_half_written(&self.root, Duration::ZERO)
    }

    pub(super) async fn tidy(&self) -> Result<(), StoreError> {
        let root = self.root.clone();
        let tidied = self.plane.blocking(move || {
            remove_half_written(&root, ABANDONED)?;
            empty_trash(&root.join(TRASH))
        });
        Ok(tidied.await??)
    }

    pub(super) async fn put(&self, name: &str, bytes: Bytes) -> Result<(), StoreError> {
        let (root, name) = (self.root.clone(), name.to_owned());
        self.plane.bulk(move || put(&root, &name, &bytes)).await?
    }

    pub(super) async fn held(&self, name: &str, sha256: Digest) -> Result<Held, StoreError> {
        let path = self.root.join(name);
        Ok(self.plane.bulk(move || held(&path, &sha256)).await??)
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

    pub(super) async fn list(&self) -> Result<Vec<Listed>, StoreError> {
        let root = self.root.clone();
        let listed = self.plane.blocking(move || {
            let mut found = Vec::new();
            for entry in fs::read_dir(root)? {
                let entry = entry?;
                let name = entry.file_name().into_string();
                let Some(name) = name.ok().filter(|name| !name.starts_with(TEMPORARY)) else { continue };
                match entry.metadata() {
                    // Folders are none of ours, the trash included.
                    Ok(metadata) if metadata.is_file() => {
                        found.push(Listed { name, written: metadata.modified()? });
                    }
                    Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                    _ => {}
                }
            }
            Ok(found)
        });
        Ok(listed.await??)
    }

    pub(super) async fn discard(&self, name: &str) -> Result<(), StoreError> {
        let (root, name) = (self.root.clone(), name.to_owned());
        let discarded = self.plane.blocking(move || {
            let trash = root.join(TRASH);
            private::folders(&trash)?;
            // From now on it is counted how long it has lain there.
            File::options().append(true).open(root.join(&name))?.set_modified(SystemTime::now())?;
            fs::rename(root.join(&name), trash.join(&name))?;
            sync_folder(&trash)?;
            sync_folder(&root)
        });
        Ok(discarded.await??)
    }

    pub(super) async fn note(&self, name: &str) -> Result<Option<String>, StoreError> {
        let path = self.root.join(name);
        let note = self.plane.blocking(move || match fs::read_to_string(path) {
            Ok(text) => Ok(Some(text.trim().to_owned())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        });
        Ok(note.await??)
    }

    pub(super) async fn write_note(&self, name: &str, text: &str) -> Result<(), StoreError> {
        let (root, name, text) = (self.root.clone(), name.to_owned(), text.to_owned());
        match self.plane.blocking(move || put(&root, &name, text.as_bytes())).await? {
            Err(StoreError::Taken { .. }) => Ok(()),
            written => written,
        }
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

/// Removes what is half-written and at least of this age.
fn remove_half_written(root: &Path, age: Duration) -> io::Result<()> {
    for entry in fs::read_dir(root)? {
        let entry = entry?;
        if entry.file_name().as_encoded_bytes().starts_with(TEMPORARY.as_bytes()) {
            remove_if_old(&entry, age)?;
        }
    }
    Ok(())
}

/// Removes what has had its time in the trash, if there is one.
fn empty_trash(trash: &Path) -> io::Result<()> {
    let entries = match fs::read_dir(trash) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        remove_if_old(&entry?, TRASHED)?;
    }
    Ok(())
}

/// Removes a file that is at least of this age.
fn remove_if_old(entry: &DirEntry, age: Duration) -> io::Result<()> {
    let removed = entry.metadata().and_then(|metadata| {
        let written = metadata.modified()?;
        let is_old = metadata.is_file() && written.elapsed().unwrap_or_default() >= age;
        if is_old { fs::remove_file(entry.path()) } else { Ok(()) }
    });
    match removed {
        // Whose it is has removed it.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

fn put(root: &Path, name: &str, bytes: &[u8]) -> Result<(), StoreError> {
    // Deleted when dropped, on every way out.
    let mut temporary = tempfile::Builder::new().prefix(TEMPORARY).tempfile_in(root)?;
    priority::write_all(&mut temporary, bytes)?;
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
