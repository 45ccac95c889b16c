//! A monolith that fails in any phase, again and again, and one that is killed and started again under load.

use std::{
    collections::HashMap,
    net::{SocketAddr, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
    },
    thread,
    time::{Duration, Instant},
};

use socket2::{Domain, SockAddr, Socket, Type};
use tempfile::TempDir;

use crate::harness::{
    Gateway, Process, Rules, Site, Wire,
    gateway::{ask_admin, eventually},
    modern::{Manners, Modern, whole},
};

/// A socket on loopback, not listening.
fn bound() -> (Socket, SocketAddr) {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&SockAddr::from(SocketAddr::from(([127, 0, 0, 1], 0)))).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    (socket, address)
}

/// Fails as the target of its request says.
fn fails(mut wire: Wire, unread: &Mutex<Vec<Wire>>) {
    let target = wire.read_to("\r\n");
    let phase = target.split(' ').nth(1).unwrap();
    if phase == "/never-reads" {
        wire.hold_little();
        return unread.lock().unwrap().push(wire);
    }
    wire.read_head();
    match phase {
        // A connection is good for one request here.
        "/well" => {
            return wire.send("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 4\r\n\r\nwell");
        }
        "/hangs" => {}
        "/hangs-after-head" => wire.send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n"),
        "/cut" => return wire.send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly a part"),
        "/cut-chunk" => {
            return wire.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\npart\r\n");
        }
        "/resets" => return wire.reset(),
        "/resets-in-body" => {
            wire.send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly a part");
            return wire.reset();
        }
        "/breaks-off" => return wire.send("HTTP/1.1 200 OK\r\nContent-Len"),
        other => panic!("{other} is no phase"),
    }
    // Whoever gives up closes.
    while wire.next_message().is_some() {}
}

/// What a client gets of each phase; of those that begin well, never all.
const PHASES: [(&str, &[u16]); 10] = [
    ("/refuses", &[502]),
    ("/is-full", &[504]),
    ("/hangs", &[504]),
    ("/never-reads", &[504]),
    ("/resets", &[502]),
    ("/breaks-off", &[502]),
    ("/hangs-after-head", &[200]),
    ("/cut", &[200]),
    ("/cut-chunk", &[200]),
    ("/resets-in-body", &[200]),
];

fn meets(gateway: SocketAddr, phase: &str, statuses: &[u16]) {
    let mut client = Wire::connect(gateway);
    let began = Instant::now();
    if phase == "/never-reads" {
        const MUCH: usize = 8 << 20;
        client.send(&format!("POST {phase} HTTP/1.1\r\nHost: a\r\nContent-Length: {MUCH}\r\n\r\n"));
        let mut upload = client.twin();
        // Whoever answers before its end may stop reading it.
        thread::spawn(move || {
            let piece = "x".repeat(64 << 10);
            (0..MUCH / piece.len()).all(|_| upload.send_in_vain(&piece).is_ok())
        });
    } else {
        client.send(&format!("GET {phase} HTTP/1.1\r\nHost: a\r\n\r\n"));
    }
    let head = client.read_head();
    assert!(statuses.contains(&head.status()), "{phase}: {head}");
    if head.status() == 200 {
        let (body, _) = client.read_to_end();
        assert!(
            body.len() < 100 && !body.ends_with("0\r\n\r\n"),
            "{phase} was ended as if it were whole: {body:?}"
        );
    }
    assert!(began.elapsed() < Duration::from_secs(8), "{phase} took {:?}", began.elapsed());
}

fn figure(admin: SocketAddr, name: &str) -> f64 {
    let metrics = ask_admin(admin, "/metrics").body;
    let line = metrics.lines().find(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(' ')));
    let value = line.unwrap_or_else(|| panic!("no {name} in {metrics}")).rsplit(' ').next().unwrap();
    value.parse().unwrap()
}

