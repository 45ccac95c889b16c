//! What people are told of brakes, of the file and of verdicts, in words.

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::{
    brake::Event,
    parallel_run::verdict::State,
    reload::Status,
    report::Standing,
    routing::Hold,
    tell::{News, Topic},
};

/// A brake was pulled or released.
pub(super) fn of_brake(event: &Event) -> News {
    let Event { time, route, before, after, by, reason } = event;
    let text = match after {
        Some(at) => format!("figueira: {route} is held at {at}, by {by}: {reason}"),
        None => format!("figueira: {route} is released, by {by}: {reason}"),
    };
    let word = |hold: &Option<Hold>| hold.map(Hold::as_str);
    let facts =
        json!({ "route": route, "from": word(before), "to": word(after), "by": by, "reason": reason });
    news(Topic::Brake, *time, text, facts)
}

/// The file was put in force or refused.
pub(super) fn of_file(status: &Status, now: Timestamp) -> News {
    let generation = status.generation;
    let text = match &status.rejected {
        None => format!("figueira: routes.toml is in force, generation {generation}"),
        Some(why) => {
            format!("figueira: routes.toml is refused, generation {generation} stays in force\n{why}")
        }
    };
    news(Topic::Config, now, text, json!({ "generation": generation, "refused": status.rejected.as_deref() }))
}

/// A route's verdict is another one than `before`.
pub(super) fn of_verdict(standing: &Standing, before: State, now: Timestamp) -> News {
    let Standing { route, verdict, reasons, words, .. } = standing;
    let text = format!("figueira: {route} is {verdict}, it was {before}. {words}");
    let (from, to) = (before.as_str(), verdict.as_str());
    news(Topic::Verdict, now, text, json!({ "route": route, "from": from, "to": to, "reasons": reasons }))
}

fn news(topic: Topic, at: Timestamp, text: String, facts: Value) -> News {
    let facts = if let Value::Object(facts) = facts { facts } else { Map::new() };
    News { topic, at, text, facts }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_brake_is_told_in_a_sentence_and_in_facts() {
        let mut event = Event {
            time: Timestamp::UNIX_EPOCH,
            route: "images".into(),
            before: None,
            after: Some(Hold::Shadow),
            by: "the guard".into(),
            reason: "9 of 20 requests failed, the limit is 0.05".into(),
        };
        let told = of_brake(&event);
        assert_eq!(
            told.text,
            "figueira: images is held at shadow, by the guard: 9 of 20 requests failed, the limit is 0.05"
        );
        assert_eq!((&told.facts["from"], &told.facts["to"]), (&Value::Null, &json!("shadow")));
        (event.before, event.after) = (event.after, None);
        assert!(of_brake(&event).text.starts_with("figueira: images is released, by the guard"));
    }

    #[test]
    fn a_file_is_told_when_it_is_refused_and_when_it_is_in_force() {
        let refused = Status { generation: 3, rejected: Some("routes.toml:2:7: error".into()) };
        let told = of_file(&refused, Timestamp::UNIX_EPOCH);
        assert!(told.text.contains("refused, generation 3 stays") && told.text.contains("routes.toml:2:7"));
        let good = of_file(&Status { generation: 4, rejected: None }, Timestamp::UNIX_EPOCH);
        assert_eq!((&good.facts["generation"], &good.facts["refused"]), (&json!(4), &Value::Null));
    }
}
