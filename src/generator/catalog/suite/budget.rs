//! What a day may cost, and what it has cost.

use super::{
    Advance, Catalog, Claimed, Day, NewJob, Reason, Receipt, Reservation, Step, Transition, Usd, at, claimed,
    job, receipt, walk,
};

async fn spent(catalog: &Catalog) -> u64 {
    catalog.spent(Day::of(at())).await.unwrap().as_micros()
}

pub(super) async fn a_day_is_never_overdrawn(catalog: &Catalog) {
    let limited = |id| NewJob { daily_budget: Some(Usd::micros(100_000)), ..job(id) };
    let tries = (1..=12).map(|id| {
        let (catalog, job) = (catalog.clone(), limited(id));
        tokio::spawn(async move { catalog.claim(job).await.unwrap() })
    });
    let (mut taken, mut turned_away) = (Vec::new(), 0);
    for claim in tries.collect::<Vec<_>>() {
        match claim.await.unwrap() {
            Claimed::New(lease) => taken.push(lease),
            Claimed::OverBudget => turned_away += 1,
            Claimed::Held(claim) => panic!("{claim:?}"),
        }
    }
    assert_eq!((taken.len(), turned_away), (2, 10));
    assert_eq!(spent(catalog).await, 80_000);
    // Whoever was turned away left nothing: the key is free as soon as there is room.
    let refused = Transition::Fail(Reason::Refused, Receipt::default());
    assert!(matches!(catalog.advance(taken[0], refused, at()).await.unwrap(), Advance::Moved(_)));
    assert_eq!(spent(catalog).await, 40_000);
    let next = (1..=12).find(|id| taken.iter().all(|lease| lease.job.as_u128() != *id)).unwrap();
    claimed(catalog, limited(next)).await;
    let tomorrow = Day::numbered(Day::of(at()).number() + 1);
    let mut another_day = limited(20);
    another_day.reserved = Reservation { day: tomorrow, usd: Usd::micros(40_000) };
    claimed(catalog, another_day).await;
    assert_eq!(catalog.spent(tomorrow).await.unwrap(), Usd::micros(40_000));
    let mut too_dear = limited(21);
    too_dear.reserved = Reservation { day: Day::numbered(1), usd: Usd::micros(100_001) };
    assert_eq!(catalog.claim(too_dear).await.unwrap(), Claimed::OverBudget);
}

pub(super) async fn every_end_leaves_what_it_cost(catalog: &Catalog) {
    let cost = receipt().cost.unwrap().as_micros();
    let ends: [(&[Step], u64); 10] = [
        (&[], 40_000),
        (&[Step::Fail(Reason::Refused)], 0),
        (&[Step::Fail(Reason::Unknown)], 40_000),
        (&[Step::Fail(Reason::Unknown), Step::Fail(Reason::Refused)], 0),
        (&[Step::Fail(Reason::PaidInvalid)], cost),
        (&[Step::HandOver], 0),
        (&[Step::Store], cost),
        (&[Step::Store, Step::Commit], cost),
        (&[Step::Store, Step::Undo, Step::Lose], cost),
        (&[Step::Fail(Reason::Unknown), Step::Store, Step::Commit], cost),
    ];
    let mut expected = 0;
    for (id, (steps, costs)) in (1..).zip(ends) {
        let lease = claimed(catalog, job(id)).await;
        walk(catalog, lease, steps).await;
        expected += costs;
        assert_eq!(spent(catalog).await, expected, "after {steps:?}");
    }
    let free = NewJob { reserved: Reservation { usd: Usd::ZERO, ..job(1).reserved }, ..job(100) };
    let lease = claimed(catalog, free).await;
    let own = Receipt { cost: Some(Usd::ZERO), ..Receipt::default() };
    catalog.advance(lease, Transition::Store(Vec::new(), own), at()).await.unwrap();
    assert_eq!(spent(catalog).await, expected);
}
