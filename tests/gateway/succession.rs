//! One process takes the place of another: no connection is refused, none is reset, and what had begun is finished.

use std::{
    fs,
    io::{ErrorKind, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    os::unix::net::UnixStream,
    sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    thread,
    time::Duration,
};

use tempfile::TempDir;

use crate::{
    harness::{
        Origin, Process, Rules, Shop, Wire,
        gateway::{ask_admin, eventually},
        recorder::{Recorder, echo},
        wire::{End, PATIENCE},
    },
    modes::route,
};

const HEARD: &str = "[log]\nformat = \"json\"\n";

fn folder(rules: &Rules) -> (TempDir, std::path::PathBuf) {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("routes.toml");
    fs::write(&file, rules.clone().tables(HEARD).to_string()).unwrap();
    (folder, file)
}

/// Clients that ask until they are told to stop: some on a connection each time, some on one for as long as it lasts.
#[derive(Debug, Default)]
struct Crowd {
    over: AtomicBool,
    answered: AtomicU64,
    kept: AtomicU64,
    /// What went wrong.
    failed: std::sync::Mutex<Vec<String>>,
}

impl Crowd {
    fn ask_anew(&self, site: SocketAddr) {
        while !self.over.load(Relaxed) {
            if let Err(error) = ask(&mut connect(site), "close") {
                self.failed.lock().unwrap().push(format!("on a new connection: {error}"));
            }
            self.answered.fetch_add(1, Relaxed);
        }
    }

    /// A connection lasts until an answer says that it was the last.
    fn ask_on(&self, site: SocketAddr) {
        while !self.over.load(Relaxed) {
            let mut connection = connect(site);
            while !self.over.load(Relaxed) {
                match ask(&mut connection, "keep-alive") {
                    Ok(last) => {
                        self.answered.fetch_add(1, Relaxed);
                        self.kept.fetch_add(1, Relaxed);
                        if last {
                            break;
                        }
                    }
                    Err(error) => {
                        self.failed.lock().unwrap().push(format!("on a kept connection: {error}"));
                        break;
                    }
                }
            }
        }
    }

    fn wait_for(&self, more: u64) {
        let until = self.answered.load(Relaxed) + more;
        eventually("their answers", || {
            let now = self.answered.load(Relaxed);
            (now >= until).then_some(()).ok_or(now)
        });
    }
}

fn connect(site: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(site).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// One request: whether its answer says that it is the last.
fn ask(stream: &mut TcpStream, connection: &str) -> std::io::Result<bool> {
    stream.write_all(
        format!("GET /crowd HTTP/1.1\r\nHost: a\r\nConnection: {connection}\r\n\r\n").as_bytes(),
    )?;
    let (mut came, mut piece) = (Vec::new(), [0; 1024]);
    // The body is the target, and nothing else ends so.
    while !came.ends_with(b"/crowd") {
        match stream.read(&mut piece)? {
            0 => return Err(ErrorKind::UnexpectedEof.into()),
            read => came.extend_from_slice(&piece[..read]),
        }
    }
    let answer = String::from_utf8_lossy(&came).to_lowercase();
    assert!(answer.starts_with("http/1.1 200"), "{answer}");
    Ok(answer.contains("connection: close"))
}

/// P10: under load, twice; what each had begun it finishes.
#[test]
fn no_connection_is_refused_or_reset() {
    let origin = Recorder::open(echo);
    let (_folder, file) = folder(&Rules::forwarding_to(origin.address()).gateway("drain = \"8s\""));
    let mut running = Process::serve(&file);
    let (site, admin) = (running.site, running.admin);
    let crowd = Crowd::default();
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| crowd.ask_anew(site));
            scope.spawn(|| crowd.ask_on(site));
        }
        crowd.wait_for(100);
        for _ in 0..2 {
            let next = Process::take_over(&file);
            assert_eq!((next.site, next.admin), (site, admin), "the sockets are the same");
            running.hear("another process has taken over; draining");
            assert_eq!(running.ended().code(), Some(0));
            crowd.wait_for(100);
            assert_eq!(ask_admin(admin, "/readyz").status(), 200, "the new one answers its operator");
            running = next;
        }
        crowd.over.store(true, Relaxed);
    });
    let failed = crowd.failed.lock().unwrap();
    assert!(failed.is_empty(), "{} failed: {:?}", failed.len(), failed.first());
    assert!(crowd.kept.load(Relaxed) > 0);
    running.signal("TERM");
    assert_eq!(running.ended().code(), Some(0));
}

