//! What the fuzz targets reach of the gateway; not part of any build but theirs.

use http::{StatusCode, request};

use super::{admission, testing};

/// Admits a head that the guard let through, or says with what status it is not.
pub fn admit(head: &mut request::Parts) -> Result<(), StatusCode> {
    admission::admit(head, None, &testing::settings()).map_err(|rejection| rejection.status())
}
