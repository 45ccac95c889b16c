//! What no route names and is ours all the same: images at the paths that serve them, and jobs that are asked for.

use std::time::Duration;

use http::{Response, request};

use super::{
    access_log::Entry,
    authorize::{self, Said},
    backends::Exchange,
    body::Content,
    counters::Answerer,
    rescue::Failure,
    rules::CandidateArm,
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
        head: &request::Parts,
        entry: &mut Entry,
    ) -> Result<Option<Response<Content>>, Failure> {
        let generator = &self.rules.generator;
        let job = match generator.job(poll).await {
            Ok(Some(job)) => job,
            Ok(None) => return Ok(None),
            Err(unavailable) => return Ok(Some(unavailable.map(Content::from))),
        };
        let place = self.rules.table.routes().iter().position(|route| *route.name == *job.route());
        let Some(arms) = place.and_then(|place| self.rules.arms.get(place)) else { return Ok(None) };
        let CandidateArm::Generator(contract) = &arms.candidate else { return Ok(None) };
        entry.asks(Answerer::Candidate);
        let mut grant = None;
        if let Authorize::Ask(ask) = &arms.authorize {
            // Nothing is to be drawn, so nothing says how much: no hold is asked for.
            let stable = authorize::stable(job.route(), &[], None, self.provenance.request_id.as_bytes());
            let said = self.ask(ask, &arms.control, head, None, &stable).await;
            match said.map_err(|failure| failure.spoken(contract))? {
                Said::Granted(granted) => grant = Some(granted),
                Said::Answer(response) => return Ok(Some(response)),
            }
        }
        let origin = self.provenance.origin();
        Ok(Some(generator.progress(contract, &job, grant.as_ref(), &origin).await.map(Content::from)))
    }
}
