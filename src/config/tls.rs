//! `[gateway.tls]`.

use std::{path::PathBuf, time::SystemTime};

use super::{document::Purpose, kind::FILE, section::Section};
use crate::certificate::{self, CertificateError, Pair};

/// The certificates, the first being for clients that name none of the sites; empty where the table is absent.
pub(super) fn read(gateway: &mut Section<'_>) -> Vec<Pair> {
    let given = gateway.has("tls");
    gateway.section("tls", |tls| {
        let (certificate, key) = (tls.optional("certificate", FILE), tls.optional("key", FILE));
        if given {
            for key in ["certificate", "key"].into_iter().filter(|key| !tls.has(key)) {
                tls.error(
                    key,
                    format!("`gateway.tls.{key}` is missing"),
                    "it takes a path in the file system",
                );
            }
        }
        let own = pair(tls, certificate, key);
        let more = tls.list("more", |more| {
            let (certificate, key) = (more.required("certificate", FILE), more.required("key", FILE));
            pair(more, certificate, key)
        });
        std::iter::once(own).chain(more).flatten().collect()
    })
}

/// The pair of these files, which `section` names.
pub(super) fn pair(
    section: &Section<'_>,
    certificate: Option<PathBuf>,
    key: Option<PathBuf>,
) -> Option<Pair> {
    let document = section.document();
    let pair = Pair { certificate: document.beside(&certificate?), key: document.beside(&key?) };
    if document.purpose == Purpose::Start
        && let Err(error) = certificate::judge(&pair, SystemTime::now())
    {
        let (key, help) = match &error {
            CertificateError::Unreadable { path, .. } if *path == pair.key.display().to_string() => {
                ("key", "relative paths start at this file's folder")
            }
            CertificateError::Unreadable { .. } => {
                ("certificate", "relative paths start at this file's folder")
            }
            CertificateError::NoCertificate { .. } => {
                ("certificate", "it takes the site's certificate and then those of its issuers, in PEM")
            }
            CertificateError::Expired { .. } | CertificateError::NotYetValid { .. } => {
                ("certificate", "it would be refused: renew it")
            }
            CertificateError::NoKey { .. }
            | CertificateError::Key { .. }
            | CertificateError::Mismatch { .. } => {
                ("key", "it takes the certificate's own private key, in PEM")
            }
        };
        section.error(key, error.to_string(), help);
    }
    Some(pair)
}
