//! The audit log: one line of JSON for every change of a route, its brake or the file, by whatever way it came.
//!
//! Several processes append to one file. Who changes something opens the log first and keeps it until it has said so:
//! of two changes one comes first, also in the log, and nobody takes a change for an edit by hand whose author is just
//! about to write. A line is on the disk before the change is answered for.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::private;

/// Its name in the data folder.
const FILE: &str = "audit.jsonl";
/// How far back the last lines are looked for, in bytes.
const TAIL: u64 = 256 << 10;

/// The file, by its path: it is opened for each change, so that it may be moved away at any time.
#[derive(Clone, Debug)]
pub struct Log(PathBuf);

/// The log, open for one author: all others wait until this is dropped.
#[derive(Debug)]
pub struct Book {
    log: Log,
    file: File,
}

/// What kind of thing changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum What {
    /// What `routes.toml` says of a route.
    Route,
    /// Its brake.
    Brake,
    /// An alarm of its evidence.
    Alarm,
    /// What `routes.toml` says beside its routes.
    File,
    /// A content of `routes.toml` of which another process has told, put in force by one that serves.
    InForce,
}

/// One change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// When.
    pub at: Timestamp,
    /// What kind of thing changed.
    pub what: What,
    /// A person and a command, an address, the guard; or the file, edited by hand.
    pub who: String,
    /// The route's name, where it is about one.
    pub route: Option<String>,
    /// What it was; nothing for a new route.
    pub from: Option<String>,
    /// What it is; nothing for one that was removed.
    pub to: Option<String>,
    /// Why, where somebody said so.
    pub why: Option<String>,
    /// The generation of rules that it belongs to, where the process that wrote it serves.
    pub generation: Option<u64>,
    /// SHA-256 of the file that says it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
}

impl Log {
    /// The one in the folder `data`.
    pub fn in_folder(data: &Path) -> Self {
        Self(data.join(FILE))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Opens it for one author, after whoever has it open. Blocks.
    pub fn open(&self) -> io::Result<Book> {
        let file = private::options().read(true).append(true).create(true).open(&self.0)?;
        file.lock()?;
        if file.metadata()?.len() == 0 {
            private::hand_over(&file, &self.0);
        }
        Ok(Book { log: self.clone(), file })
    }

    /// Adds `lines`, in one piece. Blocks.
    pub fn append(&self, lines: &[Line]) -> io::Result<()> {
        self.open()?.append(lines)
    }

    /// The first `most` lines after a moment, the oldest first, with all others of the last one's: whoever asks for what
    /// came after that misses none.
    pub fn since(&self, after: Timestamp, most: usize) -> io::Result<Vec<Line>> {
        let Some(file) = self.read()? else { return Ok(Vec::new()) };
        let mut lines: Vec<Line> = Vec::new();
        for text in BufReader::new(file).split(b'\n') {
            let Ok(line) = serde_json::from_slice::<Line>(&text?) else { continue };
            if line.at <= after {
                continue;
            }
            if lines.len() >= most && lines.last().is_some_and(|last| last.at != line.at) {
                break;
            }
            lines.push(line);
        }
        Ok(lines)
    }

    /// The file, if there is one.
    fn read(&self) -> io::Result<Option<File>> {
        match File::open(&self.0) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            file => file.map(Some),
        }
    }

    /// The last of its lines, the newest last. What is not a whole line of this version is passed over.
    pub fn last(&self, most: usize) -> io::Result<Vec<Line>> {
        let Some(mut file) = self.read()? else { return Ok(Vec::new()) };
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(TAIL)))?;
        let mut text = Vec::new();
        file.take(TAIL).read_to_end(&mut text)?;
        let lines = text.split(|&byte| byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok());
        let mut lines: Vec<Line> = lines.collect();
        Ok(lines.split_off(lines.len().saturating_sub(most)))
    }
}

