//! The files of the folder: many known, few open.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use lru::LruCache;
use rustix::fs::{Mode, OFlags, openat};
use serde::Serialize;

use super::{Block, FileId, Step};

/// Files open at a time; the one written to longest ago is closed for another, and reopened when it is needed.
const OPEN_MAX: NonZeroUsize = NonZeroUsize::new(256).expect("not zero");

/// The list of holes.
const HOLES: &str = "holes.jsonl";

/// The folder and its files.
pub(super) struct Files {
    path: PathBuf,
    /// Everything is opened relative to this, so that the folder may be renamed but not swapped for another.
    dir: File,
    /// Names of the files whose flow is still tracked.
    names: HashMap<FileId, String>,
    open: LruCache<FileId, File>,
    holes: Option<BufWriter<File>>,
}

/// A line of the list of holes.
#[derive(Serialize)]
struct Hole<'a> {
    file: &'a str,
    /// In the stream, holes counted.
    offset: u64,
    len: u64,
}

impl Files {
    /// Opens the folder, and makes it where there is none.
    ///
    /// # Errors
    /// Where it cannot be made, or is not empty.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        fs::create_dir_all(path)?;
        if fs::read_dir(path)?.next().is_some() {
            return Err(io::Error::other("is not empty"));
        }
        let dir = File::open(path)?;
        Ok(Self {
            path: path.to_owned(),
            dir,
            names: HashMap::new(),
            open: LruCache::new(OPEN_MAX),
            holes: None,
        })
    }

    /// Does what a block asks for.
    ///
    /// # Errors
    /// As the operating system has them, with the name of the file.
    pub(super) fn write(&mut self, block: &Block) -> io::Result<()> {
        let mut bytes = block.bytes.as_slice();
        for step in &block.steps {
            match *step {
                Step::Create { file, len } => {
                    self.create(file, &String::from_utf8_lossy(take(&mut bytes, len)))?
                }
                Step::Append { file, len } => self.append(file, take(&mut bytes, len))?,
                Step::Hole { file, offset, len } => self.note_hole(file, offset, len)?,
                Step::Close { file } => {
                    self.open.pop(&file);
                    self.names.remove(&file);
                }
            }
        }
        Ok(())
    }

    /// To be called when nothing more comes.
    ///
    /// # Errors
    /// Where the list of holes cannot be written.
    pub(super) fn finish(&mut self) -> io::Result<()> {
        match &mut self.holes {
            Some(holes) => holes.flush().map_err(|error| named(HOLES, &error)),
            None => Ok(()),
        }
    }

    /// Two flows of the same ends may begin at the same time (behind different VLANs, or where a capture has coarse
    /// times): the later one's name gets a number.
    fn create(&mut self, id: FileId, name: &str) -> io::Result<()> {
        let numbered = (1_u32..).map(|number| format!("{name}.{number}"));
        for candidate in std::iter::once(name.to_owned()).chain(numbered) {
            match self.openat(&candidate, OFlags::CREATE | OFlags::EXCL) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(named(&candidate, &error)),
                Ok(file) => {
                    self.open.push(id, file);
                    self.names.insert(id, candidate);
                    break;
                }
            }
        }
        Ok(())
    }

    fn append(&mut self, id: FileId, bytes: &[u8]) -> io::Result<()> {
        let Some(name) = self.names.get(&id) else {
            return Ok(());
        };
        if !self.open.contains(&id) {
            let file = self
                .openat(name, OFlags::APPEND)
                .map_err(|error| named(name, &error))?;
            self.open.push(id, file);
        }
        let Some(file) = self.open.get_mut(&id) else {
            return Ok(());
        };
        file.write_all(bytes).map_err(|error| named(name, &error))
    }

    fn note_hole(&mut self, id: FileId, offset: u64, len: u64) -> io::Result<()> {
        let Some(file) = self.names.get(&id) else {
            return Ok(());
        };
        let mut holes = match self.holes.take() {
            Some(holes) => holes,
            None => {
                let file = self.openat(HOLES, OFlags::CREATE | OFlags::EXCL);
                BufWriter::new(file.map_err(|error| named(HOLES, &error))?)
            }
        };
        let mut line = serde_json::to_vec(&Hole { file, offset, len })?;
        line.push(b'\n');
        holes
            .write_all(&line)
            .map_err(|error| named(HOLES, &error))?;
        self.holes = Some(holes);
        Ok(())
    }

    /// `name` in the folder, for writing; never through a link.
    fn openat(&self, name: &str, flags: OFlags) -> io::Result<File> {
        let flags = flags | OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        Ok(openat(&self.dir, name, flags, Mode::from_raw_mode(0o644))?.into())
    }
}

