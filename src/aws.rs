//! How AWS, or a server that speaks its language, is reached. Credentials come by the SDK's usual chain: environment,
//! profile, the role of the machine.

#[cfg(feature = "aws")]
mod client;
#[cfg(feature = "aws")]
pub(crate) mod table;

#[cfg(feature = "aws")]
pub(crate) use self::client::{chain, for_glances, for_objects, for_records, s3};

/// `[aws]`: where AWS, or a server that speaks its language, is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Aws {
    /// The region.
    pub region: String,
    /// Another S3 server.
    pub s3_endpoint_url: Option<String>,
    /// Another `DynamoDB` server.
    pub dynamodb_endpoint_url: Option<String>,
    /// Whether buckets are named in paths instead of hosts.
    pub force_path_style: bool,
}

/// A table of `DynamoDB` that a fleet shares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SharedTable {
    /// Where it is.
    pub aws: Aws,
    /// Its name.
    pub name: String,
}
