//! What every catalog must do: one suite, run against each. Every part gets a catalog of its own, and empty.

mod budget;
mod claims;
mod machine;
mod outbox;
mod takeover;

use std::time::{Duration, SystemTime};

use uuid::Uuid;

use super::{
    Advance, Catalog, ClaimKey, Claimed, First, Lease, NewJob, Object, Owner, Posted, Seen, Transition,
};
use crate::generator::{
    budget::{Day, Reservation},
    digest::Digest,
    money::Usd,
    order::Size,
    provider::{Blame, Cause, Receipt, Usage, WhyRefused},
    state::{Reason, Standing, State, Step},
};

/// One boot of a gateway.
const HERE: Owner = Owner { gateway: Uuid::from_u128(0xa), boot: Uuid::from_u128(1) };
/// Another gateway.
const THERE: Owner = Owner { gateway: Uuid::from_u128(0xb), boot: Uuid::from_u128(2) };
const MINUTE: Duration = Duration::from_mins(1);

/// Runs all of it. `open` gives another empty catalog each time.
pub(crate) async fn run(open: impl AsyncFn() -> Catalog) {
    claims::a_key_is_taken_once(&open().await).await;
    claims::an_expired_claim_is_not_in_the_way(&open().await).await;
    claims::a_refused_job_gives_its_key_away(&open().await).await;
    claims::a_key_stays_with_its_arm(&open().await).await;
    claims::a_key_without_a_job_can_be_left_to_the_control(&open().await).await;
    claims::the_keys_of_a_tenant_can_be_forgotten(&open().await).await;
    claims::many_at_once_are_one(&open().await).await;
    claims::what_is_over_can_be_erased(&open().await).await;
    claims::jobs_are_found_by_whose_they_are(&open().await).await;
    claims::jobs_are_listed_newest_first(&open().await).await;
    claims::jobs_are_listed_however_late_they_end(&open().await).await;
    budget::a_day_is_never_overdrawn(&open().await).await;
    budget::every_end_leaves_what_it_cost(&open().await).await;
    takeover::only_a_silent_owner_loses_its_job(&open().await).await;
    takeover::a_drawing_job_is_given_up_and_may_come_back(&open().await).await;
    takeover::open_jobs_are_those_that_are_not_over(&open().await).await;
    outbox::every_end_is_news_once(&open().await).await;
    outbox::what_has_just_become_due_is_found_from_one_end(&open().await).await;
    outbox::a_job_that_nobody_waits_for_is_no_news(&open().await).await;
    machine::a_record_says_all(&open().await).await;
    machine::a_record_says_why_there_are_no_images(&open().await).await;
    for round in 0..12 {
        machine::the_record_follows_the_machine(&open().await, round).await;
    }
}

/// A moment that is the same in every run.
fn at() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_hours(24 * 20_000)
}

fn key(key: &str) -> ClaimKey {
    ClaimKey { scope: "images".into(), key: key.into() }
}

fn job(id: u128) -> NewJob {
    NewJob {
        id: Uuid::from_u128(id),
        claim: key(&id.to_string()),
        replaces: None,
        request: Digest::of(b"request"),
        claim_expires: at() + MINUTE,
        state: State::Drawing,
        route: "generate-image".into(),
        tenant: Some(Digest::of(b"maria")),
        subject: None,
        provider: "openai",
        model: "gpt-image-2".into(),
        prompt_sha256: Digest::of(b"prompt"),
        prompt_chars: 6,
        prompt: None,
        count: 1,
        size: Size { width: 256, height: 256 },
        ordered: None,
        notify: None,
        reserved: Reservation { day: Day::of(at()), usd: Usd::micros(40_000) },
        daily_budget: None,
        owner: HERE,
        at: at(),
    }
}

fn object(job: Uuid) -> Object {
    Object {
        name: format!("fg-{job}-0.png"),
        media_type: "image/png".into(),
        bytes: 3,
        sha256: Digest::of(b"png"),
    }
}

fn receipt() -> Receipt {
    Receipt {
        request_id: Some("req_1".into()),
        usage: Some(Usage { input_tokens: 10, output_tokens: 4_000 }),
        cost: Some(Usd::micros(31_000)),
        cause: None,
    }
}

fn transition(step: Step, job: Uuid) -> Transition {
    match step {
        Step::Start => Transition::Start,
        Step::Store => Transition::Store(vec![object(job)], receipt()),
        Step::Commit => Transition::Commit,
        Step::Fail(reason @ Reason::PaidInvalid) => Transition::Fail(reason, receipt()),
        Step::Fail(reason) => Transition::Fail(reason, Receipt::default()),
        Step::HandOver => Transition::HandOver,
        Step::Undo => Transition::Undo,
        Step::Lose => Transition::Lose,
    }
}

async fn claimed(catalog: &Catalog, job: NewJob) -> Lease {
    match catalog.claim(job).await.unwrap() {
        Claimed::New(lease) => lease,
        other => panic!("{other:?}"),
    }
}

async fn walk(catalog: &Catalog, mut lease: Lease, steps: &[Step]) -> Lease {
    for step in steps {
        match catalog.advance(lease, transition(*step, lease.job), at()).await.unwrap() {
            Advance::Moved(moved) => lease = moved,
            Advance::Refused => panic!("{step:?} refused at {:?}", lease.standing),
        }
    }
    lease
}