impl std::fmt::Debug for Files {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Files")
            .field("path", &self.path)
            .field("open", &self.open.len())
            .finish_non_exhaustive()
    }
}

fn take<'a>(bytes: &mut &'a [u8], len: usize) -> &'a [u8] {
    let (taken, rest) = bytes.split_at(len);
    *bytes = rest;
    taken
}

fn named(name: &str, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{name}: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: u64) -> FileId {
        FileId { shard: 0, number }
    }

    fn block(steps: &[(Step, &str)]) -> Block {
        let bytes = steps.iter().flat_map(|(_, bytes)| bytes.bytes()).collect();
        Block {
            steps: steps.iter().map(|(step, _)| *step).collect(),
            bytes,
        }
    }

    fn create(number: u64, name: &str) -> (Step, &str) {
        (
            Step::Create {
                file: id(number),
                len: name.len(),
            },
            name,
        )
    }

    fn append(number: u64, bytes: &str) -> (Step, &str) {
        (
            Step::Append {
                file: id(number),
                len: bytes.len(),
            },
            bytes,
        )
    }

    #[test]
    fn more_files_than_may_be_open_keep_their_bytes_in_order() {
        let dir = tempfile::tempdir().unwrap();
        let mut files = Files::open(dir.path()).unwrap();
        let count = OPEN_MAX.get() as u64 + 50;
        let names: Vec<_> = (0..count).map(|i| format!("f{i:04}")).collect();
        let steps: Vec<_> = (0..).zip(&names).map(|(i, name)| create(i, name)).collect();
        files.write(&block(&steps)).unwrap();
        for text in ["one ", "two"] {
            let steps: Vec<_> = (0..count).map(|i| append(i, text)).collect();
            files.write(&block(&steps)).unwrap();
        }
        assert_eq!(files.open.len(), OPEN_MAX.get());
        for name in names {
            assert_eq!(
                fs::read_to_string(dir.path().join(name)).unwrap(),
                "one two"
            );
        }
    }

    #[test]
    fn equal_names_get_numbers_and_holes_are_listed() {
        let dir = tempfile::tempdir().unwrap();
        let mut files = Files::open(dir.path()).unwrap();
        let hole = (
            Step::Hole {
                file: id(1),
                offset: 7,
                len: 3,
            },
            "",
        );
        files
            .write(&block(&[
                create(0, "a"),
                create(1, "a"),
                append(0, "x"),
                append(1, "y"),
                hole,
            ]))
            .unwrap();
        files.finish().unwrap();
        assert_eq!(fs::read_to_string(dir.path().join("a")).unwrap(), "x");
        assert_eq!(fs::read_to_string(dir.path().join("a.1")).unwrap(), "y");
        let holes = fs::read_to_string(dir.path().join(HOLES)).unwrap();
        assert_eq!(holes, "{\"file\":\"a.1\",\"offset\":7,\"len\":3}\n");
    }

    #[test]
    fn links_are_not_followed_and_folders_in_use_refused() {
        let dir = tempfile::tempdir().unwrap();
        let outside = tempfile::NamedTempFile::new().unwrap();
        let mut files = Files::open(dir.path()).unwrap();
        std::os::unix::fs::symlink(outside.path(), dir.path().join("a")).unwrap();
        files
            .write(&block(&[create(0, "a"), append(0, "x")]))
            .unwrap();
        assert_eq!(fs::read_to_string(outside.path()).unwrap(), "");
        assert_eq!(fs::read_to_string(dir.path().join("a.1")).unwrap(), "x");

        // Swapped for a link while it was closed: refused.
        files.open.clear();
        fs::remove_file(dir.path().join("a.1")).unwrap();
        std::os::unix::fs::symlink(outside.path(), dir.path().join("a.1")).unwrap();
        let error = files.write(&block(&[append(0, "y")])).unwrap_err();
        assert!(error.to_string().starts_with("a.1: "), "{error}");
        assert_eq!(fs::read_to_string(outside.path()).unwrap(), "");

        assert_eq!(
            Files::open(dir.path()).unwrap_err().to_string(),
            "is not empty"
        );
    }
}
