//! What becomes of the evidence where a disk is full, a file damaged, a process killed, or somebody has his say; and whose
//! its files are.

use std::{
    collections::BTreeSet,
    fs,
    os::unix::fs::{FileTypeExt, PermissionsExt},
    path::PathBuf,
    time::{Duration, Instant},
};

use figueira::{
    config,
    evidence::{Evidence, Said, read::pairs::Ask, said},
    parallel_run::comparison::Alarm,
    report,
};
use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use tempfile::TempDir;

use crate::{
    harness::{
        Gateway, Origin, Process, Rules,
        gateway::{ask_admin, eventually},
    },
    modes::reported,
    parallel::{beside, ordered},
};

/// A disk that takes no more costs evidence, and nothing else.
#[test]
fn a_full_disk_under_the_evidence_costs_the_user_nothing() {
    let control = Origin::open();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("routes.toml");
    let rules =
        beside(&control, "127.0.0.1:1", "shadow", "").tables("[log]\nformat = \"json\"\nlevel = \"info\"\n");
    fs::write(&file, rules.to_string()).unwrap();
    // No file may grow beyond 256 KiB, which is soon.
    let mut process = Process::serve_within(&file, 512);
    let mut client = process.connect();
    let body = json!({ "prompt": "x".repeat(2_000) }).to_string();
    let mut upstream = None;
    let mut answers = BTreeSet::new();
    for number in 0..300 {
        client.send(&format!(
            "POST /api/orders HTTP/1.1\r\nHost: a\r\nCookie: session=s{number}\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        ));
        let upstream = upstream.get_or_insert_with(|| control.accept());
        assert_eq!(upstream.read_message().body, body);
        upstream.send("HTTP/1.1 200 Fine\r\nX-By: The Control\r\nContent-Length: 2\r\n\r\nok");
        let answer = client.read_message();
        answers.insert(format!("{}{}", answer.head, answer.body));
    }
    assert_eq!(
        answers.into_iter().collect::<Vec<_>>(),
        ["HTTP/1.1 200 Fine\r\nX-By: The Control\r\nContent-Length: 2\r\n\r\nok"]
    );
    process.hear("evidence cannot be written; trying again");
    process.signal("TERM");
    assert!(process.ended().code().is_some(), "it ended by itself");
}

/// A folder with the file of a shadow between these two; that file, and where its data will be.
fn kept_beside(control: &Origin, candidate: &Origin) -> (TempDir, PathBuf, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let (file, data) = (folder.path().join("routes.toml"), folder.path().join("figueira-data"));
    let rules = beside(control, &candidate.address().to_string(), "shadow", "")
        .tables("[log]\nformat = \"json\"\nlevel = \"info\"\n");
    fs::write(&file, rules.to_string()).unwrap();
    (folder, file, data)
}

/// Nor does evidence that cannot be read: nobody's request needs it, and people are told.
#[test]
fn damaged_evidence_costs_pairs_and_nothing_else() {
    let (control, candidate) = (Origin::open(), Origin::open());
    let (_folder, file, data) = kept_beside(&control, &candidate);
    fs::create_dir(&data).unwrap();
    fs::write(data.join("evidence.sqlite"), "this is no database, however long it is".repeat(99)).unwrap();
    let mut process = Process::serve(&file);
    let mut client = process.connect();
    client.send("POST /api/orders HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n{}");
    let (_upstream, _) = control.serve("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    assert_eq!(client.read_message().body, "ok");
    assert!(candidate.is_left_alone());
    let ready = ask_admin(process.admin, "/readyz");
    assert_eq!((ready.status(), ready.json()["evidence"].as_str()), (200, Some("not-kept")));
    assert_eq!(process.figure("figueira_evidence_good"), 0);
    assert_eq!(ask_admin(process.admin, "/").status(), 200, "the routes are shown without their verdicts");
    process.signal("TERM");
    assert_eq!(process.ended().code(), Some(0));
    assert!(
        fs::read_to_string(data.join("evidence.sqlite")).unwrap().starts_with("this is no"),
        "it is left as it is"
    );
}

/// What somebody holds for a moment at the start is opened once it is free.
#[test]
fn locked_evidence_costs_pairs_until_it_is_free() {
    let (control, candidate) = (Origin::open(), Origin::open());
    let (_folder, file, data) = kept_beside(&control, &candidate);
    let mut process = Process::serve(&file);
    process.signal("TERM");
    assert_eq!(process.ended().code(), Some(0));
    let holder = rusqlite::Connection::open(data.join("evidence.sqlite")).unwrap();
    holder.pragma_update(None, "locking_mode", "exclusive").unwrap();
    holder.execute_batch("BEGIN IMMEDIATE; DELETE FROM difference; COMMIT").unwrap();

    let mut process = Process::serve(&file);
    let ready = ask_admin(process.admin, "/readyz");
    assert_eq!((ready.status(), ready.json()["evidence"].as_str()), (200, Some("not-kept")));
    drop(holder);
    process.hear("the evidence is open: parallel runs begin");
    assert_eq!(process.figure("figueira_evidence_good"), 1);
    let mut client = process.connect();
    client.send("POST /api/orders HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n{}");
    let (_upstream, _) = control.serve("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    assert_eq!(client.read_message().body, "ok");
    let (_upstream, _) = candidate.serve("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    process.signal("TERM");
    assert_eq!(process.ended().code(), Some(0));
}

/// A pair that is run the other way round when the process is killed has been sampled: it is counted, as not compared.
#[test]
fn a_pair_that_a_kill_cuts_off_is_counted() {
    let (control, candidate) = (Origin::open(), Origin::open());
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("routes.toml");
    let rules = Rules::forwarding_to(control.address()).tables(&format!(
        "[log]\nformat = \"json\"\nlevel = \"info\"\n[upstreams.other]\nurl = \"http://{}\"\n\
         [[route]]\nname = \"orders\"\npath = \"/api/orders\"\nmode = \"migrated\"\ncandidate = \"other\"\n\
         [route.shadow]\ncontrol_repeatable = true\nreverse = true\n[route.gate]\ncalibration = 0\n",
        candidate.address()
    ));
    fs::write(&file, rules.to_string()).unwrap();
    let mut process = Process::serve(&file);
    let mut client = process.connect();
    client.send("GET /api/orders HTTP/1.1\r\nHost: a\r\n\r\n");
    let (_user, _) = candidate.serve("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}");
    assert_eq!(client.read_message().body, "{}");
    // The control is asked, and never answers.
    let mut asked = control.accept();
    asked.read_message();
    let config = config::load(&file).unwrap();
    let counted = |now: Timestamp| {
        let evidence = Evidence::open(&config.start.data, now).unwrap();
        let routes = config.routes.routes().iter().zip(&config.plans);
        let route = report::build(Some(&evidence), routes, now).unwrap().routes.remove(0);
        (route.counts.sampled, route.counts.skipped["shutdown"], route.pairs)
    };
    let later = Timestamp::now() + SignedDuration::from_hours(1);
    eventually("the announcement", || {
        let found = counted(later);
        (found == (1, 1, 0)).then_some(()).ok_or(found)
    });
    process.signal("KILL");
    process.ended();
    assert_eq!((counted(Timestamp::now()), counted(later)), ((0, 0, 0), (1, 1, 0)));
}

/// Whoever says it, and in whichever process: the operator's pages know at once that an alarm was looked at.
#[test]
fn what_was_acknowledged_holds_nothing_back_any_more() {
    let (control, candidate) = (Origin::open(), Origin::open());
    let gateway = Gateway::start(&beside(&control, &candidate.address().to_string(), "shadow", ""));
    let _open = ordered(&gateway, &control);
    let key = format!("{{\"key\": \"sk-proj-{}\"}}", "a1B2c3D4".repeat(6));
    candidate.serve(&format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{key}", key.len()));
    let is = |wanted: &str| {
        let found = ask_admin(gateway.admin(), "/api/routes").json()["routes"][0]["verdict"].clone();
        if found == wanted { Ok(()) } else { Err(found) }
    };
    eventually("the alarm", || is("BLOCKED"));
    let alarm = reported(&gateway).routes[0].alarms[0].id.parse().unwrap();
    let ana = Said { at: Timestamp::now(), who: "ana".to_owned(), text: "a key of the test shop".to_owned() };
    said::acknowledge(&gateway.data(), alarm, &ana).unwrap();
    let began = Instant::now();
    eventually("the next look", || is("COLLECTING"));
    assert!(began.elapsed() < Duration::from_secs(20), "not a minute later");
}

/// Whose an image is, is known after a restart as well.
#[test]
fn another_subjects_image_is_found_across_a_restart() {
    const PNG: &str =
        "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";
    let (control, candidate) = (Origin::open(), Origin::open());
    let (_folder, file, data) = kept_beside(&control, &candidate);
    let rules = fs::read_to_string(&file).unwrap() + "[route.compare]\nimages = [\"/b64\"]\n";
    fs::write(&file, rules).unwrap();
    let said = |image: &str| {
        let body = json!({ "b64": image }).to_string();
        format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len())
    };
    let alarms = ["ana", "ana", "bea"].map(|user| {
        let mut process = Process::serve(&file);
        let evidence = || Evidence::open(&data, Timestamp::now()).unwrap();
        let kept = || evidence().comparisons(&Ask { limit: 9, ..Ask::default() }).unwrap();
        let before = kept().len();
        let mut client = process.connect();
        client.send(&format!(
            "POST /api/orders?n={before} HTTP/1.1\r\nHost: a\r\nCookie: session={user}\r\nContent-Length: 2\r\n\r\n{{}}"
        ));
        control.serve(&said(""));
        client.read_message();
        candidate.serve(&said(PNG));
        let newest = eventually("the record", || {
            let kept = kept();
            if kept.len() > before { Ok(kept[0].id) } else { Err(before) }
        });
        process.signal("TERM");
        assert_eq!(process.ended().code(), Some(0));
        let alarms = evidence().comparison(newest).unwrap().unwrap().alarms;
        alarms.iter().any(|raised| raised.kind == Alarm::OtherSubject)
    });
    assert_eq!(alarms, [false, false, true]);
}

/// Prompts and answers lie there.
#[test]
fn what_is_made_in_the_data_folder_is_its_owners_alone() {
    let (control, candidate) = (Origin::open(), Origin::open());
    let gateway = Gateway::start(&beside(&control, &candidate.address().to_string(), "shadow", ""));
    let _open = ordered(&gateway, &control);
    candidate.serve("HTTP/1.1 500 Broken\r\nContent-Length: 2\r\n\r\n{}");
    let sample = gateway.data().join("samples/orders");
    eventually("the kept pair", || {
        let mut pairs = fs::read_dir(&sample).into_iter().flatten().map_while(Result::ok);
        let is_whole = |pair: fs::DirEntry| !pair.file_name().to_string_lossy().starts_with('.');
        pairs.any(is_whole).then_some(()).ok_or("none")
    });
    let (mut folders, mut open) = (vec![gateway.data()], Vec::new());
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap().map(Result::unwrap) {
            let Ok(metadata) = entry.metadata() else { continue };
            let mode = metadata.permissions().mode() & 0o777;
            if metadata.is_dir() {
                folders.push(entry.path());
            }
            if mode & 0o077 != 0 && !metadata.file_type().is_socket() {
                open.push((entry.path(), format!("{mode:o}")));
            }
        }
    }
    assert_eq!(open, []);
    assert_eq!(fs::metadata(gateway.data()).unwrap().permissions().mode() & 0o777, 0o700);
}
