//! Many clients at once: idle, slow, or more than there are descriptors for. Each costs what it has to, nobody else
//! notices, and what they cost comes back.

use std::{
    fs,
    path::PathBuf,
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tempfile::TempDir;

use crate::harness::{Origin, Process, Rules, Site, Wire, gateway::eventually, wire::End};

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;
/// Of the memory that the process holds.
const RESIDENT: &str = "process_resident_memory_bytes";
const OPEN: &str = "process_open_fds";

/// A site that answers `/large/N` with N MiB, a POST when its body has come, and all else at once.
fn site() -> Site {
    Site::open("127.0.0.1", |mut wire| {
        wire.is_patient();
        while let Some(head) = wire.next_head() {
            let line = head.line().to_owned();
            if let Some(length) = head.value("content-length").and_then(|length| length.parse().ok())
                && wire.read_exactly(length).is_none()
            {
                return;
            }
            let path = line.split(' ').nth(1).unwrap();
            let large: Option<usize> = path.strip_prefix("/large/").map(|count| count.parse().unwrap());
            let sent = match large {
                Some(count) => {
                    let body = vec![b'z'; count << 20];
                    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
                    wire.send_bytes(head.as_bytes()).and_then(|()| wire.send_bytes(&body))
                }
                None => wire.send_bytes(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"),
            };
            if sent.is_err() {
                return;
            }
        }
    })
}

fn folder(site: &Site, limits: &str) -> (TempDir, PathBuf) {
    folder_with(site, limits, "")
}

fn folder_with(site: &Site, limits: &str, monolith: &str) -> (TempDir, PathBuf) {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("routes.toml");
    let rules =
        Rules::forwarding_to(site.address()).gateway(&format!("limits = {{ {limits} }}")).monolith(monolith);
    fs::write(&file, rules.tables("[log]\nformat = \"json\"\naccess = \"off\"").to_string()).unwrap();
    (folder, file)
}

/// Each story holds one end of thousands of connections by itself.
fn allow_many() {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).unwrap();
}

/// Somebody else's request, and how long it took.
fn canary(process: &Process) -> Duration {
    let began = Instant::now();
    let mut client = process.connect();
    client.send("GET /canary HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    assert_eq!(client.read_message().status(), 200);
    began.elapsed()
}

fn canaries(process: &Process) -> Duration {
    let mut times: Vec<Duration> = (0..100).map(|_| canary(process)).collect();
    times.sort();
    times[98]
}

/// What the process holds once it has settled at or below `most`.
#[track_caller]
fn settles_below(process: &Process, most: u64) -> u64 {
    eventually("its memory back", || {
        let now = process.figure(RESIDENT);
        if now <= most { Ok(now) } else { Err(format!("{} KiB, and not {}", now / KIB, most / KIB)) }
    })
}

/// How much a story does: `tests/soak` asks for more than every run can afford.
fn told(variable: &str, otherwise: u64) -> u64 {
    std::env::var(variable).map_or(otherwise, |text| text.parse().unwrap())
}

/// P2: a connection that waits costs next to nothing, and no time of others.
#[test]
fn idle_connections_are_cheap() {
    let count = told("FIGUEIRA_IDLE", 5000);
    allow_many();
    let site = site();
    let (_folder, file) = folder(&site, "idle_timeout = \"600s\"");
    let process = Process::serve(&file);
    canaries(&process);
    let before = process.figure(RESIDENT);
    let mut idle: Vec<Wire> = (0..count).map(|_| process.connect()).collect();
    for wire in &mut idle {
        wire.send("GET /idle HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(wire.read_message().status(), 200);
    }
    // About 1 KiB each; a busy machine parks the last ones late.
    let after = settles_below(&process, before + count * 2 * KIB);
    println!("{count} idle connections: {} bytes each", after.saturating_sub(before) / count);
    canaries(&process);
    // They are connections still.
    for wire in idle.iter_mut().step_by(50) {
        wire.send("GET /again HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(wire.read_message().status(), 200);
    }
}

/// P3: heads, bodies and readers that never come to an end are closed by their limits, while all others are served.
#[test]
fn slow_clients_hurt_nobody() {
    allow_many();
    let site = site();
    let (_folder, file) = folder(&site, "head_timeout = \"4s\", body_timeout = \"4s\"");
    let process = Process::serve(&file);
    canaries(&process);
    let (before, open) = (process.figure(RESIDENT), process.figure(OPEN));

    let connect = |count: usize, said: &str| -> Vec<Wire> {
        let connected = |_| {
            let mut wire = process.connect();
            wire.hold_little();
            wire.send(said);
            wire
        };
        (0..count).map(connected).collect()
    };
    let heads = connect(1000, "GET /slow HTTP/1.1\r\nHost: a\r\nX-Slow: ");
    let bodies = connect(200, "POST /slow HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\nslow");
    let readers = connect(200, "GET /large/8 HTTP/1.1\r\nHost: a\r\n\r\n");
    canaries(&process);

    for mut wire in heads.into_iter().chain(bodies) {
        wire.read_message().is_problem(408);
        assert_eq!(wire.ends(), End::Closed);
    }
    // Who does not read cannot see that nobody waits for it any more.
    eventually("its descriptors back", || {
        let now = process.figure(OPEN);
        if now <= open + 20 { Ok(()) } else { Err(now) }
    });
    canaries(&process);
    drop(readers);
    // Of what was freed the allocator keeps some until it is needed again.
    settles_below(&process, before + before / 10 + 24 * MIB);
}

/// After many large answers at once the process holds about as much as before.
#[test]
fn memory_comes_back_after_a_burst() {
    const CLIENTS: usize = 30;
    let site = site();
    // A kept connection keeps its buffers.
    let (_folder, file) = folder_with(&site, "", "idle_connection_timeout = \"1s\"");
    let process = Process::serve(&file);
    canaries(&process);
    let address = process.site;
    let burst = |each: usize| {
        thread::scope(|scope| {
            for _ in 0..CLIENTS {
                scope.spawn(move || {
                    let mut client = Wire::connect(address);
                    for _ in 0..each {
                        client.send("GET /large/1 HTTP/1.1\r\nHost: a\r\n\r\n");
                        assert_eq!(client.read_head().status(), 200);
                        assert!(client.read_exactly(1 << 20).is_some());
                    }
                });
            }
        });
    };
    // The first one finds out how much is needed at once.
    burst(10);
    let before = process.figure(RESIDENT);
    burst(50);
    settles_below(&process, before + before / 10);
}

/// P15: requests of every kind, one after the other, leave nothing behind, and nothing panics.
#[test]
fn memory_stays_level() {
    const CLIENTS: u64 = 8;
    const ROUNDS: u64 = 10;
    let count = told("FIGUEIRA_SOAK", 10_000);
    let site = site();
    let (_folder, file) = folder(&site, "");
    let mut process = Process::serve(&file);
    let address = process.site;
    let ask = move |number: u64, client: &mut Wire| {
        let (said, status) = match number % 8 {
            0 => ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello".to_owned(), 200),
            1 => (format!("GET /{number}?{number} HTTP/1.1\r\nHost: a\r\nX-Own: {number}\r\n\r\n"), 200),
            2 => ("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".to_owned(), 200),
            3 => ("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n".to_owned(), 400),
            _ => (format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", number % 100), 200),
        };
        client.send(&said);
        let answer = client.read_message();
        assert_eq!(answer.status(), status, "{said}");
        if answer.head.value("connection") == Some("close") {
            *client = Wire::connect(address);
        }
    };
    let mut held = Vec::new();
    for round in 0..ROUNDS {
        thread::scope(|scope| {
            for client in 0..CLIENTS {
                scope.spawn(move || {
                    let mut wire = Wire::connect(address);
                    for number in 0..count / ROUNDS / CLIENTS {
                        ask(round + client + number, &mut wire);
                    }
                });
            }
        });
        held.push(process.figure(RESIDENT));
    }
    // The first rounds find out how much is needed at once.
    let (first, last) = (held[2], held[held.len() - 1]);
    assert!(last <= first + first / 10, "it grows: {held:?}");
    println!("{count} requests: {} KiB after the third part, {} KiB at the end", first / KIB, last / KIB);
    process.signal("TERM");
    assert_eq!(process.ended().code(), Some(0));
    let panics: Vec<_> = process.events().into_iter().filter(|event| event["message"] == "panic").collect();
    assert!(panics.is_empty(), "{panics:?}");
}

/// `accept(2)` that fails for lack of descriptors: no busy loop, one line, and service as soon as there are some again.
#[test]
fn running_out_of_descriptors_is_survived() {
    let site = site();
    let (_folder, file) = folder(&site, "connections = 4000");
    let process = Process::serve_with_few(&file, 160);
    let mut crowd: Vec<Wire> = (0..300).map(|_| process.connect()).collect();
    let failures = "cannot accept connections; trying again until it can";
    process.hear(failures);
    let (began, busy) = (Instant::now(), process.busy());
    // Its connection stands in the kernel's queue; nobody can take it.
    let mut waiting = process.connect();
    waiting.send("GET /waiting HTTP/1.1\r\nHost: a\r\n\r\n");
    // Whoever leaves makes room for one more, and that is no end of it.
    drop(crowd.drain(..20));
    thread::sleep(Duration::from_secs(1));
    let spent = process.busy().saturating_sub(busy);
    assert!(spent < began.elapsed() / 4, "busy for {spent:?} in {:?}", began.elapsed());
    assert!(waiting.is_silent());
    drop(crowd);
    assert_eq!(waiting.read_message().status(), 200);
    process.hear("connections are accepted again");
    assert!(process.figure("figueira_accept_failures_total") > 0);
    canary(&process);
    process.signal("TERM");
    let told = process.events().into_iter().filter(|event| event["message"] == failures).count();
    assert_eq!(told, 0, "it was told again");
}

/// Descriptors that are only kept for later, by connections to the upstream, are who comes now's.
#[test]
fn what_is_idle_gives_its_descriptors_up() {
    const DESCRIPTORS: u32 = 200;
    const KEPT: u64 = 60;
    const MORE: u64 = 20;
    let site = site();
    let (_folder, file) = folder(&site, "connections = 4000");
    let process = Process::serve_with_few(&file, DESCRIPTORS);
    let before = process.figure(OPEN);
    let ask = |said: &str| {
        let mut wire = process.connect();
        wire.send(said);
        wire
    };
    let uploads: Vec<Wire> =
        (0..KEPT).map(|_| ask("POST /up HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhello")).collect();
    eventually("a connection for each", || {
        let open = process.figure(OPEN);
        if open >= before + 2 * KEPT { Ok(()) } else { Err(open) }
    });
    for mut upload in uploads {
        upload.send("world");
        assert_eq!(upload.read_message().status(), 200);
    }
    let open = eventually("its clients gone", || {
        let open = process.figure(OPEN);
        if open < before + KEPT + MORE { Ok(open) } else { Err(open) }
    });
    let come = |_| {
        let mut wire = ask("GET /now HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(wire.read_message().status(), 200);
        wire
    };
    let crowd: Vec<Wire> = (0..u64::from(DESCRIPTORS) - open + MORE).map(come).collect();
    drop(crowd);
    assert!(process.figure("figueira_accept_failures_total") > 0);
}

/// What the gateway lacks is no fault of the monolith's: it stays in service, and answers as soon as there is a socket.
#[test]
fn running_out_of_descriptors_takes_no_upstream_out() {
    let site = site();
    let monolith = "eject = { consecutive_errors = 1, for = \"1m\" }\n\
                    health = { path = \"/up\", every = \"20ms\", fall = 5, rise = 1 }";
    let (_folder, file) = folder_with(&site, "connections = 4000", monolith);
    let process = Process::serve_with_few(&file, 160);
    let ask = |client: &mut Wire| client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    let mut first: Vec<Wire> = (0..8).map(|_| process.connect()).collect();
    for client in &mut first {
        ask(client);
        assert_eq!(client.read_message().status(), 200);
    }
    let crowd: Vec<Wire> = (0..300).map(|_| process.connect()).collect();
    process.hear("cannot accept connections; trying again until it can");
    // All at once, for whom there are not as many connections.
    first.iter_mut().for_each(ask);
    for client in &mut first {
        assert!([200, 502].contains(&client.read_message().status()));
    }
    // Some checks find no socket meanwhile.
    thread::sleep(Duration::from_millis(500));
    drop(crowd);
    eventually("its clients gone", || {
        let open = process.figure(OPEN);
        if open < 100 { Ok(()) } else { Err(open) }
    });
    canary(&process);
    process.signal("TERM");
    let events = process.events();
    for out in ["an address is ejected: requests got no answers", "an address is down: its checks fail"] {
        assert!(events.iter().all(|event| event["message"] != out), "{events:?}");
    }
}

/// P10: uploads, downloads and tunnels by the dozen finish within the drain.
#[test]
fn a_drain_finishes_a_crowd() {
    const EACH: usize = 50;
    let origin = Origin::open();
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("routes.toml");
    let rules = Rules::forwarding_to(origin.address()).gateway("drain = \"20s\"");
    fs::write(&file, rules.tables("[log]\nformat = \"json\"").to_string()).unwrap();
    let mut process = Process::serve(&file);
    let begin = |said: &str, reaches: &str| {
        let mut client = process.connect();
        client.send(said);
        let mut upstream = origin.accept();
        upstream.read_to(reaches);
        (client, upstream)
    };
    let mut uploads: Vec<_> = (0..EACH)
        .map(|_| begin("POST /up HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhello", "hello"))
        .collect();
    let mut downloads: Vec<_> = (0..EACH)
        .map(|_| {
            let (mut client, mut upstream) = begin("GET /down HTTP/1.1\r\nHost: a\r\n\r\n", "\r\n\r\n");
            upstream.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello");
            client.read_to("hello");
            (client, upstream)
        })
        .collect();
    let mut tunnels: Vec<_> = (0..10)
        .map(|_| {
            let asked = "GET /chat HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
            let (mut client, mut upstream) = begin(asked, "\r\n\r\n");
            upstream.send(
                "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
            );
            assert_eq!(client.read_head().status(), 101);
            (client, upstream)
        })
        .collect();
    process.signal("TERM");
    process.hear("draining; a second signal ends at once");
    for (client, upstream) in &mut uploads {
        client.send("world");
        assert_eq!(upstream.read(5), "world");
        upstream.send("HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n");
        assert_eq!(client.read_message().status(), 201);
    }
    for (client, upstream) in &mut downloads {
        upstream.send("world");
        assert_eq!(client.read(5), "world");
    }
    for (client, upstream) in &mut tunnels {
        client.send("ping");
        assert_eq!(upstream.read(4), "ping");
        upstream.send("pong");
        assert_eq!(client.read(4), "pong");
    }
    drop(tunnels);
    assert_eq!(process.ended().code(), Some(0));
}
