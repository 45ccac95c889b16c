//! A lake in a bucket of S3, or of a server that speaks its language.

use std::error::Error;

use aws_sdk_s3::{
    Client,
    error::{ProvideErrorMetadata, SdkError},
    primitives::{ByteStream, SdkBody},
};
use bytes::Bytes;

use super::LakeError;
use crate::aws::{self, Aws};

/// How often a file is written again that ran into another one of its name (409).
const CONFLICTS: u32 = 3;

/// The bucket, or a folder of it.
#[derive(Clone, Debug)]
pub struct Bucket {
    client: Client,
    name: String,
    /// Empty, or ends with a slash.
    prefix: String,
}

impl Bucket {
    pub(super) async fn new(aws: &Aws, name: &str, prefix: &str) -> Self {
        let client = aws::s3(&aws::for_objects(aws).await, aws);
        Self { client, name: name.to_owned(), prefix: prefix.to_owned() }
    }

    /// An object is seen whole or not at all.
    pub(super) async fn put(&self, name: &str, bytes: Bytes) -> Result<(), LakeError> {
        let put = self.client.put_object().bucket(&self.name).key(self.key(name));
        put.body(body(bytes)).send().await.map(drop).map_err(|error| self.failed(name, error))
    }

    /// The same, once: what is there by that name already is what was to be written.
    pub(super) async fn put_once(&self, name: &str, bytes: Bytes) -> Result<(), LakeError> {
        for attempt in 1.. {
            let put = self.client.put_object().bucket(&self.name).key(self.key(name)).if_none_match("*");
            match put.body(body(bytes.clone())).send().await {
                Ok(_) => break,
                Err(error) => match status(&error) {
                    Some(412) => break,
                    Some(409) if attempt < CONFLICTS => {}
                    _ => return Err(self.failed(name, error)),
                },
            }
        }
        Ok(())
    }

    pub(super) async fn list(&self, table: &str) -> Result<Vec<String>, LakeError> {
        let below = self.key(&format!("{table}/"));
        let mut pages =
            self.client.list_objects_v2().bucket(&self.name).prefix(below).into_paginator().send();
        let mut names = Vec::new();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|error| self.failed(table, error))?;
            let keys = page.contents.unwrap_or_default().into_iter().filter_map(|object| object.key);
            let files = keys.filter(|key| key.ends_with(".parquet"));
            names.extend(files.filter_map(|key| Some(key.strip_prefix(&self.prefix)?.to_owned())));
        }
        names.sort();
        Ok(names)
    }

    pub(super) async fn get(&self, name: &str) -> Result<Bytes, LakeError> {
        let get = self.client.get_object().bucket(&self.name).key(self.key(name)).send().await;
        let got = get.map_err(|error| self.failed(name, error))?.body.collect().await;
        Ok(got.map_err(|error| self.failed(name, error))?.into_bytes())
    }

    fn key(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    fn failed(&self, name: &str, error: impl Error + 'static) -> LakeError {
        LakeError::Bucket {
            object: format!("s3://{}/{}", self.name, self.key(name)),
            why: aws::chain(&error),
        }
    }
}

fn body(bytes: Bytes) -> ByteStream {
    ByteStream::from(SdkBody::from(bytes))
}

/// The status of an answer; none where there was no answer.
fn status<E: ProvideErrorMetadata>(error: &SdkError<E>) -> Option<u16> {
    Some(error.raw_response()?.status().as_u16())
}
