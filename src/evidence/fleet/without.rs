//! A binary that cannot reach a table has no fleet.

use std::path::Path;

use jiff::Timestamp;

use super::FleetError;
use crate::aws::SharedTable;

/// Nobody.
#[derive(Clone, Debug)]
pub enum Fleet {}

impl Fleet {
    /// Refused.
    pub async fn join(
        _shared: &SharedTable,
        _data: &Path,
        _fresh: [u8; 32],
        _clock: fn() -> Timestamp,
    ) -> Result<Self, FleetError> {
        std::future::ready(Err(FleetError::WithoutAws)).await
    }

    /// Never asked.
    #[expect(clippy::unused_async, reason = "there is nobody to wait for")]
    pub async fn turn(&self) -> Result<usize, FleetError> {
        match *self {}
    }

    /// Never asked.
    #[expect(clippy::unused_async, reason = "there is nobody to wait for")]
    pub async fn tell(&self) -> Result<(), FleetError> {
        match *self {}
    }
}
