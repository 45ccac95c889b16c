//! Two arms that have ended, the control ok: compared, and written down.

use std::{collections::HashMap, sync::Arc};

use super::{ControlAnswer, Sampled};
use crate::{
    parallel_run::{
        answer::{Answer, Asked},
        archive::Sample,
        arms,
        calibration::PathStates,
        candidate::{CandidateFault, CapturedRequest, Fetched, Run},
        capture::Lease,
        compare::{self, Judgement},
        comparison::{Alarm, Class, Comparison, Skip},
        leaks,
        secrets::Secrets,
    },
    routing::Arm,
};

/// Bytes of an answer that are compared where they are.
const SHORT: usize = 4 << 10;

/// The record of the pair, and what was seen of it.
pub(super) async fn conclude(
    sampled: &Arc<Sampled>,
    states: Arc<PathStates>,
    request: CapturedRequest,
    request_lease: Lease,
    control: ControlAnswer,
    asked: Asked,
    run: Run,
) -> (Comparison, Option<Sample>) {
    let shadow = &sampled.shadow;
    let arm = arms::of_candidate(&run);
    let limit = shadow.limits.settings.max_body;
    let (control, control_arm, control_lease) = arms::whole(control, asked.clone(), limit);
    let leases = [request_lease, control_lease];
    let mut record = sampled.named_record(Class::CandidateFailed, control_arm, &request, &asked);
    record.candidate = Some(arm);
    record.alarms = run.alarms();
    match run.result {
        Err(fault) => {
            tracing::info!(route = %request.route, comparison = %record.id, error = %fault, "candidate without an answer");
            record.class = match fault {
                CandidateFault::TooLarge => return (incomparable(record), None),
                CandidateFault::Budget => Class::Skipped(Skip::Budget),
                CandidateFault::Timeout | CandidateFault::Transport(_) | CandidateFault::Panic(_) => {
                    record.class
                }
            };
            (record, Some(Sample::new(request, control, None, leases)))
        }
        Ok(answer) => {
            let Some((candidate, at_hand)) = arms::answer(answer, asked, limit) else {
                return (incomparable(record), None);
            };
            if is_of_another_version(sampled, &control, &candidate).await {
                return (incomparable(record), None);
            }
            judge(sampled, states, record, request, [control, candidate], &at_hand, leases).await
        }
    }
}

async fn judge(
    sampled: &Arc<Sampled>,
    states: Arc<PathStates>,
    record: Comparison,
    request: CapturedRequest,
    [mut control, mut candidate]: [Answer; 2],
    at_hand: &HashMap<String, Fetched>,
    leases: [Lease; 2],
) -> (Comparison, Option<Sample>) {
    let shadow = &sampled.shadow;
    let nothing = HashMap::new();
    (control.images, candidate.images) = tokio::join!(
        shadow.images_of(Arm::Control, &control, &nothing, &request),
        shadow.images_of(Arm::Candidate, &candidate, at_hand, &request),
    );
    let (plan, limits) = (Arc::clone(&shadow.plan), Arc::clone(&shadow.limits));
    let is_short = is_short(&control) && is_short(&candidate);
    let judge = move || {
        let mut judgement = compare::compare(&plan, &states, &control, &candidate);
        Secrets::of(&request, &limits.settings.redact).hide(&mut judgement.differences);
        let leaks = leaks::of(&request, &control, &candidate);
        (judgement, leaks, request, control, candidate)
    };
    let judged =
        if is_short { shadow.run.at_once(judge) } else { shadow.run.on_cpu(&shadow.limits, judge).await };
    let Some((judgement, leaks, request, control, candidate)) = judged else {
        return (incomparable(record), None);
    };
    let Judgement { differences, images, mut alarms, class, rules } = judgement;
    alarms.extend(leaks);
    let mut record = Comparison { class, differences, images, rules, ..record };
    if let Some(subject) = sampled.subject {
        // Both arms' images have an owner: a candidate may show what another's control did.
        let others = record.images.iter().filter(|image| image.decodes).filter(|image| {
            sampled.epoch.is_of_another(&image.hash, subject, &record.request) && image.candidate
        });
        alarms.extend(others.map(|_| Alarm::OtherSubject).take(1));
    }
    record.alarms = alarms;
    (record, Some(Sample::new(request, control, Some(candidate), leases)))
}

/// Whether it is looked at in less time than another thread takes to get its turn.
fn is_short(answer: &Answer) -> bool {
    answer.images.is_empty() && answer.body.len() <= SHORT
}

fn incomparable(record: Comparison) -> Comparison {
    Comparison { class: Class::Incomparable, ..record }
}

/// Whether the arms tell another version than the epoch's, which is over then.
async fn is_of_another_version(sampled: &Arc<Sampled>, control: &Answer, candidate: &Answer) -> bool {
    let shadow = &sampled.shadow;
    let Some(version) = shadow.versions.told(&control.headers, &candidate.headers) else { return false };
    if sampled.epoch.version.as_ref() == Some(&version) {
        return false;
    }
    let renewing = Arc::clone(shadow);
    let renewed = tokio::task::spawn_blocking(move || renewing.run.renew(&renewing, &version));
    match renewed.await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::error!(%error, "a new version of an arm could not be noted"),
        Err(error) => tracing::error!(%error, "noting a new version of an arm failed"),
    }
    true
}
