//! The parallel run as its users do not notice it, as its operator reads it, and as the arms see it.

use std::{collections::BTreeSet, fs, net::TcpListener, thread, time::Duration};

use figueira::{
    demo::monolith::counts::Kind,
    evidence::{Evidence, read::pairs::Ask},
};
use jiff::Timestamp;
use serde_json::json;

use crate::{
    harness::{Gateway, Origin, Rules, Shop, Site, Wire, gateway::eventually, wire::Message},
    modes::{image_of, order, reported, shop_route, sign_in, small},
};

/// A route of JSON whose candidate is the upstream `other` at `candidate`.
pub(crate) fn beside(control: &Origin, candidate: &str, mode: &str, keys: &str) -> Rules {
    Rules::forwarding_to(control.address()).tables(&format!(
        "[upstreams.other]\nurl = \"http://{candidate}\"\n{keys}\n\
         [[route]]\nname = \"orders\"\nmethods = [\"POST\"]\npath = \"/api/orders\"\nmode = \"{mode}\"\n\
         candidate = \"other\"\nsubject = \"cookie:session\"\n\
         [route.shadow]\ndeadline = \"1s\"\n[route.gate]\ncalibration = 0\nper_subject = 100\n"
    ))
}

/// Two exchanges on one connection: all that both ends saw, but for the gateway's own id.
fn exchanged(rules: &Rules, control: &Origin) -> Vec<(String, Vec<String>, String, Message)> {
    exchanged_by(&Gateway::start(rules), control)
}

fn exchanged_by(gateway: &Gateway, control: &Origin) -> Vec<(String, Vec<String>, String, Message)> {
    let mut client = gateway.connect();
    let mut upstream = None;
    (0..2)
        .map(|_| {
            client.send(
                "POST /api/orders?a=%2F HTTP/1.1\r\nHost: shop.test\r\ncookie: session=s1\r\nX-Odd:  caf\u{e9}\r\n\
                 Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n\
                 6\r\n{\"prom\r\nd\r\npt\": \"a cat\"}\r\n0\r\n\r\n",
            );
            let upstream = upstream.get_or_insert_with(|| control.accept());
            let request = upstream.read_message();
            upstream.send(
                "HTTP/1.1 200 Fine\r\nX-Powered-BY: Atelier\r\nset-COOKIE: a=1\r\nSet-Cookie: b=2\r\n\
                 Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n",
            );
            for chunk in ["9\r\n{\"proces\"", "\r\n", "6\r\n: 200}\r\n", "0\r\n\r\n"] {
                upstream.send(chunk);
            }
            let answer = client.read_message();
            let fields = request.head.fields().filter(|line| !line.starts_with("x-request-id"));
            let fields = fields.map(ToOwned::to_owned).collect();
            (request.head.line().to_owned(), fields, request.body, answer)
        })
        .collect()
}

/// What it does with a connection.
type Conduct = fn(Wire);

