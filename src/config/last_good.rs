//! The last file that was put in force, kept beside the data: what a restart serves when the file is broken by then.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
};

use toml::de::DeTable;

use super::{Config, Diagnostics, Purpose, parse_for, read_whole, text_of, unreadable};

/// Its name in the data folder.
const FILE: &str = "last-good.toml";
/// The data folder where the file does not say.
pub(super) const DATA: &str = "figueira-data";

/// Keeps `text`, the whole file that is in force now. Readable by its owner alone.
pub(crate) fn keep(text: &str, data: &Path) -> io::Result<()> {
    let file = data.join(FILE);
    if fs::read(&file).is_ok_and(|kept| kept == text.as_bytes()) {
        return Ok(());
    }
    // Another process may be keeping the same.
    let mut new = tempfile::Builder::new().prefix(FILE).tempfile_in(data)?;
    new.write_all(text.as_bytes())?;
    new.as_file().sync_all()?;
    new.persist(file)?;
    File::open(data)?.sync_all()
}

/// Reads what was kept in the folder `data` as if it were the file at `path`.
pub fn last_good(path: &Path, data: &Path, purpose: Purpose) -> Result<Config, Diagnostics> {
    let file = data.join(FILE);
    let bytes = read_whole(&file).map_err(|error| unreadable(&file, &error))?;
    parse_for(text_of(&bytes, path)?, path, purpose)
}

/// Where the file at `path` has its data kept, broken though it may be.
pub fn data_folder(path: &Path) -> PathBuf {
    let bytes = read_whole(path).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let (entries, _) = DeTable::parse_recoverable(&text);
    let gateway = entries.get_ref().get("gateway").and_then(|gateway| gateway.get_ref().as_table());
    let data = gateway.and_then(|gateway| gateway.get("data")).and_then(|data| data.get_ref().as_str());
    let data = data.filter(|data| !data.is_empty()).unwrap_or(DATA);
    path.parent().unwrap_or(Path::new("")).join(data)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    const GOOD: &str = "[monolith]\nurl = \"http://127.0.0.1:8000\"\n";

    #[test]
    fn what_is_kept_reads_as_the_file_itself() {
        let data = tempfile::tempdir().unwrap();
        let path = Path::new("/site/routes.toml");
        assert!(
            last_good(path, data.path(), Purpose::Run).unwrap_err().to_string().contains("last-good.toml")
        );
        keep("old", data.path()).unwrap();
        keep(GOOD, data.path()).unwrap();
        let config = last_good(path, data.path(), Purpose::Run).unwrap();
        assert_eq!(
            config.start.data,
            Path::new("/site/figueira-data"),
            "relative to the file, not to the copy"
        );
        let mode = fs::metadata(data.path().join(FILE)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(fs::read_dir(data.path()).unwrap().count(), 1, "nothing stays behind");
    }

    #[test]
    fn a_broken_file_still_says_where_its_data_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("routes.toml");
        let found = |text: &str| {
            fs::write(&path, text).unwrap();
            data_folder(&path).strip_prefix(folder.path()).unwrap().to_owned()
        };
        assert_eq!(found("[gateway]\ndata = \"kept\"\n[monolith\nurl = 7\n"), Path::new("kept"));
        assert_eq!(found("[gateway]\ndata = \"kept\"\nnonsense = 1\n"), Path::new("kept"));
        assert_eq!(found("[gateway]\ndata = 7\n"), Path::new(DATA));
        assert_eq!(found(""), Path::new(DATA));
        fs::remove_file(&path).unwrap();
        assert_eq!(data_folder(&path), folder.path().join(DATA));
    }
}
