//! What proves to a hook that figueira has sent it this, and when.

use std::fmt::Write as _;

use hmac::{Hmac, KeyInit as _, Mac as _};
use secrecy::{ExposeSecret as _, SecretString};
use sha2::Sha256;

/// `v1=` and the HMAC-SHA256 (RFC 2104), in hex, over the timestamp in decimal, a full stop and the body.
pub(crate) fn of(secret: &SecretString, timestamp: i64, body: &[u8]) -> String {
    let mut signature = "v1=".to_owned();
    // A key of any length will do: long ones are hashed first.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret.expose_secret().as_bytes()) else {
        return signature;
    };
    mac.update(timestamp.to_string().as_bytes());
    mac.update(b".");
    mac.update(body);
    for byte in mac.finalize().into_bytes() {
        write!(signature, "{byte:02x}").ok();
    }
    signature
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Computed with Python's `hmac`; receivers depend on it.
    #[test]
    fn signatures_are_as_specified() {
        let signed =
            |secret: &str, body: &str| of(&SecretString::from(secret), 1_700_000_000, body.as_bytes());
        assert_eq!(
            signed("s3cret", "{\"text\":\"hi\"}"),
            "v1=a4abab2c9ec335a751cf8c3848e413a84a4e0eef17a9660d993911fafacadb66"
        );
        assert_eq!(
            signed(&"k".repeat(200), ""),
            "v1=d348becc6ab58b6da28783a0101148c37b4bf2bb189204217d18ddaba4e2bf5b"
        );
    }
}
