//! A secret that is used for as long as the process runs, and may be replaced meanwhile.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use secrecy::{ExposeSecret as _, SecretString};

/// A secret; one that came from a file is read again each time it is used, so that a new one needs no restart.
#[derive(Clone, Debug)]
pub struct Credential {
    file: Option<PathBuf>,
    last: Arc<Mutex<SecretString>>,
}

impl Credential {
    /// One that stays.
    pub fn fixed(secret: SecretString) -> Self {
        Self { file: None, last: Arc::new(Mutex::new(secret)) }
    }

    /// One whose file said `secret` a moment ago.
    pub fn in_file(file: PathBuf, secret: SecretString) -> Self {
        Self { file: Some(file), last: Arc::new(Mutex::new(secret)) }
    }

    /// What it is now. A file that cannot be read leaves the last one in force, which is logged. Reads a small file.
    pub(crate) fn current(&self) -> SecretString {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        match self.file.as_deref().map(read) {
            Some(Ok(secret)) => *last = secret,
            Some(Err(error)) => {
                let path = self.file.as_deref().unwrap_or(Path::new("")).display();
                tracing::warn!(%path, %error, "a secret cannot be read again; the last one stays");
            }
            None => {}
        }
        last.clone()
    }
}

/// The secret in a file; a trailing line break is not part of it.
fn read(path: &Path) -> io::Result<SecretString> {
    let text = fs::read_to_string(path)?;
    match text.trim_end_matches(['\r', '\n']) {
        "" => Err(io::Error::other("the file is empty")),
        secret => Ok(secret.into()),
    }
}

/// Two are the same when they come from the same place and say the same now.
impl PartialEq for Credential {
    fn eq(&self, other: &Self) -> bool {
        let secret = |credential: &Self| {
            credential.last.lock().unwrap_or_else(PoisonError::into_inner).expose_secret().to_owned()
        };
        self.file == other.file && (Arc::ptr_eq(&self.last, &other.last) || secret(self) == secret(other))
    }
}

impl Eq for Credential {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_secret_in_the_file_is_used_and_a_missing_file_loses_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        fs::write(&path, "first\n").unwrap();
        let credential = Credential::in_file(path.clone(), "first".into());
        assert_eq!(credential.current().expose_secret(), "first");
        fs::write(&path, "second\r\n").unwrap();
        assert_eq!(credential.current().expose_secret(), "second");
        for gone in ["", "\n"] {
            fs::write(&path, gone).unwrap();
            assert_eq!(credential.current().expose_secret(), "second");
        }
        fs::remove_file(&path).unwrap();
        assert_eq!(credential.current().expose_secret(), "second");
        assert!(!format!("{credential:?}").contains("second"));
    }
}
