//! What no route names and is ours all the same: images at the paths that serve them, and jobs that are asked for.

use std::time::Duration;

use http::{
    Response,
    header::{CONTENT_LENGTH, TRANSFER_ENCODING},
    request,
};

use super::{
    RequestBody,
    access_log::Entry,
    authorize::{self, Said},
    backends::{Exchange, observed},
    body::Content,
    counters::Answerer,
    rescue::Failure,
    rules::{Arms, CandidateArm},
    settings::{Ask, Authorize},
};
use crate::generator::{ImageAnswer, Poll, Serving};

/// How long the monolith may take to say whether an image may be seen.
const SEEING: Duration = Duration::from_secs(5);

impl Exchange<'_> {
    /// An image of ours, in every mode; other names are the site's.
    pub(super) async fn image(
        &self,
        serving: Serving,
        head: &request::Parts,
        entry: &mut Entry,
    ) -> Result<Option<Response<Content>>, Failure> {
        if let Some(url) = serving.authorize() {
            let (expect, copy) = (Vec::new(), Vec::new());
            let ask = Ask { url: url.clone(), expect, copy, tenant: None, timeout: SEEING };
            let stable = authorize::stable("images", &[], None, self.provenance.request_id.as_bytes());
            let said = self.ask(&ask, &self.rules.monolith, head, None, &stable).await?;
            if let Said::Answer(response) = said {
                entry.asks(Answerer::Monolith);
                return Ok(Some(response));
            }
        }
        Ok(match self.rules.generator.image(serving, &head.headers).await {
            ImageAnswer::Answered(response) => {
                entry.asks(Answerer::Images);
                Some(response.map(Content::Image))
            }
            ImageAnswer::Monolith => None,
        })
    }

    /// What became of a job, for whoever may use its route; other ids are the site's.
    pub(super) async fn polled(
        &self,
        poll: Poll,
        head: &mut request::Parts,
        entry: &mut Entry,
    ) -> Result<Option<Response<Content>>, Failure> {
        let generator = &self.rules.generator;
        let job = match generator.job(poll).await {
            Ok(Some(job)) => job,
            Ok(None) => return Ok(None),
            Err(unseen) => {
                let arms = unseen.route().and_then(|route| self.arms_of(route));
                let contract = arms.and_then(|arms| arms.candidate.contract());
                return Ok(Some(unseen.answer(contract).map(Content::from)));
            }
        };
        let Some(arms) = self.arms_of(job.route()) else { return Ok(None) };
        entry.asks(Answerer::Candidate);
        let mut grant = None;
        if let Authorize::Ask(ask) = &arms.authorize {
            // Nothing is to be drawn, so nothing says how much: no hold is asked for.
            let stable = authorize::stable(job.route(), &[], None, self.provenance.request_id.as_bytes());
            let said = self.ask(ask, &arms.control, head, None, &stable).await;
            match said.map_err(|failure| match arms.candidate.contract() {
                Some(contract) => failure.spoken(contract),
                None => failure,
            })? {
                Said::Granted(granted) => grant = Some(granted),
                Said::Answer(response) => return Ok(Some(response)),
            }
            authorize::strip(&mut head.headers, &ask.copy);
        }
        match &arms.candidate {
            CandidateArm::Generator(contract) => {
                let origin = self.provenance.origin();
                let answer = generator.progress(contract, &job, grant.as_ref(), &origin).await;
                Ok(Some(answer.map(Content::from)))
            }
            // Whose answer it will be, in its own words.
            CandidateArm::Upstream(upstream, _) => {
                let mut gained = self.provenance.gained.clone();
                gained.extend(grant.iter().flat_map(authorize::fields));
                for framing in [CONTENT_LENGTH, TRANSFER_ENCODING] {
                    head.headers.remove(framing);
                }
                let answer = self.exchange(upstream, &gained, head, RequestBody::Empty, entry).await;
                observed(upstream, None, answer).map(Some)
            }
        }
    }

    fn arms_of(&self, route: &str) -> Option<&Arms> {
        let place = self.rules.table.routes().iter().position(|known| *known.name == *route)?;
        self.rules.arms.get(place)
    }
}
