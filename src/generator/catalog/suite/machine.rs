//! The record does what the pure machine says, for whoever holds the job, and nothing for anybody else.

use std::collections::BTreeMap;

use rand::{Rng as _, RngExt as _, SeedableRng as _, rngs::SmallRng};

use super::{
    Advance, Blame, Catalog, Cause, HERE, Lease, NewJob, Reason, Receipt, Seen, State, Step, THERE,
    Transition, WhyRefused, at, claimed, job, object, receipt, transition, walk,
};

pub(super) async fn a_record_says_all(catalog: &Catalog) {
    let new = NewJob { prompt: Some("mar à noite".into()), notify: Some("{}".into()), count: 3, ..job(1) };
    let lease = claimed(catalog, new.clone()).await;
    let lease = walk(catalog, lease, &[Step::Store]).await;
    let record = catalog.record(lease.job).await.unwrap().unwrap();
    assert_eq!(record.lease, lease);
    assert_eq!((&*record.route, record.tenant), ("generate-image", new.tenant));
    assert_eq!((&*record.provider, &*record.model), ("openai", "gpt-image-2"));
    assert_eq!((record.prompt, record.prompt_sha256), (new.prompt, new.prompt_sha256));
    assert_eq!((record.count, record.size, record.notify), (3, new.size, new.notify));
    assert_eq!((record.receipt, record.objects), (receipt(), vec![object(lease.job)]));
    assert_eq!((record.created, record.updated), (at(), at()));
    assert_eq!(catalog.identity().await.unwrap(), catalog.identity().await.unwrap());
}

pub(super) async fn a_record_says_why_there_are_no_images(catalog: &Catalog) {
    let lease = claimed(catalog, job(1)).await;
    let cause = async || catalog.record(lease.job).await.unwrap().unwrap().receipt.cause;
    let blame = Blame { param: Some("size".into()), code: Some("invalid_value".into()) };
    let refused = Cause::Refused { why: WhyRefused::Request, blame: Some(blame.into()) };
    let mut standing = lease;
    for (reason, why) in [(Reason::Unknown, Cause::Late), (Reason::Refused, refused)] {
        let receipt = Receipt { cause: Some(why.clone().into()), ..Receipt::default() };
        let failed = catalog.advance(standing, Transition::Fail(reason, receipt), at()).await.unwrap();
        let Advance::Moved(failed) = failed else { panic!("refused") };
        assert_eq!(cause().await, Some(why.into()));
        standing = failed;
    }
}

/// Two gateways try random steps on two jobs, under leases that they know now or knew before.
pub(super) async fn the_record_follows_the_machine(catalog: &Catalog, round: u64) {
    let mut dice = SmallRng::seed_from_u64(round);
    let (mut now, mut before) = (BTreeMap::<u128, Lease>::new(), BTreeMap::<u128, Lease>::new());
    for id in [1, 2] {
        let state = if dice.random() { State::Accepted } else { State::Drawing };
        let lease = claimed(catalog, NewJob { state, ..job(id) }).await;
        now.insert(id, lease);
        before.insert(id, lease);
    }
    for _ in 0..20 {
        let id = dice.random_range(1..=2_u128);
        let lease = if dice.random_bool(0.8) { now[&id] } else { before[&id] };
        let (advanced, expected) = if dice.random_bool(0.2) {
            let owner = if dice.random() { HERE } else { THERE };
            let open = Seen { lease, beat: 0 };
            (catalog.take_over(open, owner, at()).await.unwrap(), lease.taken_over(owner))
        } else {
            let step = Step::ALL[usize::try_from(dice.next_u32()).unwrap() % Step::ALL.len()];
            let moved = catalog.advance(lease, transition(step, lease.job), at()).await.unwrap();
            (moved, lease.after(step))
        };
        let expected = expected.filter(|_| lease == now[&id]);
        assert_eq!(advanced, expected.map_or(Advance::Refused, Advance::Moved), "round {round}");
        if let Some(next) = expected {
            before.insert(id, now[&id]);
            now.insert(id, next);
        }
        for lease in now.values() {
            let record = catalog.record(lease.job).await.unwrap().unwrap();
            assert_eq!(record.lease, *lease, "round {round}");
            let visible = catalog.visible(object(lease.job).name).await.unwrap();
            let done = lease.standing.state == State::Done;
            assert_eq!(visible, done.then(|| object(lease.job)), "visible exactly while done, round {round}");
        }
        let open = catalog.open_jobs().await.unwrap().into_iter().map(|seen| seen.lease);
        let expected = now.values().copied().filter(|lease| lease.standing.state.is_open());
        assert_eq!(open.collect::<Vec<_>>(), expected.collect::<Vec<_>>(), "round {round}");
    }
}
