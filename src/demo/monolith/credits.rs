//! Credits while somebody else draws: a hold when the gateway asks, taken when it says that the images are made, given
//! back when it says that there are none. A hold that nobody comes back to expires by itself.

use std::{
    collections::{HashMap, HashSet},
    time::{Duration, Instant},
};

use http::HeaderMap;
use serde::Deserialize;

use crate::tell;

/// Between a notice and the clock of the shop.
const SKEW_S: u64 = 300;

/// The holds of all customers.
#[derive(Debug, Default)]
pub(super) struct Holds {
    open: HashMap<String, Hold>,
    /// Holds of requests that are over for good, by customer and request: an answer that is given again holds nothing.
    over: HashMap<(String, String), String>,
    /// Jobs that were settled: what is told twice is done once.
    settled: HashSet<String>,
    last: u64,
}

#[derive(Debug)]
struct Hold {
    customer: String,
    request: String,
    price: u64,
    until: Instant,
}

/// What the gateway tells of a job, as much of it as the shop reads.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Notice {
    pub(super) event: String,
    pub(super) job: String,
    pub(super) tenant: Option<String>,
    #[serde(default)]
    pub(super) request: String,
    pub(super) reason: Option<String>,
    pub(super) n: u64,
    #[serde(default)]
    pub(super) facts: HashMap<String, String>,
    #[serde(default)]
    pub(super) images: Vec<Image>,
}

/// An image that was made elsewhere.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Image {
    pub(super) name: String,
}

impl Holds {
    /// What a customer's open holds amount to.
    pub(super) fn of(&mut self, customer: &str, now: Instant) -> u64 {
        self.open.retain(|_, hold| hold.until > now);
        self.open.values().filter(|hold| hold.customer == customer).map(|hold| hold.price).sum()
    }

    /// The hold that was placed for this request before, and is open or settled for good.
    pub(super) fn known(&self, customer: &str, request: &str) -> Option<String> {
        let same = |hold: &Hold| hold.customer == customer && hold.request == request;
        let open = self.open.iter().find(|(_, hold)| same(hold)).map(|(id, _)| id);
        open.or_else(|| self.over.get(&(customer.to_owned(), request.to_owned()))).cloned()
    }

    /// Places one.
    pub(super) fn place(&mut self, customer: &str, request: &str, price: u64, until: Instant) -> String {
        self.last += 1;
        let id = format!("hold-{}", self.last);
        let hold = Hold { customer: customer.to_owned(), request: request.to_owned(), price, until };
        self.open.insert(id.clone(), hold);
        id
    }

    /// Ends the hold that a notice is about; true where the job was not settled before.
    pub(super) fn settle(&mut self, notice: &Notice) -> bool {
        if let Some(id) = notice.facts.get("x-hold") {
            self.open.remove(id);
            // Nothing but what was refused is ever drawn again.
            let is_over = notice.reason.as_deref() != Some("refused");
            if let Some(customer) = notice.tenant.as_ref().filter(|_| is_over) {
                self.over.insert((customer.clone(), notice.request.clone()), id.clone());
            }
        }
        self.settled.insert(notice.job.clone())
    }
}

/// The body, once it is sure that the gateway has sent it now.
pub(super) fn read(headers: &HeaderMap, body: &[u8], secret: Option<&str>) -> Result<Notice, &'static str> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    if let Some(secret) = secret {
        let timestamp: i64 =
            text("figueira-timestamp").and_then(|text| text.parse().ok()).ok_or("no timestamp")?;
        if jiff::Timestamp::now().as_second().abs_diff(timestamp) > SKEW_S {
            return Err("too old, or too young");
        }
        if text("figueira-signature") != Some(&tell::signature(&secret.into(), timestamp, body)) {
            return Err("not signed by us");
        }
    }
    serde_json::from_slice(body).map_err(|_| "no notice")
}

/// For how long a hold waits for its notice.
pub(super) const HELD_FOR: Duration = Duration::from_mins(15);

#[cfg(test)]
mod tests {
    use super::*;

    fn notice(job: &str, hold: &str) -> Notice {
        Notice {
            event: "done".into(),
            job: job.into(),
            tenant: Some("ana".into()),
            request: "r1".into(),
            reason: None,
            n: 1,
            facts: HashMap::from([("x-hold".to_owned(), hold.to_owned())]),
            images: Vec::new(),
        }
    }

    #[test]
    fn a_hold_counts_until_it_is_settled_or_forgotten() {
        let (mut holds, now) = (Holds::default(), Instant::now());
        let hold = holds.place("ana", "r1", 2, now + Duration::from_secs(9));
        assert_eq!((holds.of("ana", now), holds.of("eva", now)), (2, 0));
        assert_eq!(holds.known("ana", "r1"), Some(hold.clone()));
        assert!(holds.settle(&notice("j1", &hold)) && !holds.settle(&notice("j1", &hold)));
        assert_eq!(holds.of("ana", now), 0);
        assert_eq!(holds.known("ana", "r1"), Some(hold), "the same answer again costs nothing");
        assert_eq!(holds.known("ana", "r2"), None);
        let second = holds.place("ana", "r2", 1, now + Duration::from_secs(9));
        let refused =
            Notice { reason: Some("refused".into()), request: "r2".into(), ..notice("j2", &second) };
        holds.settle(&refused);
        assert_eq!(holds.known("ana", "r2"), None, "it may be tried again");
        holds.place("ana", "r2", 1, now + Duration::from_secs(9));
        assert_eq!(holds.of("ana", now + Duration::from_secs(10)), 0);
    }

    #[test]
    fn a_notice_is_believed_only_when_it_is_signed_and_new() {
        let now = jiff::Timestamp::now().as_second();
        let body = br#"{"event":"done","job":"j","tenant":"ana","n":1}"#;
        let of = |timestamp: i64, signature: String| {
            let mut headers = HeaderMap::new();
            headers.insert("figueira-timestamp", timestamp.into());
            headers.insert("figueira-signature", signature.parse().unwrap());
            read(&headers, body, Some("s3cret")).map(|notice| notice.job)
        };
        let signed = |secret: &str, timestamp| tell::signature(&secret.into(), timestamp, body);
        assert_eq!(of(now, signed("s3cret", now)), Ok("j".to_owned()));
        assert_eq!(of(now, signed("other", now)), Err("not signed by us"));
        assert_eq!(of(now - 3600, signed("s3cret", now - 3600)), Err("too old, or too young"));
        assert!(read(&HeaderMap::new(), body, Some("s3cret")).is_err());
        assert!(read(&HeaderMap::new(), body, None).is_ok());
    }
}
