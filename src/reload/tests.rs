//! Real files, changed in every way in which people and tools change them.

mod owner;
mod whole;

use std::{fs, path::Path, sync::Arc, time::Duration};

use tempfile::TempDir;
use tokio::{
    sync::{mpsc, watch},
    time::timeout,
};

use super::*;

/// A folder with a watched `routes.toml`.
struct Site {
    folder: TempDir,
    applied: mpsc::UnboundedReceiver<(u64, Arc<Config>)>,
    handle: Handle,
    status: watch::Receiver<Status>,
    shutdown: Shutdown,
}

/// A configuration told apart by how long it drains.
fn file(seconds: u64) -> String {
    format!("[gateway]\ndrain = \"{seconds}s\"\n[monolith]\nurl = \"http://127.0.0.1:8000\"\n")
}

impl Site {
    /// Watches what `lay_out` puts at the path that it is given.
    fn with(lay_out: impl FnOnce(&Path)) -> Self {
        Self::since(lay_out, |_| ())
    }

    /// The same, where it was read when things were as `then` makes them.
    fn since(lay_out: impl FnOnce(&Path), then: impl FnOnce(&mut Config)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("routes.toml");
        lay_out(&path);
        let mut running = config::load(&path).unwrap();
        then(&mut running);
        let running = Arc::new(running);
        fs::create_dir(&running.start.data).unwrap();
        let (reload, handle) = Reload::new(path, running, None, Metrics::default());
        let (applied_to, applied) = mpsc::unbounded_channel();
        let shutdown = Shutdown::default();
        let apply = move |generation, config| applied_to.send((generation, config)).unwrap();
        shutdown.spawn(reload.run(apply, shutdown.clone()));
        let status = handle.status();
        Self { folder, applied, handle, status, shutdown }
    }

    fn new() -> Self {
        Self::with(|path| fs::write(path, file(1)).unwrap())
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }

    /// Writes `text` to the watched file, in place.
    fn write(&self, text: &str) {
        fs::write(self.path("routes.toml"), text).unwrap();
    }

    /// How long the configuration drains that is put in force next.
    async fn next(&mut self) -> u64 {
        let (_, config) = timeout(Duration::from_secs(10), self.applied.recv()).await.unwrap().unwrap();
        config.gateway.drain.as_secs()
    }

    /// Waits until the configuration that drains for `seconds` is in force.
    async fn reaches(&mut self, seconds: u64) {
        while self.next().await != seconds {}
    }

    /// Waits until the file is rejected, and says why.
    async fn rejected(&mut self) -> String {
        let rejected = self.status.wait_for(|status| status.rejected.is_some());
        timeout(Duration::from_secs(10), rejected)
            .await
            .unwrap()
            .unwrap()
            .rejected
            .as_deref()
            .unwrap()
            .to_owned()
    }

    async fn good(&mut self) -> u64 {
        let good = self.status.wait_for(|status| status.rejected.is_none());
        timeout(Duration::from_secs(10), good).await.unwrap().unwrap().generation
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        self.shutdown.begin();
    }
}

#[tokio::test]
async fn a_saved_change_comes_into_force() {
    let mut site = Site::new();
    site.write(&file(2));
    assert_eq!(site.next().await, 2);

    site.write(&file(3));
    assert_eq!(site.next().await, 3);
    assert_eq!(site.status.borrow().generation, 3);
}

#[tokio::test]
async fn a_change_before_the_watch_stands_is_found() {
    let mut site = Site::with(|path| fs::write(path, file(1)).unwrap());
    // The task has not run yet: this runtime has one thread, and it is here.
    site.write(&file(2));
    assert_eq!(site.next().await, 2);
}

#[tokio::test]
async fn a_broken_file_keeps_the_last_good_rules_and_says_why() {
    let mut site = Site::new();
    site.write("[monolith]\nurl = 7\n");
    let why = site.rejected().await;
    assert!(why.contains("routes.toml:2:7: error: `url`"), "{why}");
    site.write(&file(1));
    assert_eq!(site.good().await, 1, "what was in force is in force still");
    for broken in ["", "[monolith]\nurl = \"http://127.0", "\u{0}\u{1}", "[gateway]"] {
        site.write(broken);
        site.rejected().await;
        assert!(site.applied.try_recv().is_err());
        site.write(&file(1));
        site.good().await;
    }
    site.write(&file(2));
    assert_eq!(site.next().await, 2);
}

