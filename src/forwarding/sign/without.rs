//! In a build without `aws` nothing is signed; the configuration refuses it before anything is asked.

use std::{sync::Arc, time::SystemTime};

use super::{Payload, Sign};

/// What a signature is of.
#[derive(Debug)]
#[expect(dead_code, reason = "read where requests are signed")]
pub(super) struct Asked<'a> {
    pub(super) sign: &'a Sign,
    pub(super) host: &'a str,
    pub(super) method: &'a str,
    pub(super) target: &'a str,
    pub(super) payload: Payload,
}

/// None.
#[derive(Debug)]
pub(super) struct Credentials;

impl Credentials {
    pub(super) fn new(_upstream: Arc<str>) -> Self {
        Self
    }

    pub(super) async fn follow(&self) {
        std::future::pending::<()>().await;
    }

    pub(super) async fn sign(
        &self,
        _asked: &Asked<'_>,
        _now: SystemTime,
    ) -> Result<Vec<(String, String)>, String> {
        std::future::ready(Err("this build signs nothing: it was made without `aws`".to_owned())).await
    }
}
