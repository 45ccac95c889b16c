//! No sequence of bytes makes one request two, or reaches an upstream malformed (RFC 9112, 11.2).
//!
//! Requests and responses of every kind that is known to confuse are broken at random, from a seed, and sent. What then
//! crosses the gateway is judged by a strict reader: each request at the upstream is one that the client's bytes hold, in
//! their order; each answer is whole, and of the request that it answers; and after every round a clean request on a new
//! connection arrives unaltered and gets its own answer.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::Relaxed},
};

use rand::{Rng, RngExt, SeedableRng, rngs::SmallRng};

use crate::harness::{
    Gateway, Rules,
    recorder::{Event, Recorder, Then, echo},
    strict::{self, From, Read, Request},
};

/// Rounds of each story; each has a seed of its own, which a failure names.
const ROUNDS: u64 = 5_000;

/// Requests of the kinds that parsers have disagreed on; most hide another in what should be a body.
const REQUESTS: &[&str] = &[
    "GET /a//b/../c;%2F?x=%00&&y HTTP/1.1\r\nHost: shop.test\r\nAccept: */*\r\nX-Empty:\r\n\r\n",
    "POST /p HTTP/1.1\r\nHost: shop.test\r\nContent-Length: 43\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: shop.test\r\n\r\n",
    "POST /p HTTP/1.1\r\nHost: shop.test\r\nTransfer-Encoding: chunked\r\n\r\n2b\r\nGET /smuggled HTTP/1.1\r\nHost: shop.test\r\n\r\n\r\n0\r\n\r\n",
    "POST /p HTTP/1.1\r\nHost: shop.test\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: shop.test\r\n\r\n",
    "POST /p HTTP/1.1\r\nHost: shop.test\r\nContent-Length: 5\r\nContent-Length: 48\r\n\r\nhelloGET /smuggled HTTP/1.1\r\nHost: shop.test\r\n\r\n",
    "POST /p HTTP/1.1\r\nHost: shop.test\r\nTransfer-Encoding: gzip, chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    "POST /p HTTP/1.1\r\nHost: shop.test\r\nX: y\r\n Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\nhello",
    "POST /p HTTP/1.1\r\nHost: shop.test\r\nTransfer-Encoding : chunked\r\nContent-Length: 5\r\n\r\nhello",
    "POST /p HTTP/1.1\r\nHost: shop.test\r\nTrailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n5;a=\"b\";c\r\nhello\r\n000A\r\n0123456789\r\n0;last\r\nX-Sum: 1\r\nContent-Length: 7\r\n\r\nGET /next HTTP/1.1\r\nHost: shop.test\r\n\r\n",
    "GET /1 HTTP/1.1\r\nHost: shop.test\r\n\r\nPOST /2 HTTP/1.1\r\nHost: shop.test\r\nContent-Length: 3\r\n\r\nabcGET /3 HTTP/1.1\r\nHost: shop.test\r\n\r\n",
    "HEAD /h HTTP/1.1\r\nHost: shop.test\r\n\r\nGET /g HTTP/1.1\r\nHost: shop.test\r\n\r\n",
    "GET http://other.test:81/x?q HTTP/1.1\r\nHost: shop.test\r\n\r\nGET http://shop.test?q HTTP/1.1\r\nHost: a\r\n\r\n",
    "OPTIONS * HTTP/1.1\r\nHost: shop.test\r\nMax-Forwards: 1\r\n\r\nTRACE / HTTP/1.1\r\nHost: shop.test\r\nMax-Forwards: 0\r\n\r\n",
    "CONNECT shop.test:80 HTTP/1.1\r\nHost: shop.test:80\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: shop.test\r\n\r\n",
    "PUT /e HTTP/1.1\r\nHost: shop.test\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\nhelloGET /f HTTP/1.1\r\nHost: shop.test\r\n\r\n",
    "GET /ws HTTP/1.1\r\nHost: shop.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: shop.test\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: shop.test\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n\r\n",
    "GET /hop HTTP/1.1\r\nHost: shop.test\r\nConnection: close, X-Hop, Host\r\nX-Hop: 1\r\nKeep-Alive: timeout=5\r\nTE: trailers\r\n\r\n",
    "GET /old HTTP/1.0\r\nConnection: keep-alive\r\n\r\nPOST /old HTTP/1.0\r\nContent-Length: 2\r\n\r\nhi",
    "\r\n\r\nDELETE /d HTTP/1.1\r\nHost: [::1]:80\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "GET /l HTTP/1.1\nHost: shop.test\n\nGET /smuggled HTTP/1.1\r\nHost: shop.test\r\n\r\n",
    "GET /two HTTP/1.1\r\nHost: shop.test\r\nHost: evil.test\r\n\r\n",
    "POST /p HTTP/1.1\r\nHost: shop.test\r\nTransfer-Encoding: chunked\r\n\r\n5 ;x\r\nhello\r\n0\r\n\r\n",
    "POST /p HTTP/1.1\r\nHost: shop.test\r\nExpect: 100-continue\r\nTransfer-Encoding: chunked\r\nTrailer: X-Forwarded-For, Cookie, X-Sum\r\n\r\n5\r\nhello\r\n0\r\nX-Forwarded-For: 1.2.3.4\r\nCookie: a=1\r\nX-Sum: 1\r\n\r\n",
    "OPTIONS / HTTP/1.1\r\nHost: shop.test\r\nMax-Forwards: 0\r\nContent-Length: 43\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: shop.test\r\n\r\nTRACE /t HTTP/1.1\r\nHost: shop.test\r\nMax-Forwards: 1\r\n\r\n",
    "OPTIONS * HTTP/1.1\r\nHost: shop.test:80\r\n\r\nCONNECT shop.test:80 HTTP/1.1\r\nHost: shop.test:80\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: shop.test\r\n\r\n",
    "POST /ws HTTP/1.1\r\nHost: shop.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: shop.test\r\n\r\n",
    "GET http://[::1]:80/x HTTP/1.1\r\nHost: [::1]:80\r\nConnection: Content-Length, Transfer-Encoding, Cookie\r\nCookie: a=1\r\nContent-Length: 2\r\n\r\nhi",
    "POST /old HTTP/1.0\r\nHost: shop.test\r\nConnection: keep-alive\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /smuggled HTTP/1.0\r\n\r\n",
    "PRI * HTTP/2.0\r\nHost: shop.test\r\n\r\nSM\r\n\r\n\0\0\0\u{4}\0\0\0\0\0",
];

