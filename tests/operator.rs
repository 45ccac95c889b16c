//! What an operator does to a running gateway, with real processes and files: brake, guard, change, broken file.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::{
        Arc,
        mpsc::{Receiver, channel},
    },
    thread,
    time::{Duration, Instant},
};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use serde_json::Value;
use tempfile::TempDir;

/// What every change has to be in force within.
const PROMPT: Duration = Duration::from_secs(2);

/// An upstream that always gives one answer.
fn upstream(status: &'static str, body: &'static str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for socket in listener.incoming() {
            let mut socket = socket.unwrap();
            thread::spawn(move || {
                let mut request = BufReader::new(socket.try_clone().unwrap());
                let mut line = String::new();
                while request.read_line(&mut line).is_ok_and(|read| read > 2) {
                    line.clear();
                }
                let length = body.len();
                let answer = format!(
                    "HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
                );
                socket.write_all(answer.as_bytes()).ok();
            });
        }
    });
    address
}

/// A folder with a `routes.toml`, and the gateways that run by it.
struct Site {
    folder: TempDir,
}

struct Gateway {
    process: Child,
    public: SocketAddr,
    admin: SocketAddr,
    /// Its log lines from "listening" on.
    log: Receiver<Value>,
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

impl Site {
    /// A migrated route `r` whose candidate answers so.
    fn new(candidate: SocketAddr, more: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let monolith = upstream("200 OK", "monolith");
        let text = format!(
            "[gateway]\nlisten = \"127.0.0.1:0\"\nadmin = \"127.0.0.1:0\"\nworkers = 1\n[log]\nformat = \"json\"\n\
             [monolith]\nurl = \"http://{monolith}\"\n[parallel_run]\nmax_lag = \"10m\"\nmax_share = \"off\"\n[upstreams.new]\nurl = \"http://{candidate}\"\n\n\
             [[route]] # the one\nname = \"r\"\npath = \"/r\"\ncandidate = \"new\"\nmode = \"migrated\" # walks\n{more}"
        );
        fs::write(folder.path().join("routes.toml"), text).unwrap();
        Self { folder }
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("routes.toml")
    }

    fn text(&self) -> String {
        fs::read_to_string(self.file()).unwrap()
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(assert_cmd::cargo::cargo_bin!("figueira"));
        command.args(arguments).arg("--config").arg(self.file());
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// Runs a command that succeeds; what it printed.
    fn done(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    fn start(&self) -> Gateway {
        self.start_trusting(None)
    }

    /// Starts a gateway for which this bundle of authorities is the system's.
    fn start_trusting(&self, bundle: Option<&Path>) -> Gateway {
        let mut command = self.command(&["serve"]);
        if let Some(bundle) = bundle {
            command.env("SSL_CERT_FILE", bundle).env_remove("SSL_CERT_DIR");
        }
        let mut process = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let (send, log) = channel();
        thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                send.send(serde_json::from_str(&line).unwrap_or(Value::Null)).ok();
            }
        });
        let listening = loop {
            let line: Value = log.recv_timeout(Duration::from_secs(20)).unwrap();
            if line["message"] == "listening" || line["event"] == "listening" {
                break line;
            }
        };
        let address = |key: &str| listening[key].as_str().unwrap().parse().unwrap();
        Gateway { process, public: address("public"), admin: address("admin"), log }
    }

