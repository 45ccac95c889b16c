//! Whole pairs as files, for people: `samples/<route>/<comparison>-<why>/`, with each arm's head, body and images.
//!
//! All failures are kept, up to a cap, beyond which a new one takes the place of an old one; and a few matches of each route, drawn fairly: a comparison's id ends in random
//! bits, and the matches with the smallest of them stay.

pub mod stored;

use std::{
    borrow::Cow,
    collections::HashMap,
    fs,
    io::{self, Read},
    path::{Path, PathBuf},
};

use http::HeaderMap;
use jiff::{SignedDuration, Timestamp};
use uuid::Uuid;

use super::sqlite::first_id;
use crate::{
    parallel_run::{
        answer::{Answer, Delivery},
        archive::Sample,
        comparison::{Class, Comparison},
        secrets::{REDACTED, Secrets},
    },
    private,
};

/// Failures kept of one route.
const FAILURES: usize = 200;

/// From this age on a failure makes room for a new one: what fails today may be another candidate's.
const MAKES_ROOM: SignedDuration = SignedDuration::from_hours(1);

/// Matches kept of one route.
const MATCHES: usize = 20;

/// Bytes of all samples together.
const BYTES: u64 = 1 << 30;

/// Of one file, to be shown.
const SHOWN: u64 = 64 << 10;

/// Places of images that are looked for.
const IMAGES: usize = 16;

/// Why a pair is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Why {
    Failure,
    Match,
}

impl Why {
    fn of(class: Class) -> Option<Self> {
        match class {
            Class::Mismatch | Class::CandidateFailed => Some(Self::Failure),
            Class::Match | Class::Expected => Some(Self::Match),
            _ => None,
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::Failure => "failure",
            Self::Match => "match",
        }
    }
}

/// One pair's files.
#[derive(Clone, Copy, Debug)]
struct Pair {
    id: Uuid,
    why: Why,
    bytes: u64,
}

/// The folder of samples. Its one writer is the ledger's thread.
#[derive(Debug)]
pub(crate) struct Samples {
    folder: PathBuf,
    kept: HashMap<String, Vec<Pair>>,
}

impl Samples {
    /// Finds what is there from before.
    pub(crate) fn open(folder: PathBuf) -> io::Result<Self> {
        private::folders(&folder)?;
        let mut kept = HashMap::new();
        for route in fs::read_dir(&folder)? {
            let route = route?;
            let mut pairs = Vec::new();
            for pair in fs::read_dir(route.path())? {
                let pair = pair?.path();
                match pair.file_name().and_then(|name| parse(name.to_str()?)) {
                    Some((id, why)) => pairs.push(Pair { id, why, bytes: size(&pair)? }),
                    // Left by a process that died while it wrote.
                    None => fs::remove_dir_all(&pair)?,
                }
            }
            kept.insert(route.file_name().to_string_lossy().into_owned(), pairs);
        }
        Ok(Self { folder, kept })
    }

    /// Keeps `sample` if there is room for it.
    pub(crate) fn keep(
        &mut self,
        comparison: &Comparison,
        sample: &Sample,
        redact: &[String],
    ) -> io::Result<()> {
        let Some(why) = Why::of(comparison.class) else { return Ok(()) };
        let route = &*comparison.route;
        let pairs = self.kept.entry(route.to_owned()).or_default();
        let alike = || pairs.iter().filter(|kept| kept.why == why);
        let leaving = match why {
            Why::Failure if alike().count() >= FAILURES => {
                let old = first_id(comparison.at.saturating_sub(MAKES_ROOM).unwrap_or_default());
                match alike().map(|kept| kept.id).min() {
                    Some(oldest) if oldest < old => Some(oldest),
                    _ => return Ok(()),
                }
            }
            Why::Match if alike().count() >= MATCHES => match alike().max_by_key(|kept| draw(kept.id)) {
                Some(last) if draw(last.id) > draw(comparison.id) => Some(last.id),
                _ => return Ok(()),
            },
            Why::Failure | Why::Match => None,
        };
        let mut files = files(sample, redact);
        files.extend(thumbnails(comparison));
        let bytes = files.iter().map(|(_, content)| content.len() as u64).sum();
        if self.kept.values().flatten().map(|kept| kept.bytes).sum::<u64>() + bytes > BYTES {
            return Ok(());
        }
        self.write(route, comparison.id, why, &files)?;
        self.kept.entry(route.to_owned()).or_default().push(Pair { id: comparison.id, why, bytes });
        leaving.map_or(Ok(()), |id| self.remove(route, |kept| kept.id == id))
    }

