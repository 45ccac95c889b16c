//! Which of two routes wins a request that both take, where their paths say equally much about it.

use std::cmp::Reverse;

use http::Method;

use super::{Head, Route, condition, host};

/// Whether a route whose path fits takes the request.
pub(super) fn admits(route: &Route, head: &Head<'_>) -> bool {
    (route.methods.is_empty() || route.methods.contains(head.method))
        && route.host.takes(host::bare(head.host))
        && route.conditions.iter().all(|condition| condition.holds(head))
}

/// Orders routes on one path, the winner of what two take first.
pub(super) fn rank(route: &Route) -> impl Ord + use<> {
    (route.host.rank(), route.methods.is_empty(), Reverse(condition::weight(&route.conditions)))
}

/// Whether some request could be taken by both, their paths aside. Errs on the side of yes.
pub(super) fn meet(a: &Route, b: &Route) -> bool {
    a.host.meets(&b.host) && methods_meet(a, b) && !condition::exclude(&a.conditions, &b.conditions)
}

/// Whether both could take one request on one path, and neither wins it.
pub(super) fn tie(a: &Route, b: &Route) -> bool {
    let says_more = |a: &Route, b: &Route| condition::implies(&a.conditions, &b.conditions);
    a.host == b.host
        && a.methods.is_empty() == b.methods.is_empty()
        && says_more(a, b) == says_more(b, a)
        && meet(a, b)
}

/// Whether `third`, on the same path, wins all that `a` and `b` could both take: then their tie never shows.
pub(super) fn settles(third: &Route, a: &Route, b: &Route) -> bool {
    let takes = |method: &Method| third.methods.contains(method);
    let every_method = if a.methods.is_empty() {
        third.methods.is_empty()
    } else {
        !third.methods.is_empty() && a.methods.iter().filter(|method| b.methods.contains(method)).all(takes)
    };
    let beats = |other: &Route| {
        condition::implies(&third.conditions, &other.conditions)
            && !condition::implies(&other.conditions, &third.conditions)
    };
    let asks_no_more = third
        .conditions
        .chunks(1)
        .all(|asked| condition::implies(&a.conditions, asked) || condition::implies(&b.conditions, asked));
    third.host == a.host && every_method && asks_no_more && beats(a) && beats(b)
}

fn methods_meet(a: &Route, b: &Route) -> bool {
    a.methods.is_empty() || b.methods.is_empty() || a.methods.iter().any(|method| b.methods.contains(method))
}
