//! What every store of brakes must do: one suite, run against each. Every part gets a store of its own, and empty; `open`
//! gives further handles on the same, as other processes have them.

use std::{sync::Barrier, thread};

use jiff::Timestamp;

use super::{Event, Pulled, Store};
use crate::routing::{Brake, Hold};

/// Another handle on the same brakes.
pub(super) type Open<'a> = &'a dyn Fn() -> Store;

/// Runs all of it. `fresh` gives another empty place each time.
pub(super) fn run<P>(fresh: impl Fn() -> P, open: impl Fn(&P) -> Store) {
    let parts = [
        what_one_pulls_another_sees,
        a_pull_never_lets_go,
        many_routes_are_one_pull,
        every_move_is_kept_and_told_once,
        of_pulls_at_once_the_lowest_holds,
    ];
    for part in parts {
        let place = fresh();
        part(&|| open(&place));
    }
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_700_000_000 + second).unwrap()
}

fn brake(at: Hold, since: Timestamp) -> Brake {
    Brake { at, since, by: "ana".into(), reason: "looks odd".into() }
}

fn pull(store: &Store, route: &str, brake: &Brake) -> Pulled {
    store.pull(&[route], brake).unwrap().remove(0)
}

fn what_one_pulls_another_sees(open: Open<'_>) {
    let (here, there) = (open(), open());
    let held = brake(Hold::Shadow, at(0));
    assert!(here.brakes().unwrap().is_empty());
    assert_eq!(pull(&here, "a", &held), Pulled::Now { before: None });
    assert_eq!(there.brakes().unwrap().of("a").map(|held| &**held), Some(&held));
    assert_eq!(there.release("a", at(7), "eva", "mended").unwrap(), Some(held));
    assert_eq!(there.release("a", at(8), "eva", "mended").unwrap(), None);
    assert!(here.brakes().unwrap().is_empty());
    assert_eq!(here.released().unwrap().get("a"), Some(&at(7)));
    assert_eq!(pull(&here, "a", &brake(Hold::Monolith, at(9))), Pulled::Now { before: None });
}

fn a_pull_never_lets_go(open: Open<'_>) {
    let store = open();
    pull(&store, "a", &brake(Hold::Shadow, at(0)));
    let lower = pull(&store, "a", &brake(Hold::Monolith, at(1)));
    assert_eq!(lower, Pulled::Now { before: Some(Hold::Shadow) });
    for hold in Hold::ALL {
        let pulled = pull(&store, "a", &brake(hold, at(2)));
        assert!(matches!(pulled, Pulled::Already(held) if held.at == Hold::Monolith && held.since == at(1)));
    }
}

fn many_routes_are_one_pull(open: Open<'_>) {
    let store = open();
    pull(&store, "b", &brake(Hold::Monolith, at(0)));
    let names: Vec<String> = (0..1_000).map(|number| format!("route-{number}")).collect();
    let routes: Vec<&str> = names.iter().map(String::as_str).chain(["b"]).collect();
    let pulled = store.pull(&routes, &brake(Hold::Shadow, at(1))).unwrap();
    assert_eq!(pulled.iter().filter(|pulled| **pulled == Pulled::Now { before: None }).count(), 1_000);
    assert!(matches!(pulled.last(), Some(Pulled::Already(_))));
    assert_eq!(store.brakes().unwrap().iter().count(), 1_001);
}

fn every_move_is_kept_and_told_once(open: Open<'_>) {
    let (here, there) = (open(), open());
    pull(&here, "a", &brake(Hold::Shadow, at(0)));
    pull(&here, "a", &brake(Hold::Shadow, at(1)));
    there.release("a", at(2), "eva", "mended").unwrap();
    let event = |time, (before, after), by: &str, reason: &str| Event {
        time,
        route: "a".into(),
        before,
        after,
        by: by.into(),
        reason: reason.into(),
    };
    let expected = [
        event(at(0), (None, Some(Hold::Shadow)), "ana", "looks odd"),
        event(at(2), (Some(Hold::Shadow), None), "eva", "mended"),
    ];
    assert_eq!(there.take_untold().unwrap(), expected);
    assert_eq!(here.take_untold().unwrap(), []);
    let newest_first: Vec<_> = expected.into_iter().rev().collect();
    assert_eq!(here.history(9).unwrap(), newest_first);
    assert_eq!(here.history(1).unwrap(), newest_first[..1]);
}

fn of_pulls_at_once_the_lowest_holds(open: Open<'_>) {
    let start = Barrier::new(6);
    thread::scope(|scope| {
        for number in 0..6 {
            let (store, start) = (open(), &start);
            scope.spawn(move || {
                start.wait();
                let hold = if number == 3 { Hold::Monolith } else { Hold::Shadow };
                pull(&store, "a", &brake(hold, at(number)));
                pull(&store, &format!("own-{number}"), &brake(Hold::Shadow, at(number)));
            });
        }
    });
    let held = open().brakes().unwrap();
    assert_eq!((held.iter().count(), held.of("a").unwrap().at), (7, Hold::Monolith));
}