/// Responses of those kinds.
const RESPONSES: &[&str] = &[
    "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nA: 1\r\n\r\nhello",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n5;a=b\r\nhello\r\n3\r\nabc\r\n0\r\nX-Sum: 1\r\n\r\n",
    "HTTP/1.1 200 OK\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
    "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhiHTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\npoisoned",
    "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\nContent-Length: 7\r\n\r\nHTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi",
    "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\ntunnelled",
    "HTTP/1.1 204 No Content\r\nContent-Length: 8\r\n\r\npoisoned",
    "HTTP/1.1 304 Not Modified\r\nETag: \"x\"\r\nTransfer-Encoding: chunked\r\n\r\n",
    "HTTP/1.0 200 OK\r\nConnection: close, X-Hop\r\nX-Hop: 1\r\n\r\nas much as there is",
    "HTTP/1.1 200 OK\r\nX-Folded: a\r\n  b\r\nX-Space : c\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nhi",
    "HTTP/1.1 200 OK\r\nSet-Cookie: a=1\r\nX: caf\u{e9}\r\nset-cookie: b=2\r\nContent-Length: 3, 3\r\n\r\nabc",
    "HTTP/1.1 200\r\nContent-Length: 100\r\n\r\ncut",
    "HTTP/1.1 304 Not Modified\r\nContent-Length: 8\r\nETag: \"x\"\r\n\r\npoisoned",
    "HTTP/1.1 404 N\u{e3}o\r\nTransfer-Encoding: chunked\r\nTrailer: Set-Cookie, X-Sum\r\nConnection: X-Hop\r\n\r\n2;a=\"b\"\r\nhi\r\n0\r\nSet-Cookie: a=1\r\nX-Sum: 1\r\n\r\n",
    "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 102 Processing\r\nConnection: A\r\nA: 1\r\n\r\nHTTP/1.1 413 Content Too Large\r\nConnection: close\r\nContent-Length: 2\r\n\r\nno",
    "HTTP/1.1 200 OK\r\nUpgrade: websocket\r\nConnection: upgrade\r\nContent-Length: 2\r\n\r\nok",
];

/// Bytes that mean something to some parser.
const SHARP: &[u8] = b"\r\n\0 \t:;,/\\\"#?@%[]*+-.019afxXgG\x0b\x0c\x7f\x80\x85\xa0\xff";

fn latin(text: &str) -> Vec<u8> {
    crate::harness::wire::bytes(text)
}

