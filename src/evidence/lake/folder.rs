//! A lake in a folder.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use bytes::Bytes;
use tokio::task::spawn_blocking;

use super::LakeError;
use crate::priority;

/// The folder.
#[derive(Clone, Debug)]
pub struct Folder {
    root: PathBuf,
}

impl Folder {
    pub(super) fn new(root: PathBuf) -> Self {
        Self { root }
    }

    /// Beside its final name first, so that a reader finds all of it or nothing.
    pub(super) async fn put(&self, name: &str, bytes: Bytes) -> Result<(), LakeError> {
        let path = self.root.join(name);
        blocking(path, move |path| {
            let folder = path.parent().unwrap_or(path);
            fs::create_dir_all(folder)?;
            let mut file = tempfile::Builder::new().prefix(".").suffix(".part").tempfile_in(folder)?;
            priority::write_all(&mut file, &bytes)?;
            file.as_file().sync_all()?;
            open_to_all(file.path())?;
            file.persist(path).map(drop).map_err(|failed| failed.error)
        })
        .await
    }

    pub(super) async fn list(&self, table: &str) -> Result<Vec<String>, LakeError> {
        let root = self.root.clone();
        let mut names = blocking(self.root.join(table), move |folder| {
            let mut names = Vec::new();
            walk(&root, folder, &mut names)?;
            Ok(names)
        })
        .await?;
        names.sort();
        Ok(names)
    }

    pub(super) async fn get(&self, name: &str) -> Result<Bytes, LakeError> {
        blocking(self.root.join(name), |path| fs::read(path).map(Bytes::from)).await
    }
}

/// A temporary file is its owner's alone; evidence is read by others too.
fn open_to_all(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(0o644))
}

fn walk(root: &Path, folder: &Path, names: &mut Vec<String>) -> io::Result<()> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    for entry in entries {
        let (entry, name) = entry.map(|entry| (entry.path(), entry.file_name()))?;
        if entry.is_dir() {
            walk(root, &entry, names)?;
        } else if name.to_str().is_some_and(|name| name.ends_with(".parquet"))
            && let Some(name) = entry.strip_prefix(root).ok().and_then(Path::to_str)
        {
            names.push(name.to_owned());
        }
    }
    Ok(())
}

async fn blocking<T: Send + 'static>(
    path: PathBuf,
    work: impl FnOnce(&Path) -> io::Result<T> + Send + 'static,
) -> Result<T, LakeError> {
    let (done, path) = spawn_blocking(move || (work(&path), path))
        .await
        .map_err(|panicked| LakeError::Folder { path: PathBuf::new(), error: io::Error::other(panicked) })?;
    done.map_err(|error| LakeError::Folder { path, error })
}
