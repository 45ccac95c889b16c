//! What is made in the data folder is the owner's alone: it holds what people asked for, and what they were answered.
//! What is there already stays as it is, since somebody may have meant it.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, fchown},
    path::Path,
};

/// Of folders: their owner may list and enter them.
const FOLDER: u32 = 0o700;
/// Of files: their owner may read and write them.
const FILE: u32 = 0o600;

/// Makes a folder, and those above it that are missing; nothing where it is there.
pub(crate) fn folders(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(FOLDER).create(path)
}

/// Makes one folder that was not there.
pub(crate) fn new_folder(path: &Path) -> io::Result<()> {
    DirBuilder::new().mode(FOLDER).create(path)
}

/// How a file is opened that may have to be made.
pub(crate) fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.mode(FILE);
    options
}

/// Makes a file that was not there, to be written.
pub(crate) fn new_file(path: &Path) -> io::Result<File> {
    options().write(true).create_new(true).open(path)
}

/// Gives `file`, which this process has just made at `path`, to the owner of its folder: what root makes there must not
/// keep the gateway out. Nobody else can, nor has to.
pub(crate) fn hand_over(file: &File, path: &Path) {
    let Some(Ok(folder)) = path.parent().map(fs::metadata) else { return };
    fchown(file, Some(folder.uid()), Some(folder.gid())).ok();
}

/// Writes a whole file, in the place of what it held.
pub(crate) fn write(path: &Path, content: impl AsRef<[u8]>) -> io::Result<()> {
    options().write(true).create(true).truncate(true).open(path)?.write_all(content.as_ref())
}