/// Whatever the candidate does with its connections, the user's exchange is what it is without one, to the byte.
#[test]
fn whatever_becomes_of_a_candidate_the_user_gets_the_same() {
    const OK: &str =
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 16\r\n\r\n{\"proces\": 200}\n";
    let conduct: [(&str, Conduct); 7] = [
        ("fast", |mut wire| {
            while wire.next_message().is_some() {
                wire.send(OK);
            }
        }),
        ("slow", |mut wire| {
            while wire.next_message().is_some() {
                for letter in OK.chars() {
                    thread::sleep(Duration::from_millis(2));
                    wire.send(&letter.to_string());
                }
            }
        }),
        ("hanging", |mut wire| drop(wire.read_to_end())),
        ("broken", |mut wire| {
            drop(wire.next_message());
            wire.send(&OK[..60]);
        }),
        ("closing", drop),
        ("babbling", |mut wire| {
            drop(wire.next_message());
            wire.send("\0\0\0 what? \r\n\r\n\r\n");
        }),
        ("failing", |mut wire| {
            while wire.next_message().is_some() {
                wire.send("HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n");
            }
        }),
    ];
    let control = Origin::open();
    let alone = exchanged(&beside(&control, "127.0.0.1:1", "monolith", ""), &control);
    assert_eq!(alone[0].3.body, "{\"proces\": 200}");
    for (what, conduct) in conduct {
        let site = Site::open("127.0.0.1", conduct);
        let watched = exchanged(&beside(&control, &site.address().to_string(), "shadow", ""), &control);
        assert_eq!(watched, alone, "{what}");
    }
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    assert_eq!(exchanged(&beside(&control, &nobody.to_string(), "shadow", ""), &control), alone, "not there");

    let gateway = Gateway::start(&without_money(&control));
    assert_eq!(exchanged_by(&gateway, &control), alone, "out of budget");
    eventually("both records", || match reported(&gateway).routes[0].counts.skipped.get("budget") {
        Some(2) => Ok(()),
        other => Err(other.copied()),
    });
}

/// The same route with the generator for its candidate, whose provider costs more than a day may.
fn without_money(control: &Origin) -> Rules {
    Rules::forwarding_to(control.address()).tables(
        "[generator]\nprovider = \"openai\"\n[generator.openai]\nbase_url = \"http://127.0.0.1:1/v1\"\n\
         [generator.openai.models.\"gpt-image-2\"]\nprices = [{ size = \"1024x1024\", usd = 0.04 }]\n\
         [[route]]\nname = \"orders\"\nmethods = [\"POST\"]\npath = \"/api/orders\"\nmode = \"shadow\"\n\
         candidate = \"generator\"\ncontract = \"article\"\nsubject = \"cookie:session\"\n\
         [route.shadow]\nbudget_usd_per_day = 0.01\n[route.gate]\ncalibration = 0\nper_subject = 100\n",
    )
}

/// Without one rule, a first report says nothing that is not so: what the shop makes up anew each time is learned.
#[test]
fn the_first_report_is_free_of_false_alarms() {
    let shop = Shop::open();
    let gateway = Gateway::start(&shop_route(&shop, "shadow", ""));
    let mut client = gateway.connect();
    let session = sign_in(&mut client, "zoe");
    for number in 0..20 {
        image_of(&order(&mut client, &session, &small(&format!("boat {number}"))));
    }
    let sampled = |wanted: u64| {
        eventually("the last record", || {
            let report = reported(&gateway);
            if report.routes[0].counts.sampled == wanted { Ok(report) } else { Err(report) }
        })
    };
    sampled(20);
    for number in 0..9 {
        let session = sign_in(&mut client, &format!("user{number}"));
        let asked = match number % 3 {
            0 => small("a tree"),
            1 => json!({ "prompt": "two trees", "n": 2, "size": "256x256" }),
            _ => json!({ "prompt": "" }),
        };
        order(&mut client, &session, &asked);
    }
    let report = sampled(29);
    let route = &report.routes[0];
    let counts = &route.counts;
    assert_eq!(
        (counts.calibration, counts.trials, counts.matched, route.failures, route.alarms.len()),
        (20, 9, 9, 0, 0),
        "{:#?}",
        route.differences
    );
    // The shop's order number and its clock are told, and held against nobody.
    let told: BTreeSet<_> = route.differences.iter().map(|told| (&*told.path, told.severity)).collect();
    assert_eq!(told, [("/criado_em", "info"), ("/pedido", "info")].into());
    assert_eq!(
        (shop.saw(Kind::Order), counts.requests),
        (29, Some(29)),
        "requests are the monolith's own count"
    );
}

/// `reverse`: users have walked, and the monolith is still asked what it would have said.
#[test]
fn users_who_have_walked_are_still_compared() {
    let shop = Shop::open();
    let keys = "[route.shadow]\ncontrol_repeatable = true\nreverse = true\n[route.gate]\ncalibration = 3\n";
    let gateway = Gateway::start(&shop_route(&shop, "migrated", keys));
    let mut client = gateway.connect();
    let sampled = |wanted: u64| {
        eventually("the last record", || {
            let report = reported(&gateway);
            if report.routes[0].counts.sampled == wanted { Ok(report) } else { Err(report) }
        })
    };
    for number in 0..6 {
        let session = sign_in(&mut client, &format!("user{number}"));
        assert!(image_of(&order(&mut client, &session, &small("a boat"))).starts_with("fg-"));
        sampled(number + 1);
    }
    let report = reported(&gateway);
    let route = &report.routes[0];
    assert_eq!(
        (route.counts.calibration, route.counts.trials, route.counts.matched),
        (3, 3, 3),
        "{:#?}",
        route.differences
    );
    assert_eq!(shop.saw(Kind::Order), 6, "each was the shop's to answer too");
    // Both arms' images were had and looked at.
    let images = route.differences.iter().filter(|told| told.path.starts_with("image"));
    assert_eq!(images.count(), 0, "{:#?}", route.differences);
}

/// Nor does it look slow where its user is: a network that takes a second for the request and a second for the answer is
/// no second of the monolith's.
#[test]
fn a_slow_client_takes_its_own_time() {
    const BODY: usize = 8 << 20;
    const SECOND: Duration = Duration::from_secs(1);
    let (control, candidate) = (Origin::open(), Origin::open());
    let rules = beside(&control, &candidate.address().to_string(), "shadow", "");
    let gateway = Gateway::start(&rules);
    let mut client = gateway.connect();
    client.hold_little();
    client.send("POST /api/orders HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n{");
    let mut upstream = control.accept();
    upstream.read_head();
    thread::sleep(SECOND);
    client.send("}");
    assert_eq!(upstream.read(2), "{}");
    upstream.send(&format!("HTTP/1.1 200 OK\r\nContent-Length: {BODY}\r\n\r\n"));
    // More than all buffers on the way hold: it is sent when it is read.
    let sending = thread::spawn(move || drop(upstream.send_bytes(&vec![b'x'; BODY])));
    client.read_head();
    thread::sleep(SECOND);
    client.read(BODY);
    sending.join().unwrap();
    let took = eventually("the record", || {
        let evidence = Evidence::open(&gateway.data(), Timestamp::now()).unwrap();
        let found = evidence.comparisons(&Ask { limit: 9, ..Ask::default() }).unwrap();
        found.first().map(|line| (line.control.first_byte, line.control.total)).ok_or(found.len())
    });
    let (Some(first_byte), Some(total)) = took else { panic!("the control was timed") };
    assert!(first_byte < SECOND && first_byte <= total && total < SECOND, "{took:?}");
}

/// An order that the control has answered, and the connections that are open for it.
pub(crate) fn ordered(gateway: &Gateway, control: &Origin) -> (Wire, Wire) {
    let mut client = gateway.connect();
    client.send("POST /api/orders HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n{}");
    let (upstream, _) = control.serve("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}");
    client.read_message();
    (client, upstream)
}

/// A candidate that begins its answer at once and takes its time for the rest is timed so.
#[test]
fn the_head_of_a_candidates_answer_has_a_time_of_its_own() {
    let (control, candidate) = (Origin::open(), Origin::open());
    let gateway = Gateway::start(&beside(&control, &candidate.address().to_string(), "shadow", ""));
    let _open = ordered(&gateway, &control);
    let mut asked = candidate.accept();
    asked.read_message();
    asked.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n");
    thread::sleep(Duration::from_millis(50));
    asked.send("{}");
    let took = eventually("the record", || {
        let evidence = Evidence::open(&gateway.data(), Timestamp::now()).unwrap();
        let found = evidence.comparisons(&Ask { limit: 9, ..Ask::default() }).unwrap();
        found
            .into_iter()
            .find_map(|line| line.candidate)
            .and_then(|arm| arm.first_byte.zip(arm.total))
            .ok_or(())
    });
    assert!(took.0 < took.1, "{took:?}");
}

/// What another service gets of a user: the request, marked, and credentials only where its operator says so.
#[test]
fn a_shadow_is_marked_and_passes_only_the_credentials_that_it_may() {
    let control = Origin::open();
    for (pass, cookies) in [("", 0), ("pass = [\"cookie\"]", 1)] {
        let candidate = Origin::open();
        let rules = beside(&control, &candidate.address().to_string(), "shadow", pass);
        let gateway = Gateway::start(&rules);
        let mut client = gateway.connect();
        client.send(
            "POST /api/orders HTTP/1.1\r\nHost: a\r\nCookie: session=s1\r\nAuthorization: Bearer t\r\n\
             X-Forwarded-For: 6.6.6.6\r\nContent-Length: 2\r\n\r\n{}",
        );
        let (_upstream, asked) = control.serve("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}");
        client.read_message();
        let (_other, seen) = candidate.serve("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}");
        let count = |message: &Message, name: &str| message.head.values(name).len();
        assert_eq!(seen.head.values("figueira-shadow"), ["1"]);
        for told in ["x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "x-request-id"] {
            assert_eq!(seen.head.values(told), asked.head.values(told), "{told}");
        }
        assert_eq!(seen.head.values("x-forwarded-for"), ["127.0.0.1"], "whatever the client says");
        assert_eq!((count(&seen, "cookie"), count(&seen, "authorization")), (cookies, 0));
        assert_eq!((count(&asked, "figueira-shadow"), count(&asked, "cookie")), (0, 1), "the user's own");
        assert_eq!(seen.body, asked.body);
    }
}

/// `figueira replay`: what another rule, or today's candidate, makes of kept pairs is shown, and counts for nothing.
#[test]
fn previews_show_and_never_count() {
    let shop = Shop::open();
    let rule = "[[route.compare.rule]]\npath = \"/pedido\"\nrule = \"presence\"\nreason = \"the receipt prints it\"\n";
    let keys = format!("[route.gate]\ncalibration = 2\n{rule}");
    let gateway = Gateway::start(&shop_route(&shop, "shadow", &keys));
    let mut client = gateway.connect();
    for number in 0..5 {
        let session = sign_in(&mut client, &format!("user{number}"));
        image_of(&order(&mut client, &session, &small("a boat")));
        eventually("the record", || {
            let sampled = reported(&gateway).routes[0].counts.sampled;
            (sampled == number + 1).then_some(()).ok_or(sampled)
        });
    }
    let before = reported(&gateway);
    assert_eq!(
        (before.routes[0].pairs, before.routes[0].failures),
        (3, 3),
        "{:#?}",
        before.routes[0].differences
    );

    let file = gateway.file().with_file_name("without-the-rule.toml");
    fs::write(&file, shop_route(&shop, "shadow", "[route.gate]\ncalibration = 2\n").to_string()).unwrap();
    let replayed = |arguments: &[&str]| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_figueira"));
        command.args(["replay", "--route", "generate-image", "--config", file.to_str().unwrap()]);
        let output = command.args(arguments).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    for arguments in [&["--rejudge"][..], &[]] {
        let said = replayed(arguments);
        assert!(said.contains("3 kept pairs, of which 3 failed and 0 would fail now."), "{said}");
        assert_eq!(said.matches("  mismatch          match").count(), 3, "{said}");
    }
    let after = reported(&gateway);
    let (before, after) = (&before.routes[0], &after.routes[0]);
    assert_eq!((after.counts.preview, after.counts.sampled, after.failures), (6, before.counts.sampled, 3));
    assert_eq!(after.differences.len(), before.differences.len());
    assert_eq!(shop.saw(Kind::Order), 5, "the control was not asked again");
}
