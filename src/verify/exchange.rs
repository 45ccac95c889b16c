//! One exchange: what is sent over a connection of its own, and what is owed for it.

/// What is sent, and the method of each request in it.
#[derive(Clone, Debug)]
pub struct Exchange {
    /// What it tries.
    pub name: String,
    pub(super) steps: Vec<Step>,
    /// The methods of its requests, in order: an answer is owed for each.
    pub(super) methods: Vec<String>,
}

/// A part of an exchange.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Send(Vec<u8>),
    /// Waits to be told to go on, for a while; a final answer is not followed by a body.
    AwaitContinue,
    /// Waits for the next answer that is owed.
    AwaitAnswer,
    /// Sends no more.
    Finish,
}

/// What requests say of trailers (RFC 9110, 6.5.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Trailers {
    /// Nothing: whoever is on their way may take them off.
    #[default]
    MayGo,
    /// `TE: trailers`.
    AskedFor,
}

impl Exchange {
    /// Whether it asks for trailers.
    pub(super) fn trailers(&self) -> Trailers {
        let asks = |step: &Step| match step {
            Step::Send(bytes) => bytes.to_ascii_lowercase().windows(ASKS.len()).any(|part| part == ASKS),
            _ => false,
        };
        if self.steps.iter().any(asks) { Trailers::AskedFor } else { Trailers::MayGo }
    }

    /// Its first request line.
    pub(super) fn request(&self) -> String {
        let first = self.steps.iter().find_map(|step| match step {
            Step::Send(bytes) => Some(bytes.trim_ascii_start()),
            _ => None,
        });
        let line = first.and_then(|bytes| bytes.split(|byte| *byte == b'\r').next()).unwrap_or_default();
        line.get(..100).unwrap_or(line).escape_ascii().to_string()
    }
}

const ASKS: &[u8] = b"\r\nte: trailers\r\n";

/// Writes requests, each to the same host and with the same fields beside its own.
#[derive(Clone, Debug)]
pub struct Draft {
    host: String,
    fields: Vec<String>,
}

impl Draft {
    /// For `host`, with these field lines in every request.
    pub fn new(host: String, fields: Vec<String>) -> Self {
        Self { host, fields }
    }

    pub(super) fn host(&self) -> &str {
        &self.host
    }

    /// One request without a body.
    pub(super) fn simple(&self, name: &str, method: &str, target: &str) -> Exchange {
        self.asking(name, &format!("{method} {target} HTTP/1.1"), &[], b"")
    }

    /// One request.
    pub(super) fn asking(&self, name: &str, line: &str, fields: &[&str], body: &[u8]) -> Exchange {
        self.in_steps(name, vec![Step::Send(self.request(line, fields, body))])
    }

    /// Whatever is sent.
    pub(super) fn in_steps(&self, name: &str, steps: Vec<Step>) -> Exchange {
        Exchange { name: name.to_owned(), methods: methods(&steps, &self.host), steps }
    }

    /// The bytes of a request.
    pub(super) fn request(&self, line: &str, fields: &[&str], body: &[u8]) -> Vec<u8> {
        let mut request = format!("{line}\r\nHost: {}\r\n", self.host).into_bytes();
        for field in fields.iter().copied().chain(self.fields.iter().map(String::as_str)) {
            // Texts stand for bytes: each character is one (ISO 8859-1), where it fits in one.
            request.extend(field.chars().map(|letter| u8::try_from(letter).unwrap_or(b'?')));
            request.extend_from_slice(b"\r\n");
        }
        request.extend_from_slice(b"\r\n");
        request.extend_from_slice(body);
        request
    }
}

/// The method of each request head among what is sent: a line that ends in a version, with the host behind it.
fn methods(steps: &[Step], host: &str) -> Vec<String> {
    let sent: Vec<u8> = steps
        .iter()
        .filter_map(|step| if let Step::Send(bytes) = step { Some(&bytes[..]) } else { None })
        .flatten()
        .copied()
        .collect();
    let text = String::from_utf8_lossy(&sent);
    let mark = format!("\r\nHost: {host}\r\n");
    let heads = text.split(&mark).filter_map(|before| before.rsplit("\r\n").next());
    let lines = heads.filter(|line| line.contains(" HTTP/1."));
    lines.filter_map(|line| Some(line.split(' ').next()?.to_owned())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_owed_for_each_request() {
        let draft = Draft::new("shop.test".to_owned(), vec!["X-Own: 1".to_owned()]);
        let exchange = draft.asking("one", "POST /a HTTP/1.1", &["Content-Length: 2"], b"hi");
        assert_eq!((exchange.methods, exchange.steps.len()), (vec!["POST".to_owned()], 1));
        let sent = [draft.request("HEAD / HTTP/1.1", &[], b""), draft.request("GET /x HTTP/1.0", &[], b"")];
        let exchange = draft.in_steps("two", vec![Step::Send(sent.concat()), Step::Finish]);
        assert_eq!(exchange.methods, ["HEAD", "GET"]);
        assert_eq!(exchange.request(), "HEAD / HTTP/1.1");
        assert!(sent[1].ends_with(b"GET /x HTTP/1.0\r\nHost: shop.test\r\nX-Own: 1\r\n\r\n"));
    }
}