    /// Removes what is older than `time`.
    pub(crate) fn prune(&mut self, time: Timestamp) -> io::Result<()> {
        let first = first_id(time);
        let routes: Vec<String> = self.kept.keys().cloned().collect();
        routes.iter().try_for_each(|route| self.remove(route, |kept| kept.id < first))
    }

    fn remove(&mut self, route: &str, is_leaving: impl Fn(&Pair) -> bool) -> io::Result<()> {
        let folder = self.folder.join(route);
        for kept in self
            .kept
            .get_mut(route)
            .into_iter()
            .flat_map(|pairs| pairs.extract_if(.., |kept| is_leaving(kept)))
        {
            match fs::remove_dir_all(folder.join(name(kept.id, kept.why))) {
                // Somebody asked to be forgotten.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                removed => removed?,
            }
        }
        Ok(())
    }

    /// All files of a pair, then the folder under its own name: a pair is there whole or not at all.
    fn write(&self, route: &str, id: Uuid, why: Why, files: &[(String, Vec<u8>)]) -> io::Result<()> {
        let route = self.folder.join(route);
        let unfinished = route.join(format!(".{id}"));
        private::folders(&unfinished)?;
        let written =
            files.iter().try_for_each(|(name, content)| private::write(&unfinished.join(name), content));
        let written = written.and_then(|()| fs::rename(&unfinished, route.join(name(id, why))));
        if written.is_err() {
            // The disk is full, most likely: give back what was taken.
            drop(fs::remove_dir_all(&unfinished));
        }
        written
    }
}

/// What is written of a pair, without its secrets: the values of the fields `redact`, and whatever else is one.
fn files(sample: &Sample, redact: &[String]) -> Vec<(String, Vec<u8>)> {
    let request = &sample.request;
    let secrets = Secrets::of(request, redact);
    let line = format!("{} {} {:?}", request.method, request.target, request.version);
    let mut files = vec![
        ("request.head".to_owned(), head(&line, &request.headers, &secrets)),
        ("request.body".to_owned(), secrets.out_of(&request.body).into_owned()),
        (stored::PARTICULARS.to_owned(), stored::particulars(sample)),
    ];
    let arms = [("control", Some(&sample.control)), ("candidate", sample.candidate.as_ref())];
    for (arm, answer) in arms.into_iter().filter_map(|(arm, answer)| Some((arm, answer?))) {
        files.extend(files_of(arm, answer, &secrets));
    }
    files
}

fn files_of(arm: &str, answer: &Answer, secrets: &Secrets<'_>) -> Vec<(String, Vec<u8>)> {
    // In an image anything is found.
    let is_image = answer.images.iter().any(|image| image.delivery == Delivery::Body);
    let body = if is_image { Cow::Borrowed(&*answer.body) } else { secrets.out_of(&answer.body) };
    let mut files = vec![
        (format!("{arm}.head"), head(&answer.status.to_string(), &answer.headers, secrets)),
        (format!("{arm}.body"), body.into_owned()),
    ];
    let images = answer.images.iter().enumerate();
    files.extend(images.filter_map(|(place, image)| {
        Some((format!("{arm}.image-{place}"), image.bytes.as_ref().ok()?.to_vec()))
    }));
    files
}

/// The small pictures of both arms' images.
fn thumbnails(comparison: &Comparison) -> impl Iterator<Item = (String, Vec<u8>)> {
    comparison.images.iter().filter_map(|image| {
        let arm = if image.candidate { "candidate" } else { "control" };
        Some((format!("{arm}.thumbnail-{}", image.index), image.thumbnail.as_ref()?.to_vec()))
    })
}

/// What is kept of one pair, to be shown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Kept {
    /// What was asked.
    pub request: KeptSide,
    /// What the control answered.
    pub control: KeptSide,
    /// What the candidate answered, where it gave an answer.
    pub candidate: Option<KeptSide>,
}

