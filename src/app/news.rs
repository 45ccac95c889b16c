//! What people are told of brakes, of the file and of verdicts, in words; and when, of the file.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::budgets::{Level, Used};
use crate::{
    admin::Readiness,
    brake::Event,
    parallel_run::verdict::State,
    reload::{self, Status},
    report::Standing,
    routing::Hold,
    shutdown::Shutdown,
    tell::{News, Teller, Topic},
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

/// Tells the probes, and people, whether the file as it stands is in force.
pub(super) async fn follow(
    handle: reload::Handle,
    readiness: Arc<Readiness>,
    teller: Teller,
    shutdown: Shutdown,
) {
    let mut status = handle.status();
    // A start is no news, unless it is one with the last good rules.
    let mut known = Status { generation: 1, rejected: None };
    loop {
        let now = status.borrow_and_update().clone();
        match &now.rejected {
            None => readiness.rules_in_force(now.generation),
            Some(why) => readiness.rules_refused(&**why),
        }
        if now != known {
            teller.tell(&of_file(&now, Timestamp::now()));
            known = now;
        }
        tokio::select! {
            changed = status.changed() => if changed.is_err() { return },
            () = shutdown.draining() => return,
        }
    }
}

/// A route's verdict is another one than `before`.
pub(super) fn of_verdict(standing: &Standing, before: State, now: Timestamp) -> News {
    let Standing { route, verdict, reasons, words, .. } = standing;
    let text = format!("figueira: {route} is {verdict}, it was {before}. {words}");
    let (from, to) = (before.as_str(), verdict.as_str());
    news(Topic::Verdict, now, text, json!({ "route": route, "from": from, "to": to, "reasons": reasons }))
}

/// A budget of the day is nearly, or quite, used up.
pub(super) fn of_budget(used: &Used, level: Level, now: Timestamp) -> News {
    let Used { route, spent_usd, limit_usd, .. } = used;
    let share = used.share();
    let whose = route.as_deref().map_or("the generator".to_owned(), |route| format!("the shadow of {route}"));
    let what = match level {
        Level::Nearly => format!("has used {:.0} % of its budget of today", share * 100.0),
        Level::UsedUp => "has used up its budget of today".to_owned(),
    };
    let text = format!("figueira: {whose} {what}: {spent_usd:.2} of {limit_usd:.2} US dollars");
    let facts = json!({
        "route": route.as_deref(),
        "spent_usd": spent_usd,
        "limit_usd": limit_usd,
        "share": share,
        "used_up": level == Level::UsedUp,
    });
    news(Topic::Budget, now, text, facts)
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
    fn a_budget_is_told_with_what_is_left_of_it() {
        let mut used = Used { route: None, spent_usd: 8.2, limit_usd: 10.0, is_used_up: false };
        let told = of_budget(&used, Level::Nearly, Timestamp::UNIX_EPOCH);
        assert_eq!(
            told.text,
            "figueira: the generator has used 82 % of its budget of today: 8.20 of 10.00 US dollars"
        );
        assert_eq!((&told.facts["route"], &told.facts["used_up"]), (&Value::Null, &json!(false)));
        used.route = Some("images".into());
        let told = of_budget(&used, Level::UsedUp, Timestamp::UNIX_EPOCH);
        assert!(told.text.starts_with("figueira: the shadow of images has used up its budget of today"));
        assert_eq!((&told.facts["route"], &told.facts["used_up"]), (&json!("images"), &json!(true)));
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
