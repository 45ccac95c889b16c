//! Where clients find the images of an answer: below `public_url`, or at the store itself by a signed URL.

use std::time::SystemTime;

use bytes::Bytes;
use http::Request;

use super::{
    Inner,
    contract::{ExternalOrigin, Image, Made},
    order::Format,
    provider::Receipt,
    saga::{Intent, drawing::Drawn, failure::chain},
    settings::{PublicUrl, Settings},
};

/// Where the images of one answer are found.
#[derive(Debug)]
pub(crate) struct Links {
    base: String,
}

impl Links {
    pub(crate) fn of(request: &Request<Bytes>, settings: &Settings) -> Self {
        Self::at(request.extensions().get().map_or("", |ExternalOrigin(origin)| origin), settings)
    }

    /// For who reached the site as `origin`.
    pub(crate) fn at(origin: &str, settings: &Settings) -> Self {
        match &settings.public_url {
            PublicUrl::Path(path) => Self { base: format!("{origin}{path}") },
            PublicUrl::Presigned(_) => Self { base: String::new() },
        }
    }

    pub(crate) fn url(&self, name: &str) -> String {
        format!("{}/{name}", self.base)
    }

    pub(crate) fn made(
        &self,
        intent: &Intent,
        (drawn, receipt): (Vec<Drawn>, Receipt),
        at: SystemTime,
    ) -> Made {
        let Intent { id, order, .. } = intent;
        // What it is, which need not be what was asked of a provider that does otherwise.
        let first = drawn.first().and_then(|drawn| Format::of_media_type(&drawn.object.media_type));
        let format = first.unwrap_or(order.format);
        let images = drawn.into_iter().map(|Drawn { object, bytes }| Image {
            url: self.url(&object.name),
            object,
            bytes,
        });
        Made {
            job: id.hyphenated().to_string(),
            prompt: Some(order.prompt.clone()),
            usage: receipt.usage,
            at,
            size: order.size,
            format,
            images: images.collect(),
        }
    }
}

impl Inner {
    /// Writes where the images are found into an answer, where the store itself says that.
    pub(super) async fn address(&self, made: &mut Made) {
        let PublicUrl::Presigned(ttl) = self.live.load().settings.public_url else { return };
        for image in &mut made.images {
            match self.saga.store.presigned(&image.object.name, ttl).await {
                Ok(url) => image.url = url.unwrap_or_default(),
                Err(error) => {
                    tracing::error!(
                        name = image.object.name,
                        error = chain(&error),
                        "no URL could be signed"
                    );
                }
            }
        }
    }
}