impl Book {
    /// Adds `lines`, in one piece.
    pub fn append(&mut self, lines: &[Line]) -> io::Result<()> {
        let mut text = Vec::new();
        for line in lines {
            serde_json::to_writer(&mut text, line)?;
            text.push(b'\n');
        }
        if is_torn(&mut self.file)? {
            text.insert(0, b'\n');
        }
        self.file.write_all(&text)?;
        self.file.sync_data()
    }

    /// True where the newest change of a file that was written here is the one to the content `file`: whoever made it
    /// has said so.
    pub fn tells_of(&self, file: &str) -> io::Result<bool> {
        let lines = self.log.last(usize::MAX)?;
        Ok(lines.iter().rev().find_map(|line| line.file.as_deref()) == Some(file))
    }
}

/// Whether a crash left the last line without its end.
fn is_torn(file: &mut File) -> io::Result<bool> {
    if file.metadata()?.len() == 0 {
        return Ok(false);
    }
    let mut last = [0];
    file.seek(SeekFrom::End(-1))?;
    file.read_exact(&mut last)?;
    Ok(last != *b"\n")
}

#[cfg(test)]
mod tests {
    use std::{
        fs,
        os::unix::fs::{MetadataExt, PermissionsExt, chown},
    };

    use super::*;

    fn line(route: &str, file: Option<&str>) -> Line {
        Line {
            at: Timestamp::UNIX_EPOCH,
            what: What::Route,
            who: "ana, by routes set".into(),
            route: Some(route.into()),
            from: Some("shadow".into()),
            to: Some("canary".into()),
            why: None,
            generation: Some(3),
            file: file.map(Into::into),
        }
    }

    #[test]
    fn lines_are_kept_in_order_and_read_back() {
        let folder = tempfile::tempdir().unwrap();
        let log = Log::in_folder(folder.path());
        assert_eq!(log.last(5).unwrap(), []);
        log.append(&[line("a", Some("1")), line("b", Some("1"))]).unwrap();
        log.append(&[line("c", None)]).unwrap();
        assert_eq!(log.last(2).unwrap(), [line("b", Some("1")), line("c", None)]);
        let later = |route: &str| Line { at: Timestamp::from_second(9).unwrap(), ..line(route, None) };
        log.append(&[later("d"), later("e")]).unwrap();
        assert_eq!(log.since(Timestamp::MIN, 1).unwrap().len(), 3, "all of one moment");
        assert_eq!(log.since(Timestamp::UNIX_EPOCH, 1).unwrap(), [later("d"), later("e")]);
        assert_eq!(log.since(Timestamp::from_second(9).unwrap(), 1).unwrap(), []);
        let book = log.open().unwrap();
        assert!(book.tells_of("1").unwrap() && !book.tells_of("2").unwrap());
        assert_eq!(fs::metadata(log.path()).unwrap().permissions().mode() & 0o777, 0o600);
        let text = fs::read_to_string(log.path()).unwrap();
        assert!(text.starts_with(r#"{"at":"1970-01-01T00:00:00Z","what":"route","who":"ana, by routes set","route":"a","from":"shadow","to":"canary","why":null,"generation":3,"file":"1"}"#), "{text}");
    }

    /// Root alone can tell: for anybody else all files are their own.
    #[test]
    fn what_root_begins_its_gateway_goes_on_with() {
        let folder = tempfile::tempdir().unwrap();
        chown(folder.path(), Some(65_534), Some(65_534)).ok();
        let log = Log::in_folder(folder.path());
        log.append(&[line("a", None)]).unwrap();
        let owner = |path: &Path| fs::metadata(path).map(|file| (file.uid(), file.gid())).unwrap();
        assert_eq!(owner(log.path()), owner(folder.path()));
    }

    #[test]
    fn a_torn_line_does_not_take_the_next_with_it() {
        let folder = tempfile::tempdir().unwrap();
        let log = Log::in_folder(folder.path());
        fs::write(log.path(), "{\"at\":\"19").unwrap();
        log.append(&[line("a", None)]).unwrap();
        assert_eq!(log.last(9).unwrap(), [line("a", None)]);
    }
}