#[tokio::test]
async fn a_file_renamed_over_is_followed() {
    let mut site = Site::new();
    for seconds in 2..6 {
        let new = site.path("routes.toml.swp");
        fs::write(&new, file(seconds)).unwrap();
        fs::rename(&new, site.path("routes.toml")).unwrap();
        assert_eq!(site.next().await, seconds);
    }
}

#[tokio::test]
async fn a_deleted_file_keeps_the_last_good_rules_until_it_is_back() {
    let mut site = Site::new();
    fs::remove_file(site.path("routes.toml")).unwrap();
    assert!(site.rejected().await.contains("cannot be read"));
    site.write(&file(2));
    assert_eq!(site.next().await, 2);
    assert_eq!(site.status.borrow().rejected, None);

    fs::remove_file(site.path("routes.toml")).unwrap();
    fs::create_dir(site.path("routes.toml")).unwrap();
    assert!(site.rejected().await.contains("cannot be read"));
    fs::remove_dir(site.path("routes.toml")).unwrap();
    site.write(&file(3));
    assert_eq!(site.next().await, 3);
}

#[tokio::test]
async fn what_editors_leave_beside_the_file_is_not_read() {
    let mut site = Site::new();
    // As vim: a swap file, a probe, the old file renamed away, the new one written, the backup deleted.
    fs::write(site.path(".routes.toml.swp"), "b0VIM").unwrap();
    fs::write(site.path("4913"), "").unwrap();
    fs::remove_file(site.path("4913")).unwrap();
    fs::rename(site.path("routes.toml"), site.path("routes.toml~")).unwrap();
    site.write(&file(2));
    fs::remove_file(site.path("routes.toml~")).unwrap();
    site.reaches(2).await;
    // As emacs: a link to nowhere as a lock, and a draft.
    std::os::unix::fs::symlink("ana@host.1:2", site.path(".#routes.toml")).unwrap();
    fs::write(site.path("#routes.toml#"), "[broken").unwrap();
    site.write(&file(3));
    fs::remove_file(site.path(".#routes.toml")).unwrap();
    assert_eq!(site.next().await, 3);
    assert_eq!(site.status.borrow().rejected, None);
}

#[tokio::test]
async fn a_folder_that_vanishes_and_comes_back_is_watched_still() {
    let mut site = Site::with(|path| {
        let etc = path.parent().unwrap().join("etc");
        fs::create_dir(&etc).unwrap();
        fs::write(etc.join("routes.toml"), file(1)).unwrap();
        std::os::unix::fs::symlink("etc/routes.toml", path).unwrap();
    });
    for seconds in [2, 3] {
        fs::remove_dir_all(site.path("etc")).unwrap();
        assert!(site.rejected().await.contains("cannot be read"));
        fs::create_dir(site.path("etc")).unwrap();
        fs::write(site.path("etc/routes.toml"), file(seconds)).unwrap();
        site.reaches(seconds).await;
        assert_eq!(site.good().await, seconds);
    }
}

#[tokio::test]
async fn a_file_that_may_not_be_read_any_more_changes_nothing_until_it_may() {
    use std::os::unix::fs::PermissionsExt as _;
    let mut site = Site::new();
    let allow =
        |mode| fs::set_permissions(site.path("routes.toml"), fs::Permissions::from_mode(mode)).unwrap();
    allow(0);
    // Nothing is forbidden to root: for it there is nothing to see here.
    if fs::read(site.path("routes.toml")).is_err() {
        assert!(site.status.wait_for(|status| status.rejected.is_some()).await.is_ok());
    }
    fs::set_permissions(site.path("routes.toml"), fs::Permissions::from_mode(0o600)).unwrap();
    site.write(&file(2));
    assert_eq!(site.next().await, 2);
    // Whom permissions do not stop, a link in a circle does.
    fs::remove_file(site.path("routes.toml")).unwrap();
    std::os::unix::fs::symlink("routes.toml", site.path("routes.toml")).unwrap();
    assert!(site.rejected().await.contains("cannot be read"));
    fs::remove_file(site.path("routes.toml")).unwrap();
    site.write(&file(3));
    assert_eq!(site.next().await, 3);
}