    fn audit(&self) -> Vec<Value> {
        let text =
            fs::read_to_string(self.folder.path().join("figueira-data/audit.jsonl")).unwrap_or_default();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

fn exchange(address: SocketAddr, request: &str) -> (u16, String) {
    let mut socket = TcpStream::connect(address).unwrap();
    socket.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).unwrap();
    let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
    (status, answer.split_once("\r\n\r\n").unwrap().1.to_owned())
}

/// What comes to a hook next; it is never answered.
fn told(hook: &TcpListener) -> Value {
    body(hook.accept().unwrap().0)
}

/// The JSON that a request brings.
fn body(request: impl Read) -> Value {
    let mut request = BufReader::new(request);
    let mut line = String::new();
    while request.read_line(&mut line).unwrap() > 2 {
        line.clear();
    }
    serde_json::Deserializer::from_reader(request).into_iter().next().unwrap().unwrap()
}

/// An authority's certificate, and one of its for 127.0.0.1 with the key to it.
fn certificates() -> (String, CertificateDer<'static>, PrivateKeyDer<'static>) {
    let mut authority = CertificateParams::new([]).unwrap();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let (authority_key, key) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
    let root = authority.self_signed(&authority_key).unwrap();
    let leaf = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
    let leaf = leaf.signed_by(&key, &Issuer::new(authority, authority_key)).unwrap();
    (root.pem(), leaf.der().clone(), PrivatePkcs8KeyDer::from(key.serialize_der()).into())
}

impl Gateway {
    /// The next line of its log with this message.
    fn says(&self, message: &str) -> Value {
        loop {
            let line = self.log.recv_timeout(Duration::from_secs(20)).unwrap();
            if line["message"] == message {
                return line;
            }
        }
    }

    /// Who answers the route now.
    fn answers(&self) -> String {
        self.answers_to("nobody")
    }

    /// Who answers `user` now.
    fn answers_to(&self, user: &str) -> String {
        let request = format!("GET /r HTTP/1.1\r\nhost: site\r\nx-user: {user}\r\nconnection: close\r\n\r\n");
        exchange(self.public, &request).1
    }

    /// Waits until `who` answers everybody.
    fn reaches(&self, who: &str) {
        self.reaches_for("nobody", who);
    }

    /// Waits until `who` answers `user`, no longer than promised.
    fn reaches_for(&self, user: &str, who: &str) {
        let since = Instant::now();
        while self.answers_to(user) != who {
            assert!(since.elapsed() < PROMPT, "{} answers still", self.answers_to(user));
            thread::yield_now();
        }
    }

