//! Images in a bucket: one conditional `PutObject` each, so that no name is ever written twice; read by range; moved
//! aside by copy. The bucket stays private: what a browser is given is presigned when it asks, after the commit.

use std::{
    ops::Range,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use aws_config::SdkConfig;
use aws_sdk_s3::{
    Client,
    error::{ProvideErrorMetadata, SdkError},
    presigning::PresigningConfig,
    primitives::{ByteStream, SdkBody},
    types::{ChecksumMode, ServerSideEncryption},
};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use bytes::Bytes;
use http::StatusCode;
use sha2::{Digest as _, Sha256};
use tokio::io::{AsyncRead, AsyncReadExt as _};

use super::{Held, Listed, StoreError, TRASH};
use crate::{
    aws::{self, Aws},
    generator::{
        catalog::Object,
        digest::Digest,
        settings::{S3 as Settings, Sse},
    },
};

/// How often a write is tried again that ran into another one of the same name (409).
const CONFLICTS: u32 = 3;
const PIECE: usize = 64 * 1024;

/// A bucket, or a folder of one.
#[derive(Clone, Debug)]
pub(crate) struct S3 {
    pub(super) client: Client,
    settings: Settings,
}

impl S3 {
    /// A client of this bucket; asks nothing yet.
    pub(crate) async fn new(aws: &Aws, settings: Settings) -> Self {
        Self::with(&aws::for_objects(aws).await, aws, settings)
    }

    /// The same, with what is known of AWS otherwise.
    pub(super) fn with(known: &SdkConfig, aws: &Aws, settings: Settings) -> Self {
        Self { client: aws::s3(known, aws), settings }
    }

    pub(super) async fn put(&self, object: &Object, bytes: Bytes) -> Result<(), StoreError> {
        for _ in 0..CONFLICTS {
            let put = self
                .client
                .put_object()
                .bucket(&self.settings.bucket)
                .key(self.key(&object.name))
                .if_none_match("*")
                .checksum_sha256(base64(&object.sha256))
                .content_type(&object.media_type)
                .set_server_side_encryption(self.settings.sse.map(encryption))
                .body(ByteStream::from(SdkBody::from(bytes.clone())));
            let Err(error) = put.send().await else { return Ok(()) };
            match status(&error) {
                // It is there: by us, whose answer was lost, or by another.
                Some(StatusCode::PRECONDITION_FAILED) => {
                    return match self.held(&object.name, &object.sha256).await? {
                        Held::Same => Ok(()),
                        Held::Other => Err(StoreError::Taken { name: object.name.clone() }),
                        Held::Nothing => Err(failed(error)),
                    };
                }
                Some(StatusCode::CONFLICT) => {}
                _ => return Err(failed(error)),
            }
        }
        Err(StoreError::S3("others were writing the same name all the time".into()))
    }

    pub(super) async fn held(&self, name: &str, sha256: &Digest) -> Result<Held, StoreError> {
        let head = self
            .client
            .head_object()
            .bucket(&self.settings.bucket)
            .key(self.key(name))
            .checksum_mode(ChecksumMode::Enabled);
        let head = match head.send().await {
            Ok(head) => head,
            Err(error) if status(&error) == Some(StatusCode::NOT_FOUND) => return Ok(Held::Nothing),
            Err(error) => return Err(failed(error)),
        };
        let same = match head.checksum_sha256 {
            Some(checksum) => checksum == base64(sha256),
            // Servers that keep no checksum have to hand the bytes over.
            None => match self.hash(name).await? {
                Some(found) => found == *sha256,
                None => return Ok(Held::Nothing),
            },
        };
        Ok(if same { Held::Same } else { Held::Other })
    }

    async fn hash(&self, name: &str) -> Result<Option<Digest>, StoreError> {
        let get = self.client.get_object().bucket(&self.settings.bucket).key(self.key(name));
        let mut body = match get.send().await {
            Ok(got) => got.body,
            Err(error) if status(&error) == Some(StatusCode::NOT_FOUND) => return Ok(None),
            Err(error) => return Err(failed(error)),
        };
        let mut hash = Sha256::new();
        while let Some(piece) = body.next().await {
            hash.update(piece.map_err(|error| StoreError::S3(error.into()))?);
        }
        Ok(Some(Digest::finished(hash)))
    }

    pub(super) async fn delete(&self, name: &str) -> Result<(), StoreError> {
        let delete = self.client.delete_object().bucket(&self.settings.bucket).key(self.key(name));
        delete.send().await.map(drop).map_err(failed)
    }

    pub(super) async fn read(
        &self,
        name: &str,
        length: u64,
        range: Range<u64>,
    ) -> Result<Box<dyn AsyncRead + Send + Unpin>, StoreError> {
        let mut get = self.client.get_object().bucket(&self.settings.bucket).key(self.key(name));
        let whole = range == (0..length);
        if !whole {
            get = get.range(format!("bytes={}-{}", range.start, range.end.saturating_sub(1)));
        }
        let got = get.send().await.map_err(failed)?;
        let expected = range.end.saturating_sub(range.start);
        let found = got.content_length.and_then(|length| u64::try_from(length).ok());
        if found != Some(expected) {
            let message = format!("{name}: {expected} bytes were asked for, {found:?} come");
            return Err(StoreError::S3(message.into()));
        }
        let reader = Box::pin(got.body.into_async_read());
        Ok(Box::new(tokio::io::BufReader::with_capacity(PIECE, reader).take(expected)))
    }

    pub(super) async fn list(&self) -> Result<Vec<Listed>, StoreError> {
        let list = self.client.list_objects_v2().bucket(&self.settings.bucket).prefix(&self.settings.prefix);
        let mut pages = list.into_paginator().send();
        let mut found = Vec::new();
        while let Some(page) = pages.next().await {
            for object in page.map_err(failed)?.contents.unwrap_or_default() {
                let name = object.key.as_deref().and_then(|key| key.strip_prefix(&self.settings.prefix));
                // What lies in folders is none of ours, the trash included.
                let Some(name) = name.filter(|name| !name.contains('/')) else { continue };
                let written = object.last_modified.and_then(|at| u64::try_from(at.secs()).ok());
                let written = written.map_or(SystemTime::now(), |at| UNIX_EPOCH + Duration::from_secs(at));
                found.push(Listed { name: name.to_owned(), written });
            }
        }
        Ok(found)
    }

    pub(super) async fn discard(&self, name: &str) -> Result<(), StoreError> {
        let source = format!("{}/{}", self.settings.bucket, self.key(name));
        let copy = self
            .client
            .copy_object()
            .bucket(&self.settings.bucket)
            .key(self.key(&format!("{TRASH}/{name}")))
            .copy_source(source)
            .set_server_side_encryption(self.settings.sse.map(encryption));
        copy.send().await.map_err(failed)?;
        self.delete(name).await
    }

    pub(super) async fn note(&self, name: &str) -> Result<Option<String>, StoreError> {
        let get = self.client.get_object().bucket(&self.settings.bucket).key(self.key(name));
        let body = match get.send().await {
            Ok(got) => got.body.collect().await.map_err(|error| StoreError::S3(error.into()))?,
            Err(error) if status(&error) == Some(StatusCode::NOT_FOUND) => return Ok(None),
            Err(error) => return Err(failed(error)),
        };
        Ok(Some(String::from_utf8_lossy(&body.into_bytes()).trim().to_owned()))
    }

    pub(super) async fn write_note(&self, name: &str, text: &str) -> Result<(), StoreError> {
        let put = self
            .client
            .put_object()
            .bucket(&self.settings.bucket)
            .key(self.key(name))
            .if_none_match("*")
            .content_type("text/plain")
            .set_server_side_encryption(self.settings.sse.map(encryption))
            .body(ByteStream::from(Bytes::from(text.to_owned())));
        match put.send().await {
            Err(error) if status(&error) != Some(StatusCode::PRECONDITION_FAILED) => Err(failed(error)),
            _ => Ok(()),
        }
    }

    /// A URL under which anybody can read an object for `ttl`.
    pub(super) async fn presigned(&self, name: &str, ttl: Duration) -> Result<String, StoreError> {
        let config = PresigningConfig::expires_in(ttl).map_err(|error| StoreError::S3(error.into()))?;
        let get = self.client.get_object().bucket(&self.settings.bucket).key(self.key(name));
        Ok(get.presigned(config).await.map_err(failed)?.uri().to_owned())
    }

    fn key(&self, name: &str) -> String {
        format!("{}{name}", self.settings.prefix)
    }
}

fn encryption(sse: Sse) -> ServerSideEncryption {
    match sse {
        Sse::Aes256 => ServerSideEncryption::Aes256,
        Sse::Kms => ServerSideEncryption::AwsKms,
    }
}

/// A SHA-256 as S3 writes it.
fn base64(sha256: &Digest) -> String {
    BASE64_STANDARD.encode(sha256.bytes())
}

/// The status of an answer; none where there was no answer.
fn status<E: ProvideErrorMetadata>(error: &SdkError<E>) -> Option<StatusCode> {
    let status = error.raw_response()?.status().as_u16();
    StatusCode::from_u16(status).ok()
}

fn failed<E>(error: SdkError<E>) -> StoreError
where
    E: std::error::Error + Send + Sync + 'static,
{
    StoreError::S3(error.into())
}
