//! How the gateway starts, refuses to start, and ends.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    net::{TcpListener, TcpStream},
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use figueira::app::Outcome;
use tempfile::TempDir;

use crate::harness::{
    Gateway, Origin, Process, Rules,
    gateway::{ask_admin, eventually},
    process::{self, Said},
    wire::End,
};

/// What the log of a process has to be for a story to hear it.
const HEARD: &str = "[log]\nformat = \"json\"\n";

/// A folder with these rules as its `routes.toml`.
fn folder(rules: &str) -> TempDir {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("routes.toml"), rules).unwrap();
    folder
}

fn file(folder: &TempDir) -> String {
    folder.path().join("routes.toml").to_str().unwrap().to_owned()
}

/// `--monolith` is kept as `--listen` is.
#[test]
fn another_monolith_than_the_files_answers_through_reloads() {
    let (theirs, ours) = (Origin::open(), Origin::open());
    let rules = Rules::forwarding_to(theirs.address()).tables(HEARD);
    let folder = folder(&rules.to_string());
    let path = folder.path().join("routes.toml");
    let process = Process::serve_with(&path, |command| {
        command.args(["--monolith", &format!("http://{}", ours.address())]);
    });
    for reloaded in [false, true] {
        if reloaded {
            fs::write(&path, rules.clone().gateway("via = true").to_string()).unwrap();
            process.hear("routes.toml is in force");
        }
        let mut client = process.connect();
        client.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        ours.serve("HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n");
        assert_eq!(client.read_head().status(), 204);
    }
    assert!(theirs.is_left_alone());
}

/// The second of two words would be read as a second mistake.
#[test]
fn why_the_last_good_rules_serve_is_said_once() {
    let origin = Origin::open();
    let rules = Rules::forwarding_to(origin.address()).tables(HEARD).to_string();
    let folder = folder(&rules);
    let path = folder.path().join("routes.toml");
    let mut process = Process::serve(&path);
    process.signal("TERM");
    process.ended();
    fs::write(&path, format!("{rules}\noops\n")).unwrap();
    let mut process = Process::serve(&path);
    eventually("the first look at the file", || {
        let metrics = ask_admin(process.admin, "/metrics").body;
        metrics.contains("figueira_config_reloads_total{outcome=\"rejected\"} 1").then_some(()).ok_or(metrics)
    });
    process.signal("TERM");
    process.ended();
    let errors: Vec<_> = process.events().into_iter().filter(|event| event["level"] == "ERROR").collect();
    assert!(errors.is_empty(), "{errors:?}");
}

