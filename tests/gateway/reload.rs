//! `routes.toml` under load: a hundred edits, not one failed request, and every request under one generation of rules.

use std::{
    collections::HashMap,
    fs,
    net::{SocketAddr, TcpListener},
    path::Path,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    thread,
    time::Duration,
};

use serde_json::Value;
use tempfile::{NamedTempFile, TempDir};

use crate::harness::{
    Gateway, Origin, Process, Rules, Wire,
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
            // The guard must not pull the brake where a busy machine makes one arm wait.
            .tables(&format!(
                "[[route]]\nname = \"walking\"\npath = \"/walk/{{*rest}}\"\nmode = \"{mode}\"\n\
                 candidate = \"candidate\"\nsubject = \"header:x-subject\"\n\
                 [route.canary]\npercent = 50\n[route.shadow]\nsample = 0.0\n\
                 [route.guard]\nmax_latency_ratio = \"off\"\n"
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
/// Lets those who ask until it is over come to their end, also where the test does not come to its own.
struct Ended<'a>(&'a AtomicBool);

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        self.0.store(true, Relaxed);
    }
}

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
        let ended = Ended(over);
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
        drop(ended);
        clients.into_iter().flat_map(|client| client.join().unwrap()).collect()
    });
    assert_eq!(generation(admin), modes.len() as u64, "edits that were not broken, and the start");
    process.signal("TERM");
    assert_eq!(process.ended().code(), Some(0));

    let all =
        each_under_one_generation(&answers, &process.events(), |generation| modes.get(&generation).copied());
    assert!(all > CLIENTS * 10, "only {all} requests");
}

/// What was opened at the start stays in use, and is said to for as long as the file names something else.
#[test]
fn another_store_waits_for_the_next_start() {
    let site = Site { control: open_upstream("control"), candidate: open_upstream("candidate") };
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("routes.toml");
    save(&file, &site.rules(0, MODES[0]), 1);
    let mut process = Process::serve(&file);
    let elsewhere = "[aws]\nregion = \"sa-east-1\"\n";
    for (edit, aws) in [(1, elsewhere), (2, elsewhere), (3, "")] {
        save(&file, &(site.rules(edit, MODES[edit]) + aws), 1);
        eventually("the next generation", || {
            let now = generation(process.admin);
            if now == edit as u64 + 1 { Ok(()) } else { Err(now) }
        });
    }
    process.signal("TERM");
    process.ended();
    let waits = "another store or catalog is used from the next start on";
    let said = process.events().into_iter().filter(|event| event["message"] == waits);
    assert_eq!(said.count(), 2);
}

