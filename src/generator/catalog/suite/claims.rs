//! Keys and who has them.

use std::time::SystemTime;

use uuid::{NoContext, Timestamp};

use super::{
    Advance, Catalog, ClaimKey, Claimed, Digest, MINUTE, NewJob, Reason, Receipt, State, Step, Transition,
    Uuid, at, claimed, job, key, object, transition, walk,
};
use crate::routing::Arm;

pub(super) async fn a_key_is_taken_once(catalog: &Catalog) {
    let lease = claimed(catalog, job(1)).await;
    assert_eq!(lease, job(1).lease());
    let same_key = NewJob { claim: job(1).claim, ..job(2) };
    match catalog.claim(same_key).await.unwrap() {
        Claimed::Held(claim) => {
            assert_eq!((claim.job, claim.arm), (Some(lease.job), Arm::Candidate));
            assert_eq!(claim.request, Some(job(1).request));
        }
        other => panic!("{other:?}"),
    }
    let nobody = catalog.record(Uuid::from_u128(2)).await.unwrap();
    assert_eq!(nobody, None, "the job of a refused claim is not there");
    // Another scope is another key.
    let mut elsewhere = NewJob { claim: job(1).claim, ..job(2) };
    elsewhere.claim.scope = "images/other".into();
    claimed(catalog, elsewhere).await;
}

pub(super) async fn an_expired_claim_is_not_in_the_way(catalog: &Catalog) {
    claimed(catalog, job(1)).await;
    let later = at() + MINUTE * 2;
    let same_key = |id| NewJob { claim: job(1).claim, at: later, claim_expires: later + MINUTE, ..job(id) };
    claimed(catalog, same_key(2)).await;
    assert!(matches!(catalog.claim(same_key(3)).await.unwrap(), Claimed::Held(_)));
    catalog.forget_claims(later).await.unwrap();
    assert!(matches!(catalog.claim(same_key(3)).await.unwrap(), Claimed::Held(_)), "the new one is not old");
    catalog.forget_claims(later + MINUTE * 2).await.unwrap();
    assert!(catalog.record(Uuid::from_u128(1)).await.unwrap().is_some(), "a job outlives its claim");
}

pub(super) async fn a_refused_job_gives_its_key_away(catalog: &Catalog) {
    let first = claimed(catalog, job(1)).await;
    let again = |id, replaces: u128| NewJob {
        claim: job(1).claim,
        replaces: Some(Uuid::from_u128(replaces)),
        ..job(id)
    };
    let refused = Transition::Fail(Reason::Refused, Receipt::default());
    assert!(matches!(catalog.advance(first, refused, at()).await.unwrap(), Advance::Moved(_)));
    claimed(catalog, again(2, 1)).await;
    match catalog.claim(again(3, 1)).await.unwrap() {
        Claimed::Held(claim) => assert_eq!(claim.job, Some(Uuid::from_u128(2)), "only one can replace it"),
        other => panic!("{other:?}"),
    }
}

pub(super) async fn a_key_stays_with_its_arm(catalog: &Catalog) {
    let expires = at() + MINUTE;
    let pin = async |name: &str, arm| catalog.pin(key(name), arm, at(), expires).await.unwrap();
    assert_eq!(pin("a", Arm::Control).await, Arm::Control);
    assert_eq!(pin("a", Arm::Candidate).await, Arm::Control);
    let kept = NewJob { claim: key("a"), ..job(1) };
    assert!(matches!(catalog.claim(kept).await.unwrap(), Claimed::Held(claim) if claim.arm == Arm::Control));

    assert_eq!(pin("b", Arm::Candidate).await, Arm::Candidate);
    claimed(catalog, NewJob { claim: key("b"), ..job(2) }).await;
    assert_eq!(pin("b", Arm::Control).await, Arm::Candidate, "a job's key is the candidate's");

    let later = at() + MINUTE * 2;
    let arm = catalog.pin(key("a"), Arm::Candidate, later, later + MINUTE).await.unwrap();
    assert_eq!(arm, Arm::Candidate, "what expired is free");
}

