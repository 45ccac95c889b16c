//! Who may look: a token where one is set, and names of this machine where none is.

use std::{borrow::Cow, net::IpAddr};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::{HeaderMap, Request, header, uri::Authority};
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};

use super::Refusal;

/// The rule in force.
#[derive(Debug)]
pub(super) struct Auth {
    /// The token's hash: comparing hashes takes the same time however much of a guess is right.
    token: Option<[u8; 32]>,
}

impl Auth {
    pub(super) fn new(token: Option<&SecretString>) -> Self {
        Self { token: token.map(|token| hash(token.expose_secret().as_bytes())) }
    }

    /// Without a token, only names and addresses of this machine are answered.
    pub(super) fn check_host<B>(&self, request: &Request<B>) -> Result<(), Refusal> {
        let mut hosts = request.headers().get_all(header::HOST).iter();
        let (Some(host), None) = (hosts.next(), hosts.next()) else { return Err(Refusal::Host) };
        let host: Authority = host.to_str().ok().and_then(|host| host.parse().ok()).ok_or(Refusal::Host)?;
        let asked = request.uri().authority().unwrap_or(&host);
        if self.token.is_some() || (is_loopback(asked.host()) && is_loopback(host.host())) {
            Ok(())
        } else {
            Err(Refusal::Misdirected)
        }
    }

    /// Where a token is set, it must have been sent (RFC 6750, 2.1), or typed as a browser's password (RFC 7617).
    pub(super) fn check_token<B>(&self, request: &Request<B>) -> Result<(), Refusal> {
        match self.token {
            Some(token) if sent(request.headers()).is_none_or(|sent| hash(&sent) != token) => {
                Err(Refusal::Token)
            }
            _ => Ok(()),
        }
    }
}

fn hash(secret: &[u8]) -> [u8; 32] {
    Sha256::digest(secret).into()
}

/// The token of a request. Beside it, whatever name is typed says nothing.
fn sent(headers: &HeaderMap) -> Option<Cow<'_, [u8]>> {
    let value = headers.get(header::AUTHORIZATION)?.as_bytes();
    let (scheme, credentials) = parted(value, b' ')?;
    let credentials = credentials.trim_ascii();
    if scheme.eq_ignore_ascii_case(b"bearer") {
        return Some(credentials.into());
    }
    let typed = STANDARD.decode(scheme.eq_ignore_ascii_case(b"basic").then_some(credentials)?).ok()?;
    parted(&typed, b':').map(|(_, token)| token.to_vec().into())
}

/// What stands before the first `at`, and after it.
fn parted(bytes: &[u8], at: u8) -> Option<(&[u8], &[u8])> {
    let place = bytes.iter().position(|byte| *byte == at)?;
    Some((bytes.get(..place)?, bytes.get(place + 1..)?))
}

fn is_loopback(host: &str) -> bool {
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    host.eq_ignore_ascii_case("localhost")
        || bare.parse().is_ok_and(|address: IpAddr| address.to_canonical().is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(hosts: &[&str], target: &str) -> Result<(), Refusal> {
        let mut request = Request::get(target);
        for host in hosts {
            request = request.header("host", *host);
        }
        Auth::new(None).check_host(&request.body(()).unwrap())
    }

    #[test]
    fn a_rebound_name_is_refused() {
        for host in
            ["localhost", "LocalHost:9901", "127.0.0.1:9901", "127.8.8.8", "[::1]:9901", "[::ffff:127.0.0.1]"]
        {
            assert_eq!(check(&[host], "/"), Ok(()), "{host}");
        }
        for host in
            ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example:9901", "10.0.0.1", "[::2]"]
        {
            assert_eq!(check(&[host], "/"), Err(Refusal::Misdirected), "{host}");
        }
        assert_eq!(check(&["localhost"], "http://evil.example/"), Err(Refusal::Misdirected));
        assert_eq!(check(&["evil.example"], "http://localhost/"), Err(Refusal::Misdirected));
    }

    #[test]
    fn one_host_is_needed() {
        assert_eq!(check(&[], "/"), Err(Refusal::Host));
        assert_eq!(check(&["localhost", "localhost"], "/"), Err(Refusal::Host));
        assert_eq!(check(&["a b"], "/"), Err(Refusal::Host));
    }
}
