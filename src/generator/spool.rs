//! What was drawn, kept until it is stored: `<data>/spool/<job>/<name>`, fsynced before the first object is stored; and
//! what a job's record is to say, so that it is found there where that does not come about.

use std::{
    fs::{self, File},
    io::{self, Read as _, Seek as _, SeekFrom, Write as _},
    path::{Path, PathBuf},
};

use bytes::Bytes;
use rustix::fs::{FallocateFlags, fallocate};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use uuid::Uuid;

use super::{
    catalog::Object, plane::Plane, provider::Receipt, state::Reason, store::filesystem::sync_folder,
};
use crate::{priority, private};

/// What names of places begin with that are reserved.
const RESERVED: &str = "reserved-";
const FOR_STORE: &str = "reserved-for-store";
/// What names of what was paid and cannot be used begin with.
const PAID: &str = "paid-";
/// What the record is to say: there once all images are.
const KEPT: &str = "kept.json";
/// The same of a job that gave no images.
const FAILED: &str = "failed.json";

/// What is kept of a job that was drawn, as its record is to say it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Kept {
    /// The images in order.
    pub(crate) objects: Vec<Object>,
    /// What the provider said of them.
    pub(crate) receipt: Receipt,
}

/// Why a job gave no images, as its record is to say it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Failed {
    /// Why.
    pub(crate) reason: Reason,
    /// What the provider said of it.
    pub(crate) receipt: Receipt,
}

impl Failed {
    /// Nothing was called, whatever the record says.
    pub(crate) fn before_the_call() -> Self {
        Self { reason: Reason::Refused, receipt: Receipt::default() }
    }
}

/// The folder of what was drawn and is not yet stored.
#[derive(Clone, Debug)]
pub(crate) struct Spool {
    root: PathBuf,
    plane: Plane,
}

impl Spool {
    /// Opens or creates the folder. Blocks.
    pub(crate) fn open(root: PathBuf, plane: Plane) -> io::Result<Self> {
        private::folders(&root)?;
        Ok(Self { root, plane })
    }

    /// Makes sure, before anything is claimed or paid, that the disk takes this many images of about `bytes` each,
    /// both here and in a store on the same disk.
    pub(crate) async fn reserve(&self, job: Uuid, images: u32, bytes: u64) -> io::Result<()> {
        let folder = self.folder(job);
        self.disk(move || {
            let reserved = private::new_folder(&folder).and_then(|()| {
                reserve(&folder.join(FOR_STORE), bytes.saturating_mul(u64::from(images)))?;
                (0..images).try_for_each(|index| reserve(&folder.join(place(index)), bytes))
            });
            if reserved.is_err() {
                // The reservation's own error is what matters; what is left is swept at the next start.
                let _ = fs::remove_dir_all(&folder);
            }
            reserved
        })
        .await
    }

    /// Keeps a job's images in the places reserved for them, durably, and frees what was reserved for the store. `images`
    /// are those of `kept`, in their order.
    pub(crate) async fn keep(&self, job: Uuid, kept: &Kept, images: Vec<Bytes>) -> io::Result<()> {
        let (root, folder) = (self.root.clone(), self.folder(job));
        let said = serde_json::to_vec(kept)?;
        let names: Vec<_> = kept.objects.iter().map(|object| object.name.clone()).collect();
        self.disk(move || {
            for (index, (name, bytes)) in (0..).zip(names.into_iter().zip(images)) {
                let place = folder.join(place(index));
                fill(&place, &bytes)?.sync_all()?;
                fs::rename(place, folder.join(name))?;
            }
            sync_folder(&folder)?;
            sync_folder(&root)?;
            // Not synced: the record says it better, and is about to be written.
            let place = folder.join(FOR_STORE);
            fill(&place, &said)?;
            fs::rename(place, folder.join(KEPT))
        })
        .await
    }

    /// Keeps a piece of an answer, from `at` on, in the room that is reserved for the store: until there is memory for all of
    /// it. Not for a process that comes after this one.
    pub(crate) async fn land(&self, job: Uuid, at: usize, piece: Bytes) -> io::Result<()> {
        let place = self.folder(job).join(FOR_STORE);
        self.disk(move || {
            let mut file = private::options().write(true).create(true).truncate(false).open(place)?;
            file.seek(SeekFrom::Start(u64::try_from(at).map_err(io::Error::other)?))?;
            priority::write_all(&mut file, &piece)
        })
        .await
    }

