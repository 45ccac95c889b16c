//! A look at the file, which counts once the file is whole.
//!
//! What was moved into its place is. What is written in place tells nobody when it is: it counts once it is left alone.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use sha2::{Digest as _, Sha256};
use tokio::{
    task::spawn_blocking,
    time::{Instant, sleep},
};

use super::folder::Folders;
use crate::config::{self, Digest};

/// Between two looks.
pub(super) const STEP: Duration = Duration::from_millis(25);
/// Who writes in place pauses for less, and a person who saves does not wait for it.
const QUIET: Duration = Duration::from_millis(125);
/// The same where the file holds no more than the beginning of what is in force: it was cut, to be written anew, by
/// somebody who may be slow; or its end was deleted, and there is time.
const CUT: Duration = Duration::from_millis(1_500);
/// A file that is not left alone for so long is called unfinished.
const RESTLESS: Duration = Duration::from_secs(3);

/// One look at the file.
#[derive(Debug)]
pub(super) struct Look {
    pub(super) content: Vec<u8>,
    pub(super) judged: Judged,
    written: Option<SystemTime>,
}

/// What the file held when it was looked at last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Judged {
    Content(Digest),
    Unreadable(String),
    /// Nobody can say yet.
    Unfinished,
}

impl Look {
    /// The file at `path` once it is whole, or as `judged` already; unfinished where neither comes about.
    pub(super) async fn once_whole(path: &Path, folders: &Folders, judged: &Judged, in_force: &str) -> Self {
        let mut placed = folders.placed();
        let mut row = Row::begin(Self::take(path.to_owned()).await, Instant::now());
        while row.last.judged != *judged && !placed {
            match row.stands(Instant::now(), in_force) {
                Stands::Whole => break,
                Stands::Restless => return Self { judged: Judged::Unfinished, ..row.last },
                Stands::Yet => sleep(STEP).await,
            }
            placed = folders.placed();
            row.goes_on(Self::take(path.to_owned()).await, Instant::now());
        }
        row.last
    }

    async fn take(path: PathBuf) -> Self {
        let read = spawn_blocking(move || {
            // Before the content: what is written in between is seen by the next look.
            let written = fs::metadata(&path).and_then(|metadata| metadata.modified()).ok();
            (config::read_whole(&path), written)
        });
        let (read, written) = read.await.unwrap_or_else(|error| (Err(error.into()), None));
        Self::of(read, written)
    }

    fn of(read: io::Result<Vec<u8>>, written: Option<SystemTime>) -> Self {
        match read {
            Ok(content) => {
                Self { judged: Judged::Content(Sha256::digest(&content).into()), content, written }
            }
            Err(error) => {
                Self { judged: Judged::Unreadable(error.to_string()), content: Vec::new(), written }
            }
        }
    }

    /// How long it has to stand.
    fn patience(&self, in_force: &str) -> Duration {
        let is_cut = matches!(self.judged, Judged::Content(_))
            && self.content.len() < in_force.len()
            && in_force.as_bytes().starts_with(&self.content);
        if is_cut { CUT } else { QUIET }
    }
}

/// A row of looks at a file that somebody may be writing.
struct Row {
    begun: Instant,
    last: Look,
    /// Since when nothing has changed.
    quiet: Instant,
}

/// How the file stands after a row of looks.
#[derive(Debug, PartialEq, Eq)]
enum Stands {
    Whole,
    /// It has not stood long enough.
    Yet,
    Restless,
}

impl Row {
    fn begin(first: Look, now: Instant) -> Self {
        Self { begun: now, last: first, quiet: now }
    }

    fn goes_on(&mut self, next: Look, now: Instant) {
        if (&next.judged, next.written) != (&self.last.judged, self.last.written) {
            (self.last, self.quiet) = (next, now);
        }
    }

    fn stands(&self, now: Instant, in_force: &str) -> Stands {
        if now - self.quiet >= self.last.patience(in_force) {
            Stands::Whole
        } else if now - self.begun >= RESTLESS {
            Stands::Restless
        } else {
            Stands::Yet
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const IN_FORCE: &str = "[a]\nb = 1\n[c]\nd = 2\n";

    /// The row of what was in the file at these milliseconds.
    fn row(contents: &[(u64, &str)]) -> (Row, Instant) {
        let begun = Instant::now();
        let look = |content: &str| Look::of(Ok(content.into()), None);
        let mut row = Row::begin(look(contents[0].1), begun);
        for (at, content) in contents {
            row.goes_on(look(content), begun + Duration::from_millis(*at));
        }
        (row, begun)
    }

    #[test]
    fn a_file_that_is_written_in_pieces_is_whole_once_it_is_left_alone() {
        let (row, begun) = row(&[(0, ""), (60, "[a]\nb = 3\n"), (120, "[a]\nb = 3\n[c]\n")]);
        let stands = |at| row.stands(begun + Duration::from_millis(at), IN_FORCE);
        assert_eq!(stands(200), Stands::Yet);
        assert_eq!(stands(250), Stands::Whole);
    }

    #[test]
    fn the_same_content_written_anew_is_still_being_written() {
        let begun = Instant::now();
        let later = |at| begun + Duration::from_millis(at);
        let look = |at| Look::of(Ok("a".into()), Some(SystemTime::UNIX_EPOCH + Duration::from_millis(at)));
        let mut row = Row::begin(look(0), begun);
        row.goes_on(look(100), later(100));
        assert_eq!(row.stands(later(150), IN_FORCE), Stands::Yet);
    }

    #[test]
    fn a_file_that_was_cut_is_given_the_time_to_be_written_anew() {
        for cut in ["", "[a]\nb = 1\n", "[a"] {
            let (row, begun) = row(&[(0, cut)]);
            assert_eq!(row.stands(begun + Duration::from_secs(1), IN_FORCE), Stands::Yet);
            assert_eq!(
                row.stands(begun + Duration::from_secs(2), IN_FORCE),
                Stands::Whole,
                "it may be meant"
            );
        }
    }

    #[test]
    fn a_file_that_is_never_left_alone_is_no_file_yet() {
        let contents: Vec<_> = (0..60).map(|n| (n * 100, if n % 2 == 0 { "[x]" } else { "[y]" })).collect();
        let (row, begun) = row(&contents);
        assert_eq!(row.stands(begun + Duration::from_millis(5_910), IN_FORCE), Stands::Restless);
    }
}