pub(super) async fn a_key_without_a_job_can_be_left_to_the_control(catalog: &Catalog) {
    let expires = at() + MINUTE;
    let leave = async |name: &str, refused| catalog.leave(key(name), refused, at(), expires).await.unwrap();
    let claim = async |name: &str, id| {
        let job = NewJob { claim: key(name), replaces: Some(Uuid::from_u128(1)), ..job(id) };
        catalog.claim(job).await.unwrap()
    };
    assert!(leave("new", None).await && leave("new", None).await, "it stays there");
    assert!(matches!(claim("new", 10).await, Claimed::Held(claim) if claim.arm == Arm::Control));
    catalog.pin(key("pinned"), Arm::Candidate, at(), expires).await.unwrap();
    assert!(leave("pinned", None).await, "nobody has begun anything under it");
    assert!(matches!(claim("pinned", 11).await, Claimed::Held(claim) if claim.arm == Arm::Control));

    let begun = claimed(catalog, NewJob { claim: key("begun"), ..job(1) }).await;
    assert!(!leave("begun", None).await, "its job may be paid for");
    assert!(!leave("begun", Some(Uuid::from_u128(2))).await, "another one was refused");
    walk(catalog, begun, &[Step::Fail(Reason::Refused)]).await;
    assert!(leave("begun", Some(begun.job)).await);
    assert!(matches!(claim("begun", 12).await, Claimed::Held(claim) if claim.arm == Arm::Control));

    let later = at() + MINUTE * 2;
    claimed(catalog, NewJob { claim: key("new"), at: later, claim_expires: later + MINUTE, ..job(13) }).await;
}

pub(super) async fn the_keys_of_a_tenant_can_be_forgotten(catalog: &Catalog) {
    let whose = |route: &str, tenant: &str, key: &str| ClaimKey {
        scope: format!("{route}/{}", Digest::of(tenant.as_bytes())),
        key: key.into(),
    };
    let expires = at() + MINUTE;
    let anas = [whose("images", "ana", "1"), whose("images", "ana", "2/#"), whose("avatars", "ana", "1")];
    let others = [whose("images", "eva", "1"), key("1")];
    for claim in anas.iter().chain(&others) {
        catalog.pin(claim.clone(), Arm::Control, at(), expires).await.unwrap();
    }
    let begun = claimed(catalog, NewJob { claim: whose("images", "ana", "3"), ..job(3) }).await;
    assert_eq!(catalog.forget_keys(Digest::of(b"ana")).await.unwrap(), 3);
    for claim in anas {
        assert_eq!(catalog.holder(claim, at()).await.unwrap(), None);
    }
    for claim in others {
        assert!(catalog.holder(claim, at()).await.unwrap().is_some(), "nobody else's");
    }
    let kept = catalog.holder(whose("images", "ana", "3"), at()).await.unwrap().unwrap();
    assert_eq!(kept.job, Some(begun.job), "it goes with its job");
    assert_eq!(catalog.forget_keys(Digest::of(b"ana")).await.unwrap(), 0);
}

pub(super) async fn many_at_once_are_one(catalog: &Catalog) {
    let tries = (1..=20_u128).map(|id| {
        let (catalog, job) = (catalog.clone(), NewJob { claim: key("one"), ..job(id) });
        tokio::spawn(async move { catalog.claim(job).await.unwrap() })
    });
    let mut won = 0;
    for claim in tries.collect::<Vec<_>>() {
        match claim.await.unwrap() {
            Claimed::New(_) => won += 1,
            Claimed::Held(_) => {}
            Claimed::OverBudget => panic!("there is no budget"),
        }
    }
    assert_eq!(won, 1);
    assert_eq!(catalog.open_jobs().await.unwrap().len(), 1);
}

