//! `routes.toml` under load: a hundred edits, not one failed request, and every request under one generation of rules.

use std::{
    collections::HashMap,
    fs,
    net::{SocketAddr, TcpListener},
    path::Path,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    thread,
};

use serde_json::Value;
use tempfile::{NamedTempFile, TempDir};

use crate::harness::{
    Process, Rules, Wire,
    gateway::{ask_admin, eventually, generation},
};

const CLIENTS: usize = 200;
const EDITS: usize = 100;
const MODES: [&str; 4] = ["monolith", "shadow", "canary", "migrated"];

/// What each mode goes with: fields that requests gain then, so that a request under two generations would show.
fn forwarded(mode: &str) -> &'static str {
    match mode {
        "monolith" => "x-forwarded",
        "shadow" => "both",
        "canary" => "off",
        _ => "forwarded",
    }
}

/// An upstream that says who it is and what it was told: `name`, fields gained, the request's id.
fn open_upstream(name: &'static str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut wire = Wire::new(stream.unwrap());
            thread::spawn(move || {
                while let Some(head) = wire.next_head() {
                    let told = match (head.value("x-forwarded-for"), head.value("forwarded")) {
                        (Some(_), None) => "x-forwarded",
                        (None, Some(_)) => "forwarded",
                        (Some(_), Some(_)) => "both",
                        (None, None) => "off",
                    };
                    let body = format!("{name} {told} {}", head.value("x-request-id").unwrap_or("-"));
                    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
                    if wire.send_in_vain(&(head + &body)).is_err() {
                        return;
                    }
                }
            });
        }
    });
    address
}

/// Two upstreams and the route between them.
struct Site {
    control: SocketAddr,
    candidate: SocketAddr,
}

impl Site {
    /// The rules of edit number `edit`, in `mode`.
    fn rules(&self, edit: usize, mode: &str) -> String {
        let rules = Rules::forwarding_to(self.control)
            .gateway(&format!("forwarded = \"{}\"", forwarded(mode)))
            .monolith("idle_connection_timeout = \"5s\"")
            .tables("[log]\nformat = \"json\"\n")
            .tables(&format!("[upstreams.candidate]\nurl = \"http://{}\"\n", self.candidate))
            .tables(&format!(
                "[[route]]\nname = \"walking\"\npath = \"/walk/{{*rest}}\"\nmode = \"{mode}\"\n\
                 candidate = \"candidate\"\nsubject = \"header:x-subject\"\n\
                 [route.canary]\npercent = 50\n[route.shadow]\nsample = 0.01\n"
            ));
        format!("# edit {edit}\n{rules}")
    }
}

/// Saves as editors do: in place, or by renaming a new file over the old.
fn save(file: &Path, text: &str, edit: usize) {
    if edit.is_multiple_of(2) {
        fs::write(file, text).unwrap();
    } else {
        let new = NamedTempFile::new_in(file.parent().unwrap()).unwrap();
        fs::write(new.path(), text).unwrap();
        new.persist(file).unwrap();
    }
}

/// One client's requests until the end, each answered 200: upstream and fields gained, by request id.
fn keep_asking(site: SocketAddr, number: usize, over: &AtomicBool) -> Vec<(String, String, String)> {
    let mut client = Wire::connect(site);
    let mut answers = Vec::new();
    while !over.load(Relaxed) {
        client.send(&format!("GET /walk/{number} HTTP/1.1\r\nHost: a\r\nX-Subject: {number}\r\n\r\n"));
        let answer = client.read_message();
        assert_eq!(answer.status(), 200, "{answer:?}");
        let mut words = answer.body.split(' ').map(ToOwned::to_owned);
        let mut word = || words.next().unwrap();
        answers.push((word(), word(), word()));
    }
    answers
}

/// P9.
#[test]
fn no_request_fails_and_none_sees_two_generations() {
    let site = Site { control: open_upstream("control"), candidate: open_upstream("candidate") };
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("routes.toml");
    save(&file, &site.rules(0, MODES[0]), 0);
    let mut process = Process::serve(&file);
    let (address, admin) = (process.site, process.admin);

    let over = AtomicBool::new(false);
    let mut modes = HashMap::from([(1, MODES[0])]);
    let answers: Vec<_> = thread::scope(|scope| {
        let over = &over;
        let clients: Vec<_> =
            (0..CLIENTS).map(|number| scope.spawn(move || keep_asking(address, number, over))).collect();
        for edit in 1..=EDITS {
            let before = generation(admin);
            if edit.is_multiple_of(5) {
                save(&file, &site.rules(edit, "sideways"), edit);
                eventually("the refusal of a broken file", || {
                    let probe = ask_admin(admin, "/readyz");
                    if probe.json()["rules"] == "last-good" { Ok(()) } else { Err(probe) }
                });
                assert_eq!(ask_admin(admin, "/readyz").status(), 200, "last good rules are good rules");
                assert_eq!(generation(admin), before);
            } else {
                let mode = MODES[edit % MODES.len()];
                save(&file, &site.rules(edit, mode), edit);
                eventually("the next generation", || {
                    let now = generation(admin);
                    if now == before + 1 { Ok(()) } else { Err(now) }
                });
                modes.insert(before + 1, mode);
            }
        }
        over.store(true, Relaxed);
        clients.into_iter().flat_map(|client| client.join().unwrap()).collect()
    });
    assert_eq!(generation(admin), modes.len() as u64, "edits that were not broken, and the start");
    process.signal("TERM");
    assert_eq!(process.ended().code(), Some(0));

    let events = process.events();
    let events = events.iter().filter(|event| event["message"] == "request");
    let mut logged: HashMap<&str, &Value> =
        events.map(|event| (event["request_id"].as_str().unwrap(), event)).collect();
    for (upstream, told, id) in &answers {
        let event =
            logged.remove(&**id).unwrap_or_else(|| panic!("{id} left no event, or two requests share it"));
        let mode = modes[&event["generation"].as_u64().unwrap()];
        assert_eq!(event["mode"], mode, "{event}");
        assert_eq!(event["answered_by"], **upstream, "{event}");
        assert_eq!(told, forwarded(mode), "{event}");
        match mode {
            "monolith" | "shadow" => assert_eq!(upstream, "control", "{event}"),
            "migrated" => assert_eq!(upstream, "candidate", "{event}"),
            _ => {}
        }
        assert_eq!(event["status"], 200, "{event}");
    }
    assert!(logged.is_empty(), "events of nobody's requests: {logged:?}");
    assert!(answers.len() > CLIENTS * 10, "only {} requests", answers.len());
}
