//! What an operator does to a running gateway, with real processes and files: brake, guard, change, broken file.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod site;

use std::{
    fs,
    io::{Read, Write},
    net::TcpListener,
    path::Path,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;
use site::{PROMPT, Site, body, certificates, told, upstream};

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
    assert_eq!(site.done(&["brake", "release", "--all", "--reason", "again"]), "nothing is held\n");

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

/// They are the gateway's: a service manager, say, has them, and the shell of whoever is called out at night has not.
#[test]
fn a_command_needs_none_of_the_gateways_secrets() {
    let hook = "[[tell]]\nurl = \"http://127.0.0.1:9/\"\nsecret = { file = \"secret\" }\n";
    let site = Site::new(upstream("200 OK", "candidate"), hook);
    let secret = site.folder.path().join("secret");
    fs::write(&secret, "hunter2").unwrap();
    let gateway = site.start();
    fs::remove_file(&secret).unwrap();
    site.done(&["brake", "set", "r", "--reason", "blank images"]);
    gateway.reaches("monolith");
    assert!(site.done(&["brake", "list"]).contains("r: held at monolith since "));
    assert!(site.done(&["routes", "list"]).contains("monolith, held"));
    assert!(site.done(&["routes", "explain", "GET", "/r"]).contains("monolith"));
    assert!(site.done(&["report"]).contains("migrated"));
    site.done(&["erase", "--tenant", "ana"]);
    site.done(&["brake", "release", "r", "--reason", "mended"]);
    gateway.reaches("candidate");
    drop(gateway);

    site.done(&["routes", "set", "r", "--mode", "monolith"]);
    assert!(site.text().contains("mode = \"monolith\" # walks"));
    // What is broken beside them is told as ever, and a start needs them.
    for command in ["check", "serve"] {
        let said = site.run(&[command]);
        assert!(String::from_utf8_lossy(&said.stderr).contains("`secret` is in the file "), "{said:?}");
    }
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

/// What was proved of one candidate beside one control, by the rules of one file, lets nobody walk to another.
#[test]
fn evidence_of_another_candidate_walks_nobody() {
    let gate = "subject = \"header:x-user\"\n[route.shadow]\nafter_verdict = 1.0\n\
                [route.gate]\nmax_failure_rate = 0.5\ncalibration = 0\nmin_subjects = 0\n\
                min_pairs_per_stratum = 0\nmax_latency_ratio = \"off\"\n";
    let candidate = upstream("200 OK", "monolith");
    let site = Site::new(candidate, gate);
    let proved = site.text().replace("\"migrated\"", "\"shadow\"");
    fs::write(site.file(), &proved).unwrap();
    let gateway = site.start();
    let verdict = || {
        let report: Value = serde_json::from_str(&site.done(&["report", "--format", "json"])).unwrap();
        report["routes"][0]["verdict"].as_str().unwrap().to_owned()
    };
    let since = Instant::now();
    let mut users = 0;
    while verdict() != "SAFE" {
        assert!(since.elapsed() < PROMPT * 5, "{}", verdict());
        (users..users + 10).for_each(|user| drop(gateway.answers_to(&format!("user{user}"))));
        users += 10;
    }

    // Whatever it answers: nothing was proved of it.
    let third = upstream("200 OK", "monolith");
    let with_third = format!("[upstreams.third]\nurl = \"http://{third}\"\n{proved}");
    let others = [
        with_third.replace("candidate = \"new\"", "candidate = \"third\""),
        with_third.replace("candidate = \"new\"", "candidate = \"new\"\nupstream = \"third\""),
        proved.replace(&candidate.to_string(), &third.to_string()),
        format!("{proved}[[route.compare.rule]]\npath = \"/a\"\nrule = \"ignore\"\nreason = \"why not\"\n"),
    ];
    let walk = ["routes", "set", "r", "--mode", "migrated"];
    for other in others.map(|other| other.replace("\"shadow\"", "\"monolith\"")) {
        fs::write(site.file(), &other).unwrap();
        gateway.says("routes.toml is in force");
        assert_eq!(verdict(), "NONE");
        let (status, problem) = gateway.admin("PATCH", "/api/routes/r", "", r#"{"mode":"migrated"}"#);
        assert_eq!(status, 409, "{problem}");
        let refused = site.run(&walk);
        let why = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(!refused.status.success() && why.contains("its verdict is NONE, not SAFE"), "{why}");
        assert_eq!(gateway.answers(), "monolith");
    }
    drop(gateway);
    assert!(!site.run(&walk).status.success(), "nor while no gateway runs");

    // What the file says again was proved.
    fs::write(site.file(), proved.replace("\"shadow\"", "\"monolith\"")).unwrap();
    assert_eq!(verdict(), "SAFE");
    site.done(&walk);
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
    let lines = gateway.started.iter().cloned().chain(gateway.log.try_iter());
    let refused = lines.filter(|line| line.to_string().contains("routes.toml:8:1")).count();
    assert_eq!(refused, 1, "the log says once where it is broken");
    assert!(Path::new(&kept).exists());
}
