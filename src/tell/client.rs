//! How hooks are reached: over plain HTTP, or over TLS by the certificates that this system trusts.

use std::{error::Error, io, sync::OnceLock, time::Duration};

use reqwest::{Client, ClientBuilder, redirect};

/// One attempt.
const PATIENCE: Duration = Duration::from_secs(10);

/// The clients that carry what is told.
#[derive(Debug)]
pub(super) struct Reach {
    plain: Client,
    /// Made when it is first needed: a machine that trusts nobody can still tell over plain HTTP.
    secure: OnceLock<Client>,
}

impl Reach {
    pub(super) fn new() -> reqwest::Result<Self> {
        Ok(Self { plain: builder().tls_certs_only([]).build()?, secure: OnceLock::new() })
    }

    /// The one that goes to `url`. Fails where that needs a trusted certificate and the system has none.
    pub(super) fn client(&self, url: &str) -> reqwest::Result<&Client> {
        if !url.starts_with("https://") {
            return Ok(&self.plain);
        }
        if let Some(client) = self.secure.get() {
            return Ok(client);
        }
        let made = builder().https_only(true).build()?;
        Ok(self.secure.get_or_init(|| made))
    }
}

fn builder() -> ClientBuilder {
    // A redirect could lead anywhere, and would be followed without its body.
    Client::builder()
        .timeout(PATIENCE)
        .redirect(redirect::Policy::none())
        .user_agent(concat!("figueira/", env!("CARGO_PKG_VERSION")))
}

/// Why an attempt failed, outermost first, and what to do where that is known. Never the address.
pub(crate) fn because(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut text = error.to_string();
    let mut inner = error.source();
    let mut is_distrusted = error.is_builder();
    while let Some(cause) = inner {
        let said = cause.to_string();
        if !text.ends_with(&said) {
            text = format!("{text}: {said}");
        }
        is_distrusted |= is_of_a_certificate(cause);
        inner = cause.source();
    }
    if is_distrusted {
        text += "; trusted are this system's certificates, or the bundle that SSL_CERT_FILE names";
    }
    text
}

/// Whether TLS was refused for what the other side has shown.
fn is_of_a_certificate(error: &(dyn Error + 'static)) -> bool {
    match (error.downcast_ref(), error.downcast_ref::<io::Error>().and_then(io::Error::get_ref)) {
        (Some(rustls::Error::InvalidCertificate(_)), _) => true,
        // What an I/O error wraps is not among its sources.
        (_, Some(wrapped)) => is_of_a_certificate(wrapped),
        _ => false,
    }
}
