//! From an order to images that are known to be sound.

use std::time::Instant;

use bytes::Bytes;
use uuid::Uuid;

use super::{Intent, Saga, failure::Failure};
use crate::generator::{
    admission::{Admission, Place},
    arrival::{Arrival, Landing},
    catalog::Object,
    digest::Digest,
    image::{self, Limits, Unsound},
    name,
    order::Format,
    provider::{Drawing, Provider, ProviderError, Receipt},
    settling,
};

/// An image that was drawn and found sound.
#[derive(Clone, Debug)]
pub(crate) struct Drawn {
    /// As it is recorded.
    pub(crate) object: Object,
    /// Its bytes.
    pub(crate) bytes: Bytes,
}

impl Saga {
    /// How the answer to a job is taken in that has a place in the spool, and whose client does not look at it before.
    pub(crate) fn arrival(&self, provider: &Provider, admission: &Admission, job: Uuid) -> Arrival {
        if !provider.is_elsewhere() {
            return Arrival::Awaited;
        }
        let (pool, spool, metrics) = (admission.memory().clone(), self.spool.clone(), self.metrics.clone());
        Arrival::Landing(Landing { pool, spool, job, metrics }.into())
    }

    /// Draws an order and examines what came: all images sound, or none.
    pub(crate) async fn draw(
        &self,
        intent: &Intent,
        place: &mut Place,
    ) -> Result<(Vec<Drawn>, Receipt), Failure> {
        let Intent { id, order, provider, arrival, settings, until, .. } = intent;
        let started = Instant::now();
        let drawing = {
            // What its place was waited for takes nothing from a provider that is paid for being asked.
            let deadline = settling::deadline(settings, *until);
            let (provider, order, arrival) = (provider.clone(), order.clone(), arrival.clone());
            self.plane.moving(async move { provider.draw(&order, deadline, &arrival).await })
        };
        let answer = drawing.await.unwrap_or_else(|crashed| Err(crashed.into()));
        if let Err(ProviderError::Crashed(_)) = &answer {
            self.metrics.crashed("provider");
        }
        self.metrics.draw.observe(started.elapsed().as_secs_f64());
        let Drawing { mut images, receipt, memory } = answer?;
        place.hold(memory);
        let (drawn, asked) = (images.len(), usize::try_from(order.count).unwrap_or(usize::MAX));
        if drawn < asked {
            return Err(Failure::Count { asked: order.count, receipt, paid: images });
        }
        if drawn > asked {
            tracing::warn!(job = %id, drawn, asked, "the provider drew more images than were asked; the others are left");
            images.truncate(asked);
        }
        let paid = images.clone();
        let limits = Limits { bytes: settings.max_image, pixels: settings.max_pixels };
        let (id, order, prefix) = (*id, order.clone(), settings.name_prefix.clone());
        let examine = move || {
            let drawn = images.into_iter().enumerate().map(|(index, bytes)| {
                let (format, bytes) = image::fit(bytes, &order, limits)?;
                Ok::<_, Unsound>(Drawn {
                    object: describe(name::compose(&prefix, id, index, format), format, &bytes),
                    bytes,
                })
            });
            drawn.collect::<Result<Vec<_>, _>>()
        };
        match self.plane.computing(examine).await {
            Ok(Ok(drawn)) => Ok((drawn, receipt)),
            Ok(Err(why)) => Err(Failure::Unsound { why: why.into(), receipt, paid }),
            Err(crashed) => {
                self.metrics.crashed("image");
                Err(Failure::Unsound { why: crashed.into(), receipt, paid })
            }
        }
    }
}

fn describe(name: String, format: Format, bytes: &Bytes) -> Object {
    Object {
        name,
        media_type: format.media_type().to_owned(),
        bytes: u64::try_from(bytes.len()).unwrap_or(u64::MAX),
        sha256: Digest::of(bytes),
    }
}
