//! Images of shadows: kept for whoever judges a pair, never visible, bounded in number and age.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use bytes::Bytes;

use super::plane::Plane;
use crate::private;

const MOST: usize = 256;
/// They go within a day, and are looked at hourly.
const OLDEST: Duration = Duration::from_hours(23);

/// A folder whose oldest images make room for new ones.
#[derive(Clone, Debug)]
pub(crate) struct Shadows {
    root: PathBuf,
    plane: Plane,
}

impl Shadows {
    /// Opens or creates the folder. Blocks.
    pub(crate) fn open(root: PathBuf, plane: Plane) -> io::Result<Self> {
        private::folders(&root)?;
        Ok(Self { root, plane })
    }

    /// Keeps some images, then lets go of those that are too many or, `now`, too old. Not synced: a shadow is no loss.
    pub(crate) async fn keep(&self, images: Vec<(String, Bytes)>, now: SystemTime) -> io::Result<()> {
        let root = self.root.clone();
        let kept = move || {
            for (name, bytes) in images {
                private::write(&root.join(name), bytes)?;
            }
            let_go(&root, now)
        };
        self.plane.bulk(kept).await.map_err(io::Error::other)?
    }

    /// Lets go of those that are, `now`, too old.
    pub(crate) async fn tidy(&self, now: SystemTime) -> io::Result<()> {
        let root = self.root.clone();
        self.plane.bulk(move || let_go(&root, now)).await.map_err(io::Error::other)?
    }
}

fn let_go(root: &Path, now: SystemTime) -> io::Result<()> {
    let mut found = Vec::new();
    for entry in fs::read_dir(root)? {
        let entry = entry?;
        match entry.metadata() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            metadata => found.push((metadata?.modified()?, entry.path())),
        }
    }
    found.sort();
    let too_many = found.len().saturating_sub(MOST);
    for (index, (written, path)) in found.into_iter().enumerate() {
        if index < too_many || now.duration_since(written).is_ok_and(|age| age > OLDEST) {
            match fs::remove_file(path) {
                // Another shadow made the same room.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                removed => removed?,
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::{fs, time::SystemTime};

    use bytes::Bytes;

    use super::{MOST, OLDEST, Shadows};
    use crate::{generator::plane::Plane, shutdown::Shutdown};

    #[tokio::test]
    async fn the_oldest_make_room() {
        let folder = tempfile::tempdir().unwrap();
        let shadows = Shadows::open(folder.path().into(), Plane::current(Shutdown::default())).unwrap();
        let image = |name: &str| vec![(name.to_owned(), Bytes::from_static(b"x"))];
        shadows
            .keep((0..=MOST).map(|n| (format!("{n:04}"), Bytes::new())).collect(), SystemTime::now())
            .await
            .unwrap();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), MOST);
        let tomorrow = SystemTime::now() + OLDEST + OLDEST;
        shadows.keep(image("new"), tomorrow).await.unwrap();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "all are a day old");
    }
}