pub(super) async fn what_is_over_can_be_erased(catalog: &Catalog) {
    let open = claimed(catalog, job(1)).await;
    catalog.erase(open.job).await.unwrap();
    assert!(catalog.record(open.job).await.unwrap().is_some(), "not while it is open");
    let done = walk(catalog, open, &[Step::Store, Step::Commit]).await;
    assert_eq!(catalog.of_tenant(job(1).tenant.unwrap()).await.unwrap(), [done.job]);
    let ended = async |before| catalog.ended(State::Done, before, 10).await.unwrap();
    assert!(ended(at()).await.is_empty(), "not before it ended");
    assert_eq!(ended(at() + MINUTE).await, [done.job]);
    catalog.erase(done.job).await.unwrap();
    assert_eq!(catalog.record(done.job).await.unwrap(), None);
    assert_eq!(catalog.visible(object(done.job).name).await.unwrap(), None);
    assert!(ended(at() + MINUTE).await.is_empty());
    claimed(catalog, NewJob { claim: job(1).claim, ..job(2) }).await;
}

pub(super) async fn jobs_are_found_by_whose_they_are(catalog: &Catalog) {
    let whose = |tenant: Option<&[u8]>, subject: Option<&[u8]>, id| NewJob {
        tenant: tenant.map(Digest::of),
        subject: subject.map(Digest::of),
        ..job(id)
    };
    let named = claimed(catalog, whose(Some(b"ana"), None, 1)).await;
    let by_subject = claimed(catalog, whose(None, Some(b"ana"), 2)).await;
    claimed(catalog, whose(Some(b"eva"), None, 3)).await;
    claimed(catalog, whose(None, None, 4)).await;
    assert_eq!(catalog.of_tenant(Digest::of(b"ana")).await.unwrap(), [named.job, by_subject.job]);
    assert_eq!(catalog.record(by_subject.job).await.unwrap().unwrap().tenant, None);
}

pub(super) async fn jobs_are_listed_newest_first(catalog: &Catalog) {
    assert!(catalog.newest(None, 5).await.unwrap().is_empty());
    for id in [3, 1, 2, 4] {
        claimed(catalog, job(id)).await;
    }
    let listed = async |before: Option<u128>, most| {
        let listed = catalog.newest(before.map(Uuid::from_u128), most).await.unwrap();
        listed.into_iter().map(|record| record.lease.job.as_u128()).collect::<Vec<_>>()
    };
    assert_eq!(listed(None, 3).await, [4, 3, 2]);
    assert_eq!(listed(Some(2), 3).await, [1]);
    let record = catalog.record(Uuid::from_u128(4)).await.unwrap();
    assert_eq!(catalog.newest(None, 1).await.unwrap(), record.into_iter().collect::<Vec<_>>());
}

/// And those that ended long after others had.
pub(super) async fn jobs_are_listed_however_late_they_end(catalog: &Catalog) {
    let ago = |minutes| at() - MINUTE * minutes;
    let jobs: [(u32, u32, &[Step]); 5] = [
        (60, 0, &[Step::Store, Step::Commit]),
        (40, 35, &[Step::Store, Step::Commit]),
        (30, 15, &[Step::HandOver]),
        (20, 19, &[Step::Store, Step::Commit]),
        (10, 5, &[Step::Fail(Reason::Refused)]),
    ];
    let mut ids = Vec::new();
    for (begun, ended, steps) in jobs {
        let seconds = ago(begun).duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
        let id = Uuid::new_v7(Timestamp::from_unix(NoContext, seconds, 0));
        let mut lease = claimed(catalog, NewJob { at: ago(begun), ..job(id.as_u128()) }).await;
        for step in steps {
            let moved = catalog.advance(lease, transition(*step, id), ago(ended)).await.unwrap();
            let Advance::Moved(moved) = moved else { panic!("{step:?} refused") };
            lease = moved;
        }
        ids.insert(0, id);
    }
    for most in 1..=6 {
        let (mut listed, mut before) = (Vec::new(), None);
        while let page = catalog.newest(before, most).await.unwrap()
            && !page.is_empty()
        {
            listed.extend(page.iter().map(|record| record.lease.job));
            before = listed.last().copied();
        }
        assert_eq!(listed, ids, "{most} at once");
    }
}
