//! Why there is no TLS session with an upstream, in words that say what to do.

use std::{error::Error as StdError, io};

use jiff::Timestamp;
use rustls::{
    AlertDescription as Alert, CertificateError as Rejected, Error,
    pki_types::{ServerName, UnixTime},
};

/// What became of a handshake with `name`.
pub(in crate::forwarding) fn explained(error: &io::Error, name: &ServerName<'_>) -> String {
    let why = match of_rustls(error) {
        Some(error) => of_handshake(error, &name.to_str()),
        None if error.kind() == io::ErrorKind::UnexpectedEof => {
            "it closed the connection in the handshake: see whether it speaks TLS on this port".to_owned()
        }
        None => error.to_string(),
    };
    format!("TLS: {why}")
}

/// What a session was ended with, where `error` came of it: a certificate of ours is refused only after the handshake
/// (RFC 8446, 4.4.2.4).
pub(in crate::forwarding) fn of_session(error: &(dyn StdError + 'static)) -> Option<String> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<io::Error>().and_then(of_rustls) {
            return Some(format!("TLS: {}", of_handshake(error, "this site")));
        }
        cause = error.source();
    }
    None
}

fn of_rustls(error: &io::Error) -> Option<&Error> {
    error.get_ref()?.downcast_ref()
}

fn of_handshake(error: &Error, name: &str) -> String {
    match error {
        Error::InvalidCertificate(rejected) => of_certificate(rejected, name),
        Error::AlertReceived(
            alert @ (Alert::CertificateRequired
            | Alert::BadCertificate
            | Alert::UnsupportedCertificate
            | Alert::CertificateRevoked
            | Alert::CertificateExpired
            | Alert::CertificateUnknown
            | Alert::UnknownCA
            | Alert::AccessDenied),
        ) => format!(
            "it takes no client without a certificate that it trusts ({alert:?}): name one in `tls.certificate` and `tls.key`"
        ),
        Error::AlertReceived(Alert::NoApplicationProtocol) => {
            "it speaks none of the protocols that were offered: see `h2`".to_owned()
        }
        Error::AlertReceived(Alert::UnrecognisedName) => {
            format!("it knows no site of the name {name}: set `tls.server_name`")
        }
        Error::AlertReceived(alert) => format!("it refused the handshake: {alert:?}"),
        Error::InvalidMessage(_) => "what it sends is not TLS: is this port one for http://?".to_owned(),
        Error::PeerIncompatible(reason) => format!("it speaks no version or cipher in common: {reason:?}"),
        error => error.to_string(),
    }
}

fn of_certificate(rejected: &Rejected, name: &str) -> String {
    match rejected {
        Rejected::UnknownIssuer => {
            "nobody who is trusted has signed its certificate: name its issuer in `tls.ca`".to_owned()
        }
        Rejected::BadSignature => {
            "its certificate is not signed by the issuer of that name that is trusted: name its issuer in `tls.ca`".to_owned()
        }
        Rejected::NotValidForName => {
            format!("its certificate is not for {name}: set `tls.server_name` to a name that it is for")
        }
        Rejected::NotValidForNameContext { presented, .. } => format!(
            "its certificate is not for {name} but for {}: set `tls.server_name` to a name that it is for",
            presented.iter().map(|name| bare(name)).collect::<Vec<_>>().join(", ")
        ),
        Rejected::Expired => "its certificate is expired: renew it there".to_owned(),
        Rejected::ExpiredContext { not_after, .. } => {
            format!("its certificate expired on {}: renew it there", moment(*not_after))
        }
        Rejected::NotValidYet => "its certificate is not valid yet: see to both clocks".to_owned(),
        Rejected::NotValidYetContext { not_before, .. } => {
            format!("its certificate is not valid before {}: see to both clocks", moment(*not_before))
        }
        Rejected::Revoked => "its certificate is revoked".to_owned(),
        // The verifier's own word, which it gives no type.
        rejected if format!("{rejected:?}").contains("CaUsedAsEndEntity") => {
            "its certificate is that of an issuer (as `openssl req -x509` makes them): issue it one that says `CA:FALSE`"
                .to_owned()
        }
        rejected => format!("its certificate is refused: {rejected}"),
    }
}

/// A name out of `DnsName("site.test")`.
fn bare(presented: &str) -> &str {
    presented.split('"').nth(1).unwrap_or(presented)
}

fn moment(time: UnixTime) -> Timestamp {
    i64::try_from(time.as_secs())
        .ok()
        .and_then(|seconds| Timestamp::from_second(seconds).ok())
        .unwrap_or(Timestamp::MAX)
}
