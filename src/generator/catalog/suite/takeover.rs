//! Owners that are gone.

use super::{
    Advance, Catalog, Day, HERE, NewJob, Reason, Seen, Standing, State, Step, THERE, Usd, at, claimed, job,
    object, receipt, transition, walk,
};

async fn seen(catalog: &Catalog) -> Seen {
    let [seen] = catalog.open_jobs().await.unwrap()[..] else { panic!("one job is open") };
    seen
}

pub(super) async fn only_a_silent_owner_loses_its_job(catalog: &Catalog) {
    let lease = claimed(catalog, job(1)).await;
    let lease = walk(catalog, lease, &[Step::Store]).await;
    let before = seen(catalog).await;
    catalog.beat(vec![lease], at()).await.unwrap();
    let after = seen(catalog).await;
    assert_eq!(after.lease, lease);
    assert_ne!(after.beat, before.beat);
    assert_eq!(catalog.take_over(before, THERE, at()).await.unwrap(), Advance::Refused, "it lives");
    let Advance::Moved(taken) = catalog.take_over(after, THERE, at()).await.unwrap() else {
        panic!("refused")
    };
    assert_eq!((taken.owner, taken.fence, taken.standing), (THERE, lease.fence + 1, lease.standing));
    assert_eq!(catalog.take_over(after, HERE, at()).await.unwrap(), Advance::Refused, "taken once");
    let late = catalog.advance(lease, transition(Step::Commit, lease.job), at()).await.unwrap();
    assert_eq!(late, Advance::Refused, "it is another's");
    catalog.beat(vec![lease], at()).await.unwrap();
    assert_eq!(seen(catalog).await, Seen { lease: taken, beat: after.beat }, "nor is it kept alive");
    walk(catalog, taken, &[Step::Commit]).await;
}

pub(super) async fn a_drawing_job_is_given_up_and_may_come_back(catalog: &Catalog) {
    let lease = claimed(catalog, job(1)).await;
    let taken = catalog.take_over(seen(catalog).await, THERE, at()).await.unwrap();
    let unknown = Standing::failed(Reason::Unknown);
    let Advance::Moved(given_up) = taken else { panic!("refused") };
    assert_eq!((given_up.standing, given_up.owner, given_up.fence), (unknown, HERE, lease.fence));
    assert_eq!(catalog.spent(Day::of(at())).await.unwrap(), Usd::micros(40_000), "nobody knows");
    assert!(catalog.open_jobs().await.unwrap().is_empty());
    walk(catalog, given_up, &[Step::Store]).await;
    assert_eq!(seen(catalog).await.lease.standing, State::Storing.into(), "open again");
    walk(catalog, seen(catalog).await.lease, &[Step::Commit]).await;
    assert!(catalog.visible(object(lease.job).name).await.unwrap().is_some());
    assert_eq!(catalog.spent(Day::of(at())).await.unwrap(), receipt().cost.unwrap());
}

pub(super) async fn open_jobs_are_those_that_are_not_over(catalog: &Catalog) {
    let paths: [(&[Step], bool); 8] = [
        (&[], true),
        (&[Step::Start], true),
        (&[Step::Start, Step::Store], true),
        (&[Step::Start, Step::Store, Step::Commit], false),
        (&[Step::Start, Step::Store, Step::Undo], true),
        (&[Step::Start, Step::Store, Step::Undo, Step::Lose], false),
        (&[Step::Start, Step::HandOver], false),
        (&[Step::Fail(Reason::Refused)], false),
    ];
    let mut expected = Vec::new();
    for (id, (steps, open)) in (1..).zip(paths) {
        let accepted = NewJob { state: State::Accepted, ordered: Some("the order".into()), ..job(id) };
        let lease = claimed(catalog, accepted).await;
        let ordered = async || catalog.record(lease.job).await.unwrap().unwrap().ordered;
        assert_eq!(ordered().await.as_deref(), Some("the order"));
        let lease = walk(catalog, lease, steps).await;
        assert_eq!(
            ordered().await.is_some(),
            lease.standing.state == State::Accepted,
            "no longer than needed"
        );
        expected.extend(open.then_some(lease));
    }
    let found: Vec<_> = catalog.open_jobs().await.unwrap().into_iter().map(|seen| seen.lease).collect();
    assert_eq!(found, expected, "oldest first");
}