    /// So many bytes of an answer, in a vector that has room for `room`.
    pub(crate) async fn landed(&self, job: Uuid, length: usize, room: usize) -> io::Result<Vec<u8>> {
        let place = self.folder(job).join(FOR_STORE);
        self.disk(move || {
            let mut bytes = Vec::with_capacity(room.max(length));
            if length > 0 {
                let most = u64::try_from(length).map_err(io::Error::other)?;
                File::open(place)?.take(most).read_to_end(&mut bytes)?;
            }
            if bytes.len() == length { Ok(bytes) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
        })
        .await
    }

    /// What is kept of a job whose record does not say so; none where not all of it is.
    pub(crate) async fn kept(&self, job: Uuid) -> io::Result<Option<Kept>> {
        self.said(job, KEPT).await
    }

    /// Keeps, durably, what the catalog does not take of a job without images, and frees what was reserved for them.
    pub(crate) async fn fail(&self, job: Uuid, failed: &Failed) -> io::Result<()> {
        let (root, folder) = (self.root.clone(), self.folder(job));
        let said = serde_json::to_vec(failed)?;
        self.disk(move || {
            private::folders(&folder)?;
            let place = folder.join(FOR_STORE);
            fill(&place, &said)?.sync_all()?;
            fs::rename(place, folder.join(FAILED))?;
            for entry in fs::read_dir(&folder)? {
                let entry = entry?;
                if entry.file_name().to_str().is_some_and(|name| name.starts_with(RESERVED)) {
                    fs::remove_file(entry.path())?;
                }
            }
            sync_folder(&folder)?;
            sync_folder(&root)
        })
        .await
    }

    /// Why a job gave no images whose record does not say so.
    pub(crate) async fn failed(&self, job: Uuid) -> io::Result<Option<Failed>> {
        self.said(job, FAILED).await
    }

    async fn said<T: DeserializeOwned>(&self, job: Uuid, name: &str) -> io::Result<Option<T>> {
        let said = self.read(job, name).await?;
        Ok(said.and_then(|said| serde_json::from_slice(&said).ok()))
    }

    /// Keeps what was paid and cannot be used, as it came; nothing where there is nothing.
    pub(crate) async fn keep_paid(&self, job: Uuid, answers: &[Bytes]) -> io::Result<()> {
        if answers.is_empty() {
            return Ok(());
        }
        let (root, folder, answers) = (self.root.clone(), self.folder(job), answers.to_vec());
        self.disk(move || {
            // Room is better used for what was paid than for what will not come.
            fs::remove_dir_all(&folder)?;
            private::new_folder(&folder)?;
            for (index, bytes) in answers.iter().enumerate() {
                let mut file = private::new_file(&folder.join(format!("{PAID}{index}")))?;
                priority::write_all(&mut file, bytes)?;
                file.sync_all()?;
            }
            sync_folder(&folder)?;
            sync_folder(&root)
        })
        .await
    }

    /// Whether something is kept that was paid and cannot be used, be it only a part of it.
    pub(crate) async fn has_paid(&self, job: Uuid) -> io::Result<bool> {
        let folder = self.folder(job);
        self.disk(move || match fs::read_dir(folder) {
            Ok(mut entries) => entries.try_fold(false, |found, entry| {
                Ok(found || entry?.file_name().to_str().is_some_and(|name| name.starts_with(PAID)))
            }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        })
        .await
    }

    /// The bytes kept under a name, if any.
    pub(crate) async fn read(&self, job: Uuid, name: &str) -> io::Result<Option<Bytes>> {
        let path = self.folder(job).join(name);
        self.disk(move || match fs::read(path) {
            Ok(bytes) => Ok(Some(bytes.into())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        })
        .await
    }

    /// Forgets a job that came to rest.
    pub(crate) async fn discard(&self, job: Uuid) -> io::Result<()> {
        let folder = self.folder(job);
        self.disk(move || match fs::remove_dir_all(folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            discarded => discarded,
        })
        .await
    }

    /// The jobs that have something here.
    pub(crate) async fn jobs(&self) -> io::Result<Vec<Uuid>> {
        let root = self.root.clone();
        self.disk(move || {
            let mut jobs = Vec::new();
            for entry in fs::read_dir(root)? {
                jobs.extend(entry?.file_name().to_str().and_then(|name| Uuid::try_parse(name).ok()));
            }
            Ok(jobs)
        })
        .await
    }

    fn folder(&self, job: Uuid) -> PathBuf {
        self.root.join(job.hyphenated().to_string())
    }

    async fn disk<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        self.plane.bulk(work).await.map_err(io::Error::other)?
    }
}

/// Where the image of this index is reserved a place.
fn place(index: u32) -> String {
    format!("{RESERVED}{index}")
}

/// Writes into a place, and frees the rest of one that was reserved.
fn fill(place: &Path, bytes: &[u8]) -> io::Result<File> {
    let mut file = private::options().write(true).create(true).truncate(false).open(place)?;
    priority::write_all(&mut file, bytes)?;
    file.set_len(u64::try_from(bytes.len()).map_err(io::Error::other)?)?;
    Ok(file)
}

fn reserve(path: &Path, bytes: u64) -> io::Result<()> {
    let mut file = private::new_file(path)?;
    match fallocate(&file, FallocateFlags::empty(), 0, bytes.max(1)) {
        // A file system that cannot reserve still shows whether it can be written at all.
        Err(rustix::io::Errno::OPNOTSUPP) => file.write_all(&[0; 4096])?,
        reserved => reserved?,
    }
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use bytes::Bytes;
    use uuid::Uuid;

    use super::{Failed, Kept, Spool};
    use crate::{
        generator::{
            catalog::Object,
            digest::Digest,
            money::Usd,
            plane::Plane,
            provider::{Receipt, Usage},
            state::Reason,
        },
        shutdown::Shutdown,
    };

    #[tokio::test]
    async fn what_is_kept_is_read_until_discarded() {
        let folder = tempfile::tempdir().unwrap();
        let spool = Spool::open(folder.path().join("spool"), Plane::current(Shutdown::default())).unwrap();
        let job = Uuid::from_u128(7);
        spool.reserve(job, 1, 1 << 16).await.unwrap();
        assert_eq!(spool.jobs().await.unwrap(), [job]);
        assert_eq!(spool.kept(job).await.unwrap(), None, "not yet");
        let object = Object {
            name: "a.png".into(),
            media_type: "image/png".into(),
            bytes: 1,
            sha256: Digest::of(b"a"),
        };
        let receipt = Receipt {
            request_id: Some("req_1".into()),
            usage: Some(Usage { input_tokens: 1, output_tokens: 2 }),
            cost: Some(Usd::micros(40_000)),
            cause: None,
        };
        let kept = Kept { objects: vec![object], receipt };
        spool.keep(job, &kept, vec![Bytes::from_static(b"a")]).await.unwrap();
        assert_eq!(spool.read(job, "a.png").await.unwrap().unwrap(), "a");
        assert_eq!(spool.kept(job).await.unwrap(), Some(kept));
        let room =
            fs::read_dir(spool.folder(job)).unwrap().map(|entry| entry.unwrap().metadata().unwrap().len());
        assert!(room.sum::<u64>() < 1000, "nothing is reserved any more");
        assert_eq!(spool.read(job, "b.png").await.unwrap(), None);
        spool.discard(job).await.unwrap();
        spool.discard(job).await.unwrap();
        assert_eq!(spool.kept(job).await.unwrap(), None);
        assert!(spool.jobs().await.unwrap().is_empty());
    }

    #[tokio::test]
    async fn what_a_record_does_not_take_is_found_beside_what_was_paid() {
        let folder = tempfile::tempdir().unwrap();
        let spool = Spool::open(folder.path().join("spool"), Plane::current(Shutdown::default())).unwrap();
        let [drawn, paid, elsewhere] = [1, 2, 3].map(Uuid::from_u128);
        for job in [drawn, paid] {
            spool.reserve(job, 2, 1 << 16).await.unwrap();
        }
        spool.keep_paid(paid, &[Bytes::from_static(b"<html>")]).await.unwrap();
        let receipt = Receipt { cost: Some(Usd::micros(40_000)), ..Receipt::default() };
        // The last has no place here: its claim is in doubt, and another process was to begin it.
        for job in [drawn, paid, elsewhere] {
            let failed = Failed { reason: Reason::PaidInvalid, receipt: receipt.clone() };
            spool.fail(job, &failed).await.unwrap();
            assert_eq!(spool.failed(job).await.unwrap(), Some(failed));
            assert_eq!(spool.kept(job).await.unwrap(), None);
        }
        let names = |job| fs::read_dir(spool.folder(job)).unwrap().count();
        assert_eq!([drawn, paid, elsewhere].map(names), [1, 2, 1], "nothing is reserved any more");
        assert!(spool.has_paid(paid).await.unwrap() && !spool.has_paid(drawn).await.unwrap());
    }

    #[tokio::test]
    async fn more_than_the_disk_holds_is_refused_and_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let spool = Spool::open(folder.path().join("spool"), Plane::current(Shutdown::default())).unwrap();
        assert!(spool.reserve(Uuid::from_u128(7), 2, 1 << 60).await.is_err());
        assert_eq!(fs::read_dir(folder.path().join("spool")).unwrap().count(), 0);
    }
}
