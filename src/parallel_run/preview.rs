//! What is kept of a pair, judged again: under other rules, or with an answer that the candidate gives today.
//!
//! It is never evidence. Who writes a rule for every path that failed, and counts the same pairs again, proves nothing.

use std::{collections::HashMap, sync::Arc, time::Duration};

use jiff::Timestamp;
use tokio::time::sleep;
use uuid::{Builder, Uuid};

use super::{
    Candidate, Images,
    answer::Answer,
    arms,
    calibration::PathStates,
    candidate::{self, Bounds, CandidateFault, CapturedRequest},
    compare::{self, Judgement, status},
    comparison::{ArmRecord, Class, Comparison, Direction, Skip},
    images::{self, Reply},
    purse::Purse,
    secrets::Secrets,
    settings::Plan,
};
use crate::{routing::Arm, shutdown::Shutdown};

/// Whom the candidate of a route is, and what helps to judge it.
pub struct Judge {
    /// How the route is compared today.
    pub plan: Plan,
    /// What is known of the control's noise.
    pub states: PathStates,
    /// The candidate.
    pub candidate: Arc<dyn Candidate>,
    /// Gets the images that its answers name.
    pub images: Arc<dyn Images>,
    /// Of its tasks.
    pub lifetime: Shutdown,
    /// Of one image.
    pub max_body: usize,
    /// Header names whose values are never written.
    pub redact: Vec<String>,
    /// What the candidate may still cost today.
    pub(crate) purse: Arc<Purse>,
}

impl Judge {
    /// Compares what both arms answered, as the plan has it today.
    pub fn again(&self, request: &CapturedRequest, control: &Answer, given: &Answer) -> Comparison {
        let judgement = compare::compare(&self.plan, &self.states, control, given);
        self.preview(request, control, kept(given), judgement)
    }

    /// Asks today's candidate what the control was asked, and compares, as soon as this minute has a call left; `None`
    /// where the day's budget has not what it may cost.
    pub async fn anew(&self, request: &CapturedRequest, control: &Answer) -> Option<Comparison> {
        let price = self.candidate.price(request);
        let reserved = loop {
            let now = Timestamp::now();
            match self.purse.reserve(price, &self.plan, now) {
                Ok(reserved) => break reserved,
                Err(Skip::Rate) => sleep(left_of_minute(now)).await,
                Err(_) => return None,
            }
        };
        let asking = Arc::clone(&self.candidate);
        let bounds = Bounds { deadline: self.plan.deadline, max_body: self.max_body };
        let run = candidate::run(asking, request.clone(), price, bounds, &self.lifetime).await;
        reserved.settle(run.cost_usd);
        let arm = arms::of_candidate(&run);
        let answered = match run.result {
            Ok(answer) => {
                arms::answer(answer, control.asked.clone(), self.max_body).ok_or(Class::Incomparable)
            }
            Err(CandidateFault::TooLarge) => Err(Class::Incomparable),
            Err(_) => Err(Class::CandidateFailed),
        };
        let (mut given, at_hand) = match answered {
            Ok(answered) => answered,
            Err(class) => {
                let (differences, images, alarms, rules) = Default::default();
                let judgement = Judgement { class, differences, images, alarms, rules };
                return Some(self.preview(request, control, arm, judgement));
            }
        };
        given.images = self.images_of(&given, &at_hand, request).await;
        let judgement = compare::compare(&self.plan, &self.states, control, &given);
        Some(self.preview(request, control, arm, judgement))
    }

    async fn images_of(
        &self,
        given: &Answer,
        at_hand: &HashMap<String, candidate::Fetched>,
        request: &CapturedRequest,
    ) -> Vec<super::answer::FetchedImage> {
        let reply = Reply { arm: Arm::Candidate, headers: &given.headers, body: &given.body, at_hand };
        images::collect(reply, &self.plan.images, request, &*self.images, self.max_body).await
    }

    fn preview(
        &self,
        request: &CapturedRequest,
        control: &Answer,
        candidate: ArmRecord,
        judgement: Judgement,
    ) -> Comparison {
        let Judgement { class, mut differences, images, alarms, rules } = judgement;
        Secrets::of(request, &self.redact).hide(&mut differences);
        let at = Timestamp::now();
        Comparison {
            id: fresh_id(at),
            at,
            gateway: "figueira replay".into(),
            route: Arc::clone(&request.route),
            epoch: "".into(),
            direction: Direction::Replay,
            stratum: arms::stratum(&control.asked, self.candidate.model()),
            sample_rate: 1.0,
            subject: None,
            request: "-".to_owned(),
            control: kept(control),
            candidate: Some(candidate),
            class,
            alarms,
            differences,
            images,
            rules,
        }
    }
}

fn left_of_minute(now: Timestamp) -> Duration {
    Duration::from_secs(60 - now.as_second().rem_euclid(60).unsigned_abs())
}

fn fresh_id(at: Timestamp) -> Uuid {
    let millis = u64::try_from(at.as_millisecond()).unwrap_or_default();
    Builder::from_unix_timestamp_millis(millis, &rand::random()).into_uuid()
}

/// What is known of an answer that was kept: not how long it took.
fn kept(answer: &Answer) -> ArmRecord {
    ArmRecord {
        status: Some(answer.status),
        total: None::<Duration>,
        bytes: answer.body.len() as u64,
        media_type: images::media_type(&answer.headers),
        ..arms::unanswered(status::outcome(answer.status))
    }
}