/// P10: what has begun is finished, nothing more begins, and the probes say so.
#[test]
fn a_drain_finishes_what_has_begun() {
    let origin = Origin::open();
    let gateway = Gateway::before(&origin);
    let admin = gateway.admin();
    let mut uploading = gateway.connect();
    uploading.send("POST /up HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhello");
    let mut upload = origin.accept();
    upload.read_to("hello");
    let mut downloading = gateway.connect();
    downloading.send("GET /down HTTP/1.1\r\nHost: a\r\n\r\n");
    let (mut download, _) = origin.serve("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello");
    downloading.read_to("hello");
    let mut talking = gateway.connect();
    talking.send("GET /chat HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: chat\r\n\r\n");
    let (mut talk, _) =
        origin.serve("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: chat\r\n\r\n");
    talking.read_head();
    let mut idle = gateway.connect();
    idle.send("GET /idle HTTP/1.1\r\nHost: a\r\n\r\n");
    drop(origin.serve("HTTP/1.1 204 No Content\r\n\r\n"));
    idle.read_head();

    gateway.begin_to_drain();
    assert_eq!(idle.ends(), End::Closed);
    let probe = ask_admin(admin, "/readyz");
    assert_eq!(probe.status(), 503);
    assert_eq!(probe.json()["reasons"], serde_json::json!(["draining"]));
    assert_eq!(ask_admin(admin, "/healthz").status(), 200);

    uploading.send("world");
    assert_eq!(upload.read(5), "world");
    upload.send("HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(uploading.read_message().status(), 201);
    assert_eq!(uploading.ends(), End::Closed);
    download.send("world");
    assert_eq!(downloading.read_to_end(), ("world".to_owned(), End::Closed));
    talking.send("still there?");
    assert_eq!(talk.read(12), "still there?");
    drop(talk);
    assert_eq!(talking.ends(), End::Closed);
    drop(talking);
    assert_eq!(gateway.ended(), Outcome::Drained);
}

/// P10: who has not asked yet is waited for a second, whatever of it comes.
#[test]
fn a_client_that_does_not_come_to_ask_holds_no_drain() {
    let origin = Origin::open();
    for (begun, more, told) in [
        ("\r\n", Some("\r\n"), ""),
        ("GET / HTTP/1.1\r\nX-Slow: ", Some("x"), "HTTP/1.1 408 "),
        ("PRI * HTTP/2.0\r\n\r\nSM", None, ""),
    ] {
        let rules = "drain = \"20s\"\nlimits = { head_timeout = \"60s\" }";
        let gateway = Gateway::start(&Rules::forwarding_to(origin.address()).gateway(rules));
        let mut client = gateway.connect();
        client.send(begun);
        // The only worker has turned to another client after it.
        let mut other = gateway.connect();
        other.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        drop(origin.serve("HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n"));
        other.read_head();
        gateway.begin_to_drain();
        let mut trickling = client.twin();
        thread::scope(|scope| {
            scope.spawn(move || {
                while more.is_some_and(|more| trickling.send_in_vain(more).is_ok()) {
                    thread::sleep(Duration::from_millis(300));
                }
            });
            let (came, _) = client.read_to_end();
            assert!(came.starts_with(told), "after {begun:?}: {came:?}");
        });
        assert_eq!(gateway.ended(), Outcome::Drained, "after {begun:?}");
    }
}

/// P10: what does not end in time is cut, and the outcome says so.
#[test]
fn a_drain_has_a_deadline() {
    let origin = Origin::open();
    let gateway = Gateway::start(&Rules::forwarding_to(origin.address()).gateway("drain = \"200ms\""));
    let mut client = gateway.connect();
    client.send("GET /never HTTP/1.1\r\nHost: a\r\n\r\n");
    let mut upstream = origin.accept();
    upstream.read_head();
    let began = Instant::now();
    assert_eq!(gateway.ended(), Outcome::Cut);
    assert!(began.elapsed() >= Duration::from_millis(200), "took {:?}", began.elapsed());
    client.ends();
    upstream.ends();
}

/// After a SIGTERM the process serves what has begun, takes nothing new, and ends with 0.
#[test]
fn sigterm_drains_and_ends_with_0() {
    let origin = Origin::open();
    let folder = folder(&Rules::forwarding_to(origin.address()).tables(HEARD).to_string());
    let mut process = Process::serve(&folder.path().join("routes.toml"));
    let mut client = process.connect();
    client.send("GET /slow HTTP/1.1\r\nHost: a\r\n\r\n");
    let mut upstream = origin.accept();
    upstream.read_head();
    process.signal("TERM");
    process.hear("draining; a second signal ends at once");
    upstream.send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nslow");
    assert_eq!(client.read_message().body, "slow");
    assert_eq!(client.ends(), End::Closed);
    assert_eq!(process.ended().code(), Some(0));
    assert!(TcpStream::connect(process.site).is_err(), "still listening");
}

/// The exit code says that something was cut.
#[test]
fn a_drain_that_cuts_ends_with_1() {
    let origin = Origin::open();
    let rules = Rules::forwarding_to(origin.address()).gateway("drain = \"200ms\"").tables(HEARD);
    let folder = folder(&rules.to_string());
    let mut process = Process::serve(&folder.path().join("routes.toml"));
    let mut client = process.connect();
    client.send("GET /never HTTP/1.1\r\nHost: a\r\n\r\n");
    let mut upstream = origin.accept();
    upstream.read_head();
    process.signal("TERM");
    assert_eq!(process.hear("drained")["outcome"], "Cut");
    assert_eq!(process.ended().code(), Some(1));
    client.ends();
    upstream.ends();
}

#[test]
fn a_second_signal_ends_at_once() {
    let origin = Origin::open();
    let folder = folder(&Rules::forwarding_to(origin.address()).tables(HEARD).to_string());
    let mut process = Process::serve(&folder.path().join("routes.toml"));
    let mut client = process.connect();
    client.send("GET /never HTTP/1.1\r\nHost: a\r\n\r\n");
    let mut upstream = origin.accept();
    upstream.read_head();
    process.signal("TERM");
    process.hear("draining; a second signal ends at once");
    process.signal("INT");
    assert_eq!(process.ended().code(), Some(1));
    client.ends();
    upstream.ends();
}

/// `systemctl reload`, say, of a gateway that has nothing to reload.
#[test]
fn sighup_without_a_file_ends_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let mut gateway = Command::new(env!("CARGO_BIN_EXE_figueira"));
    gateway.args(["serve", "--monolith", "http://127.0.0.1:1", "--listen", "127.0.0.1:0", "--admin", "off"]);
    let mut gateway = gateway.current_dir(&folder).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(gateway.stdout.take().unwrap()).lines();
    let mut hear = |what: &str| lines.by_ref().any(|line| line.unwrap().contains(what));
    let signal = |name: &str| {
        let kill = format!("kill -{name} {}", gateway.id());
        assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success(), "{kill}");
    };
    assert!(hear("listening"));
    signal("HUP");
    assert!(hear("there is no file to read again"), "it has ended");
    signal("TERM");
    assert!(hear("drained"));
    assert_eq!(gateway.wait().unwrap().code(), Some(0));
}

