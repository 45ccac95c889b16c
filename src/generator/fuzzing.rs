//! What the fuzz targets reach of the generator; not part of any build but theirs.

use bytes::Bytes;
use http::Request;

use super::{
    contract::{self, Rejection},
    image::{self, Limits},
    order::Size,
    settings::Contract,
};

/// Reads a request by every contract, and writes the answer of those that refuse it.
pub fn read(request: &Request<Bytes>) {
    for contract in [Contract::Article, Contract::OpenAi] {
        if let Err(Rejection::Malformed(refusal) | Rejection::BeyondTables(refusal)) =
            contract::read(&contract, request, 1 << 20, None)
        {
            drop(refusal.answer(&contract));
        }
    }
}

/// Examines an image of at most a megapixel.
pub fn examine(bytes: &[u8]) {
    let limits = Limits { bytes: 1 << 20, pixels: 1 << 20 };
    drop(image::examine(bytes, Size { width: 16, height: 16 }, limits));
}