/// One head and body, redacted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeptSide {
    /// The first line and the fields.
    pub head: String,
    /// The beginning of the body.
    pub body: Vec<u8>,
    /// Of the whole body.
    pub bytes: u64,
    /// Small JPEGs of its images, by their places.
    pub thumbnails: Vec<(usize, Vec<u8>)>,
}

/// What is kept of the pair `id` under `folder`, if anything is.
pub(crate) fn read(folder: &Path, route: &str, id: Uuid) -> Option<Kept> {
    let pair = [Why::Failure, Why::Match]
        .into_iter()
        .map(|why| folder.join(route).join(name(id, why)))
        .find(|pair| pair.is_dir())?;
    let candidate = pair.join("candidate.head").exists().then(|| side(&pair, "candidate"));
    Some(Kept { request: side(&pair, "request"), control: side(&pair, "control"), candidate })
}

/// The newest pairs that are kept of `route`, failures first, at most `most`, of which matches may be half.
pub(crate) fn list(folder: &Path, route: &str, most: usize) -> Vec<Uuid> {
    let names = fs::read_dir(folder.join(route)).into_iter().flatten().flatten();
    let pairs: Vec<_> = names.filter_map(|entry| parse(entry.file_name().to_str()?)).collect();
    let of = |wanted: Why| {
        let mut ids: Vec<Uuid> = pairs.iter().filter(|(_, why)| *why == wanted).map(|(id, _)| *id).collect();
        ids.sort_unstable_by_key(|id| std::cmp::Reverse(*id));
        ids
    };
    let (failures, matches) = (of(Why::Failure), of(Why::Match));
    let failed = failures.len().min(most - matches.len().min(most / 2));
    failures.into_iter().take(failed).chain(matches.into_iter().take(most - failed)).collect()
}

fn side(pair: &Path, name: &str) -> KeptSide {
    let part = |file: String| {
        let file = fs::File::open(pair.join(file)).ok()?;
        let bytes = file.metadata().ok()?.len();
        let mut content = Vec::new();
        file.take(SHOWN).read_to_end(&mut content).ok()?;
        Some((content, bytes))
    };
    let (head, _) = part(format!("{name}.head")).unwrap_or_default();
    let (body, bytes) = part(format!("{name}.body")).unwrap_or_default();
    let thumbnail = |place| Some((place, part(format!("{name}.thumbnail-{place}"))?.0));
    let thumbnails = (0..IMAGES).filter_map(thumbnail).collect();
    KeptSide { head: String::from_utf8_lossy(&head).into_owned(), body, bytes, thumbnails }
}

fn head(line: &str, headers: &HeaderMap, secrets: &Secrets<'_>) -> Vec<u8> {
    let mut head = secrets.out_of(line.as_bytes()).into_owned();
    head.push(b'\n');
    for (name, value) in headers {
        let is_secret = secrets.are_in(name.as_str());
        head.extend_from_slice(name.as_str().as_bytes());
        head.extend_from_slice(b": ");
        let value =
            if is_secret { Cow::Borrowed(REDACTED.as_bytes()) } else { secrets.out_of(value.as_bytes()) };
        head.extend_from_slice(&value);
        head.push(b'\n');
    }
    head
}

/// The bits of an id that are drawn.
fn draw(id: Uuid) -> u64 {
    id.as_u64_pair().1
}

/// Where a pair's files would be, whyever it was kept.
pub(crate) fn places(folder: &Path, route: &str, id: Uuid) -> [PathBuf; 2] {
    [Why::Failure, Why::Match].map(|why| folder.join(route).join(name(id, why)))
}

fn name(id: Uuid, why: Why) -> String {
    format!("{id}-{}", why.word())
}

fn parse(name: &str) -> Option<(Uuid, Why)> {
    let (id, word) = name.split_at_checked(36)?;
    let why =
        [Why::Failure, Why::Match].into_iter().find(|why| word.strip_prefix('-') == Some(why.word()))?;
    Some((id.parse().ok()?, why))
}

fn size(folder: &Path) -> io::Result<u64> {
    fs::read_dir(folder)?.map(|file| Ok(file?.metadata()?.len())).sum()
}