#[tokio::test]
async fn a_huge_file_is_refused_without_being_read() {
    let mut site = Site::new();
    fs::File::options().write(true).open(site.path("routes.toml")).unwrap().set_len(1 << 40).unwrap();
    assert!(site.rejected().await.contains("larger than 16 MiB"));
    site.write(&file(2));
    assert_eq!(site.next().await, 2);
}

/// As Kubernetes mounts a `ConfigMap`: the file is a link through a link that is swapped.
#[tokio::test]
async fn a_swapped_link_is_followed() {
    let link = |folder: &Path, target: &str| {
        std::os::unix::fs::symlink(target, folder.join("..new")).unwrap();
        fs::rename(folder.join("..new"), folder.join("..data")).unwrap();
    };
    let version = |folder: &Path, name: &str, seconds| {
        fs::create_dir(folder.join(name)).unwrap();
        fs::write(folder.join(name).join("routes.toml"), file(seconds)).unwrap();
    };
    let mut site = Site::with(|path| {
        let folder = path.parent().unwrap();
        version(folder, "..v1", 1);
        link(folder, "..v1");
        std::os::unix::fs::symlink("..data/routes.toml", path).unwrap();
    });
    for seconds in 2..5 {
        let name = format!("..v{seconds}");
        version(site.folder.path(), &name, seconds);
        link(site.folder.path(), &name);
        assert_eq!(site.next().await, seconds);
        // The folder that the link leads to now is watched as well.
        fs::write(site.path(&name).join("routes.toml"), file(seconds + 100)).unwrap();
        assert_eq!(site.next().await, seconds + 100);
    }
}

#[tokio::test]
async fn a_folder_that_was_replaced_is_watched_anew() {
    let mut site = Site::with(|path| {
        let folder = path.parent().unwrap();
        fs::create_dir(folder.join("etc")).unwrap();
        fs::write(folder.join("etc/routes.toml"), file(1)).unwrap();
        std::os::unix::fs::symlink("etc/routes.toml", path).unwrap();
    });
    for seconds in [2, 3] {
        fs::create_dir(site.path("etc.new")).unwrap();
        fs::write(site.path("etc.new/routes.toml"), file(seconds)).unwrap();
        fs::rename(site.path("etc"), site.path(&format!("etc.{seconds}"))).unwrap();
        fs::rename(site.path("etc.new"), site.path("etc")).unwrap();
        site.reaches(seconds).await;
    }
}

#[tokio::test]
async fn the_last_of_many_swaps_is_what_stays_and_no_part_of_any_is_seen() {
    let mut site = Site::new();
    for seconds in 2..=200 {
        let new = site.path("new");
        fs::write(&new, file(seconds)).unwrap();
        fs::rename(&new, site.path("routes.toml")).unwrap();
        if seconds % 2 == 0 {
            tokio::task::yield_now().await;
        }
    }
    site.reaches(200).await;
    assert_eq!(site.status.borrow().rejected, None);
}

/// A bind mount tells of nothing: only the look once a second can find what changed.
#[tokio::test]
async fn a_change_that_no_event_tells_of_is_found_by_looking() {
    let elsewhere = tempfile::tempdir().unwrap();
    let far = elsewhere.path().join("far");
    fs::create_dir(&far).unwrap();
    fs::write(far.join("routes.toml"), file(1)).unwrap();
    // Links through a folder that nobody watches: neither the name nor the file lies in it.
    let hop = elsewhere.path().join("hop");
    std::os::unix::fs::symlink(&far, &hop).unwrap();
    let mut site = Site::with(|path| std::os::unix::fs::symlink(hop.join("routes.toml"), path).unwrap());
    let new = elsewhere.path().join("new");
    fs::create_dir(&new).unwrap();
    fs::write(new.join("routes.toml"), file(2)).unwrap();
    std::os::unix::fs::symlink(&new, elsewhere.path().join("hop.new")).unwrap();
    fs::rename(elsewhere.path().join("hop.new"), &hop).unwrap();
    assert_eq!(site.next().await, 2);
}