/// Every error of a file at once, each with its place, and nothing is served.
#[test]
fn a_broken_file_is_told_with_its_places() {
    let folder = folder("[monolith]\nurl = \"ftp://shop\"\n\n[gateway]\nwrokers = 2\n");
    let file = file(&folder);
    for command in ["serve", "check"] {
        let Said { code, errors } = process::run(&[command, "--config", &file]);
        assert_eq!(code, Some(1), "{errors}");
        assert!(errors.contains(&format!("{file}:2:7")), "{command}: {errors}");
        assert!(errors.contains(&format!("{file}:5:1")), "{command}: {errors}");
        assert!(errors.contains("wrokers") && errors.contains("workers"), "{command}: {errors}");
    }
}

#[test]
fn a_missing_file_is_told_with_a_way_out() {
    let Said { code, errors } = process::run(&["serve", "--config", "/nowhere/routes.toml"]);
    assert_eq!(code, Some(1));
    assert!(errors.contains("/nowhere/routes.toml") && errors.contains("--monolith"), "{errors}");
}

#[test]
fn wrong_usage_ends_with_2() {
    for arguments in
        [&["serve", "--no-such-flag"][..], &["no-such-command"], &["serve", "--listen", "nowhere"]]
    {
        let Said { code, errors } = process::run(arguments);
        assert_eq!(code, Some(2), "{arguments:?}: {errors}");
        assert!(errors.contains("error:"), "{errors}");
    }
}

#[test]
fn a_port_in_use_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let folder = folder(&Rules::forwarding_to(taken.local_addr().unwrap()).to_string());
    for flag in ["--listen", "--admin"] {
        let Said { code, errors } = process::run(&["serve", "--config", &file(&folder), flag, &address]);
        assert_eq!(code, Some(1), "{errors}");
        assert!(errors.contains(&format!("cannot listen on {address}")), "{errors}");
        assert!(errors.contains("in use"), "{errors}");
    }
}
