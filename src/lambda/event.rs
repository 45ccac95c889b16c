//! The kinds of events, told apart by their members: the fronts that carry requests each have a way of their own,
//! schedules and what this function sends itself name themselves, and a direct invocation brings an article's body.

use serde_json::Value;
use thiserror::Error;
use uuid::Uuid;

use super::call::{self, Call};
use crate::generator::Chores;

/// An event that this function knows.
#[derive(Debug)]
pub(super) enum Event {
    /// A request, by API Gateway, a load balancer or a function URL.
    Call(Box<Call>),
    /// The body of an article's request, by a direct invocation.
    Article(Value),
    /// A job that an event of before has promised.
    Begin(Uuid),
    /// A schedule.
    House(Chores),
}

/// Why an event is none of them.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub(super) enum Unreadable {
    /// It has none of the marks of those that are known.
    #[error(
        "not an event that this function knows: a request by API Gateway, a load balancer or a function URL, a \
         \"Scheduled Event\", {{\"figueira\": \"janitor\"}}, or an article's body with a \"prompt\"; this {0}"
    )]
    Unknown(String),
    /// It has them, and is wrong.
    #[error("an event that cannot be read: {0}")]
    Broken(String),
}

impl Event {
    /// Reads an event of any kind.
    pub(super) fn read(event: Value) -> Result<Self, Unreadable> {
        let Value::Object(members) = &event else {
            return Err(Unreadable::Unknown("is no JSON object".to_owned()));
        };
        let text = |name: &str| members.get(name).and_then(Value::as_str);
        if members.get("requestContext").is_some_and(Value::is_object) {
            return call::read(event).map(|call| Self::Call(Box::new(call)));
        }
        match (text("figueira"), text("detail-type")) {
            (Some("begin"), _) => {
                let job = text("job").and_then(|job| Uuid::try_parse(job).ok());
                let broken = || Unreadable::Broken("it names no job that could be begun".to_owned());
                return job.map(Self::Begin).ok_or_else(broken);
            }
            (Some("janitor"), _) => return Ok(Self::House(Chores::Unfinished)),
            (Some("reconcile"), _) | (None, Some("Scheduled Event")) => {
                return Ok(Self::House(Chores::Everything));
            }
            _ => {}
        }
        if members.contains_key("prompt") {
            return Ok(Self::Article(event));
        }
        let names: Vec<_> = members.keys().take(12).map(String::as_str).collect();
        let has =
            if names.is_empty() { "has no members".to_owned() } else { format!("has {}", names.join(", ")) };
        // Whoever sent it may have sent much.
        Err(Unreadable::Unknown(has.chars().take(200).collect()))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn schedules_and_direct_invocations_are_told_apart() {
        let chores = |event| match Event::read(event) {
            Ok(Event::House(chores)) => Some(chores),
            _ => None,
        };
        // By a rule of EventBridge, and by its Scheduler.
        for source in ["aws.events", "aws.scheduler"] {
            let event = json!({
                "version": "0", "id": "53dc4d37", "detail-type": "Scheduled Event", "source": source,
                "account": "123456789012", "time": "2026-11-28T10:00:00Z", "region": "us-east-1",
                "resources": ["arn:aws:events:us-east-1:123456789012:rule/janitor"], "detail": {},
            });
            assert_eq!(chores(event), Some(Chores::Everything));
        }
        assert_eq!(chores(json!({"figueira": "janitor"})), Some(Chores::Unfinished));
        assert_eq!(chores(json!({"figueira": "reconcile"})), Some(Chores::Everything));
        let job = Uuid::from_u128(7);
        let begin = json!({"figueira": "begin", "job": job.to_string()});
        assert!(matches!(Event::read(begin), Ok(Event::Begin(found)) if found == job));
        assert!(matches!(Event::read(json!({"figueira": "begin"})), Err(Unreadable::Broken(_))));
        let article = json!({"prompt": "a fig tree", "n": 1, "size": "256x256"});
        assert!(matches!(Event::read(article.clone()), Ok(Event::Article(body)) if body == article));
    }

    #[test]
    fn what_is_unknown_is_named_without_its_values() {
        let said = |event| Event::read(event).unwrap_err().to_string();
        let bucket = said(json!({"Records": [{"eventSource": "aws:s3"}], "token": "canary"}));
        assert!(bucket.ends_with("this has Records, token"), "{bucket}");
        assert!(said(json!([1])).ends_with("this is no JSON object"));
        assert!(said(json!({})).ends_with("this has no members"));
        assert!(said(json!({"detail-type": "EC2 Instance State-change"})).ends_with("this has detail-type"));
    }
}
