//! Previews are kept beside the evidence and counted as nothing: what a changed rule or a mended candidate would have
//! come to.

use std::{path::Path, sync::Arc};

use super::{
    said::SaidError,
    sqlite::{self, Batch, VERSION},
};
use crate::parallel_run::comparison::{Comparison, Direction};

/// Writes `preview` under the epoch that `route` took up last, in the folder `data`, beside a gateway that writes there too.
pub fn keep(data: &Path, route: &str, preview: &Comparison) -> Result<(), SaidError> {
    let path = data.join("evidence.sqlite");
    if !path.exists() {
        return Err(SaidError::Missing(path));
    }
    let mut connection = sqlite::open(&path)?;
    match sqlite::version(&connection)? {
        VERSION => {}
        found => return Err(SaidError::Version(found)),
    }
    let epoch: String = connection.query_row(
        "SELECT name FROM epoch WHERE route = ?1 ORDER BY active_at DESC LIMIT 1",
        [route],
        |row| row.get(0),
    )?;
    let (route, epoch): (Arc<str>, Arc<str>) = (route.into(), epoch.into());
    let mut batch = Batch::begin(&mut connection)?;
    let preview = Comparison { route, epoch, direction: Direction::Replay, ..preview.clone() };
    batch.comparison(&preview, None)?;
    batch.commit()?;
    Ok(())
}
