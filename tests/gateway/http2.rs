//! HTTP/2 with clients, frame by frame: what RFC 9113 and RFC 7541 ask of a server, and what they leave to its prudence.

mod connection;
mod streams;
mod hpack;
mod messages;
mod floods;
mod limits;

use crate::harness::{
    Gateway, Wire,
    frames::{Frame, H2, Verdict, get, headers},
    recorder::{Recorder, echo},
};

/// One thing that a client does, and what has to come of it.
pub(crate) struct Case {
    /// The section that asks for it.
    section: &'static str,
    what: &'static str,
    /// After preface and settings.
    sent: Vec<u8>,
    outcome: Outcome,
}

/// What has to come of it.
#[derive(Clone, Copy, Debug)]
enum Outcome {
    /// The connection ends, with one of these errors.
    Connection(&'static [u32]),
    /// The stream ends with one of these errors, or the connection does.
    Stream(&'static [u32]),
    /// The request is malformed (RFC 9113, 8.1.1): its stream ends, or it is answered with an error.
    Malformed,
    /// This stream is answered well.
    Answered(u32),
}

fn case(section: &'static str, what: &'static str, frames: &[Frame], outcome: Outcome) -> Case {
    let sent = frames.iter().flat_map(Frame::bytes).collect();
    Case { section, what, sent, outcome }
}

/// A GET that nobody can find fault with.
fn sound(stream: u32) -> Frame {
    headers(stream, crate::harness::frames::END_STREAM, &get("/sound"))
}

/// Tries every case on a connection of its own, and the gateway with a canary after each.
fn try_all(cases: &[Case]) {
    let origin = Recorder::open(echo);
    let rules = crate::harness::Rules::forwarding_to(origin.address());
    let gateway = Gateway::start(&rules);
    let failed: Vec<String> = cases.iter().filter_map(|case| complaint(&gateway, case)).collect();
    assert!(failed.is_empty(), "\n{}", failed.join("\n"));
}

fn complaint(gateway: &Gateway, case: &Case) -> Option<String> {
    use crate::harness::frames::PROTOCOL_ERROR;
    let mut client = H2::connect(gateway);
    client.send_bytes(&case.sent);
    let seen = match case.outcome {
        Outcome::Answered(stream) => match client.answer(stream) {
            Some(200) => None,
            other => Some(format!("answered with {other:?}")),
        },
        wanted => {
            let verdict = client.rejection();
            let holds = match (wanted, verdict) {
                (Outcome::Connection(codes) | Outcome::Stream(codes), Verdict::Connection(code))
                | (Outcome::Stream(codes), Verdict::Stream(_, code)) => codes.contains(&code),
                (Outcome::Malformed, Verdict::Connection(code) | Verdict::Stream(_, code)) => {
                    code == PROTOCOL_ERROR
                }
                (Outcome::Malformed, Verdict::Answered(_, status)) => (400..500).contains(&status),
                _ => false,
            };
            (!holds).then(|| format!("{verdict:?}"))
        }
    };
    drop(client);
    let Case { section, what, outcome, .. } = case;
    let seen = seen.or_else(|| canary(gateway));
    seen.map(|seen| format!("RFC {section}: {what}: {seen}, and not {outcome:?}"))
}

/// Whether somebody else is still served.
fn canary(gateway: &Gateway) -> Option<String> {
    let mut client: Wire = gateway.connect();
    client.send("GET /canary HTTP/1.1\r\nHost: shop.test\r\nConnection: close\r\n\r\n");
    let status = client.read_message().status();
    (status != 200).then(|| format!("the canary after it got {status}"))
}
