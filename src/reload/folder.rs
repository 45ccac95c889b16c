//! Events of the folders in which a file can change.

use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

use notify::{
    Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher,
    event::{ModifyKind, RenameMode},
};
use tokio::sync::Notify;

/// The folder that holds a file's name, and the one that holds the file where the name is a link. Folders are watched
/// and not the file: one that is renamed over or deleted takes its watch with it.
#[derive(Debug)]
pub(super) struct Folders {
    stirred: Arc<Notify>,
    placed: Arc<AtomicBool>,
    watched: Vec<Identity>,
    /// Held for as long as it is to report.
    watcher: Option<RecommendedWatcher>,
}

/// A folder and which one it is: a new one of the same name needs a new watch.
#[derive(Debug, PartialEq, Eq)]
struct Identity {
    path: PathBuf,
    device: u64,
    inode: u64,
}

impl Folders {
    /// Watches for changes of `file`.
    pub(super) fn new(file: &Path) -> Self {
        let mut folders =
            Self { stirred: Arc::default(), placed: Arc::default(), watched: Vec::new(), watcher: None };
        folders.follow(file);
        folders
    }

    /// Resolves when something stirred since it resolved last.
    pub(super) async fn stirred(&self) {
        self.stirred.notified().await;
    }

    /// Whether the file was moved into its place, and not written there since, as far as events tell. Said once: what
    /// happens next may not have been told yet.
    pub(super) fn placed(&self) -> bool {
        self.placed.swap(false, Relaxed)
    }

    /// Watches other folders where `file` now lies in others.
    pub(super) fn follow(&mut self, file: &Path) {
        let now = folders_of(file);
        if now == self.watched {
            return;
        }
        let (stirred, placed) = (Arc::clone(&self.stirred), Arc::clone(&self.placed));
        let name = file.file_name().map(ToOwned::to_owned);
        // Of the watch that ends here.
        placed.store(false, Relaxed);
        let watcher = notify::recommended_watcher(move |event: notify::Result<Event>| {
            if let Ok(event) = &event
                && event.paths.last().and_then(|path| path.file_name()) == name.as_deref()
                && let Some(is_placed) = places(event.kind)
            {
                placed.store(is_placed, Relaxed);
            }
            // Our own reading is an event too, and must not cause another.
            if !event.is_ok_and(|event| matches!(event.kind, EventKind::Access(access) if !writes(access))) {
                stirred.notify_one();
            }
        });
        let watcher = watcher.and_then(|mut watcher| {
            now.iter().try_for_each(|folder| watcher.watch(&folder.path, RecursiveMode::NonRecursive))?;
            Ok(watcher)
        });
        self.watched = now;
        self.watcher = watcher
            .inspect_err(
                |error| tracing::warn!(%error, "no events of routes.toml; it is looked at once a second"),
            )
            .ok();
        // What happened before the new watch stood is found by looking.
        self.stirred.notify_one();
    }
}

/// Whether a file is in its place whole, after what happened to it; `None` for what does not matter.
fn places(kind: EventKind) -> Option<bool> {
    match kind {
        EventKind::Modify(ModifyKind::Name(RenameMode::To)) => Some(true),
        // Both ends of a move are told together once each was told by itself.
        EventKind::Access(_)
        | EventKind::Modify(ModifyKind::Metadata(_) | ModifyKind::Name(RenameMode::Both)) => None,
        _ => Some(false),
    }
}

fn writes(access: notify::event::AccessKind) -> bool {
    use notify::event::{AccessKind, AccessMode};
    access == AccessKind::Close(AccessMode::Write)
}

fn folders_of(file: &Path) -> Vec<Identity> {
    let folder = |file: &Path| match file.parent() {
        Some(folder) if folder != Path::new("") => folder.to_owned(),
        _ => PathBuf::from("."),
    };
    let named = folder(file);
    let real = fs::canonicalize(file).ok().map(|file| folder(&file));
    let real = real.filter(|real| fs::canonicalize(&named).ok().as_ref() != Some(real));
    [Some(named), real]
        .into_iter()
        .flatten()
        .filter_map(|path| {
            let metadata = fs::metadata(&path).ok()?;
            Some(Identity { path, device: metadata.dev(), inode: metadata.ino() })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_move_is_told_once() {
        let said = [RenameMode::From, RenameMode::To, RenameMode::Both]
            .map(|mode| places(EventKind::Modify(ModifyKind::Name(mode))));
        assert_eq!(said, [Some(false), Some(true), None]);
    }
}
