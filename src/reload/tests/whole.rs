//! When a file is whole.

use tokio::time::sleep;

use super::*;

#[tokio::test]
async fn a_file_is_known_that_was_moved_into_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let [path, new] = ["routes.toml", "new"].map(|name| folder.path().join(name));
    fs::write(&path, file(1)).unwrap();
    let folders = Folders::new(&path);
    let moved = async {
        fs::write(&new, file(2)).unwrap();
        fs::rename(&new, &path).unwrap();
        while !folders.placed() {
            folders.stirred().await;
        }
    };
    timeout(Duration::from_secs(10), moved).await.unwrap();
    assert!(!folders.placed(), "said once");
}

#[tokio::test]
async fn while_a_file_is_written_without_end_the_last_good_rules_serve() {
    let mut site = Site::new();
    let path = site.path("routes.toml");
    let mut status = site.handle.status();
    let is_unfinished =
        |status: &Status| status.rejected.as_ref().is_some_and(|why| why.contains("not whole yet"));
    let write = async {
        for line in 0.. {
            fs::write(&path, format!("# {line}\n{}", file(2))).unwrap();
            sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::select! {
        said = timeout(Duration::from_mins(1), status.wait_for(is_unfinished)) => drop(said.unwrap().unwrap()),
        () = write => unreachable!("it has no end"),
    }
    site.write(&file(3));
    site.reaches(3).await;
    assert!(!is_unfinished(&site.status.borrow()));
}
