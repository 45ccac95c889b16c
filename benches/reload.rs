//! What a saved change of 1,000 routes costs those who are being served: how long until it is in force, how many
//! requests fail meanwhile, and how much longer the others take.
#![expect(
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a bench may stop where its premises fail, and prints"
)]

use std::{
    fmt::Write as _,
    fs,
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    path::Path,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    thread,
    time::{Duration, Instant},
};

use figueira::{
    app::{App, Inheritance, Source},
    config,
    shutdown::Shutdown,
};

const ROUTES: usize = 1_000;
const CLIENTS: usize = 16;
const EDITS: usize = 50;
/// Between an edit that is in force and the next one.
const CALM: Duration = Duration::from_millis(200);

fn main() {
    let upstreams = ["a", "b"].map(upstream);
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("routes.toml");
    save(&file, &rules(&upstreams, "a"));
    let config = config::load(&file).expect("a right file");
    let app = App::build(config, Source::File(file.clone()), Inheritance::default()).expect("a gateway");
    let site = *app.addresses().listen.first().expect("an address");
    let shutdown = Shutdown::default();

    let (over, reloading) = (AtomicBool::new(false), AtomicBool::new(false));
    thread::scope(|scope| {
        let running = scope.spawn(|| app.run(&shutdown));
        let clients: Vec<_> = (0..CLIENTS)
            .map(|n| {
                let (over, reloading) = (&over, &reloading);
                thread::Builder::new()
                    .spawn_scoped(scope, move || keep_asking(site, n, over, reloading))
                    .expect("a thread")
            })
            .collect();
        let mut to_effect: Vec<Duration> = (1..=EDITS)
            .map(|edit| {
                thread::sleep(CALM);
                let name = if edit.is_multiple_of(2) { "a" } else { "b" };
                let text = rules(&upstreams, name);
                reloading.store(true, Relaxed);
                let took = effect(site, &file, &text, name);
                reloading.store(false, Relaxed);
                took
            })
            .collect();
        over.store(true, Relaxed);
        let mut tally = Tally::default();
        for client in clients {
            tally.add(client.join().expect("a client"));
        }
        shutdown.begin();
        running.join().expect("a thread").expect("a run");

        println!("{ROUTES} routes, {EDITS} edits, {CLIENTS} clients that ask all the time");
        println!("  save to effect       {}", percentiles(&mut to_effect));
        println!(
            "  requests             {} answered, {} failed",
            tally.calm.len() + tally.busy.len(),
            tally.failed
        );
        println!("  latency, calm        {}", percentiles(&mut tally.calm));
        println!("  latency, reloading   {}", percentiles(&mut tally.busy));
        assert_eq!(tally.failed, 0, "no request may fail");
    });
}

/// What clients saw.
#[derive(Default)]
struct Tally {
    calm: Vec<Duration>,
    /// Of requests during which a reload was under way.
    busy: Vec<Duration>,
    failed: usize,
}

impl Tally {
    fn add(&mut self, other: Self) {
        self.calm.extend(other.calm);
        self.busy.extend(other.busy);
        self.failed += other.failed;
    }
}

/// Of which `probe` goes to the upstream `name`.
fn rules(upstreams: &[SocketAddr; 2], name: &str) -> String {
    let [a, b] = upstreams;
    let mut text = format!(
        "[gateway]\nlisten = \"127.0.0.1:0\"\nadmin = \"off\"\n[monolith]\nurl = \"http://{a}\"\n\
         [upstreams.a]\nurl = \"http://{a}\"\n[upstreams.b]\nurl = \"http://{b}\"\n\
         [[route]]\nname = \"probe\"\npath = \"/probe\"\nmode = \"monolith\"\nupstream = \"{name}\"\ncontract = \"article\"\n"
    );
    for n in 1..ROUTES {
        let path =
            if n.is_multiple_of(2) { format!("/shop-{}/{{id}}/{n}", n % 50) } else { format!("/page-{n}") };
        writeln!(
            text,
            "[[route]]\nname = \"r{n}\"\npath = \"{path}\"\nmode = \"monolith\"\ncontract = \"article\""
        )
        .expect("room");
    }
    text
}

/// Renames a new file over the old, as editors and deployments do.
fn save(file: &Path, text: &str) {
    let new = file.with_extension("new");
    fs::write(&new, text).expect("a written file");
    fs::rename(new, file).expect("a renamed file");
}

/// Saves `text`; how long it takes until `name` answers.
fn effect(site: SocketAddr, file: &Path, text: &str, name: &str) -> Duration {
    let mut probe = TcpStream::connect(site).expect("a connection");
    let saved = Instant::now();
    save(file, text);
    while ask(&mut probe, "/probe").as_deref() != Some(name) {}
    saved.elapsed()
}

fn keep_asking(site: SocketAddr, number: usize, over: &AtomicBool, reloading: &AtomicBool) -> Tally {
    let mut client = TcpStream::connect(site).expect("a connection");
    let mut tally = Tally::default();
    for n in (0..).map(|turn| (number + turn * CLIENTS) % ROUTES) {
        if over.load(Relaxed) {
            break;
        }
        let (began, was_reloading) = (Instant::now(), reloading.load(Relaxed));
        let answer = ask(&mut client, &format!("/page-{n}"));
        let took = began.elapsed();
        match answer {
            None => {
                tally.failed += 1;
                client = TcpStream::connect(site).expect("a connection");
            }
            Some(_) if was_reloading || reloading.load(Relaxed) => tally.busy.push(took),
            Some(_) => tally.calm.push(took),
        }
    }
    tally
}

/// The body of a 200, which is one byte long.
fn ask(connection: &mut TcpStream, path: &str) -> Option<String> {
    connection.write_all(format!("GET {path} HTTP/1.1\r\nHost: site\r\n\r\n").as_bytes()).ok()?;
    let mut answer = Vec::new();
    let mut piece = [0; 1024];
    loop {
        let read = connection.read(&mut piece).ok().filter(|read| *read > 0)?;
        answer.extend_from_slice(piece.get(..read)?);
        let text = str::from_utf8(&answer).ok()?;
        if let Some((head, body)) = text.split_once("\r\n\r\n")
            && !body.is_empty()
        {
            return head.starts_with("HTTP/1.1 200 ").then(|| body.to_owned());
        }
    }
}

/// An upstream that answers with its name.
fn upstream(name: &'static str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{name}", name.len());
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let answer = answer.clone();
            thread::spawn(move || {
                let mut request = [0; 4096];
                // A head without a body is one read here.
                while stream.read(&mut request).is_ok_and(|read| read > 0) {
                    if stream.write_all(answer.as_bytes()).is_err() {
                        return;
                    }
                }
            });
        }
    });
    address
}

fn percentiles(times: &mut [Duration]) -> String {
    times.sort_unstable();
    let at = |percent: usize| times.get((times.len() * percent / 100).min(times.len().saturating_sub(1)));
    let show =
        |percent| at(percent).map_or_else(String::new, |time| format!("{:.2} ms", time.as_secs_f64() * 1e3));
    format!("p50 {}, p99 {}, most {}", show(50), show(99), show(100))
}