/// P5: 502 or 504 in time, never a cut body as a whole one; descriptors and memory stay level.
#[test]
fn a_monolith_that_fails_in_any_phase_costs_its_own_requests_and_nothing_else() {
    const ROUNDS: usize = 6;
    let unread = Arc::new(Mutex::new(Vec::new()));
    let site = {
        let unread = unread.clone();
        Site::open("127.77.0.5", move |wire| fails(wire, &unread))
    };
    let (_refusing, refuses) = bound();
    let (full, is_full) = bound();
    full.listen(0).unwrap();
    let one_more = || TcpStream::connect_timeout(&is_full, Duration::from_millis(200)).ok();
    let _filled: Vec<_> = std::iter::from_fn(one_more).collect();

    let impatient = "connect_timeout = \"2s\"\nfirst_byte_timeout = \"2s\"\n";
    let route = |name: &str| {
        format!(
            "[[route]]\nname = \"{name}\"\npath = \"/{name}\"\nmode = \"migrated\"\ncandidate = \"{name}\"\n\
             fallback = \"never\"\n"
        )
    };
    let rules = Rules::forwarding_to(site.address()).monolith(impatient).tables(&format!(
        "[gateway.limits]\nbody_timeout = \"800ms\"\n[log]\nformat = \"json\"\naccess = \"off\"\n\
         [upstreams.refuses]\nurl = \"http://{refuses}\"\n{impatient}\
         [upstreams.is-full]\nurl = \"http://{is_full}\"\n{impatient}\n{}{}",
        route("refuses"),
        route("is-full")
    ));
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("routes.toml");
    std::fs::write(&file, rules.to_string()).unwrap();
    let gateway = Process::serve(&file);

    let round = || {
        thread::scope(|scope| {
            for (phase, statuses) in PHASES {
                scope.spawn(move || meets(gateway.site, phase, statuses));
            }
        });
        unread.lock().unwrap().clear();
        let mut canary = gateway.connect();
        canary.send("GET /well HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        assert_eq!(canary.read_message().body, "well");
    };
    let (fds, memory) = ("process_open_fds", "process_resident_memory_bytes");
    // The first ones make what is kept: threads, buffers, tables.
    (0..2).for_each(|_| round());
    let (fds_before, memory_before) = (figure(gateway.admin, fds), figure(gateway.admin, memory));
    (0..ROUNDS).for_each(|_| round());
    eventually("the level of descriptors", || {
        let now = figure(gateway.admin, fds);
        if now <= fds_before + 2.0 { Ok(()) } else { Err(format!("{now}, {fds_before} before")) }
    });
    let grown = figure(gateway.admin, memory) - memory_before;
    assert!(grown < 16e6, "{grown} bytes more after {ROUNDS} rounds");
}

/// Reads the serial number of each request, and answers.
fn counts(mut wire: Wire, seen: &Seen) {
    while let Some(request) = wire.next_message() {
        let serial = request.head.value("x-serial").unwrap().parse().unwrap();
        *seen.lock().unwrap().entry(serial).or_default() += 1;
        let answer =
            format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{serial}", serial.to_string().len());
        if wire.send_in_vain(&answer).is_err() {
            return;
        }
    }
}

/// How often each serial number was seen.
type Seen = Arc<Mutex<HashMap<u64, u64>>>;

/// What becomes of a monolith.
#[derive(Clone, Copy)]
enum Fate {
    Killed,
    Reopened,
}

/// Clients send serial numbers while the monolith meets its `fate`, again and again: no number may be seen twice, and
/// every answer is of its own request.
fn are_sent_once(gateway: &Gateway, seen: &Seen, mut fate: impl FnMut(Fate)) {
    const KILLS: usize = 20;
    const CLIENTS: usize = 8;
    let (serials, good, bad) = (AtomicU64::new(1), AtomicU64::new(0), AtomicU64::new(0));
    let over = AtomicBool::new(false);
    let client = |method: &str| {
        let mut done = Vec::new();
        let mut wire = gateway.connect();
        while !over.load(SeqCst) {
            let serial = serials.fetch_add(1, SeqCst);
            let body = if method == "POST" { "pay" } else { "" };
            let length = body.len();
            let asked = wire.send_in_vain(&format!(
                "{method} /pay HTTP/1.1\r\nHost: a\r\nX-Serial: {serial}\r\nContent-Length: {length}\r\n\r\n{body}"
            ));
            match asked.ok().and_then(|()| wire.next_message()) {
                Some(answer) if answer.status() == 200 => {
                    assert_eq!(answer.body, serial.to_string(), "the answer to another request");
                    done.push(serial);
                    good.fetch_add(1, SeqCst);
                }
                Some(answer) => {
                    assert!([502, 504].contains(&answer.status()), "{answer:?}");
                    bad.fetch_add(1, SeqCst);
                }
                None => {
                    bad.fetch_add(1, SeqCst);
                    wire = gateway.connect();
                }
            }
        }
        done
    };
    let done: Vec<u64> = thread::scope(|scope| {
        let client = &client;
        let clients: Vec<_> = (0..CLIENTS)
            .map(|number| {
                // What may be repeated (RFC 9110, 9.2.2) is not safe for that.
                let method = ["DELETE", "POST", "PATCH", "POST"][number % 4];
                scope.spawn(move || client(method))
            })
            .collect();
        let more = |count: &AtomicU64, what| {
            let before = count.load(SeqCst);
            eventually(what, || if count.load(SeqCst) >= before + 10 { Ok(()) } else { Err(before) });
        };
        for _ in 0..KILLS {
            more(&good, "answers");
            fate(Fate::Killed);
            more(&bad, "failures");
            fate(Fate::Reopened);
        }
        more(&good, "answers");
        over.store(true, SeqCst);
        clients.into_iter().flat_map(|client| client.join().unwrap()).collect()
    });
    let seen = seen.lock().unwrap();
    let twice: Vec<_> = seen.iter().filter(|(_, times)| **times > 1).collect();
    assert!(twice.is_empty(), "sent more than once: {twice:?}");
    assert!(done.iter().all(|serial| seen.contains_key(serial)), "answered and never asked");
    assert!(done.len() >= KILLS * 10, "{} of {} were answered", done.len(), serials.load(SeqCst));
}

/// P7.
#[test]
fn no_unsafe_request_is_sent_twice_to_a_monolith_that_is_killed_again_and_again() {
    let seen = Seen::default();
    let mut site = {
        let seen = seen.clone();
        Site::open("127.77.0.7", move |wire| counts(wire, &seen))
    };
    let gateway = Gateway::start(&Rules::forwarding_to(site.address()));
    are_sent_once(&gateway, &seen, |fate| match fate {
        Fate::Killed => site.kill(),
        Fate::Reopened => site.reopen(),
    });
}

/// The same where many exchanges share the connection that breaks.
#[test]
fn nor_one_that_speaks_http2() {
    let seen = Seen::default();
    let open = |address| {
        let seen = seen.clone();
        Modern::open_at(address, Manners::default(), move |request, mut respond| {
            let seen = seen.clone();
            async move {
                let serial = request.headers()["x-serial"].to_str().unwrap().to_owned();
                *seen.lock().unwrap().entry(serial.parse().unwrap()).or_default() += 1;
                // The gateway may have given up.
                if whole(request.into_body()).await.is_ok()
                    && let Ok(mut stream) = respond.send_response(http::Response::new(()), false)
                {
                    stream.send_data(serial.into(), true).ok();
                }
            }
        })
    };
    let mut site = Some(open(SocketAddr::from(([127, 77, 0, 8], 0))));
    let address = site.as_ref().unwrap().address();
    let gateway = Gateway::start(&Rules::forwarding_to(address).monolith("h2 = \"prior-knowledge\""));
    are_sent_once(&gateway, &seen, |fate| match fate {
        Fate::Killed => site = None,
        Fate::Reopened => site = Some(open(address)),
    });
}
