//! Certificates as files, ours and those of issuers: what the files hold, and whether it can be used.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use jiff::Timestamp;
use rustls::{
    CertificateError as Rejected, Error, InconsistentKeys, RootCertStore,
    client::{WebPkiServerVerifier, danger::ServerCertVerifier},
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem, pem::PemObject},
    sign::CertifiedKey,
};
use sha2::{Digest as _, Sha256};
use thiserror::Error as ThisError;

/// Larger files were not meant.
const LARGEST: u64 = 1 << 20;

/// Of what a pair's files hold.
pub(crate) type Digest = [u8; 32];

/// Where a certificate and its key are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pair {
    /// PEM: the site's certificate, then those of its issuers.
    pub certificate: PathBuf,
    /// PEM: its private key, in PKCS #8, PKCS #1 or SEC 1.
    pub key: PathBuf,
}

/// Why a certificate cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, ThisError)]
pub enum CertificateError {
    /// A file cannot be read.
    #[error("{path}: cannot be read: {reason}")]
    Unreadable {
        /// The file.
        path: String,
        /// What the system said.
        reason: String,
    },
    /// It is not PEM, or holds no certificate.
    #[error("{path}: holds no certificate in PEM: {reason}")]
    NoCertificate {
        /// The file.
        path: String,
        /// What was found.
        reason: String,
    },
    /// It is not PEM, or holds no private key.
    #[error("{path}: holds no private key in PEM: {reason}")]
    NoKey {
        /// The file.
        path: String,
        /// What was found.
        reason: String,
    },
    /// A key of a kind or size that TLS does not use here.
    #[error("{path}: the key cannot be used: {reason}")]
    Key {
        /// The file.
        path: String,
        /// Why.
        reason: String,
    },
    /// They do not belong together.
    #[error("{key}: is not the key of {certificate}")]
    Mismatch {
        /// The certificate's file.
        certificate: String,
        /// The key's file.
        key: String,
    },
    /// It is over.
    #[error("{path}: expired on {since}")]
    Expired {
        /// The file.
        path: String,
        /// Its last moment.
        since: Timestamp,
    },
    /// It has not begun.
    #[error("{path}: is not valid before {from}")]
    NotYetValid {
        /// The file.
        path: String,
        /// Its first moment.
        from: Timestamp,
    },
}

/// A certificate that can be used.
pub(crate) struct Identity {
    pub(crate) key: Arc<CertifiedKey>,
    /// In seconds since 1970.
    pub(crate) not_after: Option<u64>,
}

/// What both files held at one moment.
pub(crate) struct Files {
    certificate: Result<Vec<u8>, String>,
    key: Result<Vec<u8>, String>,
}

impl Files {
    pub(crate) fn read(pair: &Pair) -> Self {
        let read = |path: &Path| read(path).map_err(|error| error.to_string());
        Self { certificate: read(&pair.certificate), key: read(&pair.key) }
    }

    /// Tells one moment's content from another's.
    pub(crate) fn digest(&self) -> Digest {
        let mut digest = Sha256::new();
        for content in [&self.certificate, &self.key] {
            let (told, bytes) = match content {
                Ok(bytes) => ("read", bytes.as_slice()),
                Err(reason) => ("failed", reason.as_bytes()),
            };
            digest.update(told);
            digest.update(Sha256::digest(bytes));
        }
        digest.finalize().into()
    }

    /// Whether they can be used at `now`.
    pub(crate) fn judge(self, pair: &Pair, now: SystemTime) -> Result<Identity, CertificateError> {
        let (path, key_path) = (pair.certificate.display().to_string(), pair.key.display().to_string());
        let unreadable = |path: &str, reason| CertificateError::Unreadable { path: path.to_owned(), reason };
        let certificate = self.certificate.map_err(|reason| unreadable(&path, reason))?;
        let key = self.key.map_err(|reason| unreadable(&key_path, reason))?;

        let none = |reason: String| CertificateError::NoCertificate { path: path.clone(), reason };
        let chain: Result<Vec<_>, pem::Error> = CertificateDer::pem_slice_iter(&certificate).collect();
        let chain = chain.map_err(|error| none(error.to_string()))?;
        let leaf = chain.first().ok_or_else(|| none("no CERTIFICATE section".to_owned()))?.clone();
        let key = PrivateKeyDer::from_pem_slice(&key)
            .map_err(|error| CertificateError::NoKey { path: key_path.clone(), reason: told(&error) })?;
        let key = aws_lc_rs::default_provider()
            .key_provider
            .load_private_key(key)
            .map_err(|error| CertificateError::Key { path: key_path.clone(), reason: error.to_string() })?;

        let certified = CertifiedKey::new(chain, key);
        match certified.keys_match() {
            Ok(()) | Err(Error::InconsistentKeys(InconsistentKeys::Unknown)) => {}
            Err(Error::InconsistentKeys(InconsistentKeys::KeyMismatch)) => {
                return Err(CertificateError::Mismatch { certificate: path, key: key_path });
            }
            Err(error) => return Err(none(error.to_string())),
        }
        let now = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let Validity { not_before, not_after } = Validity::of(&leaf);
        if let Some(since) = not_after.filter(|end| *end < now) {
            return Err(CertificateError::Expired { path, since: moment(since) });
        }
        if let Some(from) = not_before.filter(|begin| *begin > now) {
            return Err(CertificateError::NotYetValid { path, from: moment(from) });
        }
        Ok(Identity { key: Arc::new(certified), not_after })
    }
}

