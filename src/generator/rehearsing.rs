//! What the generator would have answered, for a parallel run: the same work, with nothing claimed and nothing visible.

use bytes::Bytes;
use http::Request;

use super::{
    Generator, Inner, Outcome, admission::Place, arrival::Arrival, catalog::Object, contract::Image,
    keyed::Keyed, links::Links, refusals::told, settings::Contract,
};

/// What a candidate would have answered, and the images behind it.
#[derive(Debug)]
pub struct Rehearsal {
    /// As [`Generator::answer`] would have said.
    pub outcome: Outcome,
    /// The images in order; none where there was an error.
    pub images: Vec<RehearsedImage>,
}

/// An image that nobody sees.
#[derive(Clone, Debug)]
pub struct RehearsedImage {
    /// Its name in an `article` answer.
    pub name: String,
    /// Its URL in an `openai` answer.
    pub url: String,
    /// What its bytes are.
    pub media_type: String,
    /// Its bytes.
    pub bytes: Bytes,
}

impl Generator {
    /// Does the same work for a shadow: nothing is claimed, and nobody will see the images.
    pub async fn rehearse(&self, contract: &Contract, request: Request<Bytes>) -> Rehearsal {
        let without = |outcome| Rehearsal { outcome, images: Vec::new() };
        let (mut intent, seat, reply) = match self.admit(contract, &request, Keyed::default()) {
            Ok(admitted) => admitted,
            Err(outcome) => return without(*outcome),
        };
        // It has no place in the spool.
        intent.arrival = Arrival::Awaited;
        let mut place = match self.place(contract, &intent, seat).await {
            Ok(permit) => Place::Taken { permit },
            Err(outcome) => return without(outcome),
        };
        let Inner { saga, .. } = &*self.0;
        let drawn = match saga.draw(&intent, &mut place).await {
            Ok(drawn) => drawn,
            Err(failure) => return without(Outcome::Answered(told(&failure, intent.id).answer(contract))),
        };
        let now = (saga.clock)();
        let images = drawn.0.iter().map(|drawn| (drawn.object.name.clone(), drawn.bytes.clone())).collect();
        if let Err(error) = saga.shadows.keep(images, now).await {
            tracing::warn!(%error, "the images of a shadow could not be kept; they are still compared");
        }
        let made = Links::of(&request, &intent.settings).made(&intent, drawn, now);
        let outcome = Outcome::Answered(reply.answer(&made));
        drop(place);
        let images =
            made.images.into_iter().map(|Image { object: Object { name, media_type, .. }, url, bytes }| {
                RehearsedImage { name, url, media_type, bytes }
            });
        Rehearsal { outcome, images: images.collect() }
    }
}