    fn admin(&self, method: &str, path: &str, headers: &str, body: &str) -> (u16, Value) {
        let request = format!(
            "{method} {path} HTTP/1.1\r\nhost: {}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\
             {headers}connection: close\r\n\r\n{body}",
            self.admin,
            body.len()
        );
        let (status, text) = exchange(self.admin, &request);
        (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
    }
}

#[test]
fn a_brake_that_another_process_pulls_holds_whatever_the_file_says() {
    let site = Site::new(upstream("200 OK", "candidate"), "");
    let gateway = site.start();
    assert_eq!(gateway.answers(), "candidate");

    assert!(!site.run(&["brake", "set", "other", "--reason", "x"]).status.success());
    assert_eq!(site.run(&["brake", "set", "r"]).status.code(), Some(2), "a reason is needed");
    site.done(&["brake", "set", "--all", "--reason", "blank images"]);
    gateway.reaches("monolith");
    assert!(site.done(&["brake", "list"]).contains("r: held at monolith since "));

    // Neither an edit nor a restart lets it go.
    fs::write(site.file(), site.text().replace("# the one", "# edited")).unwrap();
    site.done(&["routes", "set", "r", "--mode", "migrated"]);
    assert_eq!(gateway.answers(), "monolith");
    drop(gateway);
    let gateway = site.start();
    assert_eq!(gateway.answers(), "monolith");
    let report: Value = serde_json::from_str(&site.done(&["report", "--format", "json"])).unwrap();
    let route = &report["routes"][0];
    assert_eq!((&route["mode"], &route["effective_mode"]), (&"migrated".into(), &"monolith".into()));
    assert_eq!(
        (&route["brake"]["at"], &route["brake"]["reason"]),
        (&"monolith".into(), &"blank images".into())
    );

    site.done(&["brake", "release", "r", "--reason", "mended"]);
    gateway.reaches("candidate");
    assert!(!site.run(&["brake", "release", "r", "--reason", "again"]).status.success());

    // Nor does a broken file keep anybody from pulling it.
    fs::write(site.file(), "[gateway]\nbroken").unwrap();
    site.done(&["brake", "set", "r", "--at", "shadow", "--reason", "in a hurry"]);
    gateway.reaches("monolith");

    let moves: Vec<_> = site
        .audit()
        .iter()
        .filter(|line| line["what"] == "brake")
        .map(|line| format!("{} {} {}", line["from"], line["to"], line["why"]).replace('"', ""))
        .collect();
    assert_eq!(moves, ["off monolith blank images", "monolith off mended", "off shadow in a hurry"]);
}

#[test]
fn gateways_that_share_a_folder_share_its_brakes_its_file_and_its_log() {
    let site = Site::new(upstream("200 OK", "candidate"), "");
    let (here, there) = (site.start(), site.start());
    let both_reach = |who: &str| [&here, &there].map(|gateway| gateway.reaches(who));
    both_reach("candidate");
    site.done(&["brake", "set", "r", "--reason", "blank images"]);
    both_reach("monolith");
    assert_eq!(here.admin("DELETE", "/api/brakes/r", "", r#"{"reason":"mended"}"#).0, 200);
    both_reach("candidate");

    // What one of them writes into the file, the other takes up, and one line says who it was.
    let (status, changed) = here.admin("PATCH", "/api/routes/r", "", r#"{"mode":"monolith"}"#);
    assert_eq!((status, &changed["generation"]), (200, &2.into()), "{changed}");
    both_reach("monolith");
    there.says("routes.toml is in force");
    let walks: Vec<_> = site.audit().into_iter().filter(|line| line["what"] == "route").collect();
    assert_eq!(walks.len(), 1, "{walks:?}");
    assert_eq!(walks[0]["who"], "the admin listener, from 127.0.0.1");
    site.done(&["routes", "set", "r", "--mode", "migrated", "--force", "--reason", "again"]);
    both_reach("candidate");
    // Each of them says with which generation it took up what another process has written.
    for gateway in [&here, &there] {
        gateway.says("routes.toml is in force");
    }
    let taken_up = || site.audit().iter().filter(|line| line["what"] == "in-force").count();
    let since = Instant::now();
    while taken_up() < 3 {
        assert!(since.elapsed() < PROMPT, "{:?}", site.audit());
        thread::yield_now();
    }

    // One of them dies; a new one comes while the other serves.
    drop(here);
    site.done(&["brake", "set", "r", "--reason", "blank images"]);
    there.reaches("monolith");
    assert_eq!(site.start().answers(), "monolith");
}

#[test]
fn the_admin_listener_pulls_it_at_once_and_people_are_told() {
    let hook = TcpListener::bind("127.0.0.1:0").unwrap();
    let tell = format!("[[tell]]\nurl = \"http://{}/\"\non = [\"brake\"]\n", hook.local_addr().unwrap());
    let site = Site::new(upstream("200 OK", "candidate"), &tell);
    let gateway = site.start();
    let (status, held) = gateway.admin("PUT", "/api/brakes/r", "", r#"{"reason":"blank images"}"#);
    assert_eq!((status, &held["at"]), (200, &"monolith".into()), "{held}");
    assert_eq!(gateway.answers(), "monolith", "by the time it is answered, it is in force");

    assert_eq!(
        told(&hook)["text"],
        "figueira: r is held at monolith, by the admin listener, from 127.0.0.1: blank images"
    );
    let cross = "origin: http://evil.example\r\n";
    assert_eq!(gateway.admin("DELETE", "/api/brakes/r", cross, r#"{"reason":"x"}"#).0, 403);
    assert_eq!(gateway.admin("DELETE", "/api/brakes/r", "", r#"{"reason":"mended"}"#).0, 200);
    assert_eq!(gateway.answers(), "candidate");
}

#[test]
fn the_guard_pulls_it_when_the_candidate_fails() {
    let site = Site::new(upstream("500 Oh", "broken"), "[route.guard]\nmin_requests = 10\n");
    let gateway = site.start();
    let since = Instant::now();
    while gateway.answers() == "broken" {
        assert!(since.elapsed() < Duration::from_secs(10));
    }
    assert_eq!(gateway.answers(), "monolith");
    let (_, held) = gateway.admin("GET", "/api/brakes", "", "");
    assert_eq!((&held["brakes"][0]["at"], &held["brakes"][0]["by"]), (&"shadow".into(), &"the guard".into()));
    assert!(
        held["brakes"][0]["reason"].as_str().unwrap().contains("requests failed, the limit is 0.05"),
        "{held}"
    );
    assert_eq!(site.audit().last().unwrap()["generation"], 1);
}

#[test]
fn a_hook_over_tls_is_told_if_its_certificate_is_trusted_and_the_log_says_if_it_is_not() {
    let (authority, certificate, key) = certificates();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let server =
        rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let server = Arc::new(server.with_no_client_auth().with_single_cert(vec![certificate], key).unwrap());
    let hook = TcpListener::bind("127.0.0.1:0").unwrap();
    let tell =
        format!("[[tell]]\nurl = \"https://{}/s3cret\"\non = [\"brake\"]\n", hook.local_addr().unwrap());
    let site = Site::new(upstream("200 OK", "candidate"), &tell);
    let (trusted, other) = (site.folder.path().join("trusted.pem"), site.folder.path().join("other.pem"));
    fs::write(&trusted, authority).unwrap();
    fs::write(&other, certificates().0).unwrap();

    let gateway = site.start_trusting(Some(&trusted));
    site.done(&["brake", "set", "r", "--reason", "blank images"]);
    let connection = rustls::ServerConnection::new(server.clone()).unwrap();
    let mut stream = rustls::StreamOwned::new(connection, hook.accept().unwrap().0);
    assert_eq!(body(&mut stream)["reason"], "blank images");
    stream.write_all(b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n").unwrap();
    drop(gateway);

    let gateway = site.start_trusting(Some(&other));
    site.done(&["brake", "release", "r", "--reason", "mended"]);
    let connection = rustls::ServerConnection::new(server).unwrap();
    let mut stream = rustls::StreamOwned::new(connection, hook.accept().unwrap().0);
    assert!(stream.read(&mut [0]).is_err(), "nothing is told to whom nobody vouches for");
    let said = gateway.says("a hook cannot be told; trying again");
    let error = said["error"].as_str().unwrap();
    assert!(error.contains("invalid peer certificate") && error.contains("SSL_CERT_FILE"), "{error}");
    assert!(!said.to_string().contains("s3cret"), "{said}");
}

#[test]
fn two_gateways_with_data_of_their_own_share_their_brakes_by_a_link() {
    let sites = [0, 1].map(|_| Site::new(upstream("200 OK", "candidate"), ""));
    let first = sites[0].start();
    let data = sites.each_ref().map(|site| site.folder.path().join("figueira-data"));
    fs::create_dir(&data[1]).unwrap();
    std::os::unix::fs::symlink(data[0].join("brake.sqlite"), data[1].join("brake.sqlite")).unwrap();
    let second = sites[1].start();

    sites[0].done(&["brake", "set", "r", "--reason", "blank images"]);
    first.reaches("monolith");
    second.reaches("monolith");
    drop(second);
    let second = sites[1].start();
    assert_eq!(second.answers(), "monolith");
    assert_eq!(second.admin("DELETE", "/api/brakes/r", "", r#"{"reason":"mended"}"#).0, 200);
    assert_eq!(second.answers(), "candidate");
    first.reaches("candidate");
}

#[test]
fn an_edit_of_any_table_is_audited_with_its_values() {
    let site = Site::new(upstream("200 OK", "candidate"), "[route.gate]\nmin_subjects = 30\n");
    let gateway = site.start();
    let text = site.text().replace("workers = 1", "workers = 1\ndrain = \"5s\"").replace("= 30", "= 10");
    fs::write(site.file(), text).unwrap();
    gateway.says("routes.toml is in force");
    let since = Instant::now();
    while site.audit().len() < 2 {
        assert!(since.elapsed() < PROMPT);
    }
    let said: Vec<_> = site
        .audit()
        .iter()
        .map(|line| {
            format!("{} {} {} {}", line["what"], line["route"], line["from"], line["to"])
                .replace(['"', '\\'], "")
        })
        .collect();
    assert_eq!(
        said,
        [
            "file null [gateway] drain unset [gateway] drain 5s",
            "route r gate.min_subjects 30 gate.min_subjects 10",
        ]
    );
}

#[test]
fn an_admin_address_open_to_others_is_refused_before_anything_listens() {
    let site = Site::new(upstream("200 OK", "candidate"), "");
    let refused = site.run(&["serve", "--admin", "0.0.0.0:0"]);
    let why = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && why.contains("set gateway.admin_token"), "{why}");
    assert!(!String::from_utf8_lossy(&refused.stdout).contains("listening"));
    assert!(!site.folder.path().join("figueira-data").exists(), "nothing was begun");
}

/// A canary whose candidate always fails: `ana` is answered by it, all others by the monolith, and compared.
const CANARY: &str = "subject = \"header:x-user\"\ncanary = { allow = [\"ana\"] }\n\
                      gate = { calibration = 0, max_latency_ratio = \"off\" }\n\
                      guard = { max_error_rate = \"off\", max_latency_ratio = \"off\" }\n";

#[test]
fn a_verdict_of_unsafe_pulls_it_and_a_release_overrules_what_was_known_until_then() {
    let hook = TcpListener::bind("127.0.0.1:0").unwrap();
    let site = Site::new(upstream("500 Oh", "broken"), CANARY);
    let tell = format!("[[tell]]\nurl = \"http://{}/\"\non = [\"brake\"]\n", hook.local_addr().unwrap());
    fs::write(site.file(), site.text().replace("\"migrated\"", "\"canary\"") + &tell).unwrap();
    let gateway = site.start();
    assert_eq!(
        ["ana", "ben", "cyd"].map(|user| gateway.answers_to(user)),
        ["broken", "monolith", "monolith"]
    );
    gateway.reaches_for("ana", "monolith");

    let (_, held) = gateway.admin("GET", "/api/brakes", "", "");
    let held = &held["brakes"][0];
    assert_eq!((&held["at"], &held["by"]), (&"shadow".into(), &"the verdict".into()));
    assert!(held["reason"].as_str().unwrap().starts_with("UNSAFE: failures: 2 of 2 trials failed"), "{held}");
    assert_eq!(told(&hook)["by"], "the verdict");
    let (_, routes) = gateway.admin("GET", "/api/routes", "", "");
    let route = &routes["routes"][0];
    assert_eq!((&route["effective_mode"], &route["verdict"]), (&"shadow".into(), &"UNSAFE".into()));
    let (_, report) = gateway.admin("GET", "/api/reports/r", "", "");
    let live = &report["live"];
    assert_eq!(
        live["candidate"]["requests"], live["candidate"]["errors"],
        "all of ana's were broken: {live}"
    );
    assert!(
        live["candidate"]["errors"].as_u64() >= Some(1) && live["control"]["requests"].as_u64() >= Some(2)
    );
    assert_eq!((&live["control"]["errors"], &live["candidate"]["fallbacks"]), (&0.into(), &0.into()));

    // Its verdict stays UNSAFE for its epoch; and only what comes after the release counts against the release.
    site.done(&["brake", "release", "r", "--reason", "mended"]);
    gateway.reaches_for("ana", "broken");
    assert_eq!(["dan", "eva"].map(|user| gateway.answers_to(user)), ["monolith", "monolith"]);
    gateway.reaches_for("ana", "monolith");
    let moves: Vec<_> = site
        .audit()
        .iter()
        .filter(|line| line["what"] == "brake")
        .map(|line| format!("{} {} {}", line["who"], line["to"], line["why"]).replace('"', ""))
        .map(|line| line.split_once(" failed").map_or(line.clone(), |(start, _)| start.to_owned()))
        .collect();
    let [first, released, second] = &moves[..] else { panic!("{moves:?}") };
    assert_eq!(first, "the verdict shadow UNSAFE: failures: 2 of 2 trials");
    assert!(released.ends_with("off mended"), "{released}");
    assert_eq!(second, first, "by its own two, not by four");
}

#[test]
fn a_route_is_walked_from_the_command_line_and_from_the_admin_listener() {
    let site = Site::new(upstream("200 OK", "candidate"), "");
    let gateway = site.start();
    let before = site.text();
    let diff = site.done(&["routes", "set", "r", "--mode", "monolith", "--reason", "too slow"]);
    assert!(diff.contains("-mode = \"migrated\" # walks\n+mode = \"monolith\" # walks\n"), "{diff}");
    assert_eq!(site.text(), before.replace("migrated", "monolith"));
    gateway.reaches("monolith");

    let refused = site.run(&["routes", "set", "r", "--mode", "migrated"]);
    let why = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && why.contains("its verdict is NONE, not SAFE"), "{why}");
    assert_eq!(site.run(&["routes", "set", "r", "--mode", "migrated", "--force"]).status.code(), Some(2));

    let (status, problem) = gateway.admin("PATCH", "/api/routes/r", "", r#"{"mode":"migrated"}"#);
    assert_eq!(status, 409, "{problem}");
    let body = r#"{"mode":"migrated","force":true,"reason":"tested by hand"}"#;
    assert_eq!(gateway.admin("PATCH", "/api/routes/r", "if-match: 1\r\n", body).0, 412);
    let (status, changed) = gateway.admin("PATCH", "/api/routes/r", "if-match: 2\r\n", body);
    assert_eq!((status, &changed["generation"]), (200, &3.into()), "{changed}");
    assert_eq!((gateway.answers(), site.text()), ("candidate".into(), before.clone()));
    assert_eq!(gateway.admin("PATCH", "/api/routes/none", "", body).0, 404);

    fs::write(site.file(), before.replace("migrated", "shadow")).unwrap();
    gateway.reaches("monolith");
    let since = Instant::now();
    while site.audit().len() < 4 {
        assert!(since.elapsed() < PROMPT);
    }
    let said: Vec<_> = site
        .audit()
        .iter()
        .map(|line| {
            let who = line["who"].as_str().unwrap().split(',').next_back().unwrap().trim().to_owned();
            format!("{} {} {} {who}", line["from"], line["to"], line["why"]).replace('"', "")
        })
        .collect();
    assert_eq!(
        said,
        [
            "migrated monolith too slow by figueira routes set",
            "null null null the gateway",
            "monolith migrated tested by hand from 127.0.0.1",
            "migrated shadow null an edit of the file",
        ]
    );
}

#[test]
fn a_restart_with_a_broken_file_serves_what_was_last_good_and_says_so() {
    let site = Site::new(upstream("200 OK", "candidate"), "");
    let good = site.text();
    let gateway = site.start();
    assert_eq!(gateway.answers(), "candidate");
    let kept = site.folder.path().join("figueira-data/last-good.toml");
    let since = Instant::now();
    while fs::read_to_string(&kept).ok().as_ref() != Some(&good) {
        assert!(since.elapsed() < PROMPT);
    }
    drop(gateway);
    let broken = good.replace("url =", "uri =");
    fs::write(site.file(), &broken).unwrap();
    let strict = site.run(&["serve", "--strict"]);
    assert!(!strict.status.success() && String::from_utf8_lossy(&strict.stderr).contains("routes.toml:8:1"));

    let gateway = site.start();
    assert_eq!(gateway.answers(), "candidate");
    assert_eq!(gateway.admin("GET", "/readyz", "", "").1["rules"], "last-good");
    let metrics = gateway.admin("GET", "/metrics", "", "").1;
    assert!(metrics.as_str().unwrap().contains("\nfigueira_config_good 0\n"), "{metrics}");
    assert_eq!(fs::read_to_string(&kept).unwrap(), good, "what is broken is not kept");

    fs::write(site.file(), good.replace("migrated", "monolith")).unwrap();
    gateway.reaches("monolith");
    let refused = gateway.log.try_iter().filter(|line| line.to_string().contains("routes.toml:8:1")).count();
    assert!(refused > 0, "the log says where it is broken");
    assert!(Path::new(&kept).exists());
}