/// Sees that every answer is that of one mode and the fields that go with it, by what the log says of it; how many
/// there are. `modes` tells the mode of a generation, where that is known.
fn each_under_one_generation(
    answers: &[(String, String, String)],
    events: &[Value],
    modes: impl Fn(u64) -> Option<&'static str>,
) -> usize {
    let events = events.iter().filter(|event| event["message"] == "request");
    let mut logged: HashMap<&str, &Value> =
        events.map(|event| (event["request_id"].as_str().unwrap(), event)).collect();
    for (upstream, told, id) in answers {
        let event =
            logged.remove(&**id).unwrap_or_else(|| panic!("{id} left no event, or two requests share it"));
        let mode = event["mode"].as_str().unwrap();
        if let Some(known) = modes(event["generation"].as_u64().unwrap()) {
            assert_eq!(mode, known, "{event}");
        }
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
    answers.len()
}

/// P9: whatever is swapped in, a hundred times a second, the last good rules serve.
#[test]
fn a_file_swapped_a_hundred_times_a_second_fails_no_request() {
    let site = Site { control: open_upstream("control"), candidate: open_upstream("candidate") };
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("routes.toml");
    save(&file, &site.rules(0, MODES[0]), 0);
    let mut process = Process::serve(&file);
    let (address, admin) = (process.site, process.admin);
    let over = AtomicBool::new(false);
    let answers: Vec<_> = thread::scope(|scope| {
        let over = &over;
        let clients: Vec<_> =
            (0..2).map(|number| scope.spawn(move || keep_asking(address, number, over))).collect();
        let ended = Ended(over);
        for edit in 1..=200 {
            let text = site.rules(edit, MODES[edit % MODES.len()]);
            match edit % 8 {
                1 => fs::write(&file, "").unwrap(),
                3 => fs::write(&file, &text[..text.len() / 2]).unwrap(),
                5 => fs::remove_file(&file).unwrap(),
                7 => fs::File::create(&file).unwrap().set_len(1 << 30).unwrap(),
                _ => save(&file, &text, edit / 2),
            }
            // The pace, and nothing that anything waits for.
            thread::sleep(Duration::from_millis(10));
        }
        save(&file, "[monolith]\nurl = 7\n", 0);
        eventually("the refusal of the last content", || {
            let probe = ask_admin(admin, "/readyz");
            if probe.json()["rules"] == "last-good" { Ok(()) } else { Err(probe) }
        });
        save(&file, &site.rules(0, "migrated"), 1);
        eventually("the rules of the last content", || {
            let routes = ask_admin(admin, "/api/routes").json();
            let now = (
                ask_admin(admin, "/readyz").json()["rules"] == "current",
                routes["routes"][0]["mode"] == "migrated",
            );
            if now == (true, true) { Ok(()) } else { Err(routes) }
        });
        drop(ended);
        clients.into_iter().flat_map(|client| client.join().unwrap()).collect()
    });
    process.signal("TERM");
    assert_eq!(process.ended().code(), Some(0));
    each_under_one_generation(&answers, &process.events(), |_| None);
}

#[test]
fn a_thousand_routes_are_reloaded_under_load_without_a_failed_request() {
    let site = Site { control: open_upstream("control"), candidate: open_upstream("candidate") };
    let filler: Vec<String> = (0..1000)
        .map(|n| {
            let path = format!("/shop-{}/{{id}}/{n}", n % 50);
            format!("[[route]]\nname = \"r{n}\"\npath = \"{path}\"\nmode = \"monolith\"\ncandidate = \"candidate\"\n")
        })
        .collect();
    let filler = filler.concat();
    let rules = |edit: usize| site.rules(edit, MODES[edit % MODES.len()]) + &filler;
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("routes.toml");
    save(&file, &rules(0), 0);
    let mut process = Process::serve(&file);
    let (address, admin) = (process.site, process.admin);
    let over = AtomicBool::new(false);
    let answers: Vec<_> = thread::scope(|scope| {
        let over = &over;
        let clients: Vec<_> =
            (0..2).map(|number| scope.spawn(move || keep_asking(address, number, over))).collect();
        let ended = Ended(over);
        for edit in 1..=4 {
            save(&file, &rules(edit), edit);
            eventually("the next generation", || {
                let now = generation(admin);
                if now == 1 + edit as u64 { Ok(()) } else { Err(now) }
            });
        }
        drop(ended);
        clients.into_iter().flat_map(|client| client.join().unwrap()).collect()
    });
    process.signal("TERM");
    assert_eq!(process.ended().code(), Some(0));
    let mode = |generation: u64| Some(MODES[(usize::try_from(generation).unwrap() - 1) % MODES.len()]);
    each_under_one_generation(&answers, &process.events(), mode);
}

/// What a reload does not concern goes on: a connection and the answer on it, the upstream's connection, the counts.
#[test]
fn connections_pools_and_counts_survive_rules_that_do_not_concern_them() {
    let origin = Origin::open();
    let route = "[[route]]\nname = \"kept\"\npath = \"/kept\"\nmode = \"monolith\"\ncontract = \"article\"\n";
    let rules = Rules::forwarding_to(origin.address()).tables(route);
    let gateway = Gateway::start(&rules);
    let another = route.replace("kept", "another");
    let (mut client, request) = (gateway.connect(), "GET /kept HTTP/1.1\r\nHost: a\r\n\r\n");
    client.send(request);
    let mut upstream = origin.accept();
    upstream.read_message();
    upstream.send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nha");
    client.read_to("ha");
    gateway.obey(&rules.clone().tables(&another));
    upstream.send("lf");
    assert_eq!(client.read(2), "lf");

    for more in ["", &another] {
        gateway.obey(&rules.clone().gateway("via = true").tables(more));
        client.send(request);
        upstream.read_message();
        upstream.send("HTTP/1.1 204 No Content\r\n\r\n");
        assert_eq!(client.read_head().status(), 204);
    }
    assert!(origin.is_left_alone(), "one connection to the origin served them all");
    eventually("the count of all three", || {
        let metrics = ask_admin(gateway.admin(), "/metrics").body;
        let counted = |class: &str, n: u64| {
            metrics.contains(&format!(
                "figueira_route_requests_total{{route=\"kept\",arm=\"control\",class=\"{class}\"}} {n}\n"
            ))
        };
        if counted("2xx", 3) { Ok(()) } else { Err(metrics) }
    });
}