/// Reads the files of `pair` and judges them, to tell an operator before it matters.
pub fn judge(pair: &Pair, now: SystemTime) -> Result<(), CertificateError> {
    Files::read(pair).judge(pair, now).map(drop)
}

/// The certificates of issuers that a file holds, as the roots of whatever they have signed.
pub(crate) fn issuers(
    path: &Path,
    content: Result<Vec<u8>, String>,
) -> Result<RootCertStore, CertificateError> {
    let path = path.display().to_string();
    let content = content.map_err(|reason| CertificateError::Unreadable { path: path.clone(), reason })?;
    let none = |reason: String| CertificateError::NoCertificate { path: path.clone(), reason };
    let found: Result<Vec<_>, pem::Error> = CertificateDer::pem_slice_iter(&content).collect();
    let found = found.map_err(|error| none(error.to_string()))?;
    if found.is_empty() {
        return Err(none("no CERTIFICATE section".to_owned()));
    }
    let mut roots = RootCertStore::empty();
    for issuer in found {
        roots.add(issuer).map_err(|error| none(error.to_string()))?;
    }
    Ok(roots)
}

/// All of a file.
pub(crate) fn read(path: &Path) -> io::Result<Vec<u8>> {
    let about = std::fs::metadata(path)?;
    // Asked first, because opening a pipe waits for its other end.
    if !about.is_file() || about.len() > LARGEST {
        return Err(io::Error::other("not a file of at most 1 MiB"));
    }
    std::fs::read(path)
}

fn told(error: &pem::Error) -> String {
    match error {
        pem::Error::NoItemsFound => "no PRIVATE KEY section".to_owned(),
        error => error.to_string(),
    }
}

/// When a certificate begins and ends, in seconds since 1970, as far as that can be read.
#[derive(Default)]
struct Validity {
    not_before: Option<u64>,
    not_after: Option<u64>,
}

impl Validity {
    /// rustls reads these fields and does not show them, but a verifier that is asked about the wrong time says what
    /// the right one would have been, before it looks at anything else.
    fn of(leaf: &CertificateDer<'static>) -> Self {
        /// The end of the year 9999, the last that a certificate can name (RFC 5280, 4.1.2.5).
        const END: u64 = 253_402_300_799;
        let mut roots = RootCertStore::empty();
        if roots.add(leaf.clone()).is_err() {
            return Self::default();
        }
        let provider = Arc::new(aws_lc_rs::default_provider());
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build();
        let (Ok(verifier), Ok(nobody)) = (verifier, ServerName::try_from("nobody.invalid")) else {
            return Self::default();
        };
        let at = |seconds| {
            let at = UnixTime::since_unix_epoch(Duration::from_secs(seconds));
            verifier.verify_server_cert(leaf, &[], &nobody, &[], at).err()
        };
        let not_before = match at(0) {
            Some(Error::InvalidCertificate(Rejected::NotValidYetContext { not_before, .. })) => {
                Some(not_before)
            }
            _ => None,
        };
        let not_after = match at(END) {
            Some(Error::InvalidCertificate(Rejected::ExpiredContext { not_after, .. })) => Some(not_after),
            _ => None,
        };
        Self {
            not_before: not_before.map(|time| time.as_secs()),
            not_after: not_after.map(|time| time.as_secs()),
        }
    }
}

fn moment(seconds: u64) -> Timestamp {
    i64::try_from(seconds)
        .ok()
        .and_then(|seconds| Timestamp::from_second(seconds).ok())
        .unwrap_or(Timestamp::MAX)
}