/// The old one finishes its requests while the new one generates: each in the one data folder.
#[test]
fn the_successor_works_while_the_other_drains() {
    let shop = Shop::open();
    let origin = Origin::open();
    let rules = Rules::forwarding_to(shop.address()).gateway("drain = \"60s\"").tables(&format!(
        "[upstreams.slow]\nurl = \"http://{}\"\n\
         [[route]]\nname = \"slow\"\npath = \"/slow\"\nmode = \"monolith\"\nupstream = \"slow\"\ncontract = \"article\"",
        origin.address()
    ));
    let rules = route(rules, "migrated", "");
    let (_folder, file) = folder(&rules);
    let mut old = Process::serve(&file);
    let mut waiting = old.connect();
    waiting.send("GET /slow HTTP/1.1\r\nHost: a\r\n\r\n");
    let mut upstream = origin.accept();
    upstream.read_head();

    let new = Process::take_over(&file);
    old.hear("another process has taken over; draining");
    let mut client = new.connect();
    // Little to draw: whoever draws waits for all others, and there are many here.
    let order = "{\"prompt\":\"a fig tree\",\"size\":\"256x256\"}";
    client.send(&format!(
        "POST /api/images HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{order}",
        order.len()
    ));
    let answer = client.read_message();
    assert_eq!(answer.status(), 200, "{answer:?}");
    new.hear("job done");

    upstream.send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nslow");
    assert_eq!(waiting.read_message().body, "slow");
    assert_eq!(old.ended().code(), Some(0));
}

/// Whoever asks for the sockets and then does not serve has taken nobody's place.
#[test]
fn a_successor_that_fails_changes_nothing() {
    let origin = Recorder::open(echo);
    let (folder, file) = folder(&Rules::forwarding_to(origin.address()));
    let mut process = Process::serve(&file);
    let door = folder.path().join("figueira-data/takeover-127.0.0.1:0.sock");
    let mut failing = UnixStream::connect(&door).unwrap();
    failing.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut words = Vec::new();
    while !words.ends_with(b".") {
        let mut word = [0];
        failing.read_exact(&mut word).unwrap();
        words.extend(word);
    }
    assert_eq!(words, b"sa.");
    drop(failing);
    process.hear("a process that was to take over did not; this one goes on");
    assert!(!ask(&mut connect(process.site), "keep-alive").unwrap());
    process.signal("TERM");
    assert_eq!(process.ended().code(), Some(0));
    // With nobody to take over from, it is an ordinary start.
    let mut next = Process::take_over(&file);
    assert!(!ask(&mut connect(next.site), "keep-alive").unwrap());
    next.signal("TERM");
    assert_eq!(next.ended().code(), Some(0));
}

/// SIGUSR2: the program as it lies on disk takes over from itself.
#[test]
fn a_process_renews_itself_at_a_signal() {
    let origin = Recorder::open(echo);
    let (_folder, file) = folder(&Rules::forwarding_to(origin.address()));
    let mut old = Process::serve(&file);
    let site = old.site;
    old.signal("USR2");
    let successor = old.hear("SIGUSR2: a successor starts")["successor"].as_u64().unwrap();
    // It says so where the first one did.
    old.hear("listening");
    assert_eq!(old.ended().code(), Some(0));
    assert!(!ask(&mut connect(site), "keep-alive").unwrap());
    let kill = format!("kill -TERM {successor}");
    assert!(std::process::Command::new("sh").args(["-c", &kill]).status().unwrap().success());
    old.hear("drained");
    eventually("its end", || match TcpStream::connect_timeout(&site, Duration::from_secs(1)) {
        Ok(_) => Err("it still listens"),
        Err(_) => Ok(()),
    });
}

/// RFC 9112, 9.6: a drain tells clients that its answers are the last, and gives those a moment who are about to ask.
#[test]
fn a_drain_says_goodbye() {
    let origin = Recorder::open(echo);
    let (_folder, file) = folder(&Rules::forwarding_to(origin.address()).gateway("drain = \"8s\""));
    let mut process = Process::serve(&file);
    let (mut kept, mut new) = (process.connect(), process.connect());
    kept.send("GET /1 HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(kept.read_message().head.value("connection"), None);
    process.signal("TERM");
    process.hear("draining; a second signal ends at once");
    let last = |wire: &mut Wire| {
        wire.send("GET /last HTTP/1.1\r\nHost: a\r\n\r\n");
        let answer = wire.read_message();
        assert_eq!((answer.status(), answer.head.value("connection")), (200, Some("close")));
        assert_eq!(wire.ends(), End::Closed);
    };
    last(&mut kept);
    last(&mut new);
    assert_eq!(process.ended().code(), Some(0));
}
