//! The real process, killed while it works: this test binary runs itself, and an auditor looks at what is left.

use std::{
    collections::BTreeSet,
    env, fs,
    io::{BufRead as _, BufReader},
    path::PathBuf,
    process::{Command, Stdio},
    sync::Arc,
    thread,
    time::Duration,
};

use serde_json::json;

use super::{Shop, open, post};
use crate::generator::{Outcome, digest::Digest, settings::Contract};

const FOLDER: &str = "FIGUEIRA_TEST_DATA";
const KILLS: u64 = 8;

/// Not a test of its own: what the other one starts and kills. Says a line for each answer.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "started by a_killed_process_leaves_nothing_half_done"]
async fn work_until_killed() {
    let Some(folder) = env::var_os(FOLDER).map(PathBuf::from) else { return };
    let generator = open(&folder).await.unwrap();
    for number in 0..10_000 {
        let ask = json!({ "prompt": format!("mar {number}"), "n": 2, "size": "256x256" });
        let outcome = generator.answer(&Contract::Article, post(ask.to_string())).await;
        let Outcome::Answered(response) = outcome else { panic!("declined") };
        println!("\n{FOLDER} {}", response.status());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_process_leaves_nothing_half_done() {
    let data = Arc::new(tempfile::tempdir().unwrap());
    for round in 0..KILLS {
        let mut child = Command::new(env::current_exe().unwrap())
            .args(["--exact", "generator::tests::killed::work_until_killed", "--ignored", "--nocapture"])
            .env(FOLDER, data.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let answered = lines.map(Result::unwrap).find(|line| line.starts_with(FOLDER)).unwrap();
        assert!(answered.ends_with("200 OK"), "{answered}");
        // Not to wait for anything: to die at another moment of the next job each time.
        thread::sleep(Duration::from_millis(round * 9));
        child.kill().unwrap();
        child.wait().unwrap();
    }

    let shop = Shop::reopen(data).await;
    assert!(shop.files("spool").is_empty());
    let jobs = shop.jobs();
    assert!(jobs.iter().filter(|(state, _)| state == "done").count() >= usize::try_from(KILLS).unwrap());
    assert!(jobs.iter().all(|(state, _)| state == "done" || state == "failed"), "{jobs:?}");
    assert!(
        !jobs.iter().any(|(_, reason)| reason.as_deref() == Some("paid-lost")),
        "the data folder survived"
    );

    let db = rusqlite::Connection::open(shop.data.path().join("catalog.sqlite")).unwrap();
    let sound: String = db.pragma_query_value(None, "integrity_check", |row| row.get(0)).unwrap();
    assert_eq!(sound, "ok");
    let mut committed = db
        .prepare("SELECT name, sha256 FROM objects JOIN jobs ON jobs.id = objects.job WHERE state = 'done'")
        .unwrap();
    let mut names = BTreeSet::new();
    for row in committed.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap() {
        let (name, sha256): (String, String) = row.unwrap();
        let stored = fs::read(shop.data.path().join("images").join(&name)).unwrap();
        assert_eq!(Digest::of(&stored).as_str(), sha256);
        names.insert(name);
    }
    assert_eq!(shop.files("images"), names, "no object without a committed record");
}
