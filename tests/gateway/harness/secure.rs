//! Certificates of a story's own, and upstreams that show them.

use std::{fs, path::PathBuf, sync::Arc};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, date_time_ymd};
use rustls::{
    RootCertStore, ServerConfig,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer},
    server::WebPkiClientVerifier,
};
use tempfile::TempDir;

/// An issuer, and the folder that its certificates lie in.
pub(crate) struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    folder: TempDir,
}

/// A certificate, the end of which a story may choose.
#[derive(Clone, Copy)]
pub(crate) struct Leaf<'n> {
    pub(crate) name: &'n str,
    pub(crate) last_year: i32,
    pub(crate) is_ca: IsCa,
}

/// For this name, for as long as anybody will run this.
pub(crate) fn leaf(name: &str) -> Leaf<'_> {
    Leaf { name, last_year: 2099, is_ca: IsCa::NoCa }
}

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let authority = Self { issuer, folder: TempDir::new().unwrap() };
        fs::write(authority.path("ca.pem"), authority.issuer.pem()).unwrap();
        authority
    }

    /// A file of its folder.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Signs a certificate, and writes it and its key as `NAME.pem` and `NAME.key`.
    pub(crate) fn sign(&self, leaf: Leaf<'_>) -> (CertificateDer<'static>, PrivateKeyDer<'static>) {
        let Leaf { name, last_year, is_ca } = leaf;
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(last_year, 1, 1);
        params.is_ca = is_ca;
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        fs::write(self.path(&format!("{name}.pem")), certificate.pem()).unwrap();
        fs::write(self.path(&format!("{name}.key")), key.serialize_pem()).unwrap();
        (certificate.der().clone(), PrivatePkcs8KeyDer::from(key.serialize_der()).into())
    }

    /// What a server of `leaf` speaks TLS with; it asks for clients whose certificates `clients` has signed.
    pub(crate) fn server(
        &self,
        leaf: Leaf<'_>,
        clients: Option<&Self>,
        protocols: &[&str],
    ) -> Arc<ServerConfig> {
        let (certificate, key) = self.sign(leaf);
        let provider = Arc::new(aws_lc_rs::default_provider());
        let builder =
            ServerConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions();
        let builder = match clients {
            None => builder.unwrap().with_no_client_auth(),
            Some(clients) => {
                let mut roots = RootCertStore::empty();
                let issuer: &rcgen::Certificate = clients.issuer.as_ref();
                roots.add(issuer.der().clone()).unwrap();
                let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
                builder.unwrap().with_client_cert_verifier(verifier.build().unwrap())
            }
        };
        let mut config = builder.with_single_cert(vec![certificate], key).unwrap();
        config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
        Arc::new(config)
    }
}