/// One of `bases`, broken once or a few times.
fn broken(bases: &[&str], random: &mut SmallRng) -> Vec<u8> {
    let mut bytes = latin(bases[random.random_range(0..bases.len())]);
    for _ in 0..random.random_range(1..=4) {
        if bytes.is_empty() {
            break;
        }
        let at = random.random_range(0..bytes.len());
        let end = (at + random.random_range(1..24)).min(bytes.len());
        let sharp = SHARP[random.random_range(0..SHARP.len())];
        match random.random_range(0..10) {
            0 => bytes[at] ^= 1 << random.random_range(0..8),
            1 | 2 => bytes[at] = sharp,
            3 | 4 => bytes.insert(at, sharp),
            5 => drop(bytes.drain(at..end)),
            6 => {
                let again = bytes[at..end].to_vec();
                let to = random.random_range(0..=bytes.len());
                bytes.splice(to..to, again);
            }
            7 => {
                let mut lines: Vec<Vec<u8>> =
                    bytes.split_inclusive(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
                let (one, other) = (random.random_range(0..lines.len()), random.random_range(0..lines.len()));
                match random.random_range(0..3) {
                    0 => lines.swap(one, other),
                    1 => lines.insert(one, lines[other].clone()),
                    _ => drop(lines.remove(one)),
                }
                bytes = lines.concat();
            }
            8 => {
                let other = latin(bases[random.random_range(0..bases.len())]);
                let from = random.random_range(0..other.len());
                bytes.truncate(at);
                bytes.extend_from_slice(&other[from..]);
            }
            _ => {
                let digits: Vec<usize> = (0..bytes.len()).filter(|at| bytes[*at].is_ascii_digit()).collect();
                if !digits.is_empty() {
                    bytes[digits[random.random_range(0..digits.len())]] = b'0' + random.random_range(0..10u8);
                }
            }
        }
    }
    bytes
}

/// The requests that `bytes` hold, up to where they are none, and what is there.
fn held(mut bytes: &[u8]) -> (Vec<Request>, &[u8]) {
    let mut requests = Vec::new();
    while let Read::Whole(request, length) = strict::request(bytes, From::Client) {
        requests.push(request);
        bytes = &bytes[length..];
    }
    (requests, bytes.trim_ascii_start())
}

/// The target as an origin is to see it (RFC 9112, 3.2.2).
fn origin_form(target: &str) -> String {
    match target.split_once("://") {
        Some((scheme, rest)) if !scheme.contains('/') => match rest.find(['/', '?']) {
            Some(at) if rest[at..].starts_with('?') => format!("/{}", &rest[at..]),
            Some(at) => rest[at..].to_owned(),
            None => "/".to_owned(),
        },
        _ => target.to_owned(),
    }
}

/// Where the gateway's answers differ from what `asked` may be answered, and `rest` of what was no request.
fn misanswered(asked: &[Request], rest: &[u8], mut answers: &[u8]) -> Option<String> {
    let last = if rest.starts_with(b"HEAD ") { "HEAD" } else { "GET" };
    // It is answered by its head alone (RFC 9110, 7.6.2).
    let hops_spent = rest.starts_with(b"OPTIONS ");
    let mut answered = 0;
    while !answers.is_empty() {
        let method = asked.get(answered).map_or(last, |request| &request.method);
        let (response, length) = match strict::response(answers, method, true) {
            Read::Whole(response, length) => (response, length),
            other => return Some(format!("answer {answered} is {other:?}")),
        };
        answers = &answers[length..];
        if response.status < 200 {
            continue;
        }
        if let Some(request) = asked.get(answered) {
            let echoed = latin(&origin_form(&request.target));
            let own = response.status >= 400 || request.method == "OPTIONS" || request.method == "HEAD";
            if !own && response.body != echoed {
                return Some(format!("{} was answered {response:?}", request.target));
            }
        } else if (response.status < 400 && !hops_spent) || !answers.is_empty() {
            return Some(format!("{response:?} answers nothing, {} requests were asked", asked.len()));
        }
        answered += 1;
    }
    None
}

/// What is wrong with what reached the upstream: every request there is one of those held by the client's bytes.
fn misforwarded(asked: &[Request], events: &[Event]) -> Option<String> {
    let mut left = asked.iter();
    for event in events {
        let came = match event {
            Event::Malformed(why) => return Some(format!("malformed at the upstream: {why}")),
            Event::Request(came) => came,
        };
        let known = left.any(|request| {
            (&request.method, origin_form(&request.target), &request.body)
                == (&came.method, came.target.clone(), &came.body)
        });
        if !known {
            return Some(format!("the upstream saw {came:?}, which nobody had asked for"));
        }
    }
    None
}

/// A clean request on a new connection: what is wrong with what became of it.
fn canary(gateway: &Gateway, recorder: &Recorder, round: u64) -> Option<String> {
    let target = format!("/canary/{round}");
    let mut client = gateway.connect();
    client.send(&format!("GET {target} HTTP/1.1\r\nHost: shop.test\r\nConnection: close\r\n\r\n"));
    let answer = client.read_message();
    let clean = Request { method: "GET".to_owned(), target: target.clone(), body: Vec::new() };
    let events = recorder.take();
    (answer.status() != 200 || answer.body != target || events != [Event::Request(clean)])
        .then(|| format!("the canary got {answer:?}; the upstream saw {events:?}"))
}

/// Plays rounds until one goes wrong; `play` gives the round's words and what was wrong.
fn rounds(
    gateway: &Gateway,
    recorder: &Recorder,
    mut play: impl FnMut(&mut SmallRng) -> (Vec<u8>, Option<String>),
) {
    for round in 0..ROUNDS {
        let (bytes, wrong) = play(&mut SmallRng::seed_from_u64(round));
        if let Some(wrong) = wrong.or_else(|| canary(gateway, recorder, round)) {
            panic!(
                "round {round}: {wrong}\nof {:?}",
                bytes.iter().copied().map(char::from).collect::<String>()
            );
        }
    }
}

#[test]
fn no_request_becomes_two_or_malformed() {
    let recorder = Recorder::open(echo);
    let gateway = Gateway::start(&Rules::forwarding_to(recorder.address()));
    rounds(&gateway, &recorder, |random| {
        let bytes = broken(REQUESTS, random);
        if bytes.starts_with(b"PRI * HTTP/2.0\r\n\r\n") {
            // What follows is HTTP/2, and so is its answer.
            return (bytes, None);
        }
        let mut client = gateway.connect();
        let cut = random.random_range(0..=bytes.len());
        // The gateway may have had enough before the second piece.
        let sent = client.send_bytes(&bytes[..cut]).and_then(|()| client.send_bytes(&bytes[cut..]));
        drop(sent.map(|()| client.finish_in_vain()));
        let (answers, _) = client.read_to_end();
        let (asked, rest) = held(&bytes);
        let wrong =
            misforwarded(&asked, &recorder.take()).or_else(|| misanswered(&asked, rest, &latin(&answers)));
        (bytes, wrong)
    });
    drop(gateway);
    assert_eq!(misforwarded(&[], &recorder.take()), None);
}

#[test]
fn no_response_becomes_two_or_another_requests() {
    let next = Arc::new(std::sync::Mutex::new(Vec::new()));
    let asked = Arc::new(AtomicUsize::new(0));
    let (answer, count) = (next.clone(), asked.clone());
    let recorder = Recorder::open(move |request| {
        if request.target != "/broken" {
            return echo(request);
        }
        count.fetch_add(1, Relaxed);
        (answer.lock().unwrap().clone(), Then::Close)
    });
    let gateway = Gateway::start(&Rules::forwarding_to(recorder.address()));
    rounds(&gateway, &recorder, |random| {
        let bytes = broken(RESPONSES, random);
        next.lock().unwrap().clone_from(&bytes);
        let method = ["GET", "HEAD", "POST"][random.next_u32() as usize % 3];
        let mut client = gateway.connect();
        client.send(&format!("{method} /broken HTTP/1.1\r\nHost: shop.test\r\nContent-Length: 0\r\n\r\n"));
        client.finish();
        let answers = latin(&client.read_to_end().0);
        recorder.take();
        let wrong = misled(&bytes, &answers, method);
        let tries = asked.swap(0, Relaxed);
        let wrong = wrong.or_else(|| {
            (tries > 2 || (tries > 1 && method == "POST")).then(|| format!("asked {tries} times"))
        });
        (bytes, wrong)
    });
}

/// What is wrong with `answers`, of an upstream that said `said` and closed.
fn misled(said: &[u8], mut answers: &[u8], method: &str) -> Option<String> {
    let last = loop {
        match strict::response(answers, method, false) {
            Read::Whole(interim, length) if interim.status < 200 => answers = &answers[length..],
            Read::Whole(last, length) if length == answers.len() => break Some(last),
            Read::Whole(last, length) => {
                return Some(format!(
                    "{last:?} is followed by {:?}",
                    String::from_utf8_lossy(&answers[length..])
                ));
            }
            // Cut, which the client can see.
            Read::Partial => break None,
            Read::Malformed(why) => return Some(format!("malformed at the client: {why}")),
        }
    };
    let last = last.filter(|last| last.status < 500)?;
    // Passed on as whole: so the upstream's was, where it was well-formed at all.
    let mut said = said;
    loop {
        match strict::response(said, method, true) {
            Read::Whole(interim, length) if interim.status < 200 => said = &said[length..],
            Read::Whole(first, _) if (first.status, &first.body) == (last.status, &last.body) => return None,
            Read::Whole(first, _) => return Some(format!("{first:?} became {last:?}")),
            Read::Partial => return Some(format!("what was cut became {last:?}")),
            // Made harmless, as old origins are (RFC 9112, 5.2 and 6.3).
            Read::Malformed(_) => return None,
        }
    }
}
