//! What a parallel run goes by beyond one pair: what was proved, and what was told of a version.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use figueira::evidence::{Evidence, read::pairs::Ask};
use jiff::Timestamp;

use crate::{
    harness::{
        Gateway, Rules, Site, Wire,
        gateway::{ask_admin, eventually},
    },
    modes::reported,
};

/// A service that says `ok` to everything, and of which version it is.
fn service(version: &Arc<AtomicU64>) -> Site {
    let version = Arc::clone(version);
    Site::open("127.0.0.1", move |mut wire| {
        while wire.next_message().is_some() {
            let version = version.load(Ordering::Relaxed);
            wire.send(&format!("HTTP/1.1 200 OK\r\nX-Version: {version}\r\nContent-Length: 2\r\n\r\nok"));
        }
    })
}

/// A shadow between two of these.
fn between(control: SocketAddr, candidate: SocketAddr, keys: &str, tables: &str) -> Rules {
    Rules::forwarding_to(control).tables(&format!(
        "[upstreams.other]\nurl = \"http://{candidate}\"\n{keys}\n\
         [[route]]\nname = \"orders\"\npath = \"/api/orders\"\nmode = \"shadow\"\ncandidate = \"other\"\n\
         subject = \"header:x-user\"\n{tables}"
    ))
}

/// The requests of so many users whom nobody has seen before.
fn order(client: &mut Wire, users: std::ops::Range<u32>) {
    for user in users {
        client.send(&format!("GET /api/orders HTTP/1.1\r\nHost: a\r\nX-User: {user}\r\n\r\n"));
        assert_eq!(client.read_message().body, "ok");
    }
}

/// `after_verdict`: what is proved needs fewer witnesses, in the very gateway that has proved it.
#[test]
fn once_the_verdict_is_safe_fewer_are_sampled() {
    let version = Arc::default();
    let (control, candidate) = (service(&version), service(&version));
    let rules = |after: &str| {
        let tables = format!(
            "[route.shadow]\nafter_verdict = {after}\n[route.gate]\nmax_failure_rate = 0.5\ncalibration = 0\n\
             min_subjects = 0\nmin_pairs_per_stratum = 0\nmax_latency_ratio = \"off\"\n"
        );
        between(control.address(), candidate.address(), "", &tables)
    };
    let gateway = Gateway::start(&rules("0.0"));
    let mut client = gateway.connect();
    let counted = |requests: u64, sampled: u64| {
        eventually("the counts", || {
            let counts = reported(&gateway).routes.remove(0).counts;
            let counts = (counts.requests, counts.sampled);
            if counts == (Some(requests), sampled) { Ok(()) } else { Err(counts) }
        });
    };
    order(&mut client, 0..10);
    counted(10, 10);
    eventually("the verdict", || {
        let verdict = ask_admin(gateway.admin(), "/api/routes").json()["routes"][0]["verdict"].clone();
        if verdict == "SAFE" { Ok(()) } else { Err(verdict) }
    });
    order(&mut client, 10..20);
    counted(20, 10);
    gateway.obey(&rules("1.0"));
    order(&mut client, 20..25);
    counted(25, 15);
}

/// `version_header`: another version of the candidate has to prove itself anew.
#[test]
fn another_version_of_a_candidate_begins_another_epoch() {
    let (old, version) = (Arc::default(), Arc::new(AtomicU64::new(1)));
    let (control, candidate) = (service(&old), service(&version));
    let keys = "version_header = \"x-version\"";
    let tables = "[route.gate]\ncalibration = 0\n";
    let gateway = Gateway::start(&between(control.address(), candidate.address(), keys, tables));
    let mut client = gateway.connect();
    let mut users = 0;
    let mut ordered = || {
        order(&mut client, users..users + 1);
        users += 1;
        eventually("the record", || {
            let evidence = Evidence::open(&gateway.data(), Timestamp::now()).unwrap();
            let kept = evidence.comparisons(&Ask { limit: 99, ..Ask::default() }).unwrap().len();
            if kept == users as usize { Ok(()) } else { Err(kept) }
        });
        let route = reported(&gateway).routes.remove(0);
        (route.epoch.map(|epoch| epoch.number), route.counts.trials)
    };
    // Who tells of another version is of neither.
    assert_eq!([(); 3].map(|()| ordered()), [(Some(2), 0), (Some(2), 1), (Some(2), 2)]);
    version.store(2, Ordering::Relaxed);
    assert_eq!([(); 2].map(|()| ordered()), [(Some(3), 0), (Some(3), 1)]);
    version.store(1, Ordering::Relaxed);
    assert_eq!(
        [(); 2].map(|()| ordered()),
        [(Some(2), 2), (Some(2), 3)],
        "what was proved of it is there again"
    );
}
