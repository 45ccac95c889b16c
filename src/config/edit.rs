//! Edits `routes.toml` in place: what is not changed keeps its bytes, comments and layout included.

use std::{
    fs::{self, File},
    io::{self, Write},
    os::unix::fs::{MetadataExt, fchown},
    path::{Path, PathBuf},
    time::Duration,
};

use sha2::{Digest as _, Sha256};
use thiserror::Error;
use toml_edit::{DocumentMut, Item, Table, TableLike, TomlError, Value, value};

use super::{Digest, read_whole};
use crate::routing::{Mode, Share};

/// What a new file is called until it is whole and takes its place.
const NEW: &str = ".figueira-new-";
/// One that is older was left by a process that was killed.
const STALE: Duration = Duration::from_mins(1);

/// What a person wants a route to say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Edit {
    /// `mode`; absent, it stays.
    pub mode: Option<Mode>,
    /// `canary.percent`; absent, it stays.
    pub share: Option<Share>,
}

/// The text cannot be edited.
#[derive(Debug, Error)]
pub enum EditError {
    /// It is no TOML.
    #[error("the file is not TOML: {0}")]
    Toml(#[from] TomlError),
    /// There is no such route, or it is written in a way that is not edited here.
    #[error("no [[route]] with name = \"{0}\" that could be edited")]
    Route(String),
}

/// The file was not replaced.
#[derive(Debug, Error)]
pub enum ReplaceError {
    /// It is not what the edit began with.
    #[error("{0} changed meanwhile")]
    Changed(PathBuf),
    /// The system said no.
    #[error("cannot replace {path}: {error}{}", hint(.error))]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
}

/// `text` with `edit` made to the route `name`.
pub fn edited(text: &str, name: &str, edit: &Edit) -> Result<String, EditError> {
    let bare = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut document: DocumentMut = bare.parse()?;
    let route = find(&mut document, name).ok_or_else(|| EditError::Route(name.to_owned()))?;
    if let Some(mode) = edit.mode {
        set(route, "mode", mode.as_str().into());
    }
    if let Some(share) = edit.share {
        let canary = route.entry("canary").or_insert_with(|| Item::Table(Table::new()));
        let canary = canary.as_table_like_mut().ok_or_else(|| EditError::Route(name.to_owned()))?;
        set(canary, "percent", percent(share));
    }
    let edited = document.to_string();
    let mark = if bare.len() < text.len() { "\u{feff}" } else { "" };
    // Lines end as the first one did.
    let ends_in_crlf =
        text.find('\n').is_some_and(|end| text.get(..end).is_some_and(|line| line.ends_with('\r')));
    let edited = edited.replace("\r\n", "\n");
    Ok(mark.to_owned() + &if ends_in_crlf { edited.replace('\n', "\r\n") } else { edited })
}

/// `text`, which is known to be right, with another `monolith.url`.
pub(super) fn with_monolith(text: &str, url: &str) -> String {
    let Ok(mut document) = text.strip_prefix('\u{feff}').unwrap_or(text).parse::<DocumentMut>() else {
        return text.to_owned();
    };
    if let Some(monolith) = document.get_mut("monolith").and_then(Item::as_table_like_mut) {
        monolith.insert("url", value(url));
    }
    document.to_string()
}

/// Puts `text` in the place of the file at `path`, all of it or none, where it still has the digest `expected`. The
/// file keeps its owner, its permissions, and the links that lead to it.
pub fn replace(path: &Path, expected: &Digest, text: &str) -> Result<(), ReplaceError> {
    let io = |error| ReplaceError::Io { path: path.to_owned(), error };
    let target = fs::canonicalize(path).map_err(io)?;
    let folder = target.parent().unwrap_or(Path::new("/"));
    let write = || {
        let now = fs::metadata(&target)?;
        let mut new = tempfile::Builder::new().prefix(NEW).tempfile_in(folder)?;
        let made = new.as_file().metadata()?;
        if (made.uid(), made.gid()) != (now.uid(), now.gid()) {
            fchown(new.as_file(), Some(now.uid()), Some(now.gid()))?;
        }
        new.as_file().set_permissions(now.permissions())?;
        new.write_all(text.as_bytes())?;
        new.as_file().sync_all()?;
        Ok(new)
    };
    let new = write().map_err(io)?;
    let stands = fs::canonicalize(path).and_then(|target| read_whole(&target).map(|bytes| (target, bytes)));
    let (stands, bytes) = stands.map_err(io)?;
    if stands != target || Sha256::digest(&bytes).as_slice() != expected {
        return Err(ReplaceError::Changed(path.to_owned()));
    }
    new.persist(&target).map_err(|failed| io(failed.error))?;
    sweep(folder);
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(io)
}

/// Removes what killed processes left; whatever cannot be removed is no reason to fail.
fn sweep(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let is_ours = entry.file_name().to_str().is_some_and(|name| name.starts_with(NEW));
        let written = || entry.metadata()?.modified();
        if is_ours && written().is_ok_and(|at| at.elapsed().is_ok_and(|age| age > STALE)) {
            fs::remove_file(entry.path()).ok();
        }
    }
}

fn find<'d>(document: &'d mut DocumentMut, name: &str) -> Option<&'d mut dyn TableLike> {
    let is_it = |route: &dyn TableLike| route.get("name").and_then(Item::as_str) == Some(name);
    match document.get_mut("route")? {
        Item::ArrayOfTables(routes) => {
            routes.iter_mut().find(|route| is_it(*route)).map(|route| route as &mut dyn TableLike)
        }
        Item::Value(Value::Array(routes)) => routes
            .iter_mut()
            .filter_map(Value::as_inline_table_mut)
            .find(|route| is_it(*route))
            .map(|route| route as &mut dyn TableLike),
        _ => None,
    }
}

/// Sets a key; one that is there keeps its place and its comment.
fn set(table: &mut dyn TableLike, key: &str, new: Value) {
    match table.get_mut(key).and_then(Item::as_value_mut) {
        Some(old) => {
            let decor = old.decor().clone();
            *old = new;
            *old.decor_mut() = decor;
        }
        None => _ = table.insert(key, value(new)),
    }
}

/// A whole number where it is one.
fn percent(share: Share) -> Value {
    let percent = share.percent();
    #[expect(clippy::cast_possible_truncation, reason = "from 0 to 100")]
    if percent.fract() == 0.0 { (percent as i64).into() } else { percent.into() }
}

/// What to do about it, where more is known than what the system says.
fn hint(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "; it is as it was: make room first",
        io::ErrorKind::PermissionDenied => {
            "; a new file is made beside it and renamed over it, so that its folder has to be writable, \
             and only root can replace a file that belongs to another user"
        }
        io::ErrorKind::ReadOnlyFilesystem => "; change it where it is mounted from, or use `figueira brake`",
        io::ErrorKind::ResourceBusy => {
            "; it is a mount by itself: mount its folder instead, or change it where it is mounted from"
        }
        _ => "",
    }
}

#[cfg(test)]
mod tests;
